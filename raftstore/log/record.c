/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include "common/codec/crc32c.h"
#include "raftstore/log/record.h"

static const char MAGIC[8] = {'k', 'u', 'b', 'e', 'c', 'r', 'a', 'f'};
enum { VERSION = 1 };

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* The place keeps bytes of another place or segment from passing for this record. */
static uint32_t place_crc(struct record_place place)
{
	uint8_t p[16];
	put64(p, place.segment);
	put64(p + 8, place.offset);
	return crc32c(0, p, sizeof(p));
}

void record_add(struct buf *out, struct record_place place, uint32_t *chain, enum record_type type,
                uint8_t flags, struct slice a, struct slice b)
{
	size_t payload = a.len + b.len, total = record_size(payload);
	buf_reserve(out, total);
	uint8_t *p = out->data + out->len;
	put32(p + 4, (uint32_t)payload);
	put32(p + 8, *chain);
	p[12] = (uint8_t)type;
	p[13] = flags;
	p[14] = p[15] = 0;
	if (a.len)
		memcpy(p + RECORD_PREFIX_BYTES, a.data, a.len);
	if (b.len)
		memcpy(p + RECORD_PREFIX_BYTES + a.len, b.data, b.len);
	memset(p + RECORD_PREFIX_BYTES + payload, 0, total - RECORD_PREFIX_BYTES - payload);
	*chain = crc32c(place_crc(place), p + 4, RECORD_PREFIX_BYTES - 4 + payload);
	put32(p, *chain);
	out->len += total;
}

bool record_read(struct slice bytes, struct record_place place, struct record *ret)
{
	if (bytes.len < RECORD_PREFIX_BYTES)
		return false;
	const uint8_t *p = bytes.data;
	size_t payload = get32(p + 4), total = record_size(payload);
	uint8_t type = p[12];
	if (type < RECORD_HEADER || type > RECORD_RESET || p[13] > RECORD_BATCH_FIRST || p[14] ||
	    p[15] || total > bytes.len)
		return false;
	uint32_t crc = get32(p);
	if (crc32c(place_crc(place), p + 4, RECORD_PREFIX_BYTES - 4 + payload) != crc)
		return false;
	*ret = (struct record){
	    .crc = crc,
	    .previous = get32(p + 8),
	    .type = type,
	    .flags = p[13],
	    .payload = {p + RECORD_PREFIX_BYTES, payload},
	    .total_bytes = total,
	};
	return true;
}

void record_add_header(struct buf *out, uint32_t *chain, const struct segment_header *h)
{
	uint8_t p[RECORD_HEADER_BYTES] = {0};
	memcpy(p, MAGIC, sizeof(MAGIC));
	put32(p + 8, VERSION);
	put64(p + 16, h->number);
	put64(p + 24, h->identity.cluster_id);
	put64(p + 32, h->identity.member_id);
	put64(p + 40, h->hard_state.term);
	put64(p + 48, h->hard_state.vote);
	put64(p + 56, h->last.index);
	put64(p + 64, h->last.term);
	record_add(out, (struct record_place){h->number, 0}, chain, RECORD_HEADER,
	           RECORD_BATCH_FIRST, slice_of(p, sizeof(p)), SLICE_EMPTY);
}

bool record_header(const struct record *r, struct segment_header *ret)
{
	const uint8_t *p = r->payload.data;
	if (r->type != RECORD_HEADER || r->payload.len != RECORD_HEADER_BYTES ||
	    memcmp(p, MAGIC, sizeof(MAGIC)) != 0 || get32(p + 8) != VERSION)
		return false;
	*ret = (struct segment_header){
	    .number = get64(p + 16),
	    .identity = {get64(p + 24), get64(p + 32)},
	    .hard_state = {get64(p + 40), get64(p + 48)},
	    .last = {get64(p + 56), get64(p + 64)},
	};
	return true;
}

/* State, truncate and reset are two numbers. */
static void add_pair(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                     enum record_type type, uint64_t a, uint64_t b)
{
	uint8_t p[16];
	put64(p, a);
	put64(p + 8, b);
	record_add(out, place, chain, type, flags, slice_of(p, sizeof(p)), SLICE_EMPTY);
}

void record_add_state(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                      struct raft_hard_state hs)
{
	add_pair(out, place, chain, flags, RECORD_STATE, hs.term, hs.vote);
}

bool record_state(const struct record *r, struct raft_hard_state *ret)
{
	if (r->type != RECORD_STATE || r->payload.len != 16)
		return false;
	*ret = (struct raft_hard_state){get64(r->payload.data), get64(r->payload.data + 8)};
	return true;
}

void record_add_mark(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                     enum record_type type, struct raft_mark mark)
{
	add_pair(out, place, chain, flags, type, mark.index, mark.term);
}

bool record_mark(const struct record *r, struct raft_mark *ret)
{
	if ((r->type != RECORD_TRUNCATE && r->type != RECORD_RESET) || r->payload.len != 16)
		return false;
	*ret = (struct raft_mark){get64(r->payload.data), get64(r->payload.data + 8)};
	return true;
}

void record_add_entry(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                      const struct raft_entry *e)
{
	uint8_t p[RECORD_ENTRY_PREFIX_BYTES] = {0};
	put64(p, e->index);
	put64(p + 8, e->term);
	p[16] = (uint8_t)e->type;
	record_add(out, place, chain, RECORD_ENTRY, flags, slice_of(p, sizeof(p)),
	           blob_view(e->data));
}

bool record_entry(const struct record *r, struct raft_entry *ret, struct slice *ret_data)
{
	const uint8_t *p = r->payload.data;
	if (r->type != RECORD_ENTRY || r->payload.len < RECORD_ENTRY_PREFIX_BYTES)
		return false;
	*ret = (struct raft_entry){get64(p), get64(p + 8), (enum raft_entry_type)p[16], NULL};
	*ret_data = slice_skip(r->payload, RECORD_ENTRY_PREFIX_BYTES);
	return true;
}
