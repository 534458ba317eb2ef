/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the walkers share: access to members by schema, arrays that grow in an arena, map order.
 * Internal to proto/. */
#include "common/base/arena.h"
#include "common/base/slice.h"
#include "proto/schema.h"

#define MEMBER(type, msg, off) (*(type *)((char *)(msg) + (off)))

static inline bool field_is_message(const struct schema_field *f)
{
	return f->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* Lists and maps: the number of elements and the array of pointers or scalars. */
static inline size_t *field_n(const ProtobufCMessage *msg, const struct schema_field *f)
{
	return &MEMBER(size_t, msg, f->quantifier_offset);
}

static inline void **field_array(const ProtobufCMessage *msg, const struct schema_field *f)
{
	return &MEMBER(void *, msg, f->offset);
}

static inline ProtobufCMessage **field_messages(const ProtobufCMessage *msg,
                                                const struct schema_field *f)
{
	return MEMBER(ProtobufCMessage **, msg, f->offset);
}

static inline ProtobufCMessage *field_message(const ProtobufCMessage *msg,
                                              const struct schema_field *f)
{
	return MEMBER(ProtobufCMessage *, msg, f->offset);
}

static inline const char *field_string(const ProtobufCMessage *msg, const struct schema_field *f)
{
	return MEMBER(const char *, msg, f->offset);
}

/* Bytes and numbers: is it there? Value numbers count as there even when has_x was not set. */
static inline bool field_has(const ProtobufCMessage *msg, const struct schema_field *f)
{
	return MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) ||
	       (!(f->flags & SCHEMA_POINTER) && f->type != PROTOBUF_C_TYPE_BYTES);
}

/* A number of any integer type, or a bool. */
int64_t scalar_int(const void *p, uint8_t type);
bool scalar_is_zero(const void *p, uint8_t type);
/* Bytes of an element in the array of a repeated field. */
size_t scalar_size(uint8_t type);

/* Arena allocation without a call in the common case. */
static inline void *walk_alloc(struct arena *a, size_t n)
{
	size_t need = (n + 15) & ~(size_t)15;

	if ((size_t)(a->end - a->at) < need || !need)
		return arena_alloc(a, n);
	void *p = a->at;
	a->at += need;
	a->used_bytes += need;
	return p;
}

static inline char *walk_strndup(struct arena *a, const void *s, size_t n)
{
	char *p = walk_alloc(a, n + 1);

	if (n)
		memcpy(p, s, n);
	p[n] = 0;
	return p;
}

/* The address of a new element at the end of a repeated field. Capacities are powers of two, which
 * the count implies: arrays of other origin must be copied first. */
void *repeated_push(struct arena *a, ProtobufCMessage *msg, const struct schema_field *f);

/* A message with its defaults; value messages inside are still NULL. */
ProtobufCMessage *message_alloc(const struct schema_message *schema, struct arena *a);
/* Sets has_x of value scalars and makes the value messages that are missing. */
void message_complete(const struct schema_message *schema, ProtobufCMessage *msg, struct arena *a);

/* The key of a map entry. */
static inline const char *entry_key(const ProtobufCMessage *entry,
                                    const struct schema_message *schema)
{
	return field_string(entry, &schema->fields[0]);
}
bool map_sorted(const struct schema_message *entry, ProtobufCMessage *const *at, size_t n);
/* Sorts by key, stable; of equal keys only the last stays. Returns the new number. `tmp` has room
 * for n pointers. */
size_t map_sort(const struct schema_message *entry, ProtobufCMessage **at, size_t n,
                ProtobufCMessage **tmp);

/* Time and MicroTime. Zero is Go's zero time, which is not 1970: a decoded 1970 has both has_x. */
struct time_parts {
	int64_t sec;
	int32_t nsec;
	bool zero;
};
struct time_parts time_get(const struct schema_message *schema, const ProtobufCMessage *msg);
void time_put(const struct schema_message *schema, ProtobufCMessage *msg, int64_t sec,
              int32_t nsec);

/* Does JSON leave the field out (omitempty, omitzero)? */
bool field_omitted(const struct schema_field *f, const ProtobufCMessage *msg);
