/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/groups/crd_schema.h"

#include "common/codec/jvalue.h"

enum { DEPTH_MAX = 64 };

typedef const ApiextensionsV1__JSONSchemaProps *schema_t;

bool crd_schema_has_default(schema_t s, int depth)
{
	if (!s || depth > DEPTH_MAX)
		return false;
	if (s->default_)
		return true;
	for (size_t i = 0; i < s->n_properties; i++)
		if (crd_schema_has_default(s->properties[i]->value, depth + 1))
			return true;
	return (s->items && crd_schema_has_default(s->items->schema, depth + 1)) ||
	       (s->additional_properties &&
	        crd_schema_has_default(s->additional_properties->schema, depth + 1));
}

static const char *kind_of(const struct jvalue *v)
{
	switch (v->kind) {
	case JVALUE_NULL:
		return "null";
	case JVALUE_BOOL:
		return "boolean";
	case JVALUE_INT:
		return "integer";
	case JVALUE_DOUBLE:
		return "number";
	case JVALUE_STRING:
		return "string";
	case JVALUE_ARRAY:
		return "array";
	default:
		return "object";
	}
}

/* A default must be of the type that it stands in for. */
static void check_default(errs_t errs, path_t p, schema_t s)
{
	struct jvalue *v;
	const char *kind;

	if (!s->default_ || !*s->type)
		return;
	if (jvalue_parse(slice_of(s->default_->raw.data, s->default_->raw.len), errs->arena, NULL,
	                 &v, NULL))
		return;
	kind = kind_of(v);
	if (!strcmp(kind, s->type) || (!strcmp(kind, "integer") && !strcmp(s->type, "number")) ||
	    (!strcmp(kind, "null") && s->nullable))
		return;
	field_add(errs, FIELD_TYPE_INVALID, FIELD(p, "default"), field_quote(errs->arena, kind),
	          " in body must be of type %s: \"%s\"", s->type, kind);
}

static void check_list_type(errs_t errs, path_t p, schema_t s)
{
	const char *type = s->x_kubernetes_list_type;
	path_t keys = FIELD(p, "x-kubernetes-list-map-keys");

	if (!type) {
		if (s->n_x_kubernetes_list_map_keys)
			field_required(errs, FIELD(p, "x-kubernetes-list-type"),
			               "must be map if x-kubernetes-list-map-keys is non-empty");
		return;
	}
	if (!check_enum(errs, FIELD(p, "x-kubernetes-list-type"), type,
	                LIST("atomic", "map", "set")))
		return;
	if (strcmp(s->type, "array"))
		field_invalid(errs, FIELD(p, "type"), s->type,
		              "must be array if x-kubernetes-list-type is specified");
	if (strcmp(type, "map")) {
		if (s->n_x_kubernetes_list_map_keys)
			field_invalid(errs, FIELD(p, "x-kubernetes-list-type"), type,
			              "must be map if x-kubernetes-list-map-keys is non-empty");
		return;
	}
	if (!s->n_x_kubernetes_list_map_keys)
		field_required(errs, keys, "must not be empty if x-kubernetes-list-type is map");
	schema_t items = s->items ? s->items->schema : NULL;
	if (!items)
		return;
	if (strcmp(items->type, "object"))
		field_invalid(errs, FIELD(p, "items.type"), items->type,
		              "must be object if parent array's x-kubernetes-list-type is map");
	struct index names = INDEX_IN(errs->arena);
	for (size_t i = 0; i < items->n_properties; i++)
		index_add(&names, items->properties[i]->key, 0);
	for (size_t i = 0; i < s->n_x_kubernetes_list_map_keys; i++) {
		if (!index_has(&names, s->x_kubernetes_list_map_keys[i]))
			field_invalid(errs, FIELD_INDEX(keys, i), s->x_kubernetes_list_map_keys[i],
			              "must be the name of an existing property in items");
	}
}

static void forbid(errs_t errs, path_t p, const char *field, bool set)
{
	if (set)
		field_forbidden(errs, FIELD(p, field), "must not be set in a structural schema");
}

static void check_node(errs_t errs, path_t p, schema_t s, const char *what, int depth)
{
	static const char *const types[] = {"object",  "array",  "number", "integer",
	                                    "boolean", "string", NULL};
	bool free_type = s->x_kubernetes_int_or_string || s->x_kubernetes_preserve_unknown_fields;

	if (depth > DEPTH_MAX) {
		field_forbidden(errs, p, "schemas may not be nested this deeply");
		return;
	}
	if (!*s->type && !free_type)
		field_required(errs, FIELD(p, "type"),
		               arena_printf(errs->arena, "must not be empty for %s", what));
	else if (*s->type && !list_has(types, s->type))
		field_not_supported(
		    errs, FIELD(p, "type"), s->type,
		    LIST("array", "boolean", "integer", "number", "object", "string"));
	if (s->x_kubernetes_int_or_string && *s->type)
		field_invalid(errs, FIELD(p, "type"), s->type,
		              "must be empty if x-kubernetes-int-or-string is true");
	if (s->x_kubernetes_embedded_resource && strcmp(s->type, "object"))
		field_invalid(errs, FIELD(p, "type"), s->type,
		              "must be object if x-kubernetes-embedded-resource is true");
	if (s->n_properties && s->additional_properties &&
	    (s->additional_properties->schema || s->additional_properties->allows))
		field_forbidden(errs, FIELD(p, "additionalProperties"),
		                "additionalProperties and properties are mutual exclusive");
	forbid(errs, p, "$ref", s->ref != NULL);
	forbid(errs, p, "definitions", s->n_definitions);
	forbid(errs, p, "dependencies", s->n_dependencies);
	forbid(errs, p, "patternProperties", s->n_pattern_properties);
	forbid(errs, p, "additionalItems", s->additional_items != NULL);
	if (s->unique_items)
		field_forbidden(
		    errs, FIELD(p, "uniqueItems"),
		    "uniqueItems cannot be set to true since the runtime complexity becomes "
		    "quadratic");
	check_list_type(errs, p, s);
	check_default(errs, p, s);
	if (!strcmp(s->type, "array") && !s->items)
		field_required(errs, FIELD(p, "items"), "must be specified");
	for (size_t i = 0; i < s->n_properties; i++)
		if (s->properties[i]->value)
			check_node(errs, FIELD_KEY(FIELD(p, "properties"), s->properties[i]->key),
			           s->properties[i]->value, "specified object fields", depth + 1);
	if (s->items && s->items->schema)
		check_node(errs, FIELD(p, "items"), s->items->schema, "specified array items",
		           depth + 1);
	if (s->items && s->items->n_json_schemas)
		field_forbidden(errs, FIELD(p, "items"),
		                "items must be a schema object and not an array");
	if (s->additional_properties && s->additional_properties->schema)
		check_node(errs, FIELD(p, "additionalProperties"), s->additional_properties->schema,
		           "specified object fields", depth + 1);
}

void crd_schema_check(errs_t errs, path_t p, schema_t s)
{
	if (!*s->type)
		field_required(errs, FIELD(p, "type"), "must not be empty at the root");
	else if (strcmp(s->type, "object"))
		field_invalid(errs, FIELD(p, "type"), s->type, "must be object at the root");
	if (s->nullable)
		field_forbidden(errs, FIELD(p, "nullable"), "nullable cannot be true at the root");
	check_node(errs, p, s, "the root", 0);
}
