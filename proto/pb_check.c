/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/utf8.h"
#include "proto/pb_decode.h"
#include "proto/pb_wire.h"

struct checker {
	struct pb_limits limits;
	size_t fields;
	struct err *err;
};

static int check_message(struct checker *c, const ProtobufCMessageDescriptor *desc, struct slice in,
                         uint32_t depth);

static int refuse(struct checker *c, const ProtobufCMessageDescriptor *desc, const char *why)
{
	return err_set(c->err, ERR_BAD_REQUEST, "proto: %s: %s", desc->name, why);
}

static int check_delimited(struct checker *c, const ProtobufCFieldDescriptor *f,
                           const ProtobufCMessageDescriptor *desc, struct slice s, uint32_t depth)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return check_message(c, f->descriptor, s, depth + 1);
	if (f->type == PROTOBUF_C_TYPE_STRING && !wire_text_ok(s))
		return refuse(c, desc, "a string contains invalid UTF-8 or a NUL character");
	return 0;
}

static int check_message(struct checker *c, const ProtobufCMessageDescriptor *desc, struct slice in,
                         uint32_t depth)
{
	struct wire w = wire_of(in);
	uint32_t number, type;
	struct slice s;

	if (depth > c->limits.depth)
		return refuse(c, desc, "nesting is too deep");
	while (w.p < w.end) {
		if (++c->fields > c->limits.fields)
			return refuse(c, desc, "too many fields");
		if (!wire_tag(&w, &number, &type))
			return refuse(c, desc, "malformed tag");
		if (type != WIRE_BYTES) {
			if (!wire_skip(&w, type))
				return refuse(c, desc, "malformed field");
			continue;
		}
		if (!wire_bytes(&w, &s))
			return refuse(c, desc, "truncated field");
		const ProtobufCFieldDescriptor *f =
		    protobuf_c_message_descriptor_get_field(desc, number);
		int k = f ? check_delimited(c, f, desc, s, depth) : 0;
		if (k < 0)
			return k;
	}
	return 0;
}

int pb_check(const ProtobufCMessageDescriptor *desc, struct slice in,
             const struct pb_limits *limits, struct err *err)
{
	struct checker c = {.err = err};

	if (limits)
		c.limits = *limits;
	if (!c.limits.depth)
		c.limits.depth = PB_DEPTH_MAX;
	if (!c.limits.message_bytes)
		c.limits.message_bytes = 64 << 20;
	if (!c.limits.fields)
		c.limits.fields = 4 << 20;
	if (in.len > c.limits.message_bytes)
		return refuse(&c, desc, "the message is too large");
	return check_message(&c, desc, in, 1);
}

static void *arena_get(void *arena, size_t n)
{
	return arena_alloc(arena, n);
}

static void arena_put(void *arena, void *p)
{
}

ProtobufCAllocator pb_arena_allocator(struct arena *a)
{
	return (ProtobufCAllocator){.alloc = arena_get, .free = arena_put, .allocator_data = a};
}
