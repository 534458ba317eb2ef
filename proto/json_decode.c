/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_decode.h"

#include <stdio.h>
#include "common/codec/base64.h"
#include "common/codec/duration.h"
#include "common/codec/quantity.h"
#include "common/codec/rfc3339.h"
#include "proto/pb_decode.h"
#include "proto/walk.h"

/* Where a value stands: a chain on the stack, made into text only for errors. */
struct place {
	const struct place *parent;
	struct slice name;
	size_t index;                    /* when name.data is NULL */
	bool member;                     /* a field of a message, not a key of a map */
	const struct schema_message *in; /* the message that has the field */
};

struct decoder {
	struct json_reader r;
	struct arena *arena;
	struct json_report *report;
	struct type_meta *meta;
	/* The first error that is not about syntax: answered when all of the text was read. */
	bool failed;
	struct err first;
};

static void decode_message(struct decoder *d, const struct schema_message *schema,
                           ProtobufCMessage *msg, const struct place *at);
static void decode_element(struct decoder *d, const struct schema_field *f, void *to,
                           const struct place *at);

static void fail(struct decoder *d, const char *fmt, ...) _printf_(2, 3);
static void fail(struct decoder *d, const char *fmt, ...)
{
	va_list ap;

	if (d->failed)
		return;
	d->failed = true;
	va_start(ap, fmt);
	err_setv(&d->first, ERR_BAD_REQUEST, fmt, ap);
	va_end(ap);
}

/* Places and types in words. */

/* members_only: as Go names a field in type errors, without indexes and map keys. */
static void place_text(struct buf *b, const struct place *at, bool members_only)
{
	if (!at)
		return;
	place_text(b, at->parent, members_only);
	if (members_only && !at->member)
		return;
	if (at->name.data)
		buf_printf(b, "%s%.*s", b->len ? "." : "", SLICE_FMT(at->name));
	else
		buf_printf(b, "[%zu]", at->index);
}

static void report(struct decoder *d, const char *what, const struct place *at)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!d->report)
		return;
	place_text(&b, at, false);
	json_report_add(d->report, "%s field \"%s\"", what, (const char *)b.data);
}

/* "v1.Pod" of "k8s.io.api.core.v1.Pod". */
static const char *go_message(const struct schema_message *m)
{
	const char *s = m->name;
	int dots = 0;

	for (const char *p = m->full_name + strlen(m->full_name); p > m->full_name; p--) {
		if (p[-1] == '.' && ++dots == 2)
			break;
		s = p - 1;
	}
	return s;
}

static void go_type(struct buf *b, const struct schema_field *f)
{
	static const struct {
		uint8_t type;
		const char *name;
	} names[] = {
	    {PROTOBUF_C_TYPE_STRING, "string"}, {PROTOBUF_C_TYPE_BYTES, "[]uint8"},
	    {PROTOBUF_C_TYPE_BOOL, "bool"},     {PROTOBUF_C_TYPE_INT32, "int32"},
	    {PROTOBUF_C_TYPE_INT64, "int64"},   {PROTOBUF_C_TYPE_UINT32, "uint32"},
	    {PROTOBUF_C_TYPE_UINT64, "uint64"}, {PROTOBUF_C_TYPE_DOUBLE, "float64"},
	    {PROTOBUF_C_TYPE_FLOAT, "float32"},
	};

	if (field_is_message(f)) {
		buf_str(b, go_message(f->message));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].type == f->type)
			buf_str(b, names[i].name);
}

static void go_container_type(struct buf *b, const struct schema_field *f)
{
	if (f->flags & SCHEMA_MAP) {
		const struct schema_field *value = &f->message->fields[1];

		buf_str(b, "map[string]");
		go_type(b, value);
		return;
	}
	buf_str(b, "[]");
	go_type(b, f);
}

static const char *const type_words[] = {
    [JSON_NULL] = "null",     [JSON_BOOL] = "bool",   [JSON_NUMBER] = "number",
    [JSON_STRING] = "string", [JSON_ARRAY] = "array", [JSON_OBJECT] = "object",
};

/* "json: cannot unmarshal WHAT into Go struct field Container.spec.containers.image of type T" */
static void fail_type(struct decoder *d, const char *what, const char *type, const struct place *at)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct place *owner = at;

	if (d->failed)
		return;
	while (owner && !owner->member)
		owner = owner->parent;
	if (owner) {
		place_text(&b, at, true);
		fail(d, "json: cannot unmarshal %s into Go struct field %s.%s of type %s", what,
		     owner->in->name, (const char *)b.data, type);
	} else {
		fail(d, "json: cannot unmarshal %s into Go value of type %s", what, type);
	}
}

static void skip(struct decoder *d)
{
	json_read_raw(&d->r, NULL);
}

/* Steps over a value of a type that cannot stand here. */
static void mismatch(struct decoder *d, enum json_type got, const struct schema_field *f,
                     bool container, const struct place *at)
{
	_cleanup_buf_ struct buf type = BUF_INIT;

	if (got == JSON_ERROR)
		return;
	if (container)
		go_container_type(&type, f);
	else
		go_type(&type, f);
	fail_type(d, type_words[got], (const char *)type.data, at);
	skip(d);
}

/* Scalars. */

static const char *take_text(struct decoder *d, struct slice s, const struct place *at)
{
	if (s.len && memchr(s.data, 0, s.len)) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		place_text(&b, at, false);
		fail(d, "field \"%s\" contains a NUL character", b.data ? (char *)b.data : "");
		return "";
	}
	return s.len ? walk_strndup(d->arena, s.data, s.len) : "";
}

static void decode_string(struct decoder *d, const struct schema_field *f, const char **to,
                          const struct place *at)
{
	struct slice s;
	enum json_type got = json_peek(&d->r);

	if (got != JSON_STRING)
		mismatch(d, got, f, false, at);
	else if (json_read_string(&d->r, &s))
		*to = take_text(d, s, at);
}

static void decode_bytes(struct decoder *d, const struct schema_field *f, ProtobufCBinaryData *to,
                         const struct place *at)
{
	struct slice s, bytes;
	enum json_type got = json_peek(&d->r);

	if (got != JSON_STRING) {
		mismatch(d, got, f, false, at);
		return;
	}
	struct err err = ERR_INIT;
	if (!json_read_string(&d->r, &s))
		return;
	if (base64_decode(s, d->arena, &bytes, &err) < 0)
		fail(d, "%s", err.text);
	else
		*to = (ProtobufCBinaryData){.len = bytes.len, .data = (uint8_t *)bytes.data};
}

/* Stores an integer if the type can hold it. */
static bool store_number(uint8_t type, const struct json_number *n, void *to)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		*(int32_t *)to = (int32_t)n->i64;
		return n->fits_i64 && n->i64 >= INT32_MIN && n->i64 <= INT32_MAX;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		*(uint32_t *)to = (uint32_t)n->u64;
		return n->fits_u64 && n->u64 <= UINT32_MAX;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*(uint64_t *)to = n->u64;
		return n->fits_u64;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)to = json_number_double(n);
		return *(double *)to - *(double *)to == 0;
	case PROTOBUF_C_TYPE_FLOAT:
		*(float *)to = (float)json_number_double(n);
		return *(float *)to - *(float *)to == 0;
	default:
		*(int64_t *)to = n->i64;
		return n->fits_i64;
	}
}

static void decode_number(struct decoder *d, const struct schema_field *f, void *to,
                          const struct place *at)
{
	struct json_number n;
	uint64_t value = 0;
	enum json_type got = json_peek(&d->r);

	if (got != JSON_NUMBER) {
		mismatch(d, got, f, false, at);
		return;
	}
	if (!json_read_number(&d->r, &n))
		return;
	if (store_number(f->type, &n, &value)) {
		memcpy(to, &value, scalar_size(f->type));
		return;
	}
	_cleanup_buf_ struct buf what = BUF_INIT, type = BUF_INIT;
	buf_printf(&what, "number %.*s", (int)MIN(n.text.len, 100u), (const char *)n.text.data);
	go_type(&type, f);
	fail_type(d, (const char *)what.data, (const char *)type.data, at);
}

static void decode_bool(struct decoder *d, const struct schema_field *f, protobuf_c_boolean *to,
                        const struct place *at)
{
	bool b;
	enum json_type got = json_peek(&d->r);

	if (got != JSON_BOOL)
		mismatch(d, got, f, false, at);
	else if (json_read_bool(&d->r, &b))
		*to = b;
}

/* Special messages. */

static void set_bytes(ProtobufCMessage *msg, const struct schema_field *f, ProtobufCBinaryData b)
{
	MEMBER(ProtobufCBinaryData, msg, f->offset) = b;
	MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 1;
}

static void decode_raw(struct decoder *d, const struct schema_message *schema,
                       ProtobufCMessage *msg)
{
	struct slice s;

	if (!json_read_raw(&d->r, &s))
		return;
	if (slice_eq_str(s, "null") && schema->special != SCHEMA_JSON)
		return;
	set_bytes(msg, &schema->fields[0],
	          (ProtobufCBinaryData){.len = s.len,
	                                .data = (uint8_t *)walk_strndup(d->arena, s.data, s.len)});
}

static void decode_time(struct decoder *d, const struct schema_message *schema,
                        ProtobufCMessage *msg, struct slice s)
{
	struct time_spec t;
	struct err err = ERR_INIT;
	int k = schema->special == SCHEMA_TIME ? rfc3339_parse(s, &t, &err)
	                                       : rfc3339_parse_micro(s, &t, &err);

	if (k < 0)
		fail(d, "%s", err.text);
	else
		time_put(schema, msg, t.sec, schema->special == SCHEMA_TIME ? 0 : t.nsec);
}

static void decode_quantity_text(struct decoder *d, const struct schema_message *schema,
                                 ProtobufCMessage *msg, struct slice s)
{
	struct quantity q;
	struct err err = ERR_INIT;
	char text[QUANTITY_BYTES];

	while (s.len && strchr(" \t\r\n", s.data[0]) && s.data[0])
		s = slice_skip(s, 1);
	while (s.len && strchr(" \t\r\n", s.data[s.len - 1]) && s.data[s.len - 1])
		s.len--;
	if (quantity_parse(s, &q, &err) < 0) {
		fail(d, "%s", err.text);
		return;
	}
	if (q.reformat)
		s = slice_of(text, quantity_format_text(&q, text));
	MEMBER(const char *, msg, schema->fields[0].offset) = walk_strndup(d->arena, s.data, s.len);
}

static void decode_quantity(struct decoder *d, const struct schema_message *schema,
                            ProtobufCMessage *msg)
{
	struct slice s;
	enum json_type got = json_peek(&d->r);
	bool ok = got == JSON_STRING ? json_read_string(&d->r, &s) : json_read_raw(&d->r, &s);

	if (ok)
		decode_quantity_text(d, schema, msg, s);
}

static void decode_int_or_string(struct decoder *d, const struct schema_message *schema,
                                 ProtobufCMessage *msg)
{
	const struct schema_field *f = schema->fields;
	enum json_type got = json_peek(&d->r);

	if (got == JSON_STRING) {
		MEMBER(int64_t, msg, f[0].offset) = 1;
		decode_string(d, &f[2], &MEMBER(const char *, msg, f[2].offset), NULL);
	} else {
		MEMBER(int64_t, msg, f[0].offset) = 0;
		decode_number(d, &f[1], &MEMBER(int32_t, msg, f[1].offset), NULL);
	}
}

static void decode_duration(struct decoder *d, const struct schema_message *schema,
                            ProtobufCMessage *msg, struct slice s)
{
	struct err err = ERR_INIT;

	if (duration_parse(s, &MEMBER(int64_t, msg, schema->fields[0].offset), &err) < 0)
		fail(d, "%s", err.text);
}

static void decode_list(struct decoder *d, const struct schema_field *f, ProtobufCMessage *msg,
                        const struct place *at);

/* JSONSchemaPropsOrBool, OrArray, OrStringArray. */
static void decode_schema_or(struct decoder *d, const struct schema_message *schema,
                             ProtobufCMessage *msg, const struct place *at)
{
	const struct schema_field *f = schema->fields;
	bool or_bool = schema->special == SCHEMA_JSON_SCHEMA_OR_BOOL;
	const struct schema_field *sub = or_bool ? &f[1] : &f[0];

	switch (json_peek(&d->r)) {
	case JSON_OBJECT: {
		ProtobufCMessage *props = message_alloc(sub->message, d->arena);

		MEMBER(ProtobufCMessage *, msg, sub->offset) = props;
		if (or_bool)
			MEMBER(protobuf_c_boolean, msg, f[0].offset) = 1;
		decode_message(d, sub->message, props, at);
		break;
	}
	case JSON_ARRAY:
		if (or_bool) {
			fail(d, "boolean or JSON schema expected");
			skip(d);
		} else {
			decode_list(d, &f[1], msg, at);
		}
		break;
	case JSON_BOOL:
		if (or_bool) {
			decode_bool(d, &f[0], &MEMBER(protobuf_c_boolean, msg, f[0].offset), at);
			break;
		}
		/* fall through */
	case JSON_STRING:
	case JSON_NUMBER:
		fail(d, or_bool ? "boolean or JSON schema expected"
		                : "unmarshal into JSONSchemaProps or array failed");
		/* fall through */
	default:
		skip(d);
	}
}

static void decode_text_special(struct decoder *d, const struct schema_message *schema,
                                ProtobufCMessage *msg)
{
	struct slice s;
	enum json_type got = json_peek(&d->r);

	if (got != JSON_STRING) {
		if (got != JSON_ERROR)
			fail(d, "json: cannot unmarshal %s into Go value of type string",
			     type_words[got]);
		skip(d);
		return;
	}
	if (!json_read_string(&d->r, &s))
		return;
	if (schema->special == SCHEMA_DURATION)
		decode_duration(d, schema, msg, s);
	else
		decode_time(d, schema, msg, s);
}

static void decode_special(struct decoder *d, const struct schema_message *schema,
                           ProtobufCMessage *msg, const struct place *at)
{
	switch (schema->special) {
	case SCHEMA_RAW_EXTENSION:
	case SCHEMA_FIELDS_V1:
	case SCHEMA_JSON:
		decode_raw(d, schema, msg);
		break;
	case SCHEMA_QUANTITY:
		decode_quantity(d, schema, msg);
		break;
	case SCHEMA_INT_OR_STRING:
		decode_int_or_string(d, schema, msg);
		break;
	case SCHEMA_STRING_LIST:
		decode_list(d, &schema->fields[0], msg, at);
		break;
	case SCHEMA_TIME:
	case SCHEMA_MICRO_TIME:
	case SCHEMA_DURATION:
		decode_text_special(d, schema, msg);
		break;
	default:
		decode_schema_or(d, schema, msg, at);
	}
}

/* Containers. */

static void decode_list(struct decoder *d, const struct schema_field *f, ProtobufCMessage *msg,
                        const struct place *at)
{
	enum json_type got = json_peek(&d->r);

	if (got != JSON_ARRAY) {
		mismatch(d, got, f, true, at);
		return;
	}
	*field_n(msg, f) = 0;
	json_array_begin(&d->r);
	while (json_array_next(&d->r)) {
		struct place here = {.parent = at, .index = *field_n(msg, f)};
		void *to = repeated_push(d->arena, msg, f);

		memset(to, 0, scalar_size(f->type));
		decode_element(d, f, to, &here);
	}
	/* An empty list is not an absent one: its JSON is [], not null. */
	if (!*field_array(msg, f))
		*field_array(msg, f) = walk_alloc(d->arena, sizeof(void *));
}

static void decode_entry(struct decoder *d, const struct schema_message *schema,
                         ProtobufCMessage *entry, const struct place *at)
{
	const struct schema_field *value = &schema->fields[1];
	void *to = (char *)entry + value->offset;

	MEMBER(const char *, entry, schema->fields[0].offset) = take_text(d, at->name, at);
	if (value->type == PROTOBUF_C_TYPE_BYTES)
		MEMBER(protobuf_c_boolean, entry, value->quantifier_offset) =
		    json_peek(&d->r) != JSON_NULL;
	decode_element(d, value, to, at);
	message_complete(schema, entry, d->arena);
}

/* Names the keys that a map has twice: reads the text again, which happens only when it has some.
 */
static void report_map_duplicates(struct decoder *d, const uint8_t *text, const struct place *at)
{
	struct json_reader r;
	struct slice raw, key;
	struct jvalue *seen = jvalue_object(d->arena);

	json_reader_init(&r, slice_of(text, (size_t)(d->r.end - text)), d->arena);
	json_object_begin(&r);
	while (json_object_next(&r, &key) && json_read_raw(&r, &raw)) {
		struct place here = {.parent = at, .name = key};

		if (jvalue_getn(seen, key))
			report(d, "duplicate", &here);
		jvalue_setn(d->arena, seen, key, seen);
	}
}

static void decode_map(struct decoder *d, const struct schema_field *f, ProtobufCMessage *msg,
                       const struct place *at)
{
	struct slice key;
	enum json_type got = json_peek(&d->r);
	const uint8_t *text = d->r.p;

	if (got != JSON_OBJECT) {
		mismatch(d, got, f, true, at);
		return;
	}
	json_object_begin(&d->r);
	while (json_object_next(&d->r, &key)) {
		struct place here = {.parent = at, .name = key};
		ProtobufCMessage *entry = message_alloc(f->message, d->arena);

		*(ProtobufCMessage **)repeated_push(d->arena, msg, f) = entry;
		decode_entry(d, f->message, entry, &here);
	}
	size_t *n = field_n(msg, f), read = *n;
	ProtobufCMessage **entries = field_messages(msg, f);
	if (read == 0) {
		*field_array(msg, f) = walk_alloc(d->arena, sizeof(void *));
		return;
	}
	if (map_sorted(f->message, entries, read))
		return;
	*n = map_sort(f->message, entries, read, arena_alloc(d->arena, read * sizeof(*entries)));
	if (*n != read && d->report && !d->r.failed)
		report_map_duplicates(d, text, at);
}

static void decode_element(struct decoder *d, const struct schema_field *f, void *to,
                           const struct place *at)
{
	bool null = json_peek(&d->r) == JSON_NULL;

	if (field_is_message(f)) {
		ProtobufCMessage *sub = message_alloc(f->message, d->arena);

		*(ProtobufCMessage **)to = sub;
		if (null && f->message->special != SCHEMA_JSON) {
			json_read_null(&d->r);
			message_complete(f->message, sub, d->arena);
		} else {
			decode_message(d, f->message, sub, at);
		}
		return;
	}
	if (f->type == PROTOBUF_C_TYPE_STRING)
		*(const char **)to = "";
	if (null)
		json_read_null(&d->r);
	else if (f->type == PROTOBUF_C_TYPE_STRING)
		decode_string(d, f, to, at);
	else if (f->type == PROTOBUF_C_TYPE_BYTES)
		decode_bytes(d, f, to, at);
	else if (f->type == PROTOBUF_C_TYPE_BOOL)
		decode_bool(d, f, to, at);
	else
		decode_number(d, f, to, at);
}

/* null: pointers, lists and maps become absent, other fields stay as they are. */
static void decode_null(struct decoder *d, const struct schema_field *f, ProtobufCMessage *msg)
{
	json_read_null(&d->r);
	if (f->flags & SCHEMA_REPEATED) {
		*field_n(msg, f) = 0;
		*field_array(msg, f) = NULL;
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		MEMBER(ProtobufCBinaryData, msg, f->offset) = (ProtobufCBinaryData){0};
		MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 0;
	} else if (!(f->flags & SCHEMA_POINTER)) {
		return;
	} else if (field_is_message(f) || f->type == PROTOBUF_C_TYPE_STRING) {
		MEMBER(void *, msg, f->offset) = NULL;
	} else {
		MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 0;
	}
}

static ProtobufCMessage *sub_message(struct decoder *d, const struct schema_field *f,
                                     ProtobufCMessage *msg)
{
	ProtobufCMessage **sub = &MEMBER(ProtobufCMessage *, msg, f->offset);

	if (!*sub)
		*sub = message_alloc(f->message, d->arena);
	return *sub;
}

static void decode_field(struct decoder *d, const struct schema_field *f, ProtobufCMessage *msg,
                         const struct place *at)
{
	enum json_type got = json_peek(&d->r);
	bool json = field_is_message(f) && f->message->special == SCHEMA_JSON;
	void *to = (char *)msg + f->offset;

	if (got == JSON_NULL && (!json || f->flags & (SCHEMA_POINTER | SCHEMA_REPEATED))) {
		decode_null(d, f, msg);
	} else if (f->flags & SCHEMA_MAP) {
		decode_map(d, f, msg, at);
	} else if (f->flags & SCHEMA_REPEATED) {
		decode_list(d, f, msg, at);
	} else if (field_is_message(f)) {
		decode_message(d, f->message, sub_message(d, f, msg), at);
	} else {
		decode_element(d, f, to, at);
		if (f->type != PROTOBUF_C_TYPE_STRING)
			MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 1;
	}
}

/* kind and apiVersion: kept for the caller at the root, checked everywhere. */
static void decode_type_meta(struct decoder *d, bool kind, const struct place *at)
{
	struct slice s;
	enum json_type got = json_peek(&d->r);

	if (got == JSON_NULL) {
		json_read_null(&d->r);
	} else if (got != JSON_STRING) {
		if (got == JSON_ERROR)
			return;
		fail_type(d, type_words[got], "string", at);
		skip(d);
	} else if (json_read_string(&d->r, &s) && d->meta && !at->parent) {
		*(kind ? &d->meta->kind : &d->meta->api_version) = take_text(d, s, at);
	}
}

/* Which members of an object were seen: one bit each, for the first 128. */
struct seen {
	uint64_t bits[2];
	uint8_t meta;
};

static bool seen_before(struct seen *seen, size_t i)
{
	if (i >= 128)
		return false;
	uint64_t bit = (uint64_t)1 << (i & 63), was = seen->bits[i >> 6] & bit;

	seen->bits[i >> 6] |= bit;
	return was != 0;
}

static void decode_other(struct decoder *d, const struct schema_message *schema, struct seen *seen,
                         const struct place *at)
{
	bool kind = slice_eq(at->name, SLICE_LIT("kind"));

	if (schema->flags & SCHEMA_TYPE_META &&
	    (kind || slice_eq(at->name, SLICE_LIT("apiVersion")))) {
		if (seen->meta & (1 << kind))
			report(d, "duplicate", at);
		seen->meta |= (uint8_t)(1 << kind);
		decode_type_meta(d, kind, at);
		return;
	}
	report(d, "unknown", at);
	skip(d);
}

static void decode_members(struct decoder *d, const struct schema_message *schema,
                           ProtobufCMessage *msg, const struct place *at)
{
	struct slice key;
	struct seen seen = {0};

	json_object_begin(&d->r);
	while (json_object_next(&d->r, &key)) {
		struct place here = {.parent = at, .name = key, .member = true, .in = schema};
		const struct schema_json *j =
		    schema_json_find(schema, (const char *)key.data, key.len);
		ProtobufCMessage *in = msg;

		if (!j) {
			decode_other(d, schema, &seen, &here);
			continue;
		}
		if (seen_before(&seen, (size_t)(j - schema->json)))
			report(d, "duplicate", &here);
		if (j->via)
			in = sub_message(d, j->via, in);
		if (j->via2)
			in = sub_message(d, j->via2, in);
		decode_field(d, j->field, in, &here);
	}
}

/* The message and the inlined ones in it, which decode_members made on the way. */
static void complete(struct decoder *d, const struct schema_message *schema, ProtobufCMessage *msg)
{
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++)
		if (f->flags & SCHEMA_INLINE && field_is_message(f) && field_message(msg, f))
			complete(d, f->message, field_message(msg, f));
	message_complete(schema, msg, d->arena);
}

static void decode_message(struct decoder *d, const struct schema_message *schema,
                           ProtobufCMessage *msg, const struct place *at)
{
	enum json_type got = json_peek(&d->r);

	if (schema->special > SCHEMA_MAP_ENTRY) {
		message_complete(schema, msg, d->arena);
		decode_special(d, schema, msg, at);
		return;
	}
	if (got == JSON_OBJECT) {
		decode_members(d, schema, msg, at);
	} else if (got != JSON_ERROR) {
		fail_type(d, type_words[got], go_message(schema), at);
		skip(d);
	}
	complete(d, schema, msg);
}

/* Reads all of the text; syntax errors come before others. */
static int decode_text(struct decoder *d, const struct schema_message *schema, struct slice json,
                       ProtobufCMessage *msg, struct err *err)
{
	json_reader_init(&d->r, json, d->arena);
	if (json_peek(&d->r) == JSON_NULL) {
		json_read_null(&d->r);
		message_complete(schema, msg, d->arena);
	} else {
		decode_message(d, schema, msg, NULL);
	}
	json_end(&d->r);
	int k = json_reader_status(&d->r, err);
	if (k == 0 && d->failed)
		k = err_set(err, d->first.code, "%s", d->first.text);
	return k;
}

int json_decode(const struct schema_message *schema, struct slice json, struct arena *a,
                struct json_report *rep, ProtobufCMessage **ret, struct type_meta *ret_meta,
                struct err *err)
{
	struct decoder d = {.arena = a, .report = rep, .meta = ret_meta};
	ProtobufCMessage *msg = message_alloc(schema, a);

	if (ret_meta)
		*ret_meta = (struct type_meta){"", ""};
	int k = decode_text(&d, schema, json, msg, err);
	if (k == 0)
		*ret = msg;
	return k;
}

int json_decode_into(const struct schema_message *schema, const struct jvalue *tree,
                     struct arena *a, ProtobufCMessage *msg, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct decoder d = {.arena = a};

	jvalue_write(tree, &b);
	return decode_text(&d, schema, buf_view(&b), msg, err);
}

int json_decode_tree(const struct schema_message *schema, const struct jvalue *tree,
                     struct arena *a, struct json_report *rep, ProtobufCMessage **ret,
                     struct type_meta *ret_meta, struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	jvalue_write(tree, &b);
	return json_decode(schema, buf_view(&b), a, rep, ret, ret_meta, err);
}
