/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/node.h"
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/recover.h"
#include "raftstore/server/snapshots.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"
#include "raftstore/server/watch_hub.h"

bool node_is_leader(const struct node *n)
{
	return n->leader;
}

struct raftlog *node_log(struct node *n)
{
	return n->log;
}

struct raft_status node_status(const struct node *n)
{
	return raft_status(n->raft);
}

static void post_unless_stopped(struct node *n, loop_fn fn)
{
	pthread_mutex_lock(&n->lock);
	bool post = !n->stopped;
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, fn, n);
}

bool node_progress(const struct node *n, uint64_t id, struct raft_progress *ret)
{
	return raft_progress(n->raft, id, ret);
}

/* --- updates --- */

static void found_leader(struct node *n, const struct raft_status *st)
{
	struct server *s = n->server;
	s->leader = st->leader;
	n->lost_ms = loop_now_ms(n->loop);
	if (st->leader) {
		n->elected_ms = loop_now_ms(n->loop);
		stats_leader_change(s->stats);
	}
	if (st->leader)
		log_info("The leader has changed", LOG_INT("term", st->term),
		         LOG_BOOL("leader", st->role == RAFT_LEADER));
	else
		log_info("The leader is lost", LOG_INT("term", st->term));
}

static void on_caught_up(void *arg)
{
	struct node *n = arg;
	server_serve(n->server);
}

static void on_not_caught_up(void *arg)
{
	struct node *n = arg;
	n->catching_up = false; /* the next update tries again */
}

/* Any thread. */
static void caught_up(void *arg, int outcome)
{
	post_unless_stopped(arg, outcome ? on_not_caught_up : on_caught_up);
}

/* Clients are served when what the cluster has committed is applied here: before that, serializable
 * reads would show less than this member has shown before it was restarted. */
static void catch_up(struct node *n)
{
	if (n->catching_up || n->server->serving)
		return;
	n->catching_up = true;
	node_read(n, caught_up, n);
}

static void status_publish(struct node *n)
{
	struct raft_status st = raft_status(n->raft);
	struct server *s = n->server;
	bool leads = st.role == RAFT_LEADER, was_readable = n->readable;
	bool news = s->leader != st.leader || leads != n->leader;
	s->term = st.term;
	s->commit = st.commit;
	s->last_index = st.last;
	if (s->leader != st.leader)
		found_leader(n, &st);
	if (leads != n->leader) {
		n->leader = leads;
		n->readable = false;
		n->readable_at = st.last;
	}
	if (leads && !n->readable && st.applied >= n->readable_at)
		n->readable = true;
	if (n->readable != was_readable)
		lessor_lead(s, n->readable);
	if (n->readable)
		server_serve(s);
	else if (st.leader && !n->alone)
		catch_up(n);
	if (news || n->readable != was_readable)
		roster_status(n);
	if (news && st.leader)
		node_retry(n, 0);
}

void node_take_applied(struct node *n)
{
	struct raft_event e = {.type = RAFT_APPLIED};
	pthread_mutex_lock(&n->lock);
	bool news = n->applied > n->told_applied;
	n->applied_posted = false;
	e.applied_index = n->told_applied = n->applied;
	pthread_mutex_unlock(&n->lock);
	if (news)
		ERR_IGNORE(node_step(n, &e)); /* news do not fail */
}

static void on_tick(void *arg)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_TICK};
	node_take_applied(n);
	ERR_IGNORE(node_step(n, &e)); /* ticks do not fail */
}

static void persist(struct node *n)
{
	struct raft_update *u = &n->update;
	struct raftlog_batch batch = {
	    .seq = u->persist.seq + n->log_seq_base,
	    .has_hard_state = u->persist.has_hard_state,
	    .hard_state = u->persist.hard_state,
	    .entries = u->persist.entries.at,
	    .n = u->persist.entries.n,
	};
	if (raftlog_append(n->log, &batch)) {
		log_error(NULL, "The log has failed");
		_exit(1);
	}
	roster_note_entries(n, &u->persist.entries);
	if (!u->send_persisted.n)
		return;
	*vec_push(&n->unsent) = (struct unsent){u->persist.seq, u->send_persisted};
	u->send_persisted = (struct raft_messages){NULL, 0, 0};
}

static void send_all(struct node *n, const struct raft_messages *list)
{
	VEC_FOREACH (list, m) {
		if (m->type == RAFT_MSG_SNAPSHOT)
			snapshots_send(n->server, m);
		else
			peers_send(n->server->peers, m);
	}
}

/* What waited for this batch. */
static void send_persisted(struct node *n, uint64_t seq)
{
	size_t i = 0;
	for (; i < n->unsent.n && n->unsent.at[i].seq <= seq; i++) {
		send_all(n, &n->unsent.at[i].messages);
		raft_messages_deinit(&n->unsent.at[i].messages);
	}
	if (!i)
		return;
	memmove(n->unsent.at, n->unsent.at + i, (n->unsent.n - i) * sizeof(*n->unsent.at));
	n->unsent.n -= i;
}

static void hand_out(struct node *n, const struct raft_entries *list)
{
	VEC_FOREACH (list, e)
		*vec_push(&n->handed) = proposals_committed(n, e);
	storage_push(n->server->storage, list->at, n->handed.at, list->n);
	vec_clear(&n->handed);
}

/* Does what the update says, from top to bottom. */
static void follow_update(struct node *n)
{
	struct raft_update *u = &n->update;
	if (u->persist.seq)
		persist(n);
	if (u->has_install)
		snapshots_install(n->server, u->install, &u->install_conf);
	if (u->has_conf)
		roster_conf(n, &u->conf);
	send_all(n, &u->send_now);
	if (u->committed.n)
		hand_out(n, &u->committed);
	status_publish(n);
	for (size_t i = 0; i < u->reads.n; i++)
		reads_answer(n, u->reads.at[i].context, u->reads.at[i].index);
	loop_timer_start_at(&n->tick, u->deadline_ms);
}

int node_step(struct node *n, struct raft_event *e)
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

int node_timeout_outcome(const struct node *n, uint64_t started_ms)
{
	uint64_t election_ms = (uint64_t)n->server->options->election_ms;
	uint64_t lost_ms = n->elected_ms - MIN(n->elected_ms, 2 * election_ms);
	if (started_ms > lost_ms && started_ms < n->elected_ms)
		return OUTCOME_TIMEOUT_LEADER_FAIL;
	uint64_t leader = n->server->leader;
	if (leader && !n->leader && !roster_linked(n, leader, loop_now_ms(n->loop) - started_ms))
		return OUTCOME_TIMEOUT_CONNECTION_LOST;
	return OUTCOME_TIMEOUT;
}

static void on_sweep(void *arg)
{
	struct node *n = arg;
	struct server *s = n->server;
	uint64_t patience_ms = 3 * (uint64_t)s->options->election_ms;
	loop_timer_start(&n->sweep, NODE_SWEEP_MS);
	if (!s->leader && loop_now_ms(n->loop) - n->lost_ms >= patience_ms)
		watch_hub_no_leader(s->hub);
	proposals_sweep(n);
	reads_sweep(n);
	roster_sweep(n);
	recover_sweep(n);
}

void node_retry(struct node *n, uint64_t delay_ms)
{
	uint64_t due_ms = loop_now_ms(n->loop) + delay_ms;
	if (!loop_timer_active(&n->retry) || n->retry.due_ms > due_ms)
		loop_timer_start_at(&n->retry, due_ms);
}

static void on_retry(void *arg)
{
	struct node *n = arg;
	proposals_retry(n);
	reads_retry(n);
	roster_retry(n);
}

/* --- news from other members --- */

static void on_message(void *arg, const struct raft_message *m)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_RECEIVE, .message = m};
	node_take_applied(n);
	ERR_IGNORE(node_step(n, &e)); /* messages may be lost */
}

static void on_unreachable(void *arg, uint64_t id)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_PEER_UNREACHABLE, .unreachable = id};
	roster_link(n, id, false);
	ERR_IGNORE(node_step(n, &e)); /* news do not fail */
}

static void on_reachable(void *arg, uint64_t id)
{
	struct node *n = arg;
	roster_link(n, id, true);
	node_retry(n, 0);
}

static void on_removed(void *arg)
{
	struct node *n = arg;
	server_removed(n->server);
}

/* --- news from other threads --- */

static void on_persisted(void *arg)
{
	struct node *n = arg;
	struct raft_event e = {.type = RAFT_PERSISTED};
	node_take_applied(n);
	pthread_mutex_lock(&n->lock);
	n->persisted_posted = false;
	e.persisted_seq = n->persisted_seq - MIN(n->persisted_seq, n->log_seq_base);
	pthread_mutex_unlock(&n->lock);
	send_persisted(n, e.persisted_seq);
	ERR_IGNORE(node_step(n, &e)); /* news do not fail */
}

void node_log_report(void *arg, const struct raftlog_report *report)
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
	node_take_applied(arg);
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
	/* What follows a snapshot on its way must still be there when that has arrived. */
	index = MIN(index, snapshots_hold(n->server));
	if (index <= n->durable)
		return;
	n->durable = index;
	node_take_applied(n);
	struct raft_event e = {.type = RAFT_COMPACT, .compact_index = index};
	ERR_IGNORE(node_step(n, &e)); /* news do not fail */
	/* The core keeps more where other members may be behind. */
	raftlog_compact(n->log, raft_status(n->raft).first - 1);
}

void node_durable(struct node *n, uint64_t index)
{
	post_unless_stopped(n, on_durable);
}

static void on_members_changed(void *arg)
{
	roster_reload(arg);
}

void node_members_changed(struct node *n)
{
	post_unless_stopped(n, on_members_changed);
}

void node_installed(struct node *n, struct raft_mark mark, bool ok)
{
	if (ok) {
		pthread_mutex_lock(&n->lock);
		n->applied = MAX(n->applied, mark.index);
		n->told_applied = MAX(n->told_applied, mark.index);
		pthread_mutex_unlock(&n->lock);
		n->durable = MAX(n->durable, mark.index);
		proposals_installed(n, mark);
		lessor_reload(n->server);
		roster_reload(n);
	}
	struct raft_event e = {.type = RAFT_SNAPSHOT_DONE, .snapshot_done = {mark, ok}};
	ERR_IGNORE(node_step(n, &e)); /* news do not fail */
}

/* --- who calls --- */

void node_peers_handler(struct node *n, struct peers_handler *ret)
{
	*ret = (struct peers_handler){.arg = n,
	                              .message = on_message,
	                              .unreachable = on_unreachable,
	                              .reachable = on_reachable,
	                              .ask = node_asked,
	                              .removed = on_removed};
}

void node_timers_init(struct node *n)
{
	loop_timer_init(&n->tick, n->loop, on_tick, n);
	loop_timer_init(&n->sweep, n->loop, on_sweep, n);
	loop_timer_init(&n->retry, n->loop, on_retry, n);
}
