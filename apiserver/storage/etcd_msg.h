/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The messages of etcd's v3 API that the store client sends and reads (etcdserverpb, mvccpb).
 * Answers are read without copying: what they hand out is borrowed from the bytes. Pure. */
#include "apiserver/storage/store_client.h"
#include "common/base/vec.h"

struct etcd_txn {
	struct slice key;
	bool by_version; /* compare the key's version instead of its mod revision */
	int64_t expect;
	bool is_delete;
	struct slice value;
	int64_t lease;
};

void etcd_range_request(struct buf *b, const struct store_range *r);
void etcd_txn_request(struct buf *b, const struct etcd_txn *t);
void etcd_compact_request(struct buf *b, int64_t revision);
void etcd_lease_grant_request(struct buf *b, int64_t ttl_s);
void etcd_watch_create_request(struct buf *b, struct slice key, struct slice end, int64_t revision);
void etcd_watch_progress_request(struct buf *b);

typedef VEC(struct store_kv) etcd_kvs;

/* Each fills ret and, where there are any, kvs (whose storage ret->kvs then points into); false on
 * malformed bytes. */
bool etcd_range_response(struct slice s, struct store_result *ret, etcd_kvs *kvs);
bool etcd_txn_response(struct slice s, struct store_result *ret, etcd_kvs *kvs);
bool etcd_compact_response(struct slice s, struct store_result *ret);
bool etcd_lease_grant_response(struct slice s, struct store_result *ret);

struct etcd_watch_response {
	int64_t revision, compact_revision;
	bool created, canceled, fragment;
	struct slice cancel_reason;
	VEC(struct store_event) events;
};
bool etcd_watch_response(struct slice s, struct etcd_watch_response *ret);

/* The server's version in a StatusResponse ("3.5.9"); empty when there is none. */
struct slice etcd_status_version(struct slice s);
/* Progress answers of servers before 3.4.25 and of 3.5.0 to 3.5.7 may run ahead of the events that
 * they cover (etcd issue 15220). */
bool etcd_progress_trusted(struct slice version);
