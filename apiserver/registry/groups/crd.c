/* SPDX-License-Identifier: Apache-2.0 */
/* apiextensions.k8s.io: CustomResourceDefinitions. Expressions are checked by who compiles them. */
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/groups/crd_schema.h"
#include "apiserver/registry/groups/kinds.h"

static const char approved[] = "api-approved.kubernetes.io";

typedef const ApiextensionsV1__CustomResourceDefinitionSpec *spec_t;
typedef const ApiextensionsV1__CustomResourceDefinitionVersion *version_t;

static char *lower(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);

	for (char *c = copy; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	return copy;
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	ApiextensionsV1__CustomResourceDefinitionSpec *s =
	    OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition)->spec;
	struct arena *a = ctx->arena;

	if (!*s->names->singular)
		s->names->singular = lower(a, s->names->kind);
	if (!*s->names->list_kind && *s->names->kind)
		s->names->list_kind = arena_printf(a, "%sList", s->names->kind);
	if (!s->conversion) {
		s->conversion = MSG_NEW(a, ApiextensionsV1__CustomResourceConversion,
		                        apiextensions_v1__custom_resource_conversion__descriptor);
		s->conversion->strategy = arena_strdup(a, "None");
	}
	if (s->conversion->webhook && s->conversion->webhook->client_config &&
	    s->conversion->webhook->client_config->service &&
	    !s->conversion->webhook->client_config->service->has_port)
		SET(s->conversion->webhook->client_config->service, port, 443);
}

/* Versions that were ever stored are remembered. */
static void remember_stored(struct arena *a, ApiextensionsV1__CustomResourceDefinition *crd)
{
	ApiextensionsV1__CustomResourceDefinitionStatus *st = crd->status;
	char **list = arena_array(a, char *, st->n_stored_versions + crd->spec->n_versions + 1);
	struct index stored = INDEX_IN(a);
	size_t n = 0;

	for (size_t i = 0; i < st->n_stored_versions; i++) {
		list[n++] = st->stored_versions[i];
		index_add(&stored, st->stored_versions[i], 0);
	}
	for (size_t i = 0; i < crd->spec->n_versions; i++)
		if (crd->spec->versions[i]->storage &&
		    index_add(&stored, crd->spec->versions[i]->name, 0))
			list[n++] = crd->spec->versions[i]->name;
	st->stored_versions = list;
	st->n_stored_versions = n;
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	remember_stored(ctx->arena, OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition));
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	ApiextensionsV1__CustomResourceDefinition *crd =
	    OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition);

	/* The status is the old object's own: it is copied before it is added to. */
	crd->status = arena_memdup(ctx->arena, crd->status, sizeof(*crd->status));
	remember_stored(ctx->arena, crd);
}

/* --- names ------------------------------------------------------------------------------------ */

static void check_kind(errs_t errs, path_t p, const char *kind)
{
	const char *msgs[NAMES_MAX];
	size_t n = names_dns1035_label(lower(errs->arena, kind), errs->arena, msgs);

	for (size_t i = 0; i < n; i++)
		field_invalid(errs, p, kind,
		              arena_printf(errs->arena,
		                           "may have mixed case, but should otherwise match: %s",
		                           msgs[i]));
}

static void check_names(errs_t errs, path_t p,
                        const ApiextensionsV1__CustomResourceDefinitionNames *n)
{
	check_name(errs, FIELD(p, "plural"), n->plural, names_dns1035_label);
	if (*n->singular)
		check_name(errs, FIELD(p, "singular"), n->singular, names_dns1035_label);
	check_kind(errs, FIELD(p, "kind"), n->kind);
	check_kind(errs, FIELD(p, "listKind"), n->list_kind);
	for (size_t i = 0; i < n->n_short_names; i++)
		check_name(errs, FIELD_INDEX(FIELD(p, "shortNames"), i), n->short_names[i],
		           names_dns1035_label);
	for (size_t i = 0; i < n->n_categories; i++)
		check_name(errs, FIELD_INDEX(FIELD(p, "categories"), i), n->categories[i],
		           names_dns1035_label);
	if (*n->kind && !strcmp(n->kind, n->list_kind))
		field_invalid(errs, FIELD(p, "listKind"), n->list_kind,
		              "kind and listKind may not be the same");
}

static void check_group(errs_t errs, const ApiextensionsV1__CustomResourceDefinition *crd)
{
	const char *group = crd->spec->group;
	path_t p = FIELD(NULL, "spec.group");

	if (!check_required_name(errs, p, group, names_dns1123_subdomain))
		return;
	if (!strchr(group, '.'))
		field_invalid(errs, p, group, "should be a domain with at least one dot");
	if (!has_suffix(group, ".k8s.io") && !has_suffix(group, ".kubernetes.io"))
		return;
	const char *value = strings_get(STRINGS(crd->metadata->annotations),
	                                crd->metadata->n_annotations, approved);
	path_t at = FIELD_KEY(FIELD(NULL, "metadata.annotations"), approved);
	if (!value || !*value)
		field_required(errs, at,
		               "protected groups must have approval annotation "
		               "\"api-approved.kubernetes.io\", see "
		               "https://github.com/kubernetes/enhancements/pull/1111");
	else if (!has_prefix(value, "unapproved") && !has_prefix(value, "https://"))
		field_invalid(
		    errs, at, value,
		    "protected groups must have approval annotation "
		    "\"api-approved.kubernetes.io\" with either a URL or a reason starting "
		    "with \"unapproved\"");
}

/* --- versions --------------------------------------------------------------------------------- */

static void check_json_path(errs_t errs, path_t p, const char *path, const char *under,
                            const char *what)
{
	if (!*path)
		field_required(errs, p, "");
	else if (*path != '.')
		field_invalid(errs, p, path, "must be a simple json path starting with .");
	else if (under && !has_prefix(path, under))
		field_invalid(errs, p, path, what);
}

static void check_subresources(errs_t errs, path_t p,
                               const ApiextensionsV1__CustomResourceSubresources *s)
{
	const ApiextensionsV1__CustomResourceSubresourceScale *scale = s ? s->scale : NULL;

	if (!scale)
		return;
	check_json_path(errs, FIELD(p, "scale.specReplicasPath"), scale->spec_replicas_path,
	                ".spec.", "should be a json path under .spec");
	check_json_path(errs, FIELD(p, "scale.statusReplicasPath"), scale->status_replicas_path,
	                ".status.", "should be a json path under .status");
	if (scale->label_selector_path && *scale->label_selector_path &&
	    !has_prefix(scale->label_selector_path, ".status.") &&
	    !has_prefix(scale->label_selector_path, ".spec."))
		field_invalid(errs, FIELD(p, "scale.labelSelectorPath"), scale->label_selector_path,
		              "should be a json path under either .status or .spec");
}

static void check_column(errs_t errs, path_t p,
                         const ApiextensionsV1__CustomResourceColumnDefinition *c)
{
	static const char *const formats[] = {"int32", "int64",     "float",    "double", "byte",
	                                      "date",  "date-time", "password", NULL};

	check_required(errs, FIELD(p, "name"), c->name);
	if (check_required(errs, FIELD(p, "type"), c->type) &&
	    !list_has(LIST("boolean", "date", "integer", "number", "string"), c->type))
		field_invalid(errs, FIELD(p, "type"), c->type,
		              "must be one of boolean,date,integer,number,string");
	if (*c->format && !list_has(formats, c->format))
		field_invalid(
		    errs, FIELD(p, "format"), c->format,
		    "must be one of byte,date,date-time,double,float,int32,int64,password");
	check_json_path(errs, FIELD(p, "JSONPath"), c->json_path, NULL, NULL);
}

static bool same_schema(version_t a, version_t b)
{
	return same_msg(a->schema, b->schema);
}

static bool same_subresources(version_t a, version_t b)
{
	return same_msg(a->subresources, b->subresources);
}

static bool same_columns(version_t a, version_t b)
{
	return same_list(a->additional_printer_columns, a->n_additional_printer_columns,
	                 b->additional_printer_columns, b->n_additional_printer_columns);
}

/* What all versions have alike is named as if it stood once, above them. */
static bool all_alike(spec_t s, bool (*same)(version_t, version_t))
{
	for (size_t i = 1; i < s->n_versions; i++)
		if (!same(s->versions[0], s->versions[i]))
			return false;
	return true;
}

static void check_contents(errs_t errs, spec_t s)
{
	bool schema = all_alike(s, same_schema), sub = all_alike(s, same_subresources);
	bool columns = all_alike(s, same_columns);

	for (size_t i = 0; i < s->n_versions; i++) {
		version_t v = s->versions[i];
		path_t at = FIELD_INDEX(FIELD(NULL, "spec.versions"), i);
		if (!v->schema || !v->schema->open_apiv3_schema)
			field_required(errs, FIELD(at, "schema.openAPIV3Schema"), "");
		else if (!schema || !i)
			crd_schema_check(errs,
			                 schema ? FIELD(NULL, "spec.validation.openAPIV3Schema")
			                        : FIELD(at, "schema.openAPIV3Schema"),
			                 v->schema->open_apiv3_schema);
		if (!sub || !i)
			check_subresources(errs,
			                   sub ? FIELD(NULL, "spec.subresources")
			                       : FIELD(at, "subresources"),
			                   v->subresources);
		path_t list = columns ? FIELD(NULL, "spec.additionalPrinterColumns")
		                      : FIELD(at, "additionalPrinterColumns");
		for (size_t j = 0; (!columns || !i) && j < v->n_additional_printer_columns; j++)
			check_column(errs, FIELD_INDEX(list, j), v->additional_printer_columns[j]);
	}
}

static const char *versions_json(errs_t errs, spec_t s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_byte(&b, '[');
	for (size_t i = 0; i < s->n_versions; i++) {
		buf_str(&b, i ? "," : "");
		buf_str(&b, go_json_of(errs, s->versions[i]));
	}
	buf_byte(&b, ']');
	return arena_strndup(errs->arena, b.data, b.len);
}

static void check_versions(errs_t errs, spec_t s)
{
	path_t p = FIELD(NULL, "spec.versions");
	struct index names = INDEX_IN(errs->arena);
	size_t storage = 0;
	bool unique = true;

	for (size_t i = 0; i < s->n_versions; i++) {
		version_t v = s->versions[i];
		storage += v->storage != 0;
		check_name(errs, FIELD(FIELD_INDEX(p, i), "name"), v->name, names_dns1035_label);
		if (v->deprecation_warning && !v->deprecated)
			field_invalid(errs, FIELD(FIELD_INDEX(p, i), "deprecationWarning"),
			              v->deprecation_warning,
			              "can only be set for deprecated versions");
		unique &= index_add(&names, v->name, 0);
	}
	if (!unique)
		field_invalid_json(errs, p, versions_json(errs, s),
		                   "must contain unique version names");
	if (storage != 1)
		field_invalid_json(errs, p, versions_json(errs, s),
		                   "must have exactly one version marked as storage version");
}

static void check_stored_versions(errs_t errs, const ApiextensionsV1__CustomResourceDefinition *crd)
{
	const ApiextensionsV1__CustomResourceDefinitionStatus *st = crd->status;
	path_t p = FIELD(NULL, "status.storedVersions");
	bool *found = arena_array(errs->arena, bool, st->n_stored_versions + 1);
	struct index stored = INDEX_IN(errs->arena);

	if (!st->n_stored_versions) {
		field_invalid_json(errs, p, "null", "must have at least one stored version");
		return;
	}
	const char *json = json_of_strings(errs, st->stored_versions, st->n_stored_versions);
	for (size_t j = 0; j < st->n_stored_versions; j++)
		index_add(&stored, st->stored_versions[j], (uint32_t)j);
	for (size_t i = 0; i < crd->spec->n_versions; i++) {
		version_t v = crd->spec->versions[i];
		int64_t j = index_find(&stored, v->name);
		/* Each stored version stands for one of the versions. */
		if (j >= 0 && !found[j])
			found[j] = true;
		else if (v->storage)
			field_add(errs, FIELD_INVALID, p, json, "must have the storage version %s",
			          v->name);
	}
	for (size_t j = 0; j < st->n_stored_versions; j++)
		if (!found[j])
			field_invalid(errs, FIELD_INDEX(p, j), st->stored_versions[j],
			              "must appear in spec.versions");
}

/* --- conversion ------------------------------------------------------------------------------- */

static void check_conversion(errs_t errs, const ApiextensionsV1__CustomResourceConversion *c)
{
	path_t p = FIELD(NULL, "spec.conversion");
	const ApiextensionsV1__WebhookConversion *w = c ? c->webhook : NULL;

	if (!c)
		return;
	if (!check_required_enum(errs, FIELD(p, "strategy"), c->strategy, LIST("None", "Webhook")))
		return;
	if (!strcmp(c->strategy, "None")) {
		if (w && w->client_config)
			field_forbidden(errs, FIELD(p, "webhookClientConfig"),
			                "should not be set when strategy is not set to Webhook");
		if (w && w->n_conversion_review_versions)
			field_forbidden(errs, FIELD(p, "conversionReviewVersions"),
			                "should not be set when strategy is not set to Webhook");
		return;
	}
	if (!w || !w->client_config)
		field_required(errs, FIELD(p, "webhookClientConfig"),
		               "required when strategy is set to Webhook");
	else if (!w->client_config->url == !w->client_config->service)
		field_required(errs, FIELD(p, "webhookClientConfig"),
		               "exactly one of url or service is required");
	if (!w || !w->n_conversion_review_versions) {
		field_required(errs, FIELD(p, "conversionReviewVersions"), "");
		return;
	}
	if (!strings_have(w->conversion_review_versions, w->n_conversion_review_versions, "v1") &&
	    !strings_have(w->conversion_review_versions, w->n_conversion_review_versions,
	                  "v1beta1"))
		field_invalid_json(errs, FIELD(p, "conversionReviewVersions"),
		                   json_of_strings(errs, w->conversion_review_versions,
		                                   w->n_conversion_review_versions),
		                   "must include at least one of v1, v1beta1");
}

static void check_preserve(errs_t errs, spec_t s)
{
	path_t p = FIELD(NULL, "spec.preserveUnknownFields");
	bool has_default = false;

	if (!s->preserve_unknown_fields)
		return;
	field_add(errs, FIELD_INVALID, p, "true",
	          "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
	          "spec.versions[*].schema instead");
	for (size_t i = 0; i < s->n_versions; i++)
		has_default |= s->versions[i]->schema &&
		               crd_schema_has_default(s->versions[i]->schema->open_apiv3_schema, 0);
	if (has_default)
		field_add(errs, FIELD_INVALID, p, "true",
		          "must be false in order to use defaults in the schema");
}

/* --- strategies ------------------------------------------------------------------------------- */

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const ApiextensionsV1__CustomResourceDefinition *crd =
	    OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition);
	spec_t s = crd->spec;

	check_group(errs, crd);
	check_enum(errs, FIELD(NULL, "spec.scope"), s->scope, LIST("Cluster", "Namespaced"));
	check_names(errs, FIELD(NULL, "spec.names"), s->names);
	check_versions(errs, s);
	check_contents(errs, s);
	check_conversion(errs, s->conversion);
	check_preserve(errs, s);
	check_stored_versions(errs, crd);
}

static void validate_create(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	spec_t s = OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition)->spec;
	const char *wanted = arena_printf(errs->arena, "%s.%s", s->names->plural, s->group);

	if (*object_name(obj) && strcmp(object_name(obj), wanted))
		field_invalid(errs, FIELD(NULL, "metadata.name"), object_name(obj),
		              "must be spec.names.plural+\".\"+spec.group");
}

static bool is_established(const ApiextensionsV1__CustomResourceDefinition *crd)
{
	for (size_t i = 0; i < crd->status->n_conditions; i++)
		if (!strcmp(crd->status->conditions[i]->type, "Established"))
			return !strcmp(crd->status->conditions[i]->status, "True");
	return false;
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	spec_t s = OBJECT_MSG(obj, ApiextensionsV1__CustomResourceDefinition)->spec;
	const ApiextensionsV1__CustomResourceDefinition *old =
	    OBJECT_MSG(old_obj, ApiextensionsV1__CustomResourceDefinition);

	check_immutable_str(errs, FIELD(NULL, "spec.group"), s->group, old->spec->group);
	check_immutable_str(errs, FIELD(NULL, "spec.names.plural"), s->names->plural,
	                    old->spec->names->plural);
	if (!is_established(old))
		return;
	check_immutable_str(errs, FIELD(NULL, "spec.scope"), s->scope, old->spec->scope);
	check_immutable_str(errs, FIELD(NULL, "spec.names.kind"), s->names->kind,
	                    old->spec->names->kind);
}

const struct strategy crd_strategy = {
    .kind = "CustomResourceDefinition",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
};

const struct strategy crd_status_strategy = {
    .kind = "CustomResourceDefinition",
    .is_status = true,
    .keeps_metadata = true,
    .lax_update = true,
    .defaults = defaults,
};
