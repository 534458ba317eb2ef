/* SPDX-License-Identifier: Apache-2.0 */
/* kubelet: runs the pods of its node. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/daemon/daemon.h"
#include "kubelet/config_file.h"
#include "kubelet/flags.h"
#include "kubelet/kubelet.h"
#include "kubelet/node/machine.h"

/* The first address that is not the machine's own. */
static const char *first_address(struct arena *a)
{
	struct ifaddrs *all = NULL;
	char text[INET_ADDRSTRLEN] = "127.0.0.1";
	if (getifaddrs(&all))
		return "127.0.0.1";
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    i->ifa_flags & IFF_LOOPBACK)
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, text,
		          sizeof(text));
		break;
	}
	freeifaddrs(all);
	return arena_strdup(a, text);
}

static const char *host_name(struct arena *a)
{
	char host[256] = "localhost";
	gethostname(host, sizeof(host) - 1);
	for (char *s = host; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
	return arena_strdup(a, host);
}

static int load_config_file(struct daemon *d, struct err *err)
{
	if (!*kubelet_config_path)
		return 0;
	return config_file_load(kubelet_config_path, kubelet_flags, KUBELET_FLAG_GROUPS, &d->arena,
	                        err);
}

static int run(struct daemon *d)
{
	struct err err = ERR_INIT;
	struct kubeconfig kc = {0};
	struct kubelet k = {0};
	struct kubelet_config *c = &kubelet_config;
	int r = load_config_file(d, &err);
	if (!*c->node_name)
		c->node_name = host_name(&d->arena);
	if (!*c->node_ip)
		c->node_ip = first_address(&d->arena);
	if (!r && c->fail_swap_on && machine_has_swap())
		r = err_set(&err, ERR_INVALID,
		            "running with swap on is not supported, please disable swap or set "
		            "--fail-swap-on flag to false");
	if (!r)
		r = kubeconfig_load(c->kubeconfig, NULL, &kc, &err);
	if (!r)
		r = kubelet_start(&k, d, c, &kc, &err);
	if (r) {
		log_error(&err, "Could not start");
	} else {
		daemon_ready(d);
		daemon_run(d);
	}
	kubelet_stop(&k);
	kubeconfig_deinit(&kc);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct daemon_options options = {
	    .name = "kubelet",
	    .description = "The kubelet runs the pods of its node.",
	    .groups = kubelet_flags,
	    .n_groups = 1, /* the others are the configuration file's */
	};
	/* Folders of volumes are for users of containers, not only for the kubelet's own. */
	umask(022);
	struct daemon d;
	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = run(&d);
	daemon_deinit(&d);
	return r;
}
