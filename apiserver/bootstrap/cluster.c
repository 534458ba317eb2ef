/* SPDX-License-Identifier: Apache-2.0 */
/* The objects that depend on this cluster's options, as JSON. */
#include <arpa/inet.h>
#include <time.h>
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "common/base/clock.h"
#include "common/codec/json_writer.h"
#include "proto/resource_table.h"

void wanted_add(struct wanted_list *l, const char *group, const char *resource, const char *ns,
                const char *name, const char *json)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 128;

		l->at = arena_grow(l->arena, l->at, l->cap * sizeof(*l->at), cap * sizeof(*l->at));
		l->cap = cap;
	}
	l->at[l->n++] = (struct wanted){resource_find(group, "v1", resource, ""), ns, name, json};
}

static bool is_ipv6(const char *address)
{
	return strchr(address, ':') != NULL;
}

/* The prefixes of --service-cluster-ip-range. */
static size_t ranges(const struct bootstrap *b, const char *ret[2])
{
	struct arena *a = (struct arena *)&b->arena;
	const char *text = b->o.service_range, *comma = text ? strchr(text, ',') : NULL;

	if (!text || !*text)
		return 0;
	ret[0] = comma ? arena_strndup(a, text, (size_t)(comma - text)) : text;
	if (comma)
		ret[1] = comma + 1;
	return comma ? 2 : 1;
}

/* The first address behind the base of the first range: the service's. "" when there is none. */
static const char *service_address(struct bootstrap *b)
{
	const char *range[2], *slash;
	unsigned char ip[16];
	char text[INET6_ADDRSTRLEN];

	if (!ranges(b, range) || !(slash = strchr(range[0], '/')))
		return "";
	int family = is_ipv6(range[0]) ? AF_INET6 : AF_INET, len = family == AF_INET ? 4 : 16;
	long bits = strtol(slash + 1, NULL, 10);

	if (inet_pton(family, arena_strndup(&b->arena, range[0], (size_t)(slash - range[0])), ip) !=
	    1)
		return "";
	for (int i = 0; i < len; i++) {
		long keep = bits - 8 * i;
		ip[i] &= (unsigned char)(keep >= 8 ? 0xff : keep <= 0 ? 0 : 0xff << (8 - keep));
	}
	for (int i = len - 1; i >= 0 && ++ip[i] == 0; i--)
		;
	return arena_strdup(&b->arena, inet_ntop(family, ip, text, sizeof(text)));
}

static void namespaces(struct wanted_list *l)
{
	static const char *const NAMES[] = {"default", "kube-system", "kube-public",
	                                    "kube-node-lease"};

	for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
		wanted_add(l, "", "namespaces", "", NAMES[i],
		           arena_printf(l->arena, "{\"metadata\":{\"name\":\"%s\"}}", NAMES[i]));
}

static void service(struct bootstrap *b, struct wanted_list *l)
{
	const char *ip = service_address(b);
	const char *family = is_ipv6(ip) ? "IPv6" : "IPv4";

	if (!*ip)
		return;
	wanted_add(l, "", "services", "default", "kubernetes",
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\","
	                        "\"labels\":{\"component\":\"apiserver\",\"provider\":"
	                        "\"kubernetes\"}},\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":"
	                        "\"%s\",\"clusterIPs\":[\"%s\"],\"ipFamilies\":[\"%s\"],"
	                        "\"ipFamilyPolicy\":\"SingleStack\",\"internalTrafficPolicy\":"
	                        "\"Cluster\",\"sessionAffinity\":\"None\",\"ports\":[{\"name\":"
	                        "\"https\",\"protocol\":\"TCP\",\"port\":443,\"targetPort\":%d}]}}",
	                        ip, ip, family, b->o.secure_port));
	wanted_add(l, "networking.k8s.io", "ipaddresses", "", ip,
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"ipaddress.kubernetes."
	                        "io/ip-family\":\"%s\",\"ipaddress.kubernetes.io/managed-by\":"
	                        "\"ipallocator.k8s.io\"}},\"spec\":{\"parentRef\":{\"resource\":"
	                        "\"services\",\"namespace\":\"default\",\"name\":\"kubernetes\"}}}",
	                        ip, family));
}

static void service_cidr(struct bootstrap *b, struct wanted_list *l)
{
	const char *range[2];
	size_t n = ranges(b, range);

	if (!n)
		return;
	wanted_add(l, "networking.k8s.io", "servicecidrs", "", "kubernetes",
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"kubernetes\"},\"spec\":{\"cidrs\":["
	                        "\"%s\"%s%s%s]}}",
	                        range[0], n > 1 ? ",\"" : "", n > 1 ? range[1] : "",
	                        n > 1 ? "\"" : ""));
}

static void name_list(struct buf *out, const char *const *names, size_t n)
{
	buf_byte(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_byte(out, ',');
		json_write_cstr(out, names[i]);
	}
	buf_byte(out, ']');
}

static void data_entry(struct buf *out, const char *key, struct slice value, bool *first)
{
	if (!*first)
		buf_byte(out, ',');
	*first = false;
	json_write_cstr(out, key);
	buf_byte(out, ':');
	json_write_string(out, value);
}

/* How aggregated API servers learn whom to trust. */
static void authentication_config(struct bootstrap *b, struct wanted_list *l)
{
	_cleanup_buf_ struct buf names = BUF_INIT;
	_cleanup_buf_ struct buf out = BUF_INIT;
	bool first = true;

	if (!b->o.client_ca_pem.len && !b->o.proxy_ca_pem.len)
		return;
	buf_str(&out, "{\"metadata\":{\"name\":\"extension-apiserver-authentication\","
	              "\"namespace\":\"kube-system\"},\"data\":{");
	if (b->o.client_ca_pem.len)
		data_entry(&out, "client-ca-file", b->o.client_ca_pem, &first);
	if (b->o.proxy_ca_pem.len) {
		name_list(&names, b->o.proxy_allowed_names, b->o.n_proxy_allowed_names);
		data_entry(&out, "requestheader-allowed-names", buf_view(&names), &first);
		data_entry(&out, "requestheader-client-ca-file", b->o.proxy_ca_pem, &first);
		data_entry(&out, "requestheader-extra-headers-prefix",
		           SLICE_LIT("[\"X-Remote-Extra-\"]"), &first);
		data_entry(&out, "requestheader-group-headers", SLICE_LIT("[\"X-Remote-Group\"]"),
		           &first);
		data_entry(&out, "requestheader-uid-headers", SLICE_LIT("[\"X-Remote-Uid\"]"),
		           &first);
		data_entry(&out, "requestheader-username-headers", SLICE_LIT("[\"X-Remote-User\"]"),
		           &first);
	}
	buf_str(&out, "}}");
	wanted_add(l, "", "configmaps", "kube-system", "extension-apiserver-authentication",
	           arena_strndup(l->arena, out.data, out.len));
}

/* Since when tokens in secrets are watched for their use. */
static void token_tracking(struct wanted_list *l)
{
	static const char NAME[] = "kube-apiserver-legacy-service-account-token-tracking";
	time_t now = (time_t)(clock_real_ns() / 1000000000);
	struct tm tm;

	gmtime_r(&now, &tm);
	wanted_add(l, "", "configmaps", "kube-system", NAME,
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"kube-system\"},"
	                        "\"data\":{\"since\":\"%04d-%02d-%02d\"}}",
	                        NAME, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday));
}

void bootstrap_cluster_objects(struct bootstrap *b, struct wanted_list *l)
{
	namespaces(l);
	service(b, l);
	service_cidr(b, l);
	authentication_config(b, l);
	token_tracking(l);
	bootstrap_api_services(l);
}

void bootstrap_endpoints(struct bootstrap *b, const char *const *addresses, size_t n,
                         struct wanted_list *l)
{
	_cleanup_buf_ struct buf old = BUF_INIT;
	_cleanup_buf_ struct buf new = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		buf_printf(&old, "%s{\"ip\":\"%s\"}", i ? "," : "", addresses[i]);
		buf_printf(&new, "%s{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true}}",
		           i ? "," : "", addresses[i]);
	}
	wanted_add(l, "", "endpoints", "default", "kubernetes",
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\","
	                        "\"labels\":{\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}}"
	                        ",\"subsets\":[{\"addresses\":[%.*s],\"ports\":[{\"name\":"
	                        "\"https\",\"port\":%d,\"protocol\":\"TCP\"}]}]}",
	                        SLICE_FMT(buf_view(&old)), b->o.secure_port));
	wanted_add(l, "discovery.k8s.io", "endpointslices", "default", "kubernetes",
	           arena_printf(l->arena,
	                        "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\","
	                        "\"labels\":{\"kubernetes.io/service-name\":\"kubernetes\"}},"
	                        "\"addressType\":\"%s\",\"endpoints\":[%.*s],\"ports\":[{\"name\":"
	                        "\"https\",\"port\":%d,\"protocol\":\"TCP\"}]}",
	                        is_ipv6(addresses[0]) ? "IPv6" : "IPv4", SLICE_FMT(buf_view(&new)),
	                        b->o.secure_port));
}
