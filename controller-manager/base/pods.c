/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/pods.h"

#include "common/base/heap.h"
#include "common/base/vec.h"
#include "controller-manager/base/plan/owner.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

void pod_control_init(struct pod_control *c, struct manager *m, const char *account,
                      const char *component, const char *api_version, const char *kind)
{
	*c = (struct pod_control){.m = m,
	                          .client = manager_client(m, account),
	                          .recorder = recorder_new(m->client, component, NULL),
	                          .api_version = api_version,
	                          .kind = kind};
}

void pod_control_deinit(struct pod_control *c)
{
	recorder_free(c->recorder);
	expect_deinit(&c->expect);
	MAP_FOREACH (&c->failures, it)
		free(it->value);
	map_deinit(&c->failures);
}

const char *pod_control_failure(const struct pod_control *c, const MetaV1__ObjectMeta *owner)
{
	return map_get_str(&c->failures, owner->uid);
}

void pod_control_forget(struct pod_control *c, const char *owner_uid)
{
	expect_forget(&c->expect, owner_uid);
	free(map_del_str(&c->failures, owner_uid));
}

struct recorder_ref pod_control_ref(const struct pod_control *c, const MetaV1__ObjectMeta *owner)
{
	return (struct recorder_ref){.api_version = c->api_version,
	                             .kind = c->kind,
	                             .ns = owner->namespace_,
	                             .name = owner->name,
	                             .uid = owner->uid};
}

static uint64_t now_ms(const struct pod_control *c)
{
	return loop_now_ms(c->m->loop);
}

bool pod_control_pending(struct pod_control *c, const MetaV1__ObjectMeta *owner)
{
	return expect_pending(&c->expect, owner->uid, now_ms(c));
}

void pod_control_seen(struct pod_control *c, const struct informer_object *pod)
{
	if (*pod->owner_uid)
		expect_created(&c->expect, pod->owner_uid);
}

void pod_control_gone(struct pod_control *c, const struct informer_object *pod)
{
	if (*pod->owner_uid)
		expect_deleted(&c->expect, pod->owner_uid, pod->uid);
}

bool pod_control_updated(struct pod_control *c, const struct informer_object *old,
                         const struct informer_object *pod)
{
	if (pod->deleting)
		pod_control_gone(c, pod);
	return *old->owner_uid && strcmp(old->owner_uid, pod->owner_uid);
}

CoreV1__Pod *pod_from_template(const struct pod_control *c, const MetaV1__ObjectMeta *owner,
                               const CoreV1__PodTemplateSpec *template, struct arena *a)
{
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, a);
	if (template->metadata) {
		pod->metadata->n_labels = template->metadata->n_labels;
		pod->metadata->labels = template->metadata->labels;
		pod->metadata->n_annotations = template->metadata->n_annotations;
		pod->metadata->annotations = template->metadata->annotations;
		pod->metadata->n_finalizers = template->metadata->n_finalizers;
		pod->metadata->finalizers = template->metadata->finalizers;
	}
	pod->metadata->generate_name = arena_printf(a, "%s-", owner->name);
	pod->metadata->namespace_ = owner->namespace_;
	owner_set(pod->metadata, c->api_version, c->kind, owner->name, owner->uid, a);
	pod->spec = template->spec;
	return pod;
}

/* What a call of pods_make or pods_remove is about, while it lasts. */
struct batch {
	struct pod_control *c;
	struct work *work;
	char *ns, *name, *uid; /* the owner's */
	VEC(struct blob *) pods;
	size_t at, size, flying, done_n;
	bool failed;
	pods_done_fn done;
	void *arg;
};

static struct recorder_ref ref_of(const struct batch *b)
{
	return (struct recorder_ref){.api_version = b->c->api_version,
	                             .kind = b->c->kind,
	                             .ns = b->ns,
	                             .name = b->name,
	                             .uid = b->uid};
}

static struct batch *batch_new(struct pod_control *c, struct work *w,
                               const MetaV1__ObjectMeta *owner, pods_done_fn done, void *arg)
{
	struct batch *b = heap_new(struct batch);
	*b = (struct batch){.c = c,
	                    .work = w,
	                    .ns = heap_strdup(owner->namespace_),
	                    .name = heap_strdup(owner->name),
	                    .uid = heap_strdup(owner->uid),
	                    .size = 1,
	                    .done = done,
	                    .arg = arg};
	work_hold(w);
	return b;
}

static void batch_end(struct batch *b)
{
	if (b->done)
		b->done(b->done_n, b->arg);
	work_end(b->work);
	VEC_FOREACH (&b->pods, pod)
		blob_unref(*pod);
	vec_deinit(&b->pods);
	free(b->ns);
	free(b->name);
	free(b->uid);
	free(b);
}

/* --- making --- */

static void next_batch(struct batch *b);

static void on_made(const struct client_result *r, void *arg)
{
	struct batch *b = arg;
	struct recorder_ref ref = ref_of(b);
	if (r->code == ERR_OK) {
		struct meta_peek m = {0};
		b->done_n++;
		free(map_del_str(&b->c->failures, b->uid));
		if (meta_peek(r->object, &m))
			recorder_event(b->c->recorder, &ref, false, "SuccessfulCreate", NULL,
			               "Created pod: %.*s", SLICE_FMT(m.name));
	} else {
		expect_created(&b->c->expect, b->uid);
		b->failed = true;
		free(map_put_str(&b->c->failures, b->uid, heap_strdup(r->message)));
		/* A namespace that is going away refuses pods: nothing to tell or to try again. */
		if (r->code != ERR_FORBIDDEN || !strstr(r->message, "being terminated")) {
			work_answer(b->work, r);
			recorder_event(b->c->recorder, &ref, true, "FailedCreate", NULL,
			               "Error creating: %s", r->message);
		}
	}
	if (--b->flying)
		return;
	b->size *= 2;
	next_batch(b);
}

static void next_batch(struct batch *b)
{
	struct client_target t = {.resource = {"", "v1", "pods"}, .ns = b->ns};
	if (b->failed || b->at == b->pods.n) {
		/* What was not tried will not be seen either. */
		for (; b->at < b->pods.n; b->at++)
			expect_created(&b->c->expect, b->uid);
		batch_end(b);
		return;
	}
	size_t n = MIN(b->size, b->pods.n - b->at);
	b->flying = n;
	for (size_t i = 0; i < n; i++)
		client_create(b->c->client, &t, blob_view(b->pods.at[b->at++]), NULL, on_made, b);
}

void pods_make(struct pod_control *c, struct work *w, const MetaV1__ObjectMeta *owner,
               CoreV1__Pod *const *pods, size_t n, pods_done_fn done, void *arg)
{
	struct batch *b = batch_new(c, w, owner, done, arg);
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf bytes = BUF_INIT;
		if (i && pods[i] == pods[i - 1]) {
			struct blob *same = blob_ref(*vec_last(&b->pods));
			*vec_push(&b->pods) = same;
			continue;
		}
		pb_encode(&core_v1__pod_schema, &pods[i]->base, &bytes);
		*vec_push(&b->pods) = blob_dup(buf_view(&bytes));
	}
	if (n)
		expect_create(&c->expect, owner->uid, n, now_ms(c));
	next_batch(b);
}

/* --- deleting --- */

struct removal {
	struct batch *batch;
	char *name, *uid;
};

static void on_removed(const struct client_result *r, void *arg)
{
	struct removal *x = arg;
	struct batch *b = x->batch;
	struct recorder_ref ref = ref_of(b);
	if (r->code == ERR_OK) {
		b->done_n++;
		recorder_event(b->c->recorder, &ref, false, "SuccessfulDelete", NULL,
		               "Deleted pod: %s", x->name);
	} else {
		expect_deleted(&b->c->expect, b->uid, x->uid);
		if (r->code != ERR_NOT_FOUND)
			recorder_event(b->c->recorder, &ref, true, "FailedDelete", NULL,
			               "Error deleting: %s", r->message);
		work_answer(b->work, r);
	}
	free(x->name);
	free(x->uid);
	free(x);
	if (!--b->flying)
		batch_end(b);
}

void pods_remove(struct pod_control *c, struct work *w, const MetaV1__ObjectMeta *owner,
                 const CoreV1__Pod *const *pods, size_t n, pods_done_fn done, void *arg)
{
	if (!n) {
		if (done)
			done(0, arg);
		return;
	}
	struct batch *b = batch_new(c, w, owner, done, arg);
	b->flying = n;
	for (size_t i = 0; i < n; i++) {
		const MetaV1__ObjectMeta *meta = pods[i]->metadata;
		struct client_target t = {
		    .resource = {"", "v1", "pods"}, .ns = meta->namespace_, .name = meta->name};
		struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
		struct removal *x = heap_new(struct removal);
		*x = (struct removal){b, heap_strdup(meta->name), heap_strdup(meta->uid)};
		expect_delete(&c->expect, owner->uid, meta->uid, now_ms(c));
		client_delete(c->client, &t, &o, on_removed, x);
	}
}
