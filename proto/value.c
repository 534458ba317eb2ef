/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/value.h"

#include <assert.h>
#include "common/codec/base64.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/msg.h"
#include "proto/walk.h"

/* Trees. */

struct value value_of_tree(const struct jvalue *t, struct arena *a)
{
	static const uint8_t kinds[] = {
	    [JVALUE_NULL] = VALUE_NULL,     [JVALUE_BOOL] = VALUE_BOOL,
	    [JVALUE_INT] = VALUE_INT,       [JVALUE_DOUBLE] = VALUE_DOUBLE,
	    [JVALUE_STRING] = VALUE_STRING, [JVALUE_ARRAY] = VALUE_LIST,
	    [JVALUE_OBJECT] = VALUE_OBJECT,
	};
	struct value v = {.arena = a, .impl = VALUE_TREE, .node = t};

	if (!t)
		return v;
	v.kind = kinds[t->kind];
	switch (t->kind) {
	case JVALUE_BOOL:
		v.b = t->b;
		break;
	case JVALUE_INT:
		v.i = t->i;
		break;
	case JVALUE_DOUBLE:
		v.d = t->d;
		break;
	case JVALUE_STRING:
		v.s = jvalue_slice(t);
		break;
	}
	return v;
}

/* Typed values. */

static struct value string_value(const char *s, const struct schema_field *f, struct arena *a)
{
	return (struct value){.kind = VALUE_STRING, .arena = a, .field = f, .s = slice_str(s)};
}

/* A special message as its JSON: by way of the encoder, which knows them all. */
static struct value special_value(const struct schema_message *schema, const ProtobufCMessage *msg,
                                  const struct schema_field *f, struct arena *a)
{
	if (schema->special == SCHEMA_QUANTITY) {
		const char *s = field_string(msg, &schema->fields[0]);
		return string_value(s && *s ? s : "0", f, a);
	}
	if (schema->special == SCHEMA_STRING_LIST)
		return (struct value){.kind = *field_array(msg, &schema->fields[0]) ? VALUE_LIST
		                                                                    : VALUE_NULL,
		                      .impl = VALUE_REPEATED,
		                      .arena = a,
		                      .field = &schema->fields[0],
		                      .node = msg};
	struct value v = value_of_tree(json_encode_tree(schema, msg, NULL, a), a);
	v.field = f;
	return v;
}

static struct value message_value(const struct schema_message *schema, const ProtobufCMessage *msg,
                                  const struct schema_field *f, struct arena *a)
{
	if (!msg)
		return (struct value){.arena = a};
	if (schema->special > SCHEMA_MAP_ENTRY)
		return special_value(schema, msg, f, a);
	return (struct value){.kind = VALUE_OBJECT,
	                      .impl = VALUE_MESSAGE,
	                      .arena = a,
	                      .schema = schema,
	                      .field = f,
	                      .node = msg};
}

struct value value_of_message(const struct schema_message *schema, const ProtobufCMessage *msg,
                              struct arena *a)
{
	return message_value(schema, msg, NULL, a);
}

/* Bytes are base64 in JSON. */
static struct value bytes_value(const ProtobufCBinaryData *b, const struct schema_field *f,
                                struct arena *a)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	base64_encode(slice_of(b->data, b->len), &text);
	return string_value(arena_strndup(a, text.data, text.len), f, a);
}

static struct value scalar_value(const struct schema_field *f, const void *p, struct arena *a)
{
	struct value v = {.arena = a, .field = f};

	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_value(f->message, *(ProtobufCMessage *const *)p, f, a);
	case PROTOBUF_C_TYPE_STRING:
		return string_value(*(const char *const *)p ? *(const char *const *)p : "", f, a);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_value(p, f, a);
	case PROTOBUF_C_TYPE_BOOL:
		v.kind = VALUE_BOOL;
		v.b = *(const protobuf_c_boolean *)p;
		return v;
	case PROTOBUF_C_TYPE_DOUBLE:
		v.kind = VALUE_DOUBLE;
		v.d = *(const double *)p;
		return v;
	case PROTOBUF_C_TYPE_FLOAT:
		v.kind = VALUE_DOUBLE;
		v.d = (double)*(const float *)p;
		return v;
	}
	v.kind = VALUE_INT;
	v.i = scalar_int(p, f->type);
	return v;
}

static struct value field_value(const struct schema_field *f, const ProtobufCMessage *msg,
                                struct arena *a)
{
	struct value v = {.arena = a, .field = f};

	if (field_omitted(f, msg))
		return (struct value){.arena = a};
	if (f->flags & SCHEMA_REPEATED) {
		v.kind = !*field_array(msg, f)   ? VALUE_NULL
		         : f->flags & SCHEMA_MAP ? VALUE_OBJECT
		                                 : VALUE_LIST;
		v.impl = VALUE_REPEATED;
		v.node = msg;
		return v;
	}
	v.kind = VALUE_NULL;
	if (field_is_message(f))
		return field_message(msg, f)
		           ? message_value(f->message, field_message(msg, f), f, a)
		           : v;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		if (!field_string(msg, f) && f->flags & SCHEMA_POINTER)
			return v;
	} else if (!field_has(msg, f)) {
		return v;
	}
	return scalar_value(f, (const char *)msg + f->offset, a);
}

/* The message that holds a member, behind the inlined ones. */
static const ProtobufCMessage *holder(const struct schema_json *j, const ProtobufCMessage *msg)
{
	if (j->via)
		msg = field_message(msg, j->via);
	if (msg && j->via2)
		msg = field_message(msg, j->via2);
	return msg;
}

static struct value member_value(const struct schema_json *j, const ProtobufCMessage *msg,
                                 struct arena *a)
{
	msg = holder(j, msg);
	return msg ? field_value(j->field, msg, a) : (struct value){.arena = a};
}

static struct value entry_value(const struct schema_field *map, const ProtobufCMessage *entry,
                                struct arena *a)
{
	const struct schema_field *f = &map->message->fields[1];

	return scalar_value(f, (const char *)entry + f->offset, a);
}

/* Reading. */

struct value value_get(struct value v, struct slice name)
{
	struct value none = {.arena = v.arena};

	if (v.kind != VALUE_OBJECT)
		return none;
	if (v.impl == VALUE_TREE)
		return value_of_tree(jvalue_getn(v.node, name), v.arena);
	if (v.impl == VALUE_MESSAGE) {
		const struct schema_json *j =
		    schema_json_find(v.schema, (const char *)name.data, name.len);
		return j ? member_value(j, v.node, v.arena) : none;
	}
	size_t n = *field_n(v.node, v.field);
	ProtobufCMessage **at = field_messages(v.node, v.field);
	for (size_t i = 0; i < n; i++)
		if (slice_eq_str(name, entry_key(at[i], v.field->message)))
			return entry_value(v.field, at[i], v.arena);
	return none;
}

struct value value_get_str(struct value v, const char *name)
{
	return value_get(v, slice_str(name));
}

size_t value_len(struct value v)
{
	size_t n = 0;

	if (v.kind == VALUE_STRING)
		return v.s.len;
	if (v.kind != VALUE_LIST && v.kind != VALUE_OBJECT)
		return 0;
	if (v.impl == VALUE_TREE)
		return ((const struct jvalue *)v.node)->n;
	if (v.impl == VALUE_REPEATED)
		return *field_n(v.node, v.field);
	for (struct value_iter it = value_members(v); value_next(&it);)
		n++;
	return n;
}

struct value value_at(struct value v, size_t i)
{
	if (v.kind != VALUE_LIST || i >= value_len(v))
		return (struct value){.arena = v.arena};
	if (v.impl == VALUE_TREE)
		return value_of_tree(jvalue_at(v.node, i), v.arena);
	const char *array = *field_array(v.node, v.field);
	return scalar_value(v.field, array + i * scalar_size(v.field->type), v.arena);
}

struct value_iter value_members(struct value v)
{
	return (struct value_iter){.of = v};
}

static bool next_message_member(struct value_iter *it)
{
	const struct schema_message *schema = it->of.schema;

	while (it->i < schema->n_json) {
		const struct schema_json *j = &schema->json[it->i++];

		it->value = member_value(j, it->of.node, it->of.arena);
		it->name = slice_of(j->name, j->name_len);
		if (value_exists(it->value))
			return true;
	}
	return false;
}

bool value_next(struct value_iter *it)
{
	struct value v = it->of;

	if (v.kind != VALUE_OBJECT)
		return false;
	if (v.impl == VALUE_MESSAGE)
		return next_message_member(it);
	if (it->i >= value_len(v))
		return false;
	if (v.impl == VALUE_TREE) {
		const struct jmember *m = &((const struct jvalue *)v.node)->members[it->i];

		it->name = slice_of(m->key, m->key_len);
		it->value = value_of_tree(m->value, v.arena);
	} else {
		ProtobufCMessage *entry = field_messages(v.node, v.field)[it->i];

		it->name = slice_str(entry_key(entry, v.field->message));
		it->value = entry_value(v.field, entry, v.arena);
	}
	it->i++;
	return true;
}

struct value value_path(struct value v, const char *path)
{
	while (*path && value_exists(v)) {
		if (*path == '[') {
			const char *close = strchrnul(path, ']');
			struct slice in = slice_of(path + 1, (size_t)(close - path - 1));

			if (v.kind == VALUE_LIST)
				v = value_at(v, strtoul(path + 1, NULL, 10));
			else
				v = value_get(v, in);
			path = *close ? close + 1 : close;
		} else {
			path += *path == '.';
			size_t n = strcspn(path, ".[");

			v = value_get(v, slice_of(path, n));
			path += n;
		}
	}
	return v;
}

static bool is_number(struct value v)
{
	return v.kind == VALUE_INT || v.kind == VALUE_DOUBLE;
}

static bool objects_equal(struct value a, struct value b)
{
	if (value_len(a) != value_len(b))
		return false;
	for (struct value_iter it = value_members(a); value_next(&it);) {
		struct value other = value_get(b, it.name);

		if (!value_exists(other) || !value_equal(it.value, other))
			return false;
	}
	return true;
}

bool value_equal(struct value a, struct value b)
{
	if (is_number(a) && is_number(b) && a.kind != b.kind)
		return a.kind == VALUE_INT ? (double)a.i == b.d : a.d == (double)b.i;
	if (a.kind != b.kind)
		return false;
	switch (a.kind) {
	case VALUE_BOOL:
		return a.b == b.b;
	case VALUE_INT:
		return a.i == b.i;
	case VALUE_DOUBLE:
		return a.d == b.d;
	case VALUE_STRING:
		return slice_eq(a.s, b.s);
	case VALUE_LIST:
		if (value_len(a) != value_len(b))
			return false;
		for (size_t i = 0, n = value_len(a); i < n; i++)
			if (!value_equal(value_at(a, i), value_at(b, i)))
				return false;
		return true;
	case VALUE_OBJECT:
		return objects_equal(a, b);
	}
	return true;
}

struct jvalue *value_to_tree(struct value v, struct arena *a)
{
	struct jvalue *t;

	switch (v.kind) {
	case VALUE_BOOL:
		return jvalue_bool(a, v.b);
	case VALUE_INT:
		return jvalue_int(a, v.i);
	case VALUE_DOUBLE:
		return jvalue_double(a, v.d);
	case VALUE_STRING:
		return jvalue_strn(a, v.s);
	case VALUE_LIST:
		t = jvalue_array(a);
		for (size_t i = 0, n = value_len(v); i < n; i++)
			jvalue_append(a, t, value_to_tree(value_at(v, i), a));
		return t;
	case VALUE_OBJECT:
		t = jvalue_object(a);
		for (struct value_iter it = value_members(v); value_next(&it);)
			jvalue_setn(a, t, it.name, value_to_tree(it.value, a));
		return t;
	}
	return jvalue_null(a);
}

/* Changes. */

void value_delete(struct value v, struct slice name)
{
	assert(v.kind == VALUE_OBJECT);
	if (v.impl == VALUE_TREE) {
		jvalue_deln((struct jvalue *)v.node, name);
	} else if (v.impl == VALUE_MESSAGE) {
		const struct schema_json *j =
		    schema_json_find(v.schema, (const char *)name.data, name.len);
		const ProtobufCMessage *in = j ? holder(j, v.node) : NULL;
		if (in)
			msg_clear_field(j->field, (ProtobufCMessage *)in, v.arena);
	} else {
		size_t *n = field_n(v.node, v.field);
		ProtobufCMessage **at = field_messages(v.node, v.field);

		for (size_t i = 0; i < *n; i++) {
			if (!slice_eq_str(name, entry_key(at[i], v.field->message)))
				continue;
			memmove(&at[i], &at[i + 1], (*n - i - 1) * sizeof(*at));
			(*n)--;
			return;
		}
	}
}

/* A map is set through its parent: the whole map with the entry in it. */
static int set_entry(struct value v, struct slice name, struct jvalue *to, struct err *err)
{
	struct jvalue *map = value_to_tree(v, v.arena), *whole = jvalue_object(v.arena);
	ProtobufCMessage *parent = (ProtobufCMessage *)v.node;

	jvalue_setn(v.arena, map, name, to);
	jvalue_set(v.arena, whole, v.field->json_name, map);
	msg_clear_field(v.field, parent, v.arena);
	return json_decode_into(v.field->parent, whole, v.arena, parent, err);
}

int value_set(struct value v, struct slice name, struct value to, struct err *err)
{
	assert(v.kind == VALUE_OBJECT);
	struct jvalue *tree = value_to_tree(to, v.arena);

	if (v.impl == VALUE_TREE) {
		jvalue_setn(v.arena, (struct jvalue *)v.node, name, tree);
		return 0;
	}
	if (v.impl == VALUE_REPEATED)
		return set_entry(v, name, tree, err);
	if (!schema_json_find(v.schema, (const char *)name.data, name.len))
		return err_set(err, ERR_BAD_REQUEST, "unknown field \"%.*s\"", SLICE_FMT(name));
	struct jvalue *whole = jvalue_object(v.arena);
	jvalue_setn(v.arena, whole, name, tree);
	value_delete(v, name);
	return json_decode_into(v.schema, whole, v.arena, (ProtobufCMessage *)v.node, err);
}
