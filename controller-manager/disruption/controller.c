/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the disruption controller: budgets, pods and their controllers in; the status of
 * budgets out, by which evictions are granted. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/selectors.h"
#include "controller-manager/base/work.h"
#include "controller-manager/disruption/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 1 };

/* Kinds that say how many pods they want; spec.replicas is field 1 of each. */
enum { DEPLOYMENTS, REPLICASETS, STATEFULSETS, REPLICATION_CONTROLLERS, N_KINDS };

static const struct client_resource kinds[N_KINDS] = {
    {"apps", "v1", "deployments"},
    {"apps", "v1", "replicasets"},
    {"apps", "v1", "statefulsets"},
    {"", "v1", "replicationcontrollers"},
};

struct disruption {
	struct client *client;
	struct informer *budgets, *pods, *owners[N_KINDS];
	unsigned budgets_by_ns, pods_by_ns, owners_by_uid[N_KINDS];
	struct workqueue *queue;
	struct recorder *recorder;
};

static const struct client_resource budgets_resource = {"policy", "v1", "poddisruptionbudgets"};

/* --- whose a pod is --- */

static const struct informer_object *owner_of(struct disruption *s, const char *uid)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		size_t n;
		const struct informer_object *const *list =
		    informer_lookup(s->owners[i], s->owners_by_uid[i], uid, &n);
		if (n)
			return list[0];
	}
	return NULL;
}

static struct disruption_owner resolve(struct disruption *s, const struct informer_object *pod)
{
	const struct informer_object *o = owner_of(s, pod->owner_uid), *above;
	if (!*pod->owner_uid)
		return (struct disruption_owner){0};
	if (!o)
		return (struct disruption_owner){.uid = pod->owner_uid};
	above = *o->owner_uid ? owner_of(s, o->owner_uid) : NULL;
	o = above ? above : o;
	const uint32_t replicas[] = {2, 1};
	return (struct disruption_owner){o->uid, true, (int64_t)pb_peek_int(o->bytes, replicas, 2)};
}

/* --- one budget --- */

static void find_pods(struct disruption *s, const PolicyV1__PodDisruptionBudget *pdb,
                      struct arena *a, struct disruption_input *in)
{
	struct label_selector selector;
	size_t n, found = 0;
	const struct informer_object *const *list =
	    informer_lookup(s->pods, s->pods_by_ns, pdb->metadata->namespace_, &n);
	if (meta_label_selector(pdb->spec->selector, a, &selector, NULL))
		return;
	CoreV1__Pod **pods = arena_array(a, CoreV1__Pod *, n);
	struct disruption_owner *owners = arena_array(a, struct disruption_owner, n);
	for (size_t i = 0; i < n; i++) {
		struct label_set labels = object_labels(list[i], a);
		if (!label_selector_match_set(&selector, &labels))
			continue;
		pods[found] =
		    (CoreV1__Pod *)informer_object_decode(list[i], &core_v1__pod_schema, a);
		owners[found] = resolve(s, list[i]);
		found += pods[found] != NULL;
	}
	in->pods = pods;
	in->owners = owners;
	in->n_pods = found;
}

static void tell(struct disruption *s, const MetaV1__ObjectMeta *pdb,
                 const struct disruption_event *e)
{
	struct recorder_ref ref = {.api_version = e->object ? "v1" : "policy/v1",
	                           .kind = e->object ? "Pod" : "PodDisruptionBudget",
	                           .ns = pdb->namespace_,
	                           .name = e->object ? e->object : pdb->name,
	                           .uid = e->object ? NULL : pdb->uid};
	recorder_event(s->recorder, &ref, e->warning, e->reason, NULL, "%s", e->message);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct disruption *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->budgets, key);
	const PolicyV1__PodDisruptionBudget *pdb =
	    o ? (PolicyV1__PodDisruptionBudget *)informer_object_decode(
	            o, &policy_v1__pod_disruption_budget_schema, &a)
	      : NULL;
	if (!pdb) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	struct disruption_input in = {.pdb = pdb, .now_s = clock_real_ns() / 1000000000};
	struct disruption_plan plan;
	find_pods(s, pdb, &a, &in);
	disruption_plan(&in, &a, &plan);
	if (plan.differs) {
		struct client_target t = {.resource = budgets_resource,
		                          .ns = o->ns,
		                          .name = o->name,
		                          .subresource = "status"};
		PolicyV1__PodDisruptionBudget copy = *pdb;
		copy.status = plan.status;
		work_hold(w);
		client_write_msg(s->client, false, &t, &policy_v1__pod_disruption_budget_schema,
		                 &copy.base, work_done, w);
	}
	for (size_t i = 0; i < plan.n_events; i++)
		tell(s, pdb->metadata, &plan.events[i]);
	if (plan.recheck_s)
		workqueue_add_after(q, key, (uint64_t)MAX(plan.recheck_s - in.now_s, 1) * 1000);
	work_end(w);
}

/* --- events --- */

static void on_budget(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct disruption *)arg)->queue, o->key);
}

static void on_budget_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	on_budget(o, arg);
}

/* A pod wakes the budgets that select it. */
static void on_pod(const struct informer_object *o, void *arg)
{
	struct disruption *s = arg;
	_cleanup_arena_ struct arena a = {0};
	struct label_set labels = object_labels(o, &a);
	size_t n;
	const struct informer_object *const *list =
	    informer_lookup(s->budgets, s->budgets_by_ns, o->ns, &n);
	for (size_t i = 0; i < n; i++) {
		struct label_selector selector;
		const PolicyV1__PodDisruptionBudget *pdb =
		    (PolicyV1__PodDisruptionBudget *)informer_object_decode(
		        list[i], &policy_v1__pod_disruption_budget_schema, &a);
		if (pdb && !meta_label_selector(pdb->spec->selector, &a, &selector, NULL) &&
		    label_selector_match_set(&selector, &labels))
			workqueue_add(s->queue, list[i]->key);
	}
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_pod(old, arg);
	on_pod(o, arg);
}

/* A number of replicas changed: any budget of the namespace may depend on it. */
static void on_owner_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	struct disruption *s = arg;
	const uint32_t replicas[] = {2, 1};
	size_t n;
	if (pb_peek_int(old->bytes, replicas, 2) == pb_peek_int(o->bytes, replicas, 2))
		return;
	const struct informer_object *const *list =
	    informer_lookup(s->budgets, s->budgets_by_ns, o->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, list[i]->key);
}

static void *make(struct manager *m)
{
	struct disruption *s = heap_new(struct disruption);
	s->client = manager_client(m, "disruption-controller");
	s->recorder = recorder_new(m->client, "controllermanager", NULL);
	s->queue = manager_queue(m, "disruption", WORKERS, process, s);
	s->budgets = informers_get(m->informers, &budgets_resource, NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->budgets_by_ns = informer_add_index(s->budgets, "ns", informer_index_ns);
	s->pods_by_ns = informer_add_index(s->pods, "ns", informer_index_ns);
	for (size_t i = 0; i < N_KINDS; i++) {
		s->owners[i] = informers_get(m->informers, &kinds[i], NULL, NULL, NULL);
		s->owners_by_uid[i] = informer_add_index(s->owners[i], "uid", index_uid);
		informer_add_handler(s->owners[i],
		                     &(struct informer_handler){NULL, on_owner_update, NULL, s});
	}
	informer_add_handler(s->budgets,
	                     &(struct informer_handler){on_budget, on_budget_update, NULL, s});
	informer_add_handler(s->pods, &(struct informer_handler){on_pod, on_pod_update, on_pod, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct disruption *)self)->queue);
}

static void free_self(void *self)
{
	struct disruption *s = self;
	recorder_free(s->recorder);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_disruption = {
    .name = "disruption-controller", .make = make, .run = run, .free = free_self};
