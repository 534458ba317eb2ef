/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admit/policies.h"
#include <stdatomic.h>
#include "apiserver/auth/follow.h"
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/endpoints/stored.h"
#include "common/base/heap.h"
#include "common/base/vec.h"

#define GROUP "admissionregistration.k8s.io"

/* Shared by the list and by the sets that requests hold. */
struct held_policy {
	atomic_int refs;
	struct policy p;
};
struct held_binding {
	atomic_int refs;
	struct policy_binding b;
};
typedef VEC(struct held_policy *) policy_vec;
typedef VEC(struct held_binding *) binding_vec;

struct policies_held {
	atomic_int refs;
	struct policy_set set;
	policy_vec policies;
	binding_vec bindings;
	struct arena arena; /* the entries */
};

struct policies {
	pthread_rwlock_t lock;
	struct follow follow_policies, follow_bindings;
	const struct resource_info *policy_res, *binding_res;
	policy_vec policies; /* in order of names */
	binding_vec bindings;
	struct policies_held *held; /* of the present state; NULL: to be made */
	atomic_bool any;            /* something is bound, perhaps */
};

/* --- references ----------------------------------------------------------------------------------
 */

static void policy_unref(struct held_policy *h)
{
	if (atomic_fetch_sub(&h->refs, 1) == 1) {
		arena_deinit(&h->p.arena);
		free(h);
	}
}

static void binding_unref(struct held_binding *h)
{
	if (atomic_fetch_sub(&h->refs, 1) == 1) {
		arena_deinit(&h->b.arena);
		free(h);
	}
}

void policies_let_go(struct policies_held *h)
{
	if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	VEC_FOREACH (&h->policies, p)
		policy_unref(*p);
	VEC_FOREACH (&h->bindings, b)
		binding_unref(*b);
	vec_deinit(&h->policies);
	vec_deinit(&h->bindings);
	arena_deinit(&h->arena);
	free(h);
}

const struct policy_set *policies_held_set(const struct policies_held *h)
{
	return h ? &h->set : NULL;
}

/* --- following: the lock is held for writing -----------------------------------------------------
 */

static void changed(struct policies *p)
{
	policies_let_go(TAKE(p->held));
	atomic_store(&p->any, p->policies.n && p->bindings.n);
}

static size_t policy_at(const struct policies *p, const char *name)
{
	size_t i = 0;

	while (i < p->policies.n && strcmp(p->policies.at[i]->p.name, name))
		i++;
	return i;
}

static size_t binding_at(const struct policies *p, const char *name)
{
	size_t i = 0;

	while (i < p->bindings.n && strcmp(p->bindings.at[i]->b.name, name))
		i++;
	return i;
}

static void policy_del(void *arg, const struct cache_object *o)
{
	struct policies *p = arg;
	struct slice key = cache_object_key(o);
	_cleanup_(free_p) char *name = heap_strndup((const char *)key.data, key.len);
	size_t i = policy_at(p, name);

	if (i < p->policies.n) {
		policy_unref(p->policies.at[i]);
		vec_remove(&p->policies, i);
		changed(p);
	}
}

static void policy_put(void *arg, const struct cache_object *o)
{
	struct policies *p = arg;
	struct held_policy *h = heap_new(struct held_policy);
	struct object obj;

	policy_del(arg, o);
	if (stored_decode(p->policy_res, blob_view(o->blob), o->mod_revision, &h->p.arena, &obj,
	                  NULL) < 0) {
		arena_deinit(&h->p.arena);
		free(h);
		return;
	}
	atomic_init(&h->refs, 1);
	h->p.name = object_name(&obj);
	h->p.spec = OBJECT_MSG(&obj, AdmissionregistrationV1__ValidatingAdmissionPolicy)->spec;
	policy_compile(&h->p);
	*vec_push(&p->policies) = h;
	for (size_t i = p->policies.n - 1;
	     i > 0 && strcmp(p->policies.at[i - 1]->p.name, h->p.name) > 0; i--) {
		p->policies.at[i] = p->policies.at[i - 1];
		p->policies.at[i - 1] = h;
	}
	changed(p);
}

static void policy_clear(void *arg)
{
	struct policies *p = arg;

	while (p->policies.n)
		policy_unref(vec_pop(&p->policies));
	changed(p);
}

static void binding_del(void *arg, const struct cache_object *o)
{
	struct policies *p = arg;
	struct slice key = cache_object_key(o);
	_cleanup_(free_p) char *name = heap_strndup((const char *)key.data, key.len);
	size_t i = binding_at(p, name);

	if (i < p->bindings.n) {
		binding_unref(p->bindings.at[i]);
		vec_remove(&p->bindings, i);
		changed(p);
	}
}

static void binding_put(void *arg, const struct cache_object *o)
{
	struct policies *p = arg;
	struct held_binding *h = heap_new(struct held_binding);
	struct object obj;

	binding_del(arg, o);
	if (stored_decode(p->binding_res, blob_view(o->blob), o->mod_revision, &h->b.arena, &obj,
	                  NULL) < 0) {
		arena_deinit(&h->b.arena);
		free(h);
		return;
	}
	atomic_init(&h->refs, 1);
	h->b.name = object_name(&obj);
	h->b.spec =
	    OBJECT_MSG(&obj, AdmissionregistrationV1__ValidatingAdmissionPolicyBinding)->spec;
	*vec_push(&p->bindings) = h;
	changed(p);
}

static void binding_clear(void *arg)
{
	struct policies *p = arg;

	while (p->bindings.n)
		binding_unref(vec_pop(&p->bindings));
	changed(p);
}

/* --- what is bound -------------------------------------------------------------------------------
 */

static struct policies_held *held_new(struct policies *p)
{
	struct policies_held *h = heap_new(struct policies_held);
	struct policy_entry *entries = arena_array(&h->arena, struct policy_entry, p->policies.n);

	atomic_init(&h->refs, 1);
	VEC_FOREACH (&p->bindings, b) {
		atomic_fetch_add(&(*b)->refs, 1);
		*vec_push(&h->bindings) = *b;
	}
	VEC_FOREACH (&p->policies, it) {
		struct held_policy *policy = *it;
		const struct policy_binding **bound =
		    arena_array(&h->arena, const struct policy_binding *, p->bindings.n);
		size_t n = 0;

		VEC_FOREACH (&p->bindings, b)
			if (!strcmp((*b)->b.spec->policy_name, policy->p.name))
				bound[n++] = &(*b)->b;
		if (!n)
			continue;
		atomic_fetch_add(&policy->refs, 1);
		*vec_push(&h->policies) = policy;
		entries[h->set.n++] = (struct policy_entry){&policy->p, bound, n};
	}
	h->set.entries = entries;
	return h;
}

struct policies_held *policies_hold(struct policies *p)
{
	struct policies_held *h;

	if (!atomic_load(&p->any))
		return NULL;
	pthread_rwlock_rdlock(&p->lock);
	h = p->held;
	if (h)
		atomic_fetch_add(&h->refs, 1);
	pthread_rwlock_unlock(&p->lock);
	if (h)
		return h;
	pthread_rwlock_wrlock(&p->lock);
	if (!p->held)
		p->held = held_new(p);
	h = p->held;
	atomic_fetch_add(&h->refs, 1);
	pthread_rwlock_unlock(&p->lock);
	return h;
}

struct policies *policies_new(struct pipeline *pipeline, struct loop *state_loop)
{
	struct policies *p = heap_new(struct policies);

	pthread_rwlock_init(&p->lock, NULL);
	p->policy_res = resource_find(GROUP, "v1", "validatingadmissionpolicies", "");
	p->binding_res = resource_find(GROUP, "v1", "validatingadmissionpolicybindings", "");
	p->follow_policies = (struct follow){.r = pipeline_cache(pipeline, p->policy_res),
	                                     .lock = &p->lock,
	                                     .clear = policy_clear,
	                                     .put = policy_put,
	                                     .del = policy_del,
	                                     .arg = p};
	p->follow_bindings = (struct follow){.r = pipeline_cache(pipeline, p->binding_res),
	                                     .lock = &p->lock,
	                                     .clear = binding_clear,
	                                     .put = binding_put,
	                                     .del = binding_del,
	                                     .arg = p};
	follow_start(&p->follow_policies, state_loop);
	follow_start(&p->follow_bindings, state_loop);
	return p;
}

void policies_free(struct policies *p)
{
	follow_stop(&p->follow_policies);
	follow_stop(&p->follow_bindings);
	policy_clear(p);
	binding_clear(p);
	vec_deinit(&p->policies);
	vec_deinit(&p->bindings);
	pthread_rwlock_destroy(&p->lock);
	free(p);
}
