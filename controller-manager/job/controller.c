/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the Job controller: Jobs and pods in; pods made, deleted and released, status. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/claim.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/pods.h"
#include "controller-manager/job/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5, META_FINALIZERS = 14 };

struct jobs {
	struct pod_control control;
	struct informer *jobs, *pods;
	unsigned by_owner, orphans, by_uid, by_ns;
	struct workqueue *queue;
	struct workqueue *left; /* pods that keep a finalizer though their Job is over */
	struct map memories;    /* Job uid -> struct memory */
	struct map released;    /* uids of pods whose finalizer is gone though it still shows */
};

struct memory {
	struct job_memory pods;
	int64_t revision; /* the last one written: an older copy is not worked on */
};

/* One Job in hand, from its plan to its last status. */
struct turn {
	struct jobs *s;
	struct work *work;
	struct arena a;
	BatchV1__Job *job;
	struct job_input in;
	struct job_plan plan;
	struct job_status_step track, settled;
	size_t created, removed, waiting;
	bool *gone;
};

static struct memory *memory_of(struct jobs *s, const char *uid)
{
	struct memory *m = map_get_str(&s->memories, uid);
	if (!m) {
		m = heap_new(struct memory);
		map_put_str(&s->memories, uid, m);
	}
	return m;
}

/* --- the steps of a turn --- */

static void turn_end(struct turn *t)
{
	struct work *w = t->work;
	arena_deinit(&t->a);
	free(t);
	work_end(w);
}

static void tell(struct turn *t, const struct job_event *e, size_t n)
{
	struct recorder_ref ref = pod_control_ref(&t->s->control, t->job->metadata);
	for (size_t i = 0; i < n; i++)
		recorder_event(t->s->control.recorder, &ref, e[i].warning, e[i].reason, NULL, "%s",
		               e[i].message);
}

static void write_status(struct turn *t, BatchV1__JobStatus *status, client_done_fn done)
{
	struct client_target at = {.resource = {"batch", "v1", "jobs"},
	                           .ns = t->job->metadata->namespace_,
	                           .name = t->job->metadata->name,
	                           .subresource = "status"};
	BatchV1__Job copy = *t->job;
	copy.status = status;
	client_write_msg(t->s->control.client, false, &at, &batch_v1__job_schema, &copy.base, done,
	                 t);
}

/* The next write goes on top of this one. */
static bool was_written(struct turn *t, const struct client_result *r)
{
	work_answer(t->work, r);
	if (r->code != ERR_OK)
		return false;
	struct memory *m = memory_of(t->s, t->job->metadata->uid);
	t->job->metadata = arena_memdup(&t->a, t->job->metadata, sizeof(*t->job->metadata));
	t->job->metadata->resource_version = arena_strdup(&t->a, r->resource_version);
	m->revision = strtoll(r->resource_version, NULL, 10);
	return true;
}

static void on_settled(const struct client_result *r, void *arg)
{
	struct turn *t = arg;
	if (was_written(t, r))
		tell(t, t->settled.events, t->settled.n_events);
	turn_end(t);
}

static void settle(struct turn *t)
{
	job_settle(&t->plan, &t->track, t->gone, &t->a, &t->settled);
	if (t->settled.differs)
		write_status(t, t->settled.status, on_settled);
	else
		turn_end(t);
}

struct release {
	struct turn *turn;
	size_t at;
};

static void on_released(const struct client_result *r, void *arg)
{
	struct release *x = arg;
	struct turn *t = x->turn;
	work_answer(t->work, r);
	if (r->code == ERR_OK || r->code == ERR_NOT_FOUND) {
		t->gone[x->at] = true;
		if (r->code == ERR_OK)
			map_put_str(&t->s->released, t->track.release[x->at]->metadata->uid, t->s);
	}
	if (!--t->waiting)
		settle(t);
}

static void drop_finalizer(struct jobs *s, const char *ns, const char *name, const char *uid,
                           client_done_fn done, void *arg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct client_target at = {.resource = {"", "v1", "pods"}, .ns = ns, .name = name};
	buf_printf(&b,
	           "{\"metadata\":{\"uid\":\"%s\",\"$deleteFromPrimitiveList/finalizers\":"
	           "[\"" JOB_FINALIZER "\"]}}",
	           uid);
	client_patch(s->control.client, &at, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, done, arg);
}

static void release_pods(struct turn *t)
{
	size_t n = t->track.n_release;
	t->gone = arena_array(&t->a, bool, n);
	memory_of(t->s, t->job->metadata->uid)->pods = t->plan.memory;
	if (!n) {
		settle(t);
		return;
	}
	struct release *list = arena_array(&t->a, struct release, n);
	t->waiting = n;
	for (size_t i = 0; i < n; i++) {
		const MetaV1__ObjectMeta *meta = t->track.release[i]->metadata;
		list[i] = (struct release){t, i};
		drop_finalizer(t->s, meta->namespace_, meta->name, meta->uid, on_released,
		               &list[i]);
	}
}

static void on_tracked(const struct client_result *r, void *arg)
{
	struct turn *t = arg;
	if (was_written(t, r)) {
		tell(t, t->plan.events, t->plan.n_events);
		release_pods(t);
	} else {
		turn_end(t);
	}
}

static void track(struct turn *t)
{
	job_track(&t->plan, t->created, t->removed, &t->a, &t->track);
	if (t->track.differs)
		write_status(t, t->track.status, on_tracked);
	else
		release_pods(t);
}

static void on_removed(size_t n, void *arg)
{
	struct turn *t = arg;
	t->removed = n;
	track(t);
}

static void remove_pods(struct turn *t)
{
	pods_remove(&t->s->control, t->work, t->job->metadata, t->plan.remove, t->plan.n_remove,
	            on_removed, t);
}

static void on_forgotten(const struct client_result *r, void *arg)
{
	struct release *x = arg;
	struct turn *t = x->turn;
	work_answer(t->work, r);
	if (r->code == ERR_OK)
		map_put_str(&t->s->released, t->plan.remove[x->at]->metadata->uid, t->s);
	if (!--t->waiting)
		remove_pods(t);
}

/* Pods that go though nothing has failed: without their finalizer they are not counted. */
static void forget_pods(struct turn *t)
{
	struct release *list = arena_array(&t->a, struct release, t->plan.n_remove);
	t->waiting = t->plan.n_remove;
	for (size_t i = 0; i < t->plan.n_remove; i++) {
		const MetaV1__ObjectMeta *meta = t->plan.remove[i]->metadata;
		list[i] = (struct release){t, i};
		drop_finalizer(t->s, meta->namespace_, meta->name, meta->uid, on_forgotten,
		               &list[i]);
	}
}

static void on_created(size_t n, void *arg)
{
	struct turn *t = arg;
	t->created = n;
	track(t);
}

static void make_pods(struct turn *t)
{
	struct pod_control *c = &t->s->control;
	const CoreV1__PodTemplateSpec *template = t->job->spec->template_;
	CoreV1__Pod **pods = arena_array(&t->a, CoreV1__Pod *, t->plan.n_create);
	for (size_t i = 0; i < t->plan.n_create; i++) {
		if (i && t->plan.create[i].index < 0) {
			pods[i] = pods[0];
			continue;
		}
		pods[i] = pod_from_template(c, t->job->metadata, template, &t->a);
		job_shape_pod(t->job, &t->plan.create[i], pods[i], &t->a);
	}
	pods_make(c, t->work, t->job->metadata, pods, t->plan.n_create, on_created, t);
}

/* --- one Job --- */

static bool may_be_adopted(const ProtobufCMessage *msg)
{
	return pod_is_active((const CoreV1__Pod *)msg);
}

static void claim_pods(struct turn *t)
{
	struct label_selector selector;
	CoreV1__Pod **pods;
	if (meta_label_selector(t->job->spec->selector, &t->a, &selector, NULL))
		return;
	const struct claim c = {.client = t->s->control.client,
	                        .resource = {"", "v1", "pods"},
	                        .schema = &core_v1__pod_schema,
	                        .objects = t->s->pods,
	                        .by_owner = t->s->by_owner,
	                        .orphans = t->s->orphans,
	                        .api_version = "batch/v1",
	                        .kind = "Job",
	                        .owner = t->job->metadata,
	                        .selector = &selector,
	                        .finalizer = JOB_FINALIZER,
	                        .adoptable = may_be_adopted};
	t->in.n_pods = claim_objects(&c, t->work, &t->a, &pods);
	t->in.pods = pods;
}

static struct turn *turn_new(struct jobs *s, const char *key)
{
	const struct informer_object *o = informer_get_key(s->jobs, key);
	const struct memory *m = o ? map_get_str(&s->memories, o->uid) : NULL;
	/* A copy that is older than what was written is followed by the event of that write. */
	if (!o || (m && o->revision < m->revision))
		return NULL;
	struct turn *t = heap_new(struct turn);
	t->s = s;
	t->job = (BatchV1__Job *)informer_object_decode(o, &batch_v1__job_schema, &t->a);
	if (!t->job || !job_is_ours(t->job) || job_is_finished(t->job)) {
		arena_deinit(&t->a);
		free(t);
		return NULL;
	}
	return t;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct jobs *s = arg;
	struct turn *t = turn_new(s, key);
	if (!t) {
		workqueue_done(q, key);
		return;
	}
	t->work = work_begin(q, key);
	t->in = (struct job_input){.job = t->job,
	                           .released = &s->released,
	                           .now_s = clock_real_ns() / 1000000000,
	                           .expecting = pod_control_pending(&s->control, t->job->metadata),
	                           .memory = memory_of(s, t->job->metadata->uid)->pods};
	claim_pods(t);
	job_plan(&t->in, &t->a, &t->plan);
	if (t->plan.recheck_s)
		workqueue_add_after(q, key,
		                    (uint64_t)MAX(t->plan.recheck_s - t->in.now_s, 1) * 1000);
	if (t->plan.n_remove && t->plan.uncounted)
		forget_pods(t);
	else if (t->plan.n_remove)
		remove_pods(t);
	else if (t->plan.n_create)
		make_pods(t);
	else
		track(t);
}

/* --- pods whose Job is over or gone --- */

static bool has_finalizer(const struct informer_object *pod)
{
	struct slice meta = pb_peek_path(pod->bytes, 1);
	struct pb_field f;
	while (pb_next_field(&meta, &f) == 1)
		if (f.number == META_FINALIZERS && slice_eq_str(f.bytes, JOB_FINALIZER))
			return true;
	return false;
}

static const struct informer_object *job_of(struct jobs *s, const struct informer_object *pod)
{
	size_t n = 0;
	const struct informer_object *const *list =
	    *pod->owner_uid ? informer_lookup(s->jobs, s->by_uid, pod->owner_uid, &n) : NULL;
	return n ? list[0] : NULL;
}

static bool owner_is_job(const struct informer_object *pod)
{
	struct meta_peek m;
	return !*pod->owner_uid || (meta_peek(pod->bytes, &m) && slice_eq_str(m.owner_kind, "Job"));
}

static void process_left(struct workqueue *q, const char *key, void *arg)
{
	struct jobs *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *pod = informer_get_key(s->pods, key);
	const struct informer_object *o = pod ? job_of(s, pod) : NULL;
	const BatchV1__Job *job =
	    o ? (BatchV1__Job *)informer_object_decode(o, &batch_v1__job_schema, &a) : NULL;
	if (!pod || !has_finalizer(pod) || !owner_is_job(pod) || (o && !job) ||
	    (job && (!job_is_ours(job) || !job_is_finished(job)))) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	drop_finalizer(s, pod->ns, pod->name, pod->uid, work_done, w);
}

static void look_after_pods(struct jobs *s, const struct informer_object *job)
{
	size_t n;
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->by_owner, job->uid, &n);
	for (size_t i = 0; i < n; i++)
		if (has_finalizer(pods[i]))
			workqueue_add(s->left, pods[i]->key);
}

/* --- events --- */

static void on_job(const struct informer_object *o, void *arg)
{
	struct jobs *s = arg;
	workqueue_add(s->queue, o->key);
	look_after_pods(s, o);
}

static void on_job_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_job(o, arg);
}

static void on_job_delete(const struct informer_object *old, void *arg)
{
	struct jobs *s = arg;
	pod_control_forget(&s->control, old->uid);
	free(map_del_str(&s->memories, old->uid));
	look_after_pods(s, old);
}

/* Wakes the Job that controls the pod or, for an orphan, those of its namespace. */
static void wake(struct jobs *s, const struct informer_object *pod)
{
	size_t n;
	const struct informer_object *const *list =
	    *pod->owner_uid ? informer_lookup(s->jobs, s->by_uid, pod->owner_uid, &n)
	                    : informer_lookup(s->jobs, s->by_ns, pod->ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, list[i]->key);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct jobs *s = arg;
	pod_control_seen(&s->control, o);
	wake(s, o);
	if (has_finalizer(o))
		workqueue_add(s->left, o->key);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	struct jobs *s = arg;
	bool lost = pod_control_updated(&s->control, old, o);
	if (!has_finalizer(o))
		map_del_str(&s->released, o->uid);
	else
		workqueue_add(s->left, o->key);
	if (lost)
		wake(s, old);
	wake(s, o);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	struct jobs *s = arg;
	pod_control_gone(&s->control, old);
	map_del_str(&s->released, old->uid);
	wake(s, old);
}

static void *make(struct manager *m)
{
	struct jobs *s = heap_new(struct jobs);
	pod_control_init(&s->control, m, "job-controller", controller_job.name, "batch/v1", "Job");
	s->queue = manager_queue(m, "job", WORKERS, process, s);
	s->left = manager_queue(m, "job_orphan_pod", WORKERS, process_left, s);
	s->jobs = informers_get(m->informers, &(struct client_resource){"batch", "v1", "jobs"},
	                        NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->by_owner = informer_add_index(s->pods, "owner", informer_index_owner);
	s->orphans = informer_add_index(s->pods, "orphan", index_orphan);
	s->by_uid = informer_add_index(s->jobs, "uid", index_uid);
	s->by_ns = informer_add_index(s->jobs, "ns", informer_index_ns);
	informer_add_handler(s->jobs,
	                     &(struct informer_handler){on_job, on_job_update, on_job_delete, s});
	informer_add_handler(s->pods,
	                     &(struct informer_handler){on_pod, on_pod_update, on_pod_delete, s});
	return s;
}

static void run(void *self)
{
	struct jobs *s = self;
	workqueue_start(s->queue);
	workqueue_start(s->left);
}

static void free_self(void *self)
{
	struct jobs *s = self;
	pod_control_deinit(&s->control);
	MAP_FOREACH (&s->memories, it)
		free(it->value);
	map_deinit(&s->memories);
	map_deinit(&s->released);
	workqueue_free(s->queue);
	workqueue_free(s->left);
	free(s);
}

const struct controller controller_job = {
    .name = "job-controller", .make = make, .run = run, .free = free_self};
