/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the namespace controller: what is in a Terminating namespace is deleted, pods first;
 * when nothing is left, the namespace's finalizer goes. */
#include "common/base/clock.h"
#include "common/client/meta_peek.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/namespace/plan/plan.h"
#include "proto/pb_encode.h"
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

enum { WORKERS = 10, FIRST_DELAY_MS = 50, LAST_DELAY_MS = 5000, META = 1, META_FINALIZERS = 14 };

struct namespaces {
	struct manager *m;
	struct client *client;
	struct informer *namespaces, *pods;
	struct workqueue *queue;
	struct map delays;    /* namespace -> its last delay in ms, as a number */
	size_t *resources, n; /* in resource_table: all that can be in a namespace, pods first */
};

/* One look at all resources of a namespace. */
struct sweep {
	struct namespaces *s;
	struct work *work;
	struct arena arena;
	const char *name;
	struct namespace_content *content;
	struct map finalizers; /* name -> size_t * */
	size_t n, flying;      /* looked at so far; calls under way */
};

static struct client_target target_of(const struct sweep *w, size_t i)
{
	const struct resource_info *r = &resource_table[w->s->resources[i]];
	return (struct client_target){.resource = {r->group, r->version, r->resource},
	                              .ns = w->name};
}

static void sweep_free(struct sweep *w)
{
	map_deinit(&w->finalizers);
	arena_deinit(&w->arena);
	free(w);
}

/* The end: conditions or the finalizer */

static void write_plan(struct sweep *w, CoreV1__Namespace *ns, const struct namespace_plan *plan)
{
	struct client_target t = {.resource = {"", "v1", "namespaces"}, .name = w->name};
	if (plan->finalize) {
		ns->spec = plan->spec;
		t.subresource = "finalize";
	} else if (plan->status_differs) {
		ns->status = plan->status;
		t.subresource = "status";
	} else {
		return;
	}
	work_hold(w->work);
	client_write_msg(w->s->client, false, &t, &core_v1__namespace_schema, &ns->base, work_done,
	                 w->work);
}

/* What is on its way out is looked at again soon, later and later. */
static void look_again(struct sweep *w)
{
	uintptr_t delay = (uintptr_t)map_get_str(&w->s->delays, w->name);
	delay = delay ? MIN(delay * 2, LAST_DELAY_MS) : FIRST_DELAY_MS;
	map_put_str(&w->s->delays, w->name, (void *)delay);
	workqueue_add_after(w->s->queue, w->name, delay);
}

static void finish(struct sweep *w)
{
	const struct informer_object *o = informer_get_key(w->s->namespaces, w->name);
	CoreV1__Namespace *ns = o ? (CoreV1__Namespace *)informer_object_decode(
	                                o, &core_v1__namespace_schema, &w->arena)
	                          : NULL;
	struct namespace_plan plan;
	struct namespace_input in = {.ns = ns,
	                             .content = w->content,
	                             .n_content = w->n,
	                             .now_s = clock_real_ns() / 1000000000};
	const char **names = arena_array(&w->arena, const char *, w->finalizers.n);
	size_t *counts = arena_array(&w->arena, size_t, w->finalizers.n);
	MAP_FOREACH (&w->finalizers, it) {
		names[in.n_finalizers] = it->key;
		counts[in.n_finalizers++] = *(size_t *)it->value;
	}
	in.finalizers = names;
	in.finalizer_counts = counts;
	if (ns) {
		namespace_plan(&in, &w->arena, &plan);
		write_plan(w, ns, &plan);
		if (!plan.finalize)
			look_again(w);
	}
	work_end(w->work);
	sweep_free(w);
}

/* Deleting and looking */

struct look {
	struct sweep *sweep;
	size_t at;
};

static void sweep_next(struct sweep *w);

static void look_done(struct look *l)
{
	struct sweep *w = l->sweep;
	free(l);
	if (!--w->flying)
		sweep_next(w);
}

static void fail(struct look *l, const struct client_result *r)
{
	struct sweep *w = l->sweep;
	/* A resource that this apiserver does not serve has nothing in it. */
	if (r->code != ERR_NOT_FOUND && r->code != ERR_METHOD_NOT_ALLOWED)
		w->content[l->at].failure = arena_strdup(&w->arena, r->message);
}

static void on_item(struct slice object, void *arg)
{
	struct look *l = arg;
	struct sweep *w = l->sweep;
	struct pb_field f;
	w->content[l->at].remaining++;
	for (struct slice m = pb_peek_path(object, META); pb_next_field(&m, &f) == 1;) {
		if (f.number != META_FINALIZERS)
			continue;
		size_t *count = map_get(&w->finalizers, f.bytes);
		if (!count) {
			count = arena_new(&w->arena, size_t);
			map_put(&w->finalizers, f.bytes, count);
		}
		(*count)++;
	}
}

static void on_listed(const struct client_result *r, void *arg)
{
	if (r->code != ERR_OK)
		fail(arg, r);
	look_done(arg);
}

static void on_deleted(const struct client_result *r, void *arg)
{
	static const struct client_list_ops ops = {on_item, on_listed};
	static const struct client_list_options whole = {0};
	struct look *l = arg;
	struct client_target t = target_of(l->sweep, l->at);
	if (r->code != ERR_OK)
		fail(l, r);
	client_list(l->sweep->s->client, &t, &whole, &ops, l);
}

static void delete_all(struct sweep *w, size_t i)
{
	const struct resource_info *r = &resource_table[w->s->resources[i]];
	struct client_target t = target_of(w, i);
	struct client_delete_options o = {.grace_period_seconds = -1,
	                                  .propagation_policy = "Background"};
	struct look *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	*l = (struct look){w, i};
	w->content[i] = (struct namespace_content){.group = r->group, .resource = r->resource};
	w->flying++;
	client_delete_collection(w->s->client, &t, &o, NULL, NULL, on_deleted, l);
}

/* Pods alone at first: what they use goes when they have gone. */
static void sweep_next(struct sweep *w)
{
	size_t from = w->n, to = from == 0 ? 1 : w->s->n;
	if (from == w->s->n || (from == 1 && w->content[0].remaining)) {
		finish(w);
		return;
	}
	w->n = to;
	for (size_t i = from; i < to; i++)
		delete_all(w, i);
}

static bool is_finalized(const CoreV1__Namespace *ns)
{
	for (size_t i = 0; i < ns->spec->n_finalizers; i++)
		if (!strcmp(ns->spec->finalizers[i], NAMESPACE_FINALIZER))
			return false;
	return true;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct namespaces *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->namespaces, key);
	CoreV1__Namespace *ns =
	    o ? (CoreV1__Namespace *)informer_object_decode(o, &core_v1__namespace_schema, &a)
	      : NULL;
	if (!ns || !ns->metadata->deletion_timestamp || is_finalized(ns)) {
		map_del_str(&s->delays, key);
		workqueue_done(q, key);
		return;
	}
	struct sweep *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->s = s;
	w->work = work_begin(q, key);
	w->name = arena_strdup(&w->arena, key);
	w->content = arena_array(&w->arena, struct namespace_content, s->n);
	sweep_next(w);
}

/* Events */

static void on_namespace(const struct informer_object *o, void *arg)
{
	if (o->deleting)
		workqueue_add(((struct namespaces *)arg)->queue, o->key);
}

static void on_namespace_update(const struct informer_object *old, const struct informer_object *o,
                                void *arg)
{
	if (!old->deleting)
		on_namespace(o, arg);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct namespaces *s = arg;
	const struct informer_object *ns = informer_get_key(s->namespaces, old->ns);
	if (ns)
		on_namespace(ns, arg);
}

static bool is_new(const struct namespaces *s, const struct resource_info *r)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(resource_table[s->resources[i]].storage_prefix, r->storage_prefix))
			return false;
	return true;
}

static void add_resources(struct namespaces *s, bool pods)
{
	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		if (!*r->subresource && r->namespaced && r->storage_prefix &&
		    (r->verbs & RESOURCE_DELETECOLLECTION) && (r->verbs & RESOURCE_LIST) &&
		    pods == !strcmp(r->resource, "pods") && is_new(s, r))
			s->resources[s->n++] = i;
	}
}

static void *make(struct manager *m)
{
	struct namespaces *s = calloc(1, sizeof(*s));
	if (!s || !(s->resources = calloc(resource_n, sizeof(*s->resources))))
		abort();
	s->m = m;
	s->client = manager_client(m, "namespace-controller");
	s->queue = manager_queue(m, "namespace", WORKERS, process, s);
	add_resources(s, true);
	add_resources(s, false);
	s->namespaces = informers_get(
	    m->informers, &(struct client_resource){"", "v1", "namespaces"}, NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	informer_add_handler(
	    s->namespaces, &(struct informer_handler){on_namespace, on_namespace_update, NULL, s});
	informer_add_handler(s->pods, &(struct informer_handler){NULL, NULL, on_pod_delete, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct namespaces *)self)->queue);
}

static void free_self(void *self)
{
	struct namespaces *s = self;
	map_deinit(&s->delays);
	free(s->resources);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_namespace = {
    .name = "namespace-controller", .make = make, .run = run, .free = free_self};
