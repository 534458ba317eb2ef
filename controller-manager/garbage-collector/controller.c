/* SPDX-License-Identifier: Apache-2.0 */
/* The shell of the garbage collector: every collection of the resource table is watched, and only
 * what the graph needs of its objects is kept. */
#include "common/base/log.h"
#include "common/client/meta_peek.h"
#include "common/client/reflector.h"
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "controller-manager/garbage-collector/plan/plan.h"
#include "proto/resource_table.h"

enum {
	WORKERS = 20,
	ABSENT_MAX = 4096,
	META = 1,
	META_DELETION_TIMESTAMP = 9,
	META_OWNERS = 13,
	META_FINALIZERS = 14,
	OWNER_KIND = 1,
	OWNER_NAME = 3,
	OWNER_UID = 4,
	OWNER_API_VERSION = 5,
	OWNER_BLOCK = 7,
};

/* One collection. */
struct watched {
	struct collector *c;
	uint32_t resource; /* in resource_table */
	struct reflector reflector;
	uint32_t generation; /* counts lists */
	bool synced;
};

struct collector {
	struct manager *m;
	struct client *client;
	struct watched *watched;
	size_t n_watched;
	struct gc_graph graph;
	struct workqueue *queue;
	struct map absent; /* uids of owners that are known to have gone */
	bool running;
};

/* Objects come in */

static const char *text_of(struct arena *a, struct slice s)
{
	return arena_strndup(a, s.data, s.len);
}

static void read_owner(struct slice m, struct arena *a, struct gc_owner *ret)
{
	struct pb_field f;
	*ret = (struct gc_owner){"", "", "", "", false};
	while (pb_next_field(&m, &f) == 1) {
		if (f.number == OWNER_UID)
			ret->uid = text_of(a, f.bytes);
		else if (f.number == OWNER_KIND)
			ret->kind = text_of(a, f.bytes);
		else if (f.number == OWNER_NAME)
			ret->name = text_of(a, f.bytes);
		else if (f.number == OWNER_API_VERSION)
			ret->api_version = text_of(a, f.bytes);
		else if (f.number == OWNER_BLOCK)
			ret->block = f.value != 0;
	}
}

static struct gc_node *read_node(const struct watched *w, struct slice object, struct arena *a)
{
	struct meta_peek m;
	struct pb_field f;
	uint32_t n_owners = 0;
	if (!meta_peek(object, &m) || !m.uid.len)
		return NULL;
	struct slice meta = pb_peek_path(object, META);
	for (struct slice s = meta; pb_next_field(&s, &f) == 1;)
		n_owners += f.number == META_OWNERS;
	struct gc_node *n = arena_zalloc(a, sizeof(*n) + n_owners * sizeof(*n->owners));
	n->uid = text_of(a, m.uid);
	n->ns = text_of(a, m.ns);
	n->name = text_of(a, m.name);
	n->revision = strtoll(text_of(a, m.resource_version), NULL, 10);
	n->resource = w->resource;
	n->generation = w->generation;
	n->cluster_scoped = !resource_table[w->resource].namespaced;
	n->deleting = m.deleting;
	while (pb_next_field(&meta, &f) == 1) {
		if (f.number == META_OWNERS)
			read_owner(f.bytes, a, &n->owners[n->n_owners++]);
		else if (f.number == META_FINALIZERS && slice_eq_str(f.bytes, "foregroundDeletion"))
			n->foreground = true;
		else if (f.number == META_FINALIZERS && slice_eq_str(f.bytes, "orphan"))
			n->orphan = true;
	}
	return n;
}

static void on_list_begin(void *arg)
{
	((struct watched *)arg)->generation++;
}

static void on_item(struct slice object, void *arg)
{
	struct watched *w = arg;
	_cleanup_arena_ struct arena a = {0};
	struct gc_node *n = read_node(w, object, &a);
	if (n)
		gc_graph_put(&w->c->graph, n);
}

static void start_when_synced(struct collector *c)
{
	for (size_t i = 0; i < c->n_watched; i++)
		if (!c->watched[i].synced)
			return;
	if (c->running)
		workqueue_start(c->queue);
}

static void on_list_end(void *arg)
{
	struct watched *w = arg;
	gc_graph_sweep(&w->c->graph, w->resource, w->generation);
	if (!w->synced) {
		w->synced = true;
		start_when_synced(w->c);
	}
}

static void note_absent(struct collector *c, const char *uid)
{
	if (c->absent.n >= ABSENT_MAX) {
		map_deinit(&c->absent);
		map_init(&c->absent, 0);
	}
	map_put_str(&c->absent, uid, c);
}

static void on_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	struct watched *w = arg;
	_cleanup_arena_ struct arena a = {0};
	struct gc_node *n = type == CLIENT_BOOKMARK ? NULL : read_node(w, object, &a);
	if (!n)
		return;
	if (type == CLIENT_DELETED) {
		note_absent(w->c, n->uid);
		gc_graph_del(&w->c->graph, n->uid);
	} else {
		gc_graph_put(&w->c->graph, n);
	}
}

static void on_wake(const char *uid, void *arg)
{
	workqueue_add(((struct collector *)arg)->queue, uid);
}

/* Calls */

static struct client_target target_of(const struct gc_node *n)
{
	const struct resource_info *r = &resource_table[n->resource];
	return (struct client_target){
	    .resource = {r->group, r->version, r->resource}, .ns = n->ns, .name = n->name};
}

static void patch(struct collector *c, struct work *w, const struct gc_node *n, const char *text)
{
	struct client_target t = target_of(n);
	work_hold(w);
	client_patch(c->client, &t, CLIENT_PATCH_STRATEGIC, slice_str(text), NULL, work_done, w);
}

static void drop_owner(struct collector *c, struct work *w, const struct gc_node *n,
                       const char *owner_uid, struct arena *a)
{
	patch(c, w, n,
	      arena_printf(a,
	                   "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":"
	                   "\"%s\"}],\"uid\":\"%s\"}}",
	                   owner_uid, n->uid));
}

static void unblock(struct collector *c, struct work *w, const struct gc_node *n,
                    const char *owner_uid, struct arena *a)
{
	patch(c, w, n,
	      arena_printf(a,
	                   "{\"metadata\":{\"ownerReferences\":[{\"uid\":\"%s\","
	                   "\"blockOwnerDeletion\":false}],\"uid\":\"%s\"}}",
	                   owner_uid, n->uid));
}

static void drop_finalizer(struct collector *c, struct work *w, const struct gc_node *n,
                           const char *name, struct arena *a)
{
	patch(c, w, n,
	      arena_printf(a,
	                   "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"%s\"],"
	                   "\"uid\":\"%s\"}}",
	                   name, n->uid));
}

/* With the version that the decision was made on: whoever adopts the object meanwhile wins. */
static void delete_object(struct collector *c, struct work *w, const struct gc_node *n,
                          const char *policy, struct arena *a)
{
	struct client_target t = target_of(n);
	struct client_delete_options o = {.grace_period_seconds = -1,
	                                  .uid = n->uid,
	                                  .resource_version =
	                                      arena_printf(a, "%lld", (long long)n->revision),
	                                  .propagation_policy = policy};
	log_v(2, "Deleting an object without owners", LOG_STR("resource", t.resource.name),
	      LOG_STR("namespace", n->ns), LOG_STR("name", n->name), LOG_STR("policy", policy));
	work_hold(w);
	client_delete(c->client, &t, &o, work_done, w);
}

/* Owners that the graph does not know */

struct asking {
	struct collector *c;
	struct work *work;
	char *uid; /* of the owner */
};

static void on_owner(const struct client_result *r, void *arg)
{
	struct asking *q = arg;
	struct meta_peek m;
	bool same = r->code == ERR_OK && meta_peek(r->object, &m) && slice_eq_str(m.uid, q->uid);
	if (r->code == ERR_NOT_FOUND || (r->code == ERR_OK && !same)) {
		note_absent(q->c, q->uid);
		workqueue_add(q->c->queue, q->work->key);
	} else if (r->code != ERR_OK) {
		work_answer(q->work, r);
	}
	/* One that is there will come to the graph, and its end wakes its dependents. */
	work_end(q->work);
	free(q->uid);
	free(q);
}

static void ask(struct collector *c, struct work *w, const struct gc_node *n,
                const struct gc_owner *o, struct arena *a)
{
	const char *slash = strchr(o->api_version, '/');
	const char *group =
	    slash ? arena_strndup(a, o->api_version, (size_t)(slash - o->api_version)) : "";
	const struct resource_info *r =
	    resource_by_kind(group, slash ? slash + 1 : o->api_version, o->kind);
	if (!r)
		return; /* of a kind that cannot be looked up: it holds the object */
	struct asking *q = calloc(1, sizeof(*q));
	if (!q || !(q->uid = strdup(o->uid)))
		abort();
	q->c = c;
	q->work = w;
	struct client_target t = {.resource = {r->group, r->version, r->resource},
	                          .ns = r->namespaced ? n->ns : NULL,
	                          .name = o->name};
	work_hold(w);
	client_get(c->client, &t, on_owner, q);
}

/* One object */

static enum gc_verdict verdict(const char *uid, void *arg)
{
	return map_get_str(&((struct collector *)arg)->absent, uid) ? GC_ABSENT : GC_UNKNOWN;
}

static void carry_out(struct collector *c, struct work *w, const struct gc_node *n,
                      const struct gc_plan *plan, struct arena *a)
{
	switch (plan->action) {
	case GC_NOTHING:
		break;
	case GC_ASK:
		for (size_t i = 0; i < plan->n_owners; i++)
			ask(c, w, n, plan->owners[i], a);
		break;
	case GC_DROP_OWNERS:
		for (size_t i = 0; i < plan->n_owners; i++)
			drop_owner(c, w, n, plan->owners[i]->uid, a);
		break;
	case GC_DELETE:
		delete_object(c, w, n, plan->policy, a);
		break;
	case GC_RELEASE:
		for (size_t i = 0; i < plan->dependents->n; i++)
			drop_owner(c, w, plan->dependents->at[i], n->uid, a);
		break;
	case GC_UNBLOCK:
		for (size_t i = 0; i < plan->dependents->n; i++)
			unblock(c, w, plan->dependents->at[i], n->uid, a);
		break;
	case GC_DROP_FOREGROUND:
		drop_finalizer(c, w, n, "foregroundDeletion", a);
		break;
	case GC_DROP_ORPHAN:
		drop_finalizer(c, w, n, "orphan", a);
		break;
	}
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct collector *c = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct gc_node *n = gc_graph_get(&c->graph, key);
	struct gc_plan plan;
	if (!n) {
		workqueue_done(q, key);
		return;
	}
	struct work *w = work_begin(q, key);
	gc_plan(&c->graph, n, verdict, c, &a, &plan);
	carry_out(c, w, n, &plan, &a);
	work_end(w);
}

/* Life cycle */

static void *list_from_client(void *self, const struct client_list_options *o,
                              const struct client_list_ops *ops, void *arg)
{
	struct watched *w = self;
	const struct resource_info *r = &resource_table[w->resource];
	struct client_target t = {.resource = {r->group, r->version, r->resource}};
	return client_list(w->c->m->client, &t, o, ops, arg);
}

static void *watch_from_client(void *self, const struct client_list_options *o,
                               const struct client_watch_ops *ops, void *arg)
{
	struct watched *w = self;
	const struct resource_info *r = &resource_table[w->resource];
	struct client_target t = {.resource = {r->group, r->version, r->resource}};
	return client_watch(w->c->m->client, &t, o, ops, arg);
}

static void drop_from_client(void *self, void *stream)
{
	client_stream_drop(stream);
}

static bool is_collected(const struct collector *c, const struct resource_info *r)
{
	unsigned need = RESOURCE_DELETE | RESOURCE_LIST | RESOURCE_WATCH;
	if (*r->subresource || !r->storage_prefix || (r->verbs & need) != need ||
	    !strcmp(r->resource, "events"))
		return false;
	for (size_t i = 0; i < c->n_watched; i++)
		if (!strcmp(resource_table[c->watched[i].resource].storage_prefix,
		            r->storage_prefix))
			return false;
	return true;
}

static void *make(struct manager *m)
{
	struct collector *c = calloc(1, sizeof(*c));
	if (!c || !(c->watched = calloc(resource_n, sizeof(*c->watched))))
		abort();
	c->m = m;
	c->client = manager_client(m, "generic-garbage-collector");
	c->queue = manager_queue(m, "garbage_collector_attempt_to_delete", WORKERS, process, c);
	c->graph.wake = on_wake;
	c->graph.arg = c;
	for (size_t i = 0; i < resource_n; i++)
		if (is_collected(c, &resource_table[i]))
			c->watched[c->n_watched++] =
			    (struct watched){.c = c, .resource = (uint32_t)i};
	for (size_t i = 0; i < c->n_watched; i++) {
		struct watched *w = &c->watched[i];
		struct reflector_transport t = {w, list_from_client, watch_from_client,
		                                drop_from_client};
		struct reflector_sink sink = {on_list_begin, on_item, on_list_end, on_event, w};
		reflector_init(&w->reflector, m->loop, &t, &sink,
		               resource_table[w->resource].resource, "", "");
		reflector_start(&w->reflector);
	}
	return c;
}

static void run(void *self)
{
	struct collector *c = self;
	c->running = true;
	start_when_synced(c);
}

static void free_self(void *self)
{
	struct collector *c = self;
	for (size_t i = 0; i < c->n_watched; i++)
		reflector_stop(&c->watched[i].reflector);
	gc_graph_deinit(&c->graph);
	map_deinit(&c->absent);
	workqueue_free(c->queue);
	free(c->watched);
	free(c);
}

const struct controller controller_garbage_collector = {
    .name = "garbage-collector-controller", .make = make, .run = run, .free = free_self};
