/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/codec/duration.h"
#include "common/codec/yaml.h"

enum { CONFIG_BYTES_MAX = 1 << 20 };

struct proxy_config proxy_config = {
    .config_file = "",
    .kubeconfig = "",
    .hostname_override = "",
    .mode = "nftables",
    .healthz_address = "0.0.0.0:10256",
    .metrics_address = "127.0.0.1:10249",
    .bind_address = "0.0.0.0",
    .cluster_cidr = "",
    .detect_local_mode = "ClusterCIDR",
    .bridge_interface = "",
    .interface_prefix = "",
    .masquerade_bit = 14,
    .min_sync_ms = 1000,
    .sync_ms = 30000,
    .conntrack_max_per_core = 32768,
    .conntrack_min = 131072,
    .tcp_established_ms = 24 * 3600 * 1000,
    .tcp_close_wait_ms = 3600 * 1000,
};

#define c proxy_config
static struct flag flags[] = {
    FLAG_STR("config", &c.config_file,
             "A KubeProxyConfiguration file; it counts instead of the flags."),
    FLAG_STR("kubeconfig", &c.kubeconfig, "Path to the kubeconfig file of the apiserver."),
    FLAG_STR("hostname-override", &c.hostname_override,
             "The node's name, when it is not the host's."),
    FLAG_STR("bind-address", &c.bind_address,
             "Overrides the node's address of its family; 0.0.0.0 and :: do not."),
    FLAG_BOOL("bind-address-hard-fail", &c.bind_hard_fail,
              "End when an address of health or metrics cannot be listened on."),
    FLAG_STR("cluster-cidr", &c.cluster_cidr,
             "The networks of the pods, one a family: traffic to cluster IPs from outside them is "
             "masqueraded."),
    FLAG_STR("detect-local-mode", &c.detect_local_mode,
             "How traffic of pods is known: ClusterCIDR, NodeCIDR, BridgeInterface or "
             "InterfaceNamePrefix."),
    FLAG_STR("pod-bridge-interface", &c.bridge_interface,
             "The bridge of the pods, for BridgeInterface."),
    FLAG_STR("pod-interface-name-prefix", &c.interface_prefix,
             "How the interfaces of the pods begin, for InterfaceNamePrefix."),
    FLAG_STR("proxy-mode", &c.mode, "How rules are made: nftables is the only one."),
    FLAG_LIST(
        "nodeport-addresses", &c.node_port_addresses,
        "Networks whose addresses of this host serve node ports, or 'primary': the node's own "
        "addresses, which is the default."),
    FLAG_BOOL("masquerade-all", &c.masquerade_all, "Masquerade all traffic to cluster IPs."),
    FLAG_INT("iptables-masquerade-bit", &c.masquerade_bit,
             "The bit of the packet mark for traffic to masquerade, 0 to 31."),
    FLAG_DURATION("iptables-min-sync-period", &c.min_sync_ms,
                  "Least time between changes of the rules; two may follow at once."),
    FLAG_DURATION("iptables-sync-period", &c.sync_ms, "How often the tables are looked after."),
    FLAG_INT("conntrack-max-per-core", &c.conntrack_max_per_core,
             "Connections to track for each CPU; 0 leaves the limit as it is."),
    FLAG_INT("conntrack-min", &c.conntrack_min, "Connections to track at least."),
    FLAG_DURATION("conntrack-tcp-timeout-established", &c.tcp_established_ms,
                  "Idle time of TCP connections; 0 leaves it."),
    FLAG_DURATION("conntrack-tcp-timeout-close-wait", &c.tcp_close_wait_ms,
                  "Time of TCP connections in CLOSE_WAIT; 0 leaves it."),
    FLAG_BOOL("conntrack-tcp-be-liberal", &c.tcp_be_liberal,
              "Take TCP packets outside of the window as valid."),
    FLAG_DURATION("conntrack-udp-timeout", &c.udp_ms,
                  "Idle time of UDP connections that saw no reply; 0 leaves it."),
    FLAG_DURATION("conntrack-udp-timeout-stream", &c.udp_stream_ms,
                  "Idle time of UDP connections with replies; 0 leaves it."),
    FLAG_STR("healthz-bind-address", &c.healthz_address,
             "Address and port of /healthz and /livez; empty for none."),
    FLAG_STR("metrics-bind-address", &c.metrics_address,
             "Address and port of /metrics, /proxyMode and /rules; empty for none."),
    FLAG_BOOL("cleanup", &c.cleanup, "Remove the rules from the kernel and exit."),
    FLAG_NO_EFFECT("config-sync-period"),
    FLAG_NO_EFFECT("feature-gates"),
    FLAG_NO_EFFECT("healthz-port"),
    FLAG_NO_EFFECT("init-only"),
    FLAG_NO_EFFECT("iptables-localhost-nodeports"),
    FLAG_NO_EFFECT("ipvs-exclude-cidrs"),
    FLAG_NO_EFFECT("ipvs-min-sync-period"),
    FLAG_NO_EFFECT("ipvs-scheduler"),
    FLAG_NO_EFFECT("ipvs-strict-arp"),
    FLAG_NO_EFFECT("ipvs-sync-period"),
    FLAG_NO_EFFECT("ipvs-tcp-timeout"),
    FLAG_NO_EFFECT("ipvs-tcpfin-timeout"),
    FLAG_NO_EFFECT("ipvs-udp-timeout"),
    FLAG_NO_EFFECT("kube-api-burst"),
    FLAG_NO_EFFECT("kube-api-content-type"),
    FLAG_NO_EFFECT("kube-api-qps"),
    FLAG_NO_EFFECT("master"),
    FLAG_NO_EFFECT("metrics-port"),
    FLAG_NO_EFFECT("oom-score-adj"),
    FLAG_NO_EFFECT("profiling"),
    FLAG_NO_EFFECT("show-hidden-metrics-for-version"),
};
#undef c
const struct flag_group proxy_flag_groups[] = {FLAG_GROUP("Misc", flags)};
const size_t proxy_n_flag_groups = ARRAY_LEN(proxy_flag_groups);

/* --- KubeProxyConfiguration --- */

enum field_kind { FIELD_STR, FIELD_BOOL, FIELD_INT, FIELD_DURATION, FIELD_LIST, FIELD_NONE };

struct field {
	const char *path;
	enum field_kind kind;
	size_t offset; /* in struct proxy_config */
};

#define AT(m) offsetof(struct proxy_config, m)
static const struct field fields[] = {
    {"bindAddress", FIELD_STR, AT(bind_address)},
    {"healthzBindAddress", FIELD_STR, AT(healthz_address)},
    {"metricsBindAddress", FIELD_STR, AT(metrics_address)},
    {"bindAddressHardFail", FIELD_BOOL, AT(bind_hard_fail)},
    {"clusterCIDR", FIELD_STR, AT(cluster_cidr)},
    {"hostnameOverride", FIELD_STR, AT(hostname_override)},
    {"clientConnection.kubeconfig", FIELD_STR, AT(kubeconfig)},
    {"nftables.masqueradeBit", FIELD_INT, AT(masquerade_bit)},
    {"nftables.masqueradeAll", FIELD_BOOL, AT(masquerade_all)},
    {"nftables.syncPeriod", FIELD_DURATION, AT(sync_ms)},
    {"nftables.minSyncPeriod", FIELD_DURATION, AT(min_sync_ms)},
    {"detectLocalMode", FIELD_STR, AT(detect_local_mode)},
    {"detectLocal.bridgeInterface", FIELD_STR, AT(bridge_interface)},
    {"detectLocal.interfaceNamePrefix", FIELD_STR, AT(interface_prefix)},
    {"mode", FIELD_STR, AT(mode)},
    {"nodePortAddresses", FIELD_LIST, AT(node_port_addresses)},
    {"conntrack.maxPerCore", FIELD_INT, AT(conntrack_max_per_core)},
    {"conntrack.min", FIELD_INT, AT(conntrack_min)},
    {"conntrack.tcpEstablishedTimeout", FIELD_DURATION, AT(tcp_established_ms)},
    {"conntrack.tcpCloseWaitTimeout", FIELD_DURATION, AT(tcp_close_wait_ms)},
    {"conntrack.tcpBeLiberal", FIELD_BOOL, AT(tcp_be_liberal)},
    {"conntrack.udpTimeout", FIELD_DURATION, AT(udp_ms)},
    {"conntrack.udpStreamTimeout", FIELD_DURATION, AT(udp_stream_ms)},
    /* Known, and without effect here. */
    {"apiVersion", FIELD_NONE, 0},
    {"kind", FIELD_NONE, 0},
    {"clientConnection.acceptContentTypes", FIELD_NONE, 0},
    {"clientConnection.contentType", FIELD_NONE, 0},
    {"clientConnection.qps", FIELD_NONE, 0},
    {"clientConnection.burst", FIELD_NONE, 0},
    {"enableProfiling", FIELD_NONE, 0},
    {"featureGates", FIELD_NONE, 0},
    {"iptables", FIELD_NONE, 0},
    {"ipvs", FIELD_NONE, 0},
    {"winkernel", FIELD_NONE, 0},
    {"windowsRunAsService", FIELD_NONE, 0},
    {"oomScoreAdj", FIELD_NONE, 0},
    {"portRange", FIELD_NONE, 0},
    {"configSyncPeriod", FIELD_NONE, 0},
    {"logging", FIELD_NONE, 0},
    {"showHiddenMetricsForVersion", FIELD_NONE, 0},
};

static const struct field *find_field(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!strcmp(fields[i].path, path))
			return &fields[i];
	return NULL;
}

static int wrong_type(const char *path, const char *want, struct err *err)
{
	return err_set(err, ERR_BAD_REQUEST, "KubeProxyConfiguration.%s: must be %s", path, want);
}

static int set_field(struct proxy_config *c, const struct field *f, const struct jvalue *v,
                     struct err *err)
{
	void *to = (char *)c + f->offset;
	int64_t ns;
	if (f->kind == FIELD_NONE || v->kind == JVALUE_NULL)
		return 0;
	switch (f->kind) {
	case FIELD_STR:
		if (v->kind != JVALUE_STRING)
			return wrong_type(f->path, "a string", err);
		*(const char **)to = v->str;
		return 0;
	case FIELD_BOOL:
		if (v->kind != JVALUE_BOOL)
			return wrong_type(f->path, "a boolean", err);
		*(bool *)to = v->b;
		return 0;
	case FIELD_INT:
		if (v->kind != JVALUE_INT)
			return wrong_type(f->path, "an integer", err);
		*(int64_t *)to = v->i;
		return 0;
	case FIELD_DURATION:
		if (v->kind != JVALUE_STRING || duration_parse(jvalue_slice(v), &ns, NULL))
			return wrong_type(f->path, "a duration such as 30s", err);
		*(int64_t *)to = ns / 1000000;
		return 0;
	case FIELD_LIST:
		if (v->kind != JVALUE_ARRAY)
			return wrong_type(f->path, "a list of strings", err);
		vec_clear((flag_list *)to);
		for (uint32_t i = 0; i < v->n; i++) {
			if (v->items[i]->kind != JVALUE_STRING)
				return wrong_type(f->path, "a list of strings", err);
			*vec_push((flag_list *)to) = v->items[i]->str;
		}
		return 0;
	case FIELD_NONE:
		break;
	}
	return 0;
}

static int set_fields(struct proxy_config *c, const struct jvalue *obj, const char *prefix,
                      struct arena *a, struct err *err)
{
	for (uint32_t i = 0; i < obj->n; i++) {
		const struct jmember *m = &obj->members[i];
		const char *path = arena_printf(a, "%s%s", prefix, m->key);
		const struct field *f = find_field(path);
		int r = 0;
		if (f)
			r = set_field(c, f, m->value, err);
		else if (m->value->kind == JVALUE_OBJECT && !*prefix)
			r = set_fields(c, m->value, arena_printf(a, "%s.", path), a, err);
		else
			log_warning("Unknown field in the configuration file",
			            LOG_STR("field", path));
		if (r)
			return r;
	}
	return 0;
}

int proxy_config_parse(struct proxy_config *c, struct slice yaml, struct arena *a, struct err *err)
{
	struct jvalue *v;
	int r = yaml_parse(yaml, a, NULL, &v, err);
	if (r)
		return r;
	if (v->kind != JVALUE_OBJECT ||
	    strcmp(jvalue_get_str(v, "kind", ""), "KubeProxyConfiguration") ||
	    strcmp(jvalue_get_str(v, "apiVersion", ""), "kubeproxy.config.k8s.io/v1alpha1"))
		return err_set(err, ERR_BAD_REQUEST,
		               "not a KubeProxyConfiguration of "
		               "kubeproxy.config.k8s.io/v1alpha1");
	return set_fields(c, v, "", a, err);
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = 0;
	if (fd < 0)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	for (;;) {
		buf_reserve(out, 65536);
		ssize_t n = read(fd, out->data + out->len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
		if (n <= 0)
			break;
		out->len += (size_t)n;
		if (out->len > CONFIG_BYTES_MAX) {
			r = err_set(err, ERR_TOO_LARGE, "%s: larger than %d bytes", path,
			            CONFIG_BYTES_MAX);
			break;
		}
	}
	close(fd);
	return r;
}

/* --- checks --- */

/* Comma-separated networks; false when one is none. */
static bool parse_cidrs(const char *list, cidr_list *out)
{
	bool valid = true;
	for (const char *p = list; *p;) {
		char text[64];
		struct cidr net;
		size_t n = strcspn(p, ",");
		snprintf(text, sizeof(text), "%.*s", (int)MIN(n, sizeof(text)), p);
		if (cidr_parse(text, &net))
			*vec_push(out) = net;
		else
			valid = false;
		p += n + (p[n] == ',');
	}
	return valid;
}

static int check_cidrs(const struct proxy_config *c, struct err *err)
{
	cidr_list list = {0};
	bool valid = parse_cidrs(c->cluster_cidr, &list) && list.n <= 2 &&
	             (list.n < 2 || list.at[0].family != list.at[1].family);
	vec_deinit(&list);
	if (!valid)
		return err_set(err, ERR_BAD_REQUEST,
		               "invalid cluster CIDR \"%s\": at most one network a family",
		               c->cluster_cidr);
	VEC_FOREACH (&c->node_port_addresses, it) {
		struct cidr net;
		if (!cidr_parse(*it, &net) &&
		    (strcmp(*it, "primary") || c->node_port_addresses.n > 1))
			return err_set(err, ERR_BAD_REQUEST, "invalid node port address \"%s\"",
			               *it);
	}
	return 0;
}

int proxy_config_check(const struct proxy_config *c, struct err *err)
{
	static const char *const modes[] = {"ClusterCIDR", "NodeCIDR", "BridgeInterface",
	                                    "InterfaceNamePrefix"};
	bool known = !*c->detect_local_mode;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		known |= !strcmp(c->detect_local_mode, modes[i]);
	if (*c->mode && strcmp(c->mode, "nftables"))
		return err_set(err, ERR_BAD_REQUEST,
		               "proxy mode \"%s\" is not supported: use nftables", c->mode);
	if (!known)
		return err_set(err, ERR_BAD_REQUEST, "unknown detect-local-mode: %s",
		               c->detect_local_mode);
	if (strlen(c->bridge_interface) >= 16 || strlen(c->interface_prefix) >= 16)
		return err_set(err, ERR_BAD_REQUEST, "an interface has at most 15 characters");
	if (!strcmp(c->detect_local_mode, "BridgeInterface") && !*c->bridge_interface)
		return err_set(err, ERR_BAD_REQUEST, "BridgeInterface needs the bridge's name");
	if (!strcmp(c->detect_local_mode, "InterfaceNamePrefix") && !*c->interface_prefix)
		return err_set(err, ERR_BAD_REQUEST, "InterfaceNamePrefix needs a prefix");
	if (c->masquerade_bit < 0 || c->masquerade_bit > 31)
		return err_set(err, ERR_BAD_REQUEST, "masqueradeBit: must be within 0 and 31");
	if (c->min_sync_ms < 0 || c->sync_ms < 1000 || c->min_sync_ms > c->sync_ms)
		return err_set(err, ERR_BAD_REQUEST,
		               "syncPeriod must be at least 1s and at least minSyncPeriod");
	return check_cidrs(c, err);
}

int proxy_config_load(struct proxy_config *c, struct arena *a, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	if (*c->config_file) {
		int r = read_file(c->config_file, &text, err);
		if (!r)
			r = proxy_config_parse(c, buf_view(&text), a, err);
		if (r)
			return err_prefix(err, "%s", c->config_file);
	}
	return proxy_config_check(c, err);
}

bool proxy_config_primary_node_ports(const struct proxy_config *c)
{
	return !c->node_port_addresses.n || !strcmp(c->node_port_addresses.at[0], "primary");
}

void proxy_config_layout(const struct proxy_config *c, struct layout_config *ret)
{
	*ret = (struct layout_config){.masquerade_all = c->masquerade_all,
	                              .masquerade_bit = (unsigned)c->masquerade_bit & 31,
	                              .pod_traffic = POD_TRAFFIC_CIDR};
	const char *interface = "";
	if (!strcmp(c->detect_local_mode, "BridgeInterface")) {
		ret->pod_traffic = POD_TRAFFIC_BRIDGE;
		interface = c->bridge_interface;
	} else if (!strcmp(c->detect_local_mode, "InterfaceNamePrefix")) {
		ret->pod_traffic = POD_TRAFFIC_PREFIX;
		interface = c->interface_prefix;
	}
	snprintf(ret->pod_interface, sizeof(ret->pod_interface), "%s", interface);
	/* NodeCIDR: the node tells its networks later. */
	if (strcmp(c->detect_local_mode, "NodeCIDR"))
		parse_cidrs(c->cluster_cidr, &ret->pod_cidrs);
	if (!proxy_config_primary_node_ports(c))
		VEC_FOREACH (&c->node_port_addresses, it)
			parse_cidrs(*it, &ret->node_ports);
}
