/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a Service that depend on each other: clusterIP and clusterIPs, families, ports that
 * only some types have. */
#include "apiserver/registry/core/service.h"

size_t service_families(const struct strategy_ctx *ctx, const char *ret[2])
{
	size_t n = ctx->options ? ctx->options->n_ip_families : 0;

	ret[0] = "IPv4";
	for (size_t i = 0; i < n; i++)
		ret[i] = ctx->options->ip_families[i];
	return MAX(n, 1);
}

static char **one_string(struct arena *a, const char *s)
{
	char **list = arena_array(a, char *, 2);

	list[0] = arena_strdup(a, s);
	return list;
}

static void set_ips(CoreV1__ServiceSpec *s, char **ips, size_t n)
{
	s->cluster_ips = ips;
	s->n_cluster_ips = n;
}

static bool same_ips(const CoreV1__ServiceSpec *a, const CoreV1__ServiceSpec *b)
{
	return same_strings(a->cluster_ips, a->n_cluster_ips, b->cluster_ips, b->n_cluster_ips);
}

/* clusterIP is the first of clusterIPs. A client that knows only clusterIP changes both. */
static void sync_ips(struct arena *a, CoreV1__ServiceSpec *s, const CoreV1__ServiceSpec *old)
{
	if (!old) {
		if (*s->cluster_ip && !s->n_cluster_ips)
			set_ips(s, one_string(a, s->cluster_ip), 1);
		return;
	}
	bool same = same_ips(s, old);
	if (*old->cluster_ip && !*s->cluster_ip) {
		if (same)
			set_ips(s, NULL, 0);
	} else if (strcmp(old->cluster_ip, s->cluster_ip) && same) {
		char **ips = arena_memdup(a, s->cluster_ips, s->n_cluster_ips * sizeof(char *));
		if (s->n_cluster_ips)
			ips[0] = s->cluster_ip;
		else
			ips = one_string(a, s->cluster_ip);
		set_ips(s, ips, MAX(s->n_cluster_ips, 1));
	}
}

static const char *family_of(const char *ip)
{
	return strchr(ip, ':') ? "IPv6" : "IPv4";
}

static const char *other_family(const char *family)
{
	return strcmp(family, "IPv4") ? "IPv4" : "IPv6";
}

static void add_family(struct arena *a, CoreV1__ServiceSpec *s, const char *family)
{
	char **list = arena_array(a, char *, 2);

	if (s->n_ip_families)
		list[0] = s->ip_families[0];
	list[s->n_ip_families++] = arena_strdup(a, family);
	s->ip_families = list;
}

/* Families that the addresses and the server's ranges imply, when the client does not say. */
static void default_families(const struct strategy_ctx *ctx, CoreV1__ServiceSpec *s)
{
	const char *families[2];
	size_t n = service_families(ctx, families);
	struct arena *a = ctx->arena;
	struct ip ip;
	bool floating = service_is_headless(s) && !s->n_selector;

	if (!service_needs_ip(s))
		return;
	for (size_t i = 0; i < s->n_cluster_ips && i < 2; i++)
		if (s->n_ip_families == i && ip_parse_sloppy(s->cluster_ips[i], &ip))
			add_family(a, s, family_of(s->cluster_ips[i]));
	if (!s->ip_family_policy)
		s->ip_family_policy =
		    arena_strdup(a, s->n_cluster_ips == 2 || s->n_ip_families == 2 || floating
		                        ? "RequireDualStack"
		                        : "SingleStack");
	if (!s->n_ip_families)
		add_family(a, s, families[0]);
	/* Endpoints of a headless service without selector are anyone's: both families. */
	bool dual = strcmp(s->ip_family_policy, "SingleStack") &&
	            (n == 2 || (floating && !strcmp(s->ip_family_policy, "RequireDualStack")));
	if (dual && s->n_ip_families == 1)
		add_family(a, s, other_family(s->ip_families[0]));
}

void service_prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;

	sync_ips(ctx->arena, s, NULL);
	default_families(ctx, s);
}

static const char *number_key(struct arena *a, int32_t n)
{
	return arena_printf(a, "%d", n);
}

/* Which node ports a Service has. */
static struct index node_ports_of(struct arena *a, const CoreV1__ServiceSpec *s)
{
	struct index ix = INDEX_IN(a);

	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i]->node_port)
			index_add(&ix, number_key(a, s->ports[i]->node_port), (uint32_t)i);
	return ix;
}

/* Ports that stay keep their node ports. */
static void keep_node_ports(struct arena *a, CoreV1__ServiceSpec *s, const CoreV1__ServiceSpec *old)
{
	struct index used = node_ports_of(a, s), was = INDEX_IN(a);

	for (size_t i = 0; i < old->n_ports; i++)
		index_add(&was,
		          arena_printf(a, "%s/%d", old->ports[i]->protocol, old->ports[i]->port),
		          (uint32_t)i);
	for (size_t i = 0; i < s->n_ports; i++) {
		CoreV1__ServicePort *p = s->ports[i];
		int64_t at = p->node_port
		                 ? -1
		                 : index_find(&was, arena_printf(a, "%s/%d", p->protocol, p->port));
		int32_t n = at < 0 ? 0 : old->ports[at]->node_port;
		if (n && !index_has(&used, number_key(a, n)))
			SET(p, node_port, n);
	}
}

/* A client that leaves out what was allocated keeps it. */
static void keep_allocated(struct arena *a, CoreV1__ServiceSpec *s, const CoreV1__ServiceSpec *old)
{
	if (service_needs_ip(s) && service_needs_ip(old) && !*s->cluster_ip && !s->n_cluster_ips) {
		s->cluster_ip = old->cluster_ip;
		set_ips(s, old->cluster_ips, old->n_cluster_ips);
	}
	if (service_needs_node_port(s) && service_needs_node_port(old))
		keep_node_ports(a, s, old);
	if (service_needs_health_port(s) && service_needs_health_port(old) &&
	    !s->health_check_node_port)
		SET(s, health_check_node_port, old->health_check_node_port);
}

static bool same_node_ports(struct arena *a, const CoreV1__ServiceSpec *s,
                            const CoreV1__ServiceSpec *old)
{
	struct index had = node_ports_of(a, old);

	for (size_t i = 0; i < s->n_ports; i++)
		if (s->ports[i]->node_port &&
		    !index_has(&had, number_key(a, s->ports[i]->node_port)))
			return false;
	return true;
}

/* A change of type drops what the new type does not have, unless the client changed it as well. */
static void drop_foreign(struct arena *a, CoreV1__ServiceSpec *s, const CoreV1__ServiceSpec *old)
{
	bool was_lb = service_is(old, "LoadBalancer"), is_lb = service_is(s, "LoadBalancer");

	if (service_needs_ip(old) && !service_needs_ip(s)) {
		if (same_ips(s, old)) {
			s->cluster_ip = (char *)"";
			set_ips(s, NULL, 0);
		}
		if (same_strings(s->ip_families, s->n_ip_families, old->ip_families,
		                 old->n_ip_families))
			s->n_ip_families = 0;
		if (same_str(s->ip_family_policy, old->ip_family_policy))
			s->ip_family_policy = NULL;
		if (same_str(s->internal_traffic_policy, old->internal_traffic_policy))
			s->internal_traffic_policy = NULL;
	}
	if (service_needs_node_port(old) && !service_needs_node_port(s) &&
	    same_node_ports(a, s, old))
		for (size_t i = 0; i < s->n_ports; i++)
			SET(s->ports[i], node_port, 0);
	if (service_needs_health_port(old) && !service_needs_health_port(s) &&
	    s->health_check_node_port == old->health_check_node_port)
		SET(s, health_check_node_port, 0);
	if (was_lb && !is_lb) {
		if (s->allocate_load_balancer_node_ports == old->allocate_load_balancer_node_ports)
			s->has_allocate_load_balancer_node_ports = 0;
		if (same_str(s->load_balancer_class, old->load_balancer_class))
			s->load_balancer_class = NULL;
	}
	if (service_is_external(old) && !service_is_external(s) &&
	    same_str(s->external_traffic_policy, old->external_traffic_policy))
		s->external_traffic_policy = (char *)"";
	if (service_is(old, "ExternalName") && !service_is(s, "ExternalName") &&
	    same_str(s->external_name, old->external_name))
		s->external_name = (char *)"";
}

void service_prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                            const struct object *old_obj)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	const CoreV1__ServiceSpec *old = OBJECT_MSG(old_obj, CoreV1__Service)->spec;

	sync_ips(ctx->arena, s, old);
	keep_allocated(ctx->arena, s, old);
	drop_foreign(ctx->arena, s, old);
	/* Going back to one family drops the second address. */
	if (s->ip_family_policy && !strcmp(s->ip_family_policy, "SingleStack") &&
	    old->n_ip_families == 2 && s->n_ip_families == 2 && same_ips(s, old)) {
		s->n_ip_families = 1;
		s->n_cluster_ips = MIN(s->n_cluster_ips, 1);
	}
	default_families(ctx, s);
}
