/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/endpoint_check.h"
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
	if (port->node_port && service_is(s, "ClusterIP"))
		field_forbidden(errs, FIELD(p, "nodePort"),
		                "may not be used when `type` is 'ClusterIP'");
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
	                           "\"Port\":%d,\"TargetPort\":0,\"NodePort\":0}";
	const char *port = arena_printf(errs->arena, form, b->protocol, b->port);
	const char *node_port = arena_printf(errs->arena, "%s/%d", b->protocol, b->node_port);

	if (!index_add(ports, port, 0))
		field_add(errs, FIELD_DUPLICATE, p, port, "%s", "");
	if (b->node_port && !index_add(node_ports, node_port, 0))
		field_add(errs, FIELD_DUPLICATE, FIELD(p, "nodePort"),
		          arena_printf(errs->arena, "%d", b->node_port), "%s", "");
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
		field_required(errs,
		               !c              ? p
		               : !c->client_ip ? FIELD(p, "clientIP")
		                               : FIELD(p, "clientIP.timeoutSeconds"),
		               "when session affinity type is ClientIP");
	} else if (c->client_ip->timeout_seconds <= 0 || c->client_ip->timeout_seconds > 86400) {
		field_invalid_int(errs, FIELD(p, "clientIP.timeoutSeconds"),
		                  c->client_ip->timeout_seconds,
		                  "must be greater than 0 and less than 86400");
	}
}

static void check_external(errs_t errs, const CoreV1__ServiceSpec *s)
{
	path_t policy = FIELD(NULL, "spec.externalTrafficPolicy");

	for (size_t i = 0; i < s->n_external_ips; i++) {
		path_t p = FIELD_INDEX(FIELD(NULL, "spec.externalIPs"), i);
		if (check_name(errs, p, s->external_ips[i], names_ip))
			endpoint_ip_check(errs, p, s->external_ips[i]);
	}
	if (!service_is_external(s)) {
		if (*s->external_traffic_policy)
			field_invalid(errs, policy, s->external_traffic_policy,
			              "may only be set for externally-accessible services");
	} else {
		check_required_enum(errs, policy, s->external_traffic_policy,
		                    LIST("Cluster", "Local"));
	}
	path_t health = FIELD(NULL, "spec.healthCheckNodePort");
	if (service_needs_health_port(s) && s->health_check_node_port)
		check_port(errs, health, s->health_check_node_port);
	else if (s->health_check_node_port)
		field_invalid_int(errs, health, s->health_check_node_port,
		                  "may only be set when `type` is 'LoadBalancer' and "
		                  "`externalTrafficPolicy` is 'Local'");
	if (!s->internal_traffic_policy && service_needs_ip(s))
		field_required(errs, FIELD(NULL, "spec.internalTrafficPolicy"), "");
	else if (s->internal_traffic_policy)
		check_enum(errs, FIELD(NULL, "spec.internalTrafficPolicy"),
		           s->internal_traffic_policy, LIST("Cluster", "Local"));
}

static const char *trimmed(struct arena *a, const char *s)
{
	size_t n;

	s += strspn(s, " \t\n\v\f\r");
	for (n = strlen(s); n && strchr(" \t\n\v\f\r", s[n - 1]);)
		n--;
	return arena_strndup(a, s, n);
}

/* The ranges that a load balancer lets in stand in the field or, comma-separated, in an
 * annotation; upstream spells the field's path with a capital letter. */
static void check_source_ranges(errs_t errs, const CoreV1__Service *svc)
{
	static const char key[] = "service.beta.kubernetes.io/load-balancer-source-ranges";
	const CoreV1__ServiceSpec *s = svc->spec;
	path_t p = FIELD(NULL, "spec.LoadBalancerSourceRanges");
	bool is_lb = service_is(s, "LoadBalancer");
	const char *text =
	    strings_get(STRINGS(svc->metadata->annotations), svc->metadata->n_annotations, key);

	if (s->n_load_balancer_source_ranges) {
		if (!is_lb)
			field_forbidden(errs, p, lb_only);
		for (size_t i = 0; i < s->n_load_balancer_source_ranges; i++)
			check_name(errs, FIELD_INDEX(p, i),
			           trimmed(errs->arena, s->load_balancer_source_ranges[i]),
			           names_cidr);
		return;
	}
	if (!text)
		return;
	p = FIELD_KEY(FIELD(NULL, "metadata.annotations"), key);
	if (!is_lb)
		field_forbidden(errs, p, lb_only);
	text = trimmed(errs->arena, text);
	for (const char *next; text && *text; text = next) {
		size_t n = strcspn(text, ",");
		const char *one = arena_strndup(errs->arena, text, n);
		next = text[n] ? text + n + 1 : NULL;
		check_name(errs, p, trimmed(errs->arena, one), names_cidr);
	}
}

static void check_load_balancer(errs_t errs, const CoreV1__ServiceSpec *s)
{
	path_t class = FIELD(NULL, "spec.loadBalancerClass");
	bool is_lb = service_is(s, "LoadBalancer");

	if (is_lb && !s->has_allocate_load_balancer_node_ports)
		field_required(errs, FIELD(NULL, "allocateLoadBalancerNodePorts"), "");
	if (!is_lb && s->has_allocate_load_balancer_node_ports)
		field_forbidden(errs, FIELD(NULL, "spec.allocateLoadBalancerNodePorts"), lb_only);
	if (s->load_balancer_class && !is_lb)
		field_forbidden(errs, class, lb_only);
	else if (s->load_balancer_class)
		check_name(errs, class, s->load_balancer_class, names_qualified);
}

static void check_hints(errs_t errs, const MetaV1__ObjectMeta *m)
{
	static const char mode[] = "service.kubernetes.io/topology-mode";
	static const char hints[] = "service.kubernetes.io/topology-aware-hints";
	const char *a = strings_get(STRINGS(m->annotations), m->n_annotations, mode);
	const char *b = strings_get(STRINGS(m->annotations), m->n_annotations, hints);

	if (a && b && strcmp(a, b))
		field_add(errs, FIELD_INVALID, FIELD_KEY(FIELD(NULL, "metadata.annotations"), mode),
		          field_quote(errs->arena, a),
		          "must match annotations[%s] when both are specified", hints);
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

/* False: further checks would only be misled. */
static bool check_ip_syntax(errs_t errs, path_t p, const CoreV1__ServiceSpec *s)
{
	bool ok = true;

	for (size_t i = 0; i < s->n_cluster_ips; i++) {
		if (i || strcmp(s->cluster_ips[i], "None")) {
			ok &= check_name(errs, FIELD_INDEX(p, i), s->cluster_ips[i], names_ip);
		} else if (s->n_cluster_ips > 1) {
			ok = false;
			field_invalid_json(errs, p,
			                   json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
			                   "'None' must be the first and only value");
		}
	}
	return ok;
}

static void check_ip_families(errs_t errs, path_t p, const CoreV1__ServiceSpec *s)
{
	size_t v6 = 0;

	for (size_t i = 0; i < s->n_cluster_ips; i++)
		v6 += strchr(s->cluster_ips[i], ':') != NULL;
	if (s->n_cluster_ips > 1 && (!v6 || v6 == s->n_cluster_ips))
		field_invalid_json(errs, p, json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
		                   "may specify no more than one IP for each IP family");
	for (size_t i = 0; !service_is_headless(s) && i < s->n_cluster_ips && i < s->n_ip_families;
	     i++) {
		bool is_v6 = strchr(s->cluster_ips[i], ':');
		if (is_v6 != !strcmp(s->ip_families[i], "IPv6"))
			field_add(errs, FIELD_INVALID, FIELD_INDEX(p, i),
			          field_quote(errs->arena, s->cluster_ips[i]),
			          "expected an %s value as indicated by `ipFamilies[%zu]`",
			          s->ip_families[i], i);
	}
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
	if (service_is_headless(s) && !service_is(s, "ClusterIP"))
		field_add(errs, FIELD_INVALID, FIELD_INDEX(p, 0), "\"None\"",
		          "may not be set to 'None' for %s services", s->type);
	if (check_ip_syntax(errs, p, s))
		check_ip_families(errs, p, s);
}

void service_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;

	check_hints(errs, obj->meta);
	check_source_ranges(errs, OBJECT_MSG(obj, CoreV1__Service));
	if (!check_required_enum(errs, FIELD(NULL, "spec.type"), s->type,
	                         LIST("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")))
		return;
	check_ports(errs, s);
	if (service_is(s, "ExternalName")) {
		size_t n = strlen(s->external_name);
		n -= n && s->external_name[n - 1] == '.';
		check_required_name(errs, FIELD(NULL, "spec.externalName"),
		                    arena_strndup(errs->arena, s->external_name, n),
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

/* What was given to a Service stays; a second family may come and go. */
static void check_kept(errs_t errs, const char *field, char *const *now, size_t n, char *const *old,
                       size_t n_old)
{
	path_t p = FIELD(FIELD(NULL, "spec"), field);
	const char *json = json_of_strings(errs, now, n);

	if (n == n_old) {
		for (size_t i = 0; i < n; i++)
			if (strcmp(now[i], old[i]))
				field_invalid_json(errs, FIELD_INDEX(p, i), json,
				                   "may not change once set");
	} else if (n && n_old && strcmp(now[0], old[0])) {
		field_invalid_json(errs, FIELD_INDEX(p, 0), json, "may not change once set");
	}
}

static void check_released(errs_t errs, const CoreV1__ServiceSpec *s, size_t n, size_t n_old,
                           const char *what)
{
	path_t p = FIELD(NULL, "spec.ipFamilyPolicy");

	if (n_old <= n || n != 1)
		return;
	if (!s->ip_family_policy || strcmp(s->ip_family_policy, "SingleStack"))
		field_add(errs, FIELD_INVALID, p,
		          s->ip_family_policy ? field_quote(errs->arena, s->ip_family_policy)
		                              : "null",
		          "must be set to 'SingleStack' when releasing the secondary %s", what);
}

void service_validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                             const struct object *old_obj, errs_t errs)
{
	const CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	const CoreV1__ServiceSpec *old = OBJECT_MSG(old_obj, CoreV1__Service)->spec;
	bool headless = service_is_headless(s), was_headless = service_is_headless(old);

	if (service_is(s, "LoadBalancer") && service_is(old, "LoadBalancer") &&
	    !same_str(s->load_balancer_class, old->load_balancer_class))
		field_invalid(errs, FIELD(NULL, "spec.loadBalancerClass"), s->load_balancer_class,
		              "may not change once set");
	if (service_needs_health_port(s) && service_needs_health_port(old) &&
	    s->health_check_node_port != old->health_check_node_port)
		field_forbidden(errs, FIELD(NULL, "spec.healthCheckNodePort"),
		                "field is immutable");
	if (service_is(s, "ExternalName") || service_is(old, "ExternalName"))
		return;
	if (!headless || !was_headless) {
		if (old->n_cluster_ips && !s->n_cluster_ips)
			field_invalid_json(errs, FIELD_INDEX(FIELD(NULL, "spec.clusterIPs"), 0),
			                   "null", "primary clusterIP can not be unset");
		check_kept(errs, "clusterIPs", s->cluster_ips, s->n_cluster_ips, old->cluster_ips,
		           old->n_cluster_ips);
		check_released(errs, s, s->n_cluster_ips, old->n_cluster_ips, "clusterIP");
	}
	if (headless || was_headless)
		return;
	check_kept(errs, "ipFamilies", s->ip_families, s->n_ip_families, old->ip_families,
	           old->n_ip_families);
	check_released(errs, s, s->n_ip_families, old->n_ip_families, "ipFamily");
}
