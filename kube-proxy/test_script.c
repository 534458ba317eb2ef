/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/test_script.h"

#include <stdio.h>

#include "proto/json_decode.h"
#include "proto/schema_messages.h"

void script_init(struct script *s)
{
	*s = (struct script){.state = proxy_state_new(), .node = "n1"};
	s->config.pod_traffic = POD_TRAFFIC_CIDR;
	s->config.masquerade_bit = 14;
}

void script_deinit(struct script *s)
{
	proxy_state_free(s->state);
	layout_config_deinit(&s->config);
}

/* The value of "name=value" among the words of a line; "" when it is not there. */
static const char *option(struct arena *a, const char *line, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = line; (at = strstr(at, name)); at += n)
		if (at > line && at[-1] == ' ' && at[n] == '=')
			return arena_strndup(a, at + n + 1, strcspn(at + n + 1, " "));
	return "";
}

/* Calls put for each part of a comma-separated list. */
static void each(struct arena *a, const char *list, struct buf *out,
                 void (*put)(struct arena *a, const char *part, struct buf *out))
{
	buf_byte(out, '[');
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ",");
		if (p != list)
			buf_byte(out, ',');
		put(a, arena_strndup(a, p, n), out);
		p += n + (p[n] == ',');
	}
	buf_byte(out, ']');
}

static void put_string(struct arena *a, const char *part, struct buf *out)
{
	(void)a;
	buf_printf(out, "\"%s\"", part);
}

static void put_ingress(struct arena *a, const char *part, struct buf *out)
{
	(void)a;
	size_t n = strcspn(part, "*"); /* a star: mode Proxy */
	buf_printf(out, "{\"ip\":\"%.*s\",\"ipMode\":\"%s\"}", (int)n, part,
	           part[n] ? "Proxy" : "VIP");
}

/* name:port/PROTOCOL[:nodePort] */
static void put_port(struct arena *a, const char *part, struct buf *out)
{
	(void)a;
	char name[64], protocol[16] = "TCP";
	int port = 0, node_port = 0;
	sscanf(part, "%63[^:]:%d/%15[A-Z]:%d", name, &port, protocol, &node_port);
	buf_printf(out, "{\"name\":\"%s\",\"port\":%d,\"protocol\":\"%s\"", name, port, protocol);
	if (node_port)
		buf_printf(out, ",\"nodePort\":%d", node_port);
	buf_byte(out, '}');
}

static void put_endpoint(struct arena *a, const char *part, struct buf *out)
{
	size_t n = strcspn(part, "@!~^=");
	buf_printf(out, "{\"addresses\":[\"%.*s\"]", (int)n, part);
	const char *zone = NULL, *node_hint = NULL;
	bool ready = true, terminating = false;
	for (const char *p = part + n; *p;) {
		char kind = *p++;
		size_t len = strcspn(p, "@!~^=");
		const char *value = arena_strndup(a, p, len);
		if (kind == '@')
			buf_printf(out, ",\"nodeName\":\"%s\"", value);
		zone = kind == '^' ? value : zone;
		node_hint = kind == '=' ? value : node_hint;
		ready &= kind != '!' && kind != '~';
		terminating |= kind == '~';
		p += len;
	}
	buf_printf(out, ",\"conditions\":{\"ready\":%s,\"serving\":%s,\"terminating\":%s}",
	           ready ? "true" : "false", ready || terminating ? "true" : "false",
	           terminating ? "true" : "false");
	if (zone || node_hint)
		buf_str(out, ",\"hints\":{");
	if (zone)
		buf_printf(out, "\"forZones\":[{\"name\":\"%s\"}]%s", zone, node_hint ? "," : "");
	if (node_hint)
		buf_printf(out, "\"forNodes\":[{\"name\":\"%s\"}]", node_hint);
	buf_str(out, zone || node_hint ? "}}" : "}");
}

/* "kind ns/name ..." -> the metadata */
static void put_meta(struct arena *a, const char *line, const char *labels, struct buf *out)
{
	const char *key = strchr(line, ' ') + 1, *slash = strchr(key, '/');
	if (!slash)
		slash = key;
	const char *name = arena_strndup(a, slash + 1, strcspn(slash + 1, " "));
	buf_printf(out, "\"metadata\":{\"namespace\":\"%.*s\",\"name\":\"%s\"%s}",
	           (int)(slash - key), key, name, labels);
}

static void service_json(struct arena *a, const char *line, struct buf *b)
{
	const char *ips = option(a, line, "ip"), *policy = option(a, line, "policy");
	const char *type = option(a, line, "type"), *affinity = option(a, line, "affinity");
	const char *internal = option(a, line, "internal"), *health = option(a, line, "health");
	const char *lb = option(a, line, "lb");
	buf_str(b, "{\"kind\":\"Service\",");
	put_meta(a, line, "", b);
	buf_printf(b, ",\"spec\":{\"clusterIP\":\"%.*s\",\"type\":\"%s\",\"clusterIPs\":",
	           (int)strcspn(ips, ","), ips,
	           *type ? type
	           : *lb ? "LoadBalancer"
	                 : "ClusterIP");
	each(a, ips, b, put_string);
	buf_str(b, ",\"ports\":");
	each(a, option(a, line, "ports"), b, put_port);
	buf_str(b, ",\"externalIPs\":");
	each(a, option(a, line, "external"), b, put_string);
	buf_str(b, ",\"loadBalancerSourceRanges\":");
	each(a, option(a, line, "ranges"), b, put_string);
	if (*internal)
		buf_printf(b, ",\"internalTrafficPolicy\":\"%s\"", internal);
	if (*policy)
		buf_printf(b, ",\"externalTrafficPolicy\":\"%s\"", policy);
	if (*health)
		buf_printf(b, ",\"healthCheckNodePort\":%s", health);
	if (*affinity)
		buf_printf(b,
		           ",\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":"
		           "{\"clientIP\":{\"timeoutSeconds\":%s}}",
		           affinity);
	buf_str(b, "},\"status\":{\"loadBalancer\":{\"ingress\":");
	each(a, lb, b, put_ingress);
	buf_str(b, "}}}");
}

static void slice_json(struct arena *a, const char *line, struct buf *b)
{
	const char *eps = option(a, line, "eps");
	bool v6 = memchr(eps, ':', strcspn(eps, ",")) != NULL;
	buf_str(b, "{\"kind\":\"EndpointSlice\",");
	put_meta(a, line,
	         arena_printf(a, ",\"labels\":{\"kubernetes.io/service-name\":\"%s\"}",
	                      option(a, line, "of")),
	         b);
	buf_printf(b, ",\"addressType\":\"%s\",\"ports\":", v6 ? "IPv6" : "IPv4");
	each(a, option(a, line, "ports"), b, put_port);
	buf_str(b, ",\"endpoints\":");
	each(a, eps, b, put_endpoint);
	buf_byte(b, '}');
}

static int apply_json(struct script *s, struct arena *a, struct slice json, struct err *err)
{
	struct jvalue *v;
	ProtobufCMessage *m;
	struct type_meta meta;
	int r = jvalue_parse(json, a, NULL, &v, err);
	if (r)
		return r;
	const char *ns = jvalue_get_str(jvalue_get(v, "metadata"), "namespace", "");
	const char *name = jvalue_get_str(jvalue_get(v, "metadata"), "name", "");
	const char *key = arena_printf(a, "%s/%s", ns, name);
	bool service = !strcmp(jvalue_get_str(v, "kind", ""), "Service");
	r = json_decode_tree(service ? &core_v1__service_schema
	                             : &discovery_v1__endpoint_slice_schema,
	                     v, a, NULL, &m, &meta, err);
	if (r)
		return r;
	if (service)
		proxy_state_set_service(s->state, key, service_parse((void *)m));
	else
		proxy_state_set_slice(s->state, key,
		                      endpoint_slice_parse((void *)m, s->node, s->zone));
	return 0;
}

static void add_cidrs(const char *list, cidr_list *out)
{
	for (const char *p = list; *p;) {
		char text[64];
		size_t n = strcspn(p, ",");
		struct cidr c;
		snprintf(text, sizeof(text), "%.*s", (int)n, p);
		if (cidr_parse(text, &c))
			*vec_push(out) = c;
		p += n + (p[n] == ',');
	}
}

static void set_config(struct script *s, struct arena *a, const char *line)
{
	struct layout_config *c = &s->config;
	const char *bridge = option(a, line, "bridge");
	layout_config_deinit(c);
	c->pod_traffic = *bridge ? POD_TRAFFIC_BRIDGE : POD_TRAFFIC_CIDR;
	snprintf(c->pod_interface, sizeof(c->pod_interface), "%s", bridge);
	add_cidrs(option(a, line, "pods"), &c->pod_cidrs);
	add_cidrs(option(a, line, "nodeports"), &c->node_ports);
	add_cidrs(option(a, line, "nodeips"), &c->node_ips);
	add_cidrs(option(a, line, "services"), &c->service_cidrs);
	c->masquerade_all = strstr(line, "masquerade-all") != NULL;
	proxy_state_set_config(s->state, c);
}

static bool starts(const char *line, const char *word)
{
	size_t n = strlen(word);
	return !strncmp(line, word, n) && (line[n] == ' ' || !line[n]);
}

int script_line(struct script *s, const char *line, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *arg = strchr(line, ' ') ? strchr(line, ' ') + 1 : "";
	if (*line == '{')
		return apply_json(s, &a, slice_str(line), err);
	if (starts(line, "service") && *arg) {
		service_json(&a, line, &b);
		return apply_json(s, &a, buf_view(&b), err);
	}
	if (starts(line, "slice") && *arg) {
		slice_json(&a, line, &b);
		return apply_json(s, &a, buf_view(&b), err);
	}
	if (starts(line, "delete-service"))
		proxy_state_set_service(s->state, arg, NULL);
	else if (starts(line, "delete-slice"))
		proxy_state_set_slice(s->state, arg, NULL);
	else if (starts(line, "config"))
		set_config(s, &a, line);
	else if (starts(line, "node")) {
		snprintf(s->node, sizeof(s->node), "%.*s", (int)strcspn(arg, " "), arg);
		snprintf(s->zone, sizeof(s->zone), "%s", option(&a, line, "zone"));
	} else if (*line && *line != '#') {
		return err_set(err, ERR_BAD_REQUEST, "no such line: %s", line);
	}
	return 0;
}
