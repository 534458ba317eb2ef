/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the StatefulSet controller: StatefulSets, pods, claims and revisions in; pods made
 * (their claims first) and deleted, revisions, status. Names are given, so that nothing is made
 * twice, however old the picture is. */
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/claim.h"
#include "controller-manager/base/history.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/pods.h"
#include "controller-manager/statefulset/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

#define HASH_LABEL "controller.kubernetes.io/hash"

struct statefulsets {
	struct pod_control control;
	struct history history;
	struct informer *sets, *pods, *claims;
	unsigned by_owner, orphans, by_uid, by_ns;
	struct workqueue *queue;
};

static const struct client_resource pods_resource = {"", "v1", "pods"};
static const struct client_resource claims_resource = {"", "v1", "persistentvolumeclaims"};

/* --- a call about a pod of the set, and its event --- */

struct call {
	struct statefulsets *s;
	struct work *work;
	char *ns, *set, *uid, *pod;
	const char *verb;  /* "create", "delete", "update" */
	struct buf object; /* the pod to make when its claims are there */
	size_t claims;     /* that have not answered */
	bool failed;
};

static struct call *call_new(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                             const char *verb, const char *pod)
{
	struct call *c = heap_new(struct call);
	*c = (struct call){.s = s,
	                   .work = w,
	                   .ns = heap_strdup(set->metadata->namespace_),
	                   .set = heap_strdup(set->metadata->name),
	                   .uid = heap_strdup(set->metadata->uid),
	                   .pod = heap_strdup(pod),
	                   .verb = verb};
	work_hold(w);
	return c;
}

static void call_end(struct call *c)
{
	work_end(c->work);
	buf_deinit(&c->object);
	free(c->ns);
	free(c->set);
	free(c->uid);
	free(c->pod);
	free(c);
}

static void tell(struct call *c, bool good, const char *what, const char *error)
{
	char reason[32];
	struct recorder_ref ref = {.api_version = "apps/v1",
	                           .kind = "StatefulSet",
	                           .ns = c->ns,
	                           .name = c->set,
	                           .uid = c->uid};
	snprintf(reason, sizeof(reason), "%s%c%s", good ? "Successful" : "Failed",
	         c->verb[0] - 'a' + 'A', c->verb + 1);
	recorder_event(c->s->control.recorder, &ref, !good, reason, NULL,
	               "%s %s%s in StatefulSet %s %s%s", c->verb, what, c->pod, c->set,
	               good ? "successful" : "failed error: ", good ? "" : error);
}

static void on_done(const struct client_result *r, void *arg)
{
	struct call *c = arg;
	bool there = r->code == ERR_ALREADY_EXISTS || r->code == ERR_NOT_FOUND;
	bool refused = r->code == ERR_FORBIDDEN && strstr(r->message, "being terminated");
	if (!there && !refused) {
		tell(c, r->code == ERR_OK, "Pod ", r->message);
		work_answer(c->work, r);
	}
	call_end(c);
}

/* --- claims, then the pod --- */

static void claims_answered(struct call *c)
{
	struct client_target t = {.resource = pods_resource, .ns = c->ns};
	if (c->failed || !c->object.len)
		call_end(c);
	else
		client_create(c->s->control.client, &t, buf_view(&c->object), NULL, on_done, c);
}

static void on_claim(const struct client_result *r, void *arg)
{
	struct call *c = arg;
	if (r->code != ERR_OK && r->code != ERR_ALREADY_EXISTS) {
		c->failed = true;
		work_answer(c->work, r);
		tell(c, false, "Claim of Pod ", r->message);
	} else if (r->code == ERR_OK) {
		struct meta_peek m = {0};
		struct recorder_ref ref = {.api_version = "apps/v1",
		                           .kind = "StatefulSet",
		                           .ns = c->ns,
		                           .name = c->set,
		                           .uid = c->uid};
		if (meta_peek(r->object, &m))
			recorder_event(c->s->control.recorder, &ref, false, "SuccessfulCreate",
			               NULL, "create Claim %.*s Pod %s in StatefulSet %s success",
			               SLICE_FMT(m.name), c->pod, c->set);
	}
	if (!--c->claims)
		claims_answered(c);
}

static void make_claims(struct call *c, const AppsV1__StatefulSet *set, int32_t ordinal,
                        struct arena *a)
{
	struct client_target t = {.resource = claims_resource, .ns = c->ns};
	CoreV1__PersistentVolumeClaim **list;
	size_t n = statefulset_claims(set, ordinal, a, &list);
	c->claims = 1;
	for (size_t i = 0; i < n; i++)
		if (!informer_get(c->s->claims, c->ns, list[i]->metadata->name)) {
			c->claims++;
			client_write_msg(c->s->control.client, true, &t,
			                 &core_v1__persistent_volume_claim_schema, &list[i]->base,
			                 on_claim, c);
		}
	if (!--c->claims)
		claims_answered(c);
}

static void make_pod(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                     const AppsV1__ControllerRevision *revision, int32_t ordinal, struct arena *a)
{
	const CoreV1__PodTemplateSpec *template = revision_template(revision, a);
	if (!template)
		template = set->spec->template_;
	CoreV1__Pod *pod = pod_from_template(&s->control, set->metadata, template, a);
	statefulset_shape_pod(set, ordinal, revision->metadata->name, pod, a);
	struct call *c = call_new(s, w, set, "create", pod->metadata->name);
	pb_encode(&core_v1__pod_schema, &pod->base, &c->object);
	make_claims(c, set, ordinal, a);
}

/* --- pods that go --- */

/* The claims of a pod beyond the number of replicas go with it, when they shall. */
static void give_claims(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                        const CoreV1__Pod *pod, struct arena *a)
{
	const AppsV1__StatefulSetPersistentVolumeClaimRetentionPolicy *keep =
	    set->spec->persistent_volume_claim_retention_policy;
	CoreV1__PersistentVolumeClaim **list;
	if (!keep || strcmp(keep->when_scaled, "Delete"))
		return;
	size_t n = statefulset_claims(set, statefulset_ordinal(set, pod), a, &list);
	const char *patch = arena_printf(
	    a,
	    "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"replace\"},{\"apiVersion\":\"v1\","
	    "\"kind\":\"Pod\",\"name\":\"%s\",\"uid\":\"%s\"}]}}",
	    pod->metadata->name, pod->metadata->uid);
	for (size_t i = 0; i < n; i++) {
		struct client_target t = {.resource = claims_resource,
		                          .ns = set->metadata->namespace_,
		                          .name = list[i]->metadata->name};
		work_hold(w);
		client_patch(s->control.client, &t, CLIENT_PATCH_STRATEGIC, slice_str(patch), NULL,
		             work_done, w);
	}
}

static void remove_pod(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                       const struct statefulset_remove *x, struct arena *a)
{
	const MetaV1__ObjectMeta *meta = x->pod->metadata;
	struct client_target t = {
	    .resource = pods_resource, .ns = meta->namespace_, .name = meta->name};
	struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
	struct recorder_ref ref = pod_control_ref(&s->control, set->metadata);
	if (x->condemned)
		give_claims(s, w, set, x->pod, a);
	if (x->reason) {
		bool failed = !strcmp(x->reason, "RecreatingFailedPod");
		recorder_event(s->control.recorder, &ref, failed, x->reason, NULL,
		               "StatefulSet %s/%s is recreating %s Pod %s", meta->namespace_,
		               set->metadata->name, failed ? "failed" : "terminated", meta->name);
	}
	client_delete(s->control.client, &t, &o, on_done,
	              call_new(s, w, set, "delete", meta->name));
}

static void fix_pod(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                    const CoreV1__Pod *pod, struct arena *a)
{
	CoreV1__Pod copy = *pod;
	struct client_target t = {.resource = pods_resource,
	                          .ns = pod->metadata->namespace_,
	                          .name = pod->metadata->name};
	copy.metadata = arena_memdup(a, pod->metadata, sizeof(*pod->metadata));
	copy.spec = arena_memdup(a, pod->spec, sizeof(*pod->spec));
	statefulset_set_identity(set, statefulset_ordinal(set, pod), &copy, a);
	client_write_msg(s->control.client, false, &t, &core_v1__pod_schema, &copy.base, on_done,
	                 call_new(s, w, set, "update", pod->metadata->name));
}

/* --- one StatefulSet --- */

struct turn {
	const AppsV1__StatefulSet *set;
	CoreV1__Pod **pods;
	size_t n_pods;
	const AppsV1__ControllerRevision *current, *update;
};

static void write_status(struct statefulsets *s, struct work *w, const AppsV1__StatefulSet *set,
                         AppsV1__StatefulSetStatus *status)
{
	struct client_target t = {.resource = {"apps", "v1", "statefulsets"},
	                          .ns = set->metadata->namespace_,
	                          .name = set->metadata->name,
	                          .subresource = "status"};
	AppsV1__StatefulSet copy = *set;
	copy.status = status;
	work_hold(w);
	client_write_msg(s->control.client, false, &t, &apps_v1__stateful_set_schema, &copy.base,
	                 work_done, w);
}

static bool is_live(const AppsV1__ControllerRevision *r, void *arg)
{
	const struct turn *t = arg;
	const char *name = r->metadata->name;
	if (!strcmp(name, t->current->metadata->name))
		return true;
	for (size_t i = 0; i < t->n_pods; i++) {
		const char *of = meta_label(t->pods[i]->metadata, STATEFULSET_REVISION_LABEL);
		if (of && !strcmp(of, name))
			return true;
	}
	return false;
}

static void carry_out(struct statefulsets *s, struct work *w, struct turn *t, struct arena *a)
{
	const AppsV1__StatefulSet *set = t->set;
	struct statefulset_input in = {.set = set,
	                               .pods = t->pods,
	                               .n_pods = t->n_pods,
	                               .current = t->current->metadata->name,
	                               .update = t->update->metadata->name,
	                               .now_s = clock_real_ns() / 1000000000};
	struct statefulset_plan plan;
	statefulset_plan(&in, a, &plan);
	for (size_t i = 0; i < plan.n_create; i++)
		make_pod(s, w, set, plan.create[i].update ? t->update : t->current,
		         plan.create[i].ordinal, a);
	for (size_t i = 0; i < plan.n_remove; i++)
		remove_pod(s, w, set, &plan.remove[i], a);
	for (size_t i = 0; i < plan.n_fix; i++)
		fix_pod(s, w, set, plan.fix[i], a);
	for (size_t i = 0; i < plan.n_pending; i++)
		make_claims(call_new(s, w, set, "create", plan.pending[i]->metadata->name), set,
		            statefulset_ordinal(set, plan.pending[i]), a);
	if (plan.status_differs)
		write_status(s, w, set, &plan.status);
	if (plan.recheck_s)
		workqueue_add_after(s->queue, w->key,
		                    (uint64_t)MAX(plan.recheck_s - in.now_s, 1) * 1000);
}

static void claim_pods(struct statefulsets *s, struct work *w, struct turn *t,
                       const struct label_selector *selector, struct arena *a)
{
	const struct claim c = {.client = s->control.client,
	                        .resource = pods_resource,
	                        .schema = &core_v1__pod_schema,
	                        .objects = s->pods,
	                        .by_owner = s->by_owner,
	                        .orphans = s->orphans,
	                        .api_version = "apps/v1",
	                        .kind = "StatefulSet",
	                        .owner = t->set->metadata,
	                        .selector = selector};
	size_t n = claim_objects(&c, w, a, &t->pods);
	for (size_t i = 0; i < n; i++)
		if (statefulset_ordinal(t->set, t->pods[i]) >= 0)
			t->pods[t->n_pods++] = t->pods[i];
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct statefulsets *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->sets, key);
	struct label_selector selector;
	struct turn t = {0};
	if (o)
		t.set = (AppsV1__StatefulSet *)informer_object_decode(
		    o, &apps_v1__stateful_set_schema, &a);
	if (!t.set || meta_label_selector(t.set->spec->selector, &a, &selector, NULL)) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	const AppsV1__StatefulSetStatus *status = t.set->status;
	const MetaV1__ObjectMeta *labels = t.set->spec->template_->metadata;
	struct revisions_input history = {
	    .owner = t.set->metadata,
	    .api_version = "apps/v1",
	    .kind = "StatefulSet",
	    .template = t.set->spec->template_,
	    .collisions = status->has_collision_count ? &status->collision_count : NULL,
	    .labels = labels ? labels->labels : NULL,
	    .n_labels = labels ? labels->n_labels : 0,
	    .hash_label = HASH_LABEL};
	struct revisions_plan revisions;
	if (history_sync(&s->history, w, &history, &selector, &a, &revisions)) {
		const AppsV1__ControllerRevision **beyond;
		t.current = t.update = revisions.current;
		for (size_t i = 0; i < revisions.n_old; i++)
			if (!strcmp(revisions.old[i]->metadata->name, status->current_revision))
				t.current = revisions.old[i];
		claim_pods(s, w, &t, &selector, &a);
		carry_out(s, w, &t, &a);
		int32_t limit = t.set->spec->has_revision_history_limit
		                    ? t.set->spec->revision_history_limit
		                    : 10;
		size_t n = revisions_beyond(&revisions, limit, is_live, &t, &a, &beyond);
		history_remove(&s->history, w, beyond, n);
	}
	work_end(w);
}

/* --- events --- */

static void on_set(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct statefulsets *)arg)->queue, o->key);
}

static void on_set_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_set(o, arg);
}

/* Wakes the set that controls the object or, for an orphan, those of its namespace. */
static void wake(const struct informer_object *o, void *arg)
{
	struct statefulsets *s = arg;
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
	if (strcmp(old->owner_uid, o->owner_uid) && *old->owner_uid)
		wake(old, arg);
	wake(o, arg);
}

static void *make(struct manager *m)
{
	struct statefulsets *s = heap_new(struct statefulsets);
	pod_control_init(&s->control, m, "statefulset-controller", controller_statefulset.name,
	                 "apps/v1", "StatefulSet");
	s->queue = manager_queue(m, "statefulset", WORKERS, process, s);
	s->sets =
	    informers_get(m->informers, &(struct client_resource){"apps", "v1", "statefulsets"},
	                  NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &pods_resource, NULL, NULL, NULL);
	s->claims = informers_get(m->informers, &claims_resource, NULL, NULL, NULL);
	s->by_owner = informer_add_index(s->pods, "owner", informer_index_owner);
	s->orphans = informer_add_index(s->pods, "orphan", index_orphan);
	s->by_uid = informer_add_index(s->sets, "uid", index_uid);
	s->by_ns = informer_add_index(s->sets, "ns", informer_index_ns);
	history_init(&s->history, m, s->control.client,
	             &(struct informer_handler){wake, wake_by_update, wake, s});
	informer_add_handler(s->sets, &(struct informer_handler){on_set, on_set_update, NULL, s});
	informer_add_handler(s->pods, &(struct informer_handler){wake, wake_by_update, wake, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct statefulsets *)self)->queue);
}

static void free_self(void *self)
{
	struct statefulsets *s = self;
	pod_control_deinit(&s->control);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_statefulset = {
    .name = "statefulset-controller", .make = make, .run = run, .free = free_self};
