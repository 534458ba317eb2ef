/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who may do what: users, roles and permissions as etcd keeps them, and the decisions over them.
 *
 * The state is in KV_META: "auth" -> enabled(8) revision(8), "auth user NAME" -> authpb.User, "auth
 * role NAME" -> authpb.Role. Every change but a repeated grant makes the next auth revision. A
 * struct auth_view is that state at one time, decoded, its permissions merged: immutable, shared
 * by reference, good for any thread.
 *
 * Functions return 0, an enum outcome, or -ERR_x of the tables. */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/auth/perms.h"

#define AUTH_ROOT "root" /* the user that must be, and the role that may do anything */

/* Who asks. Revision 0: nobody. The system itself may do anything. */
struct identity {
	struct slice user;
	uint64_t revision; /* of the auth state that the user was known at */
	bool system;
};

struct auth_user {
	const Authpb__User *stored;
	struct slice name;
	uint64_t stamp; /* of the password: another one after each change of it */
	bool root, no_password;
	struct perms read, write;
};

struct auth_view;

_must_use_ int auth_load(struct kv_txn *kv, struct auth_view **ret);
struct auth_view *auth_view_ref(struct auth_view *v);
void auth_view_unref(struct auth_view *v); /* accepts NULL */
DEFINE_CLEANUP(struct auth_view, auth_view_unref)
/* Is this what the tables hold? 0 or -ERR_x; *ret. */
_must_use_ int auth_view_is_current(const struct auth_view *v, struct kv_txn *kv, bool *ret);

bool auth_enabled(const struct auth_view *v);
uint64_t auth_revision(const struct auth_view *v);
/* NULL: there is none. Lists are in order of names. */
const struct auth_user *auth_find_user(const struct auth_view *v, struct slice name);
const Authpb__Role *auth_find_role(const struct auth_view *v, struct slice name);
size_t auth_users(const struct auth_view *v, const struct auth_user **ret);
size_t auth_roles(const struct auth_view *v, const Authpb__Role *const **ret);
bool auth_has_role(const struct auth_user *u, const char *role);

/* Each returns 0, USER_EMPTY, AUTH_OLD_REVISION, PERMISSION_DENIED; 0 when auth is off. */
enum auth_right { AUTH_READ, AUTH_WRITE };
int auth_check_keys(const struct auth_view *v, const struct identity *who, enum auth_right right,
                    struct slice key, struct slice range_end);
/* Has the user the root role? */
int auth_check_admin(const struct auth_view *v, const struct identity *who);
/* Is it anyone that is known? */
int auth_check_known(const struct auth_view *v, const struct identity *who);
int auth_check_range(const struct auth_view *v, const struct identity *who,
                     const Etcdserverpb__RangeRequest *q);
/* What a put attaches to a lease may be deleted with it: all keys of the lease must be writable. */
int auth_check_put(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                   const Etcdserverpb__PutRequest *q);
int auth_check_delete(const struct auth_view *v, const struct identity *who,
                      const Etcdserverpb__DeleteRangeRequest *q);
int auth_check_txn(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                   const Etcdserverpb__TxnRequest *q);
/* All keys that hang on the lease. */
int auth_check_lease(const struct auth_view *v, const struct identity *who, struct kv_txn *kv,
                     enum auth_right right, int64_t lease);

/* --- changes; the caller has checked that the user may --- */

int auth_enable(struct kv_txn *kv);
int auth_disable(struct kv_txn *kv);
/* hashedPassword (base64) is what is stored; `password` is not looked at. */
int auth_user_add(struct kv_txn *kv, const Etcdserverpb__AuthUserAddRequest *q);
int auth_user_delete(struct kv_txn *kv, const Etcdserverpb__AuthUserDeleteRequest *q);
int auth_user_change_password(struct kv_txn *kv,
                              const Etcdserverpb__AuthUserChangePasswordRequest *q);
int auth_user_grant_role(struct kv_txn *kv, const Etcdserverpb__AuthUserGrantRoleRequest *q);
int auth_user_revoke_role(struct kv_txn *kv, const Etcdserverpb__AuthUserRevokeRoleRequest *q);
int auth_role_add(struct kv_txn *kv, const Etcdserverpb__AuthRoleAddRequest *q);
int auth_role_delete(struct kv_txn *kv, const Etcdserverpb__AuthRoleDeleteRequest *q);
int auth_role_grant(struct kv_txn *kv, const Etcdserverpb__AuthRoleGrantPermissionRequest *q);
int auth_role_revoke(struct kv_txn *kv, const Etcdserverpb__AuthRoleRevokePermissionRequest *q);
