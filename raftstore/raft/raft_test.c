/* SPDX-License-Identifier: Apache-2.0 */
/* Single rules, one step at a time; whole clusters are in cluster_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "raftstore/raft/core.h"

static void test_batch_vouches_for_what_is_left(void **state)
{
	struct tail_case {
		uint64_t term, from, to;
	} cases[] = {{1, 1, 11}, {2, 6, 8}};
	struct raft_tail t;
	tail_init(&t, (struct raft_mark){0, 0});
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		if (c)
			tail_truncate(&t, cases[c].from);
		for (uint64_t i = cases[c].from; i < cases[c].to; i++)
			tail_append(&t,
			            &(struct raft_entry){i, cases[c].term, RAFT_ENTRY_NOOP, NULL});
		assert_int_equal(tail_sent(&t), c + 1);
	}
	tail_persisted(&t, 1); /* held 1 to 10, of which 1 to 5 are left */
	assert_int_equal(t.persisted, 5);
	tail_persisted(&t, 2);
	assert_int_equal(t.persisted, 7);
	assert_int_equal(tail_agree(&t, 7, 1), 5);
	tail_compact(&t, 6);
	assert_int_equal(t.mark.term, 2);
	assert_int_equal(tail_term(&t, 5), 0);
	assert_int_equal(tail_last(&t), 7);
	tail_deinit(&t);
}

static struct raft *new_raft_seeded(unsigned members, struct raft_hard_state hs, uint64_t seed)
{
	struct raft_options opt = {.id = 1};
	rng_init(&opt.rng, seed);
	struct raft_boot boot = {.hard_state = hs};
	for (unsigned i = 1; i <= members; i++)
		raft_ids_add(&boot.conf.voters, i);
	struct err err = ERR_INIT;
	struct raft *r = raft_new(&opt, &boot, &err);
	assert_non_null(r);
	return r;
}

static struct raft *new_raft(unsigned members, struct raft_hard_state hs)
{
	return new_raft_seeded(members, hs, 7);
}

static void step(struct raft *r, struct raft_update *u, struct raft_event e)
{
	raft_update_clear(u);
	assert_int_equal(raft_step(r, &e, u), 0);
}

static void receive(struct raft *r, struct raft_update *u, struct raft_message m)
{
	m.to = 1;
	step(r, u, (struct raft_event){.type = RAFT_RECEIVE, .message = &m});
}

static void test_vote_waits_for_the_disk(void **state)
{
	_cleanup_(raft_free_p) struct raft *r = new_raft(3, (struct raft_hard_state){4, 0});
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	struct raft_message ask = {.type = RAFT_MSG_VOTE, .from = 2, .term = 5};
	receive(r, &u, ask);
	assert_int_equal(u.send_now.n, 0);
	assert_int_equal(u.send_persisted.n, 1);
	assert_true(u.send_persisted.at[0].vote_result.granted);
	assert_int_equal(u.persist.seq, 1);
	assert_int_equal(u.persist.hard_state.term, 5);
	assert_int_equal(u.persist.hard_state.vote, 2);
	ask.from = 3; /* the second comer is refused at once */
	receive(r, &u, ask);
	assert_int_equal(u.send_now.n, 1);
	assert_false(u.send_now.at[0].vote_result.granted);
	ask.from = 2; /* the first one again: the answer waits again */
	receive(r, &u, ask);
	assert_int_equal(u.send_persisted.n, 1);
	assert_int_equal(u.persist.seq, 2);
}

static void test_pre_vote_changes_nothing(void **state)
{
	_cleanup_(raft_free_p) struct raft *r = new_raft(3, (struct raft_hard_state){4, 0});
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	struct raft_message ask = {.type = RAFT_MSG_VOTE, .from = 2, .term = 9, .vote.pre = true};
	receive(r, &u, ask);
	assert_int_equal(u.persist.seq, 0);
	assert_true(u.send_now.at[0].vote_result.granted);
	assert_int_equal(u.send_now.at[0].term, 9);
	assert_int_equal(raft_status(r).term, 4);
}

/* An answer from before a restart may be older than a read that began after it. */
static void test_questions_differ_after_a_restart(void **state)
{
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	uint64_t question = 0;
	for (uint64_t seed = 1; seed <= 2; seed++) {
		_cleanup_(raft_free_p) struct raft *r =
		    new_raft_seeded(3, (struct raft_hard_state){1, 0}, seed);
		receive(r, &u,
		        (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1});
		step(r, &u, (struct raft_event){.type = RAFT_READ, .read_context = 5});
		assert_int_equal(u.send_now.n, 1);
		assert_int_equal(u.send_now.at[0].type, RAFT_MSG_READ);
		struct raft_message answer = {
		    .type = RAFT_MSG_READ_RESULT, .from = 2, .term = 1, .read_result.index = 1};
		answer.read_result.context = question;
		receive(r, &u, answer);
		assert_true(r->read_asked); /* it was to another question */
		question = r->read_question;
	}
}

static void test_follower_acknowledges_what_is_durable(void **state)
{
	_cleanup_(raft_free_p) struct raft *r = new_raft(3, (struct raft_hard_state){1, 0});
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	struct raft_message m = {.type = RAFT_MSG_APPEND, .from = 2, .term = 1};
	for (uint64_t i = 1; i <= 3; i++)
		*vec_push(&m.append.entries) = (struct raft_entry){i, 1, RAFT_ENTRY_NOOP, NULL};
	m.append.commit = 3;
	receive(r, &u, m);
	assert_int_equal(u.send_now.n, 0);
	assert_int_equal(u.persist.entries.n, 3);
	assert_int_equal(u.committed.n, 0); /* committed, not durable here */
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = 1});
	assert_int_equal(u.send_now.n, 1);
	assert_int_equal(u.send_now.at[0].append_result.index, 3);
	assert_int_equal(u.committed.n, 3);
	receive(r, &u, m); /* a double is acknowledged at once and not stored again */
	assert_int_equal(u.persist.seq, 0);
	assert_int_equal(u.send_now.at[0].append_result.index, 3);
	/* Entries that contradict what is committed are no message of Raft. */
	m.append.entries.at[1].term = m.append.entries.at[2].term = 2;
	m.term = 2;
	receive(r, &u, m);
	assert_int_equal(u.persist.entries.n, 0);
	assert_int_equal(raft_status(r).last, 3);
	raft_entries_deinit(&m.append.entries);
}

/* What is durable already is acknowledged in a new term when the term is durable, too. */
static void test_acknowledgement_waits_for_the_term(void **state)
{
	_cleanup_(raft_free_p) struct raft *r = new_raft(3, (struct raft_hard_state){1, 0});
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	struct raft_message m = {.type = RAFT_MSG_APPEND, .from = 2, .term = 1};
	*vec_push(&m.append.entries) = (struct raft_entry){1, 1, RAFT_ENTRY_NOOP, NULL};
	receive(r, &u, m);
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = 1});
	m.from = 3;
	m.term = 2;
	receive(r, &u, m);
	assert_int_equal(u.persist.seq, 2);
	assert_true(u.persist.has_hard_state);
	assert_int_equal(u.send_now.n, 0);
	receive(r, &u, m);
	assert_int_equal(u.send_now.n, 0);
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = 2});
	assert_int_equal(u.send_now.n, 1);
	assert_int_equal(u.send_now.at[0].to, 3);
	assert_int_equal(u.send_now.at[0].append_result.index, 1);
	raft_entries_deinit(&m.append.entries);
}

static void test_leader_commits_only_its_own_term(void **state)
{
	/* Paper, figure 8: two members hold entry 2 of an older term, which is not committed yet.
	 */
	struct raft_entries log = {0};
	*vec_push(&log) = (struct raft_entry){1, 1, RAFT_ENTRY_NOOP, NULL};
	*vec_push(&log) = (struct raft_entry){2, 2, RAFT_ENTRY_NOOP, NULL};
	struct raft_options opt = {.id = 1};
	struct raft_boot boot = {.hard_state = {3, 0}, .entries = &log};
	for (unsigned i = 1; i <= 3; i++)
		raft_ids_add(&boot.conf.voters, i);
	struct err err = ERR_INIT;
	_cleanup_(raft_free_p) struct raft *r = raft_new(&opt, &boot, &err);
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	assert_non_null(r);
	step(r, &u, (struct raft_event){.type = RAFT_TICK, .now_ms = 5000});
	receive(
	    r, &u,
	    (struct raft_message){
	        .type = RAFT_MSG_VOTE_RESULT, .from = 2, .term = 4, .vote_result = {true, true}});
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = u.persist.seq});
	receive(
	    r, &u,
	    (struct raft_message){
	        .type = RAFT_MSG_VOTE_RESULT, .from = 2, .term = 4, .vote_result = {false, true}});
	assert_int_equal(raft_status(r).role, RAFT_LEADER);
	uint64_t seq = u.persist.seq;
	struct raft_message ack = {.type = RAFT_MSG_APPEND_RESULT, .from = 2, .term = 4};
	ack.append_result.index = 2;
	receive(r, &u, ack);
	assert_int_equal(raft_status(r).commit, 0);
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = seq});
	assert_int_equal(raft_status(r).commit, 0);
	ack.append_result.index = 3;
	receive(r, &u, ack);
	assert_int_equal(raft_status(r).commit, 3);
	assert_int_equal(u.committed.n, 3);
	raft_entries_deinit(&log);
}

static uint64_t value_of(const void *arg, uint64_t id)
{
	return ((const uint64_t *)arg)[id];
}

static enum raft_vote vote_of(const void *arg, uint64_t id)
{
	return ((const enum raft_vote *)arg)[id];
}

/* The second voter need not be there to be added, but for all that follows. */
static void test_only_voter_adds_another(void **state)
{
	_cleanup_(raft_free_p) struct raft *r = new_raft(1, (struct raft_hard_state){1, 0});
	_cleanup_(raft_update_deinit) struct raft_update u = {0};
	step(r, &u, (struct raft_event){.type = RAFT_TICK, .now_ms = 5000});
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = u.persist.seq});
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = u.persist.seq});
	assert_int_equal(raft_status(r).commit, 1);
	step(r, &u, (struct raft_event){.type = RAFT_APPLIED, .applied_index = 1});
	struct raft_change_request q = {.at = {{RAFT_ADD_VOTER, 2}}, .n = 1};
	step(r, &u, (struct raft_event){.type = RAFT_CHANGE, .change = &q});
	struct blob *data = blob_dup(SLICE_LIT("x"));
	uint64_t seq = u.persist.seq;
	step(r, &u, (struct raft_event){.type = RAFT_PROPOSE, .propose = {&data, 1}});
	assert_int_equal(raft_status(r).commit, 1);
	seq = MAX(seq, u.persist.seq);
	step(r, &u, (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = seq});
	assert_int_equal(raft_status(r).last, 3);
	assert_int_equal(raft_status(r).commit, 2);
	blob_unref(data);
}

static void test_quorum(void **state)
{
	const uint64_t match[] = {0, 10, 7, 5, 3, 1};
	struct raft_conf conf = {0};
	assert_true(raft_quorum_value(&conf, value_of, match) == UINT64_MAX);
	raft_ids_add(&conf.voters, 1);
	assert_int_equal(raft_quorum_value(&conf, value_of, match), 10);
	raft_ids_add(&conf.voters, 2);
	assert_int_equal(raft_quorum_value(&conf, value_of, match), 7);
	raft_ids_add(&conf.voters, 4);
	assert_int_equal(raft_quorum_value(&conf, value_of, match), 7);
	for (uint64_t id = 3; id <= 5; id++) /* joint: the slower majority counts */
		raft_ids_add(&conf.outgoing, id);
	assert_int_equal(raft_quorum_value(&conf, value_of, match), 3);
	enum raft_vote votes[6] = {[1] = RAFT_VOTE_YES, [2] = RAFT_VOTE_YES};
	assert_int_equal(raft_quorum_votes(&conf, vote_of, votes), RAFT_PENDING);
	votes[3] = votes[5] = RAFT_VOTE_YES;
	assert_int_equal(raft_quorum_votes(&conf, vote_of, votes), RAFT_WON);
	votes[3] = votes[4] = RAFT_VOTE_NO;
	assert_int_equal(raft_quorum_votes(&conf, vote_of, votes), RAFT_LOST);
	assert_false(raft_ids_add(&conf.voters, 0));
	assert_int_equal(raft_conf_members(&conf).n, 5);
}

static void test_conf_as_bytes(void **state)
{
	struct raft_conf conf = {.auto_leave = true}, back;
	for (uint64_t id = 1; id <= 3; id++) {
		raft_ids_add(&conf.voters, id * UINT64_C(0x0102030405060708));
		raft_ids_add(&conf.outgoing, id);
		raft_ids_add(&conf.learners, id + 9);
	}
	struct blob *b = raft_conf_encode(&conf);
	struct slice bytes = blob_view(b);
	assert_true(raft_conf_decode(bytes, &back));
	assert_true(raft_conf_equal(&conf, &back));
	/* Whatever one byte becomes: no crash, and what is taken is written the same again. */
	uint8_t *copy = malloc(bytes.len);
	assert_non_null(copy);
	for (size_t i = 0; i < bytes.len; i++) {
		assert_false(raft_conf_decode(slice_of(bytes.data, i), &back));
		for (unsigned v = 0; v < 256; v++) {
			memcpy(copy, bytes.data, bytes.len);
			copy[i] = (uint8_t)v;
			if (!raft_conf_decode(slice_of(copy, bytes.len), &back))
				continue;
			struct blob *again = raft_conf_encode(&back);
			assert_true(slice_eq(blob_view(again), slice_of(copy, bytes.len)));
			blob_unref(again);
		}
	}
	free(copy);
	blob_unref(b);
}

static void test_conf_entry_carries_context(void **state)
{
	struct raft_conf conf = {.auto_leave = false}, back;
	struct slice context;
	raft_ids_add(&conf.voters, 7);
	struct blob *b = raft_conf_entry_encode(&conf, SLICE_LIT("who it is"));
	struct slice bytes = blob_view(b);
	assert_true(raft_conf_entry_decode(bytes, &back, &context));
	assert_true(raft_conf_equal(&conf, &back));
	assert_true(slice_eq_str(context, "who it is"));
	assert_false(raft_conf_decode(bytes, &back));
	for (size_t i = 0; i < bytes.len - context.len; i++)
		assert_false(raft_conf_entry_decode(slice_of(bytes.data, i), &back, NULL));
	blob_unref(b);
}

static void test_conf_has_limits(void **state)
{
	struct raft_conf conf = {.auto_leave = false};
	struct raft_change_request q = {.way = RAFT_CHANGE_AUTO};
	struct err err = ERR_INIT;
	for (uint64_t id = 1; id < RAFT_MEMBERS_MAX; id++)
		raft_ids_add(&conf.voters, id);
	q.at[q.n++] = (struct raft_change){RAFT_ADD_LEARNER, 20};
	assert_int_equal(raft_conf_change(&conf, &q, &conf, &err), 0);
	assert_int_equal(conf.outgoing.n, 0); /* voters stay as they are */
	q.at[0].id = 21;
	assert_int_equal(raft_conf_change(&conf, &q, &conf, &err), -ERR_LIMIT);
	/* One goes and one comes: in the joint configuration there would be one too many. */
	q.at[q.n++] = (struct raft_change){RAFT_REMOVE, 1};
	q.at[0] = (struct raft_change){RAFT_REMOVE, 2};
	q.at[q.n++] = (struct raft_change){RAFT_ADD_VOTER, 22};
	assert_int_equal(raft_conf_change(&conf, &q, &conf, &err), -ERR_LIMIT);
	q.at[2].id = 20; /* the learner */
	assert_int_equal(raft_conf_change(&conf, &q, &conf, &err), 0);
	assert_int_equal(conf.voters.n, RAFT_MEMBERS_MAX - 2);
	assert_int_equal(conf.outgoing.n, RAFT_MEMBERS_MAX - 1);
	assert_true(conf.auto_leave);
}

static void test_boot_is_checked(void **state)
{
	struct raft_entries log = {0};
	*vec_push(&log) = (struct raft_entry){5, 2, RAFT_ENTRY_NOOP, NULL};
	struct raft_options opt = {.id = 1};
	struct raft_boot boot = {
	    .hard_state = {2, 0}, .mark = {4, 1}, .entries = &log, .applied = 4};
	struct err err = ERR_INIT;
	struct raft *r = raft_new(&opt, &boot, &err);
	assert_non_null(r);
	raft_free(r);
	boot.applied = 6;
	assert_null(raft_new(&opt, &boot, &err));
	assert_string_equal(err.text, "the applied index 6 is outside of the log (4 to 5)");
	boot.applied = 5;
	boot.hard_state.term = 1;
	assert_null(raft_new(&opt, &boot, &err));
	log.at[0] = (struct raft_entry){5, 1, RAFT_ENTRY_CONF, NULL};
	assert_null(raft_new(&opt, &boot, &err));
	assert_string_equal(err.text, "entry 5 holds no configuration");
	log.at[0].index = 7;
	assert_null(raft_new(&opt, &boot, &err));
	assert_int_equal(err.code, ERR_CORRUPT);
	raft_entries_deinit(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_batch_vouches_for_what_is_left),
	    cmocka_unit_test(test_vote_waits_for_the_disk),
	    cmocka_unit_test(test_pre_vote_changes_nothing),
	    cmocka_unit_test(test_questions_differ_after_a_restart),
	    cmocka_unit_test(test_follower_acknowledges_what_is_durable),
	    cmocka_unit_test(test_acknowledgement_waits_for_the_term),
	    cmocka_unit_test(test_leader_commits_only_its_own_term),
	    cmocka_unit_test(test_only_voter_adds_another),
	    cmocka_unit_test(test_quorum),
	    cmocka_unit_test(test_conf_as_bytes),
	    cmocka_unit_test(test_conf_entry_carries_context),
	    cmocka_unit_test(test_conf_has_limits),
	    cmocka_unit_test(test_boot_is_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
