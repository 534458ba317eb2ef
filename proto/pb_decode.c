/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/pb_decode.h"

#include "common/codec/utf8.h"
#include "proto/pb_wire.h"
#include "proto/walk.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct decoder {
	struct arena *arena;
	struct err *err;
	int depth;
};

bool wire_text_ok(struct slice s)
{
	const uint8_t *p = s.data, *end = p + s.len;

#ifdef __SSE2__
	const __m128i one = _mm_set1_epi8(1);
	for (; end - p >= 16; p += 16) {
		/* Signed: below 1 are NUL and all bytes from 0x80. */
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		if (_mm_movemask_epi8(_mm_cmplt_epi8(v, one)))
			break;
	}
#endif
	while (p < end && (int8_t)*p > 0)
		p++;
	if (p == end)
		return true;
	struct slice rest = slice_of(p, (size_t)(end - p));
	return !memchr(rest.data, 0, rest.len) && utf8_valid(rest);
}

static int malformed(struct decoder *d, const struct schema_message *schema)
{
	return err_set(d->err, ERR_BAD_REQUEST, "proto: %s: malformed or truncated message",
	               schema->name);
}

static int decode_message(struct decoder *d, const struct schema_message *schema, struct slice in,
                          ProtobufCMessage *msg);

static int decode_text(struct decoder *d, const struct schema_field *f, struct slice s,
                       const char **ret)
{
	if (!wire_text_ok(s))
		return err_set(d->err, ERR_BAD_REQUEST,
		               "proto: field %s.%s contains invalid UTF-8 or a NUL character",
		               f->parent->name, f->name);
	*ret = s.len ? walk_strndup(d->arena, s.data, s.len) : "";
	return 0;
}

static ProtobufCBinaryData decode_bytes(struct decoder *d, struct slice s)
{
	/* Not NULL when empty: an empty value is not an absent one. */
	return (ProtobufCBinaryData){.len = s.len,
	                             .data = (uint8_t *)walk_strndup(d->arena, s.data, s.len)};
}

static bool decode_scalar(struct wire *w, uint8_t type, void *to)
{
	uint64_t v;

	switch (type) {
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return wire_fixed(w, 8, to);
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return wire_fixed(w, 4, to);
	}
	if (!wire_varint(w, &v))
		return false;
	switch (type) {
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = v != 0;
		break;
	case PROTOBUF_C_TYPE_SINT32:
		*(int32_t *)to = (int32_t)((uint32_t)v >> 1 ^ (0 - (uint32_t)(v & 1)));
		break;
	case PROTOBUF_C_TYPE_SINT64:
		*(int64_t *)to = (int64_t)(v >> 1 ^ (0 - (v & 1)));
		break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		*(uint32_t *)to = (uint32_t)v;
		break;
	default:
		*(uint64_t *)to = v;
	}
	return true;
}

/* One element of a list or map. */
static int decode_element(struct decoder *d, const struct schema_field *f, struct slice s,
                          ProtobufCMessage *msg)
{
	void *to = repeated_push(d->arena, msg, f);

	if (field_is_message(f)) {
		ProtobufCMessage *sub = message_alloc(f->message, d->arena);

		*(ProtobufCMessage **)to = sub;
		return decode_message(d, f->message, s, sub);
	}
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return decode_text(d, f, s, to);
	*(ProtobufCBinaryData *)to = decode_bytes(d, s);
	return 0;
}

/* A repeated scalar, each with its tag, or packed. */
static bool decode_numbers(struct decoder *d, const struct schema_field *f, struct wire *w,
                           uint32_t type, ProtobufCMessage *msg)
{
	struct slice s;
	uint64_t one = 0;

	if (type == wire_type_of(f->type)) {
		if (!decode_scalar(w, f->type, &one))
			return false;
		memcpy(repeated_push(d->arena, msg, f), &one, scalar_size(f->type));
		return true;
	}
	if (type != WIRE_BYTES || !wire_bytes(w, &s))
		return false;
	for (struct wire in = wire_of(s); in.p < in.end;) {
		if (!decode_scalar(&in, f->type, &one))
			return false;
		memcpy(repeated_push(d->arena, msg, f), &one, scalar_size(f->type));
	}
	return true;
}

static int decode_delimited(struct decoder *d, const struct schema_field *f, struct slice s,
                            ProtobufCMessage *msg)
{
	if (f->flags & SCHEMA_REPEATED)
		return decode_element(d, f, s, msg);
	if (f->type == PROTOBUF_C_TYPE_STRING)
		return decode_text(d, f, s, &MEMBER(const char *, msg, f->offset));
	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		MEMBER(ProtobufCBinaryData, msg, f->offset) = decode_bytes(d, s);
		MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 1;
		return 0;
	}
	/* A message that comes twice is merged. */
	ProtobufCMessage **sub = &MEMBER(ProtobufCMessage *, msg, f->offset);
	if (!*sub)
		*sub = message_alloc(f->message, d->arena);
	return decode_message(d, f->message, s, *sub);
}

static int decode_field(struct decoder *d, const struct schema_field *f, struct wire *w,
                        uint32_t type, ProtobufCMessage *msg)
{
	struct slice s;

	if (wire_type_of(f->type) == WIRE_BYTES) {
		if (type != WIRE_BYTES || !wire_bytes(w, &s))
			return malformed(d, f->parent);
		return decode_delimited(d, f, s, msg);
	}
	if (f->flags & SCHEMA_REPEATED)
		return decode_numbers(d, f, w, type, msg) ? 0 : malformed(d, f->parent);
	if (type != wire_type_of(f->type) || !decode_scalar(w, f->type, (char *)msg + f->offset))
		return malformed(d, f->parent);
	MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 1;
	return 0;
}

/* Maps in key order, each key once. */
static void order_maps(struct decoder *d, const struct schema_message *schema,
                       ProtobufCMessage *msg)
{
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++) {
		if (!(f->flags & SCHEMA_MAP) || *field_n(msg, f) < 2)
			continue;
		size_t *n = field_n(msg, f);
		ProtobufCMessage **at = field_messages(msg, f);
		if (!map_sorted(f->message, at, *n))
			*n = map_sort(f->message, at, *n, arena_alloc(d->arena, *n * sizeof(*at)));
	}
}

static int decode_message(struct decoder *d, const struct schema_message *schema, struct slice in,
                          ProtobufCMessage *msg)
{
	struct wire w = wire_of(in);
	const struct schema_field *f = schema->fields, *end = f + schema->n_fields;
	uint32_t number, type;
	bool maps = false;
	int k;

	if (++d->depth > PB_DEPTH_MAX)
		return err_set(d->err, ERR_BAD_REQUEST, "proto: nesting is too deep");
	while (w.p < w.end) {
		if (!wire_tag(&w, &number, &type))
			return malformed(d, schema);
		/* Fields mostly come in order: look from the last one on, search otherwise. */
		while (f < end && f->number < number)
			f++;
		const struct schema_field *hit =
		    f < end && f->number == number ? f : schema_field_by_number(schema, number);
		if (!hit) {
			if (!wire_skip(&w, type))
				return malformed(d, schema);
			continue;
		}
		maps |= (hit->flags & SCHEMA_MAP) != 0;
		k = decode_field(d, hit, &w, type, msg);
		if (k < 0)
			return k;
	}
	d->depth--;
	message_complete(schema, msg, d->arena);
	if (maps)
		order_maps(d, schema, msg);
	if (in.len && (schema->special == SCHEMA_TIME || schema->special == SCHEMA_MICRO_TIME))
		time_put(schema, msg, MEMBER(int64_t, msg, schema->fields[0].offset),
		         schema->special == SCHEMA_TIME
		             ? 0
		             : MEMBER(int32_t, msg, schema->fields[1].offset) / 1000 * 1000);
	return 0;
}

int pb_decode(const struct schema_message *schema, struct slice in, struct arena *a,
              ProtobufCMessage **ret, struct err *err)
{
	struct decoder d = {.arena = a, .err = err};
	ProtobufCMessage *msg = message_alloc(schema, a);
	int k = decode_message(&d, schema, in, msg);

	if (k == 0)
		*ret = msg;
	return k;
}
