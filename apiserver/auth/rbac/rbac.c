/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/rbac/rbac.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/vec.h"

struct role {
	struct arena arena;
	struct rbac_rules rules;
};

struct binding {
	struct arena arena;
	const char *ns, *name;
	bool ref_is_cluster_role;
	const char *ref_name;
	const char **subject_keys;
	size_t n_subjects;
};

struct binding_list {
	VEC(struct binding *) at;
};

struct rbac {
	struct map roles;    /* ns NUL name -> role */
	struct map bindings; /* ns NUL name -> binding */
	struct map subjects; /* ns NUL kind-and-name -> binding_list */
};

/* Keys of two parts. A part longer than the buffer's half names nothing that exists. */
struct key {
	char text[1100];
	size_t len;
};

static struct slice key_of(struct key *k, const char *a, const char *b)
{
	size_t na = strnlen(a, 520), nb = strnlen(b, 520);
	memcpy(k->text, a, na);
	k->text[na] = 0;
	memcpy(k->text + na + 1, b, nb);
	k->len = na + 1 + nb;
	return slice_of(k->text, k->len);
}

struct rbac *rbac_new(void)
{
	struct rbac *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	return r;
}

static void role_free(struct role *role)
{
	if (!role)
		return;
	arena_deinit(&role->arena);
	free(role);
}

static void binding_free(struct binding *b)
{
	arena_deinit(&b->arena);
	free(b);
}

void rbac_free(struct rbac *r)
{
	if (!r)
		return;
	MAP_FOREACH (&r->roles, it)
		role_free(it->value);
	MAP_FOREACH (&r->bindings, it)
		binding_free(it->value);
	MAP_FOREACH (&r->subjects, it) {
		struct binding_list *l = it->value;
		vec_deinit(&l->at);
		free(l);
	}
	map_deinit(&r->roles);
	map_deinit(&r->bindings);
	map_deinit(&r->subjects);
	free(r);
}

static char **copy_list(struct arena *a, char *const *list, size_t n)
{
	char **out = arena_array(a, char *, n);
	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, list[i]);
	return out;
}

static const RbacV1__PolicyRule *copy_rule(struct arena *a, const RbacV1__PolicyRule *from)
{
	RbacV1__PolicyRule *to = arena_memdup(a, from, sizeof(*from));
	to->verbs = copy_list(a, from->verbs, from->n_verbs);
	to->api_groups = copy_list(a, from->api_groups, from->n_api_groups);
	to->resources = copy_list(a, from->resources, from->n_resources);
	to->resource_names = copy_list(a, from->resource_names, from->n_resource_names);
	to->non_resource_urls = copy_list(a, from->non_resource_urls, from->n_non_resource_urls);
	return to;
}

void rbac_set_role(struct rbac *r, const char *ns, const char *name,
                   RbacV1__PolicyRule *const *rules, size_t n_rules)
{
	struct role *role = calloc(1, sizeof(*role));
	if (!role)
		abort();
	arena_init(&role->arena);
	role->rules.at = arena_array(&role->arena, const RbacV1__PolicyRule *, n_rules);
	for (size_t i = 0; i < n_rules; i++)
		role->rules.at[role->rules.n++] = copy_rule(&role->arena, rules[i]);
	struct key k;
	role_free(map_put(&r->roles, key_of(&k, ns, name), role));
}

void rbac_remove_role(struct rbac *r, const char *ns, const char *name)
{
	struct key k;
	role_free(map_del(&r->roles, key_of(&k, ns, name)));
}

/* A service account is the user of that name. */
static const char *subject_key(struct arena *a, const RbacV1__Subject *s, const char *binding_ns)
{
	if (!strcmp(s->kind, "Group"))
		return arena_printf(a, "G%s", s->name);
	if (strcmp(s->kind, "ServiceAccount"))
		return arena_printf(a, "U%s", s->name);
	return arena_printf(a, "Usystem:serviceaccount:%s:%s",
	                    s->namespace_ && *s->namespace_ ? s->namespace_ : binding_ns, s->name);
}

static void index_subject(struct rbac *r, struct binding *b, const char *subject)
{
	struct key k;
	struct slice key = key_of(&k, b->ns, subject);
	struct binding_list *l = map_get(&r->subjects, key);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			abort();
		map_put(&r->subjects, key, l);
	}
	*vec_push(&l->at) = b;
}

static void unindex_subject(struct rbac *r, const struct binding *b, const char *subject)
{
	struct key k;
	struct slice key = key_of(&k, b->ns, subject);
	struct binding_list *l = map_get(&r->subjects, key);
	for (size_t i = 0; l && i < l->at.n; i++)
		if (l->at.at[i] == b) {
			vec_remove(&l->at, i);
			break;
		}
	if (!l || l->at.n)
		return;
	map_del(&r->subjects, key);
	vec_deinit(&l->at);
	free(l);
}

void rbac_remove_binding(struct rbac *r, const char *ns, const char *name)
{
	struct key k;
	struct binding *b = map_del(&r->bindings, key_of(&k, ns, name));
	if (!b)
		return;
	for (size_t i = 0; i < b->n_subjects; i++)
		unindex_subject(r, b, b->subject_keys[i]);
	binding_free(b);
}

void rbac_set_binding(struct rbac *r, const char *ns, const char *name,
                      RbacV1__Subject *const *subjects, size_t n_subjects,
                      const RbacV1__RoleRef *ref)
{
	rbac_remove_binding(r, ns, name);
	struct binding *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	arena_init(&b->arena);
	b->ns = arena_strdup(&b->arena, ns);
	b->name = arena_strdup(&b->arena, name);
	b->ref_is_cluster_role = !strcmp(ref->kind, "ClusterRole");
	b->ref_name = arena_strdup(&b->arena, ref->name);
	b->subject_keys = arena_array(&b->arena, const char *, n_subjects);
	for (size_t i = 0; i < n_subjects; i++) {
		b->subject_keys[b->n_subjects++] = subject_key(&b->arena, subjects[i], ns);
		index_subject(r, b, b->subject_keys[i]);
	}
	struct key k;
	map_put(&r->bindings, key_of(&k, ns, name), b);
}

static const struct role *role_of(const struct rbac *r, const struct binding *b)
{
	struct key k;
	return map_get(&r->roles, key_of(&k, b->ref_is_cluster_role ? "" : b->ns, b->ref_name));
}

/* Visits the bindings of a user and its groups in one namespace; stops when fn returns true. */
typedef bool (*binding_fn)(const struct binding *b, const struct role *role, const char *subject,
                           void *arg);

static bool visit_subject(const struct rbac *r, const char *ns, char kind, const char *name,
                          binding_fn fn, void *arg)
{
	char subject[512];
	size_t n = strnlen(name, sizeof(subject));
	if (n + 2 > sizeof(subject))
		return false;
	subject[0] = kind;
	memcpy(subject + 1, name, n + 1);
	struct key k;
	const struct binding_list *l = map_get(&r->subjects, key_of(&k, ns, subject));
	for (size_t i = 0; l && i < l->at.n; i++) {
		const struct role *role = role_of(r, l->at.at[i]);
		if (role && fn(l->at.at[i], role, subject, arg))
			return true;
	}
	return false;
}

static bool visit(const struct rbac *r, const char *ns, const char *user, const char *const *groups,
                  size_t n_groups, binding_fn fn, void *arg)
{
	if (visit_subject(r, ns, 'U', user, fn, arg))
		return true;
	for (size_t i = 0; i < n_groups; i++)
		if (visit_subject(r, ns, 'G', groups[i], fn, arg))
			return true;
	return false;
}

struct question {
	const struct rbac_attributes *a;
	struct arena *arena;
	const char **reason;
};

static const char *explain(const struct binding *b, const char *subject, struct arena *arena)
{
	const char *kind = subject[0] == 'G' ? "Group" : "User", *name = subject + 1;
	static const char sa[] = "system:serviceaccount:";
	if (subject[0] == 'U' && !strncmp(name, sa, sizeof(sa) - 1)) {
		const char *ns = name + sizeof(sa) - 1, *colon = strchr(ns, ':');
		kind = "ServiceAccount";
		if (colon)
			name = arena_printf(arena, "%s/%.*s", colon + 1, (int)(colon - ns), ns);
	}
	return arena_printf(
	    arena, "RBAC: allowed by %s \"%s%s%s\" of %s \"%s\" to %s \"%s\"",
	    *b->ns ? "RoleBinding" : "ClusterRoleBinding", b->name, *b->ns ? "/" : "", b->ns,
	    b->ref_is_cluster_role ? "ClusterRole" : "Role", b->ref_name, kind, name);
}

static bool answers(const struct binding *b, const struct role *role, const char *subject,
                    void *arg)
{
	const struct question *q = arg;
	for (size_t i = 0; i < role->rules.n; i++) {
		if (!rbac_rule_allows(role->rules.at[i], q->a))
			continue;
		if (q->reason)
			*q->reason = explain(b, subject, q->arena);
		return true;
	}
	return false;
}

bool rbac_allows(const struct rbac *r, const struct rbac_attributes *a, struct arena *arena,
                 const char **ret_reason)
{
	struct question q = {a, arena, ret_reason};
	if (visit(r, "", a->user, a->groups, a->n_groups, answers, &q))
		return true;
	return *a->ns && visit(r, a->ns, a->user, a->groups, a->n_groups, answers, &q);
}

struct collection {
	struct arena *arena;
	struct rbac_rules *out;
	size_t cap;
};

static bool collect(const struct binding *b, const struct role *role, const char *subject,
                    void *arg)
{
	struct collection *c = arg;
	(void)b;
	(void)subject;
	size_t need = c->out->n + role->rules.n;
	if (need > c->cap) {
		size_t cap = MAX(need, c->cap * 2);
		c->out->at = arena_grow(c->arena, c->out->at, c->cap * sizeof(*c->out->at),
		                        cap * sizeof(*c->out->at));
		c->cap = cap;
	}
	for (size_t i = 0; i < role->rules.n; i++)
		c->out->at[c->out->n++] = role->rules.at[i];
	return false;
}

void rbac_rules_for(const struct rbac *r, const char *user, const char *const *groups,
                    size_t n_groups, const char *ns, struct arena *arena, struct rbac_rules *ret)
{
	struct collection c = {.arena = arena, .out = ret};
	*ret = (struct rbac_rules){0};
	visit(r, "", user, groups, n_groups, collect, &c);
	if (*ns)
		visit(r, ns, user, groups, n_groups, collect, &c);
}

bool rbac_role_rules(const struct rbac *r, const char *ns, const RbacV1__RoleRef *ref,
                     struct rbac_rules *ret)
{
	struct key k;
	const struct role *role =
	    map_get(&r->roles, key_of(&k, !strcmp(ref->kind, "ClusterRole") ? "" : ns, ref->name));
	if (role)
		*ret = role->rules;
	return role != NULL;
}
