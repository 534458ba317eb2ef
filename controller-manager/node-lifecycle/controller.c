/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the node lifecycle controller: nodes and their leases in; taints, Unknown conditions
 * and pods that are not ready any more out. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/client/meta_peek.h"
#include "common/codec/rfc3339.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/node-lifecycle/plan/plan.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

/* What is known of a node from looking at it. */
struct node_health {
	uint64_t alive_ms; /* when a sign of life came, on this machine's clock */
	uint64_t heartbeat;
	enum { UNSEEN, SEEN_READY, SEEN_NOT_READY } last;
};

struct lifecycle {
	struct manager *m;
	struct client *client;
	struct informer *nodes, *leases, *pods;
	unsigned pods_by_node;
	struct workqueue *queue;
	struct recorder *recorder;
	struct map health; /* node -> struct node_health */
};

static const struct client_resource nodes_resource = {"", "v1", "nodes"};

static struct node_health *health_of(struct lifecycle *s, const char *node)
{
	struct node_health *h = map_get_str(&s->health, node);
	if (!h) {
		h = calloc(1, sizeof(*h));
		if (!h)
			abort();
		h->alive_ms = loop_now_ms(s->m->loop);
		map_put_str(&s->health, node, h);
	}
	return h;
}

/* The newest heartbeat in the node's status, in seconds. */
static uint64_t heartbeat_of(const CoreV1__Node *node)
{
	int64_t newest = 0;
	for (size_t i = 0; i < node->status->n_conditions; i++) {
		const CoreV1__NodeCondition *c = node->status->conditions[i];
		if (!strcmp(c->type, "Ready") && c->last_heartbeat_time)
			newest = c->last_heartbeat_time->seconds;
	}
	return (uint64_t)newest;
}

/* Pods of a node that is not ready */

static void mark_pod(struct lifecycle *s, struct work *w, const struct informer_object *o)
{
	_cleanup_arena_ struct arena a = {0};
	char now[RFC3339_BYTES];
	CoreV1__Pod *pod = (CoreV1__Pod *)informer_object_decode(o, &core_v1__pod_schema, &a);
	bool ready = false;
	for (size_t i = 0; pod && i < pod->status->n_conditions; i++)
		ready |= !strcmp(pod->status->conditions[i]->type, "Ready") &&
		         !strcmp(pod->status->conditions[i]->status, "True");
	if (!ready)
		return;
	rfc3339_format(clock_real_ns() / 1000000000, now);
	const char *patch = arena_printf(
	    &a,
	    "{\"metadata\":{\"uid\":\"%s\"},\"status\":{\"conditions\":[{\"type\":\"Ready\","
	    "\"status\":\"False\",\"lastTransitionTime\":\"%s\"}]}}",
	    o->uid, now);
	struct client_target t = {
	    .resource = {"", "v1", "pods"}, .ns = o->ns, .name = o->name, .subresource = "status"};
	struct recorder_ref ref = {
	    .api_version = "v1", .kind = "Pod", .ns = o->ns, .name = o->name, .uid = o->uid};
	work_hold(w);
	client_patch(s->client, &t, CLIENT_PATCH_STRATEGIC, slice_str(patch), NULL, work_done, w);
	recorder_event(s->recorder, &ref, true, "NodeNotReady", NULL, "Node is not ready");
}

static void on_not_ready(struct lifecycle *s, struct work *w, const struct informer_object *node)
{
	struct recorder_ref ref = {
	    .api_version = "v1", .kind = "Node", .name = node->name, .uid = node->uid};
	size_t n;
	recorder_event(s->recorder, &ref, false, "NodeNotReady", NULL,
	               "Node %s status is now: NodeNotReady", node->name);
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->pods_by_node, node->name, &n);
	for (size_t i = 0; i < n; i++)
		mark_pod(s, w, pods[i]);
}

/* One node */

static void write_node(struct lifecycle *s, struct work *w, const CoreV1__Node *node,
                       const struct node_plan *plan)
{
	struct client_target t = {.resource = nodes_resource, .name = node->metadata->name};
	CoreV1__Node copy = *node;
	if (plan->status_differs) {
		/* The taints follow when the new conditions are seen. */
		copy.status = plan->status;
		t.subresource = "status";
	} else if (plan->taints_differ) {
		copy.spec = plan->spec;
	} else {
		return;
	}
	work_hold(w);
	client_write_msg(s->client, false, &t, &core_v1__node_schema, &copy.base, work_done, w);
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct lifecycle *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->nodes, key);
	CoreV1__Node *node =
	    o ? (CoreV1__Node *)informer_object_decode(o, &core_v1__node_schema, &a) : NULL;
	if (!node) {
		free(map_del_str(&s->health, key));
		workqueue_done(q, key);
		return;
	}
	struct node_health *h = health_of(s, key);
	uint64_t now_ms = loop_now_ms(s->m->loop), grace_ms = (uint64_t)s->m->o.node_grace_ms;
	if (heartbeat_of(node) != h->heartbeat) {
		h->heartbeat = heartbeat_of(node);
		h->alive_ms = now_ms;
	}
	struct node_input in = {.node = node,
	                        .silent = now_ms - h->alive_ms >= grace_ms,
	                        .now_s = clock_real_ns() / 1000000000};
	struct node_plan plan;
	struct work *w = work_begin(q, key);
	node_plan(&in, &a, &plan);
	write_node(s, w, node, &plan);
	if (!plan.ready && h->last != SEEN_NOT_READY)
		on_not_ready(s, w, o);
	h->last = plan.ready ? SEEN_READY : SEEN_NOT_READY;
	if (!in.silent)
		workqueue_add_after(q, key, h->alive_ms + grace_ms - now_ms);
	work_end(w);
}

/* Events */

static void on_node(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct lifecycle *)arg)->queue, o->key);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	on_node(o, arg);
}

/* A renewed lease is a sign of life; the node is looked at when the last one is too old. */
static void on_lease(const struct informer_object *o, void *arg)
{
	struct lifecycle *s = arg;
	if (!informer_get_key(s->nodes, o->name))
		return;
	struct node_health *h = health_of(s, o->name);
	uint64_t now_ms = loop_now_ms(s->m->loop);
	bool was_silent = now_ms - h->alive_ms >= (uint64_t)s->m->o.node_grace_ms;
	h->alive_ms = now_ms;
	if (was_silent)
		workqueue_add(s->queue, o->name);
}

static void on_lease_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	static const uint32_t renew_time[] = {2, 4};
	if (!slice_eq(pb_peek(old->bytes, renew_time, 2), pb_peek(o->bytes, renew_time, 2)))
		on_lease(o, arg);
}

static void *make(struct manager *m)
{
	struct lifecycle *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->m = m;
	s->client = manager_client(m, "node-controller");
	s->recorder = recorder_new(m->client, "node-controller", NULL);
	s->queue = manager_queue(m, "node_lifecycle_controller", WORKERS, process, s);
	s->nodes = informers_get(m->informers, &nodes_resource, NULL, NULL, NULL);
	s->leases = informers_get(m->informers,
	                          &(struct client_resource){"coordination.k8s.io", "v1", "leases"},
	                          "kube-node-lease", NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->pods_by_node = informer_add_index(s->pods, "node", informer_index_pod_node);
	informer_add_handler(s->nodes,
	                     &(struct informer_handler){on_node, on_node_update, on_node, s});
	informer_add_handler(s->leases,
	                     &(struct informer_handler){on_lease, on_lease_update, NULL, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct lifecycle *)self)->queue);
}

static void free_self(void *self)
{
	struct lifecycle *s = self;
	recorder_free(s->recorder);
	MAP_FOREACH (&s->health, it)
		free(it->value);
	map_deinit(&s->health);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_node_lifecycle = {
    .name = "node-lifecycle-controller", .make = make, .run = run, .free = free_self};
