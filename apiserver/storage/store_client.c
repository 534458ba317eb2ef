/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/store_client.h"

#include "apiserver/storage/etcd_msg.h"
#include "apiserver/storage/store_client_impl.h"

enum { DEFAULT_TIMEOUT_MS = 30000, RETRY_MS = 100 };

int store_client_new(const struct store_client_options *o, struct store_client **ret,
                     struct err *err)
{
	struct store_client *s = calloc(1, sizeof(*s));
	struct rpc_channel_options co = {.tls = o->tls, .max_recv_bytes = UINT32_MAX >> 1};
	int r;

	if (!s)
		abort();
	s->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	r = rpc_channel_new(o->core, o->endpoints, &co, &s->channel, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_client_free(struct store_client *s)
{
	if (!s)
		return;
	rpc_channel_unref(s->channel);
	free(s);
}

enum call_kind { CALL_RANGE, CALL_TXN, CALL_COMPACT, CALL_LEASE };

static const char *const METHODS[] = {
    [CALL_RANGE] = "/etcdserverpb.KV/Range",
    [CALL_TXN] = "/etcdserverpb.KV/Txn",
    [CALL_COMPACT] = "/etcdserverpb.KV/Compact",
    [CALL_LEASE] = "/etcdserverpb.Lease/LeaseGrant",
};

struct call {
	struct store_client *store;
	struct loop *loop;
	enum call_kind kind;
	struct buf request;
	uint64_t deadline_ms;
	struct loop_timer retry;
	store_cb cb;
	void *arg;
};

static void call_start(struct call *c);

static void call_end(struct call *c, const struct store_result *r)
{
	c->cb(c->arg, r);
	buf_deinit(&c->request);
	free(c);
}

/* The store's words tell apart what one gRPC code lumps together. */
static void result_fail(struct store_result *ret, const struct rpc_result *r)
{
	/* The code is in ret->err. The words of the store itself reach users as they are. */
	if (strncmp(r->text, "etcdserver: ", 12) == 0)
		ERR_IGNORE(err_set(&ret->err, rpc_code_to_err(r->code), "%s", r->text));
	else
		ERR_IGNORE(rpc_result_err(r, &ret->err));
	if (r->code == RPC_OUT_OF_RANGE && strstr(r->text, "compacted"))
		ret->err.code = ERR_EXPIRED;
	else if (r->code == RPC_OUT_OF_RANGE && strstr(r->text, "future"))
		ret->err.code = ERR_TIMEOUT;
	else if (r->code == RPC_UNAVAILABLE || r->code == RPC_CANCELLED)
		ret->err.code = ERR_UNAVAILABLE;
	else if (r->code == RPC_RESOURCE_EXHAUSTED && strstr(r->text, "space"))
		ret->err.code = ERR_NO_SPACE;
	else if (r->code == RPC_INVALID_ARGUMENT && strstr(r->text, "too large"))
		ret->err.code = ERR_TOO_LARGE;
	ret->code = -(int)ret->err.code;
}

static bool result_read(const struct call *c, struct slice message, struct store_result *ret,
                        etcd_kvs *kvs)
{
	switch (c->kind) {
	case CALL_RANGE:
		return etcd_range_response(message, ret, kvs);
	case CALL_TXN:
		return etcd_txn_response(message, ret, kvs);
	case CALL_COMPACT:
		return etcd_compact_response(message, ret);
	case CALL_LEASE:
		return etcd_lease_grant_response(message, ret);
	}
	return false;
}

/* A read that met a broken connection may be asked again; a transaction may have been done. */
static bool may_retry(const struct call *c, const struct rpc_result *r)
{
	return c->kind == CALL_RANGE && r->code == RPC_UNAVAILABLE &&
	       loop_now_ms(c->loop) + RETRY_MS < c->deadline_ms;
}

static void retry_due(void *arg)
{
	call_start(arg);
}

static void call_done(const struct rpc_result *r, void *arg)
{
	struct call *c = arg;
	struct store_result ret = {0};
	etcd_kvs kvs = {0};

	if (r->code != RPC_OK && may_retry(c, r)) {
		loop_timer_init(&c->retry, c->loop, retry_due, c);
		loop_timer_start(&c->retry, RETRY_MS);
		return;
	}
	if (r->code != RPC_OK)
		result_fail(&ret, r);
	else if (!result_read(c, r->message, &ret, &kvs))
		ret.code = err_set(&ret.err, ERR_CORRUPT, "malformed answer of the store");
	call_end(c, &ret);
	vec_deinit(&kvs);
}

static void call_start(struct call *c)
{
	uint64_t now = loop_now_ms(c->loop);
	uint64_t left = c->deadline_ms > now ? c->deadline_ms - now : 1;

	rpc_unary_start(c->store->channel, &(struct rpc_unary_args){
	                                       .method = METHODS[c->kind],
	                                       .message = buf_view(&c->request),
	                                       .timeout_ms = (uint32_t)left,
	                                       .wait_for_ready = true,
	                                       .loop = c->loop,
	                                       .done = call_done,
	                                       .arg = c,
	                                   });
}

static struct call *call_new(struct store_client *s, struct loop *loop, enum call_kind kind,
                             store_cb cb, void *arg)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->store = s;
	c->loop = loop;
	c->kind = kind;
	c->cb = cb;
	c->arg = arg;
	c->deadline_ms = loop_now_ms(loop) + s->timeout_ms;
	return c;
}

void store_range(struct store_client *s, struct loop *loop, const struct store_range *r,
                 store_cb cb, void *arg)
{
	struct call *c = call_new(s, loop, CALL_RANGE, cb, arg);

	etcd_range_request(&c->request, r);
	call_start(c);
}

void store_get(struct store_client *s, struct loop *loop, struct slice key, store_cb cb, void *arg)
{
	store_range(s, loop, &(struct store_range){.key = key}, cb, arg);
}

static void txn(struct store_client *s, struct loop *loop, const struct etcd_txn *t, store_cb cb,
                void *arg)
{
	struct call *c = call_new(s, loop, CALL_TXN, cb, arg);

	etcd_txn_request(&c->request, t);
	call_start(c);
}

void store_put(struct store_client *s, struct loop *loop, struct slice key, struct slice value,
               int64_t expect, int64_t lease, store_cb cb, void *arg)
{
	txn(s, loop,
	    &(struct etcd_txn){.key = key, .expect = expect, .value = value, .lease = lease}, cb,
	    arg);
}

void store_put_version(struct store_client *s, struct loop *loop, struct slice key,
                       struct slice value, int64_t version, store_cb cb, void *arg)
{
	txn(s, loop,
	    &(struct etcd_txn){.key = key, .by_version = true, .expect = version, .value = value},
	    cb, arg);
}

void store_delete(struct store_client *s, struct loop *loop, struct slice key, int64_t expect,
                  store_cb cb, void *arg)
{
	txn(s, loop, &(struct etcd_txn){.key = key, .expect = expect, .is_delete = true}, cb, arg);
}

void store_lease_grant(struct store_client *s, struct loop *loop, int64_t ttl_s, store_cb cb,
                       void *arg)
{
	struct call *c = call_new(s, loop, CALL_LEASE, cb, arg);

	etcd_lease_grant_request(&c->request, ttl_s);
	call_start(c);
}

void store_compact(struct store_client *s, struct loop *loop, int64_t revision, store_cb cb,
                   void *arg)
{
	struct call *c = call_new(s, loop, CALL_COMPACT, cb, arg);

	etcd_compact_request(&c->request, revision);
	call_start(c);
}
