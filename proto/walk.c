/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/walk.h"

#include "proto/msg.h"
#include "proto/pb_decode.h"

int64_t scalar_int(const void *p, uint8_t type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return *(const int32_t *)p;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return *(const uint32_t *)p;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)p;
	default:
		return *(const int64_t *)p;
	}
}

bool scalar_is_zero(const void *p, uint8_t type)
{
	if (type == PROTOBUF_C_TYPE_DOUBLE)
		return *(const double *)p == 0;
	if (type == PROTOBUF_C_TYPE_FLOAT)
		return *(const float *)p == 0;
	return scalar_int(p, type) == 0;
}

size_t scalar_size(uint8_t type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 8;
	}
}

void *repeated_push(struct arena *a, ProtobufCMessage *msg, const struct schema_field *f)
{
	size_t *n = field_n(msg, f), size = scalar_size(f->type);
	void **array = field_array(msg, f);

	if (*n == 0)
		*array = walk_alloc(a, 2 * size);
	else if (*n >= 2 && (*n & (*n - 1)) == 0)
		*array = arena_grow(a, *array, *n * size, *n * 2 * size);
	return (char *)*array + (*n)++ * size;
}

ProtobufCMessage *message_alloc(const struct schema_message *schema, struct arena *a)
{
	ProtobufCMessage *msg = walk_alloc(a, schema->desc->sizeof_message);

	schema->desc->message_init(msg);
	return msg;
}

static bool is_time(const struct schema_message *schema)
{
	return schema->special == SCHEMA_TIME || schema->special == SCHEMA_MICRO_TIME;
}

void message_complete(const struct schema_message *schema, ProtobufCMessage *msg, struct arena *a)
{
	const struct schema_field *f = schema->fields, *end = f + schema->n_fields;

	if (is_time(schema))
		return;
	for (; f < end; f++) {
		if (f->flags & (SCHEMA_POINTER | SCHEMA_REPEATED))
			continue;
		switch (f->type) {
		case PROTOBUF_C_TYPE_MESSAGE:
			if (!field_message(msg, f))
				MEMBER(ProtobufCMessage *, msg, f->offset) = pb_new(f->message, a);
			break;
		case PROTOBUF_C_TYPE_STRING:
			if (!field_string(msg, f))
				MEMBER(const char *, msg, f->offset) = "";
			break;
		case PROTOBUF_C_TYPE_BYTES:
			break;
		default:
			MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 1;
		}
	}
}

ProtobufCMessage *pb_new(const struct schema_message *schema, struct arena *a)
{
	ProtobufCMessage *msg = message_alloc(schema, a);

	message_complete(schema, msg, a);
	return msg;
}

bool map_sorted(const struct schema_message *entry, ProtobufCMessage *const *at, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(entry_key(at[i - 1], entry), entry_key(at[i], entry)) >= 0)
			return false;
	return true;
}

/* Merges the sorted runs [low, mid) and [mid, high) of `from` into `to`. */
static void merge(const struct schema_message *entry, ProtobufCMessage **from, size_t low,
                  size_t mid, size_t high, ProtobufCMessage **to)
{
	size_t i = low, j = mid;

	for (size_t k = low; k < high; k++) {
		bool left = i < mid && (j >= high || strcmp(entry_key(from[i], entry),
		                                            entry_key(from[j], entry)) <= 0);
		to[k] = left ? from[i++] : from[j++];
	}
}

size_t map_sort(const struct schema_message *entry, ProtobufCMessage **at, size_t n,
                ProtobufCMessage **tmp)
{
	ProtobufCMessage **from = at, **to = tmp;
	size_t kept = 0;

	if (map_sorted(entry, at, n))
		return n;
	for (size_t width = 1; width < n; width *= 2) {
		for (size_t low = 0; low < n; low += 2 * width)
			merge(entry, from, low, MIN(low + width, n), MIN(low + 2 * width, n), to);
		ProtobufCMessage **swap = from;
		from = to;
		to = swap;
	}
	for (size_t i = 0; i < n; i++) {
		bool again = i + 1 < n &&
		             strcmp(entry_key(from[i], entry), entry_key(from[i + 1], entry)) == 0;
		if (!again)
			at[kept++] = from[i];
	}
	return kept;
}

struct time_parts time_get(const struct schema_message *schema, const ProtobufCMessage *msg)
{
	const struct schema_field *s = &schema->fields[0], *n = &schema->fields[1];

	if (!msg)
		return (struct time_parts){.zero = true};
	struct time_parts t = {.sec = MEMBER(int64_t, msg, s->offset),
	                       .nsec = MEMBER(int32_t, msg, n->offset)};
	t.zero = t.sec == 0 && t.nsec == 0 &&
	         !(MEMBER(protobuf_c_boolean, msg, s->quantifier_offset) &&
	           MEMBER(protobuf_c_boolean, msg, n->quantifier_offset));
	if (schema->special == SCHEMA_TIME)
		t.nsec = 0;
	return t;
}

void time_put(const struct schema_message *schema, ProtobufCMessage *msg, int64_t sec, int32_t nsec)
{
	const struct schema_field *s = &schema->fields[0], *n = &schema->fields[1];

	MEMBER(int64_t, msg, s->offset) = sec;
	MEMBER(int32_t, msg, n->offset) = nsec;
	MEMBER(protobuf_c_boolean, msg, s->quantifier_offset) = 1;
	MEMBER(protobuf_c_boolean, msg, n->quantifier_offset) = sec == 0 || nsec != 0;
}

/* Go's omitempty: never a struct, and never a pointer that is set. */
static bool is_empty(const struct schema_field *f, const ProtobufCMessage *msg)
{
	bool pointer = f->flags & SCHEMA_POINTER;

	if (f->flags & SCHEMA_REPEATED)
		return *field_n(msg, f) == 0;
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *sub = field_message(msg, f);

		if (sub && f->message->special == SCHEMA_STRING_LIST)
			return *field_n(sub, &f->message->fields[0]) == 0;
		return pointer && !sub;
	}
	case PROTOBUF_C_TYPE_STRING: {
		const char *s = field_string(msg, f);
		return !s || (!*s && !pointer);
	}
	case PROTOBUF_C_TYPE_BYTES:
		return MEMBER(ProtobufCBinaryData, msg, f->offset).len == 0;
	}
	return pointer ? !field_has(msg, f)
	               : scalar_is_zero((const char *)msg + f->offset, f->type);
}

bool field_omitted(const struct schema_field *f, const ProtobufCMessage *msg)
{
	if (f->flags & SCHEMA_OMITEMPTY && is_empty(f, msg))
		return true;
	return f->flags & SCHEMA_OMITZERO && field_is_message(f) &&
	       msg_is_zero(f->message, field_message(msg, f));
}
