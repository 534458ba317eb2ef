/* SPDX-License-Identifier: Apache-2.0 */
/* The table of pods, what feeds it (the apiserver's pods of this node), and the relist: a look at
 * all of the runtime once a second that wakes the pods whose containers changed. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/node/node.h"
#include "kubelet/logs/links.h"
#include "kubelet/pleg/exits.h"
#include "kubelet/pod/pod.h"
#include "kubelet/static/statics.h"
#include "kubelet/stats/stats.h"
#include "proto/schema_messages.h"

enum {
	RELIST_MS = 1000,
	/* While every process is watched (kubelet/pleg): only others' doings are to be found. */
	RELIST_WATCHED_MS = 10000,
	/* A process has ended: until the runtime knows. */
	HURRY_MS = 20,
	HURRIES = 25,
	RELIST_HEALTHY_MS = 180000
};

struct pod *pods_find_uid(struct pods *p, const char *uid)
{
	return map_get_str(&p->by_uid, uid);
}

struct pod *pods_find(struct pods *p, const char *ns, const char *name)
{
	struct pod *found = NULL;
	MAP_FOREACH (&p->by_uid, it) {
		struct pod *pod = it->value;
		if (!strcmp(pod->ns, ns) && !strcmp(pod->name, name) && pod->spec &&
		    (!found || !pod->gone))
			found = pod;
	}
	return found;
}

/* From the apiserver */

static void on_object(struct pods *pods, const struct informer_object *o)
{
	struct arena a = {0};
	CoreV1__Pod *spec = (void *)informer_object_decode(o, &core_v1__pod_schema, &a);
	if (!spec) {
		arena_deinit(&a);
		return;
	}
	if (pod_is_mirror(spec)) {
		statics_on_mirror(pods->k->statics, spec);
		arena_deinit(&a);
		return;
	}
	struct pod *p = pods_find_uid(pods, o->uid);
	if (!p)
		p = pod_new(pods, o->uid, o->ns, o->name);
	p->gone = false;
	pod_offer(p, spec, o->revision, &a);
	arena_deinit(&a);
	pod_sync(p);
}

static void on_add(const struct informer_object *o, void *arg)
{
	on_object(arg, o);
}

static void on_update(const struct informer_object *old, const struct informer_object *o, void *arg)
{
	struct pods *pods = arg;
	/* A new object by the old name: the old one is gone. */
	if (strcmp(old->uid, o->uid)) {
		statics_mirror_gone(pods->k->statics, old->uid);
		struct pod *p = pods_find_uid(pods, old->uid);
		if (p) {
			p->gone = true;
			pod_sync(p);
		}
	}
	on_object(pods, o);
}

static void on_delete(const struct informer_object *old, void *arg)
{
	struct pods *pods = arg;
	struct pod *p = pods_find_uid(pods, old->uid);
	if (!p) {
		statics_mirror_gone(pods->k->statics, old->uid);
		return;
	}
	p->gone = true;
	pod_sync(p);
}

/* From the runtime */

/* A pod that only the runtime knows is taken away. */
static void adopt_orphan(struct pods *pods, const CriV1__PodSandbox *s)
{
	const CriV1__PodSandboxMetadata *m = s->metadata;
	if (!m || !*m->uid || pods_find_uid(pods, m->uid))
		return;
	if (!*cri_pair_get(s->labels, s->n_labels, LABEL_POD_UID))
		return; /* not a kubelet's */
	struct pod *p = pod_new(pods, m->uid, m->namespace_, m->name);
	log_info("Found a pod that the apiserver does not know", LOG_STR("pod", p->key),
	         LOG_STR("uid", p->uid));
	p->spec = (void *)pb_new(&core_v1__pod_schema, &p->spec_arena);
	p->spec->metadata->name = arena_strdup(&p->spec_arena, m->name);
	p->spec->metadata->namespace_ = arena_strdup(&p->spec_arena, m->namespace_);
	p->spec->metadata->uid = arena_strdup(&p->spec_arena, m->uid);
	/* Nobody is left who could want more for it. */
	p->spec->spec->has_termination_grace_period_seconds = 1;
	p->spec->spec->termination_grace_period_seconds = 1;
	p->gone = true;
	pod_sync(p);
}

static void compare(struct pods *pods, const CriV1__ListContainersResponse *containers)
{
	const CriV1__ListPodSandboxResponse *boxes = pods->sandboxes;
	struct map marks;
	map_init(&marks, 0);
	_cleanup_arena_ struct arena a = {0};
	struct mark {
		uint64_t sum;
	} * m;
#define MARK(uid, id, state)                            \
	do {                                            \
		m = map_get_str(&marks, uid);           \
		if (!m) {                               \
			m = arena_new(&a, struct mark); \
			map_put_str(&marks, uid, m);    \
		}                                       \
		m->sum ^= observe_mark(id, state);      \
	} while (0)
	for (size_t i = 0; i < boxes->n_items; i++) {
		const CriV1__PodSandbox *s = boxes->items[i];
		MARK(s->metadata ? s->metadata->uid : "", s->id, 16 + (int)s->state);
	}
	for (size_t i = 0; i < containers->n_containers; i++) {
		const CriV1__Container *c = containers->containers[i];
		MARK(cri_pair_get(c->labels, c->n_labels, LABEL_POD_UID), c->id, (int)c->state);
	}
#undef MARK
	bool first = !pods->listed;
	pods->listed = true;
	VEC(struct pod *) wake = {0};
	MAP_FOREACH (&pods->by_uid, it) {
		struct pod *p = it->value;
		m = map_get_str(&marks, p->uid);
		if (!first && p->rt_mark == (m ? m->sum : 0))
			continue;
		p->rt_fresh = false;
		*vec_push(&wake) = p;
	}
	if (wake.n)
		pods->hurries = 0;
	VEC_FOREACH (&wake, p)
		pod_sync(*p);
	vec_deinit(&wake);
	map_deinit(&marks);
	for (size_t i = 0; pods->synced && i < boxes->n_items; i++)
		adopt_orphan(pods, boxes->items[i]);
}

static bool all_is_watched(const struct pods *p)
{
	MAP_FOREACH (&p->by_uid, it) {
		const struct pod *pod = it->value;
		if (pod->busy || !pod->rt_fresh)
			return false;
	}
	return exits_complete(p->exits);
}

static uint64_t next_relist_ms(struct pods *p)
{
	if (p->hurries) {
		p->hurries--;
		return HURRY_MS;
	}
	return p->runtime_ok && all_is_watched(p) ? RELIST_WATCHED_MS : RELIST_MS;
}

static void relist_ended(struct pods *p, const struct cri_result *failed)
{
	bool ok = !failed;
	if (ok) {
		p->relisted_ms = clock_mono_ms();
		stats_relisted(p->k->stats, (double)(clock_mono_ns() - p->relist_began_ns) / 1e9);
	} else if (p->runtime_ok) {
		_cleanup_arena_ struct arena a = {0};
		struct err err;
		err_set(&err, ERR_UNAVAILABLE, "%s", cri_error_text(failed, &a));
		log_error(&err, "Could not look at the container runtime");
	}
	p->runtime_ok = ok;
	arena_deinit(&p->list_arena);
	p->sandboxes = NULL;
	p->listing = false;
	loop_timer_start(&p->relist, next_relist_ms(p));
}

static void on_containers(const struct cri_result *r, void *arg)
{
	struct pods *p = arg;
	if (r->body)
		compare(p, (const void *)r->body);
	relist_ended(p, r->body ? NULL : r);
}

static void on_sandboxes(const struct cri_result *r, void *arg)
{
	struct pods *p = arg;
	if (!r->body) {
		relist_ended(p, r);
		return;
	}
	/* The answer is kept until the containers have come. */
	p->list_arena = *r->arena;
	*r->arena = (struct arena){0};
	p->sandboxes = (const void *)r->body;
	CriV1__ListContainersRequest q = CRI_V1__LIST_CONTAINERS_REQUEST__INIT;
	cri_call(p->k->cri, CRI_LIST_CONTAINERS, &q, CRI_TIMEOUT_MS, on_containers, p);
}

static void relist(void *arg)
{
	struct pods *p = arg;
	if (p->listing)
		return;
	p->listing = true;
	p->relist_began_ns = clock_mono_ns();
	CriV1__ListPodSandboxRequest q = CRI_V1__LIST_POD_SANDBOX_REQUEST__INIT;
	cri_call(p->k->cri, CRI_LIST_POD_SANDBOX, &q, CRI_TIMEOUT_MS, on_sandboxes, p);
}

void pods_relist_now(struct pods *p)
{
	loop_timer_start(&p->relist, 0);
}

static void on_exit_seen(void *arg)
{
	struct pods *p = arg;
	p->hurries = HURRIES;
	if (!p->listing)
		loop_timer_start(&p->relist, HURRY_MS);
}

void pods_observed(struct pods *p, struct pod *pod)
{
	exits_sync(p->exits, pod);
	stats_observed(p->k->stats, pod);
	log_links_make(pod);
	if (!exits_complete(p->exits) && p->relist.due_ms > loop_now_ms(p->k->loop) + RELIST_MS &&
	    loop_timer_active(&p->relist))
		loop_timer_start(&p->relist, RELIST_MS);
}

int pods_check(void *pods, struct err *err)
{
	const struct pods *p = pods;
	uint64_t ago = clock_mono_ms() - p->relisted_ms;
	if (!p->relisted_ms)
		return err_set(err, ERR_UNAVAILABLE,
		               "PLEG is not healthy: pleg has yet to be successful");
	if (ago > RELIST_HEALTHY_MS)
		return err_set(
		    err, ERR_UNAVAILABLE,
		    "PLEG is not healthy: pleg was last seen active %llus ago; threshold is 3m0s",
		    (unsigned long long)(ago / 1000));
	return 0;
}

/* Life */

static void on_synced(void *arg)
{
	struct pods *p = arg;
	p->synced = true;
	statics_wake(p->k->statics);
	pods_relist_now(p);
}

struct pods *pods_new(struct kubelet *k)
{
	struct pods *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->k = k;
	k->pods = p;
	p->runtime_ok = true;
	map_init(&p->by_uid, 0);
	p->exits = exits_new(k, on_exit_seen, p);
	loop_timer_init(&p->relist, k->loop, relist, p);
	char *selector = arena_printf(&k->daemon->arena, "spec.nodeName=%s", k->config->node_name);
	struct client_resource pods = {"", "v1", "pods"}, services = {"", "v1", "services"};
	struct client_resource nodes = {"", "v1", "nodes"};
	struct client_resource classes = {"node.k8s.io", "v1", "runtimeclasses"};
	p->informer = informers_get(k->informers, &pods, NULL, NULL, selector);
	char *own = arena_printf(&k->daemon->arena, "metadata.name=%s", k->config->node_name);
	p->nodes = informers_get(k->informers, &nodes, NULL, NULL, own);
	p->runtime_classes = informers_get(k->informers, &classes, NULL, NULL, NULL);
	p->services = informers_get(k->informers, &services, NULL, NULL, NULL);
	informer_add_handler(p->informer,
	                     &(struct informer_handler){on_add, on_update, on_delete, p});
	informers_on_synced(k->informers, on_synced, p);
	return p;
}

void pods_start(struct pods *p)
{
	pods_relist_now(p);
}

void pods_free(struct pods *p)
{
	if (!p)
		return;
	loop_timer_stop(&p->relist);
	arena_deinit(&p->list_arena);
	for (;;) {
		struct pod *any = NULL;
		MAP_FOREACH (&p->by_uid, it)
			any = it->value;
		if (!any)
			break;
		pod_forget(any);
	}
	map_deinit(&p->by_uid);
	exits_free(p->exits);
	free(p);
}
