/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/meta_peek.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Field numbers of meta/v1 ObjectMeta and OwnerReference. */
enum {
	META_NAME = 1,
	META_NAMESPACE = 3,
	META_UID = 5,
	META_RESOURCE_VERSION = 6,
	META_GENERATION = 7,
	META_DELETION_TIMESTAMP = 9,
	META_OWNER_REFERENCES = 13,
	OWNER_KIND = 1,
	OWNER_NAME = 3,
	OWNER_UID = 4,
	OWNER_CONTROLLER = 6,
};

static bool take_varint(struct slice *in, uint64_t *ret)
{
	uint64_t v = 0;
	for (size_t i = 0; i < in->len && i < 10; i++) {
		v |= (uint64_t)(in->data[i] & 0x7f) << (7 * i);
		if (!(in->data[i] & 0x80)) {
			*in = slice_skip(*in, i + 1);
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool take_fixed(struct slice *in, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	if (in->len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)in->data[i] << (8 * i);
	*in = slice_skip(*in, n);
	*ret = v;
	return true;
}

static bool take_bytes(struct slice *in, struct slice *ret)
{
	uint64_t n;
	if (!take_varint(in, &n) || n > in->len)
		return false;
	*ret = slice_of(in->data, (size_t)n);
	*in = slice_skip(*in, (size_t)n);
	return true;
}

int pb_next_field(struct slice *message, struct pb_field *ret)
{
	struct slice in = *message;
	struct pb_field f = {0};
	uint64_t tag;
	bool good = false;
	if (!in.len)
		return 0;
	if (!take_varint(&in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return -1;
	f.number = (uint32_t)(tag >> 3);
	switch (tag & 7) {
	case WIRE_VARINT:
		good = take_varint(&in, &f.value);
		break;
	case WIRE_FIXED64:
		good = take_fixed(&in, 8, &f.value);
		break;
	case WIRE_FIXED32:
		good = take_fixed(&in, 4, &f.value);
		break;
	case WIRE_BYTES:
		good = take_bytes(&in, &f.bytes);
		break;
	}
	if (!good)
		return -1;
	*message = in;
	*ret = f;
	return 1;
}

/* The last field of that number. */
static bool find_field(struct slice message, uint32_t number, struct pb_field *ret)
{
	struct pb_field f;
	bool found = false;
	while (pb_next_field(&message, &f) == 1)
		if (f.number == number) {
			*ret = f;
			found = true;
		}
	return found;
}

struct slice pb_peek(struct slice message, const uint32_t *path, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct pb_field f;
		if (!find_field(message, path[i], &f))
			return SLICE_EMPTY;
		message = f.bytes;
	}
	return message;
}

uint64_t pb_peek_int(struct slice message, const uint32_t *path, size_t n)
{
	struct pb_field f;
	message = pb_peek(message, path, n - 1);
	return find_field(message, path[n - 1], &f) ? f.value : 0;
}

static void peek_owner(struct slice owner, struct meta_peek *m)
{
	struct slice uid = SLICE_EMPTY, kind = SLICE_EMPTY, name = SLICE_EMPTY;
	bool controller = false;
	struct pb_field f;
	while (pb_next_field(&owner, &f) == 1) {
		if (f.number == OWNER_KIND)
			kind = f.bytes;
		else if (f.number == OWNER_NAME)
			name = f.bytes;
		else if (f.number == OWNER_UID)
			uid = f.bytes;
		else if (f.number == OWNER_CONTROLLER)
			controller = f.value != 0;
	}
	if (controller) {
		m->owner_uid = uid;
		m->owner_kind = kind;
		m->owner_name = name;
	}
}

bool meta_peek(struct slice object, struct meta_peek *ret)
{
	struct meta_peek m = {0};
	struct pb_field f;
	int r;
	struct slice meta = pb_peek_path(object, 1);
	while ((r = pb_next_field(&object, &f)) == 1)
		;
	if (r < 0)
		return false;
	while ((r = pb_next_field(&meta, &f)) == 1) {
		switch (f.number) {
		case META_NAME:
			m.name = f.bytes;
			break;
		case META_NAMESPACE:
			m.ns = f.bytes;
			break;
		case META_UID:
			m.uid = f.bytes;
			break;
		case META_RESOURCE_VERSION:
			m.resource_version = f.bytes;
			break;
		case META_GENERATION:
			m.generation = (int64_t)f.value;
			break;
		case META_DELETION_TIMESTAMP:
			m.deleting = true;
			break;
		case META_OWNER_REFERENCES:
			peek_owner(f.bytes, &m);
			break;
		}
	}
	if (r < 0)
		return false;
	*ret = m;
	return true;
}
