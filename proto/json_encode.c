/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_encode.h"

#include <assert.h>
#include <stdio.h>
#include "common/codec/base64.h"
#include "common/codec/duration.h"
#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "proto/msg.h"
#include "proto/walk.h"

static inline void put(struct buf *b, const void *p, size_t n)
{
	if (b->cap - b->len <= n)
		buf_reserve(b, n);
	memcpy(b->data + b->len, p, n);
	b->len += n;
}

#define PUT_LIT(b, s) put((b), "" s, sizeof(s) - 1)

/* A comma unless it is the first member, the name, a colon. */
static inline void put_name(struct buf *b, const char *name, size_t n)
{
	if (b->cap - b->len <= n + 4)
		buf_reserve(b, n + 4);
	uint8_t *o = b->data + b->len;
	if (o[-1] != '{')
		*o++ = ',';
	*o++ = '"';
	memcpy(o, name, n);
	o += n;
	*o++ = '"';
	*o++ = ':';
	b->len = (size_t)(o - b->data);
}

static void encode_message(struct buf *b, const struct schema_message *schema,
                           const ProtobufCMessage *msg, bool type_meta);

static void encode_scalar(struct buf *b, uint8_t type, const void *p)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		json_write_bool(b, *(const protobuf_c_boolean *)p);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		json_write_double(b, *(const double *)p);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		json_write_float(b, *(const float *)p);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_write_u64(b, *(const uint64_t *)p);
		break;
	default:
		json_write_i64(b, scalar_int(p, type));
	}
}

static void encode_bytes(struct buf *b, const ProtobufCBinaryData *bytes)
{
	PUT_LIT(b, "\"");
	base64_encode(slice_of(bytes->data, bytes->len), b);
	PUT_LIT(b, "\"");
}

/* One element of an array, or the value of a map entry. */
static void encode_element(struct buf *b, const struct schema_field *f, const void *at)
{
	if (field_is_message(f)) {
		bool items = f->parent->flags & SCHEMA_LIST_KIND;

		encode_message(b, f->message, *(ProtobufCMessage *const *)at, !items);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		json_write_cstr(b, *(const char *const *)at);
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		encode_bytes(b, at);
	} else {
		encode_scalar(b, f->type, at);
	}
}

static void encode_map_value(struct buf *b, const struct schema_field *value,
                             const ProtobufCMessage *entry)
{
	if (value->flags & SCHEMA_REPEATED || value->type != PROTOBUF_C_TYPE_BYTES)
		encode_element(b, value, (const char *)entry + value->offset);
	else if (MEMBER(protobuf_c_boolean, entry, value->quantifier_offset))
		encode_bytes(b, &MEMBER(ProtobufCBinaryData, entry, value->offset));
	else
		PUT_LIT(b, "null");
}

static void encode_map(struct buf *b, const struct schema_field *f, ProtobufCMessage **at, size_t n)
{
	const struct schema_message *entry = f->message;
	_cleanup_(free_p) ProtobufCMessage **sorted = NULL;

	if (!map_sorted(entry, at, n)) {
		sorted = malloc(2 * n * sizeof(*at));
		if (!sorted)
			abort();
		memcpy(sorted, at, n * sizeof(*at));
		n = map_sort(entry, sorted, n, sorted + n);
		at = sorted;
	}
	PUT_LIT(b, "{");
	for (size_t i = 0; i < n; i++) {
		if (i)
			PUT_LIT(b, ",");
		json_write_cstr(b, entry_key(at[i], entry));
		PUT_LIT(b, ":");
		encode_map_value(b, &entry->fields[1], at[i]);
	}
	PUT_LIT(b, "}");
}

static void encode_list(struct buf *b, const struct schema_field *f, const ProtobufCMessage *msg)
{
	size_t n = *field_n(msg, f), size = scalar_size(f->type);
	const char *array = *field_array(msg, f);

	/* A nil slice or map of Go is null; the items of a list never are. */
	if (!array && !(f->parent->flags & SCHEMA_LIST_KIND)) {
		PUT_LIT(b, "null");
		return;
	}
	if (f->flags & SCHEMA_MAP) {
		encode_map(b, f, (ProtobufCMessage **)array, n);
		return;
	}
	PUT_LIT(b, "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			PUT_LIT(b, ",");
		encode_element(b, f, array + i * size);
	}
	PUT_LIT(b, "]");
}

/* Special messages. */

static void encode_time(struct buf *b, const struct schema_message *schema,
                        const ProtobufCMessage *msg)
{
	char text[RFC3339_BYTES];
	struct time_parts t = time_get(schema, msg);

	if (t.zero) {
		PUT_LIT(b, "null");
		return;
	}
	size_t n = schema->special == SCHEMA_TIME ? rfc3339_format(t.sec, text)
	                                          : rfc3339_format_micro(t.sec, t.nsec, text);
	PUT_LIT(b, "\"");
	put(b, text, n);
	PUT_LIT(b, "\"");
}

static void encode_raw(struct buf *b, const struct schema_message *schema,
                       const ProtobufCMessage *msg)
{
	const struct schema_field *f = &schema->fields[0];
	const ProtobufCBinaryData *raw = &MEMBER(ProtobufCBinaryData, msg, f->offset);

	struct slice text = slice_of(raw->data, raw->len);

	/* A client that speaks protobuf can put anything here. */
	if (raw->len && json_check(text, NULL) == 0)
		json_write_compact(b, text);
	else
		PUT_LIT(b, "null");
}

static void encode_int_or_string(struct buf *b, const struct schema_message *schema,
                                 const ProtobufCMessage *msg)
{
	const struct schema_field *f = schema->fields;

	if (MEMBER(int64_t, msg, f[0].offset) == 1)
		json_write_cstr(b, field_string(msg, &f[2]));
	else
		json_write_i64(b, MEMBER(int32_t, msg, f[1].offset));
}

static void encode_schema_or(struct buf *b, const struct schema_message *schema,
                             const ProtobufCMessage *msg)
{
	const struct schema_field *f = schema->fields;

	if (schema->special == SCHEMA_JSON_SCHEMA_OR_BOOL) {
		if (field_message(msg, &f[1]))
			encode_message(b, f[1].message, field_message(msg, &f[1]), false);
		else
			json_write_bool(b, MEMBER(protobuf_c_boolean, msg, f[0].offset));
	} else if (*field_n(msg, &f[1])) {
		encode_list(b, &f[1], msg);
	} else if (field_message(msg, &f[0])) {
		encode_message(b, f[0].message, field_message(msg, &f[0]), false);
	} else {
		PUT_LIT(b, "null");
	}
}

static void encode_special(struct buf *b, const struct schema_message *schema,
                           const ProtobufCMessage *msg)
{
	const struct schema_field *f = &schema->fields[0];
	char text[DURATION_BYTES];

	switch (schema->special) {
	case SCHEMA_TIME:
	case SCHEMA_MICRO_TIME:
		encode_time(b, schema, msg);
		break;
	case SCHEMA_DURATION:
		PUT_LIT(b, "\"");
		put(b, text, duration_format(MEMBER(int64_t, msg, f->offset), text));
		PUT_LIT(b, "\"");
		break;
	case SCHEMA_QUANTITY:
		if (field_string(msg, f) && *field_string(msg, f))
			json_write_cstr(b, field_string(msg, f));
		else
			PUT_LIT(b, "\"0\"");
		break;
	case SCHEMA_INT_OR_STRING:
		encode_int_or_string(b, schema, msg);
		break;
	case SCHEMA_RAW_EXTENSION:
	case SCHEMA_FIELDS_V1:
	case SCHEMA_JSON:
		encode_raw(b, schema, msg);
		break;
	case SCHEMA_STRING_LIST:
		encode_list(b, f, msg);
		break;
	default:
		encode_schema_or(b, schema, msg);
	}
}

static void encode_value(struct buf *b, const struct schema_field *f, const ProtobufCMessage *msg)
{
	if (f->flags & SCHEMA_REPEATED) {
		encode_list(b, f, msg);
	} else if (field_is_message(f)) {
		if (field_message(msg, f))
			encode_message(b, f->message, field_message(msg, f), false);
		else
			PUT_LIT(b, "null");
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		if (field_string(msg, f))
			json_write_cstr(b, field_string(msg, f));
		else
			put(b, f->flags & SCHEMA_POINTER ? "null" : "\"\"",
			    f->flags & SCHEMA_POINTER ? 4 : 2);
	} else if (!field_has(msg, f)) {
		PUT_LIT(b, "null");
	} else {
		encode_element(b, f, (const char *)msg + f->offset);
	}
}

static void encode_members(struct buf *b, const struct schema_message *schema,
                           const ProtobufCMessage *msg)
{
	for (const struct schema_json *j = schema->json, *end = j + schema->n_json; j < end; j++) {
		const struct schema_field *f = j->field;
		const ProtobufCMessage *in = msg;

		if (j->via)
			in = field_message(in, j->via);
		if (in && j->via2)
			in = field_message(in, j->via2);
		if (!in)
			continue;
		if (field_omitted(f, in))
			continue;
		put_name(b, j->name, j->name_len);
		encode_value(b, f, in);
	}
}

static void put_type_meta(struct buf *b, const struct type_meta *meta)
{
	if (*meta->kind) {
		put_name(b, "kind", 4);
		json_write_cstr(b, meta->kind);
	}
	if (*meta->api_version) {
		put_name(b, "apiVersion", 10);
		json_write_cstr(b, meta->api_version);
	}
}

/* The schema's own apiVersion and kind; `text` keeps the former. */
static struct type_meta own_meta(const struct schema_message *schema, char text[128])
{
	if (!schema->kind)
		return (struct type_meta){"", ""};
	if (*schema->group)
		snprintf(text, 128, "%s/%s", schema->group, schema->version);
	else
		snprintf(text, 128, "%s", schema->version);
	return (struct type_meta){.api_version = text, .kind = schema->kind};
}

/* `type_meta`: an object in a list that is not the items of a list kind prints its own kind
 * (volumeClaimTemplates do). */
static void encode_message(struct buf *b, const struct schema_message *schema,
                           const ProtobufCMessage *msg, bool type_meta)
{
	if (schema->special > SCHEMA_MAP_ENTRY) {
		encode_special(b, schema, msg);
		return;
	}
	PUT_LIT(b, "{");
	if (type_meta && schema->flags & SCHEMA_TYPE_META && schema->metadata) {
		char text[128];
		struct type_meta meta = own_meta(schema, text);

		put_type_meta(b, &meta);
	}
	encode_members(b, schema, msg);
	PUT_LIT(b, "}");
}

void json_encode(const struct schema_message *schema, const ProtobufCMessage *msg,
                 const struct type_meta *meta, struct buf *out)
{
	char text[128];
	struct type_meta own = own_meta(schema, text);

	if (schema->special > SCHEMA_MAP_ENTRY) {
		encode_special(out, schema, msg);
	} else {
		PUT_LIT(out, "{");
		if (schema->flags & SCHEMA_TYPE_META)
			put_type_meta(out, meta ? meta : &own);
		encode_members(out, schema, msg);
		PUT_LIT(out, "}");
	}
	buf_add(out, "", 0); /* NUL-terminated again */
}

struct jvalue *json_encode_tree(const struct schema_message *schema, const ProtobufCMessage *msg,
                                const struct type_meta *meta, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct jvalue *tree = NULL;

	json_encode(schema, msg, meta, &b);
	int k = jvalue_parse(buf_view(&b), a, NULL, &tree, NULL);
	assert(k == 0); /* nothing but JSON is written */
	return tree;
}
