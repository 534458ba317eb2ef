/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the EndpointSlice mirroring controller: Endpoints and Services in; slices written.
 */
#include "common/base/heap.h"
#include "controller-manager/base/expect.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/slices.h"
#include "controller-manager/base/work.h"
#include "controller-manager/endpointslice-mirroring/plan/plan.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

#define MINE "endpointslice.kubernetes.io/managed-by=" MIRROR_MANAGER

struct mirrors {
	struct manager *m;
	struct client *client;
	struct informer *endpoints, *services, *slices;
	unsigned slices_by_owner;
	struct workqueue *queue;
	struct expectations expect; /* slices made, by the uid of the Endpoints */
};

static void write_all(struct mirrors *s, struct work *w, const char *owner_uid,
                      const struct mirror_plan *plan)
{
	for (size_t i = 0; i < plan->n_create; i++)
		slice_make(s->client, &s->expect, w, owner_uid, plan->create[i],
		           loop_now_ms(s->m->loop));
	for (size_t i = 0; i < plan->n_update + plan->n_remove; i++) {
		bool update = i < plan->n_update;
		const DiscoveryV1__EndpointSlice *slice =
		    update ? plan->update[i] : plan->remove[i - plan->n_update];
		const MetaV1__ObjectMeta *meta = slice->metadata;
		struct client_target t = {
		    .resource = slices_resource, .ns = meta->namespace_, .name = meta->name};
		struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
		work_hold(w);
		if (update)
			client_write_msg(s->client, false, &t, &discovery_v1__endpoint_slice_schema,
			                 &slice->base, work_done, w);
		else
			client_delete(s->client, &t, &o, work_done, w);
	}
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct mirrors *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->endpoints, key);
	const struct informer_object *service = informer_get_key(s->services, key);
	struct mirror_input in = {0};
	struct mirror_plan plan;
	size_t n;
	/* Slices of Endpoints that have gone are collected. */
	if (o && !expect_pending(&s->expect, o->uid, loop_now_ms(s->m->loop)))
		in.endpoints =
		    (CoreV1__Endpoints *)informer_object_decode(o, &core_v1__endpoints_schema, &a);
	if (!in.endpoints) {
		workqueue_done(q, key);
		return;
	}
	if (service)
		in.service = (CoreV1__Service *)informer_object_decode(
		    service, &core_v1__service_schema, &a);
	const struct informer_object *const *owned =
	    informer_lookup(s->slices, s->slices_by_owner, o->uid, &n);
	DiscoveryV1__EndpointSlice **slices = arena_array(&a, DiscoveryV1__EndpointSlice *, n);
	for (size_t i = 0; i < n; i++) {
		slices[in.n_slices] = (DiscoveryV1__EndpointSlice *)informer_object_decode(
		    owned[i], &discovery_v1__endpoint_slice_schema, &a);
		in.n_slices += slices[in.n_slices] != NULL;
	}
	in.slices = slices;
	mirror_plan(&in, &a, &plan);
	struct work *w = work_begin(q, key);
	write_all(s, w, o->uid, &plan);
	work_end(w);
}

/* --- events: Endpoints and Services have the same key --- */

static void on_object(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct mirrors *)arg)->queue, o->key);
}

static void on_object_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	on_object(o, arg);
}

static void on_endpoints_delete(const struct informer_object *old, void *arg)
{
	expect_forget(&((struct mirrors *)arg)->expect, old->uid);
}

static void on_slice(const struct informer_object *o, void *arg)
{
	struct mirrors *s = arg;
	struct meta_peek m;
	if (meta_peek(o->bytes, &m)) {
		_cleanup_buf_ struct buf key = BUF_INIT;
		buf_printf(&key, "%s/%.*s", o->ns, SLICE_FMT(m.owner_name));
		workqueue_add(s->queue, (const char *)key.data);
	}
}

static void on_slice_add(const struct informer_object *o, void *arg)
{
	expect_created(&((struct mirrors *)arg)->expect, o->owner_uid);
	on_slice(o, arg);
}

static void on_slice_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	on_slice(o, arg);
}

static void *make(struct manager *m)
{
	struct mirrors *s = heap_new(struct mirrors);
	s->m = m;
	s->client = manager_client(m, "endpointslicemirroring-controller");
	s->queue = manager_queue(m, "endpoint_slice_mirroring", WORKERS, process, s);
	s->services = informers_get(m->informers, &(struct client_resource){"", "v1", "services"},
	                            NULL, NULL, NULL);
	s->endpoints = informers_get(m->informers, &(struct client_resource){"", "v1", "endpoints"},
	                             NULL, NULL, NULL);
	s->slices = informers_get(m->informers, &slices_resource, NULL, MINE, NULL);
	s->slices_by_owner = informer_add_index(s->slices, "owner", informer_index_owner);
	informer_add_handler(s->services,
	                     &(struct informer_handler){on_object, on_object_update, on_object, s});
	informer_add_handler(s->endpoints, &(struct informer_handler){on_object, on_object_update,
	                                                              on_endpoints_delete, s});
	informer_add_handler(
	    s->slices, &(struct informer_handler){on_slice_add, on_slice_update, on_slice, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct mirrors *)self)->queue);
}

static void free_self(void *self)
{
	struct mirrors *s = self;
	expect_deinit(&s->expect);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_endpointslice_mirroring = {
    .name = "endpointslice-mirroring-controller", .make = make, .run = run, .free = free_self};
