/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the ResourceQuota controller: quotas and what they count in; status out. Informers
 * are made for what some quota names, when it does: a cluster without quotas watches nothing. */
#include "common/base/heap.h"
#include "common/base/vec.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/resourcequota/plan/plan.h"
#include "proto/msg.h"
#include "proto/resource_table.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5, SYNC_WAIT_MS = 100, SETTLE_MS = 1000, RESYNC_MS = 5 * 60 * 1000 };

struct quotas;

struct counted {
	struct quotas *s;
	const struct resource_info *res;
	struct informer *objects;
	unsigned by_ns;
};

struct quotas {
	struct manager *m;
	struct client *client;
	struct informer *quotas;
	unsigned by_ns;
	struct workqueue *queue;
	VEC(struct counted *) counted;
	struct loop_timer resync;
};

static const struct client_resource quotas_resource = {"", "v1", "resourcequotas"};

/* --- what is counted --- */

static void wake_namespace(struct quotas *s, const char *ns, uint64_t delay_ms)
{
	size_t n;
	const struct informer_object *const *list = informer_lookup(s->quotas, s->by_ns, ns, &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add_after(s->queue, list[i]->key, delay_ms);
}

/* Admission has counted it; what it wrote may be newer than the copies here. */
static void on_object(const struct informer_object *o, void *arg)
{
	wake_namespace(((struct counted *)arg)->s, o->ns, SETTLE_MS);
}

static void on_object_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	on_object(o, arg);
}

static void on_object_delete(const struct informer_object *old, void *arg)
{
	wake_namespace(((struct counted *)arg)->s, old->ns, 0);
}

static bool has_usage(const struct resource_info *r)
{
	return !r->group[0] && (!strcmp(r->resource, "pods") || !strcmp(r->resource, "services") ||
	                        !strcmp(r->resource, "persistentvolumeclaims"));
}

static struct counted *counted_of(struct quotas *s, const struct resource_info *r)
{
	VEC_FOREACH (&s->counted, it)
		if ((*it)->res == r)
			return *it;
	struct counted *c = heap_new(struct counted);
	*c = (struct counted){.s = s, .res = r};
	*vec_push(&s->counted) = c;
	c->objects = informers_get(s->m->informers,
	                           &(struct client_resource){r->group, r->version, r->resource},
	                           NULL, NULL, NULL);
	c->by_ns = informer_add_index(c->objects, "ns", informer_index_ns);
	informer_add_handler(c->objects, &(struct informer_handler){
	                                     on_object, has_usage(r) ? on_object_update : NULL,
	                                     on_object_delete, c});
	return c;
}

/* --- one quota --- */

/* All objects that count; false while an informer has not listed them yet. */
static bool gather(struct quotas *s, const CoreV1__ResourceQuota *q, struct arena *a,
                   struct quota_object **ret, size_t *ret_n)
{
	const struct resource_info **resources;
	size_t n = quota_resources(q, a, &resources), total = 0, found = 0;
	bool synced = true;
	for (size_t i = 0; i < n; i++)
		synced &= informer_synced(counted_of(s, resources[i])->objects);
	for (size_t i = 0; i < n && synced; i++) {
		size_t k;
		const struct counted *c = counted_of(s, resources[i]);
		informer_lookup(c->objects, c->by_ns, q->metadata->namespace_, &k);
		total += k;
	}
	*ret = arena_array(a, struct quota_object, total);
	for (size_t i = 0; i < n && synced; i++) {
		size_t k;
		const struct counted *c = counted_of(s, resources[i]);
		const struct informer_object *const *list =
		    informer_lookup(c->objects, c->by_ns, q->metadata->namespace_, &k);
		for (size_t j = 0; j < k; j++) {
			const ProtobufCMessage *msg =
			    has_usage(c->res) ? informer_object_decode(list[j], c->res->schema, a)
			                      : NULL;
			if (msg || !has_usage(c->res))
				(*ret)[found++] = (struct quota_object){c->res, msg};
		}
	}
	*ret_n = found;
	return synced;
}

static void process(struct workqueue *queue, const char *key, void *arg)
{
	struct quotas *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->quotas, key);
	const CoreV1__ResourceQuota *q = o ? (CoreV1__ResourceQuota *)informer_object_decode(
	                                         o, &core_v1__resource_quota_schema, &a)
	                                   : NULL;
	struct quota_object *objects;
	size_t n;
	if (q && !gather(s, q, &a, &objects, &n)) {
		workqueue_add_after(queue, key, SYNC_WAIT_MS);
		q = NULL;
	}
	CoreV1__ResourceQuotaStatus *status = q ? quota_plan(q, objects, n, &a) : NULL;
	if (!status) {
		workqueue_done(queue, key);
		return;
	}
	struct client_target t = {
	    .resource = quotas_resource, .ns = o->ns, .name = o->name, .subresource = "status"};
	CoreV1__ResourceQuota copy = *q;
	copy.status = status;
	client_write_msg(s->client, false, &t, &core_v1__resource_quota_schema, &copy.base,
	                 work_done, work_begin(queue, key));
}

/* --- events --- */

static void on_quota(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct quotas *)arg)->queue, o->key);
}

/* Its status changes with each object that admission lets in: only a new spec is looked at. */
static void on_quota_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	if (!slice_eq(pb_peek_path(old->bytes, 2), pb_peek_path(o->bytes, 2)))
		on_quota(o, arg);
}

static void resync(void *arg)
{
	struct quotas *s = arg;
	informer_each(s->quotas, on_quota, s);
	loop_timer_start(&s->resync, RESYNC_MS);
}

static void *make(struct manager *m)
{
	struct quotas *s = heap_new(struct quotas);
	s->m = m;
	s->client = manager_client(m, "resourcequota-controller");
	s->queue = manager_queue(m, "resourcequota_primary", WORKERS, process, s);
	s->quotas = informers_get(m->informers, &quotas_resource, NULL, NULL, NULL);
	s->by_ns = informer_add_index(s->quotas, "ns", informer_index_ns);
	informer_add_handler(s->quotas,
	                     &(struct informer_handler){on_quota, on_quota_update, NULL, s});
	loop_timer_init(&s->resync, m->loop, resync, s);
	return s;
}

static void run(void *self)
{
	struct quotas *s = self;
	workqueue_start(s->queue);
	loop_timer_start(&s->resync, RESYNC_MS);
}

static void free_self(void *self)
{
	struct quotas *s = self;
	loop_timer_stop(&s->resync);
	VEC_FOREACH (&s->counted, c)
		free(*c);
	vec_deinit(&s->counted);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_resourcequota = {
    .name = "resourcequota-controller", .make = make, .run = run, .free = free_self};
