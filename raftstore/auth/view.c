/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include "common/base/map.h"
#include "common/base/vec.h"
#include "raftstore/auth/records.h"
#include "raftstore/mvcc/txn.h"

struct auth_view {
	atomic_uint refs;
	struct auth_state state;
	struct arena arena;
	VEC(struct auth_user) users;
	VEC(const Authpb__Role *) roles;
};

struct auth_view *auth_view_ref(struct auth_view *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

void auth_view_unref(struct auth_view *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) > 1)
		return;
	vec_deinit(&v->users);
	vec_deinit(&v->roles);
	arena_deinit(&v->arena);
	free(v);
}

bool auth_enabled(const struct auth_view *v)
{
	return v->state.enabled;
}

uint64_t auth_revision(const struct auth_view *v)
{
	return v->state.revision;
}

size_t auth_users(const struct auth_view *v, const struct auth_user **ret)
{
	*ret = v->users.at;
	return v->users.n;
}

size_t auth_roles(const struct auth_view *v, const Authpb__Role *const **ret)
{
	*ret = v->roles.at;
	return v->roles.n;
}

const struct auth_user *auth_find_user(const struct auth_view *v, struct slice name)
{
	size_t from = 0, to = v->users.n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int r = slice_cmp(v->users.at[mid].name, name);
		if (!r)
			return &v->users.at[mid];
		if (r < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

const Authpb__Role *auth_find_role(const struct auth_view *v, struct slice name)
{
	size_t from = 0, to = v->roles.n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int r = slice_cmp(pb_slice(v->roles.at[mid]->name), name);
		if (!r)
			return v->roles.at[mid];
		if (r < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return NULL;
}

bool auth_has_role(const struct auth_user *u, const char *role)
{
	for (size_t i = 0; i < u->stored->n_roles; i++) {
		if (!strcmp(u->stored->roles[i], role))
			return true;
	}
	return false;
}

/* --- loading --- */

static int load_role(void *arg, Authpb__Role *role)
{
	struct auth_view *v = arg;
	*vec_push(&v->roles) = role;
	return 0;
}

static int load_user(void *arg, Authpb__User *user)
{
	struct auth_view *v = arg;
	struct auth_user *u = vec_push(&v->users);
	*u = (struct auth_user){
	    .stored = user,
	    .name = pb_slice(user->name),
	    .stamp = hash_bytes(user->password.data, user->password.len, 0),
	    .no_password = user->options && user->options->no_password,
	};
	u->root = auth_has_role(u, AUTH_ROOT);
	return 0;
}

static void user_merge(struct auth_view *v, struct auth_user *u, enum auth_right right,
                       struct perms *ret)
{
	VEC(struct key_range) all = {0};
	Authpb__Permission__Type other =
	    right == AUTH_READ ? AUTHPB__PERMISSION__TYPE__WRITE : AUTHPB__PERMISSION__TYPE__READ;
	for (size_t i = 0; i < u->stored->n_roles; i++) {
		const Authpb__Role *role = auth_find_role(v, slice_str(u->stored->roles[i]));
		for (size_t j = 0; role && j < role->n_keypermission; j++) {
			const Authpb__Permission *p = role->keypermission[j];
			if (p->permtype != other)
				*vec_push(&all) =
				    key_range_of(pb_slice(p->key), pb_slice(p->range_end));
		}
	}
	perms_merge(all.at, all.n, &v->arena, ret);
	vec_deinit(&all);
}

int auth_load(struct kv_txn *kv, struct auth_view **ret)
{
	struct auth_view *v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->refs = 1;
	arena_init(&v->arena);
	int r = auth_state_read(kv, &v->state);
	if (!r)
		r = auth_role_each(kv, &v->arena, load_role, v);
	if (!r)
		r = auth_user_each(kv, &v->arena, load_user, v);
	if (r) {
		auth_view_unref(v);
		return r;
	}
	VEC_FOREACH (&v->users, u) {
		user_merge(v, u, AUTH_READ, &u->read);
		user_merge(v, u, AUTH_WRITE, &u->write);
	}
	*ret = v;
	return 0;
}

int auth_view_is_current(const struct auth_view *v, struct kv_txn *kv, bool *ret)
{
	struct auth_state now;
	int r = auth_state_read(kv, &now);
	if (!r)
		*ret = now.enabled == v->state.enabled && now.revision == v->state.revision;
	return r;
}
