/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/rng.h"
#include "raftstore/peer/wire.h"

enum { FROM = 7, TO = 9 };

/* One of each kind, in the order of their numbers. */
static void put_all(struct buf *frame)
{
	struct raft_message m = {.type = RAFT_MSG_VOTE, .from = FROM, .to = TO, .term = 5};
	wire_begin(frame);
	m.vote.pre = true;
	m.vote.last = (struct raft_mark){11, 4};
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_VOTE_RESULT, .term = 6};
	m.vote_result.granted = true;
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_APPEND, .term = 7};
	m.append.prev = (struct raft_mark){100, 3};
	m.append.commit = 99;
	*vec_push(&m.append.entries) = (struct raft_entry){
	    .index = 101, .term = 3, .type = RAFT_ENTRY_COMMAND, .data = blob_dup(SLICE_LIT("x"))};
	*vec_push(&m.append.entries) =
	    (struct raft_entry){.index = 102, .term = 7, .type = RAFT_ENTRY_NOOP};
	wire_put_raft(frame, &m);
	raft_entries_deinit(&m.append.entries);
	m = (struct raft_message){.type = RAFT_MSG_APPEND_RESULT, .term = 8};
	m.append_result.rejected = true;
	m.append_result.index = 100;
	m.append_result.hint = (struct raft_mark){90, 2};
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .term = 9, .heartbeat = {12, 13}};
	wire_put_raft(frame, &m);
	m = (struct raft_message){
	    .type = RAFT_MSG_HEARTBEAT_RESULT, .term = 9, .heartbeat_result = {13}};
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_SNAPSHOT, .term = 9};
	m.snapshot.mark = (struct raft_mark){50, 3};
	assert_true(raft_ids_add(&m.snapshot.conf.voters, FROM));
	assert_true(raft_ids_add(&m.snapshot.conf.learners, TO));
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_READ, .term = 9, .read = {21}};
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_READ_RESULT, .term = 9, .read_result = {21, 22}};
	wire_put_raft(frame, &m);
	m = (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .term = UINT64_MAX};
	wire_put_raft(frame, &m);
	wire_put_ask(frame, 31, 32, SLICE_LIT("question"));
	wire_put_answer(frame, 31, -ERR_TIMEOUT, SLICE_LIT("answer"));
	wire_put_ping(frame, WIRE_PING, 41);
	wire_put_ping(frame, WIRE_PONG, 42);
	wire_end(frame);
}

static void must_next(struct wire_reader *r, unsigned kind, struct wire_message *m)
{
	struct err err = ERR_INIT;
	if (wire_next(r, m, &err) != 1)
		fail_msg("kind %u: %s", kind, err.text);
	assert_int_equal(m->kind, kind);
	if (kind < WIRE_ASK) {
		assert_int_equal(m->raft.type, kind);
		assert_int_equal(m->raft.from, FROM);
		assert_int_equal(m->raft.to, TO);
	}
}

static void check_append(const struct raft_message *m)
{
	const struct raft_entries *e = &m->append.entries;
	assert_int_equal(m->append.prev.index, 100);
	assert_int_equal(m->append.prev.term, 3);
	assert_int_equal(m->append.commit, 99);
	assert_int_equal(e->n, 2);
	assert_int_equal(e->at[0].index, 101);
	assert_int_equal(e->at[0].type, RAFT_ENTRY_COMMAND);
	assert_true(slice_eq_str(blob_view(e->at[0].data), "x"));
	assert_int_equal(e->at[1].index, 102);
	assert_int_equal(e->at[1].term, 7);
	assert_int_equal(e->at[1].type, RAFT_ENTRY_NOOP);
	assert_null(e->at[1].data);
}

static void test_every_kind_comes_back(void **state)
{
	_cleanup_buf_ struct buf frame = BUF_INIT;
	struct wire_reader r;
	struct wire_message m;
	struct err err = ERR_INIT;
	put_all(&frame);
	assert_int_equal(wire_open(&r, buf_view(&frame), FROM, TO, &err), 0);
	must_next(&r, RAFT_MSG_VOTE, &m);
	assert_true(m.raft.vote.pre && !m.raft.vote.transfer);
	assert_int_equal(m.raft.term, 5);
	assert_int_equal(m.raft.vote.last.index, 11);
	assert_int_equal(m.raft.vote.last.term, 4);
	must_next(&r, RAFT_MSG_VOTE_RESULT, &m);
	assert_true(!m.raft.vote_result.pre && m.raft.vote_result.granted);
	must_next(&r, RAFT_MSG_APPEND, &m);
	check_append(&m.raft);
	wire_message_clear(&m);
	must_next(&r, RAFT_MSG_APPEND_RESULT, &m);
	assert_true(m.raft.append_result.rejected);
	assert_int_equal(m.raft.append_result.index, 100);
	assert_int_equal(m.raft.append_result.hint.index, 90);
	assert_int_equal(m.raft.append_result.hint.term, 2);
	must_next(&r, RAFT_MSG_HEARTBEAT, &m);
	assert_int_equal(m.raft.heartbeat.commit, 12);
	assert_int_equal(m.raft.heartbeat.round, 13);
	must_next(&r, RAFT_MSG_HEARTBEAT_RESULT, &m);
	assert_int_equal(m.raft.heartbeat_result.round, 13);
	must_next(&r, RAFT_MSG_SNAPSHOT, &m);
	assert_int_equal(m.raft.snapshot.mark.index, 50);
	assert_true(raft_ids_has(&m.raft.snapshot.conf.voters, FROM));
	assert_true(raft_ids_has(&m.raft.snapshot.conf.learners, TO));
	must_next(&r, RAFT_MSG_READ, &m);
	assert_int_equal(m.raft.read.context, 21);
	must_next(&r, RAFT_MSG_READ_RESULT, &m);
	assert_int_equal(m.raft.read_result.context, 21);
	assert_int_equal(m.raft.read_result.index, 22);
	must_next(&r, RAFT_MSG_TIMEOUT_NOW, &m);
	assert_true(m.raft.term == UINT64_MAX);
	must_next(&r, WIRE_ASK, &m);
	assert_int_equal(m.ask.id, 31);
	assert_int_equal(m.ask.kind, 32);
	assert_true(slice_eq_str(m.ask.body, "question"));
	must_next(&r, WIRE_ANSWER, &m);
	assert_int_equal(m.answer.id, 31);
	assert_int_equal(m.answer.result, -ERR_TIMEOUT);
	assert_true(slice_eq_str(m.answer.body, "answer"));
	must_next(&r, WIRE_PING, &m);
	assert_int_equal(m.ping, 41);
	must_next(&r, WIRE_PONG, &m);
	assert_int_equal(m.ping, 42);
	assert_int_equal(wire_next(&r, &m, &err), 0);
}

/* Reads to the end or to the first error. */
static int read_all(struct slice frame)
{
	struct wire_reader r;
	struct wire_message m;
	int result = wire_open(&r, frame, FROM, TO, NULL);
	while (!result && (result = wire_next(&r, &m, NULL)) == 1) {
		wire_message_clear(&m);
		result = 0;
		if (!r.rest.len)
			break;
	}
	return result;
}

static void test_cut_and_flipped_frames_are_refused(void **state)
{
	_cleanup_buf_ struct buf frame = BUF_INIT;
	put_all(&frame);
	assert_int_equal(read_all(buf_view(&frame)), 0);
	for (size_t n = 0; n < frame.len; n++)
		assert_int_equal(read_all(slice_of(frame.data, n)), -ERR_INVALID);
	for (size_t bit = 0; bit < 8 * frame.len; bit++) {
		frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(read_all(buf_view(&frame)), -ERR_INVALID);
		frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* With a right checksum the contents are still checked. */
static void test_malformed_messages(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[64];
		size_t n;
	} cases[] = {
	    {"unknown kind", {99, 0, 0, 0, 0}, 5},
	    {"kind 0", {0, 0, 0, 0, 0}, 5},
	    {"length beyond the frame", {RAFT_MSG_TIMEOUT_NOW, 9}, 13},
	    {"too short for its term", {RAFT_MSG_TIMEOUT_NOW, 7}, 12},
	    {"bytes left over", {RAFT_MSG_TIMEOUT_NOW, 9}, 14},
	    {"a bool that is 2",
	     {RAFT_MSG_VOTE_RESULT, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
	     15},
	    {"entries that are cut before their number", {RAFT_MSG_APPEND, 30}, 35},
	    {"more entries than bytes", {RAFT_MSG_APPEND, 36, [5 + 32] = 0xff, 0xff, 0x0f}, 5 + 36},
	    {"an entry of a type that is not",
	     {RAFT_MSG_APPEND, 49, [5 + 32] = 1, [5 + 36] = 9},
	     5 + 49},
	    {"an entry of a later term than its message",
	     {RAFT_MSG_APPEND, 49, [5 + 32] = 1, [5 + 36] = RAFT_ENTRY_NOOP, 1},
	     5 + 49},
	    {"a snapshot without members", {RAFT_MSG_SNAPSHOT, 33, [5 + 24] = 5, [5 + 28] = 1}, 38},
	    {"a question without a kind", {WIRE_ASK, 8}, 13},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf frame = BUF_INIT;
		wire_begin(&frame);
		buf_add(&frame, cases[i].bytes, cases[i].n);
		wire_end(&frame);
		if (read_all(buf_view(&frame)) != -ERR_INVALID)
			fail_msg("accepted: %s", cases[i].what);
	}
}

static void test_other_version(void **state)
{
	_cleanup_buf_ struct buf frame = BUF_INIT;
	struct wire_reader r;
	struct err err = ERR_INIT;
	wire_begin(&frame);
	wire_end(&frame);
	assert_int_equal(read_all(buf_view(&frame)), 0);
	frame.data[0] = WIRE_VERSION + 1;
	assert_int_equal(wire_open(&r, buf_view(&frame), FROM, TO, &err), -ERR_INVALID);
	assert_non_null(strstr(err.text, "version 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_kind_comes_back),
	    cmocka_unit_test(test_cut_and_flipped_frames_are_refused),
	    cmocka_unit_test(test_malformed_messages),
	    cmocka_unit_test(test_other_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
