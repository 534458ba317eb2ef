/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of a pod: what happens next follows from what is wanted and what is there. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/pod/pod.h"
#include "kubelet/stats/stats.h"
#include "kubelet/volume/volume.h"

/* How often a container that waits for its back-off is told of. */
enum { BACKOFF_EVENT_MS = 10000 };

void pod_sync_after(struct pod *p, uint64_t delay_ms)
{
	uint64_t at = loop_now_ms(p->k->loop) + delay_ms;
	if (!loop_timer_active(&p->timer) || p->timer.due_ms > at)
		loop_timer_start_at(&p->timer, at);
}

void pod_hold(struct pod *p, uint64_t delay_ms)
{
	p->retry_at_ms = now_real_ms() + delay_ms;
}

void pod_hold_start(struct pod *p, uint64_t delay_ms)
{
	p->start_at_ms = now_real_ms() + delay_ms;
}

void pod_step(struct pod *p)
{
	if (!p->busy++)
		p->turn_began_ns = clock_mono_ns();
}

void pod_step_done(struct pod *p)
{
	if (--p->busy)
		return;
	stats_turn(p->k->stats, p);
	p->rt_fresh = false;
	pod_sync_after(p, 0);
}

/* A step has failed a moment ago: the next turn comes when the hold is over. */
static bool held(struct pod *p, bool starts)
{
	uint64_t now = now_real_ms();
	uint64_t until = starts ? MAX(p->retry_at_ms, p->start_at_ms) : p->retry_at_ms;
	if (until <= now)
		return false;
	pod_sync_after(p, until - now);
	return true;
}

/* Ending */

/* The grace of the termination in seconds. */
static int64_t grace_of(const struct pod *p)
{
	const MetaV1__ObjectMeta *m = p->spec->metadata;
	const CoreV1__PodSpec *s = p->spec->spec;
	if (p->deleting && m->has_deletion_grace_period_seconds)
		return m->deletion_grace_period_seconds;
	if (p->failed_reason && p->failed_grace >= 0)
		return p->failed_grace;
	return s->has_termination_grace_period_seconds ? s->termination_grace_period_seconds : 30;
}

static bool pod_was_evicted(const struct pod *p)
{
	const char *reason = p->spec->status->reason;
	return reason && !strcmp(reason, "Evicted");
}

/* Everything of the pod has ended: takes its traces away, tells the apiserver, forgets it. */
static void finish(struct pod *p)
{
	probes_stop(p);
	if (!p->gone) {
		pod_status_sync(p);
		if (!pod_status_settled(p))
			return; /* the status writer calls for a turn when it is done */
	}
	if (!volumes_unmount(p)) {
		pod_sync_after(p, 100);
		return;
	}
	if (!p->deleting && !p->gone) {
		/* Finished, not deleted: containers stay for their logs, unless the node needs the
		 * room. */
		if (!pod_was_evicted(p) || !pod_remove_all(p))
			cgroups_pod_remove(p->k->cgroups, p->uid, p->spec);
		return;
	}
	if (p->status_in_flight || p->delete_in_flight || pod_remove_all(p))
		return;
	if (!p->gone) {
		pod_delete_object(p);
		return;
	}
	volumes_remove_dir(p);
	cgroups_pod_remove(p->k->cgroups, p->uid, p->spec);
	log_info("Pod is gone", LOG_STR("pod", p->key), LOG_STR("uid", p->uid));
	pod_forget(p);
}

static void stop_turn(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct pod_plan plan;
	int64_t grace = grace_of(p);
	p->stopping = true;
	probes_stop_restarting(p);
	if (held(p, false))
		return;
	pod_stop_plan(p->spec, &p->rt, grace, &a, &plan);
	p->killed_grace = grace;
	for (size_t i = 0; i < plan.n_kill; i++)
		container_kill(p, &plan.kill[i]);
	if (!plan.n_kill && plan.kill_pod)
		sandbox_stop_all(p);
	if (!p->busy)
		finish(p);
	else if (!p->gone)
		pod_status_sync(p);
}

/* Running */

static void back_off_event(struct pod *p, const char *name)
{
	uint64_t now = clock_mono_ms();
	if (p->backoff_told_ms && now < p->backoff_told_ms + BACKOFF_EVENT_MS)
		return;
	p->backoff_told_ms = now;
	pod_event(p, name, true, "BackOff",
	          "Back-off restarting failed container %s in pod %s_%s(%s)", name, p->name, p->ns,
	          p->uid);
}

/* What still runs in sandboxes that are of no use any more ends before a new one is made. True when
 * steps were begun. */
static bool end_old_sandboxes(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct pod_plan plan;
	pod_stop_plan(p->spec, &p->rt, grace_of(p), &a, &plan);
	for (size_t i = 0; i < plan.n_kill; i++)
		container_kill(p, &plan.kill[i]);
	if (!plan.n_kill && plan.kill_pod)
		sandbox_stop_all(p);
	return p->busy > 0;
}

static void run_plan(struct pod *p, const struct pod_plan *plan)
{
	for (size_t i = 0; i < plan->n_kill; i++)
		container_kill(p, &plan->kill[i]);
	if (p->busy)
		return;
	if (plan->kill_pod && !plan->create_sandbox) {
		sandbox_stop_all(p);
		return;
	}
	if (plan->create_sandbox) {
		if (plan->kill_pod && end_old_sandboxes(p))
			return;
		sandbox_create(p, plan->sandbox_attempt, p->rt.n_sandboxes > 0);
		return;
	}
	if (plan->n_start) {
		/* One after the other: the next turn starts the next. What waits for its image does
		 * not keep the others waiting. */
		for (size_t i = 0; i < plan->n_start && !p->busy; i++)
			container_start(p, &plan->start[i], plan->sandbox->id,
			                plan->sandbox->attempt);
	}
}

/* The deadline of the pod: true when it has passed. */
static bool deadline_passed(struct pod *p)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	if (!s->has_active_deadline_seconds)
		return false;
	int64_t left = p->seen_seconds + s->active_deadline_seconds - clock_real_ns() / 1000000000;
	if (left > 0) {
		pod_sync_after(p, (uint64_t)left * 1000);
		return false;
	}
	pod_fail(p, "DeadlineExceeded",
	         "Pod was active on the node longer than the specified deadline", -1, NULL);
	pod_event(p, NULL, false, "DeadlineExceeded", "%s", p->failed_message);
	return true;
}

static void run_turn(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct pod_plan plan;
	probes_sync(p);
	pod_plan(p->spec, &p->rt, &p->memory, now_real_ms(), &a, &plan);
	bool starts = plan.create_sandbox || plan.n_start;
	if (plan.backing_off)
		back_off_event(p, plan.backing_off);
	if (plan.retry_ms != UINT64_MAX) {
		uint64_t now = now_real_ms();
		pod_sync_after(p, plan.retry_ms > now ? plan.retry_ms - now : 0);
	}
	if (!held(p, true)) {
		/* Also for what runs already: a kubelet that starts again takes its volumes over.
		 */
		enum volume_state v = volumes_mount(p);
		if (!starts || plan.n_kill || v == VOLUMES_READY)
			run_plan(p, &plan);
	}
	if (!p->busy)
		resize_sync(p);
	if (!p->busy)
		pod_collect(p);
	pod_status_sync(p);
	volumes_refresh(p);
}

void pod_sync(struct pod *p)
{
	if (p->busy) {
		if ((p->deleting || p->gone) && p->start)
			container_start_cancel(p->start);
		if (p->deleting || p->gone)
			sandbox_cancel(p);
		if (p->next && p->killed_grace >= 0 && p->deleting &&
		    p->next->metadata->has_deletion_grace_period_seconds &&
		    p->next->metadata->deletion_grace_period_seconds < p->killed_grace)
			container_kill_hurry(p, p->next->metadata->deletion_grace_period_seconds);
		return;
	}
	pod_adopt(p);
	if (!p->k->pods->listed)
		return; /* the runtime has not been seen yet */
	if (!p->rt_fresh) {
		pod_observe(p);
		return;
	}
	if (p->deleting || p->gone || pod_is_terminal(p) || p->failed_reason || !pod_admit(p) ||
	    deadline_passed(p))
		stop_turn(p);
	else
		run_turn(p);
}
