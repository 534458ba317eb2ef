/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the node lifecycle controller: nodes and their leases in; taints, Unknown conditions
 * and pods that are not ready any more out. */
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/client/meta_peek.h"
#include "common/codec/rfc3339.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/node-lifecycle/plan/plan.h"
#include "controller-manager/node-lifecycle/plan/zones.h"
#include "proto/meta_labels.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

/* What is known of a node from looking at it. */
struct node_health {
	uint64_t alive_ms; /* when a sign of life came, on this machine's clock */
	uint64_t heartbeat;
	enum { UNSEEN, SEEN_READY, SEEN_NOT_READY } last;
	char *zone; /* "region/zone" */
	bool ready;
};

/* The nodes of a zone, and when the next one may be given up. */
struct zone {
	struct zone_count count;
	double rate;
	uint64_t next_ms;
};

struct lifecycle {
	struct manager *m;
	struct client *client;
	struct informer *nodes, *leases, *pods;
	unsigned pods_by_node;
	struct workqueue *queue;
	struct recorder *recorder;
	struct map health; /* node -> struct node_health */
	struct map zones;  /* "region/zone" -> struct zone */
	bool disrupted;    /* no zone has a ready node */
};

static const struct client_resource nodes_resource = {"", "v1", "nodes"};

static struct node_health *health_of(struct lifecycle *s, const char *node)
{
	struct node_health *h = map_get_str(&s->health, node);
	if (!h) {
		h = heap_new(struct node_health);
		h->zone = heap_strdup("");
		h->alive_ms = loop_now_ms(s->m->loop);
		map_put_str(&s->health, node, h);
	}
	return h;
}

static void health_free(struct node_health *h)
{
	if (h)
		free(h->zone);
	free(h);
}

/* --- zones --- */

static struct zone *zone_of(struct lifecycle *s, const char *name)
{
	struct zone *z = map_get_str(&s->zones, name);
	if (!z) {
		z = heap_new(struct zone);
		map_put_str(&s->zones, name, z);
	}
	return z;
}

static void count_nodes(struct lifecycle *s)
{
	MAP_FOREACH (&s->zones, it)
		((struct zone *)it->value)->count = (struct zone_count){0};
	MAP_FOREACH (&s->health, it) {
		const struct node_health *h = it->value;
		struct zone *z = zone_of(s, h->zone);
		z->count.ready += h->ready;
		z->count.not_ready += !h->ready;
	}
	MAP_FOREACH (&s->zones, it) {
		const struct zone *z = it->value;
		if (!z->count.ready && !z->count.not_ready)
			free(map_del(&s->zones, slice_of(it->key, it->key_len)));
	}
}

/* Nodes that wait, or that were given up too soon. When the disruption of all is over, the others
 * get the time to show that they live. */
static void look_again(struct lifecycle *s, bool recovered)
{
	MAP_FOREACH (&s->health, it) {
		struct node_health *h = it->value;
		if (recovered)
			h->alive_ms = loop_now_ms(s->m->loop);
		if (!h->ready)
			workqueue_add(s->queue, it->key);
	}
}

/* A node has come, gone or changed: how fast may others be given up? */
static void judge_zones(struct lifecycle *s)
{
	const struct zone_rates rates = {s->m->o.eviction_rate, s->m->o.secondary_eviction_rate,
	                                 s->m->o.unhealthy_threshold,
	                                 (size_t)MAX(s->m->o.large_cluster, 0)};
	count_nodes(s);
	size_t n = s->zones.n, i = 0;
	struct zone_count *counts = heap_zalloc(n * sizeof(*counts));
	double *per_second = heap_zalloc(n * sizeof(*per_second));
	MAP_FOREACH (&s->zones, it)
		counts[i++] = ((struct zone *)it->value)->count;
	bool disrupted = n && zones_plan(counts, n, &rates, per_second), changed;
	changed = disrupted != s->disrupted;
	i = 0;
	MAP_FOREACH (&s->zones, it) {
		struct zone *z = it->value;
		changed |= z->rate != per_second[i];
		z->rate = per_second[i++];
	}
	free(counts);
	free(per_second);
	if (disrupted && !s->disrupted)
		log_info("No node is ready: nothing is evicted until one is");
	bool recovered = s->disrupted && !disrupted;
	s->disrupted = disrupted;
	if (changed)
		look_again(s, recovered);
}

/* May this node be given up now? If not, when to ask again (0: when its zone changes). */
static enum node_eviction may_evict(struct lifecycle *s, const struct node_health *h,
                                    uint64_t *ret_wait_ms)
{
	struct zone *z = zone_of(s, h->zone);
	uint64_t now_ms = loop_now_ms(s->m->loop);
	*ret_wait_ms = 0;
	if (s->disrupted)
		return NODE_EVICT_NEVER;
	if (z->rate <= 0)
		return NODE_EVICT_LATER;
	if (now_ms < z->next_ms) {
		*ret_wait_ms = z->next_ms - now_ms;
		return NODE_EVICT_LATER;
	}
	z->next_ms = now_ms + (uint64_t)(1000 / z->rate);
	return NODE_EVICT;
}

static void set_zone(struct lifecycle *s, struct node_health *h, const CoreV1__Node *node,
                     bool ready)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	const char *region = meta_label(node->metadata, "topology.kubernetes.io/region");
	const char *zone = meta_label(node->metadata, "topology.kubernetes.io/zone");
	buf_printf(&name, "%s/%s", region ? region : "", zone ? zone : "");
	if (h->ready == ready && !strcmp(h->zone, (const char *)name.data))
		return;
	free(h->zone);
	h->zone = buf_steal_str(&name);
	h->ready = ready;
	judge_zones(s);
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

static void tell_node(struct lifecycle *s, const char *name, const char *uid, const char *reason,
                      const char *what, const char *where)
{
	struct recorder_ref ref = {.api_version = "v1", .kind = "Node", .name = name, .uid = uid};
	recorder_event(s->recorder, &ref, false, reason, NULL, "Node %s event: %s Node %s %s", name,
	               what, name, where);
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
		if (map_get_str(&s->health, key))
			tell_node(s, key, NULL, "RemovingNode", "Removing", "from Controller");
		health_free(map_del_str(&s->health, key));
		judge_zones(s);
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
	                        .now_s = clock_real_ns() / 1000000000,
	                        .eviction = NODE_EVICT_LATER};
	struct node_plan plan;
	struct work *w = work_begin(q, key);
	node_plan(&in, &a, &plan);
	set_zone(s, h, node, plan.ready);
	/* The conditions are written first; the taints follow when they are seen. */
	if (!plan.status_differs && (plan.deferred || s->disrupted)) {
		uint64_t wait_ms;
		in.eviction = may_evict(s, h, &wait_ms);
		node_plan(&in, &a, &plan);
		if (wait_ms)
			workqueue_add_after(q, key, wait_ms);
	}
	write_node(s, w, node, &plan);
	if (h->last == UNSEEN)
		tell_node(s, o->name, o->uid, "RegisteredNode", "Registered", "in Controller");
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
	struct lifecycle *s = heap_new(struct lifecycle);
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

/* Zones are judged by all nodes, not by those that were looked at first. */
static void first_look(const struct informer_object *o, void *arg)
{
	struct lifecycle *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Node *node =
	    (CoreV1__Node *)informer_object_decode(o, &core_v1__node_schema, &a);
	struct node_plan plan;
	if (!node)
		return;
	node_plan(&(struct node_input){.node = node, .eviction = NODE_EVICT_LATER}, &a, &plan);
	set_zone(s, health_of(s, o->key), node, plan.ready);
}

static void run(void *self)
{
	struct lifecycle *s = self;
	informer_each(s->nodes, first_look, s);
	judge_zones(s);
	workqueue_start(s->queue);
}

static void free_self(void *self)
{
	struct lifecycle *s = self;
	recorder_free(s->recorder);
	MAP_FOREACH (&s->health, it)
		health_free(it->value);
	map_deinit(&s->health);
	MAP_FOREACH (&s->zones, it)
		free(it->value);
	map_deinit(&s->zones);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_node_lifecycle = {
    .name = "node-lifecycle-controller", .make = make, .run = run, .free = free_self};
