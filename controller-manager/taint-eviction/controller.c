/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of taint eviction: pods leave nodes whose NoExecute taints they do not tolerate, or not
 * any longer. */
#include "common/base/clock.h"
#include "common/base/map.h"
#include "controller-manager/base/evict.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/taint-eviction/plan/plan.h"
#include "proto/schema_messages.h"

enum { WORKERS = 8 };

struct evictions {
	struct client *client;
	struct informer *nodes, *pods;
	unsigned pods_by_node;
	struct workqueue *queue;
	struct recorder *recorder;
	/* Pod key -> the second since when its time on the node has been running out: what a taint
	 * without a time counts from, however often the pod is looked at. */
	struct map since;
};

static int64_t since_s(struct evictions *s, const char *key, int64_t now_s)
{
	void *at = map_get_str(&s->since, key);
	return at ? (int64_t)(intptr_t)at : now_s;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct evictions *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->pods, key), *on;
	CoreV1__Pod *pod =
	    o ? (CoreV1__Pod *)informer_object_decode(o, &core_v1__pod_schema, &a) : NULL;
	CoreV1__Node *node = NULL;
	if (pod && !o->deleting && (on = informer_get_key(s->nodes, pod->spec->node_name)))
		node = (CoreV1__Node *)informer_object_decode(on, &core_v1__node_schema, &a);
	int64_t now_s = clock_real_ns() / 1000000000;
	int64_t since = since_s(s, key, now_s);
	int64_t at = node ? taint_eviction_at(node, pod, since) : TAINT_STAY;
	if (at == TAINT_STAY)
		map_del_str(&s->since, key);
	else
		map_put_str(&s->since, key, (void *)(intptr_t)since);
	if (at > now_s)
		workqueue_add_after(q, key, (uint64_t)(at - now_s) * 1000);
	if (at == TAINT_STAY || at > now_s) {
		workqueue_done(q, key);
		return;
	}
	static const struct eviction why = {.reason = "DeletionByTaintManager",
	                                    .message =
	                                        "Taint manager: deleting due to NoExecute taint",
	                                    .grace_s = -1};
	struct recorder_ref ref = {
	    .api_version = "v1", .kind = "Pod", .ns = o->ns, .name = o->name, .uid = o->uid};
	struct work *w = work_begin(q, key);
	recorder_event(s->recorder, &ref, false, "TaintManagerEviction", NULL,
	               "Marking for deletion Pod %s", key);
	evict_pod(s->client, w, o, &why);
	work_end(w);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	workqueue_add(((struct evictions *)arg)->queue, o->key);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	static const uint32_t spec[] = {2};
	if (!slice_eq(pb_peek(old->bytes, spec, 1), pb_peek(o->bytes, spec, 1)))
		on_pod(o, arg);
}

static void on_node(const struct informer_object *o, void *arg)
{
	struct evictions *s = arg;
	size_t n;
	const struct informer_object *const *pods =
	    informer_lookup(s->pods, s->pods_by_node, o->name, &n);
	for (size_t i = 0; i < n; i++)
		on_pod(pods[i], s);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	static const uint32_t spec[] = {2};
	if (!slice_eq(pb_peek(old->bytes, spec, 1), pb_peek(o->bytes, spec, 1)))
		on_node(o, arg);
}

static void *make(struct manager *m)
{
	struct evictions *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	map_init(&s->since, 0);
	s->client = manager_client(m, "node-controller");
	s->recorder = recorder_new(m->client, "taint-eviction-controller", NULL);
	s->queue = manager_queue(m, "noexec_taint_pod", WORKERS, process, s);
	s->nodes = informers_get(m->informers, &(struct client_resource){"", "v1", "nodes"}, NULL,
	                         NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	s->pods_by_node = informer_add_index(s->pods, "node", informer_index_pod_node);
	informer_add_handler(s->nodes,
	                     &(struct informer_handler){on_node, on_node_update, NULL, s});
	informer_add_handler(s->pods, &(struct informer_handler){on_pod, on_pod_update, on_pod, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct evictions *)self)->queue);
}

static void free_self(void *self)
{
	struct evictions *s = self;
	recorder_free(s->recorder);
	workqueue_free(s->queue);
	map_deinit(&s->since);
	free(s);
}

const struct controller controller_taint_eviction = {
    .name = "taint-eviction-controller", .make = make, .run = run, .free = free_self};
