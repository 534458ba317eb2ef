/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"
#include "common/codec/base64.h"
#include "raftstore/auth/records.h"
#include "raftstore/mvcc/txn.h"

static ProtobufCBinaryData bytes_of(const char *s)
{
	return (ProtobufCBinaryData){strlen(s), (uint8_t *)s};
}

static int next_revision(struct kv_txn *kv)
{
	struct auth_state s;
	int r = auth_state_read(kv, &s);
	s.revision++;
	return r ? r : auth_state_write(kv, &s);
}

static int is_enabled(struct kv_txn *kv, bool *ret)
{
	struct auth_state s;
	int r = auth_state_read(kv, &s);
	*ret = s.enabled;
	return r;
}

static int find_user(struct kv_txn *kv, const char *name, struct arena *a, Authpb__User **ret)
{
	int r = auth_user_read(kv, slice_str(name), a, ret);
	return r == -ERR_NOT_FOUND ? OUTCOME_USER_NOT_FOUND : r;
}

static int find_role(struct kv_txn *kv, const char *name, struct arena *a, Authpb__Role **ret)
{
	int r = auth_role_read(kv, slice_str(name), a, ret);
	return r == -ERR_NOT_FOUND ? OUTCOME_ROLE_NOT_FOUND : r;
}

/* 0, or the place where the user has the role, from 1. */
static size_t role_place(const Authpb__User *u, const char *role)
{
	for (size_t i = 0; i < u->n_roles; i++) {
		if (!strcmp(u->roles[i], role))
			return i + 1;
	}
	return 0;
}

int auth_enable(struct kv_txn *kv)
{
	_cleanup_arena_ struct arena a;
	struct auth_state s;
	Authpb__User *root;
	arena_init(&a);
	int r = auth_state_read(kv, &s);
	if (r || s.enabled)
		return r;
	r = auth_user_read(kv, SLICE_LIT(AUTH_ROOT), &a, &root);
	if (r)
		return r == -ERR_NOT_FOUND ? OUTCOME_ROOT_USER_NOT_EXIST : r;
	if (!role_place(root, AUTH_ROOT))
		return OUTCOME_ROOT_ROLE_NOT_EXIST;
	s.enabled = true;
	return auth_state_write(kv, &s);
}

int auth_disable(struct kv_txn *kv)
{
	struct auth_state s;
	int r = auth_state_read(kv, &s);
	if (r || !s.enabled)
		return r;
	s.enabled = false;
	s.revision++;
	return auth_state_write(kv, &s);
}

/* --- users --- */

static int set_password(Authpb__User *u, const char *hashed, struct arena *a)
{
	struct slice raw = SLICE_EMPTY;
	u->password = (ProtobufCBinaryData){0};
	if (u->options && u->options->no_password)
		return 0;
	if (base64_decode(slice_str(hashed), a, &raw, NULL))
		return OUTCOME_NO_PASSWORD_USER;
	u->password = (ProtobufCBinaryData){raw.len, (uint8_t *)raw.data};
	return 0;
}

int auth_user_add(struct kv_txn *kv, const Etcdserverpb__AuthUserAddRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__User *there, u = AUTHPB__USER__INIT;
	Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
	arena_init(&a);
	if (!*q->name)
		return OUTCOME_USER_EMPTY;
	int r = auth_user_read(kv, slice_str(q->name), &a, &there);
	if (r != -ERR_NOT_FOUND)
		return r ? r : OUTCOME_USER_ALREADY_EXISTS;
	u.name = bytes_of(q->name);
	options.no_password = q->options && q->options->no_password;
	u.options = &options;
	r = set_password(&u, q->hashedpassword, &a);
	if (!r)
		r = auth_user_write(kv, &u);
	return r ? r : next_revision(kv);
}

int auth_user_delete(struct kv_txn *kv, const Etcdserverpb__AuthUserDeleteRequest *q)
{
	bool enabled;
	int r = is_enabled(kv, &enabled);
	if (r)
		return r;
	if (enabled && !strcmp(q->name, AUTH_ROOT))
		return OUTCOME_INVALID_AUTH_MGMT;
	r = auth_user_erase(kv, slice_str(q->name));
	if (r)
		return r == -ERR_NOT_FOUND ? OUTCOME_USER_NOT_FOUND : r;
	return next_revision(kv);
}

int auth_user_change_password(struct kv_txn *kv,
                              const Etcdserverpb__AuthUserChangePasswordRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__User *u;
	arena_init(&a);
	int r = find_user(kv, q->name, &a, &u);
	if (!r)
		r = set_password(u, q->hashedpassword, &a);
	if (!r)
		r = auth_user_write(kv, u);
	return r ? r : next_revision(kv);
}

int auth_user_grant_role(struct kv_txn *kv, const Etcdserverpb__AuthUserGrantRoleRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__User *u;
	Authpb__Role *role;
	arena_init(&a);
	int r = find_user(kv, q->user, &a, &u);
	if (!r && strcmp(q->role, AUTH_ROOT))
		r = find_role(kv, q->role, &a, &role);
	if (r || role_place(u, q->role))
		return r;
	char **roles = arena_array(&a, char *, u->n_roles + 1);
	size_t at = 0;
	while (at < u->n_roles && strcmp(u->roles[at], q->role) < 0)
		at++;
	for (size_t i = 0; i <= u->n_roles; i++)
		roles[i] = i < at ? u->roles[i] : i > at ? u->roles[i - 1] : q->role;
	u->roles = roles;
	u->n_roles++;
	r = auth_user_write(kv, u);
	return r ? r : next_revision(kv);
}

static void role_take(Authpb__User *u, size_t place)
{
	u->n_roles--;
	for (size_t i = place - 1; i < u->n_roles; i++)
		u->roles[i] = u->roles[i + 1];
}

int auth_user_revoke_role(struct kv_txn *kv, const Etcdserverpb__AuthUserRevokeRoleRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__User *u;
	bool enabled;
	arena_init(&a);
	int r = is_enabled(kv, &enabled);
	if (!r && enabled && !strcmp(q->name, AUTH_ROOT) && !strcmp(q->role, AUTH_ROOT))
		return OUTCOME_INVALID_AUTH_MGMT;
	if (!r)
		r = find_user(kv, q->name, &a, &u);
	if (r)
		return r;
	size_t place = role_place(u, q->role);
	if (!place)
		return OUTCOME_ROLE_NOT_GRANTED;
	role_take(u, place);
	r = auth_user_write(kv, u);
	return r ? r : next_revision(kv);
}

/* --- roles --- */

int auth_role_add(struct kv_txn *kv, const Etcdserverpb__AuthRoleAddRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__Role *there, role = AUTHPB__ROLE__INIT;
	arena_init(&a);
	if (!*q->name)
		return OUTCOME_ROLE_EMPTY;
	int r = auth_role_read(kv, slice_str(q->name), &a, &there);
	if (r != -ERR_NOT_FOUND)
		return r ? r : OUTCOME_ROLE_ALREADY_EXISTS;
	role.name = bytes_of(q->name);
	r = auth_role_write(kv, &role);
	return r ? r : next_revision(kv);
}

struct holders {
	const char *role;
	VEC(Authpb__User *) list;
};

static int holder_find(void *arg, Authpb__User *u)
{
	struct holders *h = arg;
	if (role_place(u, h->role))
		*vec_push(&h->list) = u;
	return 0;
}

/* Takes the role from everyone who has it. */
int auth_role_delete(struct kv_txn *kv, const Etcdserverpb__AuthRoleDeleteRequest *q)
{
	bool enabled;
	int r = is_enabled(kv, &enabled);
	if (r)
		return r;
	if (enabled && !strcmp(q->role, AUTH_ROOT))
		return OUTCOME_INVALID_AUTH_MGMT;
	r = auth_role_erase(kv, slice_str(q->role));
	if (r)
		return r == -ERR_NOT_FOUND ? OUTCOME_ROLE_NOT_FOUND : r;
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	struct holders holders = {.role = q->role};
	r = auth_user_each(kv, &a, holder_find, &holders);
	VEC_FOREACH (&holders.list, u) {
		role_take(*u, role_place(*u, q->role));
		if (!r)
			r = auth_user_write(kv, *u);
	}
	vec_deinit(&holders.list);
	return r ? r : next_revision(kv);
}

static bool is_valid_range(struct slice key, struct slice end)
{
	if (!key.len)
		return false;
	return !end.len || (end.len == 1 && !end.data[0]) || slice_cmp(key, end) < 0;
}

static int order_of(const Authpb__Permission *p, struct slice key, struct slice end)
{
	int r = slice_cmp(pb_slice(p->key), key);
	return r ? r : slice_cmp(pb_slice(p->range_end), end);
}

/* Permissions stand in order of their keys. The first that is not before (key, end). */
static size_t permission_place(const Authpb__Role *role, struct slice key, struct slice end,
                               bool *ret_there)
{
	size_t i = 0;
	while (i < role->n_keypermission && order_of(role->keypermission[i], key, end) < 0)
		i++;
	*ret_there = i < role->n_keypermission && !order_of(role->keypermission[i], key, end);
	return i;
}

int auth_role_grant(struct kv_txn *kv, const Etcdserverpb__AuthRoleGrantPermissionRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__Role *role;
	bool there;
	arena_init(&a);
	if (!q->perm)
		return OUTCOME_PERMISSION_NOT_GIVEN;
	struct slice key = pb_slice(q->perm->key), end = pb_slice(q->perm->range_end);
	if (!is_valid_range(key, end))
		return OUTCOME_INVALID_AUTH_MGMT;
	int r = find_role(kv, q->name, &a, &role);
	if (r)
		return r;
	size_t at = permission_place(role, key, end, &there);
	if (there) {
		role->keypermission[at] = q->perm;
	} else {
		size_t n = role->n_keypermission++;
		Authpb__Permission **list = arena_array(&a, Authpb__Permission *, n + 1);
		for (size_t i = 0; i <= n; i++)
			list[i] = i < at   ? role->keypermission[i]
			          : i > at ? role->keypermission[i - 1]
			                   : q->perm;
		role->keypermission = list;
	}
	r = auth_role_write(kv, role);
	return r ? r : next_revision(kv);
}

int auth_role_revoke(struct kv_txn *kv, const Etcdserverpb__AuthRoleRevokePermissionRequest *q)
{
	_cleanup_arena_ struct arena a;
	Authpb__Role *role;
	bool there;
	arena_init(&a);
	int r = find_role(kv, q->role, &a, &role);
	if (r)
		return r;
	size_t at = permission_place(role, pb_slice(q->key), pb_slice(q->range_end), &there);
	if (!there)
		return OUTCOME_PERMISSION_NOT_GRANTED;
	role->n_keypermission--;
	for (size_t i = at; i < role->n_keypermission; i++)
		role->keypermission[i] = role->keypermission[i + 1];
	r = auth_role_write(kv, role);
	return r ? r : next_revision(kv);
}
