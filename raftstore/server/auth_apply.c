/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/raftstore.pb-c.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/auth.h"

static void notes_clear(struct applier *ap)
{
	VEC_FOREACH (&ap->tokens, n)
		blob_unref(n->user);
	vec_clear(&ap->tokens);
}

static int view_load(struct applier *ap)
{
	struct auth_view *v;
	int r = auth_load(ap->mvcc.kv, &v);
	if (r)
		return r;
	auth_view_unref(ap->auth);
	ap->auth = v;
	return 0;
}

/* What a transaction that was abandoned had made of it does not count. */
int auth_applier_open(struct applier *ap)
{
	bool current = false;
	notes_clear(ap);
	int r = ap->auth ? auth_view_is_current(ap->auth, ap->mvcc.kv, &current) : 0;
	return r || current ? r : view_load(ap);
}

void auth_applier_deinit(struct applier *ap)
{
	notes_clear(ap);
	vec_deinit(&ap->tokens);
	auth_view_unref(ap->auth);
}

int auth_check_command(struct applier *ap, enum command_kind kind, const struct identity *who,
                       const ProtobufCMessage *m)
{
	const struct auth_view *v = ap->auth;
	if (!auth_enabled(v) || who->system)
		return 0;
	switch (kind) {
	case COMMAND_PUT:
		return auth_check_put(v, who, ap->mvcc.kv, (const void *)m);
	case COMMAND_DELETE:
		return auth_check_delete(v, who, (const void *)m);
	case COMMAND_TXN:
		return auth_check_txn(v, who, ap->mvcc.kv, (const void *)m);
	case COMMAND_LEASE_GRANT:
		return auth_check_known(v, who);
	case COMMAND_LEASE_REVOKE: {
		int r = auth_check_known(v, who);
		const Etcdserverpb__LeaseRevokeRequest *q = (const void *)m;
		return r ? r : auth_check_lease(v, who, ap->mvcc.kv, AUTH_WRITE, q->id);
	}
	default:
		return auth_check_admin(v, who);
	}
}

static int apply_authenticated(struct applier *ap, const Raftstorepb__Authenticated *q)
{
	if (!auth_enabled(ap->auth))
		return OUTCOME_AUTH_NOT_ENABLED;
	const struct auth_user *u = auth_find_user(ap->auth, slice_str(q->user));
	if (!u || u->no_password || u->stamp != q->stamp || q->token_hash.len != TOKEN_HASH_BYTES)
		return OUTCOME_AUTH_FAILED;
	struct token_note *n = vec_push(&ap->tokens);
	*n = (struct token_note){.user = blob_dup(u->name), .stamp = u->stamp};
	memcpy(n->hash, q->token_hash.data, sizeof(n->hash));
	return 0;
}

static int change(struct kv_txn *kv, enum command_kind kind, const ProtobufCMessage *m)
{
	switch (kind) {
	case COMMAND_AUTH_ENABLE:
		return auth_enable(kv);
	case COMMAND_AUTH_DISABLE:
		return auth_disable(kv);
	case COMMAND_USER_ADD:
		return auth_user_add(kv, (const void *)m);
	case COMMAND_USER_DELETE:
		return auth_user_delete(kv, (const void *)m);
	case COMMAND_USER_CHANGE_PASSWORD:
		return auth_user_change_password(kv, (const void *)m);
	case COMMAND_USER_GRANT_ROLE:
		return auth_user_grant_role(kv, (const void *)m);
	case COMMAND_USER_REVOKE_ROLE:
		return auth_user_revoke_role(kv, (const void *)m);
	case COMMAND_ROLE_ADD:
		return auth_role_add(kv, (const void *)m);
	case COMMAND_ROLE_DELETE:
		return auth_role_delete(kv, (const void *)m);
	case COMMAND_ROLE_GRANT_PERMISSION:
		return auth_role_grant(kv, (const void *)m);
	case COMMAND_ROLE_REVOKE_PERMISSION:
		return auth_role_revoke(kv, (const void *)m);
	default:
		return -ERR_CORRUPT;
	}
}

int auth_apply(struct applier *ap, enum command_kind kind, const ProtobufCMessage *m)
{
	if (kind == COMMAND_AUTHENTICATED)
		return apply_authenticated(ap, (const void *)m);
	int r = change(ap->mvcc.kv, kind, m);
	return r ? r : view_load(ap);
}
