/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/fieldmanager/field_type.h"

#include "common/codec/json_writer.h"

/* --- built-in kinds -------------------------------------------------------------------------- */

static const struct field_type ANY = {.klass = CLASS_ANY, .free_members = true};

static struct field_type scalar(enum field_scalar kind)
{
	return (struct field_type){.klass = CLASS_SCALAR, .scalar = kind};
}

static struct field_type message_type(const struct schema_message *m, bool atomic)
{
	switch (m->special) {
	case SCHEMA_PLAIN:
		return (struct field_type){.klass = CLASS_MAP,
		                           .atomic = atomic || m->flags & SCHEMA_MAP_ATOMIC,
		                           .message = m};
	case SCHEMA_TIME:
	case SCHEMA_MICRO_TIME:
	case SCHEMA_DURATION:
		return scalar(SCALAR_STRING);
	case SCHEMA_QUANTITY:
	case SCHEMA_INT_OR_STRING:
		return scalar(SCALAR_UNTYPED);
	case SCHEMA_STRING_LIST:
		return (struct field_type){
		    .klass = CLASS_LIST, .atomic = true, .field = &m->fields[0]};
	}
	return ANY;
}

/* One element of the field. */
static struct field_type element_type(const struct schema_field *f, bool atomic)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_type(f->message, atomic);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		return scalar(SCALAR_STRING);
	case PROTOBUF_C_TYPE_BOOL:
		return scalar(SCALAR_BOOL);
	}
	return scalar(SCALAR_NUMERIC);
}

static struct field_type field_type_of(const struct schema_field *f)
{
	bool atomic = f->flags & SCHEMA_STRUCT_ATOMIC;

	if (!(f->flags & SCHEMA_REPEATED))
		return element_type(f, atomic);
	if (f->flags & SCHEMA_MAP)
		return (struct field_type){
		    .klass = CLASS_MAP, .atomic = atomic, .free_members = true, .field = f};
	return (struct field_type){.klass = CLASS_LIST,
	                           .atomic = f->list_type == SCHEMA_LIST_ATOMIC,
	                           .set = f->list_type == SCHEMA_LIST_SET,
	                           .field = f};
}

struct field_type field_type_root(const struct schema_message *schema)
{
	return message_type(schema, false);
}

/* --- custom resources ------------------------------------------------------------------------ */

static const struct schema_message *object_meta(void)
{
	return schema_find("k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta");
}

static struct field_type crd_type(const struct jvalue *s)
{
	const char *type = jvalue_get_str(s, "type", "");
	struct field_type t = {.crd = s};

	if (jvalue_get_bool(s, "x-kubernetes-int-or-string", false))
		return scalar(SCALAR_UNTYPED);
	if (strcmp(type, "object") == 0) {
		t.klass = CLASS_MAP;
		t.atomic = strcmp(jvalue_get_str(s, "x-kubernetes-map-type", ""), "atomic") == 0;
		t.free_members = jvalue_get(s, "additionalProperties") ||
		                 jvalue_get_bool(s, "x-kubernetes-preserve-unknown-fields", false);
	} else if (strcmp(type, "array") == 0) {
		const char *list = jvalue_get_str(s, "x-kubernetes-list-type", "atomic");

		t.klass = CLASS_LIST;
		t.set = strcmp(list, "set") == 0;
		t.atomic = !t.set && strcmp(list, "map") != 0;
	} else if (strcmp(type, "string") == 0) {
		return scalar(SCALAR_STRING);
	} else if (strcmp(type, "boolean") == 0) {
		return scalar(SCALAR_BOOL);
	} else if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0) {
		return scalar(SCALAR_NUMERIC);
	} else {
		return ANY;
	}
	return t;
}

struct field_type field_type_crd(const struct jvalue *openapi)
{
	struct field_type t = crd_type(openapi);

	return t.klass == CLASS_MAP ? t : ANY;
}

static bool crd_member(struct field_type t, struct slice name, struct field_type *ret)
{
	const struct jvalue *s = jvalue_getn(jvalue_get(t.crd, "properties"), name);

	if (!s) {
		const struct jvalue *more = jvalue_get(t.crd, "additionalProperties");

		*ret = jvalue_is(more, JVALUE_OBJECT) ? crd_type(more) : ANY;
		return t.free_members;
	}
	*ret = crd_type(s);
	return true;
}

/* --- both ------------------------------------------------------------------------------------ */

struct field_type field_type_deduce(struct field_type t, struct value v)
{
	if (t.klass != CLASS_ANY)
		return t;
	switch (v.kind) {
	case VALUE_LIST:
		return (struct field_type){.klass = CLASS_LIST, .atomic = true};
	case VALUE_BOOL:
	case VALUE_INT:
	case VALUE_DOUBLE:
	case VALUE_STRING:
		return scalar(SCALAR_UNTYPED);
	}
	return (struct field_type){.klass = CLASS_MAP, .free_members = true};
}

static bool is_type_meta(struct slice name)
{
	return slice_eq_str(name, "apiVersion") || slice_eq_str(name, "kind");
}

/* The root of a custom resource need not declare what every object has. */
static bool is_object_root(struct field_type t)
{
	return jvalue_get(t.crd, "x-kubernetes-embedded-resource") ||
	       jvalue_get(jvalue_get(t.crd, "properties"), "metadata");
}

bool field_type_member(struct field_type t, struct slice name, struct field_type *ret)
{
	if (t.message) {
		const struct schema_json *j =
		    schema_json_find(t.message, (const char *)name.data, name.len);

		*ret = j ? field_type_of(j->field) : scalar(SCALAR_STRING);
		return j || (t.message->flags & SCHEMA_TYPE_META && is_type_meta(name));
	}
	if (t.crd && is_object_root(t) && slice_eq_str(name, "metadata") && object_meta()) {
		*ret = message_type(object_meta(), false);
		return true;
	}
	if (t.crd)
		return crd_member(t, name, ret);
	*ret = t.field ? element_type(&t.field->message->fields[1], false) : ANY;
	return true;
}

bool field_type_declares(struct field_type t, struct slice name)
{
	struct field_type ignored;

	if (t.message)
		return field_type_member(t, name, &ignored);
	return t.crd && jvalue_getn(jvalue_get(t.crd, "properties"), name);
}

struct field_type field_type_item(struct field_type list)
{
	const struct jvalue *items = jvalue_get(list.crd, "items");

	if (list.field)
		return element_type(list.field, false);
	return items ? crd_type(items) : ANY;
}

size_t field_type_keys(struct field_type list, const char *ret[FIELD_TYPE_KEYS_MAX])
{
	const struct jvalue *keys = jvalue_get(list.crd, "x-kubernetes-list-map-keys");
	size_t n = 0;

	if (list.field) {
		const char *const *k = list.field->extra->list_map_keys;

		while (k && *k && n < FIELD_TYPE_KEYS_MAX)
			ret[n++] = *k++;
	} else if (jvalue_is(keys, JVALUE_ARRAY)) {
		for (uint32_t i = 0; i < keys->n && n < FIELD_TYPE_KEYS_MAX; i++)
			if (keys->items[i]->kind == JVALUE_STRING)
				ret[n++] = keys->items[i]->str;
	}
	for (size_t i = 1; i < n; i++) {
		for (size_t j = i; j && strcmp(ret[j - 1], ret[j]) > 0; j--) {
			const char *t = ret[j];

			ret[j] = ret[j - 1];
			ret[j - 1] = t;
		}
	}
	return n;
}

/* Upstream publishes the zero value of fields that are always written as their default. */
bool field_type_key_default(struct field_type list, const char *key, struct arena *a,
                            struct slice *ret)
{
	const struct jvalue *s =
	    jvalue_get(jvalue_get(jvalue_get(list.crd, "items"), "properties"), key);
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (list.field && list.field->message) {
		const struct schema_json *j =
		    schema_json_find(list.field->message, key, strlen(key));

		if (!j)
			return false;
		if (j->field->extra->default_json) {
			*ret = slice_str(j->field->extra->default_json);
			return true;
		}
		if (j->field->flags & (SCHEMA_POINTER | SCHEMA_OMITEMPTY))
			return false;
		*ret =
		    j->field->type == PROTOBUF_C_TYPE_STRING ? SLICE_LIT("\"\"") : SLICE_LIT("0");
		return true;
	}
	s = jvalue_get(s, "default");
	if (!s)
		return false;
	jvalue_write(s, &out);
	*ret = slice_of(arena_memdup(a, out.data, out.len), out.len);
	return true;
}
