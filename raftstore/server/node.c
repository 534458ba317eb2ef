/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/node.h"
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/snapshots.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"
#include "raftstore/server/watch_hub.h"

enum { KEEP_BYTES = 64 << 20 }; /* of entries, in memory, for slow followers */

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

/* --- life --- */

/* The first entry of a new cluster, the same in every member's log, committed by all being born
 * with it. */
static int write_first_entry(struct node *n, const struct members *first, struct raftlog_boot *boot,
                             struct err *err)
{
	struct raft_conf conf = {.auto_leave = false};
	_cleanup_buf_ struct buf context = BUF_INIT;
	VEC_FOREACH (&first->list, m) {
		raft_ids_add(&conf.voters, (*m)->id);
		member_change_encode(&context, &(struct member_change){MEMBER_ADD, *m});
	}
	struct raft_entry e = {
	    .index = 1,
	    .term = 1,
	    .type = RAFT_ENTRY_CONF,
	    .data = raft_conf_entry_encode(&conf, buf_view(&context)),
	};
	boot->hard_state.term = 1;
	raft_entries_add(&boot->entries, &e);
	blob_unref(e.data);
	n->log_seq_base = 1;
	struct raftlog_batch batch = {
	    .seq = n->log_seq_base,
	    .has_hard_state = true,
	    .hard_state = boot->hard_state,
	    .entries = boot->entries.at,
	    .n = 1,
	};
	if (raftlog_append(n->log, &batch))
		return err_set(err, ERR_IO, "cannot write the log");
	return 0;
}

static int core_boot(struct node *n, const struct raftlog_boot *boot,
                     const struct raft_conf *applied, struct err *err)
{
	struct server *s = n->server;
	struct raft_options opt = {
	    .id = s->member_id,
	    .election_ms = (uint32_t)s->options->election_ms,
	    .heartbeat_ms = (uint32_t)s->options->heartbeat_ms,
	    .keep_entries = (uint64_t)s->options->snapshot_count,
	    .keep_bytes = KEEP_BYTES,
	};
	rng_init(&opt.rng, server_random(s));
	struct raft_boot b = {
	    .hard_state = boot->hard_state,
	    .mark = boot->mark,
	    .entries = &boot->entries,
	    .applied = store_durable(s->store).index,
	    .now_ms = loop_now_ms(n->loop),
	};
	n->applied = n->told_applied = n->durable = b.applied;
	b.conf = *applied;
	n->raft = raft_new(&opt, &b, err);
	if (!n->raft)
		return -ERR_CORRUPT;
	struct raft_conf conf = raft_conf_at(n->raft, UINT64_MAX);
	roster_conf(n, &conf);
	return 0;
}

/* The default peer URL is listened on when there are others to come in. */
static int connect_peers(struct node *n, bool join, struct err *err)
{
	struct server *s = n->server;
	bool several = join || n->applied_members.list.n > 1 || n->fresh.list.n > 1;
	struct peers_options o = {
	    .core = s->daemon->rpc,
	    .loop = n->loop,
	    .metrics = s->daemon->metrics,
	    .cluster_id = s->cluster_id,
	    .member_id = s->member_id,
	    .handler = {.arg = n,
	                .message = on_message,
	                .unreachable = on_unreachable,
	                .reachable = on_reachable,
	                .ask = node_asked,
	                .removed = on_removed},
	};
	server_peer_options(s, several || s->options->peer_urls_given, &o);
	return peers_new(&o, &s->peers, err);
}

static int open_log(struct node *n, struct raftlog_boot *boot, struct err *err)
{
	struct server *s = n->server;
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/member/log", s->options->data_dir);
	struct raftlog_options o = {
	    .dir = (char *)dir.data,
	    .identity = {s->cluster_id, s->member_id},
	    .report = on_log_report,
	    .arg = n,
	};
	int r = raftlog_open(&o, &n->log, boot, err);
	if (!r && boot->torn_bytes)
		log_warning("Cut a torn tail off the log", LOG_INT("bytes", boot->torn_bytes));
	return r;
}

/* False: the log does not hold this entry, or the mark at its begin. */
static bool log_term(const struct raftlog_boot *boot, uint64_t index, uint64_t *ret)
{
	uint64_t first = boot->mark.index;
	if (index < first || index > first + boot->entries.n)
		return false;
	*ret = index == first ? boot->mark.term : boot->entries.at[index - first - 1].term;
	return true;
}

static void on_boot_reset(void *arg, int result, const struct err *err)
{
	if (!result)
		return;
	log_error(err, "The log has failed");
	_exit(1);
}

/* A crash came after a snapshot was installed, and before the log was reset behind it: what the log
 * holds is older than the store, or never was committed. */
static int log_follow_store(struct node *n, struct raftlog_boot *boot)
{
	struct store_mark at = store_durable(n->server->store);
	uint64_t term;
	if (at.index < boot->mark.index || (log_term(boot, at.index, &term) && term == at.term))
		return 0;
	log_info("The log goes on behind the snapshot that was installed",
	         LOG_INT("index", at.index));
	boot->mark = (struct raft_mark){at.index, at.term};
	raft_entries_clear(&boot->entries);
	int r = 0;
	/* The term of who sent the snapshot was on its way into the log, too: no vote was given in
	 * it. */
	if (boot->hard_state.term < at.term) {
		boot->hard_state = (struct raft_hard_state){.term = at.term};
		n->log_seq_base = 1;
		r = raftlog_append(n->log, &(struct raftlog_batch){
		                               .seq = n->log_seq_base,
		                               .has_hard_state = true,
		                               .hard_state = boot->hard_state,
		                           });
	}
	raftlog_reset(n->log, boot->mark, on_boot_reset, n);
	return r;
}

static struct node *node_new(struct server *s)
{
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	s->node = n;
	n->server = s;
	n->loop = s->loop;
	n->timeout_ms = (uint32_t)server_timeout_ms(s);
	n->sequence = server_random(s) >> 1;
	n->context = server_random(s) >> 1;
	roster_init(n);
	pthread_mutex_init(&n->lock, NULL);
	loop_timer_init(&n->tick, n->loop, on_tick, n);
	loop_timer_init(&n->sweep, n->loop, on_sweep, n);
	loop_timer_init(&n->retry, n->loop, on_retry, n);
	return n;
}

int node_start(struct server *s, const struct members *first, bool join, struct err *err)
{
	struct node *n = node_new(s);
	struct raftlog_boot boot = {0};
	struct raft_conf applied;
	int r = open_log(n, &boot, err);
	if (!r && log_follow_store(n, &boot))
		r = err_set(err, ERR_IO, "cannot write the log");
	bool empty = !boot.mark.index && !boot.entries.n && !store_durable(s->store).index;
	if (!r && first && !join && empty)
		r = write_first_entry(n, first, &boot, err);
	if (!r && first && join)
		VEC_FOREACH (&first->list, m)
			members_put(&n->fresh, *m);
	if (!r)
		r = roster_boot(n, &boot.entries, &applied, err);
	if (!r)
		r = connect_peers(n, join, err);
	if (!r)
		r = core_boot(n, &boot, &applied, err);
	raft_entries_deinit(&boot.entries);
	if (r)
		return r;
	loop_timer_start(&n->tick, 0);
	loop_timer_start(&n->sweep, NODE_SWEEP_MS);
	peers_start(s->peers);
	return 0;
}

void node_give_up(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	n->stopped = true;
	pthread_mutex_unlock(&n->lock);
	proposals_stop(n);
	reads_stop(n);
	roster_stop(n);
}

void node_stop(struct server *s)
{
	struct node *n = s->node;
	if (!n)
		return;
	node_give_up(n);
	loop_timer_stop(&n->tick);
	loop_timer_stop(&n->sweep);
	loop_timer_stop(&n->retry);
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
	VEC_FOREACH (&n->unsent, u)
		raft_messages_deinit(&u->messages);
	vec_deinit(&n->unsent);
	proposals_deinit(n);
	reads_deinit(n);
	roster_deinit(n);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
