/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes Jobs some time after they have finished. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/ttl-after-finished/plan/plan.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

struct ttl {
	struct client *client;
	struct informer *jobs;
	struct workqueue *queue;
};

static const struct client_resource jobs_resource = {"batch", "v1", "jobs"};

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct ttl *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->jobs, key);
	const BatchV1__Job *job =
	    o ? (BatchV1__Job *)informer_object_decode(o, &batch_v1__job_schema, &a) : NULL;
	int64_t at, now = clock_real_ns() / 1000000000;
	if (!job || !ttl_expiry(job, &at)) {
		workqueue_done(q, key);
		return;
	}
	if (at > now) {
		workqueue_add_after(q, key, (uint64_t)(at - now) * 1000);
		workqueue_done(q, key);
		return;
	}
	/* The version says that the time was read from the newest copy. */
	struct client_target t = {.resource = jobs_resource, .ns = o->ns, .name = o->name};
	struct client_delete_options d = {.grace_period_seconds = -1,
	                                  .uid = o->uid,
	                                  .resource_version = job->metadata->resource_version,
	                                  .propagation_policy = "Foreground"};
	client_delete(s->client, &t, &d, work_done, work_begin(q, key));
}

static void on_job(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct ttl *)arg)->queue, o->key);
}

static void on_job_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_job(o, arg);
}

static void *make(struct manager *m)
{
	struct ttl *s = heap_new(struct ttl);
	s->client = manager_client(m, "ttl-after-finished-controller");
	s->queue = manager_queue(m, "ttl_jobs_to_delete", WORKERS, process, s);
	s->jobs = informers_get(m->informers, &jobs_resource, NULL, NULL, NULL);
	informer_add_handler(s->jobs, &(struct informer_handler){on_job, on_job_update, NULL, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct ttl *)self)->queue);
}

static void free_self(void *self)
{
	struct ttl *s = self;
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_ttl_after_finished = {
    .name = "ttl-after-finished-controller", .make = make, .run = run, .free = free_self};
