/* SPDX-License-Identifier: Apache-2.0 */
/* discovery.k8s.io: EndpointSlices. */
#include "apiserver/registry/core/endpoint_check.h"
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { ENDPOINTS_MAX = 1000, PORTS_MAX = 20000, ADDRESSES_MAX = 100, ROW_MAX = 3 };

static void check_address(errs_t errs, path_t list, size_t i, const char *type, const char *text)
{
	path_t p = FIELD_INDEX(list, i);
	struct ip ip;

	if (!strcmp(type, "FQDN")) {
		check_name(errs, p, text, names_fqdn);
		return;
	}
	if (!list_has(LIST("IPv4", "IPv6"), type) || !check_name(errs, p, text, names_ip))
		return;
	ip_parse(text, &ip);
	bool v6 = !strcmp(type, "IPv6");
	if (v6 != (ip.len == 16))
		field_invalid(errs, list, text,
		              v6 ? "must be an IPv6 address" : "must be an IPv4 address");
	endpoint_ip_check(errs, p, text);
}

static void check_endpoint(errs_t errs, path_t p, const DiscoveryV1__Endpoint *e, const char *type)
{
	path_t addresses = FIELD(p, "addresses");

	if (!e->n_addresses)
		field_required(errs, addresses, "must contain at least 1 address");
	else if (e->n_addresses > ADDRESSES_MAX)
		field_too_many(errs, addresses, (int64_t)e->n_addresses, ADDRESSES_MAX);
	for (size_t i = 0; i < e->n_addresses; i++)
		check_address(errs, addresses, i, type, e->addresses[i]);
	if (e->node_name)
		check_name(errs, FIELD(p, "nodeName"), e->node_name, names_dns1123_subdomain);
	if (e->hostname)
		check_name(errs, FIELD(p, "hostname"), e->hostname, names_dns1123_label);
}

static void check_slice_port(errs_t errs, const DiscoveryV1__EndpointSlice *s, size_t i,
                             struct index *seen)
{
	const DiscoveryV1__EndpointPort *port = s->ports[i];
	path_t p = FIELD_INDEX(FIELD(NULL, "ports"), i);

	if (port->name && *port->name)
		check_name(errs, FIELD(p, "name"), port->name, names_dns1123_label);
	if (!index_add(seen, port->name ? port->name : "", 0))
		field_duplicate(errs, FIELD(p, "name"), port->name ? port->name : "");
	if (!port->protocol)
		field_required(errs, FIELD(p, "protocol"), "");
	else
		check_enum(errs, FIELD(p, "protocol"), port->protocol, LIST("SCTP", "TCP", "UDP"));
	if (port->app_protocol)
		check_name(errs, FIELD(p, "appProtocol"), port->app_protocol, names_qualified);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const DiscoveryV1__EndpointSlice *s = OBJECT_MSG(obj, DiscoveryV1__EndpointSlice);
	struct index names = INDEX_IN(errs->arena);

	check_required_enum(errs, FIELD(NULL, "addressType"), s->address_type,
	                    LIST("FQDN", "IPv4", "IPv6"));
	if (s->n_endpoints > ENDPOINTS_MAX)
		field_too_many(errs, FIELD(NULL, "endpoints"), (int64_t)s->n_endpoints,
		               ENDPOINTS_MAX);
	for (size_t i = 0; i < s->n_endpoints && i < ENDPOINTS_MAX; i++)
		check_endpoint(errs, FIELD_INDEX(FIELD(NULL, "endpoints"), i), s->endpoints[i],
		               s->address_type);
	if (s->n_ports > PORTS_MAX)
		field_too_many(errs, FIELD(NULL, "ports"), (int64_t)s->n_ports, PORTS_MAX);
	for (size_t i = 0; i < s->n_ports && i < PORTS_MAX; i++)
		check_slice_port(errs, s, i, &names);
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	check_immutable_str(errs, FIELD(NULL, "addressType"),
	                    OBJECT_MSG(obj, DiscoveryV1__EndpointSlice)->address_type,
	                    OBJECT_MSG(old, DiscoveryV1__EndpointSlice)->address_type);
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old_obj)
{
	DiscoveryV1__EndpointSlice *s = OBJECT_MSG(obj, DiscoveryV1__EndpointSlice);
	const DiscoveryV1__EndpointSlice *old = OBJECT_MSG(old_obj, DiscoveryV1__EndpointSlice);

	if (!same_list(s->endpoints, s->n_endpoints, old->endpoints, old->n_endpoints) ||
	    !same_list(s->ports, s->n_ports, old->ports, old->n_ports) ||
	    strcmp(s->address_type, old->address_type) ||
	    !same_map(s->metadata->labels, s->metadata->n_labels, old->metadata->labels,
	              old->metadata->n_labels))
		object_set_generation(obj, object_generation(old_obj) + 1);
}

static const char *ports_text(struct arena *a, const DiscoveryV1__EndpointSlice *s)
{
	const char *text = "";
	size_t i;

	if (!s->n_ports)
		return "<unset>";
	for (i = 0; i < s->n_ports && i < ROW_MAX; i++) {
		const DiscoveryV1__EndpointPort *p = s->ports[i];
		text = joined(a, text,
		              p->has_port           ? arena_printf(a, "%d", p->port)
		              : p->name && *p->name ? p->name
		                                    : "*",
		              ",");
	}
	return s->n_ports > ROW_MAX
	           ? arena_printf(a, "%s + %zu more...", text, s->n_ports - ROW_MAX)
	           : text;
}

static const char *endpoints_text(struct arena *a, const DiscoveryV1__EndpointSlice *s)
{
	const char *text = "";
	size_t n = 0;

	for (size_t i = 0; i < s->n_endpoints; i++)
		for (size_t j = 0; j < s->endpoints[i]->n_addresses; j++)
			if (n++ < ROW_MAX)
				text = joined(a, text, s->endpoints[i]->addresses[j], ",");
	if (!n)
		return "<unset>";
	return n > ROW_MAX ? arena_printf(a, "%s + %zu more...", text, n - ROW_MAX) : text;
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const DiscoveryV1__EndpointSlice *s = OBJECT_MSG(obj, DiscoveryV1__EndpointSlice);

	row_name(r, obj);
	row_str(r, s->address_type);
	row_str(r, ports_text(ctx->arena, s));
	row_str(r, endpoints_text(ctx->arena, s));
	row_age(ctx, r, obj);
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	object_set_generation(obj, 1);
}

const struct strategy endpointslice_strategy = {
    .kind = "EndpointSlice",
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .validate_update = validate_update,
    .allow_unconditional_update = true,
    .table_row = row,
};
