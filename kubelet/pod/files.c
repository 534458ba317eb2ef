/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/rng.h"

int folder_make(const char *path, mode_t mode, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	char *p = arena_strdup(&a, path);
	for (char *s = strchr(p + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		mkdir(p, 0755);
		*s = '/';
	}
	if (mkdir(p, mode) && errno != EEXIST)
		return err_set(err, ERR_IO, "mkdir %s: %s", path, strerror(errno));
	return 0;
}

static int file_write(const char *path, struct slice text, mode_t mode, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
	ssize_t n = text.len ? write(fd, text.data, text.len) : 0;
	int failed = n != (ssize_t)text.len || fchmod(fd, mode);
	close(fd);
	return failed ? err_set(err, ERR_IO, "write %s: %s", path, strerror(errno)) : 0;
}

bool file_read(const char *path, size_t max_bytes, struct arena *a, struct slice *ret)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	char *text = arena_alloc(a, max_bytes + 1);
	size_t n = fread(text, 1, max_bytes + 1, f);
	fclose(f);
	*ret = slice_of(text, n);
	return n <= max_bytes;
}

static void host_own_hosts(struct buf *b)
{
	char chunk[4096];
	FILE *f = fopen("/etc/hosts", "re");
	buf_str(b, "# Kubernetes-managed hosts file (host network).\n");
	for (size_t n; f && (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(b, chunk, n);
	if (f)
		fclose(f);
}

static void pod_hosts(const struct pod *p, struct buf *b)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	const char *name = s->hostname && *s->hostname ? s->hostname : p->name;
	buf_str(b, "# Kubernetes-managed hosts file.\n"
	           "127.0.0.1\tlocalhost\n"
	           "::1\tlocalhost ip6-localhost ip6-loopback\n"
	           "fe00::0\tip6-localnet\n"
	           "fe00::0\tip6-mcastprefix\n"
	           "fe00::1\tip6-allnodes\n"
	           "fe00::2\tip6-allrouters\n");
	for (size_t i = 0; p->rt.n_sandboxes && i < p->rt.sandboxes[0].n_ips; i++) {
		buf_str(b, p->rt.sandboxes[0].ips[i]);
		if (s->subdomain && *s->subdomain)
			buf_printf(b, "\t%s.%s.%s.svc.%s", name, s->subdomain, p->ns,
			           p->k->config->cluster_domain);
		buf_printf(b, "\t%s\n", name);
	}
}

const char *hosts_file_write(struct pod *p, struct arena *a, struct err *err)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (s->host_network)
		host_own_hosts(&b);
	else
		pod_hosts(p, &b);
	if (s->n_host_aliases)
		buf_str(&b, "\n# Entries added by HostAliases.\n");
	for (size_t i = 0; i < s->n_host_aliases; i++) {
		const CoreV1__HostAlias *h = s->host_aliases[i];
		buf_str(&b, h->ip);
		for (size_t k = 0; k < h->n_hostnames; k++)
			buf_printf(&b, "\t%s", h->hostnames[k]);
		buf_byte(&b, '\n');
	}
	const char *path = pod_dir(p, a, "etc-hosts");
	if (folder_make(pod_dir(p, a, ""), 0750, err) || file_write(path, buf_view(&b), 0644, err))
		return NULL;
	return path;
}

const char *termination_file_make(struct pod *p, const char *container, struct arena *a,
                                  struct err *err)
{
	uint32_t random;
	rng_system(&random, sizeof(random));
	const char *dir = pod_dir(p, a, arena_printf(a, "containers/%s", container));
	const char *path = arena_printf(a, "%s/%08x", dir, random);
	if (folder_make(dir, 0750, err) || file_write(path, SLICE_EMPTY, 0666, err))
		return NULL;
	return path;
}

int log_folder_make(struct pod *p, const char *container, struct arena *a, struct err *err)
{
	return folder_make(arena_printf(a, "%s/%s", pod_log_dir(p, a), container), 0755, err);
}
