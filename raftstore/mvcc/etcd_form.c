/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/etcd_form.h"

struct slice etcd_revision_encode(struct revision rev, bool deleted,
                                  uint8_t out[ETCD_REVISION_MAX_BYTES])
{
	put_be64(out, (uint64_t)rev.main);
	out[8] = '_';
	put_be64(out + 9, (uint64_t)rev.sub);
	out[ETCD_REVISION_BYTES] = 't';
	return slice_of(out, deleted ? ETCD_REVISION_MAX_BYTES : ETCD_REVISION_BYTES);
}

bool etcd_revision_decode(struct slice in, struct revision *ret, bool *ret_deleted)
{
	bool marked = in.len == ETCD_REVISION_MAX_BYTES;
	if ((in.len != ETCD_REVISION_BYTES && !marked) || in.data[8] != '_' ||
	    (marked && in.data[ETCD_REVISION_BYTES] != 't'))
		return false;
	struct revision rev = {(int64_t)get_be64(in.data), (int64_t)get_be64(in.data + 9)};
	if (rev.main < 0 || rev.sub < 0)
		return false;
	*ret = rev;
	*ret_deleted = marked;
	return true;
}

/* --- mvccpb.KeyValue; zero numbers and empty bytes are left out --- */

static uint8_t *out_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *out_number(uint8_t *p, unsigned field, int64_t v)
{
	return v ? out_varint(out_varint(p, field << 3), (uint64_t)v) : p;
}

static uint8_t *out_bytes(uint8_t *p, unsigned field, struct slice s)
{
	if (!s.len)
		return p;
	p = out_varint(out_varint(p, field << 3 | 2), s.len);
	memcpy(p, s.data, s.len);
	return p + s.len;
}

enum { NUMBERS_MAX_BYTES = 80 };

struct slice etcd_value_encode(const struct record *r, struct buf *out)
{
	buf_clear(out);
	buf_reserve(out, r->key.len + r->value.len + NUMBERS_MAX_BYTES);
	uint8_t *p = out_bytes(out->data, 1, r->key);
	if (!r->deleted) {
		p = out_number(p, 2, r->create);
		p = out_number(p, 3, r->rev.main);
		p = out_number(p, 4, r->version);
		p = out_bytes(p, 5, r->value);
		p = out_number(p, 6, r->lease);
	}
	out->len = (size_t)(p - out->data);
	return buf_view(out);
}
