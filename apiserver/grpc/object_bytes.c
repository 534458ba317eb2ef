/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/grpc/object_bytes.h"

enum { META_MANAGED_FIELDS = 17, UNKNOWN_TYPE_META = 1, UNKNOWN_RAW = 2, TYPE_META_KIND = 2 };

/* 1, 0 (incomplete) or -1 (too long). */
static int peek_varint(struct slice in, uint64_t *ret, size_t *ret_n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < 10; i++) {
		if (i >= in.len)
			return 0;
		v |= (uint64_t)(in.data[i] & 0x7f) << (7 * i);
		if (!(in.data[i] & 0x80)) {
			*ret = v;
			*ret_n = i + 1;
			return 1;
		}
	}
	return -1;
}

int bytes_field_header(struct slice in, uint32_t *ret_number, uint64_t *ret_len, size_t *ret_header)
{
	uint64_t tag, len;
	size_t n, m;
	int r = peek_varint(in, &tag, &n);
	if (r < 1)
		return r;
	if ((tag & 7) != 2 || !(tag >> 3))
		return -1;
	r = peek_varint(slice_skip(in, n), &len, &m);
	if (r < 1)
		return r;
	*ret_number = (uint32_t)(tag >> 3);
	*ret_len = len;
	*ret_header = n + m;
	return 1;
}

void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_byte(b, (uint8_t)(v | 0x80));
	buf_byte(b, (uint8_t)v);
}

void add_bytes_field(struct buf *b, uint32_t number, struct slice value)
{
	add_varint(b, (uint64_t)number << 3 | 2);
	add_varint(b, value.len);
	buf_slice(b, value);
}

void add_int_field(struct buf *b, uint32_t number, uint64_t value)
{
	add_varint(b, (uint64_t)number << 3);
	add_varint(b, value);
}

static size_t varint_size(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

/* The metadata in three runs: what is before the managed fields, they, what is after. False when
 * there are none, or not in one run. */
static bool find_managed(struct slice meta, struct slice *ret_head, struct slice *ret_tail)
{
	struct slice rest = meta, head = meta, tail = SLICE_EMPTY;
	bool found = false, after = false;
	struct pb_field f;
	for (;;) {
		struct slice here = rest;
		int r = pb_next_field(&rest, &f);
		if (r <= 0)
			break;
		if (f.number == META_MANAGED_FIELDS) {
			if (after)
				return false;
			if (!found)
				head.len = (size_t)(here.data - meta.data);
			found = true;
			tail = rest;
		} else if (found) {
			after = true;
		}
	}
	*ret_head = head;
	*ret_tail = tail;
	return found;
}

void add_object_field(struct buf *b, uint32_t number, struct slice object, bool omit_managed_fields)
{
	struct slice rest = object, head, tail;
	struct pb_field f;
	/* Encoders write metadata, field 1, first. */
	if (!omit_managed_fields || pb_next_field(&rest, &f) != 1 || f.number != 1 ||
	    !find_managed(f.bytes, &head, &tail)) {
		add_bytes_field(b, number, object);
		return;
	}
	size_t meta = head.len + tail.len;
	add_varint(b, (uint64_t)number << 3 | 2);
	add_varint(b, 1 + varint_size(meta) + meta + rest.len);
	add_varint(b, 1 << 3 | 2);
	add_varint(b, meta);
	buf_slice(b, head);
	buf_slice(b, tail);
	buf_slice(b, rest);
}

bool envelope_open(struct slice in, struct slice *ret_raw, struct slice *ret_kind)
{
	struct slice raw = SLICE_EMPTY, kind = SLICE_EMPTY;
	struct pb_field f;
	if (!slice_has_prefix(in, slice_of("k8s\0", 4)))
		return false;
	in = slice_skip(in, 4);
	while (pb_next_field(&in, &f) == 1) {
		if (f.number == UNKNOWN_TYPE_META)
			kind = pb_peek_path(f.bytes, TYPE_META_KIND);
		else if (f.number == UNKNOWN_RAW)
			raw = f.bytes;
	}
	*ret_raw = raw;
	if (ret_kind)
		*ret_kind = kind;
	return true;
}
