/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/storage.h"
#include <pthread.h>
#include <sys/prctl.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/watch_hub.h"

enum {
	BATCH_MAX = 1000,
	CHECKPOINT_MS = 1000,
	CHECKPOINT_ENTRIES = 20000,
	COMPACT_BUDGET = 500, /* changes looked at between batches */
	RETRY_MS = 1000,
};

struct item {
	struct raft_entry entry;
	struct request *request;
	/* The answer: bytes [from, to) of the batch's buffer, or an outcome. */
	size_t from, to;
	int outcome;
};

typedef VEC(struct item) item_list;

struct storage {
	struct server *server;
	pthread_t thread;
	bool started;
	/* --- the thread's --- */
	struct applier applier;
	item_list batch;
	struct buf answers;
	struct store_mark applied;
	uint64_t since; /* entries since the last checkpoint began */
	uint64_t checkpoint_ns;
	bool compacting;
	VEC(struct request *) wait_compacted;
	atomic_bool stalled, checkpointing;
	atomic_uint_fast64_t batches, entries, checkpoints, n_events;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* --- under lock --- */
	item_list queue;
	VEC(struct rpc_call *) defragment;
	bool stop;
};

void storage_push(struct storage *st, const struct raft_entry *e, struct request *const *q,
                  size_t n)
{
	pthread_mutex_lock(&st->lock);
	bool wake = n && !st->queue.n;
	for (size_t i = 0; i < n; i++) {
		*vec_push(&st->queue) = (struct item){.entry = e[i], .request = q[i]};
		blob_ref(e[i].data);
	}
	pthread_mutex_unlock(&st->lock);
	if (wake)
		pthread_cond_signal(&st->wake);
}

bool storage_stalled(const struct storage *st)
{
	return st->stalled;
}

void storage_defragment(struct storage *st, struct rpc_call *call)
{
	pthread_mutex_lock(&st->lock);
	*vec_push(&st->defragment) = call;
	pthread_cond_signal(&st->wake);
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
	i->outcome = 0;
	if (i->entry.type != RAFT_ENTRY_COMMAND || !i->entry.data)
		return 0;
	struct request *q = i->request;
	enum command_kind kind = q ? q->kind : COMMANDS;
	ProtobufCMessage *m = q ? q->message : NULL;
	struct arena arena;
	arena_init(&arena);
	if (!m)
		m = command_decode(blob_view(i->entry.data), &arena, &kind);
	int r = -ERR_CORRUPT;
	if (m)
		r = apply(&st->applier, kind, m, &st->answers);
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

static void wait_retry(struct storage *st)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += RETRY_MS / 1000;
	pthread_mutex_lock(&st->lock);
	if (!st->stop)
		pthread_cond_timedwait(&st->wake, &st->lock, &until);
	pthread_mutex_unlock(&st->lock);
}

/* Tries until the disk takes it. False: the store is stopping, the batch was not applied. */
static bool batch_apply_stubbornly(struct storage *st)
{
	for (;;) {
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
		wait_retry(st);
		pthread_mutex_lock(&st->lock);
		bool stop = st->stop;
		pthread_mutex_unlock(&st->lock);
		if (stop)
			return false;
	}
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
	if (!batch_apply_stubbornly(st)) {
		batch_drop(st);
		return;
	}
	struct applier *ap = &st->applier;
	s->revision = ap->mvcc.revision;
	s->alarms = ap->alarms;
	s->applied = st->applied.index;
	st->compacting |= ap->compacted;
	st->since += st->batch.n;
	st->batches++;
	st->entries += st->batch.n;
	st->n_events += ap->events.list.n;
	/* Leases and events first: whoever has got an answer must meet their effects. */
	lessor_note(s, ap->leases.at, ap->leases.n);
	watch_hub_publish(s->hub, &ap->events, ap->mvcc.revision);
	VEC_FOREACH (&st->batch, i)
		item_answer(st, i);
	node_applied(s->node, st->applied.index);
	batch_drop(st);
}

/* --- checkpoints --- */

static void checkpoint_finish(void *arg)
{
	struct storage *st = arg;
	struct err err = ERR_INIT;
	uint64_t from = clock_mono_ns();
	int r = store_checkpoint_finish(st->server->store, &err);
	stats_commit(st->server->stats, clock_mono_ns() - from);
	if (r) {
		log_error(&err, "Could not checkpoint the store");
	} else {
		st->checkpoints++;
		node_durable(st->server->node, store_durable(st->server->store).index);
	}
	st->checkpointing = false;
}

static void checkpoint_begin(struct storage *st)
{
	if (!st->since || st->checkpointing)
		return;
	int r = store_checkpoint_begin(st->server->store, st->applied);
	if (r)
		return;
	st->since = 0;
	st->checkpoint_ns = clock_mono_ns();
	st->checkpointing = true;
	worker_post(&st->server->sync_worker, checkpoint_finish, st);
}

static bool checkpoint_due(const struct storage *st)
{
	if (!st->since || st->checkpointing)
		return false;
	return st->since >= CHECKPOINT_ENTRIES ||
	       clock_mono_ns() - st->checkpoint_ns >= CHECKPOINT_MS * 1000000ull;
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

static void wait_checkpointed(struct storage *st)
{
	while (st->checkpointing) {
		struct timespec ms = {0, 1000000};
		nanosleep(&ms, NULL);
	}
}

static void defragment(struct storage *st, struct rpc_call *call)
{
	struct err err = ERR_INIT;
	wait_checkpointed(st);
	int r = store_defragment(st->server->store, st->applied, &err);
	if (r) {
		log_error(&err, "Could not defragment the store");
		rpc_call_fail(call, err_grpc_status(r), err.text, NULL, 0);
		return;
	}
	log_info("Defragmented the store", LOG_INT("bytes", store_file_bytes(st->server->store)));
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, st->server, st->server->revision);
	rpc_call_reply(call, buf_view(&b));
}

/* --- the thread --- */

/* Waits for work; takes at most BATCH_MAX items. False: stop. */
static bool take(struct storage *st, struct rpc_call **ret_defragment)
{
	pthread_mutex_lock(&st->lock);
	while (!st->queue.n && !st->defragment.n && !st->stop && !st->compacting &&
	       !checkpoint_due(st)) {
		if (!st->since) {
			pthread_cond_wait(&st->wake, &st->lock);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		uint64_t ns = (uint64_t)until.tv_nsec + CHECKPOINT_MS * 1000000ull;
		until.tv_sec += (time_t)(ns / 1000000000);
		until.tv_nsec = (long)(ns % 1000000000);
		pthread_cond_timedwait(&st->wake, &st->lock, &until);
	}
	size_t n = MIN(st->queue.n, (size_t)BATCH_MAX);
	if (n == st->queue.n) {
		item_list empty = st->batch;
		st->batch = st->queue;
		st->queue = empty;
		vec_clear(&st->queue);
	} else {
		for (size_t i = 0; i < n; i++)
			*vec_push(&st->batch) = st->queue.at[i];
		memmove(st->queue.at, st->queue.at + n, (st->queue.n - n) * sizeof(struct item));
		st->queue.n -= n;
	}
	*ret_defragment = st->defragment.n ? vec_pop(&st->defragment) : NULL;
	bool go_on = !st->stop || n;
	pthread_mutex_unlock(&st->lock);
	return go_on;
}

static void *storage_thread(void *arg)
{
	struct storage *st = arg;
	prctl(PR_SET_NAME, "storage");
	struct rpc_call *call;
	while (take(st, &call)) {
		if (st->batch.n)
			batch_run(st);
		else if (st->compacting)
			compact_some(st);
		if (call)
			defragment(st, call);
		if (checkpoint_due(st))
			checkpoint_begin(st);
	}
	wait_checkpointed(st);
	checkpoint_begin(st);
	wait_checkpointed(st);
	return NULL;
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
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&st->wake, &attr);
	pthread_condattr_destroy(&attr);
	st->applied = store_durable(s->store);
	if (pthread_create(&st->thread, NULL, storage_thread, st))
		return err_set(err, ERR_INTERNAL, "cannot start the storage thread");
	st->started = true;
	return 0;
}

void storage_stop(struct server *s)
{
	struct storage *st = TAKE(s->storage);
	if (!st)
		return;
	pthread_mutex_lock(&st->lock);
	st->stop = true;
	pthread_cond_signal(&st->wake);
	pthread_mutex_unlock(&st->lock);
	if (st->started)
		pthread_join(st->thread, NULL);
	VEC_FOREACH (&st->defragment, call)
		call_fail(*call, OUTCOME_STOPPED);
	vec_deinit(&st->defragment);
	VEC_FOREACH (&st->wait_compacted, q)
		request_fail(*q, OUTCOME_STOPPED);
	vec_deinit(&st->wait_compacted);
	vec_deinit(&st->batch);
	vec_deinit(&st->queue);
	buf_deinit(&st->answers);
	applier_deinit(&st->applier);
	pthread_cond_destroy(&st->wake);
	pthread_mutex_destroy(&st->lock);
	free(st);
}
