/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The client of the store (etcd's v3 gRPC API; facts: Range, Txn, Compact, LeaseGrant, Watch).
 *
 * Any loop may call; each call answers exactly once, on the loop that it was called from, never
 * before it has returned. Results are borrowed until the callback returns. Every call has a
 * deadline; with all endpoints away it fails with -ERR_UNAVAILABLE or -ERR_TIMEOUT, and a later
 * call works again as soon as a member answers. A caller that goes away marks its own state and
 * ignores the answer: calls are not cancelled. */
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct loop;
struct rpc_core;
struct tls_creds_options;
struct store_client;

struct store_client_options {
	struct rpc_core *core;
	const char *endpoints;               /* "https://a:2379,https://b:2379" */
	const struct tls_creds_options *tls; /* NULL: plain http */
	uint32_t timeout_ms;                 /* a call's deadline; 0: 30 s */
};

int store_client_new(const struct store_client_options *o, struct store_client **ret,
                     struct err *err);
/* Calls in flight still answer, while their loops run. */
void store_client_free(struct store_client *s);

struct store_kv {
	struct slice key, value;
	int64_t mod_revision, create_revision, version, lease;
};

struct store_result {
	int code; /* 0 or -ERR_x; the rest is valid when it is 0 */
	struct err err;
	int64_t revision; /* the store's, when it answered */
	bool done;        /* a transaction's comparison held */
	bool more;        /* a range has more keys beyond its limit */
	int64_t count;    /* keys in the range, beyond the limit too */
	const struct store_kv
	    *kvs; /* of a range; of a refused transaction: the key's present state */
	size_t n_kvs;
	int64_t lease; /* granted */
};

typedef void (*store_cb)(void *arg, const struct store_result *r);

/* The key's present state at a linearizable read; n_kvs is 0 or 1. */
void store_get(struct store_client *s, struct loop *loop, struct slice key, store_cb cb, void *arg);

struct store_range {
	struct slice key, end; /* [key, end) */
	int64_t revision;      /* 0: the newest */
	int64_t limit;         /* 0: none */
	bool keys_only, count_only, serializable;
};
/* -ERR_EXPIRED when the revision is compacted, -ERR_TIMEOUT when it lies in the future. */
void store_range(struct store_client *s, struct loop *loop, const struct store_range *r,
                 store_cb cb, void *arg);

/* If the key's mod revision is `expect` (0: it does not exist), put. Else kvs has what is there. */
void store_put(struct store_client *s, struct loop *loop, struct slice key, struct slice value,
               int64_t expect, int64_t lease, store_cb cb, void *arg);
void store_delete(struct store_client *s, struct loop *loop, struct slice key, int64_t expect,
                  store_cb cb, void *arg);
void store_lease_grant(struct store_client *s, struct loop *loop, int64_t ttl_s, store_cb cb,
                       void *arg);
void store_compact(struct store_client *s, struct loop *loop, int64_t revision, store_cb cb,
                   void *arg);
/* For the compactor: if the version of `key` is `version`, put value, else kvs has what is there.
 */
void store_put_version(struct store_client *s, struct loop *loop, struct slice key,
                       struct slice value, int64_t version, store_cb cb, void *arg);

/* A watch of [key, end): a stream that reconnects by itself from the last revision it saw. All
 * callbacks on `loop`. Progress answers are believed at the second one in a row: servers before
 * etcd 3.4.25 and 3.5.8 may send one ahead of the events that it covers. */
struct store_event {
	bool is_delete;
	struct store_kv kv; /* mod_revision is the event's revision; no value on delete */
};

struct store_watch;
struct store_watch_options {
	struct slice key, end;
	int64_t revision; /* the first revision wanted */
	/* Events in revision order; `revision` is the newest of which everything has been seen (at
	 * least the last event's before). No events: progress. */
	void (*events)(void *arg, const struct store_event *ev, size_t n, int64_t revision);
	/* The revision to go on from is compacted: the watch has ended; relist and start anew. */
	void (*compacted)(void *arg, int64_t compact_revision);
	/* The stream broke (err) or is up again (NULL); for logs and health. */
	void (*state)(void *arg, const struct err *err);
	void *arg;
};
struct store_watch *store_watch_new(struct store_client *s, struct loop *loop,
                                    const struct store_watch_options *o);
/* Asks the store for a progress answer. */
void store_watch_progress(struct store_watch *w);
/* No callback follows. On its loop, not from within its callbacks. */
void store_watch_free(struct store_watch *w);
