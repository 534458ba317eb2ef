/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/node.h"
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "raftstore/log/log.h"
#include "raftstore/raft/raft.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"

enum { REQUEST_TIMEOUT_MS = 7000 };

struct read_waiting_call {
	void (*fn)(void *arg, int outcome);
	void *arg;
	uint64_t context, due_ms;
	int outcome;
	struct node *node;
};

struct node {
	struct server *server;
	struct loop *loop;
	struct raft *raft;
	struct raftlog *log;
	struct raft_update update;
	struct loop_timer tick, sweep;
	bool alone; /* the only member */
	atomic_bool leader;
	atomic_bool readable; /* has applied what was in the log when it became the leader */
	uint64_t readable_at;
	/* Proposed and not committed, by index. */
	VEC(struct request *) pending;
	VEC(struct request *) handed; /* of the entries that go to the storage thread */
	VEC(struct read_waiting_call *) reads;
	uint64_t next_context, durable;

	pthread_mutex_t lock;
	/* --- under lock --- */
	VEC(struct request *) proposals;
	uint64_t persisted_seq, applied, told_applied;
	bool drain_posted, persisted_posted, applied_posted, stopped;
	/* --- */
};

bool node_is_leader(const struct node *n)
{
	return n->leader;
}

struct raftlog *node_log(struct node *n)
{
	return n->log;
}

/* --- updates --- */

static void pending_fail(struct node *n, int outcome)
{
	VEC_FOREACH (&n->pending, q)
		request_fail(*q, outcome);
	vec_clear(&n->pending);
}

/* The request that this entry came from; NULL: another member's, or given up. */
static struct request *pending_take(struct node *n, const struct raft_entry *e)
{
	size_t i = 0;
	struct request *found = NULL;
	for (; i < n->pending.n && n->pending.at[i]->index <= e->index; i++) {
		struct request *q = n->pending.at[i];
		if (q->index == e->index && q->term == e->term)
			found = q;
		else
			request_fail(q, OUTCOME_LEADER_CHANGED);
	}
	if (i) {
		memmove(n->pending.at, n->pending.at + i,
		        (n->pending.n - i) * sizeof(*n->pending.at));
		n->pending.n -= i;
	}
	return found;
}

static void read_run(void *arg)
{
	struct read_waiting_call *w = arg;
	w->fn(w->arg, w->outcome);
	free(w);
}

static void read_answer(struct node *n, uint64_t context, uint64_t index)
{
	for (size_t i = 0; i < n->reads.n; i++) {
		struct read_waiting_call *w = n->reads.at[i];
		if (w->context != context)
			continue;
		vec_swap_remove(&n->reads, i);
		w->outcome = index ? 0 : OUTCOME_LEADER_CHANGED;
		worker_post(&n->server->read_worker, read_run, w);
		return;
	}
}

static void status_publish(struct node *n)
{
	struct raft_status st = raft_status(n->raft);
	struct server *s = n->server;
	s->term = st.term;
	s->commit = st.commit;
	s->last_index = st.last;
	if (s->leader != st.leader) {
		s->leader = st.leader;
		stats_leader_change(s->stats);
		log_info("The leader has changed", LOG_INT("term", st.term),
		         LOG_BOOL("leader", st.role == RAFT_LEADER));
	}
	bool leads = st.role == RAFT_LEADER;
	if (leads && n->leader && !n->readable && st.applied >= n->readable_at)
		n->readable = true;
	if (n->readable || (st.leader && !n->alone))
		server_serve(s);
	if (leads == n->leader)
		return;
	n->leader = leads;
	n->readable = false;
	n->readable_at = st.last;
	lessor_lead(s, leads);
	if (!leads)
		pending_fail(n, OUTCOME_LEADER_CHANGED);
}

static int step(struct node *n, struct raft_event *e);

/* Tells the core what has been applied meanwhile. */
static void applied_take(struct node *n)
{
	struct raft_event e = {.type = RAFT_APPLIED};
	pthread_mutex_lock(&n->lock);
	bool news = n->applied > n->told_applied;
	n->applied_posted = false;
	e.applied_index = n->told_applied = n->applied;
	pthread_mutex_unlock(&n->lock);
	if (news)
		ERR_IGNORE(step(n, &e)); /* news do not fail */
}

static void on_tick(void *arg)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_TICK};
	applied_take(n);
	ERR_IGNORE(step(n, &e)); /* ticks do not fail */
}

static void persist(struct node *n)
{
	struct raftlog_batch batch = {
	    .seq = n->update.persist.seq,
	    .has_hard_state = n->update.persist.has_hard_state,
	    .hard_state = n->update.persist.hard_state,
	    .entries = n->update.persist.entries.at,
	    .n = n->update.persist.entries.n,
	};
	if (raftlog_append(n->log, &batch)) {
		log_error(NULL, "The log has failed");
		_exit(1);
	}
}

/* Does what the update says, from top to bottom. */
static void follow_update(struct node *n)
{
	struct raft_update *u = &n->update;
	if (u->persist.seq)
		persist(n);
	for (size_t i = 0; i < u->committed.n; i++)
		*vec_push(&n->handed) = pending_take(n, &u->committed.at[i]);
	if (u->committed.n)
		storage_push(n->server->storage, u->committed.at, n->handed.at, u->committed.n);
	vec_clear(&n->handed);
	for (size_t i = 0; i < u->reads.n; i++)
		read_answer(n, u->reads.at[i].context, u->reads.at[i].index);
	status_publish(n);
	loop_timer_start_at(&n->tick, u->deadline_ms);
}

static int step(struct node *n, struct raft_event *e)
{
	if (!n->log)
		return -ERR_UNAVAILABLE;
	e->now_ms = loop_now_ms(n->loop);
	raft_update_clear(&n->update);
	int r = raft_step(n->raft, e, &n->update);
	if (!r)
		follow_update(n);
	return r;
}

/* --- proposals --- */

static int refuse(const struct node *n, int r)
{
	if (r == -ERR_TOO_MANY_REQUESTS)
		return OUTCOME_TOO_MANY_REQUESTS;
	return n->server->leader ? OUTCOME_NOT_LEADER : OUTCOME_NO_LEADER;
}

static void propose_all(struct node *n, struct request **at, size_t count)
{
	struct blob *small[64], **data = small;
	_cleanup_(free_p) struct blob **large = NULL;
	if (count > ARRAY_LEN(small)) {
		large = malloc(count * sizeof(*large));
		if (!large)
			abort();
		data = large;
	}
	for (size_t i = 0; i < count; i++)
		data[i] = at[i]->command;
	struct raft_status st = raft_status(n->raft);
	uint64_t index = st.last + 1;
	/* Known before the step, since a step may hand out what it has just been given. */
	for (size_t i = 0; i < count; i++) {
		at[i]->index = index + i;
		at[i]->term = st.term;
		*vec_push(&n->pending) = at[i];
	}
	struct raft_event e = {.type = RAFT_PROPOSE, .propose = {data, count}};
	int r = step(n, &e);
	if (!r)
		return;
	n->pending.n -= count;
	for (size_t i = 0; i < count; i++)
		request_fail(at[i], refuse(n, r));
}

static void on_proposals(void *arg)
{
	struct node *n = arg;
	VEC(struct request *) list = {0};
	pthread_mutex_lock(&n->lock);
	list.at = n->proposals.at;
	list.n = n->proposals.n;
	n->proposals.at = NULL;
	n->proposals.n = n->proposals.cap = 0;
	n->drain_posted = false;
	pthread_mutex_unlock(&n->lock);
	bool full =
	    raftlog_state(n->log, NULL) == -ERR_NO_SPACE || storage_stalled(n->server->storage);
	if (full) {
		VEC_FOREACH (&list, q)
			request_fail(*q, OUTCOME_NO_SPACE);
	} else if (list.n) {
		propose_all(n, list.at, list.n);
	}
	free(list.at);
}

void node_propose(struct node *n, struct request *q)
{
	if (!q->command)
		request_pack_command(q);
	pthread_mutex_lock(&n->lock);
	bool stopped = n->stopped, post = !n->drain_posted && !stopped;
	if (!stopped) {
		*vec_push(&n->proposals) = q;
		n->drain_posted = true;
	}
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_proposals, n);
	if (stopped)
		request_fail(q, OUTCOME_STOPPED);
}

/* --- reads --- */

static void read_start_on_loop(void *arg)
{
	struct read_waiting_call *w = arg;
	struct node *n = w->node;
	w->context = ++n->next_context;
	w->due_ms = loop_now_ms(n->loop) + REQUEST_TIMEOUT_MS;
	*vec_push(&n->reads) = w;
	struct raft_event e = {.type = RAFT_READ, .read_context = w->context};
	int r = step(n, &e);
	if (!r)
		return;
	n->reads.n--;
	w->outcome = r == -ERR_TOO_MANY_REQUESTS ? OUTCOME_TOO_MANY_REQUESTS : OUTCOME_NO_LEADER;
	worker_post(&n->server->read_worker, read_run, w);
}

void node_read(struct node *n, void (*fn)(void *arg, int outcome), void *arg)
{
	/* Whatever was acknowledged has been applied here: the only member is its own quorum. */
	if (n->alone && n->readable) {
		fn(arg, 0);
		return;
	}
	struct read_waiting_call *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	*w = (struct read_waiting_call){.fn = fn, .arg = arg, .node = n};
	loop_post(n->loop, read_start_on_loop, w);
}

static void on_sweep(void *arg)
{
	struct node *n = arg;
	uint64_t now_ms = loop_now_ms(n->loop);
	for (size_t i = 0; i < n->reads.n;) {
		struct read_waiting_call *w = n->reads.at[i];
		if (w->due_ms > now_ms) {
			i++;
			continue;
		}
		vec_swap_remove(&n->reads, i);
		w->outcome = OUTCOME_TIMEOUT;
		worker_post(&n->server->read_worker, read_run, w);
	}
	/* A request that is given up stays in its place: its entry may be committed yet. */
	uint64_t now_ns = clock_mono_ns();
	VEC_FOREACH (&n->pending, q) {
		if (now_ns - (*q)->started_ns > REQUEST_TIMEOUT_MS * 1000000ull)
			request_give_up(*q, OUTCOME_TIMEOUT);
	}
	loop_timer_start(&n->sweep, 1000);
}

/* --- news from other threads --- */

static void on_persisted(void *arg)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_PERSISTED};
	applied_take(n);
	pthread_mutex_lock(&n->lock);
	n->persisted_posted = false;
	e.persisted_seq = n->persisted_seq;
	pthread_mutex_unlock(&n->lock);
	ERR_IGNORE(step(n, &e)); /* news do not fail */
}

static void on_log_report(void *arg, const struct raftlog_report *report)
{
	struct node *n = arg;
	if (report->result == -ERR_NO_SPACE) {
		log_error(report->err, "The log cannot be written, and waits for space");
		return;
	}
	if (report->result) {
		log_error(report->err, "The log has failed");
		_exit(1);
	}
	struct raftlog_stats st;
	raftlog_stats(n->log, &st);
	stats_sync(n->server->stats, st.sync_ns);
	pthread_mutex_lock(&n->lock);
	n->persisted_seq = report->seq;
	bool post = !n->persisted_posted;
	n->persisted_posted = true;
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_persisted, n);
}

static void on_applied(void *arg)
{
	applied_take(arg);
}

void node_applied(struct node *n, uint64_t index)
{
	/* Reads of the only member do not wait for it: the loop hears of it with the next event. */
	bool later = n->alone && n->readable;
	pthread_mutex_lock(&n->lock);
	n->applied = index;
	bool post = !n->applied_posted && !n->stopped && !later;
	n->applied_posted |= post;
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_applied, n);
}

static void on_durable(void *arg)
{
	struct node *n = arg;
	uint64_t index = store_durable(n->server->store).index;
	/* Other members may be behind: they are served from the log, not by a snapshot. */
	uint64_t keep = n->alone ? 0 : (uint64_t)n->server->options->snapshot_count;
	if (index <= n->durable + keep)
		return;
	index -= keep;
	n->durable = index;
	applied_take(n);
	struct raft_event e = {.type = RAFT_COMPACT, .compact_index = index};
	ERR_IGNORE(step(n, &e)); /* news do not fail */
	raftlog_compact(n->log, index);
}

void node_durable(struct node *n, uint64_t index)
{
	pthread_mutex_lock(&n->lock);
	bool post = !n->stopped;
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_durable, n);
}

/* --- life --- */

static int core_boot(struct node *n, const struct raftlog_boot *boot, struct err *err)
{
	struct server *s = n->server;
	struct raft_options opt = {
	    .id = s->member_id,
	    .election_ms = (uint32_t)s->options->election_ms,
	    .heartbeat_ms = (uint32_t)s->options->heartbeat_ms,
	};
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	rng_init(&opt.rng, seed);
	struct raft_boot b = {
	    .hard_state = boot->hard_state,
	    .mark = boot->mark,
	    .entries = &boot->entries,
	    .applied = store_durable(s->store).index,
	    .now_ms = loop_now_ms(n->loop),
	};
	raft_ids_add(&b.conf.voters, s->member_id);
	n->raft = raft_new(&opt, &b, err);
	return n->raft ? 0 : -ERR_CORRUPT;
}

int node_start(struct server *s, struct err *err)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	s->node = n;
	n->server = s;
	n->loop = s->loop;
	n->alone = true;
	pthread_mutex_init(&n->lock, NULL);
	loop_timer_init(&n->tick, n->loop, on_tick, n);
	loop_timer_init(&n->sweep, n->loop, on_sweep, n);
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/member/log", s->options->data_dir);
	struct raftlog_options o = {
	    .dir = (char *)dir.data,
	    .identity = {s->cluster_id, s->member_id},
	    .report = on_log_report,
	    .arg = n,
	};
	struct raftlog_boot boot = {0};
	int r = raftlog_open(&o, &n->log, &boot, err);
	if (r)
		return r;
	if (boot.torn_bytes)
		log_warning("Cut a torn tail off the log", LOG_INT("bytes", boot.torn_bytes));
	r = core_boot(n, &boot, err);
	raft_entries_deinit(&boot.entries);
	if (r)
		return r;
	loop_timer_start(&n->tick, 0);
	loop_timer_start(&n->sweep, 1000);
	return 0;
}

void node_stop(struct server *s)
{
	struct node *n = s->node;
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->stopped = true;
	pthread_mutex_unlock(&n->lock);
	loop_timer_stop(&n->tick);
	loop_timer_stop(&n->sweep);
	VEC_FOREACH (&n->proposals, q)
		request_fail(*q, OUTCOME_STOPPED);
	vec_clear(&n->proposals);
	pending_fail(n, OUTCOME_STOPPED);
	VEC_FOREACH (&n->reads, w) {
		(*w)->outcome = OUTCOME_STOPPED;
		read_run(*w);
	}
	vec_clear(&n->reads);
	/* The log thread still reports while it closes; no step happens any more, on this thread.
	 */
	raftlog_close(n->log);
	n->log = NULL;
}

void node_free(struct server *s)
{
	struct node *n = TAKE(s->node);
	if (!n)
		return;
	raft_free(n->raft);
	raft_update_deinit(&n->update);
	vec_deinit(&n->proposals);
	vec_deinit(&n->pending);
	vec_deinit(&n->handed);
	vec_deinit(&n->reads);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
