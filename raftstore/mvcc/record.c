/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/record.h"

void put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

void put_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

struct slice revision_encode(struct revision r, uint8_t out[REVISION_BYTES])
{
	put_be64(out, (uint64_t)r.main);
	put_be64(out + 8, (uint64_t)r.sub);
	return slice_of(out, REVISION_BYTES);
}

bool revision_decode(struct slice in, struct revision *ret)
{
	if (in.len != REVISION_BYTES)
		return false;
	*ret = (struct revision){(int64_t)get_be64(in.data), (int64_t)get_be64(in.data + 8)};
	return true;
}

struct slice record_encode(const struct record *r, struct buf *out)
{
	uint8_t head[RECORD_HEAD_BYTES];
	head[0] = r->deleted ? RECORD_DELETED : 0;
	put_be64(head + 1, (uint64_t)r->create);
	put_be64(head + 9, (uint64_t)r->version);
	put_be64(head + 17, (uint64_t)r->lease);
	revision_encode(r->previous, head + 25);
	put_be32(head + 41, (uint32_t)r->key.len);
	buf_clear(out);
	buf_reserve(out, sizeof(head) + r->key.len + r->value.len);
	buf_add(out, head, sizeof(head));
	buf_slice(out, r->key);
	buf_slice(out, r->value);
	return buf_view(out);
}

bool record_decode(struct slice rev, struct slice in, struct record *ret)
{
	struct record r;
	if (!revision_decode(rev, &r.rev) || in.len < RECORD_HEAD_BYTES)
		return false;
	size_t key_len = get_be32(in.data + 41);
	if (key_len > in.len - RECORD_HEAD_BYTES)
		return false;
	r.deleted = in.data[0] & RECORD_DELETED;
	r.create = (int64_t)get_be64(in.data + 1);
	r.version = (int64_t)get_be64(in.data + 9);
	r.lease = (int64_t)get_be64(in.data + 17);
	revision_decode(slice_of(in.data + 25, REVISION_BYTES), &r.previous);
	r.key = slice_of(in.data + RECORD_HEAD_BYTES, key_len);
	r.value = slice_skip(in, RECORD_HEAD_BYTES + key_len);
	*ret = r;
	return true;
}

struct slice index_encode(const struct index_entry *e, uint8_t out[INDEX_BYTES])
{
	revision_encode(e->rev, out);
	put_be64(out + 16, (uint64_t)e->create);
	put_be64(out + 24, (uint64_t)e->version);
	put_be64(out + 32, (uint64_t)e->lease);
	return slice_of(out, INDEX_BYTES);
}

bool index_decode(struct slice in, struct index_entry *ret)
{
	if (in.len != INDEX_BYTES)
		return false;
	revision_decode(slice_of(in.data, REVISION_BYTES), &ret->rev);
	ret->create = (int64_t)get_be64(in.data + 16);
	ret->version = (int64_t)get_be64(in.data + 24);
	ret->lease = (int64_t)get_be64(in.data + 32);
	return true;
}
