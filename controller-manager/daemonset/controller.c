/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the DaemonSet controller: DaemonSets, nodes, pods and revisions in; pods made and
 * deleted, revisions, status. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/claim.h"
#include "controller-manager/base/history.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/pods.h"
#include "controller-manager/base/selectors.h"
#include "controller-manager/daemonset/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 2, BACKOFF_MIN_MS = 1000, BACKOFF_MAX_MS = 15 * 60 * 1000 };

struct daemonsets {
	struct pod_control control;
	struct history history;
	struct informer *sets, *pods, *nodes;
	unsigned by_owner, orphans, by_uid, by_ns;
	struct workqueue *queue;
	struct map backoffs; /* "uid/node" -> struct backoff, of pods that failed */
};

struct backoff {
	uint64_t until_ms, wait_ms;
};

/* One DaemonSet in hand. */
struct turn {
	struct daemonsets *s;
	const char *key, *uid;
	struct arena *a;
};

static uint64_t now_ms(const struct daemonsets *s)
{
	return loop_now_ms(s->control.m->loop);
}

/* --- pods that fail again and again --- */

static bool may_replace(const char *node, void *arg)
{
	struct turn *t = arg;
	const struct backoff *b =
	    map_get_str(&t->s->backoffs, arena_printf(t->a, "%s/%s", t->uid, node));
	if (!b || b->until_ms <= now_ms(t->s))
		return true;
	workqueue_add_after(t->s->queue, t->key, b->until_ms - now_ms(t->s));
	return false;
}

static void count_failure(struct turn *t, const char *node)
{
	const char *key = arena_printf(t->a, "%s/%s", t->uid, node);
	struct backoff *b = map_get_str(&t->s->backoffs, key);
	if (!b) {
		b = heap_new(struct backoff);
		map_put_str(&t->s->backoffs, key, b);
	}
	bool long_ago = now_ms(t->s) > b->until_ms + 2 * (uint64_t)BACKOFF_MAX_MS;
	b->wait_ms = long_ago || !b->wait_ms ? BACKOFF_MIN_MS
	                                     : MIN(b->wait_ms * 2, (uint64_t)BACKOFF_MAX_MS);
	b->until_ms = now_ms(t->s) + b->wait_ms;
}

/* --- what a DaemonSet has --- */

static size_t claim_pods(struct turn *t, struct work *w, const AppsV1__DaemonSet *ds,
                         const struct label_selector *selector, CoreV1__Pod ***ret)
{
	struct daemonsets *s = t->s;
	const struct claim c = {.client = s->control.client,
	                        .resource = {"", "v1", "pods"},
	                        .schema = &core_v1__pod_schema,
	                        .objects = s->pods,
	                        .by_owner = s->by_owner,
	                        .orphans = s->orphans,
	                        .api_version = "apps/v1",
	                        .kind = "DaemonSet",
	                        .owner = ds->metadata,
	                        .selector = selector};
	return claim_objects(&c, w, t->a, ret);
}

struct nodes {
	CoreV1__Node **at;
	size_t n;
	struct arena *a;
};

static void add_node(const struct informer_object *o, void *arg)
{
	struct nodes *list = arg;
	CoreV1__Node *node =
	    (CoreV1__Node *)informer_object_decode(o, &core_v1__node_schema, list->a);
	if (node)
		list->at[list->n++] = node;
}

static int node_cmp(const void *x, const void *y)
{
	return strcmp((*(CoreV1__Node *const *)x)->metadata->name,
	              (*(CoreV1__Node *const *)y)->metadata->name);
}

static size_t find_nodes(struct turn *t, CoreV1__Node ***ret)
{
	struct nodes list = {.a = t->a};
	list.at = arena_array(t->a, CoreV1__Node *, informer_count(t->s->nodes));
	informer_each(t->s->nodes, add_node, &list);
	if (list.n)
		qsort(list.at, list.n, sizeof(*list.at), node_cmp);
	*ret = list.at;
	return list.n;
}

/* --- writes --- */

static void make_pods(struct turn *t, struct work *w, const AppsV1__DaemonSet *ds, const char *hash,
                      const struct daemonset_plan *plan)
{
	struct pod_control *c = &t->s->control;
	CoreV1__Pod **pods = arena_array(t->a, CoreV1__Pod *, plan->n_create);
	for (size_t i = 0; i < plan->n_create; i++) {
		pods[i] = pod_from_template(c, ds->metadata, ds->spec->template_, t->a);
		daemonset_shape_pod(ds, plan->create[i], hash, pods[i], t->a);
	}
	pods_make(c, w, ds->metadata, pods, plan->n_create, NULL, NULL);
}

static void write_status(struct daemonsets *s, struct work *w, const AppsV1__DaemonSet *ds,
                         AppsV1__DaemonSetStatus *status)
{
	struct client_target t = {.resource = {"apps", "v1", "daemonsets"},
	                          .ns = ds->metadata->namespace_,
	                          .name = ds->metadata->name,
	                          .subresource = "status"};
	AppsV1__DaemonSet copy = *ds;
	copy.status = status;
	work_hold(w);
	client_write_msg(s->control.client, false, &t, &apps_v1__daemon_set_schema, &copy.base,
	                 work_done, w);
}

static bool has_pods(const AppsV1__ControllerRevision *r, void *arg)
{
	const struct daemonset_input *in = arg;
	const char *hash = revision_hash(r, DAEMONSET_HASH_LABEL);
	for (size_t i = 0; i < in->n_pods; i++) {
		const char *of = meta_label(in->pods[i]->metadata, DAEMONSET_HASH_LABEL);
		if (of && !strcmp(of, hash))
			return true;
	}
	return false;
}

static void carry_out(struct turn *t, struct work *w, const struct daemonset_input *in,
                      const struct revisions_plan *revisions)
{
	struct daemonsets *s = t->s;
	const AppsV1__DaemonSet *ds = in->ds;
	struct recorder_ref ref = pod_control_ref(&s->control, ds->metadata);
	const AppsV1__ControllerRevision **beyond;
	struct daemonset_plan plan;
	daemonset_plan(in, t->a, &plan);
	for (size_t i = 0; i < plan.n_failed_on; i++)
		count_failure(t, plan.failed_on[i]);
	for (size_t i = 0; i < plan.n_events; i++)
		recorder_event(s->control.recorder, &ref, plan.events[i].warning,
		               plan.events[i].reason, NULL, "%s", plan.events[i].message);
	if (plan.n_create)
		make_pods(t, w, ds, in->hash, &plan);
	pods_remove(&s->control, w, ds->metadata, plan.remove, plan.n_remove, NULL, NULL);
	if (plan.status_differs)
		write_status(s, w, ds, &plan.status);
	if (plan.recheck_s)
		workqueue_add_after(s->queue, t->key,
		                    (uint64_t)MAX(plan.recheck_s - in->now_s, 1) * 1000);
	int32_t limit =
	    ds->spec->has_revision_history_limit ? ds->spec->revision_history_limit : 10;
	size_t n =
	    revisions_beyond(revisions, limit, has_pods, (void *)(uintptr_t)in, t->a, &beyond);
	history_remove(&s->history, w, beyond, n);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct daemonsets *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->sets, key);
	const AppsV1__DaemonSet *ds =
	    o ? (AppsV1__DaemonSet *)informer_object_decode(o, &apps_v1__daemon_set_schema, &a)
	      : NULL;
	struct label_selector selector;
	if (!ds || ds->metadata->deletion_timestamp ||
	    meta_label_selector(ds->spec->selector, &a, &selector, NULL)) {
		workqueue_done(q, key);
		return;
	}
	struct turn t = {s, key, ds->metadata->uid, &a};
	struct work *w = work_begin(q, key);
	const MetaV1__ObjectMeta *labels = ds->spec->template_->metadata;
	struct revisions_input history = {
	    .owner = ds->metadata,
	    .api_version = "apps/v1",
	    .kind = "DaemonSet",
	    .template = ds->spec->template_,
	    .collisions = ds->status->has_collision_count ? &ds->status->collision_count : NULL,
	    .labels = labels ? labels->labels : NULL,
	    .n_labels = labels ? labels->n_labels : 0,
	    .hash_label = DAEMONSET_HASH_LABEL};
	struct revisions_plan revisions;
	if (history_sync(&s->history, w, &history, &selector, &a, &revisions)) {
		CoreV1__Node **nodes;
		CoreV1__Pod **pods;
		struct daemonset_input in = {.ds = ds,
		                             .hash = revisions.hash,
		                             .now_s = clock_real_ns() / 1000000000,
		                             .expecting =
		                                 pod_control_pending(&s->control, ds->metadata),
		                             .may_replace = may_replace,
		                             .arg = &t};
		in.n_nodes = find_nodes(&t, &nodes);
		in.nodes = nodes;
		in.n_pods = claim_pods(&t, w, ds, &selector, &pods);
		in.pods = pods;
		carry_out(&t, w, &in, &revisions);
	}
	work_end(w);
}

/* --- events --- */

static void on_set(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct daemonsets *)arg)->queue, o->key);
}

static void on_set_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_set(o, arg);
}

static void on_set_delete(const struct informer_object *old, void *arg)
{
	struct daemonsets *s = arg;
	size_t n = strlen(old->uid);
	pod_control_forget(&s->control, old->uid);
	MAP_FOREACH (&s->backoffs, it)
		if (it->key_len > n && !memcmp(it->key, old->uid, n))
			free(map_del(&s->backoffs, slice_of(it->key, it->key_len)));
}

/* Wakes the set that controls the object or, for an orphan, those of its namespace. */
static void wake(const struct informer_object *o, void *arg)
{
	struct daemonsets *s = arg;
	size_t n;
	const struct informer_object *const *sets =
	    *o->owner_uid ? informer_lookup(s->sets, s->by_uid, o->owner_uid, &n)
	                  : informer_lookup(s->sets, s->by_ns, o->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, sets[i]->key);
}

static void wake_by_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	wake(o, arg);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct daemonsets *s = arg;
	pod_control_seen(&s->control, o);
	wake(o, s);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	struct daemonsets *s = arg;
	if (pod_control_updated(&s->control, old, o))
		wake(old, s);
	wake(o, s);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct daemonsets *s = arg;
	pod_control_gone(&s->control, old);
	wake(old, s);
}

static void on_node(const struct informer_object *o, void *arg)
{
	struct daemonsets *s = arg;
	informer_each(s->sets, on_set, s);
}

/* Signs of life change nothing: labels, taints and the like do. */
static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	_cleanup_arena_ struct arena a = {0};
	struct label_set x = object_labels(old, &a), y = object_labels(o, &a);
	bool same = x.n == y.n && slice_eq(pb_peek_path(old->bytes, 2), pb_peek_path(o->bytes, 2));
	for (size_t i = 0; i < x.n && same; i++) {
		const char *value = label_set_get(&y, x.at[i].key);
		same = value && !strcmp(value, x.at[i].value);
	}
	if (!same)
		on_node(o, arg);
}

static void *make(struct manager *m)
{
	struct daemonsets *s = heap_new(struct daemonsets);
	pod_control_init(&s->control, m, "daemon-set-controller", controller_daemonset.name,
	                 "apps/v1", "DaemonSet");
	s->queue = manager_queue(m, "daemonset", WORKERS, process, s);
	s->sets = informers_get(m->informers, &(struct client_resource){"apps", "v1", "daemonsets"},
	                        NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->nodes = informers_get(m->informers, &(struct client_resource){"", "v1", "nodes"}, NULL,
	                         NULL, NULL);
	s->by_owner = informer_add_index(s->pods, "owner", informer_index_owner);
	s->orphans = informer_add_index(s->pods, "orphan", index_orphan);
	s->by_uid = informer_add_index(s->sets, "uid", index_uid);
	s->by_ns = informer_add_index(s->sets, "ns", informer_index_ns);
	history_init(&s->history, m, s->control.client,
	             &(struct informer_handler){wake, wake_by_update, wake, s});
	informer_add_handler(s->sets,
	                     &(struct informer_handler){on_set, on_set_update, on_set_delete, s});
	informer_add_handler(s->pods,
	                     &(struct informer_handler){on_pod, on_pod_update, on_pod_delete, s});
	informer_add_handler(s->nodes,
	                     &(struct informer_handler){on_node, on_node_update, on_node, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct daemonsets *)self)->queue);
}

static void free_self(void *self)
{
	struct daemonsets *s = self;
	pod_control_deinit(&s->control);
	MAP_FOREACH (&s->backoffs, it)
		free(it->value);
	map_deinit(&s->backoffs);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_daemonset = {
    .name = "daemonset-controller", .make = make, .run = run, .free = free_self};
