/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster IPs and node ports of a Service that is about to be stored. */
#include "apiserver/registry/core/service.h"
#include "apiserver/registry/core/service_alloc.h"
#include "common/base/map.h"

static uint64_t seed_of(const struct object *obj, unsigned salt)
{
	const char *uid = object_uid(obj);

	return hash_bytes(uid, strlen(uid), salt);
}

static void fail_ip(errs_t errs, const CoreV1__ServiceSpec *s, const char *ip, const char *why)
{
	field_add(errs, FIELD_INVALID, FIELD(NULL, "spec.clusterIPs"),
	          json_of_strings(errs, s->cluster_ips, s->n_cluster_ips),
	          "failed to allocate IP %s: %s", ip, why);
}

static bool take_named_ip(struct service_alloc *a, errs_t errs, const CoreV1__ServiceSpec *s,
                          const char *text)
{
	struct ip ip;

	if (!ip_parse_sloppy(text, &ip))
		return true;
	switch (service_alloc_ip(a, &ip)) {
	case SERVICE_TAKEN_OK:
		return true;
	case SERVICE_TAKEN_BUSY:
		fail_ip(errs, s, text, "provided IP is already allocated");
		return false;
	default:
		fail_ip(
		    errs, s, text,
		    arena_printf(errs->arena,
		                 "the provided IP (%s) is not in the valid range of this cluster",
		                 text));
		return false;
	}
}

static bool take_next_ip(struct service_alloc *a, const struct object *obj, errs_t errs, size_t i)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	bool v6 = i < s->n_ip_families && !strcmp(s->ip_families[i], "IPv6");
	char text[IP_TEXT_BYTES];
	struct ip ip;
	char **ips;

	if (!service_alloc_next_ip(a, v6 ? 16 : 4, seed_of(obj, (unsigned)i), &ip)) {
		field_add(errs, FIELD_INTERNAL, FIELD(NULL, "spec.clusterIPs"), NULL,
		          "failed to allocate a serviceIP: range is full");
		return false;
	}
	ips = arena_array(errs->arena, char *, 2);
	if (i)
		ips[0] = s->cluster_ips[0];
	ips[i] = arena_strdup(errs->arena, ip_format(&ip, text));
	s->cluster_ips = ips;
	s->n_cluster_ips = i + 1;
	if (!i)
		s->cluster_ip = ips[0];
	return true;
}

static bool take_ips(struct service_alloc *a, const struct object *obj,
                     const CoreV1__ServiceSpec *old, errs_t errs)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;

	if (!service_needs_ip(s) || service_is_headless(s))
		return true;
	for (size_t i = 0; i < MIN(s->n_ip_families, 2); i++) {
		if (i >= s->n_cluster_ips) {
			if (!take_next_ip(a, obj, errs, i))
				return false;
		} else if (!(old && strings_have(old->cluster_ips, old->n_cluster_ips,
		                                 s->cluster_ips[i])) &&
		           !take_named_ip(a, errs, s, s->cluster_ips[i])) {
			/* What follows is not held: it must not be given back. */
			s->n_cluster_ips = i;
			return false;
		}
	}
	return true;
}

static bool had_port(const CoreV1__ServiceSpec *old, int32_t port)
{
	for (size_t i = 0; old && i < old->n_ports; i++)
		if (old->ports[i]->node_port == port)
			return true;
	return old && old->health_check_node_port == port;
}

static bool port_seen(const CoreV1__ServiceSpec *s, size_t before, int32_t port)
{
	for (size_t i = 0; i < before; i++)
		if (s->ports[i]->node_port == port)
			return true;
	return false;
}

static bool take_named_port(struct service_alloc *a, errs_t errs, path_t p, int32_t port)
{
	int32_t first, last;

	switch (service_alloc_port(a, port)) {
	case SERVICE_TAKEN_OK:
		return true;
	case SERVICE_TAKEN_BUSY:
		field_invalid_int(errs, p, port, "provided port is already allocated");
		return false;
	default:
		service_alloc_ports(a, &first, &last);
		field_add(
		    errs, FIELD_INVALID, p, arena_printf(errs->arena, "%d", port),
		    "provided port is not in the valid range. The range of valid ports is %d-%d",
		    first, last);
		return false;
	}
}

static bool take_next_port(struct service_alloc *a, errs_t errs, path_t p, uint64_t seed,
                           int32_t *ret)
{
	*ret = service_alloc_next_port(a, seed);
	if (!*ret)
		field_add(errs, FIELD_INTERNAL, p, NULL,
		          "failed to allocate a nodePort: range is full");
	return *ret;
}

/* One number may serve several protocols of one port. */
static int32_t sibling_port(const CoreV1__ServiceSpec *s, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (s->ports[j]->port == s->ports[i]->port && s->ports[j]->node_port &&
		    strcmp(s->ports[j]->protocol, s->ports[i]->protocol))
			return s->ports[j]->node_port;
	return 0;
}

static bool take_ports(struct service_alloc *a, const struct object *obj,
                       const CoreV1__ServiceSpec *old, errs_t errs)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;

	for (size_t i = 0; i < s->n_ports; i++) {
		CoreV1__ServicePort *port = s->ports[i];
		path_t p = FIELD(FIELD_INDEX(FIELD(NULL, "spec.ports"), i), "nodePort");
		int32_t n = port->node_port;
		if (n) {
			if (!had_port(old, n) && !port_seen(s, i, n) &&
			    !take_named_port(a, errs, p, n)) {
				for (size_t j = i; j < s->n_ports; j++)
					SET(s->ports[j], node_port, 0);
				return false;
			}
			continue;
		}
		if (!service_needs_node_port(s))
			continue;
		n = sibling_port(s, i);
		if (!n && !take_next_port(a, errs, p, seed_of(obj, 16 + (unsigned)i), &n))
			return false;
		SET(port, node_port, n);
	}
	return true;
}

static bool take_health_port(struct service_alloc *a, const struct object *obj,
                             const CoreV1__ServiceSpec *old, errs_t errs)
{
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	path_t p = FIELD(NULL, "spec.healthCheckNodePort");
	int32_t n = s->health_check_node_port;

	if (!service_needs_health_port(s) || (n && had_port(old, n)))
		return true;
	if (n) {
		if (take_named_port(a, errs, p, n))
			return true;
		SET(s, health_check_node_port, 0);
		return false;
	}
	if (!take_next_port(a, errs, p, seed_of(obj, 15), &n))
		return false;
	SET(s, health_check_node_port, n);
	return true;
}

void service_allocate(const struct strategy_ctx *ctx, struct object *obj, const struct object *old,
                      errs_t errs)
{
	const CoreV1__ServiceSpec *was = old ? OBJECT_MSG(old, CoreV1__Service)->spec : NULL;
	CoreV1__ServiceSpec *s = OBJECT_MSG(obj, CoreV1__Service)->spec;
	struct service_alloc *a = ctx->services;
	int32_t health = s->health_check_node_port;

	if (!a)
		return;
	if (!service_needs_ip(s))
		return;
	if (take_ips(a, obj, was, errs) && take_ports(a, obj, was, errs) &&
	    take_health_port(a, obj, was, errs))
		return;
	if (s->health_check_node_port == health && !had_port(was, health))
		SET(s, health_check_node_port, 0);
	service_release(ctx, obj, old);
}

void service_release(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *keep)
{
	if (ctx->services)
		service_alloc_drop(ctx->services, OBJECT_MSG(obj, CoreV1__Service),
		                   keep ? OBJECT_MSG(keep, CoreV1__Service) : NULL);
}
