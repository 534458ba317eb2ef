/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/service.h"

#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"

enum { AFFINITY_TIMEOUT_S = 10800 };

bool service_is_external(const CoreV1__ServiceSpec *s)
{
	return service_is(s, "LoadBalancer") || service_is(s, "NodePort") ||
	       (service_is(s, "ClusterIP") && s->n_external_ips);
}

bool service_needs_node_port(const CoreV1__ServiceSpec *s)
{
	return service_is(s, "NodePort") ||
	       (service_is(s, "LoadBalancer") && (!s->has_allocate_load_balancer_node_ports ||
	                                          s->allocate_load_balancer_node_ports));
}

bool service_needs_health_port(const CoreV1__ServiceSpec *s)
{
	return service_is(s, "LoadBalancer") && !strcmp(s->external_traffic_policy, "Local");
}

static void default_ports(struct arena *a, CoreV1__ServiceSpec *s)
{
	for (size_t i = 0; i < s->n_ports; i++) {
		CoreV1__ServicePort *p = s->ports[i];
		if (!*p->protocol)
			p->protocol = arena_strdup(a, "TCP");
		bool unset = p->target_port->type == 0 ? !p->target_port->int_val
		                                       : !*p->target_port->str_val;
		if (unset) {
			SET(p->target_port, type, 0);
			SET(p->target_port, int_val, p->port);
		}
	}
}

static void default_affinity(struct arena *a, CoreV1__ServiceSpec *s)
{
	if (!*s->session_affinity)
		s->session_affinity = arena_strdup(a, "None");
	if (!strcmp(s->session_affinity, "None")) {
		s->session_affinity_config = NULL;
		return;
	}
	if (strcmp(s->session_affinity, "ClientIP"))
		return;
	if (!s->session_affinity_config)
		s->session_affinity_config = MSG_NEW(a, CoreV1__SessionAffinityConfig,
		                                     core_v1__session_affinity_config__descriptor);
	if (!s->session_affinity_config->client_ip)
		s->session_affinity_config->client_ip =
		    MSG_NEW(a, CoreV1__ClientIPConfig, core_v1__client_ipconfig__descriptor);
	if (!s->session_affinity_config->client_ip->has_timeout_seconds)
		SET(s->session_affinity_config->client_ip, timeout_seconds, AFFINITY_TIMEOUT_S);
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__Service *svc = OBJECT_MSG(obj, CoreV1__Service);
	CoreV1__ServiceSpec *s = svc->spec;
	struct arena *a = ctx->arena;

	if (!*s->type)
		s->type = arena_strdup(a, "ClusterIP");
	default_affinity(a, s);
	default_ports(a, s);
	if (service_is_external(s) && !*s->external_traffic_policy)
		s->external_traffic_policy = arena_strdup(a, "Cluster");
	if (service_needs_ip(s) && !s->internal_traffic_policy)
		s->internal_traffic_policy = arena_strdup(a, "Cluster");
	if (!service_is(s, "LoadBalancer"))
		return;
	if (!s->has_allocate_load_balancer_node_ports)
		SET(s, allocate_load_balancer_node_ports, 1);
	for (size_t i = 0; i < svc->status->load_balancer->n_ingress; i++) {
		CoreV1__LoadBalancerIngress *in = svc->status->load_balancer->ingress[i];
		if (*in->ip && !in->ip_mode)
			in->ip_mode = arena_strdup(a, "VIP");
	}
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	const CoreV1__ServiceSpec *was = old ? OBJECT_MSG(old, CoreV1__Service)->spec : NULL;

	if (s->n_external_ips && !(was && same_strings(s->external_ips, s->n_external_ips,
	                                               was->external_ips, was->n_external_ips)))
		strategy_warn(w,
		              "spec.externalIPs is deprecated and may no longer be implemented in "
		              "some clusters; use a LoadBalancer service instead");
	if (s->session_affinity_config && service_is_headless(s))
		strategy_warn(w, "spec.SessionAffinity is ignored for headless services");
}

static const char *const fields[] = {"spec.clusterIP", "spec.type", NULL};

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = OBJECT_MSG(obj, CoreV1__Service)->spec->cluster_ip;
	ret[1] = OBJECT_MSG(obj, CoreV1__Service)->spec->type;
}

static const char *external_ips(struct arena *a, const CoreV1__Service *svc)
{
	const CoreV1__ServiceSpec *s = svc->spec;
	struct join text = JOIN(a, ",");

	if (service_is(s, "ExternalName"))
		return s->external_name;
	if (service_is(s, "LoadBalancer")) {
		const CoreV1__LoadBalancerStatus *lb = svc->status->load_balancer;
		for (size_t i = 0; i < lb->n_ingress; i++)
			join_add(&text, *lb->ingress[i]->ip ? lb->ingress[i]->ip
			                                    : lb->ingress[i]->hostname);
	}
	for (size_t i = 0; i < s->n_external_ips; i++)
		join_add(&text, s->external_ips[i]);
	if (text.len)
		return join_text(&text);
	return service_is(s, "LoadBalancer") ? "<pending>" : "<none>";
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__Service *svc = OBJECT_MSG(obj, CoreV1__Service);
	const CoreV1__ServiceSpec *s = svc->spec;
	struct join ports = JOIN(ctx->arena, ",");

	for (size_t i = 0; i < s->n_ports; i++) {
		const CoreV1__ServicePort *p = s->ports[i];
		const char *text =
		    p->node_port
		        ? arena_printf(ctx->arena, "%d:%d/%s", p->port, p->node_port, p->protocol)
		        : arena_printf(ctx->arena, "%d/%s", p->port, p->protocol);
		join_add(&ports, text);
	}
	row_name(r, obj);
	row_str(r, s->type);
	row_or_none(r, s->n_cluster_ips ? s->cluster_ips[0] : "");
	row_str(r, external_ips(ctx->arena, svc));
	row_or_none(r, join_text(&ports));
	row_age(ctx, r, obj);
	row_map(ctx, r, STRINGS(s->selector), s->n_selector);
}

const struct strategy service_strategy = {
    .kind = "Service",
    .name_syntax = names_dns1123_label,
    .has_status = true,
    .defaults = defaults,
    .prepare_create = service_prepare_create,
    .prepare_update = service_prepare_update,
    .validate = service_validate,
    .validate_update = service_validate_update,
    .warnings = warnings,
    .allocate = service_allocate,
    .release = service_release,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .field_names = fields,
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = row,
};

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const CoreV1__Service *svc = OBJECT_MSG(obj, CoreV1__Service);
	const CoreV1__LoadBalancerStatus *lb = svc->status->load_balancer;
	path_t p = FIELD(NULL, "status.loadBalancer.ingress");

	if (!service_is(svc->spec, "LoadBalancer") && lb->n_ingress)
		field_forbidden(errs, p, "may only be used when `spec.type` is 'LoadBalancer'");
	for (size_t i = 0; i < lb->n_ingress; i++) {
		const CoreV1__LoadBalancerIngress *in = lb->ingress[i];
		path_t at = FIELD_INDEX(p, i);
		if (*in->ip)
			check_name(errs, FIELD(at, "ip"), in->ip, names_ip);
		if (*in->ip && !in->ip_mode)
			field_required(errs, FIELD(at, "ipMode"),
			               "must be specified when `ip` is set");
		else if (!*in->ip && in->ip_mode)
			field_forbidden(errs, FIELD(at, "ipMode"),
			                "may not be specified when `ip` is not set");
		else if (in->ip_mode)
			check_enum(errs, FIELD(at, "ipMode"), in->ip_mode, LIST("Proxy", "VIP"));
		struct ip ip;
		if (*in->hostname) {
			if (ip_parse(in->hostname, &ip))
				field_invalid(errs, FIELD(at, "hostname"), in->hostname,
				              "must be a DNS name, not an IP address");
			check_name(errs, FIELD(at, "hostname"), in->hostname,
			           names_dns1123_subdomain);
		}
	}
}

const struct strategy service_status_strategy = {
    .kind = "Service",
    .name_syntax = names_dns1123_label,
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
