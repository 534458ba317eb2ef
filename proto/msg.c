/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/msg.h"

#include "common/codec/jvalue.h"
#include "common/codec/quantity.h"
#include "proto/pb_decode.h"
#include "proto/walk.h"

/* Copy. */

static ProtobufCBinaryData copy_bytes(struct arena *a, ProtobufCBinaryData b)
{
	return (ProtobufCBinaryData){
	    .len = b.len, .data = b.data ? (uint8_t *)walk_strndup(a, b.data, b.len) : NULL};
}

static void copy_list(const struct schema_field *f, ProtobufCMessage *to, struct arena *a)
{
	size_t n = *field_n(to, f), size = scalar_size(f->type), cap = 2;
	char *from = *field_array(to, f);

	if (!from)
		return;
	/* The capacity that repeated_push expects. */
	while (cap < n)
		cap *= 2;
	char *array = walk_alloc(a, cap * size);
	if (n)
		memcpy(array, from, n * size);
	*field_array(to, f) = array;
	for (size_t i = 0; i < n; i++) {
		void *at = array + i * size;

		if (field_is_message(f))
			*(ProtobufCMessage **)at =
			    msg_copy(f->message, *(ProtobufCMessage **)at, a);
		else if (f->type == PROTOBUF_C_TYPE_STRING)
			*(const char **)at = arena_strdup(a, *(const char **)at);
		else if (f->type == PROTOBUF_C_TYPE_BYTES)
			*(ProtobufCBinaryData *)at = copy_bytes(a, *(ProtobufCBinaryData *)at);
	}
}

ProtobufCMessage *msg_copy(const struct schema_message *schema, const ProtobufCMessage *msg,
                           struct arena *a)
{
	if (!msg)
		return NULL;
	size_t size = schema->desc->sizeof_message;
	ProtobufCMessage *to = walk_alloc(a, size);
	memcpy(to, msg, size);
	to->n_unknown_fields = 0;
	to->unknown_fields = NULL;
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++) {
		if (f->flags & SCHEMA_REPEATED) {
			copy_list(f, to, a);
		} else if (field_is_message(f)) {
			MEMBER(ProtobufCMessage *, to, f->offset) =
			    msg_copy(f->message, field_message(msg, f), a);
		} else if (f->type == PROTOBUF_C_TYPE_STRING) {
			const char *s = field_string(msg, f);
			MEMBER(const char *, to, f->offset) = s && !*s ? "" : arena_strdup(a, s);
		} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
			MEMBER(ProtobufCBinaryData, to, f->offset) =
			    copy_bytes(a, MEMBER(ProtobufCBinaryData, msg, f->offset));
		}
	}
	return to;
}

/* Zero. */

static bool field_is_zero(const struct schema_field *f, const ProtobufCMessage *msg)
{
	bool pointer = f->flags & SCHEMA_POINTER;

	if (f->flags & SCHEMA_REPEATED)
		return *field_n(msg, f) == 0;
	if (field_is_message(f)) {
		const ProtobufCMessage *sub = field_message(msg, f);
		return !sub || (!pointer && msg_is_zero(f->message, sub));
	}
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *s = field_string(msg, f);
		return !s || (!pointer && !*s);
	}
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return MEMBER(ProtobufCBinaryData, msg, f->offset).len == 0;
	return pointer ? !field_has(msg, f)
	               : scalar_is_zero((const char *)msg + f->offset, f->type);
}

bool msg_is_zero(const struct schema_message *schema, const ProtobufCMessage *msg)
{
	if (!msg)
		return true;
	if (schema->special == SCHEMA_TIME || schema->special == SCHEMA_MICRO_TIME)
		return time_get(schema, msg).zero;
	if (schema->special == SCHEMA_QUANTITY) {
		struct quantity q = quantity_of(field_string(msg, &schema->fields[0]));
		return quantity_is_zero(&q);
	}
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++)
		if (!field_is_zero(f, msg))
			return false;
	return true;
}

/* Equality. */

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool bytes_equal(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
	return slice_eq(slice_of(a.data, a.len), slice_of(b.data, b.len));
}

static bool element_equal(const struct schema_field *f, const void *a, const void *b)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return msg_equal(f->message, *(ProtobufCMessage *const *)a,
		                 *(ProtobufCMessage *const *)b);
	case PROTOBUF_C_TYPE_STRING:
		return text_equal(*(const char *const *)a, *(const char *const *)b);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_equal(*(const ProtobufCBinaryData *)a,
		                   *(const ProtobufCBinaryData *)b);
	case PROTOBUF_C_TYPE_DOUBLE:
		return *(const double *)a == *(const double *)b;
	case PROTOBUF_C_TYPE_FLOAT:
		return *(const float *)a == *(const float *)b;
	}
	return scalar_int(a, f->type) == scalar_int(b, f->type);
}

static bool arrays_equal(const struct schema_field *f, const char *a, const char *b, size_t n)
{
	size_t size = scalar_size(f->type);

	for (size_t i = 0; i < n; i++)
		if (!element_equal(f, a + i * size, b + i * size))
			return false;
	return true;
}

static ProtobufCMessage **sorted_entries(const struct schema_field *f, ProtobufCMessage **at,
                                         size_t *n, struct arena *a)
{
	if (map_sorted(f->message, at, *n))
		return at;
	ProtobufCMessage **copy = arena_memdup(a, at, *n * sizeof(*at));
	*n = map_sort(f->message, copy, *n, arena_alloc(a, *n * sizeof(*at)));
	return copy;
}

static bool maps_equal(const struct schema_field *f, const ProtobufCMessage *a,
                       const ProtobufCMessage *b)
{
	_cleanup_arena_ struct arena arena = {0};
	size_t na = *field_n(a, f), nb = *field_n(b, f);
	ProtobufCMessage **x = sorted_entries(f, field_messages(a, f), &na, &arena);
	ProtobufCMessage **y = sorted_entries(f, field_messages(b, f), &nb, &arena);

	return na == nb && arrays_equal(f, (char *)x, (char *)y, na);
}

bool msg_field_equal(const struct schema_field *f, const ProtobufCMessage *a,
                     const ProtobufCMessage *b)
{
	const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;

	if (f->flags & SCHEMA_MAP)
		return maps_equal(f, a, b);
	if (f->flags & SCHEMA_REPEATED)
		return *field_n(a, f) == *field_n(b, f) &&
		       arrays_equal(f, *field_array(a, f), *field_array(b, f), *field_n(a, f));
	if (f->flags & SCHEMA_POINTER || field_is_message(f)) {
		if (field_is_message(f) || f->type == PROTOBUF_C_TYPE_STRING)
			return element_equal(f, x, y);
		bool has = field_has(a, f);
		if (has != field_has(b, f))
			return false;
		return !has || element_equal(f, x, y);
	}
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		const char *s = field_string(a, f), *t = field_string(b, f);
		return text_equal(s ? s : "", t ? t : "");
	}
	return element_equal(f, x, y);
}

static bool raw_equal(const struct schema_message *schema, const ProtobufCMessage *a,
                      const ProtobufCMessage *b)
{
	const struct schema_field *f = &schema->fields[0];
	_cleanup_arena_ struct arena arena = {0};
	ProtobufCBinaryData x = MEMBER(ProtobufCBinaryData, a, f->offset);
	ProtobufCBinaryData y = MEMBER(ProtobufCBinaryData, b, f->offset);
	struct jvalue *s, *t;

	if (bytes_equal(x, y))
		return true;
	return jvalue_parse(slice_of(x.data, x.len), &arena, NULL, &s, NULL) == 0 &&
	       jvalue_parse(slice_of(y.data, y.len), &arena, NULL, &t, NULL) == 0 &&
	       jvalue_equal(s, t);
}

bool msg_equal(const struct schema_message *schema, const ProtobufCMessage *a,
               const ProtobufCMessage *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	switch (schema->special) {
	case SCHEMA_QUANTITY: {
		const struct schema_field *f = &schema->fields[0];
		return text_equal(field_string(a, f), field_string(b, f)) ||
		       quantity_cmp_text(field_string(a, f), field_string(b, f)) == 0;
	}
	case SCHEMA_TIME:
	case SCHEMA_MICRO_TIME: {
		struct time_parts x = time_get(schema, a), y = time_get(schema, b);
		return x.zero == y.zero && x.sec == y.sec && x.nsec / 1000 == y.nsec / 1000;
	}
	case SCHEMA_RAW_EXTENSION:
	case SCHEMA_FIELDS_V1:
	case SCHEMA_JSON:
		return raw_equal(schema, a, b);
	}
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++)
		if (!msg_field_equal(f, a, b))
			return false;
	return true;
}

/* Dropping of disabled fields. */

void msg_clear_field(const struct schema_field *f, ProtobufCMessage *msg, struct arena *a)
{
	if (f->flags & SCHEMA_REPEATED) {
		*field_n(msg, f) = 0;
		*field_array(msg, f) = NULL;
	} else if (field_is_message(f)) {
		MEMBER(ProtobufCMessage *, msg, f->offset) =
		    f->flags & SCHEMA_POINTER ? NULL : pb_new(f->message, a);
	} else if (f->type == PROTOBUF_C_TYPE_STRING) {
		MEMBER(const char *, msg, f->offset) = f->flags & SCHEMA_POINTER ? NULL : "";
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		MEMBER(ProtobufCBinaryData, msg, f->offset) = (ProtobufCBinaryData){0};
		MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) = 0;
	} else {
		memset((char *)msg + f->offset, 0, scalar_size(f->type));
		MEMBER(protobuf_c_boolean, msg, f->quantifier_offset) =
		    !(f->flags & SCHEMA_POINTER);
	}
}

/* A map whose values have no fields of their own: strings, bytes, quantities. */
static bool is_plain_map(const struct schema_field *f)
{
	const struct schema_field *value;

	if (!(f->flags & SCHEMA_MAP))
		return false;
	value = &f->message->fields[1];
	return !value->message || value->message->special != SCHEMA_PLAIN;
}

/* The element of old's map with the same key, or of its list with the same index. */
static const ProtobufCMessage *counterpart(const struct schema_field *f, const ProtobufCMessage *el,
                                           size_t i, const ProtobufCMessage *old)
{
	if (!old)
		return NULL;
	ProtobufCMessage **at = field_messages(old, f);
	size_t n = *field_n(old, f);
	if (!(f->flags & SCHEMA_MAP))
		return i < n ? at[i] : NULL;
	for (size_t j = 0; j < n; j++)
		if (strcmp(entry_key(at[j], f->message), entry_key(el, f->message)) == 0)
			return at[j];
	return NULL;
}

void msg_drop_disabled(const struct schema_message *schema, ProtobufCMessage *msg,
                       const ProtobufCMessage *old, struct arena *a)
{
	if (!msg)
		return;
	for (const struct schema_field *f = schema->fields; f < schema->fields + schema->n_fields;
	     f++) {
		if (f->flags & SCHEMA_GATED_OFF && (!old || field_is_zero(f, old))) {
			if (!field_is_zero(f, msg))
				msg_clear_field(f, msg, a);
			continue;
		}
		if (!field_is_message(f) || f->message->special > SCHEMA_MAP_ENTRY ||
		    is_plain_map(f))
			continue;
		if (!(f->flags & SCHEMA_REPEATED)) {
			msg_drop_disabled(f->message, field_message(msg, f),
			                  old ? field_message(old, f) : NULL, a);
			continue;
		}
		for (size_t i = 0; i < *field_n(msg, f); i++) {
			ProtobufCMessage *el = field_messages(msg, f)[i];
			msg_drop_disabled(f->message, el, counterpart(f, el, i, old), a);
		}
	}
}
