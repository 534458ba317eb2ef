/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Protobuf's wire format for the few messages of the store that are handled without a copy: values
 * of ranges and events are borrowed from the answer until they become blobs.
 *
 * A reader never goes beyond its bytes: after a malformed field `bad` is set and wire_next answers
 * false. */
#include "common/base/buf.h"

struct wire {
	const uint8_t *at, *end;
	uint32_t field; /* the number of the present one */
	uint32_t type;  /* 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
	uint64_t num;   /* of type 0 */
	struct slice bytes;
	bool bad;
};

static inline struct wire wire_of(struct slice s)
{
	return (struct wire){.at = s.data, .end = s.data ? s.data + s.len : NULL};
}
/* Reads the next field; false at the end and on malformed bytes. */
bool wire_next(struct wire *w);

void wire_put_varint(struct buf *b, uint64_t v);
size_t wire_varint_bytes(uint64_t v);
void wire_put_num(struct buf *b, uint32_t field, uint64_t v); /* nothing when v is 0 */
void wire_put_bytes(struct buf *b, uint32_t field, struct slice s);
