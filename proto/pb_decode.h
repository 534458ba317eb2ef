/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Protobuf bytes to protobuf-c structs in an arena, driven by the schema tables.
 *
 * Value messages are always there, value strings are "" and never NULL, value scalars have
 * has_x = 1. Unknown fields are dropped. Of equal map keys the last wins. Nesting is limited to
 * PB_DEPTH_MAX; strings must be UTF-8 without NUL. */
#include <protobuf-c/protobuf-c.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"

struct schema_message;

enum { PB_DEPTH_MAX = 100 };

_must_use_ int pb_decode(const struct schema_message *schema, struct slice in, struct arena *a,
                         ProtobufCMessage **ret, struct err *err);

/* An object with nothing set: its value messages, strings and scalars as pb_decode makes them. */
ProtobufCMessage *pb_new(const struct schema_message *schema, struct arena *a);

/* Limits of pb_check; 0 means the default. */
struct pb_limits {
	uint32_t depth;       /* PB_DEPTH_MAX */
	size_t message_bytes; /* 64 MiB */
	size_t fields;        /* number of fields in all, 4 Mi */
};

/* Depth, UTF-8, NUL in strings and lengths of a message of any descriptor (etcd, CRI), to run
 * before protobuf_c_message_unpack, which checks none of them. */
_must_use_ int pb_check(const ProtobufCMessageDescriptor *desc, struct slice in,
                        const struct pb_limits *limits, struct err *err);

/* An allocator over an arena, for protobuf_c_message_unpack; free does nothing. The returned
 * struct refers to the arena. */
ProtobufCAllocator pb_arena_allocator(struct arena *a);
