/* SPDX-License-Identifier: Apache-2.0 */
/* networking.k8s.io but Ingress: NetworkPolicies, IPAddresses, ServiceCIDRs. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

/* --- NetworkPolicy ---------------------------------------------------------------------------- */

static void policy_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	NetworkingV1__NetworkPolicySpec *s = OBJECT_MSG(obj, NetworkingV1__NetworkPolicy)->spec;

	if (s->n_policy_types)
		return;
	s->policy_types = arena_array(ctx->arena, char *, 2);
	s->policy_types[s->n_policy_types++] = arena_strdup(ctx->arena, "Ingress");
	if (s->n_egress)
		s->policy_types[s->n_policy_types++] = arena_strdup(ctx->arena, "Egress");
}

static void check_policy_port(errs_t errs, path_t p, const NetworkingV1__NetworkPolicyPort *port)
{
	if (port->protocol)
		check_enum(errs, FIELD(p, "protocol"), port->protocol, LIST("SCTP", "TCP", "UDP"));
	if (port->port) {
		check_port_or_name(errs, FIELD(p, "port"), port->port);
		if (!port->has_end_port)
			return;
		if (!intstr_is_int(port->port)) {
			field_invalid_int(errs, FIELD(p, "endPort"), port->end_port,
			                  "may not be specified when `port` is non-numeric");
			return;
		}
		if (port->end_port < port->port->int_val)
			field_invalid_int(errs, FIELD(p, "endPort"), port->port->int_val,
			                  "must be greater than or equal to `port`");
		check_port(errs, FIELD(p, "endPort"), port->end_port);
	} else if (port->has_end_port) {
		field_invalid_int(errs, FIELD(p, "endPort"), port->end_port,
		                  "may not be specified when `port` is not specified");
	}
}

static void check_ip_block(errs_t errs, path_t p, const NetworkingV1__IPBlock *b)
{
	struct ip_prefix cidr, except;

	if (!check_required(errs, FIELD(p, "cidr"), b->cidr))
		return;
	check_name(errs, FIELD(p, "cidr"), b->cidr, names_cidr);
	if (!ip_prefix_parse_sloppy(b->cidr, &cidr))
		return;
	for (size_t i = 0; i < b->n_except; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "except"), i);
		if (!check_name(errs, at, b->except[i], names_cidr) ||
		    !ip_prefix_parse_sloppy(b->except[i], &except))
			continue;
		if (!ip_prefix_contains(&cidr, &except.ip) || except.bits <= cidr.bits)
			field_invalid(errs, at, b->except[i], "must be a strict subset of `cidr`");
	}
}

static void check_peer(errs_t errs, path_t p, const NetworkingV1__NetworkPolicyPeer *peer)
{
	bool selects = peer->pod_selector || peer->namespace_selector;

	check_selector(errs, FIELD(p, "podSelector"), peer->pod_selector);
	check_selector(errs, FIELD(p, "namespaceSelector"), peer->namespace_selector);
	if (peer->ip_block)
		check_ip_block(errs, FIELD(p, "ipBlock"), peer->ip_block);
	if (!selects && !peer->ip_block)
		field_required(errs, p, "must specify a peer");
	else if (selects && peer->ip_block)
		field_forbidden(errs, p, "may not specify both ipBlock and another peer");
}

static void policy_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__NetworkPolicySpec *s =
	    OBJECT_MSG(obj, NetworkingV1__NetworkPolicy)->spec;
	path_t p = FIELD(NULL, "spec");

	check_selector(errs, FIELD(p, "podSelector"), s->pod_selector);
	for (size_t i = 0; i < s->n_ingress; i++) {
		const NetworkingV1__NetworkPolicyIngressRule *r = s->ingress[i];
		path_t at = FIELD_INDEX(FIELD(p, "ingress"), i);
		for (size_t j = 0; j < r->n_ports; j++)
			check_policy_port(errs, FIELD_INDEX(FIELD(at, "ports"), j), r->ports[j]);
		for (size_t j = 0; j < r->n_from; j++)
			check_peer(errs, FIELD_INDEX(FIELD(at, "from"), j), r->from[j]);
	}
	for (size_t i = 0; i < s->n_egress; i++) {
		const NetworkingV1__NetworkPolicyEgressRule *r = s->egress[i];
		path_t at = FIELD_INDEX(FIELD(p, "egress"), i);
		for (size_t j = 0; j < r->n_ports; j++)
			check_policy_port(errs, FIELD_INDEX(FIELD(at, "ports"), j), r->ports[j]);
		for (size_t j = 0; j < r->n_to; j++)
			check_peer(errs, FIELD_INDEX(FIELD(at, "to"), j), r->to[j]);
	}
	if (s->n_policy_types > 2)
		field_invalid_json(errs, FIELD(p, "policyTypes"),
		                   json_of_strings(errs, s->policy_types, s->n_policy_types),
		                   "may not specify more than two policyTypes");
	for (size_t i = 0; i < s->n_policy_types && s->n_policy_types <= 2; i++)
		check_enum(errs, FIELD_INDEX(FIELD(p, "policyTypes"), i), s->policy_types[i],
		           LIST("Ingress", "Egress"));
}

static void policy_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	row_name(r, obj);
	row_selector(ctx, r, OBJECT_MSG(obj, NetworkingV1__NetworkPolicy)->spec->pod_selector);
	row_age(ctx, r, obj);
}

const struct strategy networkpolicy_strategy = {
    .kind = "NetworkPolicy",
    .generation = GENERATION_SPEC,
    .defaults = policy_defaults,
    .validate = policy_validate,
    .allow_unconditional_update = true,
    .table_row = policy_row,
};

/* --- IPAddress -------------------------------------------------------------------------------- */

/* The name is an address in its canonical form. */
static size_t names_canonical_ip(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	char text[IP_TEXT_BYTES];
	struct ip ip;

	if (!ip_parse(s, &ip)) {
		ret[0] = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
		return 1;
	}
	if (!strcmp(ip_format(&ip, text), s))
		return 0;
	ret[0] = arena_printf(a, "must be in canonical form (\"%s\")", text);
	return 1;
}

static void address_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__ParentReference *ref =
	    OBJECT_MSG(obj, NetworkingV1__IPAddress)->spec->parent_ref;
	path_t p = FIELD(NULL, "spec.parentRef");

	if (!ref) {
		field_required(errs, p, "");
		return;
	}
	if (*ref->group)
		check_name(errs, FIELD(p, "group"), ref->group, names_dns1123_subdomain);
	check_required_name(errs, FIELD(p, "resource"), ref->resource, names_path_segment);
	check_required_name(errs, FIELD(p, "name"), ref->name, names_path_segment);
	if (*ref->namespace_)
		check_name(errs, FIELD(p, "namespace"), ref->namespace_, names_path_segment);
}

static void address_update(const struct strategy_ctx *ctx, const struct object *obj,
                           const struct object *old, errs_t errs)
{
	const NetworkingV1__ParentReference *ref =
	    OBJECT_MSG(obj, NetworkingV1__IPAddress)->spec->parent_ref;

	if (!same_msg(ref, OBJECT_MSG(old, NetworkingV1__IPAddress)->spec->parent_ref))
		field_invalid_json(errs, FIELD(NULL, "spec.parentRef"), go_json_of(errs, ref),
		                   "field is immutable");
}

static void address_row(const struct strategy_ctx *ctx, const struct object *obj,
                        struct table_row *r)
{
	const NetworkingV1__ParentReference *ref =
	    OBJECT_MSG(obj, NetworkingV1__IPAddress)->spec->parent_ref;
	const char *text = "<none>";

	if (ref)
		text = arena_printf(ctx->arena, "%s%s%s/%s%s%s", ref->resource,
		                    *ref->group ? "." : "", ref->group, ref->namespace_,
		                    *ref->namespace_ ? "/" : "", ref->name);
	row_name(r, obj);
	row_str(r, text);
}

const struct strategy ipaddress_strategy = {
    .kind = "IPAddress",
    .name_syntax = names_canonical_ip,
    .validate = address_validate,
    .validate_update = address_update,
    .allow_unconditional_update = true,
    .table_row = address_row,
};

/* --- ServiceCIDR ------------------------------------------------------------------------------ */

static void cidr_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__ServiceCIDRSpec *s = OBJECT_MSG(obj, NetworkingV1__ServiceCIDR)->spec;
	path_t p = FIELD(NULL, "spec.cidrs");
	struct ip_prefix a, b;

	if (!s->n_cidrs)
		field_required(errs, p, "at least one CIDR required");
	else if (s->n_cidrs > 2)
		field_invalid_json(errs, p, json_of_strings(errs, s->cidrs, s->n_cidrs),
		                   "may only hold up to 2 values");
	for (size_t i = 0; i < s->n_cidrs; i++)
		check_name(errs, FIELD_INDEX(p, i), s->cidrs[i], names_cidr);
	if (s->n_cidrs == 2 && ip_prefix_parse(s->cidrs[0], &a) &&
	    ip_prefix_parse(s->cidrs[1], &b) && a.ip.len == b.ip.len)
		field_invalid_json(
		    errs, p, json_of_strings(errs, s->cidrs, s->n_cidrs),
		    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 "
		    "and 2001:db8::/64");
}

static void cidr_update(const struct strategy_ctx *ctx, const struct object *obj,
                        const struct object *old_obj, errs_t errs)
{
	const NetworkingV1__ServiceCIDRSpec *s = OBJECT_MSG(obj, NetworkingV1__ServiceCIDR)->spec;
	const NetworkingV1__ServiceCIDRSpec *old =
	    OBJECT_MSG(old_obj, NetworkingV1__ServiceCIDR)->spec;

	/* A second family may be added. */
	for (size_t i = 0; i < old->n_cidrs; i++)
		if (i >= s->n_cidrs || strcmp(s->cidrs[i], old->cidrs[i]))
			field_invalid_json(errs, FIELD_INDEX(FIELD(NULL, "spec.cidrs"), i),
			                   i < s->n_cidrs ? field_quote(errs->arena, s->cidrs[i])
			                                  : "null",
			                   "field is immutable");
}

static void cidr_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const NetworkingV1__ServiceCIDRSpec *s = OBJECT_MSG(obj, NetworkingV1__ServiceCIDR)->spec;

	row_name(r, obj);
	row_list(ctx, r, s->cidrs, s->n_cidrs, "");
	row_age(ctx, r, obj);
}

const struct strategy servicecidr_strategy = {
    .kind = "ServiceCIDR",
    .has_status = true,
    .validate = cidr_validate,
    .validate_update = cidr_update,
    .allow_unconditional_update = true,
    .table_row = cidr_row,
};
