/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/endpoint_check.h"
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/row.h"

enum { ROW_ENDPOINTS_MAX = 3 };

void endpoint_ip_check(errs_t errs, path_t p, const char *text)
{
	struct ip ip;

	if (!ip_parse_sloppy(text, &ip))
		return;
	if (ip_is_unspecified(&ip))
		field_add(errs, FIELD_INVALID, p, field_quote(errs->arena, text),
		          "may not be unspecified (%s)", text);
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

static void check_address(errs_t errs, path_t p, const CoreV1__EndpointAddress *a)
{
	if (check_name(errs, FIELD(p, "ip"), a->ip, names_ip))
		endpoint_ip_check(errs, FIELD(p, "ip"), a->ip);
	if (*a->hostname)
		check_name(errs, FIELD(p, "hostname"), a->hostname, names_dns1123_label);
	if (a->node_name)
		check_name(errs, FIELD(p, "nodeName"), a->node_name, names_dns1123_subdomain);
}

static void check_endpoint_port(errs_t errs, path_t p, const CoreV1__EndpointPort *port, bool named)
{
	if (named && !*port->name)
		field_required(errs, FIELD(p, "name"), "");
	else if (*port->name)
		check_name(errs, FIELD(p, "name"), port->name, names_dns1123_label);
	check_port(errs, FIELD(p, "port"), port->port);
	check_required_enum(errs, FIELD(p, "protocol"), port->protocol, LIST("SCTP", "TCP", "UDP"));
	if (port->app_protocol)
		check_name(errs, FIELD(p, "appProtocol"), port->app_protocol, names_qualified);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__Endpoints *e = OBJECT_MSG(obj, CoreV1__Endpoints);

	for (size_t i = 0; i < e->n_subsets; i++) {
		const CoreV1__EndpointSubset *s = e->subsets[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "subsets"), i);
		if (!s->n_addresses && !s->n_not_ready_addresses)
			field_required(errs, p, "must specify `addresses` or `notReadyAddresses`");
		for (size_t j = 0; j < s->n_addresses; j++)
			check_address(errs, FIELD_INDEX(FIELD(p, "addresses"), j), s->addresses[j]);
		for (size_t j = 0; j < s->n_not_ready_addresses; j++)
			check_address(errs, FIELD_INDEX(FIELD(p, "notReadyAddresses"), j),
			              s->not_ready_addresses[j]);
		for (size_t j = 0; j < s->n_ports; j++)
			check_endpoint_port(errs, FIELD_INDEX(FIELD(p, "ports"), j), s->ports[j],
			                    s->n_ports > 1);
	}
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__Endpoints *e = OBJECT_MSG(obj, CoreV1__Endpoints);
	const char *text = "";
	size_t n = 0;

	for (size_t i = 0; i < e->n_subsets; i++) {
		const CoreV1__EndpointSubset *s = e->subsets[i];
		for (size_t k = 0; k < MAX(s->n_ports, 1); k++)
			for (size_t j = 0; j < s->n_addresses; j++) {
				const char *ip = s->addresses[j]->ip, *one = ip;
				if (n++ >= ROW_ENDPOINTS_MAX)
					continue;
				if (s->n_ports)
					one = arena_printf(ctx->arena,
					                   strchr(ip, ':') ? "[%s]:%d" : "%s:%d",
					                   ip, s->ports[k]->port);
				text = joined(ctx->arena, text, one, ",");
			}
	}
	row_name(r, obj);
	row_or_none(r, n > ROW_ENDPOINTS_MAX ? arena_printf(ctx->arena, "%s + %zu more...", text,
	                                                    n - ROW_ENDPOINTS_MAX)
	                                     : text);
	row_age(ctx, r, obj);
}

const struct strategy endpoints_strategy = {
    .kind = "Endpoints",
    .validate = validate,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .table_row = row,
};
