/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/pb_encode.h"

#include "proto/pb_decode.h"
#include "proto/pb_wire.h"
#include "proto/walk.h"

/* Bytes are written from the end to the front, so that the length of a nested message is known when
 * its header is written and one pass is enough. [p, end) is what is written so far. */
struct rev {
	uint8_t *start, *p, *end;
};

static void rev_grow(struct rev *r, size_t need)
{
	size_t used = (size_t)(r->end - r->p), cap = (size_t)(r->end - r->start);

	cap = MAX(cap * 2, used + need + 1024);
	uint8_t *start = malloc(cap);
	if (!start)
		abort();
	memcpy(start + cap - used, r->p, used);
	free(r->start);
	*r = (struct rev){start, start + cap - used, start + cap};
}

static inline void rev_room(struct rev *r, size_t n)
{
	if ((size_t)(r->p - r->start) < n)
		rev_grow(r, n);
}

static inline void rev_add(struct rev *r, const void *p, size_t n)
{
	rev_room(r, n);
	r->p -= n;
	if (n)
		memcpy(r->p, p, n);
}

static inline void rev_varint(struct rev *r, uint64_t v)
{
	rev_room(r, 10);
	if (v < 0x80) {
		*--r->p = (uint8_t)v;
		return;
	}
	int n = (63 - __builtin_clzll(v)) / 7;
	uint8_t *p = r->p -= n + 1;
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p = (uint8_t)v;
}

static inline void rev_tag(struct rev *r, uint32_t number, uint32_t type)
{
	rev_varint(r, (uint64_t)number << 3 | type);
}

static inline void rev_bytes(struct rev *r, uint32_t number, const void *p, size_t n)
{
	rev_add(r, p, n);
	rev_varint(r, n);
	rev_tag(r, number, WIRE_BYTES);
}

static void encode_message(struct rev *r, const struct schema_message *schema,
                           const ProtobufCMessage *msg);

static void encode_sub(struct rev *r, const struct schema_field *f, const ProtobufCMessage *sub)
{
	size_t before = (size_t)(r->end - r->p);

	encode_message(r, f->message, sub);
	rev_varint(r, (size_t)(r->end - r->p) - before);
	rev_tag(r, f->number, WIRE_BYTES);
}

static void encode_scalar(struct rev *r, const struct schema_field *f, const void *p)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		rev_add(r, p, 8);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		rev_add(r, p, 4);
		break;
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SINT64: {
		int64_t v = scalar_int(p, f->type);
		rev_varint(r, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
		break;
	}
	default:
		rev_varint(r, (uint64_t)scalar_int(p, f->type));
	}
	rev_tag(r, f->number, wire_type_of(f->type));
}

static void encode_map(struct rev *r, const struct schema_field *f, ProtobufCMessage **at, size_t n)
{
	_cleanup_(free_p) ProtobufCMessage **sorted = NULL;

	if (!map_sorted(f->message, at, n)) {
		sorted = malloc(2 * n * sizeof(*at));
		if (!sorted)
			abort();
		memcpy(sorted, at, n * sizeof(*at));
		n = map_sort(f->message, sorted, n, sorted + n);
		at = sorted;
	}
	for (size_t i = n; i-- > 0;)
		encode_sub(r, f, at[i]);
}

static void encode_list(struct rev *r, const struct schema_field *f, const ProtobufCMessage *msg)
{
	size_t n = *field_n(msg, f), size = scalar_size(f->type);
	char *array = *field_array(msg, f);

	if (f->flags & SCHEMA_MAP) {
		encode_map(r, f, (ProtobufCMessage **)array, n);
		return;
	}
	for (size_t i = n; i-- > 0;) {
		void *at = array + i * size;

		if (field_is_message(f)) {
			encode_sub(r, f, *(ProtobufCMessage **)at);
		} else if (f->type == PROTOBUF_C_TYPE_STRING) {
			const char *s = *(const char **)at;
			rev_bytes(r, f->number, s, strlen(s));
		} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
			ProtobufCBinaryData *b = at;
			rev_bytes(r, f->number, b->data, b->len);
		} else {
			encode_scalar(r, f, at);
		}
	}
}

static void encode_text(struct rev *r, const struct schema_field *f, const char *s)
{
	if (!s && f->flags & SCHEMA_POINTER)
		return;
	/* A quantity that was never set is the number 0. */
	if ((!s || !*s) && f->parent->special == SCHEMA_QUANTITY)
		s = "0";
	rev_bytes(r, f->number, s, s ? strlen(s) : 0);
}

/* `msg` NULL stands for a value message in which nothing is set. */
static void encode_field(struct rev *r, const struct schema_field *f, const ProtobufCMessage *msg)
{
	static const uint64_t zero;
	bool pointer = f->flags & SCHEMA_POINTER;

	if (f->flags & SCHEMA_REPEATED) {
		if (msg && *field_n(msg, f))
			encode_list(r, f, msg);
	} else if (field_is_message(f)) {
		const ProtobufCMessage *sub = msg ? field_message(msg, f) : NULL;
		if (sub || !pointer)
			encode_sub(r, f, sub);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		encode_text(r, f, msg ? field_string(msg, f) : NULL);
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		if (msg && field_has(msg, f)) {
			ProtobufCBinaryData *b = &MEMBER(ProtobufCBinaryData, msg, f->offset);
			rev_bytes(r, f->number, b->data, b->len);
		}
	} else if (msg ? field_has(msg, f) : !pointer) {
		encode_scalar(r, f, msg ? (const char *)msg + f->offset : (const char *)&zero);
	}
}

static void encode_time(struct rev *r, const struct schema_message *schema,
                        const ProtobufCMessage *msg)
{
	struct time_parts t = time_get(schema, msg);

	if (t.zero)
		return;
	rev_varint(r, (uint64_t)(int64_t)(t.nsec / 1000 * 1000));
	rev_tag(r, schema->fields[1].number, WIRE_VARINT);
	rev_varint(r, (uint64_t)t.sec);
	rev_tag(r, schema->fields[0].number, WIRE_VARINT);
}

static void encode_message(struct rev *r, const struct schema_message *schema,
                           const ProtobufCMessage *msg)
{
	if (schema->special == SCHEMA_TIME || schema->special == SCHEMA_MICRO_TIME) {
		encode_time(r, schema, msg);
		return;
	}
	for (size_t i = schema->n_fields; i-- > 0;)
		encode_field(r, &schema->fields[i], msg);
}

void pb_encode(const struct schema_message *schema, const ProtobufCMessage *msg, struct buf *out)
{
	enum { FIRST_BYTES = 8192 };
	struct rev r = {.start = malloc(FIRST_BYTES)};

	if (!r.start)
		abort();
	r.p = r.end = r.start + FIRST_BYTES;
	encode_message(&r, schema, msg);
	buf_add(out, r.p, (size_t)(r.end - r.p));
	free(r.start);
}

size_t pb_size(const struct schema_message *schema, const ProtobufCMessage *msg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	pb_encode(schema, msg, &b);
	return b.len;
}
