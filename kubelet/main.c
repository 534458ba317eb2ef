/* SPDX-License-Identifier: Apache-2.0 */
/* kubelet: runs the pods of its node. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/daemon/daemon.h"
#include "kubelet/config_file.h"
#include "kubelet/kubelet.h"
#include "kubelet/node/machine.h"

static struct kubelet_config c = {
    .kubeconfig = "",
    .node_name = "",
    .node_ip = "",
    .root_dir = "/var/lib/kubelet",
    .logs_dir = "/var/log/pods",
    .runtime_endpoint = "unix:///run/containerd/containerd.sock",
    .address = "0.0.0.0",
    .healthz_address = "127.0.0.1",
    .client_ca_file = "",
    .cert_file = "",
    .key_file = "",
    .cluster_domain = "",
    .pod_cidr = "",
    .resolv_conf = "/etc/resolv.conf",
    .port = 10250,
    .healthz_port = 10248,
    .max_pods = 110,
    .status_ms = 10000,
    .status_report_ms = 300000,
    .lease_s = 40,
    .fail_swap_on = true,
    .register_node = true,
};
static const char *config_path = "";

static struct flag flags[] = {
    FLAG_STR("config", &config_path, "File with a KubeletConfiguration; flags win over it."),
    FLAG_STR("kubeconfig", &c.kubeconfig, "Path to the kubeconfig file of the apiserver."),
    FLAG_STR("hostname-override", &c.node_name, "Name of the node; the host's name without."),
    FLAG_STR("node-ip", &c.node_ip, "Address of the node; that of the first interface without."),
    FLAG_STR("root-dir", &c.root_dir, "Folder for volumes and the like."),
    FLAG_STR("pod-logs-dir", &c.logs_dir, "Folder for the logs of containers."),
    FLAG_STR("container-runtime-endpoint", &c.runtime_endpoint, "Socket of the CRI runtime."),
    FLAG_STR("address", &c.address, "Address that the secure port listens on."),
    FLAG_INT("port", &c.port, "The secure port."),
    FLAG_STR("healthz-bind-address", &c.healthz_address, "Address of the health port."),
    FLAG_INT("healthz-port", &c.healthz_port, "The health port; 0 for none."),
    FLAG_STR("client-ca-file", &c.client_ca_file, "Who may sign the certificates of clients."),
    FLAG_STR("tls-cert-file", &c.cert_file, "Serving certificate; self-signed without."),
    FLAG_STR("tls-private-key-file", &c.key_file, "Key of the serving certificate."),
    FLAG_STR("cluster-domain", &c.cluster_domain, "Domain of the cluster's DNS names."),
    FLAG_LIST("cluster-dns", &c.cluster_dns, "Addresses of the cluster's DNS servers."),
    FLAG_STR("pod-cidr", &c.pod_cidr, "Addresses of pods, told to the runtime."),
    FLAG_STR("resolv-conf", &c.resolv_conf, "Where pods' DNS configuration comes from."),
    FLAG_MAP("node-labels", &c.node_labels, "Labels of the Node object."),
    FLAG_LIST("register-with-taints", &c.taints, "Taints of a new Node: key=value:effect."),
    FLAG_BOOL("register-node", &c.register_node, "Make the Node object when it is not there."),
    FLAG_INT("max-pods", &c.max_pods, "How many pods may run here."),
    FLAG_DURATION("node-status-update-frequency", &c.status_ms,
                  "How often changes are looked for."),
    FLAG_MAP("system-reserved", &c.system_reserved, "Resources kept for the system."),
    FLAG_MAP("kube-reserved", &c.kube_reserved, "Resources kept for Kubernetes itself."),
    FLAG_BOOL("fail-swap-on", &c.fail_swap_on, "Do not start on a machine that swaps."),
    FLAG_NO_EFFECT("pod-manifest-path"),
    FLAG_NO_EFFECT("image-service-endpoint"),
    FLAG_NO_EFFECT("anonymous-auth"),
    FLAG_NO_EFFECT("authentication-token-webhook"),
    FLAG_NO_EFFECT("authorization-mode"),
    FLAG_NO_EFFECT("bootstrap-kubeconfig"),
    FLAG_NO_EFFECT("cert-dir"),
    FLAG_NO_EFFECT("cgroup-driver"),
    FLAG_NO_EFFECT("cgroup-root"),
    FLAG_NO_EFFECT("cgroups-per-qos"),
    FLAG_NO_EFFECT("cloud-provider"),
    FLAG_NO_EFFECT("container-log-max-files"),
    FLAG_NO_EFFECT("container-log-max-size"),
    FLAG_NO_EFFECT("enforce-node-allocatable"),
    FLAG_NO_EFFECT("event-burst"),
    FLAG_NO_EFFECT("event-qps"),
    FLAG_NO_EFFECT("eviction-hard"),
    FLAG_NO_EFFECT("eviction-soft"),
    FLAG_NO_EFFECT("feature-gates"),
    FLAG_NO_EFFECT("file-check-frequency"),
    FLAG_NO_EFFECT("image-gc-high-threshold"),
    FLAG_NO_EFFECT("image-gc-low-threshold"),
    FLAG_NO_EFFECT("kube-api-burst"),
    FLAG_NO_EFFECT("kube-api-qps"),
    FLAG_NO_EFFECT("pod-infra-container-image"),
    FLAG_NO_EFFECT("provider-id"),
    FLAG_NO_EFFECT("read-only-port"),
    FLAG_NO_EFFECT("registry-burst"),
    FLAG_NO_EFFECT("registry-qps"),
    FLAG_NO_EFFECT("rotate-certificates"),
    FLAG_NO_EFFECT("rotate-server-certificates"),
    FLAG_NO_EFFECT("runtime-request-timeout"),
    FLAG_NO_EFFECT("serialize-image-pulls"),
    FLAG_NO_EFFECT("streaming-connection-idle-timeout"),
    FLAG_NO_EFFECT("sync-frequency"),
    FLAG_NO_EFFECT("volume-plugin-dir"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Kubelet", flags)};

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
	if (!*config_path)
		return 0;
	return config_file_load(config_path, groups, ARRAY_LEN(groups), &d->arena, err);
}

static int run(struct daemon *d)
{
	struct err err = ERR_INIT;
	struct kubeconfig kc = {0};
	struct kubelet k = {0};
	int r = load_config_file(d, &err);
	if (!*c.node_name)
		c.node_name = host_name(&d->arena);
	if (!*c.node_ip)
		c.node_ip = first_address(&d->arena);
	if (!r && c.fail_swap_on && machine_has_swap())
		r = err_set(&err, ERR_INVALID,
		            "running with swap on is not supported, please disable swap or set "
		            "--fail-swap-on flag to false");
	if (!r)
		r = kubeconfig_load(c.kubeconfig, NULL, &kc, &err);
	if (!r)
		r = kubelet_start(&k, d, &c, &kc, &err);
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
	    .groups = groups,
	    .n_groups = ARRAY_LEN(groups),
	};
	struct daemon d;
	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = run(&d);
	daemon_deinit(&d);
	return r;
}
