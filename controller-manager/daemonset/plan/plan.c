/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/daemonset/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "controller-manager/base/plan/nodes.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/plan/rounding.h"
#include "controller-manager/daemonset/plan/internal.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/schema_messages.h"

/* One node with its pods, the oldest one first. */
struct place {
	const char *name;
	bool exists, should_run, should_stay;
	const CoreV1__Pod **pods;
	size_t n;
};

struct planner {
	const struct daemonset_input *in;
	struct arena *arena;
	struct daemonset_plan *out;
	struct place *places; /* the nodes, then names that no node has */
	size_t n_places;
	int32_t surge, unavailable;
};

int64_t daemonset_generation(const AppsV1__DaemonSet *ds)
{
	const char *text =
	    meta_annotation(ds->metadata, "deprecated.daemonset.template.generation");
	return text ? strtoll(text, NULL, 10) : 0;
}

/* --- which nodes --- */

static void judge(struct planner *p, const CoreV1__PodSpec *spec, const CoreV1__Node *node,
                  struct place *at)
{
	bool named = !*spec->node_name || !strcmp(spec->node_name, node->metadata->name);
	if (!named || !node_selected(node, spec, p->arena))
		return;
	/* A pod that runs stays as long as it is not thrown out. */
	at->should_stay = !node_repels(node, spec->tolerations, spec->n_tolerations, "NoExecute");
	at->should_run = at->should_stay &&
	                 !node_repels(node, spec->tolerations, spec->n_tolerations, "NoSchedule");
}

static int64_t created(const CoreV1__Pod *p)
{
	return p->metadata->creation_timestamp ? p->metadata->creation_timestamp->seconds : 0;
}

static int age_cmp(const void *x, const void *y)
{
	const CoreV1__Pod *a = *(CoreV1__Pod *const *)x, *b = *(CoreV1__Pod *const *)y;
	return created(a) != created(b) ? (created(a) < created(b) ? -1 : 1)
	                                : strcmp(a->metadata->name, b->metadata->name);
}

static void find_places(struct planner *p)
{
	const struct daemonset_input *in = p->in;
	CoreV1__PodSpec spec = *in->ds->spec->template_->spec;
	struct map by_name = {0};
	p->places = arena_array(p->arena, struct place, in->n_nodes + in->n_pods);
	daemonset_tolerate(&spec, p->arena);
	for (size_t i = 0; i < in->n_nodes; i++) {
		struct place *at = &p->places[p->n_places++];
		at->name = in->nodes[i]->metadata->name;
		at->exists = true;
		judge(p, &spec, in->nodes[i], at);
		map_put_str(&by_name, at->name, at);
	}
	for (size_t i = 0; i < in->n_pods; i++) {
		const char *name = daemonset_pod_node(in->pods[i]);
		struct place *at = name ? map_get_str(&by_name, name) : NULL;
		if (name && !at) {
			at = &p->places[p->n_places++];
			at->name = name;
			map_put_str(&by_name, name, at);
		}
		if (at)
			at->n++;
	}
	for (size_t i = 0; i < p->n_places; i++) {
		p->places[i].pods = arena_array(p->arena, const CoreV1__Pod *, p->places[i].n);
		p->places[i].n = 0;
	}
	for (size_t i = 0; i < in->n_pods; i++) {
		const char *name = daemonset_pod_node(in->pods[i]);
		struct place *at = name ? map_get_str(&by_name, name) : NULL;
		if (at)
			at->pods[at->n++] = in->pods[i];
	}
	for (size_t i = 0; i < p->n_places; i++)
		if (p->places[i].n)
			qsort(p->places[i].pods, p->places[i].n, sizeof(*p->places[i].pods),
			      age_cmp);
	map_deinit(&by_name);
}

/* --- pods where they should be --- */

static bool is_updated(const struct planner *p, const CoreV1__Pod *pod)
{
	const char *hash = meta_label(pod->metadata, DAEMONSET_HASH_LABEL);
	return hash && !strcmp(hash, p->in->hash);
}

static bool is_available(struct planner *p, const CoreV1__Pod *pod)
{
	int64_t at = 0;
	bool available =
	    pod_is_available(pod, p->in->ds->spec->min_ready_seconds, p->in->now_s, &at);
	if (!available && at && (!p->out->recheck_s || at < p->out->recheck_s))
		p->out->recheck_s = at;
	return available;
}

static void put_remove(struct planner *p, const CoreV1__Pod *pod)
{
	p->out->remove[p->out->n_remove++] = pod;
}

static void tell(struct planner *p, bool warning, const char *reason, const char *message)
{
	p->out->events[p->out->n_events++] = (struct daemonset_event){warning, reason, message};
}

static void remove_ended(struct planner *p, const struct place *at, const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *m = pod->metadata;
	bool failed = !strcmp(pod->status->phase, "Failed");
	if (failed && p->in->may_replace && !p->in->may_replace(at->name, p->in->arg))
		return;
	if (failed) {
		p->out->failed_on[p->out->n_failed_on++] = at->name;
		tell(p, true, "FailedDaemonPod",
		     arena_printf(p->arena,
		                  "Found failed daemon pod %s/%s on node %s, will try to kill it",
		                  m->namespace_, m->name, at->name));
	} else {
		tell(p, false, "SucceededDaemonPod",
		     arena_printf(
		         p->arena,
		         "Found succeeded daemon pod %s/%s on node %s, will try to delete it",
		         m->namespace_, m->name, at->name));
	}
	put_remove(p, pod);
}

/* Of several running pods the oldest stays; with surge the oldest of each template, and the old one
 * goes when the new one is available. */
static void remove_surplus(struct planner *p, const CoreV1__Pod **running, size_t n)
{
	const CoreV1__Pod *kept_new = NULL, *kept_old = NULL;
	for (size_t i = 0; i < n; i++) {
		bool updated = is_updated(p, running[i]);
		const CoreV1__Pod **kept = p->surge && updated ? &kept_new : &kept_old;
		if (*kept)
			put_remove(p, running[i]);
		else
			*kept = running[i];
	}
	if (p->surge && kept_new && kept_old && is_available(p, kept_new))
		put_remove(p, kept_old);
}

static void plan_place(struct planner *p, const struct place *at)
{
	const CoreV1__Pod **running = arena_array(p->arena, const CoreV1__Pod *, at->n);
	size_t n = 0;
	if (at->should_run && !at->n) {
		p->out->create[p->out->n_create++] = at->name;
		return;
	}
	for (size_t i = 0; i < at->n; i++) {
		const CoreV1__Pod *pod = at->pods[i];
		if (pod->metadata->deletion_timestamp)
			continue;
		/* On a node that is gone only what was never bound is ours to delete. */
		if (!at->exists ? !*pod->spec->node_name : !at->should_stay)
			put_remove(p, pod);
		else if (at->exists && pod_has_ended(pod))
			remove_ended(p, at, pod);
		else
			running[n++] = pod;
	}
	if (at->should_stay)
		remove_surplus(p, running, n);
}

/* --- rolling updates --- */

/* The old and the new pod of a place; false when there are several of one sort. */
static bool sort_out(struct planner *p, const struct place *at, const CoreV1__Pod **ret_old,
                     const CoreV1__Pod **ret_new)
{
	*ret_old = *ret_new = NULL;
	for (size_t i = 0; i < at->n; i++) {
		const CoreV1__Pod **to = is_updated(p, at->pods[i]) ? ret_new : ret_old;
		if (at->pods[i]->metadata->deletion_timestamp)
			continue;
		if (*to)
			return false;
		*to = at->pods[i];
	}
	return true;
}

/* Old pods that are not available go at once, others as far as few enough are missing. */
static void roll_by_deleting(struct planner *p)
{
	const CoreV1__Pod **candidates = arena_array(p->arena, const CoreV1__Pod *, p->in->n_pods);
	size_t n = 0;
	int32_t missing = 0;
	for (size_t i = 0; i < p->n_places; i++) {
		const struct place *at = &p->places[i];
		const CoreV1__Pod *old, *new;
		if (!at->exists || !at->should_run)
			continue;
		if (!sort_out(p, at, &old, &new) || !old == !new) {
			missing++;
		} else if (new) {
			missing += !is_available(p, new);
		} else if (!is_available(p, old)) {
			put_remove(p, old);
			missing++;
		} else {
			candidates[n++] = old;
		}
	}
	for (size_t i = 0; i < n && missing < p->unavailable; i++, missing++)
		put_remove(p, candidates[i]);
}

/* New pods come first, and the old one goes when its successor is available. */
static void roll_by_surging(struct planner *p)
{
	const char **candidates = arena_array(p->arena, const char *, p->n_places);
	size_t n = 0;
	int32_t surged = 0;
	for (size_t i = 0; i < p->n_places; i++) {
		const struct place *at = &p->places[i];
		const CoreV1__Pod *old, *new;
		if (!at->exists || !at->should_run || !sort_out(p, at, &old, &new) || !old)
			continue;
		if (new &&is_available(p, new))
			put_remove(p, old);
		else if (new)
			surged++;
		else if (!is_available(p, old))
			p->out->create[p->out->n_create++] = at->name;
		else
			candidates[n++] = at->name;
	}
	for (size_t i = 0; i < n && surged < p->surge; i++, surged++)
		p->out->create[p->out->n_create++] = candidates[i];
}

static void plan_limits(struct planner *p)
{
	const AppsV1__DaemonSetUpdateStrategy *s = p->in->ds->spec->update_strategy;
	const AppsV1__RollingUpdateDaemonSet *r = s ? s->rolling_update : NULL;
	int32_t desired = 0;
	for (size_t i = 0; i < p->n_places; i++)
		desired += p->places[i].should_run;
	if (s && !strcmp(s->type, "OnDelete"))
		return;
	p->surge = r ? int_or_percent(r->max_surge, desired, true) : 0;
	p->unavailable = r ? int_or_percent(r->max_unavailable, desired, true) : 1;
	if (!p->surge && !p->unavailable)
		p->unavailable = 1;
}

/* --- status --- */

static void plan_status(struct planner *p)
{
	const AppsV1__DaemonSetStatus *old = p->in->ds->status;
	AppsV1__DaemonSetStatus *s = &p->out->status;
	*s = *old;
	s->has_current_number_scheduled = s->has_number_misscheduled = 1;
	s->has_desired_number_scheduled = s->has_number_ready = s->has_observed_generation = 1;
	s->has_updated_number_scheduled = s->has_number_available = s->has_number_unavailable = 1;
	s->current_number_scheduled = s->number_misscheduled = s->desired_number_scheduled = 0;
	s->number_ready = s->updated_number_scheduled = s->number_available = 0;
	s->observed_generation = p->in->ds->metadata->generation;
	for (size_t i = 0; i < p->n_places; i++) {
		const struct place *at = &p->places[i];
		if (!at->exists)
			continue;
		s->desired_number_scheduled += at->should_run;
		s->number_misscheduled += !at->should_run && at->n;
		if (!at->should_run || !at->n)
			continue;
		const CoreV1__Pod *pod = at->pods[0];
		s->current_number_scheduled++;
		s->number_ready += pod_is_ready(pod);
		s->number_available += is_available(p, pod);
		s->updated_number_scheduled += is_updated(p, pod);
	}
	s->number_unavailable = s->desired_number_scheduled - s->number_available;
	p->out->status_differs =
	    !msg_equal(&apps_v1__daemon_set_status_schema, &s->base, &old->base);
}

void daemonset_plan(const struct daemonset_input *in, struct arena *a, struct daemonset_plan *ret)
{
	struct planner p = {.in = in, .arena = a, .out = ret};
	*ret =
	    (struct daemonset_plan){.create = arena_array(a, const char *, in->n_nodes),
	                            .remove = arena_array(a, const CoreV1__Pod *, in->n_pods * 2),
	                            .failed_on = arena_array(a, const char *, in->n_pods),
	                            .events = arena_array(a, struct daemonset_event, in->n_pods)};
	find_places(&p);
	plan_limits(&p);
	plan_status(&p);
	if (in->expecting || in->ds->metadata->deletion_timestamp)
		return;
	for (size_t i = 0; i < p.n_places; i++)
		plan_place(&p, &p.places[i]);
	if (!ret->n_create && !ret->n_remove && p.surge)
		roll_by_surging(&p);
	else if (!ret->n_create && !ret->n_remove && p.unavailable)
		roll_by_deleting(&p);
	ret->n_create = MIN(ret->n_create, (size_t)DAEMONSET_BURST);
	ret->n_remove = MIN(ret->n_remove, (size_t)DAEMONSET_BURST);
}
