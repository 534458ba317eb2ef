/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/storage.h"

/* How a node comes up, out of its log and behind its store, and how it goes. */

enum { KEEP_BYTES = 64 << 20 }; /* of entries, in memory, for slow followers */

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

static struct raft_conf last_conf(const struct raftlog_boot *boot, const struct raft_conf *applied)
{
	struct raft_conf conf = *applied;
	VEC_FOREACH (&boot->entries, e) {
		if (e->type == RAFT_ENTRY_CONF &&
		    !raft_conf_entry_decode(blob_view(e->data), &conf, NULL))
			conf = *applied;
	}
	return conf;
}

/* --force-new-cluster: the others are lost for good. What this member holds is the cluster's, and
 * an entry behind it, of a term of its own, removes all others. */
static int leave_others(struct node *n, struct raftlog_boot *boot, const struct raft_conf *applied,
                        struct err *err)
{
	uint64_t self = n->server->member_id;
	struct raft_conf was = last_conf(boot, applied), conf = {.auto_leave = false};
	struct raft_ids ids = raft_conf_members(&was);
	_cleanup_buf_ struct buf context = BUF_INIT;
	member m = ETCDSERVERPB__MEMBER__INIT;
	VEC_FOREACH (&n->applied_members.list, it)
		raft_ids_add(&ids, (*it)->id);
	if (!ids.n || (ids.n == 1 && raft_ids_has(&was.voters, self)))
		return 0;
	for (unsigned i = 0; i < ids.n; i++) {
		m.id = ids.at[i];
		enum member_op op = m.id == self ? MEMBER_PROMOTE : MEMBER_REMOVE;
		member_change_encode(&context, &(struct member_change){op, &m});
	}
	raft_ids_add(&conf.voters, self);
	boot->hard_state = (struct raft_hard_state){.term = boot->hard_state.term + 1};
	struct raft_entry e = {
	    .index = boot->mark.index + boot->entries.n + 1,
	    .term = boot->hard_state.term,
	    .type = RAFT_ENTRY_CONF,
	    .data = raft_conf_entry_encode(&conf, buf_view(&context)),
	};
	raft_entries_add(&boot->entries, &e);
	blob_unref(e.data);
	log_warning("All other members are removed: a new cluster is forced");
	struct raftlog_batch batch = {
	    .seq = ++n->log_seq_base,
	    .has_hard_state = true,
	    .hard_state = boot->hard_state,
	    .entries = vec_last(&boot->entries),
	    .n = 1,
	};
	return raftlog_append(n->log, &batch) ? err_set(err, ERR_IO, "cannot write the log") : 0;
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
	/* The first entry of every log, or the snapshot before it, says who the members are. */
	if (!raft_conf_members(&conf).n && raft_status(n->raft).last)
		return err_set(err, ERR_CORRUPT,
		               "%s: neither log nor store name a member: another version wrote it",
		               s->options->data_dir);
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
	};
	node_peers_handler(n, &o.handler);
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
	    .report = node_log_report,
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

/* Are the tables those of another member, as they came? */
static bool just_installed(struct server *s, struct store_mark at)
{
	struct kv_txn *kv;
	struct slice v;
	if (store_begin(s->store, false, &kv))
		return false;
	bool yes = !kv_get(kv, KV_META, STORAGE_INSTALLED, &v) && v.len == 16 &&
	           get_be64(v.data) == at.index && get_be64(v.data + 8) == at.term;
	store_end(kv);
	return yes;
}

/* A crash came after a snapshot was installed, and before the log was reset behind it: what the log
 * holds is older than the store, or never was committed. Otherwise a log without what the store has
 * applied is damaged, and the core refuses it. */
static int log_follow_store(struct node *n, struct raftlog_boot *boot)
{
	struct store_mark at = store_durable(n->server->store);
	uint64_t term;
	if (at.index < boot->mark.index || (log_term(boot, at.index, &term) && term == at.term) ||
	    !just_installed(n->server, at))
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
	node_timers_init(n);
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
	if (!r && s->options->force_new_cluster)
		r = leave_others(n, &boot, &applied, err);
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
