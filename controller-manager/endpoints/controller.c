/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the Endpoints controller: Services and pods in; Endpoints written. */
#include "common/base/heap.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/selectors.h"
#include "controller-manager/base/work.h"
#include "controller-manager/endpoints/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

struct endpoints {
	struct client *client;
	struct informer *services, *pods, *endpoints;
	unsigned pods_by_ns;
	struct service_selectors selectors;
	struct workqueue *queue;
};

static const struct client_resource endpoints_resource = {"", "v1", "endpoints"};

static size_t find_pods(struct endpoints *s, const CoreV1__Service *svc, struct arena *a,
                        CoreV1__Pod ***ret)
{
	struct label_selector sel = pb_map_selector(svc->spec->selector, svc->spec->n_selector, a);
	size_t n, found = 0;
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->pods_by_ns, svc->metadata->namespace_, &n);
	*ret = arena_array(a, CoreV1__Pod *, n);
	for (size_t i = 0; i < n; i++) {
		struct label_set labels = object_labels(pods[i], a);
		if (!label_selector_match_set(&sel, &labels))
			continue;
		(*ret)[found] =
		    (CoreV1__Pod *)informer_object_decode(pods[i], &core_v1__pod_schema, a);
		found += (*ret)[found] != NULL;
	}
	return found;
}

/* Of a Service that has gone: only what this controller made. */
static void remove_left(struct endpoints *s, struct work *w, const struct informer_object *o)
{
	_cleanup_arena_ struct arena a = {0};
	struct label_set labels = object_labels(o, &a);
	const char *by = label_set_get(&labels, ENDPOINTS_MANAGED_BY);
	struct client_target t = {.resource = endpoints_resource, .ns = o->ns, .name = o->name};
	struct client_delete_options d = {.grace_period_seconds = -1, .uid = o->uid};
	if (!by || strcmp(by, ENDPOINTS_MANAGER))
		return;
	work_hold(w);
	client_delete(s->client, &t, &d, work_done, w);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct endpoints *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->services, key);
	const struct informer_object *there = informer_get_key(s->endpoints, key);
	struct endpoints_input in = {0};
	CoreV1__Pod **pods;
	struct work *w = work_begin(q, key);
	if (o)
		in.service =
		    (CoreV1__Service *)informer_object_decode(o, &core_v1__service_schema, &a);
	if (there)
		in.current = (CoreV1__Endpoints *)informer_object_decode(
		    there, &core_v1__endpoints_schema, &a);
	if (!o && there)
		remove_left(s, w, there);
	/* Without a selector the Endpoints are made by others. */
	if (!in.service || !in.service->spec->n_selector ||
	    !strcmp(in.service->spec->type, "ExternalName")) {
		work_end(w);
		return;
	}
	in.n_pods = find_pods(s, in.service, &a, &pods);
	in.pods = pods;
	CoreV1__Endpoints *e = endpoints_plan(&in, &a);
	if (e) {
		struct client_target t = {.resource = endpoints_resource,
		                          .ns = e->metadata->namespace_,
		                          .name = in.current ? e->metadata->name : NULL};
		work_hold(w);
		client_write_msg(s->client, !in.current, &t, &core_v1__endpoints_schema, &e->base,
		                 in.current ? work_done : work_created, w);
	}
	work_end(w);
}

/* --- events --- */

static void on_service(const struct informer_object *o, void *arg)
{
	struct endpoints *s = arg;
	service_selectors_put(&s->selectors, o);
	workqueue_add(s->queue, o->key);
}

static void on_service_update(const struct informer_object *old, const struct informer_object *o,
                              void *arg)
{
	on_service(o, arg);
}

static void on_service_delete(const struct informer_object *old, void *arg)
{
	struct endpoints *s = arg;
	service_selectors_del(&s->selectors, old);
	workqueue_add(s->queue, old->key);
}

static void wake(const char *key, void *arg)
{
	workqueue_add(arg, key);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct endpoints *s = arg;
	service_selectors_match(&s->selectors, o, wake, s->queue);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_pod(old, arg);
	on_pod(o, arg);
}

static void on_endpoints(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct endpoints *)arg)->queue, o->key);
}

static void on_endpoints_update(const struct informer_object *old, const struct informer_object *o,
                                void *arg)
{
	on_endpoints(o, arg);
}

static void *make(struct manager *m)
{
	struct endpoints *s = heap_new(struct endpoints);
	s->client = manager_client(m, "endpoint-controller");
	s->queue = manager_queue(m, "endpoint", WORKERS, process, s);
	s->services = informers_get(m->informers, &(struct client_resource){"", "v1", "services"},
	                            NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->endpoints = informers_get(m->informers, &endpoints_resource, NULL, NULL, NULL);
	s->pods_by_ns = informer_add_index(s->pods, "ns", informer_index_ns);
	informer_add_handler(s->services, &(struct informer_handler){on_service, on_service_update,
	                                                             on_service_delete, s});
	informer_add_handler(s->pods, &(struct informer_handler){on_pod, on_pod_update, on_pod, s});
	informer_add_handler(s->endpoints, &(struct informer_handler){
	                                       on_endpoints, on_endpoints_update, on_endpoints, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct endpoints *)self)->queue);
}

static void free_self(void *self)
{
	struct endpoints *s = self;
	service_selectors_deinit(&s->selectors);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_endpoints = {
    .name = "endpoints-controller", .make = make, .run = run, .free = free_self};
