/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/rng.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/peer/peers.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/bootstrap.h"
#include "raftstore/server/compactor.h"
#include "raftstore/server/corruption.h"
#include "raftstore/server/folder.h"
#include "raftstore/server/front.h"
#include "raftstore/server/key_wait.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/recover.h"
#include "raftstore/server/snapshots.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"
#include "raftstore/server/watch_hub.h"

enum { STOP_GRACE_MS = 200, LEAVE_MS = 1000, RPC_OVERHEAD_BYTES = 512 << 10 };

/* --- the end, by timers --- */

static void on_leave(void *arg)
{
	struct server *s = arg;
	daemon_stop(s->daemon);
}

/* Nobody waits longer than the grace. */
static void on_grace(void *arg)
{
	struct server *s = arg;
	node_give_up(s->node);
}

/* --- files --- */

static int make_dirs(struct server *s, struct err *err)
{
	static const char *const dirs[] = {"", "/member", "/member/db"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		_cleanup_buf_ struct buf path = BUF_INIT;
		buf_printf(&path, "%s%s", s->options->data_dir, dirs[i]);
		int r = folder_make((char *)path.data, err);
		if (r)
			return r;
	}
	return 0;
}

/* Before the store is touched: two processes would roll each other back. */
static int lock_dir(struct server *s, struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	buf_printf(&path, "%s/member/lock", s->options->data_dir);
	s->lock_fd = open((char *)path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0)
		return err_set(err, ERR_IO, "%s: %s", path.data, strerror(errno));
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
		return err_set(err, ERR_CONFLICT, "%s: another process uses this directory",
		               path.data);
	return 0;
}

/* --- identity --- */

uint64_t server_random(struct server *s)
{
	/* SplitMix64 (Steele, Lea, Flood 2014). */
	uint64_t z = s->seed + (atomic_fetch_add(&s->chances, 1) + 1) * 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static int save_ids(struct server *s, struct err *err)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, true, &kv);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot write the store");
	r = meta_put(kv, "cluster id", s->cluster_id);
	if (!r)
		r = meta_put(kv, "member id", s->member_id);
	if (r) {
		store_end(kv);
		return err_set(err, (enum err_code) - r, "cannot write the store");
	}
	r = store_commit(kv, err);
	if (!r)
		r = store_checkpoint_begin(s->store, (struct store_mark){0, 0});
	return r ? r : store_checkpoint_finish(s->store, err);
}

/* Ids and revision; *ret_new: the store has none yet. */
static int load_facts(struct server *s, bool *ret_new, struct err *err)
{
	struct kv_txn *kv;
	struct mvcc m = {0};
	uint64_t cluster = 0, member = 0;
	unsigned alarms = 0;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot read the store");
	r = meta_get(kv, "cluster id", &cluster);
	*ret_new = r == -ERR_NOT_FOUND;
	if (!r)
		r = meta_get(kv, "member id", &member);
	if (!r)
		r = alarms_read(kv, &alarms);
	if (!r || *ret_new)
		r = mvcc_open(&m, kv);
	mvcc_close(&m);
	store_end(kv);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot read the store");
	s->cluster_id = cluster;
	s->member_id = member;
	s->revision = m.revision;
	s->alarms = alarms;
	return 0;
}

static int open_store(struct server *s, struct err *err)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/member/db", s->options->data_dir);
	struct store_options o = {.dir = (char *)dir.data, .no_sync = s->options->unsafe_no_fsync};
	int r = store_open(&o, &s->store, err);
	if (!r)
		r = load_facts(s, &s->is_new, err);
	s->applied = s->store ? store_durable(s->store).index : 0;
	return r;
}

/* --- the gRPC server --- */

/* What holds for every method. */
struct service {
	struct server *server;
	struct rpc_method method;
	bool of_learners, corruptible;
};

static const char *const learner_methods[] = {
    "/etcdserverpb.KV/Range", /* the serializable ones */
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Snapshot",
};

/* What touches keys and leases: refused while the members' tables are known to differ. */
static const char *const corruptible_methods[] = {
    "/etcdserverpb.KV/Range",          "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",        "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",
};

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name, list[i]))
			return true;
	}
	return false;
}

static void on_call(struct rpc_call *call, struct slice message, void *arg)
{
	const struct service *v = arg;
	struct server *s = v->server;
	if (s->learner && !v->of_learners)
		call_fail(call, OUTCOME_NOT_FOR_LEARNER);
	else if (!s->leader && slice_eq_str(rpc_call_metadata(call, "hasleader"), "true"))
		call_fail(call, OUTCOME_NO_LEADER);
	else if (v->corruptible && s->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__CORRUPT)
		call_fail(call, OUTCOME_CORRUPT);
	else if (v->method.kind == RPC_UNARY && auth_token_is_early(s, call))
		auth_wait(s, &v->method, call, message);
	else
		v->method.on_call(call, message, v->method.arg);
}

void service_add(struct server *s, const struct rpc_method *m)
{
	struct service *v = arena_new(&s->daemon->arena, struct service);
	*v = (struct service){.server = s, .method = *m};
	v->of_learners = is_one_of(m->name, learner_methods, ARRAY_LEN(learner_methods));
	v->corruptible = is_one_of(m->name, corruptible_methods, ARRAY_LEN(corruptible_methods));
	struct rpc_method outer = *m;
	outer.on_call = on_call;
	outer.arg = v;
	rpc_server_method(s->rpc, &outer);
}

static void make_rpc(struct server *s)
{
	struct rpc_server_options o = {
	    .max_recv_bytes = (uint32_t)s->options->max_request_bytes + RPC_OVERHEAD_BYTES,
	};
	s->rpc = rpc_server_new(s->daemon->rpc, &o);
	kv_service_add(s);
	watch_service_add(s);
	lease_service_add(s);
	cluster_service_add(s);
	maintenance_service_add(s);
	auth_service_add(s);
	lock_service_add(s);
	election_service_add(s);
}

void server_serve(struct server *s)
{
	if (s->serving || s->stopping || corruption_holds(s))
		return;
	s->serving = true;
	rpc_server_start(s->rpc);
	front_serve(s->front);
	log_info("Serving clients", LOG_INT("revision", s->revision),
	         LOG_INT("applied", s->applied));
	daemon_ready(s->daemon);
}

void server_peer_options(struct server *s, bool listens, struct peers_options *ret)
{
	const struct server_options *o = s->options;
	ret->tls = o->peer_tls;
	ret->allowed_cn = o->peer_cert_allowed_cn;
	ret->advertise_urls = o->advertise_peer_text;
	if (listens) {
		ret->listen_urls = o->peer_urls.at;
		ret->n_listen_urls = o->peer_urls.n;
	}
}

/* Everything behind the store. */
static int boot(struct server *s, const struct members *first, bool join, struct err *err)
{
	int r = s->is_new ? save_ids(s, err) : 0;
	if (!r)
		r = auth_start(s, err);
	if (!r)
		r = watch_hub_start(s, err);
	if (!r)
		r = lessor_start(s, err);
	if (r)
		return r;
	make_rpc(s);
	r = front_start(s, err);
	if (!r)
		r = snapshots_start(s, err);
	if (!r)
		r = node_start(s, first, join, err);
	if (!r)
		r = storage_start(s, err); /* it tells the node what it does */
	if (!r)
		compactor_start(s);
	if (!r)
		corruption_start(s);
	return r;
}

static void on_bootstrapped(struct server *s, const struct members *first, bool join,
                            struct err *err)
{
	int r = first ? boot(s, first, join, err) : -(int)err->code;
	if (!r) {
		bootstrap_stop(s, NULL, NULL);
		return;
	}
	s->failed = true;
	log_error(err, "raftstore could not start");
	daemon_quit(s->daemon);
}

int server_claim(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err)
{
	s->daemon = d;
	s->loop = &d->loop;
	s->options = o;
	s->lock_fd = -1;
	int r = make_dirs(s, err);
	return r ? r : lock_dir(s, err);
}

int server_start(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err)
{
	int r = server_claim(s, d, o, err);
	if (r)
		return r;
	while (!s->seed)
		rng_system(&s->seed, sizeof(s->seed));
	loop_timer_init(&s->leave, s->loop, on_leave, s);
	loop_timer_init(&s->grace, s->loop, on_grace, s);
	if (worker_start(&s->sync_worker, "sync") || worker_start(&s->read_worker, "read") ||
	    worker_start(&s->copy_worker, "copy") || worker_start(&s->auth_worker, "auth"))
		return err_set(err, ERR_INTERNAL, "cannot start a thread");
	r = open_store(s, err);
	if (r)
		return r;
	s->wants_promotion = recover_wants_promotion(o);
	key_waits_start(s);
	stats_start(s);
	return s->is_new ? bootstrap_start(s, on_bootstrapped, err) : boot(s, NULL, false, err);
}

/* --- the end --- */

static void on_peers_stopped(void *arg)
{
	struct server *s = arg;
	daemon_quit(s->daemon);
}

static void on_stopped(void *arg)
{
	struct server *s = arg;
	if (--s->stops)
		return;
	loop_timer_stop(&s->grace);
	peers_stop(s->peers, on_peers_stopped, s);
}

static void on_handed_over(void *arg)
{
	struct server *s = arg;
	s->stops = 1 + s->serving;
	loop_timer_start(&s->grace, STOP_GRACE_MS);
	front_stop(s->front, on_stopped, s);
	if (s->serving)
		rpc_server_stop(s->rpc, STOP_GRACE_MS, s->loop, on_stopped, s);
}

void server_stop(struct server *s)
{
	s->stopping = true;
	if (s->bootstrap)
		bootstrap_stop(s, on_peers_stopped, s);
	else if (s->node)
		node_hand_over(s->node, on_handed_over, s);
	else
		daemon_quit(s->daemon);
}

void server_removed(struct server *s)
{
	if (s->removed || s->stopping)
		return;
	s->removed = true;
	log_error(NULL, "The member has been permanently removed from the cluster; its data "
	                "directory must be removed");
	loop_timer_start(&s->leave, LEAVE_MS);
}

void server_deinit(struct server *s)
{
	compactor_stop(s);
	if (s->snapshots)
		snapshots_stop(s);
	node_stop(s);
	worker_stop(&s->copy_worker); /* it may copy for the storage worker */
	storage_stop(s);
	worker_stop(&s->sync_worker);
	worker_stop(&s->read_worker);
	worker_stop(&s->auth_worker);
	corruption_stop(s);
	if (s->snapshots)
		snapshots_free(s);
	node_free(s);
	watch_hub_stop(s);
	lessor_stop(s);
	front_free(s);
	if (s->rpc)
		rpc_server_free(s->rpc);
	key_waits_stop(s);
	auth_stop(s);
	if (s->peers)
		peers_free(s->peers);
	store_close(s->store);
	stats_stop(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}
