/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the EndpointSlice controller: Services, pods and nodes in; slices written. */
#include "common/client/meta_peek.h"
#include "controller-manager/base/expect.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/selectors.h"
#include "controller-manager/base/slices.h"
#include "controller-manager/base/work.h"
#include "controller-manager/endpointslice/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

#define MINE "endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io"

struct slices {
	struct manager *m;
	struct client *client;
	struct informer *services, *pods, *nodes, *slices;
	unsigned pods_by_ns, pods_by_node, slices_by_owner;
	struct service_selectors selectors;
	struct workqueue *queue;
	struct expectations expect; /* slices made, by the Service's uid */
};

/* Writes */

static void write_all(struct slices *s, struct work *w, const CoreV1__Service *svc,
                      const struct slice_plan *plan)
{
	for (size_t i = 0; i < plan->n_create; i++)
		slice_make(s->client, &s->expect, w, svc->metadata->uid, plan->create[i],
		           loop_now_ms(s->m->loop));
	for (size_t i = 0; i < plan->n_update; i++) {
		const MetaV1__ObjectMeta *meta = plan->update[i]->metadata;
		struct client_target t = {
		    .resource = slices_resource, .ns = meta->namespace_, .name = meta->name};
		work_hold(w);
		client_write_msg(s->client, false, &t, &discovery_v1__endpoint_slice_schema,
		                 &plan->update[i]->base, work_done, w);
	}
	for (size_t i = 0; i < plan->n_remove; i++) {
		const MetaV1__ObjectMeta *meta = plan->remove[i]->metadata;
		struct client_target t = {
		    .resource = slices_resource, .ns = meta->namespace_, .name = meta->name};
		struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
		work_hold(w);
		client_delete(s->client, &t, &o, work_done, w);
	}
}

/* One Service */

static const char *zone_of(const struct informer_object *node, struct arena *a)
{
	struct label_set labels = object_labels(node, a);
	return label_set_get(&labels, "topology.kubernetes.io/zone");
}

static size_t find_pods(struct slices *s, const CoreV1__Service *svc, struct arena *a,
                        struct slice_pod **ret)
{
	struct label_selector sel = pb_map_selector(svc->spec->selector, svc->spec->n_selector, a);
	size_t n, found = 0;
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->pods_by_ns, svc->metadata->namespace_, &n);
	*ret = arena_array(a, struct slice_pod, n);
	for (size_t i = 0; i < n; i++) {
		struct label_set labels = object_labels(pods[i], a);
		if (!label_selector_match_set(&sel, &labels))
			continue;
		CoreV1__Pod *pod =
		    (CoreV1__Pod *)informer_object_decode(pods[i], &core_v1__pod_schema, a);
		if (!pod)
			continue;
		const struct informer_object *node =
		    informer_get_key(s->nodes, pod->spec->node_name);
		(*ret)[found++] =
		    (struct slice_pod){pod, node != NULL, node ? zone_of(node, a) : NULL};
	}
	return found;
}

static size_t find_slices(struct slices *s, const CoreV1__Service *svc, struct arena *a,
                          DiscoveryV1__EndpointSlice ***ret)
{
	size_t n, found = 0;
	const struct informer_object *const *owned =
	    informer_lookup(s->slices, s->slices_by_owner, svc->metadata->uid, &n);
	*ret = arena_array(a, DiscoveryV1__EndpointSlice *, n);
	for (size_t i = 0; i < n; i++) {
		(*ret)[found] = (DiscoveryV1__EndpointSlice *)informer_object_decode(
		    owned[i], &discovery_v1__endpoint_slice_schema, a);
		found += (*ret)[found] != NULL;
	}
	return found;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct slices *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->services, key);
	CoreV1__Service *svc =
	    o ? (CoreV1__Service *)informer_object_decode(o, &core_v1__service_schema, &a) : NULL;
	/* Services without a selector have endpoints made by others; of a Service that is going
	 * away they are collected; while slices are on their way, the next event comes. */
	if (!svc || !svc->spec->n_selector || !strcmp(svc->spec->type, "ExternalName") ||
	    svc->metadata->deletion_timestamp ||
	    expect_pending(&s->expect, svc->metadata->uid, loop_now_ms(s->m->loop))) {
		workqueue_done(q, key);
		return;
	}
	struct slice_pod *pods;
	DiscoveryV1__EndpointSlice **slices;
	struct slice_input in = {.service = svc};
	struct slice_plan plan;
	in.n_pods = find_pods(s, svc, &a, &pods);
	in.n_slices = find_slices(s, svc, &a, &slices);
	in.pods = pods;
	in.slices = slices;
	slice_plan(&in, &a, &plan);
	struct work *w = work_begin(q, key);
	write_all(s, w, svc, &plan);
	work_end(w);
}

/* Events */

static void on_service(const struct informer_object *o, void *arg)
{
	struct slices *s = arg;
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
	struct slices *s = arg;
	service_selectors_del(&s->selectors, old);
	expect_forget(&s->expect, old->uid);
}

static void wake(const char *key, void *arg)
{
	workqueue_add(arg, key);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct slices *s = arg;
	service_selectors_match(&s->selectors, o, wake, s->queue);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	on_pod(old, arg);
	on_pod(o, arg);
}

static void on_slice(const struct informer_object *o, void *arg)
{
	struct slices *s = arg;
	_cleanup_arena_ struct arena a = {0};
	struct label_set labels = object_labels(o, &a);
	const char *name = label_set_get(&labels, "kubernetes.io/service-name");
	if (name)
		workqueue_add(s->queue, arena_printf(&a, "%s/%s", o->ns, name));
}

static void on_slice_add(const struct informer_object *o, void *arg)
{
	struct slices *s = arg;
	expect_created(&s->expect, o->owner_uid);
	on_slice(o, arg);
}

static void on_slice_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	on_slice(o, arg);
}

/* Pods may have been seen before their node. */
static void on_node(const struct informer_object *o, void *arg)
{
	struct slices *s = arg;
	size_t n;
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->pods_by_node, o->name, &n);
	for (size_t i = 0; i < n; i++)
		on_pod(pods[i], s);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	_cleanup_arena_ struct arena a = {0};
	const char *was = zone_of(old, &a), *is = zone_of(o, &a);
	if (strcmp(was ? was : "", is ? is : ""))
		on_node(o, arg);
}

static void *make(struct manager *m)
{
	struct slices *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->m = m;
	s->client = manager_client(m, "endpointslice-controller");
	s->queue = manager_queue(m, "endpoint_slice", WORKERS, process, s);
	s->services = informers_get(m->informers, &(struct client_resource){"", "v1", "services"},
	                            NULL, NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->nodes = informers_get(m->informers, &(struct client_resource){"", "v1", "nodes"}, NULL,
	                         NULL, NULL);
	s->slices = informers_get(m->informers, &slices_resource, NULL, MINE, NULL);
	s->pods_by_ns = informer_add_index(s->pods, "ns", informer_index_ns);
	s->pods_by_node = informer_add_index(s->pods, "node", informer_index_pod_node);
	s->slices_by_owner = informer_add_index(s->slices, "owner", informer_index_owner);
	informer_add_handler(s->services, &(struct informer_handler){on_service, on_service_update,
	                                                             on_service_delete, s});
	informer_add_handler(s->pods, &(struct informer_handler){on_pod, on_pod_update, on_pod, s});
	informer_add_handler(s->nodes,
	                     &(struct informer_handler){on_node, on_node_update, NULL, s});
	informer_add_handler(
	    s->slices, &(struct informer_handler){on_slice_add, on_slice_update, on_slice, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct slices *)self)->queue);
}

static void free_self(void *self)
{
	struct slices *s = self;
	service_selectors_deinit(&s->selectors);
	expect_deinit(&s->expect);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_endpointslice = {
    .name = "endpointslice-controller", .make = make, .run = run, .free = free_self};
