/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/eviction/eviction.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/core/status.h"
#include "kubelet/eviction/storage.h"
#include "kubelet/gc/gc.h"
#include "kubelet/node/machine.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "kubelet/stats/stats.h"

enum { LOOK_MS = 10000, NEWS_MS = 1000, CLEANUP_MS = 30000, HARD_GRACE_S = 1 };

struct eviction {
	struct kubelet *k;
	struct thresholds thresholds;
	struct eviction_state state;
	struct eviction_verdict verdict;
	struct observation obs[SIGNAL_COUNT];
	struct fs_usage image_fs;
	struct loop_timer timer;
	bool busy;      /* a snapshot or a collection is on its way */
	bool reclaimed; /* images and containers have been collected for this pressure */
	char *evicted;  /* uid of the pod that is ending */
	uint64_t evicted_ms;
};

static const char *const pressure_names[] = {"MemoryPressure", "DiskPressure", "PIDPressure"};

bool eviction_pressure(const struct eviction *e, enum pressure p)
{
	return e->verdict.pressure[p];
}

const struct thresholds *eviction_thresholds(const struct eviction *e)
{
	return &e->thresholds;
}

static bool tolerates(const CoreV1__Pod *pod, const char *taint)
{
	for (size_t i = 0; i < pod->spec->n_tolerations; i++) {
		const CoreV1__Toleration *t = pod->spec->tolerations[i];
		bool key = !t->key || !*t->key || !strcmp(t->key, taint);
		bool effect = !t->effect || !*t->effect || !strcmp(t->effect, "NoSchedule");
		if (key && effect && t->operator_ && !strcmp(t->operator_, "Exists"))
			return true;
	}
	return false;
}

bool eviction_admits(const struct eviction *e, const CoreV1__Pod *pod, struct arena *a,
                     const char **ret_message)
{
	bool any = false, only_memory = e->verdict.pressure[PRESSURE_MEMORY];
	for (int i = 0; i < PRESSURE_COUNT; i++) {
		any |= e->verdict.pressure[i];
		only_memory &= i == PRESSURE_MEMORY || !e->verdict.pressure[i];
	}
	if (!any || pod_is_critical(pod))
		return true;
	/* Under memory pressure alone only pods that promise nothing are kept out. */
	if (only_memory && (strcmp(pod_qos_class(pod), "BestEffort") != 0 ||
	                    tolerates(pod, "node.kubernetes.io/memory-pressure")))
		return true;
	const char *list = "";
	for (int i = 0; i < PRESSURE_COUNT; i++)
		if (e->verdict.pressure[i])
			list = arena_printf(a, "%s%s%s", list, *list ? " " : "", pressure_names[i]);
	*ret_message = arena_printf(a, "The node had condition: [%s]. ", list);
	return false;
}

/* Observing */

static void observe_fs(struct eviction *e, enum signal bytes, enum signal inodes,
                       const struct fs_usage *f)
{
	e->obs[bytes] = (struct observation){f->has_fs, (int64_t)f->available_bytes,
	                                     (int64_t)f->capacity_bytes};
	/* Some file systems make inodes as they need them. */
	e->obs[inodes] = (struct observation){f->has_fs && f->inodes > 0, (int64_t)f->inodes_free,
	                                      (int64_t)f->inodes};
}

static void observe(struct eviction *e)
{
	struct cgroup_usage u;
	uint64_t memory = 0, swap = 0;
	int64_t boot;
	struct fs_usage node_fs = {0};
	stats_node_usage(&u, &memory, &swap, &boot);
	e->obs[SIGNAL_MEMORY] = (struct observation){
	    u.has_memory, (int64_t)(memory - u.working_set_bytes), (int64_t)memory};
	stats_fs(e->k->config->root_dir, &node_fs);
	observe_fs(e, SIGNAL_NODEFS, SIGNAL_NODEFS_INODES, &node_fs);
	const char *images = gc_image_fs(e->k->gc);
	struct fs_usage image_fs = {0};
	if (images)
		stats_fs(images, &image_fs);
	observe_fs(e, SIGNAL_IMAGEFS, SIGNAL_IMAGEFS_INODES, &image_fs);
	int64_t pids = machine_pids_max();
	e->obs[SIGNAL_PID] = (struct observation){pids > 0, pids - machine_pids(), pids};
}

/* Evicting */

static struct candidate *candidates(struct eviction *e, const struct stats_snapshot *x,
                                    struct arena *a, size_t *ret_n)
{
	struct candidate *c = arena_array(a, struct candidate, e->k->pods->by_uid.n + 1);
	size_t n = 0;
	MAP_FOREACH (&e->k->pods->by_uid, it) {
		struct pod *p = it->value;
		if (!p->spec || p->gone || p->deleting || p->failed_reason || pod_is_terminal(p) ||
		    pod_is_critical(p->spec))
			continue;
		c[n] = (struct candidate){.pod = p->spec, .owner = p};
		for (size_t i = 0; i < x->n_pods; i++) {
			const struct pod_usage *u = &x->pods[i];
			if (strcmp(u->uid, p->uid))
				continue;
			c[n].known = u->use.u.has_memory;
			c[n].memory_bytes = (int64_t)u->use.u.working_set_bytes;
			c[n].pids = (int64_t)u->use.u.pids;
			c[n].disk_bytes = (int64_t)u->ephemeral.used_bytes;
			c[n].inodes = (int64_t)u->ephemeral.inodes_used;
		}
		n++;
	}
	*ret_n = n;
	return c;
}

/* What each container of the spec uses of the resource; NULL: not told by container. */
static int64_t *container_uses(const struct stats_snapshot *x, const struct pod *p, enum signal s,
                               struct arena *a)
{
	int64_t *use = arena_array(a, int64_t, p->spec->spec->n_containers + 1);
	const char *resource = signal_resource(s);
	bool memory = !strcmp(resource, "memory"), disk = !strcmp(resource, "ephemeral-storage");
	if (!memory && !disk)
		return NULL;
	for (size_t i = 0; i < x->n_pods; i++)
		for (size_t k = 0; !strcmp(x->pods[i].uid, p->uid) && k < x->pods[i].n_containers;
		     k++) {
			const struct container_usage *c = &x->pods[i].containers[k];
			for (size_t j = 0; j < p->spec->spec->n_containers; j++)
				if (!strcmp(p->spec->spec->containers[j]->name, c->name))
					use[j] = memory ? (int64_t)c->use.u.working_set_bytes
					                : (int64_t)(c->root.used_bytes +
					                            c->logs.used_bytes);
		}
	return use;
}

static void evict(struct eviction *e, const struct stats_snapshot *x)
{
	_cleanup_arena_ struct arena a = {0};
	const struct threshold *t = e->verdict.due[0];
	size_t n;
	struct candidate *c = candidates(e, x, &a, &n);
	if (!n) {
		log_warning("Nothing is left to evict", LOG_STR("signal", signal_name(t->signal)));
		return;
	}
	eviction_rank(t->signal, c, n);
	struct pod *p = c[0].owner;
	int64_t grace = HARD_GRACE_S;
	if (!t->hard) {
		grace = e->k->config->eviction_max_pod_grace_s;
		const CoreV1__PodSpec *s = p->spec->spec;
		if (s->has_termination_grace_period_seconds)
			grace = MIN(grace, s->termination_grace_period_seconds);
	}
	const char *text = eviction_message(t, &e->obs[t->signal], p->spec,
	                                    container_uses(x, p, t->signal, &a), &a);
	pod_event(p, NULL, true, "Evicted", "%s", text);
	log_info("Evicted a pod", LOG_STR("pod", p->key),
	         LOG_STR("signal", signal_name(t->signal)));
	stats_evicted(e->k->stats, signal_name(t->signal));
	free(e->evicted);
	e->evicted = strdup(p->uid);
	e->evicted_ms = loop_now_ms(e->k->loop);
	pod_fail(p, "Evicted", text, grace, "TerminationByKubelet");
}

static void on_snapshot(const struct stats_snapshot *x, void *arg)
{
	struct eviction *e = arg;
	e->busy = false;
	if (e->verdict.n_due)
		evict(e, x);
}

/* Limits of local storage */

static bool any_is_limited(const struct eviction *e)
{
	MAP_FOREACH (&e->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		if (p->spec && !p->failed_reason && !p->deleting && !pod_is_terminal(p) &&
		    storage_is_limited(p->spec))
			return true;
	}
	return false;
}

static void check_storage(struct pod *p, const struct pod_usage *u)
{
	_cleanup_arena_ struct arena a = {0};
	struct storage_use *c = arena_array(&a, struct storage_use, u->n_containers + 1);
	struct storage_use *v = arena_array(&a, struct storage_use, u->n_volumes + 1);
	for (size_t i = 0; i < u->n_containers; i++)
		c[i] = (struct storage_use){
		    u->containers[i].name,
		    (int64_t)(u->containers[i].root.used_bytes + u->containers[i].logs.used_bytes)};
	for (size_t i = 0; i < u->n_volumes; i++)
		v[i] =
		    (struct storage_use){u->volumes[i].name, (int64_t)u->volumes[i].fs.used_bytes};
	struct pod_storage use = {c, v, u->n_containers, u->n_volumes,
	                          (int64_t)u->ephemeral.used_bytes};
	const char *text = storage_excess(p->spec, &use, &a);
	if (!text)
		return;
	pod_event(p, NULL, true, "Evicted", "%s", text);
	log_info("Evicted a pod beyond its storage limit", LOG_STR("pod", p->key));
	stats_evicted(p->k->stats, "ephemeralcontainerfs.limit");
	pod_fail(p, "Evicted", text, HARD_GRACE_S, NULL);
}

static void on_storage(const struct stats_snapshot *x, void *arg)
{
	struct eviction *e = arg;
	e->busy = false;
	for (size_t i = 0; i < x->n_pods; i++) {
		struct pod *p = pods_find_uid(e->k->pods, x->pods[i].uid);
		if (p && p->spec && !p->failed_reason && !p->gone && !pod_is_critical(p->spec))
			check_storage(p, &x->pods[i]);
	}
}

static void on_collected(void *arg)
{
	struct eviction *e = arg;
	e->busy = false;
	e->reclaimed = true;
	loop_timer_start(&e->timer, 0); /* is it enough? */
}

/* The pod that was evicted last still ends. */
static bool waits(struct eviction *e)
{
	if (!e->evicted)
		return false;
	const struct pod *p = pods_find_uid(e->k->pods, e->evicted);
	bool ends = false;
	for (size_t i = 0; p && i < p->rt.n_containers; i++)
		ends |= p->rt.containers[i].state == CONTAINER_RUNNING;
	if (ends && loop_now_ms(e->k->loop) < e->evicted_ms + CLEANUP_MS)
		return true;
	free(e->evicted);
	e->evicted = NULL;
	return false;
}

static void tell_changes(struct eviction *e, const struct eviction_verdict *old)
{
	bool changed = false;
	for (int i = 0; i < PRESSURE_COUNT; i++)
		changed |= old->pressure[i] != e->verdict.pressure[i];
	if (changed)
		node_wake(e->k->node);
}

static void look(void *arg)
{
	struct eviction *e = arg;
	struct eviction_verdict old = e->verdict;
	loop_timer_start(&e->timer, LOOK_MS);
	if (e->busy)
		return;
	observe(e);
	eviction_decide(&e->thresholds, e->obs, e->k->config->eviction_transition_ms,
	                loop_now_ms(e->k->loop) + 1, &e->state, &e->verdict);
	tell_changes(e, &old);
	if (!e->verdict.n_due) {
		e->reclaimed = false;
		if (any_is_limited(e)) {
			e->busy = true;
			stats_collect(e->k->stats, STATS_RUNTIME | STATS_DISK | STATS_LIMITED,
			              on_storage, e);
		}
		return;
	}
	/* Whom to evict is known once the apiserver and the runtime have told. */
	if (!e->k->pods->synced || !e->k->pods->listed) {
		loop_timer_start(&e->timer, NEWS_MS);
		return;
	}
	if (waits(e)) {
		loop_timer_start(&e->timer, NEWS_MS);
		return;
	}
	const struct threshold *t = e->verdict.due[0];
	bool disk = signal_pressure(t->signal) == PRESSURE_DISK;
	log_warning("The node runs low", LOG_STR("signal", signal_name(t->signal)));
	e->busy = true;
	if (disk && !e->reclaimed)
		gc_reclaim(e->k->gc, on_collected, e);
	else
		stats_collect(e->k->stats, disk ? STATS_RUNTIME | STATS_DISK : 0, on_snapshot, e);
}

int eviction_new(struct kubelet *k, struct eviction **ret, struct err *err)
{
	const struct kubelet_config *c = k->config;
	struct eviction *e = calloc(1, sizeof(*e));
	if (!e)
		abort();
	e->k = k;
	*ret = e;
	loop_timer_init(&e->timer, k->loop, look, e);
	return thresholds_parse(c->eviction_hard, c->eviction_soft, c->eviction_soft_grace,
	                        c->eviction_min_reclaim, c->merge_default_eviction, &e->thresholds,
	                        err);
}

void eviction_start(struct eviction *e)
{
	loop_timer_start(&e->timer, 0);
}

void eviction_free(struct eviction *e)
{
	if (!e)
		return;
	loop_timer_stop(&e->timer);
	free(e->evicted);
	free(e);
}
