/* SPDX-License-Identifier: Apache-2.0 */
/* networking.k8s.io: Ingresses and IngressClasses. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

static const char class_annotation[] = "kubernetes.io/ingress.class";

static void check_service_backend(errs_t errs, path_t p,
                                  const NetworkingV1__IngressServiceBackend *s)
{
	const NetworkingV1__ServiceBackendPort *port = s->port;

	check_required_name(errs, FIELD(p, "service.name"), s->name, names_dns1123_label);
	bool named = port && *port->name, numbered = port && port->number;
	if (named && numbered) {
		field_invalid(errs, p, "", "cannot set both port name & port number");
	} else if (named) {
		check_name(errs, FIELD(p, "service.port.name"), port->name, names_port_name);
	} else if (numbered) {
		check_port(errs, FIELD(p, "service.port.number"), port->number);
	} else {
		field_required(errs, p, "port name or number is required");
	}
}

static void check_backend(errs_t errs, path_t p, const NetworkingV1__IngressBackend *b)
{
	if (b->service && b->resource) {
		field_invalid(errs, p, "", "cannot set both resource and service backends");
	} else if (b->resource) {
		check_required(errs, FIELD(p, "resource.kind"), b->resource->kind);
		check_required(errs, FIELD(p, "resource.name"), b->resource->name);
	} else if (b->service) {
		check_service_backend(errs, p, b->service);
	} else {
		field_invalid(errs, p, "", "resource or service backend is required");
	}
}

static void check_path(errs_t errs, path_t p, const NetworkingV1__HTTPIngressPath *h)
{
	static const char *const bad[] = {"//", "/./", "/../", "%2f", "%2F", NULL};
	static const char *const bad_ends[] = {"/..", "/.", NULL};
	path_t at = FIELD(p, "path");

	if (!h->path_type) {
		field_required(errs, FIELD(p, "pathType"), "pathType must be specified");
	} else if (list_has(LIST("Exact", "Prefix"), h->path_type)) {
		if (*h->path != '/')
			field_invalid(errs, at, h->path, "must be an absolute path");
		for (const char *const *b = bad; *h->path && *b; b++)
			if (strstr(h->path, *b))
				field_add(errs, FIELD_INVALID, at,
				          field_quote(errs->arena, h->path),
				          "must not contain '%s'", *b);
		for (const char *const *b = bad_ends; *h->path && *b; b++)
			if (has_suffix(h->path, *b))
				field_add(errs, FIELD_INVALID, at,
				          field_quote(errs->arena, h->path), "cannot end with '%s'",
				          *b);
	} else if (!strcmp(h->path_type, "ImplementationSpecific")) {
		if (*h->path && *h->path != '/')
			field_invalid(errs, at, h->path, "must be an absolute path");
	} else {
		field_not_supported(errs, FIELD(p, "pathType"), h->path_type,
		                    LIST("Exact", "ImplementationSpecific", "Prefix"));
	}
	check_backend(errs, FIELD(p, "backend"), h->backend);
}

static void check_host(errs_t errs, path_t p, const char *host)
{
	struct ip ip;

	if (!*host)
		return;
	if (ip_parse(host, &ip))
		field_invalid(errs, p, host, "must be a DNS name, not an IP address");
	check_name(errs, p, host,
	           strchr(host, '*') ? names_wildcard_dns1123_subdomain : names_dns1123_subdomain);
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__IngressSpec *s = OBJECT_MSG(obj, NetworkingV1__Ingress)->spec;
	path_t p = FIELD(NULL, "spec");

	if (!s->n_rules && !s->default_backend)
		field_invalid_json(errs, p, "null",
		                   "either `defaultBackend` or `rules` must be specified");
	if (s->default_backend)
		check_backend(errs, FIELD(p, "defaultBackend"), s->default_backend);
	for (size_t i = 0; i < s->n_rules; i++) {
		const NetworkingV1__IngressRule *r = s->rules[i];
		const NetworkingV1__HTTPIngressRuleValue *http = r->ingress_rule_value->http;
		path_t at = FIELD_INDEX(FIELD(p, "rules"), i);
		check_host(errs, FIELD(at, "host"), r->host);
		if (!http)
			continue;
		if (!http->n_paths)
			field_required(errs, FIELD(at, "http.paths"), "");
		for (size_t j = 0; j < http->n_paths; j++)
			check_path(errs, FIELD_INDEX(FIELD(at, "http.paths"), j), http->paths[j]);
	}
	for (size_t i = 0; i < s->n_tls; i++) {
		path_t at = FIELD_INDEX(FIELD(p, "tls"), i);
		for (size_t j = 0; j < s->tls[i]->n_hosts; j++)
			check_host(errs, FIELD_INDEX(FIELD(at, "hosts"), j), s->tls[i]->hosts[j]);
		if (*s->tls[i]->secret_name)
			check_name(errs, FIELD(at, "secretName"), s->tls[i]->secret_name,
			           names_dns1123_subdomain);
	}
	if (s->ingress_class_name)
		check_name(errs, FIELD(p, "ingressClassName"), s->ingress_class_name,
		           names_dns1123_subdomain);
}

static void validate_create(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__IngressSpec *s = OBJECT_MSG(obj, NetworkingV1__Ingress)->spec;
	const char *class = strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations,
	                                class_annotation);

	if (class && s->ingress_class_name && strcmp(class, s->ingress_class_name))
		field_invalid(errs, FIELD_KEY(FIELD(NULL, "annotations"), class_annotation), class,
		              "must match `ingressClassName` when both are specified");
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	if (!old && strings_get(STRINGS(obj->meta->annotations), obj->meta->n_annotations,
	                        class_annotation))
		strategy_warn(w,
		              "annotation \"%s\" is deprecated, please use 'spec.ingressClassName' "
		              "instead",
		              class_annotation);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const NetworkingV1__Ingress *in = OBJECT_MSG(obj, NetworkingV1__Ingress);
	const NetworkingV1__IngressLoadBalancerStatus *lb = in->status->load_balancer;
	const char *hosts = "";
	struct join address = JOIN(ctx->arena, ",");
	size_t n = 0, shown = 0;

	for (size_t i = 0; i < in->spec->n_rules; i++) {
		if (!*in->spec->rules[i]->host)
			continue;
		if (n++ < 3) {
			hosts = joined(ctx->arena, hosts, in->spec->rules[i]->host, ",");
			shown++;
		}
	}
	if (n > shown)
		hosts = arena_printf(ctx->arena, "%s + %zu more...", hosts, n - shown);
	for (size_t i = 0; i < lb->n_ingress; i++)
		join_add(&address,
		         *lb->ingress[i]->ip ? lb->ingress[i]->ip : lb->ingress[i]->hostname);
	row_name(r, obj);
	row_or_none(r, in->spec->ingress_class_name);
	row_str(r, n ? hosts : "*");
	row_str(r, join_text(&address));
	row_str(r, in->spec->n_tls ? "80, 443" : "80");
	row_age(ctx, r, obj);
}

const struct strategy ingress_strategy = {
    .kind = "Ingress",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .validate = validate,
    .validate_create = validate_create,
    .warnings = warnings,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy ingress_status_strategy = {
    .kind = "Ingress",
    .is_status = true,
    .lax_update = true,
    .allow_unconditional_update = true,
    .table_row = row,
};

static void class_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NetworkingV1__IngressClassSpec *s = OBJECT_MSG(obj, NetworkingV1__IngressClass)->spec;
	const NetworkingV1__IngressClassParametersReference *ref = s->parameters;
	path_t p = FIELD(NULL, "spec"), at = FIELD(p, "parameters");

	if (check_required(errs, FIELD(p, "controller"), s->controller)) {
		if (strlen(s->controller) > 250)
			field_too_long(errs, FIELD(p, "controller"), 250);
		check_name(errs, FIELD(p, "controller"), s->controller, names_domain_prefixed_path);
	}
	if (!ref)
		return;
	check_required(errs, FIELD(at, "kind"), ref->kind);
	check_required(errs, FIELD(at, "name"), ref->name);
	if (!ref->scope) {
		field_required(errs, FIELD(at, "scope"), "");
		return;
	}
	check_enum(errs, FIELD(at, "scope"), ref->scope, LIST("Cluster", "Namespace"));
	if (!strcmp(ref->scope, "Namespace") && !(ref->namespace_ && *ref->namespace_))
		field_required(errs, FIELD(at, "namespace"),
		               "`parameters.scope` is set to 'Namespace'");
	if (!strcmp(ref->scope, "Cluster") && ref->namespace_)
		field_forbidden(errs, FIELD(at, "namespace"),
		                "`parameters.scope` is set to 'Cluster'");
}

static void class_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old, errs_t errs)
{
	check_immutable_str(errs, FIELD(NULL, "spec.controller"),
	                    OBJECT_MSG(obj, NetworkingV1__IngressClass)->spec->controller,
	                    OBJECT_MSG(old, NetworkingV1__IngressClass)->spec->controller);
}

static void class_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const NetworkingV1__IngressClassSpec *s = OBJECT_MSG(obj, NetworkingV1__IngressClass)->spec;
	const NetworkingV1__IngressClassParametersReference *ref = s->parameters;
	const char *text = "<none>";

	if (ref)
		text = arena_printf(ctx->arena, "%s%s%s/%s", ref->kind,
		                    ref->api_group && *ref->api_group ? "." : "",
		                    ref->api_group ? ref->api_group : "", ref->name);
	row_name(r, obj);
	row_str(r, s->controller);
	row_str(r, text);
	row_age(ctx, r, obj);
}

const struct strategy ingressclass_strategy = {
    .kind = "IngressClass",
    .generation = GENERATION_SPEC,
    .validate = class_validate,
    .validate_update = class_update,
    .allow_unconditional_update = true,
    .table_row = class_row,
};
