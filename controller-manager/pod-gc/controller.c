/* SPDX-License-Identifier: Apache-2.0 */
/* The pod garbage collector: pods of nodes that have gone, pods that were deleted before they had a
 * node, and the oldest ones of those that have ended when there are too many. */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "controller-manager/base/evict.h"
#include "controller-manager/base/manager.h"

enum {
	WORKERS = 8,
	PERIOD_MS = 20000,
	QUARANTINE_MS = 40000,
	META_CREATED = 8,
	POD_STATUS = 3,
	STATUS_PHASE = 1
};

struct pod_gc {
	struct manager *m;
	struct client *client;
	struct informer *nodes, *pods;
	struct workqueue *queue; /* of pods to look at */
	struct map missing;      /* node -> uint64_t *: since when it is missed, in ms */
	struct loop_timer timer;
};

struct ended {
	const struct informer_object *pod;
	uint64_t created_s;
};

struct look {
	struct pod_gc *s;
	VEC(struct ended) ended;
};

static struct slice node_of(const struct informer_object *pod)
{
	return pb_peek_path(pod->bytes, 2, 10);
}

static bool has_ended(const struct informer_object *pod)
{
	struct slice phase = pb_peek_path(pod->bytes, POD_STATUS, STATUS_PHASE);
	return slice_eq_str(phase, "Failed") || slice_eq_str(phase, "Succeeded");
}

/* For the time of quarantine it might be a node that the informer has not shown yet. */
static bool is_orphan(struct pod_gc *s, const struct informer_object *pod)
{
	char name[256];
	struct slice node = node_of(pod);
	if (!node.len || node.len >= sizeof(name))
		return false;
	memcpy(name, node.data, node.len);
	name[node.len] = 0;
	uint64_t now = loop_now_ms(s->m->loop), *since = map_get(&s->missing, node);
	if (informer_get_key(s->nodes, name)) {
		free(map_del(&s->missing, node));
		return false;
	}
	if (!since) {
		since = calloc(1, sizeof(*since));
		if (!since)
			abort();
		*since = now;
		map_put(&s->missing, node, since);
	}
	return now - *since >= QUARANTINE_MS;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	static const struct eviction orphaned = {.reason = "DeletionByPodGC",
	                                         .message = "PodGC: node no longer exists",
	                                         .fail = true,
	                                         .grace_s = 0};
	struct pod_gc *s = arg;
	const struct informer_object *o = informer_get_key(s->pods, key);
	if (!o) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	struct client_target t = {.resource = {"", "v1", "pods"}, .ns = o->ns, .name = o->name};
	struct client_delete_options d = {.grace_period_seconds = 0, .uid = o->uid};
	work_hold(w);
	if (has_ended(o) || !node_of(o).len) {
		client_delete(s->client, &t, &d, work_done, w);
	} else {
		evict_pod(s->client, w, o, &orphaned);
		work_end(w);
	}
	work_end(w);
}

static void look_at(const struct informer_object *o, void *arg)
{
	struct look *l = arg;
	if (is_orphan(l->s, o) || (o->deleting && !node_of(o).len))
		workqueue_add(l->s->queue, o->key);
	else if (has_ended(o) && !o->deleting)
		*vec_push(&l->ended) =
		    (struct ended){o, pb_peek_int(o->bytes, (uint32_t[]){1, META_CREATED, 1}, 3)};
}

static int age_cmp(const void *x, const void *y)
{
	const struct ended *a = x, *b = y;
	return a->created_s != b->created_s ? (a->created_s < b->created_s ? -1 : 1)
	                                    : strcmp(a->pod->key, b->pod->key);
}

static void look(void *arg)
{
	struct pod_gc *s = arg;
	struct look l = {.s = s};
	informer_each(s->pods, look_at, &l);
	size_t most = (size_t)MAX(s->m->o.terminated_pods, 0);
	if (most && l.ended.n > most) {
		qsort(l.ended.at, l.ended.n, sizeof(*l.ended.at), age_cmp);
		for (size_t i = 0; i < l.ended.n - most; i++)
			workqueue_add(s->queue, l.ended.at[i].pod->key);
	}
	vec_deinit(&l.ended);
	loop_timer_start(&s->timer, PERIOD_MS);
}

static void *make(struct manager *m)
{
	struct pod_gc *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->m = m;
	s->client = manager_client(m, "pod-garbage-collector");
	s->queue = manager_queue(m, "orphaned_pods_nodes", WORKERS, process, s);
	s->nodes = informers_get(m->informers, &(struct client_resource){"", "v1", "nodes"}, NULL,
	                         NULL, NULL);
	s->pods = informers_get(m->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	loop_timer_init(&s->timer, m->loop, look, s);
	return s;
}

static void run(void *self)
{
	struct pod_gc *s = self;
	workqueue_start(s->queue);
	look(s);
}

static void free_self(void *self)
{
	struct pod_gc *s = self;
	loop_timer_stop(&s->timer);
	MAP_FOREACH (&s->missing, it)
		free(it->value);
	map_deinit(&s->missing);
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_pod_gc = {
    .name = "pod-garbage-collector-controller", .make = make, .run = run, .free = free_self};
