/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reading the protobuf wire form: varints, tags, skipping. Internal to proto/. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <protobuf-c/protobuf-c.h>
#include "common/base/slice.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_START = 3, WIRE_END = 4, WIRE_32 = 5 };

struct wire {
	const uint8_t *p, *end;
};

static inline struct wire wire_of(struct slice s)
{
	const uint8_t *p = s.data ? s.data : (const uint8_t *)"";

	return (struct wire){p, p + s.len};
}

static inline bool wire_varint(struct wire *w, uint64_t *ret)
{
	uint64_t v = 0;

	if (w->p < w->end && *w->p < 0x80) {
		*ret = *w->p++;
		return true;
	}
	for (int shift = 0; shift < 70 && w->p < w->end; shift += 7) {
		uint8_t c = *w->p++;

		v |= shift < 64 ? (uint64_t)(c & 0x7f) << shift : 0;
		if (c < 0x80) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static inline bool wire_bytes(struct wire *w, struct slice *ret)
{
	uint64_t n;

	if (!wire_varint(w, &n) || n > (uint64_t)(w->end - w->p))
		return false;
	*ret = slice_of(w->p, (size_t)n);
	w->p += n;
	return true;
}

static inline bool wire_fixed(struct wire *w, size_t n, void *ret)
{
	if ((size_t)(w->end - w->p) < n)
		return false;
	memcpy(ret, w->p, n);
	w->p += n;
	return true;
}

static inline bool wire_tag(struct wire *w, uint32_t *ret_number, uint32_t *ret_type)
{
	uint64_t tag;

	if (!wire_varint(w, &tag) || tag >> 3 == 0 || tag >> 32)
		return false;
	*ret_number = (uint32_t)(tag >> 3);
	*ret_type = (uint32_t)(tag & 7);
	return true;
}

/* Steps over a field of an unknown number; groups, which no API has, are refused. */
static inline bool wire_skip(struct wire *w, uint32_t type)
{
	uint64_t v;
	struct slice s;

	switch (type) {
	case WIRE_VARINT:
		return wire_varint(w, &v);
	case WIRE_64:
		return wire_fixed(w, 8, &v);
	case WIRE_BYTES:
		return wire_bytes(w, &s);
	case WIRE_32:
		return wire_fixed(w, 4, &v);
	}
	return false;
}

static inline uint32_t wire_type_of(uint8_t type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
		return WIRE_64;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
		return WIRE_32;
	}
	return WIRE_VARINT;
}

/* UTF-8 without NUL: what a C string may be made of. */
bool wire_text_ok(struct slice s);
