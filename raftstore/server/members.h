/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who belongs to the cluster, as the state machine has it: names and URLs by member id, and the ids
 * that must not come back, in KV_META:
 *
 *   "members", id(8)  -> etcdserverpb.Member
 *   "removed", id(8)  -> nothing
 *   "conf"            -> the applied raft_conf
 *
 * They change with entries of the log alone. The first entry of a new cluster is a configuration
 * whose context names its members; a membership change is one whose context says what changes. */
#include "common/base/arena.h"
#include "common/base/vec.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/kv.h"
#include "raftstore/raft/conf.h"

typedef Etcdserverpb__Member member;

struct members {
	struct arena arena;               /* of all that is in them */
	VEC(Etcdserverpb__Member *) list; /* in order of id */
	VEC(uint64_t) removed;
};

void members_init(struct members *m);
void members_deinit(struct members *m);
#define _cleanup_members_ _cleanup_(members_deinit)
/* NULL: there is no such member. */
Etcdserverpb__Member *members_find(const struct members *m, uint64_t id);
bool members_is_removed(const struct members *m, uint64_t id);
/* Adds a copy, or replaces the member of that id. */
void members_put(struct members *m, const Etcdserverpb__Member *from);
Etcdserverpb__Member *member_copy(const Etcdserverpb__Member *from, struct arena *a);
unsigned members_voters(const struct members *m);
/* Is one of these URLs another member's? */
bool members_have_url(const struct members *m, char *const *urls, size_t n, uint64_t except);

/* Out of the tables; m is initialised. */
_must_use_ int members_read(struct kv_txn *kv, struct members *m);
_must_use_ int member_read(struct kv_txn *kv, uint64_t id, struct arena *a,
                           Etcdserverpb__Member **ret);
_must_use_ int member_write(struct kv_txn *kv, const Etcdserverpb__Member *m);
/* The configuration that is applied; an empty one when there is none. */
_must_use_ int conf_read(struct kv_txn *kv, struct raft_conf *ret);

/* --- changes: the context of a configuration --- */

enum member_op {
	MEMBER_ADD = 1, /* also: all of a new cluster */
	MEMBER_REMOVE,  /* the id alone counts */
	MEMBER_PROMOTE, /* the id alone counts */
};

struct member_change {
	enum member_op op;
	const Etcdserverpb__Member *member;
};

void member_change_encode(struct buf *b, const struct member_change *c);
/* The next one of a context, which it is taken off of. False: the end, or malformed. */
bool member_change_next(struct slice *context, struct arena *a, struct member_change *ret);
/* Writes configuration and members of an entry into the tables. */
_must_use_ int members_apply(struct kv_txn *kv, struct slice entry);

/* --- ids, as etcd derives them --- */

/* Of a member of a new cluster: from its peer URLs (sorted here) and the token; of one that is
 * added later also from the moment (seconds since 1970; 0: none). Never 0. */
uint64_t member_id_of(char **urls, size_t n, const char *token, int64_t now_s);
/* From the members' ids. */
uint64_t cluster_id_of(const struct members *m);
/* Is it http(s)://host:port without a path? */
bool peer_url_valid(const char *url);

/* Field `field` of a response. */
void out_member(struct buf *b, unsigned field, const Etcdserverpb__Member *m);
void out_members(struct buf *b, unsigned field, const struct members *m);
