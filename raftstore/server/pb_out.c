/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/pb_out.h"

enum { WIRE_VARINT = 0, WIRE_DELIMITED = 2 };

void out_varint(struct buf *b, uint64_t v)
{
	uint8_t t[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		t[n++] = (uint8_t)(v | 0x80);
	t[n++] = (uint8_t)v;
	buf_add(b, t, n);
}

static size_t varint_size(uint64_t v)
{
	return v ? (size_t)(63 - __builtin_clzll(v)) / 7 + 1 : 1;
}

void out_number(struct buf *b, unsigned field, int64_t v)
{
	if (!v)
		return;
	out_varint(b, field << 3 | WIRE_VARINT);
	out_varint(b, (uint64_t)v);
}

void out_bool(struct buf *b, unsigned field, bool v)
{
	out_number(b, field, v);
}

void out_bytes_always(struct buf *b, unsigned field, struct slice s)
{
	out_varint(b, field << 3 | WIRE_DELIMITED);
	out_varint(b, s.len);
	buf_slice(b, s);
}

void out_bytes(struct buf *b, unsigned field, struct slice s)
{
	if (s.len)
		out_bytes_always(b, field, s);
}

size_t out_begin(struct buf *b, unsigned field)
{
	out_varint(b, field << 3 | WIRE_DELIMITED);
	buf_byte(b, 0);
	return b->len;
}

void out_end(struct buf *b, size_t mark)
{
	size_t len = b->len - mark, wide = varint_size(len);
	if (wide > 1) {
		buf_reserve(b, wide - 1);
		memmove(b->data + mark + wide - 1, b->data + mark, len);
		b->len += wide - 1;
	}
	for (uint8_t *p = b->data + mark - 1; wide; wide--, len >>= 7)
		*p++ = (uint8_t)(len & 0x7f) | (wide > 1 ? 0x80 : 0);
}

static size_t number_size(int64_t v)
{
	return v ? 1 + varint_size((uint64_t)v) : 0;
}

static size_t bytes_size(struct slice s)
{
	return s.len ? 1 + varint_size(s.len) + s.len : 0;
}

void out_key_value(struct buf *b, unsigned field, const struct record *rec)
{
	size_t n = bytes_size(rec->key) + number_size(rec->create) + number_size(rec->rev.main) +
	           number_size(rec->version) + bytes_size(rec->value) + number_size(rec->lease);
	out_varint(b, field << 3 | WIRE_DELIMITED);
	out_varint(b, n);
	buf_reserve(b, n);
	out_bytes(b, 1, rec->key);
	out_number(b, 2, rec->create);
	out_number(b, 3, rec->rev.main);
	out_number(b, 4, rec->version);
	out_bytes(b, 5, rec->value);
	out_number(b, 6, rec->lease);
}
