/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/compactor.h"
#include "raftstore/server/front.h"
#include "raftstore/server/key_wait.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"
#include "raftstore/server/watch_hub.h"

enum { STOP_GRACE_MS = 200, RPC_OVERHEAD_BYTES = 512 << 10 };

/* --- files --- */

static int make_dir(const char *path, struct err *err)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
	return 0;
}

static int make_dirs(struct server *s, struct err *err)
{
	static const char *const dirs[] = {"", "/member", "/member/db"};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		_cleanup_buf_ struct buf path = BUF_INIT;
		buf_printf(&path, "%s%s", s->options->data_dir, dirs[i]);
		int r = make_dir((char *)path.data, err);
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

static uint64_t id_of(const struct buf *text)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	SHA256(text->data, text->len, hash);
	uint64_t id = get_be64(hash);
	return id ? id : 1;
}

/* From the flags at the first start; later starts find them in the store. */
static void make_ids(struct server *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "%s,", s->options->initial_cluster_token);
	VEC_FOREACH (&s->options->advertise_peer_urls, url)
		buf_printf(&b, "%s,", *url);
	s->member_id = id_of(&b);
	buf_printf(&b, "%s", s->options->initial_cluster);
	s->cluster_id = id_of(&b);
}

static int save_ids(struct server *s, struct err *err)
{
	struct kv_txn *kv;
	make_ids(s);
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
	bool is_new = false;
	int r = store_open(&o, &s->store, err);
	if (!r)
		r = load_facts(s, &is_new, err);
	if (!r && is_new)
		r = save_ids(s, err);
	s->applied = s->store ? store_durable(s->store).index : 0;
	return r;
}

/* --- the gRPC server --- */

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
	if (s->serving || s->stopping)
		return;
	s->serving = true;
	rpc_server_start(s->rpc);
	front_serve(s->front);
	log_info("Serving clients", LOG_INT("revision", s->revision),
	         LOG_INT("applied", s->applied));
	daemon_ready(s->daemon);
}

int server_start(struct server *s, struct daemon *d, const struct server_options *o,
                 struct err *err)
{
	s->daemon = d;
	s->loop = &d->loop;
	s->options = o;
	s->lock_fd = -1;
	if (worker_start(&s->sync_worker, "sync") || worker_start(&s->read_worker, "read"))
		return err_set(err, ERR_INTERNAL, "cannot start a thread");
	int r = make_dirs(s, err);
	if (!r)
		r = lock_dir(s, err);
	if (!r)
		r = open_store(s, err);
	if (r)
		return r;
	key_waits_start(s);
	r = auth_start(s, err);
	if (!r)
		r = watch_hub_start(s, err);
	if (!r)
		r = lessor_start(s, err);
	stats_start(s);
	make_rpc(s);
	if (!r)
		r = front_start(s, err);
	if (!r)
		r = node_start(s, err);
	if (!r)
		r = storage_start(s, err); /* it tells the node what it does */
	if (!r)
		compactor_start(s);
	return r;
}

static void on_stopped(void *arg)
{
	struct server *s = arg;
	if (!--s->stops)
		daemon_quit(s->daemon);
}

void server_stop(struct server *s)
{
	s->stopping = true;
	s->stops = 1 + s->serving;
	front_stop(s->front, on_stopped, s);
	if (s->serving)
		rpc_server_stop(s->rpc, STOP_GRACE_MS, s->loop, on_stopped, s);
}

void server_deinit(struct server *s)
{
	compactor_stop(s);
	node_stop(s);
	storage_stop(s);
	worker_stop(&s->sync_worker);
	worker_stop(&s->read_worker);
	node_free(s);
	watch_hub_stop(s);
	lessor_stop(s);
	front_free(s);
	if (s->rpc)
		rpc_server_free(s->rpc);
	key_waits_stop(s);
	auth_stop(s);
	store_close(s->store);
	stats_stop(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}
