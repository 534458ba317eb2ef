/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the ReplicaSet controller: pods and ReplicaSets in, pods made and deleted, status.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "controller-manager/base/expect.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/owner.h"
#include "controller-manager/base/work.h"
#include "controller-manager/replicaset/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

struct replicasets {
	struct manager *m;
	struct client *client;
	struct informer *sets, *pods;
	unsigned by_owner, orphans, by_uid, by_ns;
	struct workqueue *queue;
	struct recorder *recorder;
	struct expectations expect;
};

/* Pods on their way: made in batches that double while all goes well, so that a set that cannot
 * make pods (quota, admission) does not flood the apiserver. */
struct scale_up {
	struct replicasets *s;
	struct work *work;
	struct buf pod; /* encoded, with generateName */
	char *ns, *name, *uid;
	size_t left, batch, flying;
	bool failed;
};

static uint64_t now_ms(const struct replicasets *s)
{
	return loop_now_ms(s->m->loop);
}

static struct recorder_ref set_ref(const char *ns, const char *name, const char *uid)
{
	return (struct recorder_ref){
	    .api_version = "apps/v1", .kind = "ReplicaSet", .ns = ns, .name = name, .uid = uid};
}

/* Making pods */

static void scale_up_free(struct scale_up *u)
{
	work_end(u->work);
	buf_deinit(&u->pod);
	free(u->ns);
	free(u->name);
	free(u->uid);
	free(u);
}

static void next_batch(struct scale_up *u);

static void on_created(const struct client_result *r, void *arg)
{
	struct scale_up *u = arg;
	struct recorder_ref ref = set_ref(u->ns, u->name, u->uid);
	if (r->code == ERR_OK) {
		_cleanup_arena_ struct arena a = {0};
		ProtobufCMessage *msg;
		const char *name = "";
		if (!pb_decode(&core_v1__pod_schema, r->object, &a, &msg, NULL))
			name = ((CoreV1__Pod *)msg)->metadata->name;
		recorder_event(u->s->recorder, &ref, false, "SuccessfulCreate", NULL,
		               "Created pod: %s", name);
	} else {
		expect_created(&u->s->expect, u->uid);
		/* A namespace that is going away refuses pods: nothing to tell or to try again. */
		if (r->code != ERR_FORBIDDEN || !strstr(r->message, "being terminated")) {
			u->failed = true;
			work_answer(u->work, r);
			recorder_event(u->s->recorder, &ref, true, "FailedCreate", NULL,
			               "Error creating: %s", r->message);
		}
	}
	if (--u->flying)
		return;
	u->batch *= 2;
	next_batch(u);
}

static void next_batch(struct scale_up *u)
{
	struct client_target t = {.resource = {"", "v1", "pods"}, .ns = u->ns};
	if (u->failed || !u->left) {
		/* What was not tried will not be seen either. */
		for (; u->left; u->left--)
			expect_created(&u->s->expect, u->uid);
		scale_up_free(u);
		return;
	}
	size_t n = MIN(u->batch, u->left);
	u->left -= n;
	u->flying = n;
	for (size_t i = 0; i < n; i++)
		client_create(u->s->client, &t, buf_view(&u->pod), NULL, on_created, u);
}

static char *dup_str(const char *s)
{
	char *copy = strdup(s);
	if (!copy)
		abort();
	return copy;
}

static void make_pods(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs, size_t n,
                      struct arena *a)
{
	const CoreV1__PodTemplateSpec *template = rs->spec->template_;
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, a);
	if (template->metadata) {
		pod->metadata->n_labels = template->metadata->n_labels;
		pod->metadata->labels = template->metadata->labels;
		pod->metadata->n_annotations = template->metadata->n_annotations;
		pod->metadata->annotations = template->metadata->annotations;
		pod->metadata->n_finalizers = template->metadata->n_finalizers;
		pod->metadata->finalizers = template->metadata->finalizers;
	}
	pod->metadata->generate_name = arena_printf(a, "%s-", rs->metadata->name);
	pod->metadata->namespace_ = rs->metadata->namespace_;
	owner_set(pod->metadata, "apps/v1", "ReplicaSet", rs->metadata->name, rs->metadata->uid, a);
	pod->spec = template->spec;
	struct scale_up *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	*u = (struct scale_up){.s = s,
	                       .work = w,
	                       .ns = dup_str(rs->metadata->namespace_),
	                       .name = dup_str(rs->metadata->name),
	                       .uid = dup_str(rs->metadata->uid),
	                       .left = n,
	                       .batch = 1};
	pb_encode(&core_v1__pod_schema, &pod->base, &u->pod);
	work_hold(w);
	expect_create(&s->expect, rs->metadata->uid, n, now_ms(s));
	next_batch(u);
}

/* Deleting pods */

struct removal {
	struct replicasets *s;
	struct work *work;
	char *owner_uid, *pod_uid;
};

static void on_removed(const struct client_result *r, void *arg)
{
	struct removal *x = arg;
	if (r->code != ERR_OK)
		expect_deleted(&x->s->expect, x->owner_uid, x->pod_uid);
	work_answer(x->work, r);
	work_end(x->work);
	free(x->owner_uid);
	free(x->pod_uid);
	free(x);
}

static void remove_pod(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs,
                       const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *meta = pod->metadata;
	struct removal *x = calloc(1, sizeof(*x));
	if (!x)
		abort();
	*x = (struct removal){s, w, dup_str(rs->metadata->uid), dup_str(meta->uid)};
	struct client_target t = {
	    .resource = {"", "v1", "pods"}, .ns = meta->namespace_, .name = meta->name};
	struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
	struct recorder_ref ref =
	    set_ref(rs->metadata->namespace_, rs->metadata->name, rs->metadata->uid);
	work_hold(w);
	expect_delete(&s->expect, rs->metadata->uid, meta->uid, now_ms(s));
	client_delete(s->client, &t, &o, on_removed, x);
	recorder_event(s->recorder, &ref, false, "SuccessfulDelete", NULL, "Deleted pod: %s",
	               meta->name);
}

/* Claiming pods */

/* Takes an orphan that matches, or lets go of a pod that does not match any more. */
static void patch_owner(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs,
                        const CoreV1__Pod *pod, bool adopt)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const MetaV1__ObjectMeta *meta = rs->metadata;
	if (adopt)
		buf_printf(
		    &b,
		    "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
		    "\"ReplicaSet\",\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,"
		    "\"blockOwnerDeletion\":true}],\"uid\":\"%s\"}}",
		    meta->name, meta->uid, pod->metadata->uid);
	else
		buf_printf(
		    &b,
		    "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%s\"}],"
		    "\"uid\":\"%s\"}}",
		    meta->uid, pod->metadata->uid);
	struct client_target t = {.resource = {"", "v1", "pods"},
	                          .ns = pod->metadata->namespace_,
	                          .name = pod->metadata->name};
	work_hold(w);
	client_patch(s->client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, work_done, w);
}

struct claimed {
	CoreV1__Pod **at;
	size_t n;
};

static void claim(struct replicasets *s, struct work *w, const AppsV1__ReplicaSet *rs,
                  struct arena *a, struct claimed *ret)
{
	struct label_selector sel;
	size_t n_owned, n_orphans;
	*ret = (struct claimed){0};
	if (meta_label_selector(rs->spec->selector, a, &sel, NULL))
		return;
	bool going = rs->metadata->deletion_timestamp != NULL;
	const struct informer_object *const *owned =
	    informer_lookup(s->pods, s->by_owner, rs->metadata->uid, &n_owned);
	ret->at = arena_array(a, CoreV1__Pod *, n_owned);
	for (size_t i = 0; i < n_owned; i++) {
		CoreV1__Pod *pod =
		    (void *)informer_object_decode(owned[i], &core_v1__pod_schema, a);
		if (!pod)
			continue;
		if (meta_labels_match(&sel, pod->metadata))
			ret->at[ret->n++] = pod;
		else if (!going)
			patch_owner(s, w, rs, pod, false);
	}
	const struct informer_object *const *orphans =
	    informer_lookup(s->pods, s->orphans, rs->metadata->namespace_, &n_orphans);
	for (size_t i = 0; i < n_orphans && !going; i++) {
		CoreV1__Pod *pod =
		    (void *)informer_object_decode(orphans[i], &core_v1__pod_schema, a);
		if (pod && pod_is_active(pod) && meta_labels_match(&sel, pod->metadata))
			patch_owner(s, w, rs, pod, true);
	}
}

/* One ReplicaSet */

static void write_status(struct replicasets *s, struct work *w, AppsV1__ReplicaSet *rs,
                         AppsV1__ReplicaSetStatus *status)
{
	struct client_target t = {.resource = {"apps", "v1", "replicasets"},
	                          .ns = rs->metadata->namespace_,
	                          .name = rs->metadata->name,
	                          .subresource = "status"};
	AppsV1__ReplicaSet copy = *rs;
	copy.status = status;
	work_hold(w);
	client_write_msg(s->client, false, &t, &apps_v1__replica_set_schema, &copy.base, work_done,
	                 w);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct replicasets *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->sets, key);
	AppsV1__ReplicaSet *rs =
	    o ? (void *)informer_object_decode(o, &apps_v1__replica_set_schema, &a) : NULL;
	if (!rs) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	struct claimed pods;
	struct replicaset_plan plan;
	claim(s, w, rs, &a, &pods);
	struct replicaset_input in = {.rs = rs,
	                              .pods = pods.at,
	                              .n_pods = pods.n,
	                              .now_s = clock_real_ns() / 1000000000,
	                              .expecting =
	                                  expect_pending(&s->expect, rs->metadata->uid, now_ms(s))};
	replicaset_plan(&in, &a, &plan);
	if (plan.create)
		make_pods(s, w, rs, plan.create, &a);
	for (size_t i = 0; i < plan.n_remove; i++)
		remove_pod(s, w, rs, plan.remove[i]);
	if (plan.status_differs)
		write_status(s, w, rs, &plan.status);
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
	expect_forget(&s->expect, old->uid);
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
	if (*o->owner_uid)
		expect_created(&s->expect, o->owner_uid);
	wake(s, o);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	struct replicasets *s = arg;
	/* A pod that is being deleted counts as gone already. */
	if (o->deleting && *o->owner_uid)
		expect_deleted(&s->expect, o->owner_uid, o->uid);
	if (strcmp(old->owner_uid, o->owner_uid) && *old->owner_uid)
		wake(s, old);
	wake(s, o);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct replicasets *s = arg;
	if (*old->owner_uid)
		expect_deleted(&s->expect, old->owner_uid, old->uid);
	wake(s, old);
}

static void index_uid(const struct informer_object *o, void (*emit)(void *, struct slice),
                      void *arg)
{
	emit(arg, slice_str(o->uid));
}

static void index_orphan(const struct informer_object *o, void (*emit)(void *, struct slice),
                         void *arg)
{
	if (!*o->owner_uid)
		emit(arg, slice_str(o->ns));
}

static void *make(struct manager *m)
{
	struct replicasets *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->m = m;
	s->client = manager_client(m, "replicaset-controller");
	s->recorder = recorder_new(m->client, controller_replicaset.name, NULL);
	s->queue = workqueue_new(m->loop, WORKERS, process, s);
	s->sets = informers_get(
	    m->informers, &(struct client_resource){"apps", "v1", "replicasets"}, NULL, NULL, NULL);
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
	recorder_free(s->recorder);
	expect_deinit(&s->expect);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_replicaset = {
    .name = "replicaset-controller", .make = make, .run = run, .free = free_self};
