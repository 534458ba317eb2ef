/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Records: the bytes that log.h describes. */
#include "common/base/buf.h"
#include "raftstore/log/log.h"

enum record_type {
	RECORD_HEADER = 1,
	RECORD_STATE,
	RECORD_ENTRY,
	RECORD_TRUNCATE,
	RECORD_RESET,
};

enum {
	RECORD_PREFIX_BYTES = 16,
	RECORD_BATCH_FIRST = 1,
	RECORD_ENTRY_PREFIX_BYTES = 24,
	RECORD_HEADER_BYTES = 80,
};

/* Where a record stands; its checksum covers it. */
struct record_place {
	uint64_t segment, offset;
};

struct record {
	uint32_t crc, previous;
	uint8_t type, flags;
	struct slice payload;
	size_t total_bytes; /* with prefix and padding */
};

struct segment_header {
	uint64_t number;
	struct raftlog_identity identity;
	struct raft_hard_state hard_state;
	struct raft_mark last;
};

static inline size_t record_size(size_t payload_bytes)
{
	return RECORD_PREFIX_BYTES + ((payload_bytes + 7) & ~(size_t)7);
}

/* Appends a record whose payload is a followed by b; *chain is the previous crc and becomes this
 * one's. */
void record_add(struct buf *out, struct record_place place, uint32_t *chain, enum record_type type,
                uint8_t flags, struct slice a, struct slice b);
/* Reads the record at the start of `bytes`. False: no whole record that checks out. */
bool record_read(struct slice bytes, struct record_place place, struct record *ret);

void record_add_header(struct buf *out, uint32_t *chain, const struct segment_header *h);
void record_add_state(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                      struct raft_hard_state hs);
void record_add_mark(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                     enum record_type type, struct raft_mark mark);
void record_add_entry(struct buf *out, struct record_place place, uint32_t *chain, uint8_t flags,
                      const struct raft_entry *e);

/* False: the payload has not the form of its type. */
bool record_header(const struct record *r, struct segment_header *ret);
bool record_state(const struct record *r, struct raft_hard_state *ret);
bool record_mark(const struct record *r, struct raft_mark *ret);
/* The data is borrowed from the record: ret_data; ret->data is NULL. */
bool record_entry(const struct record *r, struct raft_entry *ret, struct slice *ret_data);
