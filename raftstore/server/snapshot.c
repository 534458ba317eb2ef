/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/snapshot.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>
#include "raftstore/server/auth.h"
#include "raftstore/server/etcd_export.h"
#include "raftstore/server/pb_out.h"

enum { CHUNK_BYTES = 32 << 10, HASH_BYTES = 32 };

/* Its callbacks come one at a time on the queue's thread; the copy is made on the read worker,
 * before any of them matters. */
struct snapshot {
	struct server *server;
	struct rpc_call *call;
	EVP_MD_CTX *hash;
	int fd;
	uint64_t at, size;
	pthread_mutex_t lock;
	/* --- under lock --- */
	bool ready, closed, ended;
	unsigned refs; /* the call, and the worker */
};

static void snapshot_unref(struct snapshot *sn)
{
	pthread_mutex_lock(&sn->lock);
	bool last = !--sn->refs;
	pthread_mutex_unlock(&sn->lock);
	if (!last)
		return;
	if (sn->fd >= 0)
		close(sn->fd);
	EVP_MD_CTX_free(sn->hash);
	pthread_mutex_destroy(&sn->lock);
	free(sn);
}

static void snapshot_end(struct snapshot *sn, int code, const char *text)
{
	if (sn->ended)
		return;
	sn->ended = true;
	if (code)
		rpc_call_fail(sn->call, code, text, NULL, 0);
	else
		rpc_call_finish(sn->call);
}

/* One message; 1: the queue is full. */
static int send_chunk(struct snapshot *sn, struct buf *b, struct slice bytes, uint64_t remaining)
{
	buf_clear(b);
	out_header(b, sn->server, sn->server->revision);
	out_number(b, 2, (int64_t)remaining);
	out_bytes(b, 3, bytes);
	out_bytes(b, 4, SLICE_LIT(RAFTSTORE_ETCD_VERSION));
	return rpc_call_send(sn->call, buf_view(b));
}

/* Sends until the queue is full or all is sent. Under the lock. */
static void pump(struct snapshot *sn)
{
	uint8_t chunk[CHUNK_BYTES];
	_cleanup_buf_ struct buf b = BUF_INIT;
	while (!sn->ended && sn->ready && !sn->closed) {
		if (sn->at == sn->size) {
			uint8_t hash[EVP_MAX_MD_SIZE];
			EVP_DigestFinal_ex(sn->hash, hash, NULL);
			ERR_IGNORE(send_chunk(sn, &b, slice_of(hash, HASH_BYTES), 0));
			snapshot_end(sn, 0, NULL);
			return;
		}
		ssize_t n = pread(sn->fd, chunk, sizeof(chunk), (off_t)sn->at);
		if (n <= 0) {
			snapshot_end(sn, RPC_INTERNAL, "etcdserver: cannot read the snapshot");
			return;
		}
		sn->at += (uint64_t)n;
		EVP_DigestUpdate(sn->hash, chunk, (size_t)n);
		if (send_chunk(sn, &b, slice_of(chunk, (size_t)n), sn->size - sn->at + HASH_BYTES))
			return;
	}
}

/* A file without a name beside the tables. */
static int temporary_file(struct snapshot *sn, struct err *err)
{
	_cleanup_buf_ struct buf dir = BUF_INIT;
	buf_printf(&dir, "%s/member/db", sn->server->options->data_dir);
	sn->fd = open((char *)dir.data, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (sn->fd < 0)
		return err_set(err, ERR_IO, "%s: %s", dir.data, strerror(errno));
	return 0;
}

static int snapshot_copy(struct snapshot *sn, struct err *err)
{
	_cleanup_(store_end_p) struct kv_txn *kv = NULL;
	int r = temporary_file(sn, err);
	if (r)
		return r;
	r = store_begin(sn->server->store, false, &kv);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot read the store");
	return etcd_export_file(kv, sn->fd, &sn->size, err);
}

static void snapshot_make(void *arg)
{
	struct snapshot *sn = arg;
	struct err err = ERR_INIT;
	int r = snapshot_copy(sn, &err);
	pthread_mutex_lock(&sn->lock);
	sn->ready = true;
	if (r)
		snapshot_end(sn, err_grpc_status(r), err.text);
	else
		pump(sn);
	pthread_mutex_unlock(&sn->lock);
	snapshot_unref(sn);
}

static void on_message(struct rpc_call *call, struct slice message, void *data)
{
	struct snapshot *sn = data;
	pthread_mutex_lock(&sn->lock);
	bool start = sn->refs == 1 && !sn->ready;
	sn->refs += start;
	pthread_mutex_unlock(&sn->lock);
	if (start)
		worker_post(&sn->server->copy_worker, snapshot_make, sn);
}

static void on_writable(struct rpc_call *call, void *data)
{
	struct snapshot *sn = data;
	pthread_mutex_lock(&sn->lock);
	pump(sn);
	pthread_mutex_unlock(&sn->lock);
}

static void on_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct snapshot *sn = data;
	pthread_mutex_lock(&sn->lock);
	sn->closed = true;
	snapshot_end(sn, 0, NULL);
	pthread_mutex_unlock(&sn->lock);
	snapshot_unref(sn);
}

static const struct rpc_call_ops snapshot_ops = {
    .on_message = on_message,
    .on_writable = on_writable,
    .on_closed = on_closed,
};

void on_snapshot(struct rpc_call *call, struct slice message, void *arg)
{
	if (auth_refuses(arg, call, AUTH_ADMIN))
		return;
	struct snapshot *sn = calloc(1, sizeof(*sn));
	if (!sn)
		abort();
	sn->server = arg;
	sn->call = call;
	sn->fd = -1;
	sn->refs = 1;
	sn->hash = EVP_MD_CTX_new();
	EVP_DigestInit_ex(sn->hash, EVP_sha256(), NULL);
	pthread_mutex_init(&sn->lock, NULL);
	rpc_call_set_ops(call, &snapshot_ops, sn);
}
