/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/peer/wire.h"
#include <endian.h>
#include "common/codec/crc32c.h"

enum { MESSAGE_HEAD_BYTES = 5, ENTRY_HEAD_BYTES = 13 };

/* --- numbers --- */

static void add_u8(struct buf *b, uint8_t v)
{
	buf_byte(b, v);
}

static void add_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, &v, sizeof(v));
}

static void add_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, sizeof(v));
}

static void set_u32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

/* What is left to read; `bad` once something was missing or out of range. */
struct input {
	struct slice rest;
	bool bad;
};

static const uint8_t *take(struct input *in, size_t n)
{
	const uint8_t *at = in->rest.data;
	if (in->bad || in->rest.len < n) {
		in->bad = true;
		return NULL;
	}
	in->rest = slice_skip(in->rest, n);
	return at;
}

static uint8_t get_u8(struct input *in)
{
	const uint8_t *at = take(in, 1);
	return at ? *at : 0;
}

static uint32_t get_u32(struct input *in)
{
	uint32_t v = 0;
	const uint8_t *at = take(in, sizeof(v));
	if (at)
		memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(struct input *in)
{
	uint64_t v = 0;
	const uint8_t *at = take(in, sizeof(v));
	if (at)
		memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

static bool get_bool(struct input *in)
{
	uint8_t v = get_u8(in);
	in->bad |= v > 1;
	return v;
}

static void add_mark(struct buf *b, struct raft_mark m)
{
	add_u64(b, m.index);
	add_u64(b, m.term);
}

static struct raft_mark get_mark(struct input *in)
{
	struct raft_mark m;
	m.index = get_u64(in);
	m.term = get_u64(in);
	return m;
}

/* --- entries --- */

static void add_entries(struct buf *b, const struct raft_entries *list)
{
	add_u32(b, (uint32_t)list->n);
	for (size_t i = 0; i < list->n; i++) {
		const struct raft_entry *e = &list->at[i];
		struct slice data = blob_view(e->data);
		add_u8(b, (uint8_t)e->type);
		add_u64(b, e->term);
		add_u32(b, (uint32_t)data.len);
		buf_slice(b, data);
	}
}

/* An entry is behind `last`, and not of a later term than the message. */
static bool get_entry(struct input *in, struct raft_mark *last, uint64_t term,
                      struct raft_entries *list)
{
	struct raft_entry e = {.type = get_u8(in)};
	e.index = last->index + 1;
	e.term = get_u64(in);
	uint32_t len = get_u32(in);
	const uint8_t *data = take(in, len);
	bool known =
	    e.type == RAFT_ENTRY_COMMAND || e.type == RAFT_ENTRY_CONF || e.type == RAFT_ENTRY_NOOP;
	if (in->bad || !known || e.term < last->term || e.term > term || e.index == 0)
		return false;
	e.data = len ? blob_dup(slice_of(data, len)) : NULL;
	*vec_push(list) = e;
	*last = (struct raft_mark){e.index, e.term};
	return true;
}

static bool get_entries(struct input *in, struct raft_mark prev, uint64_t term,
                        struct raft_entries *list)
{
	uint32_t n = get_u32(in);
	/* The bytes that are there bound the memory that is taken. */
	if (n > WIRE_ENTRIES_MAX || (size_t)n * ENTRY_HEAD_BYTES > in->rest.len)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (!get_entry(in, &prev, term, list))
			return false;
	}
	return true;
}

/* --- Raft's messages --- */

static void add_snapshot(struct buf *b, const struct raft_message *m)
{
	struct blob *conf = raft_conf_encode(&m->snapshot.conf);
	add_mark(b, m->snapshot.mark);
	add_u32(b, (uint32_t)conf->len);
	buf_slice(b, blob_view(conf));
	blob_unref(conf);
}

static void get_snapshot(struct input *in, struct raft_message *m)
{
	m->snapshot.mark = get_mark(in);
	uint32_t len = get_u32(in);
	const uint8_t *conf = take(in, len);
	in->bad = in->bad || !raft_conf_decode(slice_of(conf, len), &m->snapshot.conf);
}

void wire_encode_raft(struct buf *b, const struct raft_message *m)
{
	add_u64(b, m->term);
	switch (m->type) {
	case RAFT_MSG_VOTE:
		add_u8(b, m->vote.pre);
		add_u8(b, m->vote.transfer);
		add_mark(b, m->vote.last);
		break;
	case RAFT_MSG_VOTE_RESULT:
		add_u8(b, m->vote_result.pre);
		add_u8(b, m->vote_result.granted);
		break;
	case RAFT_MSG_APPEND:
		add_mark(b, m->append.prev);
		add_u64(b, m->append.commit);
		add_entries(b, &m->append.entries);
		break;
	case RAFT_MSG_APPEND_RESULT:
		add_u8(b, m->append_result.rejected);
		add_u64(b, m->append_result.index);
		add_mark(b, m->append_result.hint);
		break;
	case RAFT_MSG_HEARTBEAT:
		add_u64(b, m->heartbeat.commit);
		add_u64(b, m->heartbeat.round);
		break;
	case RAFT_MSG_HEARTBEAT_RESULT:
		add_u64(b, m->heartbeat_result.round);
		break;
	case RAFT_MSG_SNAPSHOT:
		add_snapshot(b, m);
		break;
	case RAFT_MSG_READ:
		add_u64(b, m->read.context);
		break;
	case RAFT_MSG_READ_RESULT:
		add_u64(b, m->read_result.context);
		add_u64(b, m->read_result.index);
		break;
	case RAFT_MSG_TIMEOUT_NOW:
		break;
	}
}

/* What follows the term. */
static void get_body(struct input *in, struct raft_message *m)
{
	switch (m->type) {
	case RAFT_MSG_VOTE:
		m->vote.pre = get_bool(in);
		m->vote.transfer = get_bool(in);
		m->vote.last = get_mark(in);
		break;
	case RAFT_MSG_VOTE_RESULT:
		m->vote_result.pre = get_bool(in);
		m->vote_result.granted = get_bool(in);
		break;
	case RAFT_MSG_APPEND:
		m->append.prev = get_mark(in);
		m->append.commit = get_u64(in);
		in->bad |= !get_entries(in, m->append.prev, m->term, &m->append.entries);
		break;
	case RAFT_MSG_APPEND_RESULT:
		m->append_result.rejected = get_bool(in);
		m->append_result.index = get_u64(in);
		m->append_result.hint = get_mark(in);
		break;
	case RAFT_MSG_HEARTBEAT:
		m->heartbeat.commit = get_u64(in);
		m->heartbeat.round = get_u64(in);
		break;
	case RAFT_MSG_HEARTBEAT_RESULT:
		m->heartbeat_result.round = get_u64(in);
		break;
	case RAFT_MSG_SNAPSHOT:
		get_snapshot(in, m);
		break;
	case RAFT_MSG_READ:
		m->read.context = get_u64(in);
		break;
	case RAFT_MSG_READ_RESULT:
		m->read_result.context = get_u64(in);
		m->read_result.index = get_u64(in);
		break;
	case RAFT_MSG_TIMEOUT_NOW:
		break;
	default:
		in->bad = true;
	}
}

bool wire_decode_raft(struct slice bytes, struct raft_message *m)
{
	struct input in = {.rest = bytes};
	struct raft_message got = {.type = m->type, .from = m->from, .to = m->to};
	got.term = get_u64(&in);
	get_body(&in, &got);
	if (in.bad || in.rest.len) {
		if (got.type == RAFT_MSG_APPEND)
			raft_entries_deinit(&got.append.entries);
		return false;
	}
	*m = got;
	return true;
}

/* --- frames --- */

void wire_begin(struct buf *frame)
{
	static const uint8_t head[WIRE_HEAD_BYTES] = {WIRE_VERSION};
	buf_add(frame, head, sizeof(head));
}

void wire_end(struct buf *frame)
{
	uint32_t crc = crc32c(0, frame->data + WIRE_HEAD_BYTES, frame->len - WIRE_HEAD_BYTES);
	set_u32(frame->data + 4, crc);
}

/* Returns where the message begins, for message_end. */
static size_t message_begin(struct buf *frame, unsigned kind)
{
	size_t at = frame->len;
	add_u8(frame, (uint8_t)kind);
	add_u32(frame, 0);
	return at;
}

static void message_end(struct buf *frame, size_t at)
{
	set_u32(frame->data + at + 1, (uint32_t)(frame->len - at - MESSAGE_HEAD_BYTES));
}

void wire_put_raft(struct buf *frame, const struct raft_message *m)
{
	size_t at = message_begin(frame, m->type);
	wire_encode_raft(frame, m);
	message_end(frame, at);
}

void wire_put_ask(struct buf *frame, uint64_t id, uint32_t kind, struct slice body)
{
	size_t at = message_begin(frame, WIRE_ASK);
	add_u64(frame, id);
	add_u32(frame, kind);
	buf_slice(frame, body);
	message_end(frame, at);
}

void wire_put_answer(struct buf *frame, uint64_t id, int32_t result, struct slice body)
{
	size_t at = message_begin(frame, WIRE_ANSWER);
	add_u64(frame, id);
	add_u32(frame, (uint32_t)result);
	buf_slice(frame, body);
	message_end(frame, at);
}

void wire_put_ping(struct buf *frame, enum wire_kind kind, uint64_t value)
{
	size_t at = message_begin(frame, kind);
	add_u64(frame, value);
	message_end(frame, at);
}

int wire_open(struct wire_reader *r, struct slice frame, uint64_t from, uint64_t to,
              struct err *err)
{
	struct input in = {.rest = frame};
	uint8_t version = get_u8(&in);
	if (in.bad)
		return err_set(err, ERR_INVALID, "an empty frame");
	if (version != WIRE_VERSION)
		return err_set(err, ERR_INVALID, "a frame of version %u", version);
	const uint8_t *zeros = take(&in, 3);
	uint32_t crc = get_u32(&in);
	if (in.bad || zeros[0] || zeros[1] || zeros[2])
		return err_set(err, ERR_INVALID, "a frame with a bad head");
	if (crc != crc32c(0, in.rest.data, in.rest.len))
		return err_set(err, ERR_INVALID, "a frame with a wrong checksum");
	*r = (struct wire_reader){.rest = in.rest, .from = from, .to = to};
	return 0;
}

static bool get_message(struct wire_reader *r, unsigned kind, struct slice payload,
                        struct wire_message *m)
{
	struct input in = {.rest = payload};
	*m = (struct wire_message){.kind = kind};
	switch (kind) {
	case WIRE_ASK:
		m->ask.id = get_u64(&in);
		m->ask.kind = get_u32(&in);
		m->ask.body = in.rest;
		return !in.bad;
	case WIRE_ANSWER:
		m->answer.id = get_u64(&in);
		m->answer.result = (int32_t)get_u32(&in);
		m->answer.body = in.rest;
		return !in.bad;
	case WIRE_PING:
	case WIRE_PONG:
		m->ping = get_u64(&in);
		return !in.bad && !in.rest.len;
	default:
		m->raft = (struct raft_message){
		    .type = (enum raft_message_type)kind, .from = r->from, .to = r->to};
		return wire_decode_raft(payload, &m->raft);
	}
}

int wire_next(struct wire_reader *r, struct wire_message *ret, struct err *err)
{
	if (!r->rest.len)
		return 0;
	struct input in = {.rest = r->rest};
	unsigned kind = get_u8(&in);
	uint32_t len = get_u32(&in);
	const uint8_t *payload = take(&in, len);
	if (in.bad)
		return err_set(err, ERR_INVALID, "a frame that ends within a message");
	if (!get_message(r, kind, slice_of(payload, len), ret))
		return err_set(err, ERR_INVALID, "a malformed message of kind %u", kind);
	r->rest = in.rest;
	return 1;
}

void wire_message_clear(struct wire_message *m)
{
	if (m->kind == RAFT_MSG_APPEND)
		raft_entries_deinit(&m->raft.append.entries);
}
