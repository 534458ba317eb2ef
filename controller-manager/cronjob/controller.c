/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the CronJob controller: CronJobs and Jobs in; Jobs made and deleted, status. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "controller-manager/base/index.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/cronjob/plan/plan.h"
#include "controller-manager/cronjob/zone.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5, LATE_MS = 100 };

struct cronjobs {
	struct manager *m;
	struct client *client;
	struct informer *crons, *jobs;
	unsigned by_owner, by_uid;
	struct workqueue *queue;
	struct recorder *recorder;
	struct map zones; /* name, "" the machine's own -> struct zone */
};

static const struct client_resource crons_resource = {"batch", "v1", "cronjobs"};
static const struct client_resource jobs_resource = {"batch", "v1", "jobs"};

/* One CronJob in hand while its Job is made. */
struct turn {
	struct cronjobs *s;
	struct work *work;
	struct arena a;
	const BatchV1__CronJob *cj;
	struct cronjob_plan plan;
};

static void turn_end(struct turn *t)
{
	struct work *w = t->work;
	arena_deinit(&t->a);
	free(t);
	work_end(w);
}

static void tell(struct turn *t, bool warning, const char *reason, const char *message,
                 const char *more)
{
	const MetaV1__ObjectMeta *m = t->cj->metadata;
	struct recorder_ref ref = {.api_version = "batch/v1",
	                           .kind = "CronJob",
	                           .ns = m->namespace_,
	                           .name = m->name,
	                           .uid = m->uid};
	recorder_event(t->s->recorder, &ref, warning, reason, NULL, "%s%s", message, more);
}

static struct zone *zone_of(struct cronjobs *s, const char *name)
{
	struct zone *z = map_get_str(&s->zones, name ? name : "");
	if (!z) {
		z = zone_load(name);
		if (z)
			map_put_str(&s->zones, name ? name : "", z);
	}
	return z;
}

static void write_status(struct turn *t, BatchV1__CronJobStatus *status)
{
	struct client_target at = {.resource = crons_resource,
	                           .ns = t->cj->metadata->namespace_,
	                           .name = t->cj->metadata->name,
	                           .subresource = "status"};
	BatchV1__CronJob copy = *t->cj;
	copy.status = status;
	work_hold(t->work);
	client_write_msg(t->s->client, false, &at, &batch_v1__cron_job_schema, &copy.base,
	                 work_done, t->work);
}

/* Names come from times, so that a Job is made once: one that is there was made by an earlier turn
 * whose status was lost. */
static void on_made(const struct client_result *r, void *arg)
{
	struct turn *t = arg;
	ProtobufCMessage *msg;
	bool refused = r->code == ERR_FORBIDDEN && strstr(r->message, "being terminated");
	if (r->code == ERR_OK && !pb_decode(&batch_v1__job_schema, r->object, &t->a, &msg, NULL)) {
		const BatchV1__Job *made = (BatchV1__Job *)msg;
		tell(t, false, "SuccessfulCreate", "Created job ", made->metadata->name);
		write_status(t, cronjob_started(&t->plan, made, &t->a));
	} else if (r->code == ERR_ALREADY_EXISTS) {
		const MetaV1__ObjectMeta *meta = t->plan.start->metadata;
		const struct informer_object *o =
		    informer_get(t->s->jobs, meta->namespace_, meta->name);
		if (o && !strcmp(o->owner_uid, t->cj->metadata->uid)) {
			msg = informer_object_decode(o, &batch_v1__job_schema, &t->a);
			if (msg)
				write_status(t,
				             cronjob_started(&t->plan, (BatchV1__Job *)msg, &t->a));
		} else if (!o) {
			t->work->failed = true; /* the informer is behind: try again */
		}
	} else if (!refused) {
		tell(t, true, "FailedCreate", "Error creating job: ", r->message);
		work_answer(t->work, r);
	}
	turn_end(t);
}

static void remove_jobs(struct turn *t)
{
	for (size_t i = 0; i < t->plan.n_remove; i++) {
		const MetaV1__ObjectMeta *meta = t->plan.remove[i]->metadata;
		struct client_target at = {
		    .resource = jobs_resource, .ns = meta->namespace_, .name = meta->name};
		struct client_delete_options o = {.grace_period_seconds = -1,
		                                  .uid = meta->uid,
		                                  .propagation_policy = "Background"};
		work_hold(t->work);
		client_delete(t->s->client, &at, &o, work_done, t->work);
		tell(t, false, "SuccessfulDelete", "Deleted job ", meta->name);
	}
}

static size_t find_jobs(struct cronjobs *s, const char *uid, struct arena *a, BatchV1__Job ***ret)
{
	size_t n, found = 0;
	const struct informer_object *const *list = informer_lookup(s->jobs, s->by_owner, uid, &n);
	*ret = arena_array(a, BatchV1__Job *, n);
	for (size_t i = 0; i < n; i++) {
		(*ret)[found] =
		    (BatchV1__Job *)informer_object_decode(list[i], &batch_v1__job_schema, a);
		found += (*ret)[found] != NULL;
	}
	return found;
}

static void carry_out(struct turn *t)
{
	struct cronjobs *s = t->s;
	const char *zone_name = t->cj->spec->time_zone;
	BatchV1__Job **jobs;
	struct zone *zone = zone_of(s, zone_name);
	int64_t now_ns = clock_real_ns();
	struct cronjob_input in = {.cj = t->cj,
	                           .now_s = now_ns / 1000000000,
	                           .offset = zone ? zone_offset : NULL,
	                           .offset_arg = zone,
	                           .zone_error = zone ? NULL : "unknown time zone"};
	in.n_jobs = find_jobs(s, t->cj->metadata->uid, &t->a, &jobs);
	in.jobs = jobs;
	cronjob_plan(&in, &t->a, &t->plan);
	for (size_t i = 0; i < t->plan.n_events; i++)
		tell(t, t->plan.events[i].warning, t->plan.events[i].reason,
		     t->plan.events[i].message, "");
	remove_jobs(t);
	if (t->plan.next_s) {
		/* A little late, so that the second has begun by every clock. */
		int64_t wait_ms = t->plan.next_s * 1000 - now_ns / 1000000 + LATE_MS;
		workqueue_add_after(s->queue, t->work->key, (uint64_t)MAX(wait_ms, 1));
	}
	if (t->plan.start) {
		struct client_target at = {.resource = jobs_resource,
		                           .ns = t->cj->metadata->namespace_};
		client_write_msg(s->client, true, &at, &batch_v1__job_schema, &t->plan.start->base,
		                 on_made, t);
		return;
	}
	if (t->plan.status_differs)
		write_status(t, t->plan.status);
	turn_end(t);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct cronjobs *s = arg;
	const struct informer_object *o = informer_get_key(s->crons, key);
	struct turn *t = heap_new(struct turn);
	t->s = s;
	if (o)
		t->cj = (BatchV1__CronJob *)informer_object_decode(o, &batch_v1__cron_job_schema,
		                                                   &t->a);
	t->work = work_begin(q, key);
	if (t->cj)
		carry_out(t);
	else
		turn_end(t);
}

/* --- events --- */

static void on_cron(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct cronjobs *)arg)->queue, o->key);
}

static void on_cron_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	on_cron(o, arg);
}

static void on_job(const struct informer_object *o, void *arg)
{
	struct cronjobs *s = arg;
	size_t n;
	if (!*o->owner_uid)
		return;
	const struct informer_object *const *list =
	    informer_lookup(s->crons, s->by_uid, o->owner_uid, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, list[i]->key);
}

static void on_job_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_job(o, arg);
}

static void *make(struct manager *m)
{
	struct cronjobs *s = heap_new(struct cronjobs);
	s->m = m;
	s->client = manager_client(m, "cronjob-controller");
	s->recorder = recorder_new(m->client, controller_cronjob.name, NULL);
	s->queue = manager_queue(m, "cronjob", WORKERS, process, s);
	s->crons = informers_get(m->informers, &crons_resource, NULL, NULL, NULL);
	s->jobs = informers_get(m->informers, &jobs_resource, NULL, NULL, NULL);
	s->by_owner = informer_add_index(s->jobs, "owner", informer_index_owner);
	s->by_uid = informer_add_index(s->crons, "uid", index_uid);
	informer_add_handler(s->crons,
	                     &(struct informer_handler){on_cron, on_cron_update, NULL, s});
	informer_add_handler(s->jobs, &(struct informer_handler){on_job, on_job_update, on_job, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct cronjobs *)self)->queue);
}

static void free_self(void *self)
{
	struct cronjobs *s = self;
	recorder_free(s->recorder);
	MAP_FOREACH (&s->zones, it)
		zone_free(it->value);
	map_deinit(&s->zones);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_cronjob = {
    .name = "cronjob-controller", .make = make, .run = run, .free = free_self};
