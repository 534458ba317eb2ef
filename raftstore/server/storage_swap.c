/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/key_wait.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/storage_internal.h"
#include "raftstore/server/watch_hub.h"

enum {
	SWAP_RETRY_MS = 2, /* while something reads */
	SWAP_TRIES = 1000, /* before everything waits for it */
};

/* --- defragmentation: the copy worker copies beside the writes, a turn ends it --- */

static void defragment_answer(struct storage *st, int r, const struct err *err)
{
	struct rpc_call *call = TAKE(st->defragmentation.call);
	if (r) {
		log_error(err, "Could not defragment the store");
		rpc_call_fail(call, err_grpc_status(r), err->text, NULL, 0);
		return;
	}
	log_info("Defragmented the store", LOG_INT("bytes", store_file_bytes(st->server->store)));
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, st->server, st->server->revision);
	rpc_call_reply(call, buf_view(&b));
}

static void defragment_copy(void *arg)
{
	struct storage *st = arg;
	st->defragmentation.result =
	    store_defragment_copy(st->server->store, &st->defragmentation.err);
	st->defragmentation.copied = true;
	storage_wake(st);
}

void defragment_begin(struct storage *st, struct rpc_call *call)
{
	st->defragmentation.call = call;
	st->defragmentation.copied = false;
	st->defragmentation.tries = 0;
	st->defragmentation.err = ERR_INIT;
	int r = store_defragment_begin(st->server->store, &st->defragmentation.err);
	if (r == -ERR_TOO_MANY_REQUESTS) {
		/* The one before is not durable yet: the checkpoint's end brings another turn. */
		st->defragmentation.call = NULL;
		pthread_mutex_lock(&st->lock);
		*vec_push(&st->defragment) = call;
		pthread_mutex_unlock(&st->lock);
	} else if (r) {
		defragment_answer(st, r, &st->defragmentation.err);
	} else {
		worker_post(&st->server->copy_worker, defragment_copy, st);
	}
}

static void on_defragment_later(void *arg)
{
	struct storage *st = arg;
	st->defragmentation.later = false;
	storage_wake(st);
}

/* When the copy is made, no checkpoint is on the way (its end brings another turn) and nobody
 * reads. */
void defragment_consider(struct storage *st)
{
	if (!st->defragmentation.call || !st->defragmentation.copied || st->checkpointing)
		return;
	struct store *s = st->server->store;
	struct err *err = &st->defragmentation.err;
	int r = st->defragmentation.result;
	if (r) {
		store_defragment_abort(s);
	} else {
		bool wait = ++st->defragmentation.tries > SWAP_TRIES;
		r = store_defragment_end(s, wait, err);
		if (r == -ERR_TOO_MANY_REQUESTS) {
			if (!st->defragmentation.later)
				worker_post_later(&st->worker, SWAP_RETRY_MS, on_defragment_later,
				                  st);
			st->defragmentation.later = true;
			return;
		}
		st->since += !r; /* a checkpoint makes it durable */
	}
	defragment_answer(st, r, err);
}

/* --- snapshots of other members --- */

struct adoption {
	const struct server *server;
	struct store_mark mark;
};

/* What is this member's own in tables that were another's; among it that they are: until more is
 * applied, the log may be behind them. */
static int adopt(void *arg, struct kv_txn *kv)
{
	const struct adoption *a = arg;
	uint8_t b[16];
	put_be64(b, a->mark.index);
	put_be64(b + 8, a->mark.term);
	int r = kv_put(kv, KV_META, STORAGE_INSTALLED, slice_of(b, sizeof(b)));
	if (!r)
		r = meta_put(kv, "cluster id", a->server->cluster_id);
	return r ? r : meta_put(kv, "member id", a->server->member_id);
}

/* Reads anew what is kept of the tables. */
static int facts_reload(struct server *s)
{
	struct kv_txn *kv;
	struct mvcc m = {0};
	unsigned alarms = 0;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	r = mvcc_open(&m, kv);
	if (!r)
		r = alarms_read(kv, &alarms);
	s->revision = m.revision;
	s->alarms = alarms;
	mvcc_close(&m);
	store_end(kv);
	return r ? r : auth_reload(s);
}

static int install_run(struct storage *st, struct raft_mark mark)
{
	struct server *s = st->server;
	struct err err = ERR_INIT;
	struct store_mark to = {mark.index, mark.term};
	struct adoption adoption = {s, to};
	int r = store_install(s->store, to, adopt, &adoption, &err);
	storage_end_if_unknown(r, &err);
	if (r) {
		log_error(&err, "Could not install the snapshot of another member");
		return r;
	}
	r = facts_reload(s);
	if (r) {
		err_set(&err, (enum err_code) - r, "cannot read the tables");
		log_error(&err, "The store has failed");
		_exit(1);
	}
	st->applied = to;
	st->since = 0;
	st->compacting = true; /* what the sender has not finished */
	s->applied = mark.index;
	watch_hub_replaced(s->hub, s->revision);
	key_waits_wake_all(s);
	log_info("Installed the snapshot of another member", LOG_INT("index", mark.index),
	         LOG_INT("revision", s->revision));
	return 0;
}

/* When all before it is applied, and no checkpoint or defragmentation is on the way: their ends
 * bring another turn. */
void install_consider(struct storage *st)
{
	pthread_mutex_lock(&st->lock);
	void (*done)(void *arg, int result) = st->install.done;
	void *arg = st->install.arg;
	struct raft_mark mark = st->install.mark;
	bool now = done && !st->stop && !st->queue.n && !st->batch.n && !st->checkpointing &&
	           !st->defragmentation.call;
	if (now)
		st->install.done = NULL;
	pthread_mutex_unlock(&st->lock);
	if (now)
		done(arg, install_run(st, mark));
}
