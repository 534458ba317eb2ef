/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Reads a few fields straight from an object's protobuf bytes, without decoding it: what informers
 * and their index functions need. All slices borrow from the object. Pure. */
#include "common/base/slice.h"

/* One field of a message: its number and its value, whichever of the two its wire type has. */
struct pb_field {
	uint32_t number;
	uint64_t value;     /* varint, fixed32, fixed64 */
	struct slice bytes; /* length-delimited */
};

/* Takes the first field off *message: 1; 0 at the end; -1 when it is malformed (nothing is taken).
 */
int pb_next_field(struct slice *message, struct pb_field *ret);

struct meta_peek {
	struct slice name, ns, uid;
	struct slice resource_version;
	struct slice owner_uid, owner_kind, owner_name; /* of the controlling owner; empty: none */
	int64_t generation;
	bool deleting; /* has a deletionTimestamp */
};

/* The ObjectMeta of any kind (its field 1). False when the bytes are no message. */
bool meta_peek(struct slice object, struct meta_peek *ret);

/* The bytes of the field at a path of field numbers, such as {2, 10} for a Pod's spec.nodeName
 * (the last occurrence wins). Empty when absent. */
struct slice pb_peek(struct slice message, const uint32_t *path, size_t n);
#define pb_peek_path(message, ...)                        \
	pb_peek(message, (const uint32_t[]){__VA_ARGS__}, \
	        sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
/* The varint at a path; 0 when absent. */
uint64_t pb_peek_int(struct slice message, const uint32_t *path, size_t n);
