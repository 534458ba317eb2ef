/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"

static int open_setting(const char *name, int flags)
{
	char path[128];
	snprintf(path, sizeof(path), "/proc/sys/net/netfilter/%s", name);
	return open(path, flags | O_CLOEXEC);
}

static int64_t get(const char *name)
{
	char text[32] = "";
	int fd = open_setting(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	return n > 0 ? strtoll(text, NULL, 10) : -1;
}

static void set(const char *name, int64_t value, bool raise_only)
{
	char text[32];
	int64_t now = get(name);
	if (now == value || (raise_only && now > value))
		return;
	int n = snprintf(text, sizeof(text), "%lld", (long long)value), e = 0;
	int fd = open_setting(name, O_WRONLY);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		e = errno;
	if (fd >= 0)
		close(fd);
	if (e)
		log_v(1, "Could not set a setting of connection tracking", LOG_STR("name", name),
		      LOG_INT("value", value), LOG_STR("err", strerror(e)));
}

void sysctl_conntrack(const struct proxy_config *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (c->conntrack_max_per_core > 0)
		set("nf_conntrack_max",
		    MAX(c->conntrack_max_per_core * (cpus > 0 ? cpus : 1), c->conntrack_min), true);
	if (c->tcp_established_ms > 0)
		set("nf_conntrack_tcp_timeout_established", c->tcp_established_ms / 1000, false);
	if (c->tcp_close_wait_ms > 0)
		set("nf_conntrack_tcp_timeout_close_wait", c->tcp_close_wait_ms / 1000, false);
	if (c->tcp_be_liberal)
		set("nf_conntrack_tcp_be_liberal", 1, false);
	if (c->udp_ms > 0)
		set("nf_conntrack_udp_timeout", c->udp_ms / 1000, false);
	if (c->udp_stream_ms > 0)
		set("nf_conntrack_udp_timeout_stream", c->udp_stream_ms / 1000, false);
}
