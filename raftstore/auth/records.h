/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How users and roles stand in KV_META. */
#include "proto/etcd_auth.pb-c.h"
#include "raftstore/auth/auth.h"

struct auth_state {
	bool enabled;
	uint64_t revision; /* 1 where nothing was ever changed */
};

int auth_state_read(struct kv_txn *kv, struct auth_state *ret);
int auth_state_write(struct kv_txn *kv, const struct auth_state *s);

/* Decoded into the arena; -ERR_NOT_FOUND. */
int auth_user_read(struct kv_txn *kv, struct slice name, struct arena *a, Authpb__User **ret);
int auth_role_read(struct kv_txn *kv, struct slice name, struct arena *a, Authpb__Role **ret);
int auth_user_write(struct kv_txn *kv, const Authpb__User *u);
int auth_role_write(struct kv_txn *kv, const Authpb__Role *r);
int auth_user_erase(struct kv_txn *kv, struct slice name);
int auth_role_erase(struct kv_txn *kv, struct slice name);

/* In order of names; ends with what `each` returns when that is not 0. */
int auth_user_each(struct kv_txn *kv, struct arena *a, int (*each)(void *arg, Authpb__User *u),
                   void *arg);
int auth_role_each(struct kv_txn *kv, struct arena *a, int (*each)(void *arg, Authpb__Role *r),
                   void *arg);
