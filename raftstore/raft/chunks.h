/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bytes of a snapshot in chunks (paper, section 7 and figure 13: offset, data, done), between
 * the shells of leader and follower, beside the core. Both sides are pure: they say which bytes to
 * send and which to write. Chunks and answers may be lost, doubled, delayed or reordered, and both
 * sides may go on after a break: the receiver always tells how far it is, the sender goes back to
 * there. */
#include <stdbool.h>
#include <stdint.h>

struct chunks_options {
	uint32_t chunk_bytes;  /* 0: 64 KiB */
	uint32_t window_bytes; /* sent and unanswered; 0: 4 MiB; one chunk always goes */
	uint32_t resend_ms;    /* without an answer; 0: 1000 */
	uint32_t give_up_ms;   /* without progress; 0: 60000 */
};

/* One message from the sender. The id names the bytes: another transfer of other bytes, even of the
 * same mark, has another one (random, never 0). */
struct chunk {
	uint64_t id, size; /* size: of the whole */
	uint64_t offset, len;
};

/* The answer: all bytes before `offset` have been written. */
struct chunk_result {
	uint64_t id, offset;
};

struct chunks_send {
	struct chunks_options opt;
	uint64_t id, size;
	uint64_t acked, next;
	uint64_t sent_ms, progress_ms; /* sent: or heard of */
	bool started; /* something was sent since acked: an empty snapshot has one chunk, too */
	bool again;   /* went back to acked since the last progress */
	bool done;
};

enum chunks_state { CHUNKS_RUNNING, CHUNKS_DONE, CHUNKS_GIVEN_UP };

void chunks_send_init(struct chunks_send *s, const struct chunks_options *opt, uint64_t id,
                      uint64_t size, uint64_t now_ms);
/* True: send these bytes; call again until false. */
bool chunks_send_next(struct chunks_send *s, uint64_t now_ms, struct chunk *ret);
void chunks_send_result(struct chunks_send *s, const struct chunk_result *result, uint64_t now_ms);
enum chunks_state chunks_send_state(const struct chunks_send *s, uint64_t now_ms);
/* When chunks_send_next or chunks_send_state may say something new without a result. */
uint64_t chunks_send_deadline(const struct chunks_send *s);

/* Zeroed: nothing has been received. Who keeps the file over a restart sets what it holds. */
struct chunks_receive {
	uint64_t id, size, have;
};

enum chunk_use {
	CHUNK_WRITE,  /* append the bytes behind the first *ret_skip of the chunk */
	CHUNK_BEGIN,  /* the same after emptying the file: these are other bytes than before */
	CHUNK_IGNORE, /* old, or something before it is missing */
	CHUNK_BAD,    /* contradicts itself: send no result */
};

/* How to use a chunk of the leader of this term. When its bytes are written say so; the result is
 * to be sent then, and after CHUNK_IGNORE. */
enum chunk_use chunks_receive(struct chunks_receive *r, const struct chunk *c, uint64_t *ret_skip);
void chunks_receive_written(struct chunks_receive *r, const struct chunk *c);
struct chunk_result chunks_receive_result(const struct chunks_receive *r, const struct chunk *c);
/* All bytes are there. */
bool chunks_receive_done(const struct chunks_receive *r);
