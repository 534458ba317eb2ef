/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/wire.h"

static bool varint(struct wire *w, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && w->at < w->end; shift += 7) {
		uint8_t c = *w->at++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool take(struct wire *w, uint64_t n)
{
	if (n > (uint64_t)(w->end - w->at))
		return false;
	w->bytes = slice_of(w->at, n);
	w->at += n;
	return true;
}

bool wire_next(struct wire *w)
{
	uint64_t tag, n;
	bool ok = false;

	if (w->bad || w->at >= w->end)
		return false;
	if (varint(w, &tag)) {
		w->field = (uint32_t)(tag >> 3);
		w->type = (uint32_t)(tag & 7);
		w->bytes = SLICE_EMPTY;
		switch (w->type) {
		case 0:
			ok = varint(w, &w->num);
			break;
		case 1:
			ok = take(w, 8);
			break;
		case 2:
			ok = varint(w, &n) && take(w, n);
			break;
		case 5:
			ok = take(w, 4);
			break;
		default:
			break;
		}
	}
	w->bad = !ok;
	return ok;
}

void wire_put_varint(struct buf *b, uint64_t v)
{
	uint8_t out[10];
	size_t n = 0;

	while (v >= 0x80) {
		out[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	out[n++] = (uint8_t)v;
	buf_add(b, out, n);
}

size_t wire_varint_bytes(uint64_t v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

void wire_put_num(struct buf *b, uint32_t field, uint64_t v)
{
	if (!v)
		return;
	wire_put_varint(b, (uint64_t)field << 3);
	wire_put_varint(b, v);
}

void wire_put_bytes(struct buf *b, uint32_t field, struct slice s)
{
	wire_put_varint(b, (uint64_t)field << 3 | 2);
	wire_put_varint(b, s.len);
	buf_slice(b, s);
}
