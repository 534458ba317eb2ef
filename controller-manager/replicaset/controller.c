/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the ReplicaSet controller: pods and ReplicaSets in, pods made and deleted, status.
 * ReplicationControllers are kept by the same shell, as ReplicaSets (kinds.h). */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/claim.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/pods.h"
#include "controller-manager/replicaset/kinds.h"
#include "controller-manager/replicaset/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

struct replicasets {
	const struct set_kind *kind;
	struct pod_control control;
	struct informer *sets, *pods;
	unsigned by_owner, orphans, by_uid, by_ns;
	struct workqueue *queue;
};

static bool may_be_adopted(const ProtobufCMessage *msg)
{
	return pod_is_active((const CoreV1__Pod *)msg);
}

static size_t claim_pods(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs,
                         struct arena *a, CoreV1__Pod ***ret)
{
	struct label_selector selector;
	if (meta_label_selector(rs->spec->selector, a, &selector, NULL))
		return 0;
	const struct claim c = {.client = s->control.client,
	                        .resource = {"", "v1", "pods"},
	                        .schema = &core_v1__pod_schema,
	                        .objects = s->pods,
	                        .by_owner = s->by_owner,
	                        .orphans = s->orphans,
	                        .api_version = s->kind->api_version,
	                        .kind = s->kind->kind,
	                        .owner = rs->metadata,
	                        .selector = &selector,
	                        .adoptable = may_be_adopted};
	return claim_objects(&c, w, a, ret);
}

static void make_pods(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs, size_t n,
                      struct arena *a)
{
	CoreV1__Pod *pod = pod_from_template(&s->control, rs->metadata, rs->spec->template_, a);
	CoreV1__Pod **pods = arena_array(a, CoreV1__Pod *, n);
	for (size_t i = 0; i < n; i++)
		pods[i] = pod;
	pods_make(&s->control, w, rs->metadata, pods, n, NULL, NULL);
}

static void write_status(struct replicasets *s, struct work *w, const MetaV1__ObjectMeta *meta,
                         const ProtobufCMessage *msg)
{
	struct client_target t = {.resource = s->kind->resource,
	                          .ns = meta->namespace_,
	                          .name = meta->name,
	                          .subresource = "status"};
	work_hold(w);
	client_write_msg(s->control.client, false, &t, s->kind->schema, msg, work_done, w);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct replicasets *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->sets, key);
	const ProtobufCMessage *msg = o ? informer_object_decode(o, s->kind->schema, &a) : NULL;
	if (!msg) {
		workqueue_done(q, key);
		return;
	}
	const AppsV1__ReplicaSet *rs = s->kind->view(msg, &a);
	struct work *w = work_begin(q, key);
	CoreV1__Pod **pods = NULL;
	struct replicaset_plan plan;
	struct replicaset_input in = {.rs = rs,
	                              .now_s = clock_real_ns() / 1000000000,
	                              .expecting = pod_control_pending(&s->control, rs->metadata),
	                              .failure = pod_control_failure(&s->control, rs->metadata)};
	in.n_pods = claim_pods(s, w, rs, &a, &pods);
	in.pods = pods;
	replicaset_plan(&in, &a, &plan);
	if (plan.create)
		make_pods(s, w, rs, plan.create, &a);
	pods_remove(&s->control, w, rs->metadata, plan.remove, plan.n_remove, NULL, NULL);
	if (plan.status_differs)
		write_status(s, w, rs->metadata, s->kind->with_status(msg, &plan.status, &a));
	if (plan.recheck_s)
		workqueue_add_after(q, key, (uint64_t)MAX(plan.recheck_s - in.now_s, 1) * 1000);
	work_end(w);
}

/* Events */

static void on_set(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct replicasets *)arg)->queue, o->key);
}

static void on_set_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_set(o, arg);
}

static void on_set_delete(const struct informer_object *old, void *arg)
{
	struct replicasets *s = arg;
	pod_control_forget(&s->control, old->uid);
	workqueue_add(s->queue, old->key);
}

/* Wakes the set that controls the pod or, for an orphan, those of its namespace. */
static void wake(struct replicasets *s, const struct informer_object *pod)
{
	size_t n;
	const struct informer_object *const *sets =
	    *pod->owner_uid ? informer_lookup(s->sets, s->by_uid, pod->owner_uid, &n)
	                    : informer_lookup(s->sets, s->by_ns, pod->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, sets[i]->key);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct replicasets *s = arg;
	pod_control_seen(&s->control, o);
	wake(s, o);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	struct replicasets *s = arg;
	if (pod_control_updated(&s->control, old, o))
		wake(s, old);
	wake(s, o);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct replicasets *s = arg;
	pod_control_gone(&s->control, old);
	wake(s, old);
}

static void *make(struct manager *m, const struct set_kind *kind)
{
	struct replicasets *s = heap_new(struct replicasets);
	s->kind = kind;
	pod_control_init(&s->control, m, kind->account, kind->component, kind->api_version,
	                 kind->kind);
	s->queue = manager_queue(m, kind->queue, WORKERS, process, s);
	s->sets = informers_get(m->informers, &kind->resource, NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->by_owner = informer_add_index(s->pods, "owner", informer_index_owner);
	s->orphans = informer_add_index(s->pods, "orphan", index_orphan);
	s->by_uid = informer_add_index(s->sets, "uid", index_uid);
	s->by_ns = informer_add_index(s->sets, "ns", informer_index_ns);
	informer_add_handler(s->sets,
	                     &(struct informer_handler){on_set, on_set_update, on_set_delete, s});
	informer_add_handler(s->pods,
	                     &(struct informer_handler){on_pod, on_pod_update, on_pod_delete, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct replicasets *)self)->queue);
}

static void free_self(void *self)
{
	struct replicasets *s = self;
	pod_control_deinit(&s->control);
	workqueue_free(s->queue);
	free(s);
}

static void *make_replicasets(struct manager *m)
{
	return make(m, &set_kind_replicaset);
}

static void *make_replicationcontrollers(struct manager *m)
{
	return make(m, &set_kind_replicationcontroller);
}

const struct controller controller_replicaset = {
    .name = "replicaset-controller", .make = make_replicasets, .run = run, .free = free_self};
const struct controller controller_replicationcontroller = {.name =
                                                                "replicationcontroller-controller",
                                                            .make = make_replicationcontrollers,
                                                            .run = run,
                                                            .free = free_self};
