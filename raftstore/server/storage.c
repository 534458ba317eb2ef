/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/storage_internal.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/key_wait.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/watch_hub.h"

enum {
	BATCH_MAX = 1000,
	CHECKPOINT_MS = 1000,
	CHECKPOINT_ENTRIES = 20000,
	WRITE_OUT_MS = 10,
	WRITE_OUT_ENTRIES = 100, /* in that time: there is load */
	COMPACT_BUDGET = 500,    /* changes looked at between batches */
	RETRY_MS = 1000,
};

static void storage_turn(void *arg);

/* The lock is held. */
static void wake(struct storage *st)
{
	if (st->turn_posted)
		return;
	st->turn_posted = true;
	worker_post(&st->worker, storage_turn, st);
}

void storage_wake(struct storage *st)
{
	pthread_mutex_lock(&st->lock);
	wake(st);
	pthread_mutex_unlock(&st->lock);
}

void storage_push(struct storage *st, const struct raft_entry *e, struct request *const *q,
                  size_t n)
{
	pthread_mutex_lock(&st->lock);
	for (size_t i = 0; i < n; i++) {
		*vec_push(&st->queue) = (struct item){.entry = e[i], .request = q[i]};
		blob_ref(e[i].data);
	}
	bool post = n && !st->turn_posted;
	st->turn_posted |= post;
	pthread_mutex_unlock(&st->lock);
	/* The worker would wake up to find the lock taken. */
	if (post)
		worker_post(&st->worker, storage_turn, st);
}

bool storage_stalled(const struct storage *st)
{
	return st->stalled;
}

void storage_defragment(struct storage *st, struct rpc_call *call)
{
	pthread_mutex_lock(&st->lock);
	*vec_push(&st->defragment) = call;
	wake(st);
	pthread_mutex_unlock(&st->lock);
}

void storage_install(struct storage *st, struct raft_mark mark, void (*done)(void *arg, int result),
                     void *arg)
{
	pthread_mutex_lock(&st->lock);
	st->install.mark = mark;
	st->install.done = done;
	st->install.arg = arg;
	wake(st);
	pthread_mutex_unlock(&st->lock);
}

void storage_facts(struct storage *st, struct storage_facts *ret)
{
	*ret = (struct storage_facts){st->batches, st->entries, st->checkpoints, st->n_events};
}

/* --- batches --- */

static int apply_item(struct storage *st, struct item *i)
{
	i->from = st->answers.len;
	i->to = i->from;
	i->outcome = 0;
	if (i->entry.type == RAFT_ENTRY_CONF)
		return apply_conf(&st->applier, blob_view(i->entry.data));
	if (i->entry.type != RAFT_ENTRY_COMMAND || !i->entry.data)
		return 0;
	struct request *q = i->request;
	enum command_kind kind = q ? q->kind : COMMANDS;
	ProtobufCMessage *m = q ? q->message : NULL;
	struct identity who = q ? q->who : (struct identity){0};
	struct arena arena;
	arena_init(&arena);
	if (!m)
		m = command_decode(blob_view(i->entry.data), &arena, &kind, &who);
	int r = -ERR_CORRUPT;
	if (m)
		r = apply(&st->applier, kind, &who, m, &st->answers);
	arena_deinit(&arena);
	if (r < 0)
		return r;
	i->outcome = r;
	if (r)
		st->answers.len = i->from;
	i->to = st->answers.len;
	return 0;
}

static int save_applied(struct kv_txn *kv, struct store_mark mark)
{
	uint8_t b[16];
	put_be64(b, mark.index);
	put_be64(b + 8, mark.term);
	return kv_put(kv, KV_META, SLICE_LIT("applied"), slice_of(b, sizeof(b)));
}

/* Applies the batch in one transaction. On failure nothing has happened. */
static int batch_apply(struct storage *st, struct err *err)
{
	struct kv_txn *kv;
	int r = store_begin(st->server->store, true, &kv);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot begin a transaction");
	buf_clear(&st->answers);
	r = applier_open(&st->applier, kv);
	VEC_FOREACH (&st->batch, i) {
		if (!r)
			r = apply_item(st, i);
	}
	const struct raft_entry *last = &vec_last(&st->batch)->entry;
	struct store_mark mark = {last->index, last->term};
	if (!r)
		r = mvcc_save(&st->applier.mvcc);
	if (!r)
		r = save_applied(kv, mark);
	if (r) {
		store_end(kv);
		return err_set(err, (enum err_code) - r, "cannot apply entry %llu: %s",
		               (unsigned long long)last->index, err_name(r));
	}
	r = store_commit(kv, err);
	if (!r)
		st->applied = mark;
	return r;
}

static void on_retry(void *arg)
{
	struct storage *st = arg;
	st->retry_posted = false;
	storage_wake(st);
}

static void items_give_up(item_list *items)
{
	VEC_FOREACH (items, i)
		if (i->request)
			request_give_up(i->request, OUTCOME_TIMEOUT);
}

/* Nobody waits for room on a disk: what was asked for will happen when there is some, as far as
 * anybody knows. */
static void give_up(struct storage *st)
{
	items_give_up(&st->batch);
	pthread_mutex_lock(&st->lock);
	items_give_up(&st->queue);
	pthread_mutex_unlock(&st->lock);
}

/* False: the disk does not take it at present, and it is tried again later. */
static bool batch_try(struct storage *st)
{
	struct err err = ERR_INIT;
	int r = batch_apply(st, &err);
	if (!r) {
		if (st->stalled)
			log_info("The store can be written again");
		st->stalled = false;
		return true;
	}
	if (r != -ERR_NO_SPACE) {
		log_error(&err, "The store has failed");
		_exit(1);
	}
	if (!st->stalled)
		log_error(&err, "The store cannot be written, and waits for space");
	st->stalled = true;
	give_up(st);
	st->retry_posted = true;
	worker_post_later(&st->worker, RETRY_MS, on_retry, st);
	return false;
}

static void item_answer(struct storage *st, struct item *i)
{
	struct request *q = TAKE(i->request);
	if (!q)
		return;
	if (i->outcome) {
		request_fail(q, i->outcome);
		return;
	}
	if (q->wait_compacted) {
		*vec_push(&st->wait_compacted) = q;
		/* The answer is made again when it is sent. */
		return;
	}
	request_reply(q, slice_of(st->answers.data + i->from, i->to - i->from));
}

static void batch_drop(struct storage *st)
{
	VEC_FOREACH (&st->batch, i) {
		blob_unref(i->entry.data);
		if (i->request)
			request_fail(i->request, OUTCOME_STOPPED);
	}
	vec_clear(&st->batch);
}

static void batch_run(struct storage *st)
{
	struct server *s = st->server;
	if (!batch_try(st))
		return;
	struct applier *ap = &st->applier;
	s->revision = ap->mvcc.revision;
	s->alarms = ap->alarms;
	s->applied = st->applied.index;
	st->compacting |= ap->compacted;
	st->since += st->batch.n;
	st->unwritten += st->batch.n;
	st->batches++;
	st->entries += st->batch.n;
	st->n_events += ap->events.list.n;
	/* Rights, leases and events first: whoever has got an answer must meet their effects. */
	auth_publish(ap);
	lessor_note(s, ap->leases.at, ap->leases.n);
	watch_hub_publish(s->hub, &ap->events, ap->mvcc.revision);
	key_waits_publish(s, &ap->events);
	if (ap->members)
		node_members_changed(s->node);
	VEC_FOREACH (&st->batch, i)
		item_answer(st, i);
	node_applied(s->node, st->applied.index);
	batch_drop(st);
}

/* --- checkpoints --- */

void storage_end_if_unknown(int r, const struct err *err)
{
	if (r != -ERR_UNKNOWN)
		return;
	log_error(err, "The store has failed");
	_exit(1);
}

static void checkpoint_finish(void *arg)
{
	struct storage *st = arg;
	struct err err = ERR_INIT;
	uint64_t from = clock_mono_ns();
	int r = store_checkpoint_finish(st->server->store, &err);
	storage_end_if_unknown(r, &err);
	stats_commit(st->server->stats, clock_mono_ns() - from);
	if (r) {
		log_error(&err, "Could not checkpoint the store");
	} else {
		st->checkpoints++;
		node_durable(st->server->node, store_durable(st->server->store).index);
	}
	st->checkpointing = false;
	/* The next one, or a defragmentation, may wait for it. */
	pthread_mutex_lock(&st->lock);
	if (!st->stop)
		wake(st);
	pthread_mutex_unlock(&st->lock);
}

/* False: nothing was begun. */
static bool checkpoint_begin(struct storage *st)
{
	if (!st->since || store_checkpoint_begin(st->server->store, st->applied))
		return false;
	st->since = 0;
	st->checkpoint_ns = clock_mono_ns();
	st->checkpointing = true;
	return true;
}

static void on_checkpoint_time(void *arg)
{
	struct storage *st = arg;
	st->checkpoint_posted = false;
	storage_wake(st);
}

/* Begins a checkpoint when it is time, or sees to it that a turn comes then. */
static void checkpoint_consider(struct storage *st)
{
	if (!st->since || st->checkpointing)
		return;
	uint64_t passed_ms = (clock_mono_ns() - st->checkpoint_ns) / 1000000;
	bool due = st->since >= CHECKPOINT_ENTRIES || passed_ms >= CHECKPOINT_MS;
	if (due && checkpoint_begin(st)) {
		worker_post(&st->server->sync_worker, checkpoint_finish, st);
	} else if (!st->checkpoint_posted) {
		uint64_t left_ms = due ? CHECKPOINT_MS : CHECKPOINT_MS - passed_ms;
		st->checkpoint_posted = true;
		worker_post_later(&st->worker, left_ms, on_checkpoint_time, st);
	}
}

static void write_out(void *arg)
{
	struct storage *st = arg;
	store_write_out(st->server->store);
	st->writing_out = false;
}

/* Little by little: a checkpoint that finds a second's pages unwritten holds up the log, which is
 * on the same disk. Only under load: writing out holds it up a little, too, and what little there
 * is a checkpoint writes at once. */
static void write_out_consider(struct storage *st)
{
	uint64_t now_ns = clock_mono_ns();
	if (st->writing_out || now_ns - st->write_out_ns < WRITE_OUT_MS * 1000000)
		return;
	bool loaded = st->unwritten >= WRITE_OUT_ENTRIES;
	st->unwritten = 0;
	st->write_out_ns = now_ns;
	if (!loaded)
		return;
	st->writing_out = true;
	worker_post(&st->server->sync_worker, write_out, st);
}

/* --- idle work --- */

static void compact_done(struct storage *st)
{
	VEC_FOREACH (&st->wait_compacted, q) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		out_header(&b, st->server, st->server->revision);
		request_reply(*q, buf_view(&b));
	}
	vec_clear(&st->wait_compacted);
	st->compacting = false;
}

static void compact_some(struct storage *st)
{
	struct kv_txn *kv;
	struct mvcc m;
	bool done = false;
	if (store_begin(st->server->store, true, &kv))
		return;
	int r = mvcc_open(&m, kv);
	if (!r)
		r = mvcc_compact_some(&m, COMPACT_BUDGET, &done);
	mvcc_close(&m);
	struct err err = ERR_INIT;
	if (r) {
		store_end(kv);
		err_set(&err, (enum err_code) - r, "cannot erase old revisions");
	} else {
		r = store_commit(kv, &err);
	}
	if (r)
		log_error(&err, "Compaction has failed");
	st->since += !r;
	if (done || r)
		compact_done(st);
}

/* --- turns --- */

/* Takes at most BATCH_MAX items when there are none from before, and a defragmentation when no
 * checkpoint is on the way: its end brings another turn. */
static void take(struct storage *st, struct rpc_call **ret_defragment)
{
	pthread_mutex_lock(&st->lock);
	st->turn_posted = false;
	size_t n = st->batch.n ? 0 : MIN(st->queue.n, (size_t)BATCH_MAX);
	if (n && n == st->queue.n) {
		item_list empty = st->batch;
		st->batch = st->queue;
		st->queue = empty;
		vec_clear(&st->queue);
	} else if (n) {
		for (size_t i = 0; i < n; i++)
			*vec_push(&st->batch) = st->queue.at[i];
		memmove(st->queue.at, st->queue.at + n, (st->queue.n - n) * sizeof(struct item));
		st->queue.n -= n;
	}
	bool may = st->defragment.n && !st->checkpointing && !st->defragmentation.call && !st->stop;
	*ret_defragment = may ? vec_pop(&st->defragment) : NULL;
	pthread_mutex_unlock(&st->lock);
}

static void storage_turn(void *arg)
{
	struct storage *st = arg;
	struct rpc_call *call;
	take(st, &call);
	if (st->batch.n && !st->retry_posted)
		batch_run(st);
	else if (st->compacting)
		compact_some(st);
	if (call)
		defragment_begin(st, call);
	defragment_consider(st);
	install_consider(st);
	pthread_mutex_lock(&st->lock);
	bool stop = st->stop;
	if ((st->queue.n && !st->batch.n) || (st->compacting && !stop))
		wake(st);
	pthread_mutex_unlock(&st->lock);
	if (!stop) {
		write_out_consider(st);
		checkpoint_consider(st);
	}
}

int storage_start(struct server *s, struct err *err)
{
	struct storage *st = calloc(1, sizeof(*st));
	if (!st)
		abort();
	s->storage = st;
	st->server = s;
	applier_init(&st->applier, s);
	st->compacting = true; /* what a stop has interrupted */
	pthread_mutex_init(&st->lock, NULL);
	st->applied = store_durable(s->store);
	if (worker_start(&st->worker, "storage"))
		return err_set(err, ERR_INTERNAL, "cannot start the storage worker");
	storage_wake(st);
	return 0;
}

void storage_stop(struct server *s)
{
	struct storage *st = s->storage;
	if (!st)
		return;
	pthread_mutex_lock(&st->lock);
	st->stop = true;
	if (st->worker.started)
		wake(st);
	pthread_mutex_unlock(&st->lock);
	worker_stop(&st->worker);
	worker_stop(&s->sync_worker);
	if (checkpoint_begin(st))
		checkpoint_finish(st);
	s->storage = NULL;
	batch_drop(st);
	item_list left = st->queue;
	st->queue = st->batch;
	st->batch = left;
	batch_drop(st);
	VEC_FOREACH (&st->defragment, call)
		call_fail(*call, OUTCOME_STOPPED);
	vec_deinit(&st->defragment);
	if (st->defragmentation.call)
		call_fail(st->defragmentation.call, OUTCOME_STOPPED);
	VEC_FOREACH (&st->wait_compacted, q)
		request_fail(*q, OUTCOME_STOPPED);
	vec_deinit(&st->wait_compacted);
	vec_deinit(&st->batch);
	vec_deinit(&st->queue);
	buf_deinit(&st->answers);
	applier_deinit(&st->applier);
	pthread_mutex_destroy(&st->lock);
	free(st);
}
