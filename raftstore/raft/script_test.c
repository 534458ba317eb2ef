/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts in testdata: commands, "----", what the members did, an empty line. REWRITE=1 writes the
 * files anew; the difference is what a reviewer reads. Commands:
 *
 *   members N          new members 1 to N at time 0
 *   pass MS ID...      time passes for these members, each is ticked
 *   deliver [FROM-TO]  messages arrive (only of this pair) and batches become durable, until quiet
 *   drop               messages under way are lost
 *   hold ID, sync ID   the member's disk stands still, goes on
 *   propose ID TEXT    read ID CONTEXT    compact ID INDEX    status
 *   transfer ID TO     unreachable ID PEER
 *   join ID            a new member that knows nobody
 *   change ID WAY C... WAY: auto, joint, explicit, leave; C: +9 voter, ~9 learner, ^9 promote, -9
 *   conf               who is in force at each member */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include "raftstore/raft/core.h"

enum { MEMBERS_MAX = 8 };

struct member {
	struct raft *raft;
	uint64_t now_ms;
	bool held;
	VEC(struct {
		uint64_t seq;
		struct raft_messages then;
	})
	batches;
};

struct world {
	struct member members[MEMBERS_MAX + 1];
	struct raft_messages net;
	struct buf out;
};

static const char *const role_names[] = {"follower", "precandidate", "candidate", "leader"};

static const char *const entry_names[] = {
    [RAFT_ENTRY_COMMAND] = "", [RAFT_ENTRY_NOOP] = "noop", [RAFT_ENTRY_CONF] = "conf"};

static void trace_message(struct buf *out, const struct raft_message *m)
{
	static const char *const names[] = {
	    [RAFT_MSG_VOTE] = "vote",
	    [RAFT_MSG_VOTE_RESULT] = "vote_result",
	    [RAFT_MSG_APPEND] = "append",
	    [RAFT_MSG_APPEND_RESULT] = "append_result",
	    [RAFT_MSG_HEARTBEAT] = "heartbeat",
	    [RAFT_MSG_HEARTBEAT_RESULT] = "heartbeat_result",
	    [RAFT_MSG_SNAPSHOT] = "snapshot",
	    [RAFT_MSG_READ] = "read",
	    [RAFT_MSG_READ_RESULT] = "read_result",
	    [RAFT_MSG_TIMEOUT_NOW] = "timeout_now",
	};
	buf_printf(out, "%" PRIu64 "->%" PRIu64 " %s term %" PRIu64, m->from, m->to, names[m->type],
	           m->term);
	if (m->type == RAFT_MSG_VOTE)
		buf_printf(out, "%s%s last %" PRIu64 "/%" PRIu64, m->vote.pre ? " pre" : "",
		           m->vote.transfer ? " transfer" : "", m->vote.last.index,
		           m->vote.last.term);
	else if (m->type == RAFT_MSG_VOTE_RESULT)
		buf_printf(out, "%s %s", m->vote_result.pre ? " pre" : "",
		           m->vote_result.granted ? "granted" : "refused");
	else if (m->type == RAFT_MSG_APPEND)
		buf_printf(out, " prev %" PRIu64 "/%" PRIu64 " entries %zu commit %" PRIu64,
		           m->append.prev.index, m->append.prev.term, m->append.entries.n,
		           m->append.commit);
	else if (m->type == RAFT_MSG_APPEND_RESULT && m->append_result.rejected)
		buf_printf(out, " rejected %" PRIu64 " hint %" PRIu64 "/%" PRIu64,
		           m->append_result.index, m->append_result.hint.index,
		           m->append_result.hint.term);
	else if (m->type == RAFT_MSG_APPEND_RESULT)
		buf_printf(out, " matches %" PRIu64, m->append_result.index);
	else if (m->type == RAFT_MSG_HEARTBEAT)
		buf_printf(out, " commit %" PRIu64 " round %" PRIu64, m->heartbeat.commit,
		           m->heartbeat.round);
	else if (m->type == RAFT_MSG_HEARTBEAT_RESULT)
		buf_printf(out, " round %" PRIu64, m->heartbeat_result.round);
	else if (m->type == RAFT_MSG_SNAPSHOT)
		buf_printf(out, " mark %" PRIu64 "/%" PRIu64, m->snapshot.mark.index,
		           m->snapshot.mark.term);
	else if (m->type == RAFT_MSG_READ_RESULT)
		buf_printf(out, " index %" PRIu64, m->read_result.index);
	buf_str(out, "\n");
}

static void send_all(struct world *w, struct raft_messages *list)
{
	VEC_FOREACH (list, m)
		*vec_push(&w->net) = *m;
	vec_deinit(list);
	*list = (struct raft_messages){0};
}

static void step(struct world *w, uint64_t id, struct raft_event e);

static void print_ids(struct buf *out, const char *name, const struct raft_ids *ids)
{
	if (ids->n == 0)
		return;
	buf_printf(out, " %s", name);
	for (unsigned i = 0; i < ids->n; i++)
		buf_printf(out, " %" PRIu64, ids->at[i]);
}

static void print_conf(struct buf *out, uint64_t id, const struct raft_conf *conf)
{
	buf_printf(out, "%" PRIu64 " has", id);
	print_ids(out, "voters", &conf->voters);
	print_ids(out, "outgoing", &conf->outgoing);
	print_ids(out, "learners", &conf->learners);
	buf_printf(out, "%s\n", conf->auto_leave ? " auto" : "");
}

static void print_update(struct world *w, uint64_t id, const struct raft_update *u)
{
	struct raft_status s = raft_status(w->members[id].raft);
	if (u->status_changed)
		buf_printf(&w->out, "%" PRIu64 " is %s term %" PRIu64 " leader %" PRIu64 "\n", id,
		           role_names[s.role], s.term, s.leader);
	if (u->has_conf)
		print_conf(&w->out, id, &u->conf);
	if (u->has_install)
		buf_printf(&w->out, "%" PRIu64 " installs %" PRIu64 "/%" PRIu64 "\n", id,
		           u->install.index, u->install.term);
	if (u->persist.has_hard_state)
		buf_printf(&w->out, "%" PRIu64 " persists term %" PRIu64 " vote %" PRIu64 "\n", id,
		           u->persist.hard_state.term, u->persist.hard_state.vote);
	VEC_FOREACH (&u->persist.entries, p)
		buf_printf(&w->out, "%" PRIu64 " persists %" PRIu64 "/%" PRIu64 "\n", id, p->index,
		           p->term);
	VEC_FOREACH (&u->committed, c)
		buf_printf(
		    &w->out, "%" PRIu64 " applies %" PRIu64 "/%" PRIu64 " %s%.*s\n", id, c->index,
		    c->term, entry_names[c->type],
		    SLICE_FMT(c->type == RAFT_ENTRY_COMMAND ? blob_view(c->data) : SLICE_LIT("")));
	VEC_FOREACH (&u->reads, r)
		buf_printf(&w->out, "%" PRIu64 " answers read %" PRIu64 " at %" PRIu64 "\n", id,
		           r->context, r->index);
}

static void step(struct world *w, uint64_t id, struct raft_event e)
{
	struct member *m = &w->members[id];
	struct raft_update u = {0};
	e.now_ms = m->now_ms;
	int r = raft_step(m->raft, &e, &u);
	if (r < 0) {
		buf_printf(&w->out, "%" PRIu64 " refuses: %s\n", id, err_name(r));
		return;
	}
	print_update(w, id, &u);
	send_all(w, &u.send_now);
	if (u.persist.seq) {
		vec_reserve(&m->batches, 1);
		m->batches.at[m->batches.n].seq = u.persist.seq;
		m->batches.at[m->batches.n++].then = u.send_persisted;
		u.send_persisted = (struct raft_messages){0};
	}
	uint64_t applied = u.committed.n ? vec_last(&u.committed)->index : 0;
	bool install = u.has_install;
	struct raft_mark mark = u.install;
	raft_update_deinit(&u);
	if (applied)
		step(w, id, (struct raft_event){.type = RAFT_APPLIED, .applied_index = applied});
	if (install)
		step(
		    w, id,
		    (struct raft_event){.type = RAFT_SNAPSHOT_DONE, .snapshot_done = {mark, true}});
}

static bool sync_disks(struct world *w)
{
	bool any = false;
	for (uint64_t id = 1; id <= MEMBERS_MAX; id++) {
		struct member *m = &w->members[id];
		while (m->raft && !m->held && m->batches.n) {
			uint64_t seq = m->batches.at[0].seq;
			struct raft_messages then = m->batches.at[0].then;
			vec_remove(&m->batches, 0);
			send_all(w, &then);
			step(w, id,
			     (struct raft_event){.type = RAFT_PERSISTED, .persisted_seq = seq});
			any = true;
		}
	}
	return any;
}

static void deliver(struct world *w, uint64_t from, uint64_t to)
{
	size_t skip = 0;
	while (sync_disks(w) || skip < w->net.n) {
		if (skip >= w->net.n)
			continue;
		struct raft_messages one = {0};
		if (from && (w->net.at[skip].from != from || w->net.at[skip].to != to)) {
			skip++;
			continue;
		}
		*vec_push(&one) = w->net.at[skip];
		vec_remove(&w->net, skip);
		trace_message(&w->out, one.at);
		if (!w->members[one.at->to].raft) {
			raft_messages_deinit(&one);
			continue;
		}
		step(w, one.at->to, (struct raft_event){.type = RAFT_RECEIVE, .message = one.at});
		if (one.at->type == RAFT_MSG_SNAPSHOT)
			step(w, one.at->from,
			     (struct raft_event){.type = RAFT_SNAPSHOT_SENT,
			                         .snapshot_sent = {one.at->to, true}});
		raft_messages_deinit(&one);
	}
}

static void clear_world(struct world *w)
{
	for (uint64_t id = 1; id <= MEMBERS_MAX; id++) {
		struct member *m = &w->members[id];
		raft_free(m->raft);
		VEC_FOREACH (&m->batches, b)
			raft_messages_deinit(&b->then);
		vec_deinit(&m->batches);
		*m = (struct member){.raft = NULL};
	}
	raft_messages_deinit(&w->net);
}

static void new_members(struct world *w, uint64_t n)
{
	clear_world(w);
	for (uint64_t id = 1; id <= n && id <= MEMBERS_MAX; id++) {
		struct raft_options opt = {.id = id};
		struct raft_boot boot = {.now_ms = 0};
		struct err err = ERR_INIT;
		rng_init(&opt.rng, id);
		for (uint64_t i = 1; i <= n; i++)
			raft_ids_add(&boot.conf.voters, i);
		w->members[id].raft = raft_new(&opt, &boot, &err);
	}
}

static void join(struct world *w, uint64_t id)
{
	struct raft_options opt = {.id = id};
	struct raft_boot boot = {.now_ms = 0};
	struct err err = ERR_INIT;
	rng_init(&opt.rng, id);
	w->members[id].raft = raft_new(&opt, &boot, &err);
	assert_non_null(w->members[id].raft);
}

static enum raft_change_way way_of(const char *word)
{
	static const char *const names[] = {
	    [RAFT_CHANGE_AUTO] = "auto",
	    [RAFT_CHANGE_JOINT] = "joint",
	    [RAFT_CHANGE_JOINT_EXPLICIT] = "explicit",
	    [RAFT_CHANGE_LEAVE] = "leave",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(word, names[i]) == 0)
			return (enum raft_change_way)i;
	fail_msg("unknown way %s", word);
	return RAFT_CHANGE_AUTO;
}

static void change(struct world *w, uint64_t id, char *rest)
{
	static const enum raft_change_type types[128] = {['+'] = RAFT_ADD_VOTER,
	                                                 ['~'] = RAFT_ADD_LEARNER,
	                                                 ['^'] = RAFT_PROMOTE,
	                                                 ['-'] = RAFT_REMOVE};
	struct raft_change_request q = {.way = way_of(strsep(&rest, " "))};
	for (char *c; rest && (c = strsep(&rest, " "));)
		q.at[q.n++] = (struct raft_change){types[c[0] & 127], strtoull(c + 1, NULL, 10)};
	struct err err = ERR_INIT;
	if (raft_change_check(w->members[id].raft, &q, &err) < 0)
		buf_printf(&w->out, "%" PRIu64 " says: %s\n", id, err.text);
	step(w, id, (struct raft_event){.type = RAFT_CHANGE, .change = &q});
}

static void print_status(struct world *w)
{
	for (uint64_t id = 1; id <= MEMBERS_MAX; id++) {
		if (!w->members[id].raft)
			continue;
		struct raft_status s = raft_status(w->members[id].raft);
		buf_printf(&w->out,
		           "%" PRIu64 " %s term %" PRIu64 " leader %" PRIu64 " log %" PRIu64
		           "-%" PRIu64 " persisted %" PRIu64 " commit %" PRIu64 "\n",
		           id, role_names[s.role], s.term, s.leader, s.first, s.last, s.persisted,
		           s.commit);
	}
}

static void command(struct world *w, char *line)
{
	char *rest = line, *word = strsep(&rest, " ");
	char *arg = rest ? strsep(&rest, " ") : NULL;
	uint64_t n = arg ? strtoull(arg, NULL, 10) : 0;
	if (strcmp(word, "members") == 0) {
		new_members(w, n);
	} else if (strcmp(word, "pass") == 0) {
		for (char *id; rest && (id = strsep(&rest, " "));) {
			uint64_t i = strtoull(id, NULL, 10);
			w->members[i].now_ms += n;
			step(w, i, (struct raft_event){.type = RAFT_TICK});
		}
	} else if (strcmp(word, "deliver") == 0) {
		deliver(w, n,
		        arg && strchr(arg, '-') ? strtoull(strchr(arg, '-') + 1, NULL, 10) : 0);
	} else if (strcmp(word, "drop") == 0) {
		raft_messages_clear(&w->net);
	} else if (strcmp(word, "hold") == 0 || strcmp(word, "sync") == 0) {
		w->members[n].held = word[0] == 'h';
	} else if (strcmp(word, "propose") == 0) {
		struct blob *b = blob_dup(slice_str(rest));
		step(w, n, (struct raft_event){.type = RAFT_PROPOSE, .propose = {&b, 1}});
		blob_unref(b);
	} else if (strcmp(word, "read") == 0) {
		step(w, n,
		     (struct raft_event){.type = RAFT_READ,
		                         .read_context = strtoull(rest, NULL, 10)});
	} else if (strcmp(word, "compact") == 0) {
		step(w, n,
		     (struct raft_event){.type = RAFT_COMPACT,
		                         .compact_index = strtoull(rest, NULL, 10)});
	} else if (strcmp(word, "transfer") == 0) {
		step(w, n,
		     (struct raft_event){.type = RAFT_TRANSFER,
		                         .transfer_to = strtoull(rest, NULL, 10)});
	} else if (strcmp(word, "unreachable") == 0) {
		step(w, n,
		     (struct raft_event){.type = RAFT_PEER_UNREACHABLE,
		                         .unreachable = strtoull(rest, NULL, 10)});
	} else if (strcmp(word, "join") == 0) {
		join(w, n);
	} else if (strcmp(word, "change") == 0) {
		change(w, n, rest);
	} else if (strcmp(word, "conf") == 0) {
		for (uint64_t id = 1; id <= MEMBERS_MAX; id++)
			if (w->members[id].raft)
				print_conf(&w->out, id, &w->members[id].raft->conf);
	} else if (strcmp(word, "status") == 0) {
		print_status(w);
	} else if (word[0] != '#') {
		fail_msg("unknown command %s", word);
	}
}

/* The file as it should be, given its commands. */
static void play(FILE *f, struct buf *whole)
{
	struct world w = {.out = BUF_INIT};
	char line[512];
	bool expected = false;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strcmp(line, "----") == 0) {
			buf_str(whole, "----\n");
			buf_slice(whole, buf_view(&w.out));
			buf_clear(&w.out);
			expected = true;
		} else if (!*line) {
			buf_str(whole, "\n");
			expected = false;
		} else if (!expected) {
			buf_printf(whole, "%s\n", line);
			command(&w, line);
		}
	}
	clear_world(&w);
	buf_deinit(&w.out);
}

static void run_file(const char *path)
{
	_cleanup_buf_ struct buf whole = BUF_INIT, have = BUF_INIT;
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	play(f, &whole);
	rewind(f);
	char part[4096];
	for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
		buf_add(&have, part, n);
	fclose(f);
	if (getenv("REWRITE")) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(whole.data, 1, whole.len, f), whole.len);
		assert_int_equal(fclose(f), 0);
	} else if (!slice_eq(buf_view(&whole), buf_view(&have))) {
		fail_msg("%s differs; it would be:\n%s", path, whole.data);
	}
}

static void test_scripts(void **state)
{
	DIR *d = opendir(TESTDATA);
	unsigned n = 0;
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		char path[1024];
		if (!strstr(e->d_name, ".txt"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", TESTDATA, e->d_name);
		run_file(path);
		n++;
	}
	closedir(d);
	assert_true(n >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scripts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
