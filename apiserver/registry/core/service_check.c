/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/service.h"

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
static const char lb_only[] = "may only be used when `type` is 'LoadBalancer'";

static void check_one_port(errs_t errs, path_t p, const CoreV1__ServiceSpec *s, size_t i,
                           struct index *seen)
{
	const CoreV1__ServicePort *port = s->ports[i];

	if (s->n_ports > 1 && !*port->name) {
		field_required(errs, FIELD(p, "name"), "");
	} else if (*port->name) {
		check_name(errs, FIELD(p, "name"), port->name, names_dns1123_label);
		if (!index_add(seen, port->name, 0)) {
			field_duplicate(errs, FIELD(p, "name"), port->name);
		}
	}
	check_port(errs, FIELD(p, "port"), port->port);
	check_required_enum(errs, FIELD(p, "protocol"), port->protocol, protocols);
	check_port_or_name(errs, FIELD(p, "targetPort"), port->target_port);
	if (port->app_protocol)
		check_name(errs, FIELD(p, "appProtocol"), port->app_protocol, names_qualified);
	if (port->node_port && !service_needs_node_port(s) && !service_is(s, "LoadBalancer"))
		field_add(errs, FIELD_FORBIDDEN, FIELD(p, "nodePort"), NULL,
		          "may not be used when `type` is '%s'", s->type);
	if (service_is(s, "LoadBalancer") && port->port == 10250)
		field_invalid_int(
		    errs, FIELD(p, "port"), port->port,
		    "may not expose port 10250 externally since it is used by kubelet");
}

/* A port and a node port stand for one thing in each protocol. */
static void check_port_pairs(errs_t errs, path_t p, const CoreV1__ServicePort *b,
                             struct index *ports, struct index *node_ports)
{
	static const char form[] = "{\"Name\":\"\",\"Protocol\":\"%s\",\"AppProtocol\":null,"
	                           "\"Port\":%d,\"TargetPort\":0,\"NodePort\":%d}";
	const char *port = arena_printf(errs->arena, form, b->protocol, b->port, 0);
	const char *node_port = arena_printf(errs->arena, form, b->protocol, 0, b->node_port);

	if (!index_add(ports, port, 0))
		field_add(errs, FIELD_DUPLICATE, p, port, "%s", "");
	else if (b->node_port && !index_add(node_ports, node_port, 0))
		field_add(errs, FIELD_DUPLICATE, FIELD(p, "nodePort"), node_port, "%s", "");
}

static void check_ports(errs_t errs, const CoreV1__ServiceSpec *s)
{
	path_t p = FIELD(NULL, "spec.ports");
	struct index names = INDEX_IN(errs->arena), ports = names, node_ports = names;

	if (!s->n_ports && !service_is_headless(s) && !service_is(s, "ExternalName"))
		field_required(errs, p, "");
	for (size_t i = 0; i < s->n_ports; i++) {
		check_one_port(errs, FIELD_INDEX(p, i), s, i, &names);
		check_port_pairs(errs, FIELD_INDEX(p, i), s->ports[i], &ports, &node_ports);
	}
}

static void check_affinity(errs_t errs, const CoreV1__ServiceSpec *s)
{
	const CoreV1__SessionAffinityConfig *c = s->session_affinity_config;
	path_t p = FIELD(NULL, "spec.sessionAffinityConfig");

	if (!check_required_enum(errs, FIELD(NULL, "spec.sessionAffinity"), s->session_affinity,
	                         LIST("ClientIP", "None")))
		return;
	if (!strcmp(s->session_affinity, "None")) {
		if (c)
			field_forbidden(errs, p, "must not be set when session affinity is None");
	} else if (!c || !c->client_ip || !c->client_ip->has_timeout_seconds) {
		field_required(errs, FIELD(p, "clientIP.timeoutSeconds"),
		               "when session affinity type is ClientIP");
	} else if (c->client_ip->timeout_seconds <= 0 || c->client_ip->timeout_seconds > 86400) {
		field_invalid_int(errs, FIELD(p, "clientIP.timeoutSeconds"),
		                  c->client_ip->timeout_seconds,
		                  "must be greater than 0 and less than 86400");
	}
}

/* Addresses that a Service cannot be reached at. */
static void check_special_ip(errs_t errs, path_t p, const char *text)
{
	struct ip ip;

	if (!ip_parse_sloppy(text, &ip))
		return;
	if (ip_is_unspecified(&ip))
		field_invalid(errs, p, text, "may not be unspecified (0.0.0.0 or ::)");
	if (ip_is_loopback(&ip))
		field_invalid(errs, p, text,
		              "may not be in the loopback range (127.0.0.0/8, ::1/128)");
	if (ip_is_link_local(&ip))
		field_invalid(errs, p, text,
		              "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
	if (ip_is_link_local_multicast(&ip))
		field_invalid(
		    errs, p, text,
		    "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

static void check_external(errs_t errs, const CoreV1__ServiceSpec *s)
{
	path_t policy = FIELD(NULL, "spec.externalTrafficPolicy");

	for (size_t i = 0; i < s->n_external_ips; i++) {
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.externalIPs"), i);
		if (check_name(errs, p, s->external_ips[i], names_ip))
			check_special_ip(errs, p, s->external_ips[i]);
	}
	if (!service_is_external(s)) {
		if (*s->external_traffic_policy)
			field_invalid(errs, policy, s->external_traffic_policy,
			              "may only be set for externally-accessible services");
	} else {
		check_required_enum(errs, policy, s->external_traffic_policy,
		                    LIST("Cluster", "Local"));
	}
	if (!service_needs_health_port(s) && s->health_check_node_port)
		field_invalid_int(errs, FIELD(NULL, "spec.healthCheckNodePort"),
		                  s->health_check_node_port,
		                  "may only be set when `type` is 'LoadBalancer' and "
		                  "`externalTrafficPolicy` is 'Local'");
	if (service_is(s, "ExternalName"))
		return;
	if (!s->internal_traffic_policy)
		field_required(errs, FIELD(NULL, "spec.internalTrafficPolicy"), "");
	else
		check_enum(errs, FIELD(NULL, "spec.internalTrafficPolicy"),
		           s->internal_traffic_policy, LIST("Cluster", "Local"));
}

static void check_load_balancer(errs_t errs, const CoreV1__ServiceSpec *s)
{
	path_t ranges = FIELD(NULL, "spec.loadBalancerSourceRanges");
	bool is_lb = service_is(s, "LoadBalancer");

	if (s->n_load_balancer_source_ranges && !is_lb)
		field_forbidden(errs, ranges, lb_only);
	for (size_t i = 0; i < s->n_load_balancer_source_ranges; i++)
		check_name(errs, FIELD_INDEX(ranges, i), s->load_balancer_source_ranges[i],
		           names_cidr);
	path_t ports = FIELD(NULL, "spec.allocateLoadBalancerNodePorts");
	if (is_lb && !s->has_allocate_load_balancer_node_ports)
		field_required(errs, ports, "");
	if (!is_lb && s->has_allocate_load_balancer_node_ports)
		field_forbidden(errs, ports, lb_only);
	if (!s->load_balancer_class)
		return;
	if (!is_lb)
		field_forbidden(errs, FIELD(NULL, "spec.loadBalancerClass"), lb_only);
	check_name(errs, FIELD(NULL, "spec.loadBalancerClass"), s->load_balancer_class,
	           names_qualified);
}

static void check_families(const struct strategy_ctx *ctx, errs_t errs,
                           const CoreV1__ServiceSpec *s)
{
	const char *families[2];
	size_t n = service_families(ctx, families);
	path_t p = FIELD(NULL, "spec.ipFamilies"), policy = FIELD(NULL, "spec.ipFamilyPolicy");
	bool floating = service_is_headless(s) && !s->n_selector;

	if (s->ip_family_policy &&
	    check_enum(errs, policy, s->ip_family_policy,
	               LIST("PreferDualStack", "RequireDualStack", "SingleStack")) &&
	    !strcmp(s->ip_family_policy, "RequireDualStack") && n < 2 && !floating)
		field_invalid(errs, policy, s->ip_family_policy,
		              "this cluster is not configured for dual-stack services");
	if (s->ip_family_policy && !strcmp(s->ip_family_policy, "SingleStack") &&
	    s->n_ip_families == 2)
		field_invalid(
		    errs, policy, s->ip_family_policy,
		    "may be 'PreferDualStack' or 'RequireDualStack' when multiple ipFamilies "
		    "are specified");
	for (size_t i = 0; i < s->n_ip_families; i++) {
		const char *f = s->ip_families[i];
		bool configured = floating;
		if (!check_enum(errs, FIELD_INDEX(p, i), f, LIST("IPv4", "IPv6")))
			continue;
		for (size_t j = 0; j < n; j++)
			configured |= !strcmp(families[j], f);
		if (!configured)
			field_invalid(errs, FIELD_INDEX(p, i), f, "not configured on this cluster");
		if (i && !strcmp(s->ip_families[0], f))
			field_duplicate(errs, FIELD_INDEX(p, i), f);
	}
	if (s->n_ip_families > 2)
		field_invalid_json(errs, p, json_of_strings(errs, s->ip_families, s->n_ip_families),
		                   "may only hold up to 2 values");
}

static void check_cluster_ip(errs_t errs, path_t p, const CoreV1__ServiceSpec *s, size_t i)
{
	const char *text = s->cluster_ips[i];

	if (!strcmp(text, "None")) {
		if (s->n_cluster_ips > 1)
			field_invalid(errs, p, text, "'None' must be the first and only value");
		if (service_is(s, "NodePort") || service_is(s, "LoadBalancer"))
			field_add(errs, FIELD_INVALID, p, "\"None\"",
			          "may not be set to 'None' for %s services", s->type);
		return;
	}
	if (!check_name(errs, p, text, names_ip) || i >= s->n_ip_families)
		return;
	bool v6 = strchr(text, ':');
	if (v6 != !strcmp(s->ip_families[i], "IPv6"))
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, text),
		          "expected an %s value as indicated by `ipFamilies[%zu]`",
		          s->ip_families[i], i);
}

static void check_cluster_ips(const struct strategy_ctx *ctx, errs_t errs,
                              const CoreV1__ServiceSpec *s)
{
	path_t p = FIELD(NULL, "spec.clusterIPs");

	if (service_is(s, "ExternalName")) {
		static const char text[] = "may not be set for ExternalName services";
		if (s->n_cluster_ips)
			field_forbidden(errs, p, text);
		if (s->n_ip_families)
			field_forbidden(errs, FIELD(NULL, "spec.ipFamilies"), text);
		if (s->ip_family_policy)
			field_forbidden(errs, FIELD(NULL, "spec.ipFamilyPolicy"), text);
		return;
	}
	check_families(ctx, errs, s);
	if (s->n_cluster_ips && !*s->cluster_ip)
		field_invalid_json(errs, p, json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "must be empty when `clusterIP` is not specified");
	else if (s->n_cluster_ips && strcmp(s->cluster_ips[0], s->cluster_ip))
		field_invalid_json(errs, p, json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "first value must match `clusterIP`");
	if (s->n_cluster_ips > 2)
		field_invalid_json(errs, p, json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "may only hold up to 2 values");
	for (size_t i = 0; i < s->n_cluster_ips; i++)
		check_cluster_ip(errs, FIELD_INDEX(p, i), s, i);
}

void service_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;

	if (!check_required_enum(errs, FIELD(NULL, "spec.type"), s->type,
	                         LIST("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")))
		return;
	check_ports(errs, s);
	if (service_is(s, "ExternalName") &&
	    check_required(errs, FIELD(NULL, "spec.externalName"), s->external_name)) {
		size_t n = strlen(s->external_name);
		check_name(errs, FIELD(NULL, "spec.externalName"),
		           arena_strndup(errs->arena, s->external_name,
		                         n - (s->external_name[n - 1] == '.')),
		           names_dns1123_subdomain);
	}
	check_labels(errs, FIELD(NULL, "spec.selector"), STRINGS(s->selector), s->n_selector);
	check_affinity(errs, s);
	check_cluster_ips(ctx, errs, s);
	check_external(errs, s);
	check_load_balancer(errs, s);
	if (s->traffic_distribution)
		check_enum(errs, FIELD(NULL, "spec.trafficDistribution"), s->traffic_distribution,
		           LIST("PreferClose", "PreferSameNode", "PreferSameZone"));
}

void service_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                             const struct object *old_obj, errs_t errs)
{
	const CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	const CoreV1__ServiceSpec *old = OBJECT_MSG(old_obj, CoreV1__Service)->spec;
	path_t first = FIELD_INDEX(FIELD(NULL, "spec.clusterIPs"), 0);

	if (service_is(s, "LoadBalancer") && service_is(old, "LoadBalancer") &&
	    !same_str(s->load_balancer_class, old->load_balancer_class))
		field_invalid(errs, FIELD(NULL, "spec.loadBalancerClass"), s->load_balancer_class,
		              "may not change once set");
	if (!service_needs_ip(s) || !service_needs_ip(old))
		return;
	if (old->n_cluster_ips && !s->n_cluster_ips)
		field_invalid_json(errs, first, "null", "primary clusterIP can not be unset");
	else if (old->n_cluster_ips && strcmp(old->cluster_ips[0], s->cluster_ips[0]))
		field_invalid_json(errs, first,
		                   json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "may not change once set");
	if (old->n_cluster_ips == 2 && s->n_cluster_ips == 2 &&
	    strcmp(old->cluster_ips[1], s->cluster_ips[1]))
		field_invalid_json(errs, FIELD_INDEX(FIELD(NULL, "spec.clusterIPs"), 1),
		                   json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "may not change once set");
	if (old->n_ip_families && s->n_ip_families &&
	    strcmp(old->ip_families[0], s->ip_families[0]))
		field_invalid_json(errs, FIELD_INDEX(FIELD(NULL, "spec.ipFamilies"), 0),
		                   json_of_strings(errs, s->ip_families, s->n_ip_families),
		                   "may not change once set");
}
