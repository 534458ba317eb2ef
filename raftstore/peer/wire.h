/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Messages between members as bytes. Pure.
 *
 * A frame carries messages in the order in which they were put:
 *      0  u8   version   WIRE_VERSION
 *      1  u8   0
 *      2  u16  0
 *      4  u32  crc       CRC32C of what follows
 *      8       messages: u8 kind, u32 length of the payload, the payload
 * Numbers are little-endian. Who sends and who is meant is known from the stream, not from the
 * frame. A frame with anything that is not exactly so is refused as a whole where it goes wrong;
 * what was read before that is good. */
#include "common/base/err.h"
#include "raftstore/raft/raft.h"

enum { WIRE_VERSION = 1, WIRE_HEAD_BYTES = 8, WIRE_ENTRIES_MAX = 1 << 20 };

enum wire_kind {
	/* RAFT_MSG_x + 0: the same numbers */
	WIRE_ASK = 64,
	WIRE_ANSWER,
	WIRE_PING,
	WIRE_PONG,
};

struct wire_message {
	unsigned kind; /* enum raft_message_type or enum wire_kind */
	union {
		struct raft_message raft; /* from and to are as given to wire_open */
		struct {
			uint64_t id; /* the asker's, for the answer */
			uint32_t kind;
			struct slice body; /* of the frame */
		} ask;
		struct {
			uint64_t id;
			int32_t result;
			struct slice body;
		} answer;
		uint64_t ping; /* and pong: the pinger's time */
	};
};

/* Starts a frame in an empty buffer. */
void wire_begin(struct buf *frame);
void wire_put_raft(struct buf *frame, const struct raft_message *m);
void wire_put_ask(struct buf *frame, uint64_t id, uint32_t kind, struct slice body);
void wire_put_answer(struct buf *frame, uint64_t id, int32_t result, struct slice body);
void wire_put_ping(struct buf *frame, enum wire_kind kind, uint64_t value);
/* The frame is complete. */
void wire_end(struct buf *frame);

struct wire_reader {
	struct slice rest;
	uint64_t from, to;
};

/* -ERR_INVALID: not a frame of this version. */
_must_use_ int wire_open(struct wire_reader *r, struct slice frame, uint64_t from, uint64_t to,
                         struct err *err);
/* 1: a message, to be cleared; 0: that was all; -ERR_INVALID. */
_must_use_ int wire_next(struct wire_reader *r, struct wire_message *ret, struct err *err);
/* Drops the entries that it owns. */
void wire_message_clear(struct wire_message *m);

/* A Raft message by itself, as in a frame but without its kind and length. */
void wire_encode_raft(struct buf *b, const struct raft_message *m);
/* The message must fill the bytes. m->type, from and to are set by the caller. */
_must_use_ bool wire_decode_raft(struct slice bytes, struct raft_message *m);
