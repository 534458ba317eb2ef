/* SPDX-License-Identifier: Apache-2.0 */
/* Stops one container: preStop within the grace, then the signal, then the end. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/pod/pod.h"

/* The time that is left for the signal when the hook has used up the grace. */
enum { GRACE_MIN_S = 2 };

struct kill {
	struct list link;
	struct pod *pod;
	char *id, *name;
	int64_t grace_s;
	uint64_t began_ms;
	unsigned order;
	struct hook *hook;
	bool waits;              /* for those of a lower order */
	struct loop_timer limit; /* of the hook, or of the wait */
	unsigned calls;
};

static void stop(struct kill *k);

/* Some that must end before it has not. */
static bool is_early(const struct kill *k)
{
	LIST_FOREACH (&k->pod->kills, other, struct kill, link)
		if (other->order < k->order)
			return true;
	return false;
}

static void finish(struct kill *k)
{
	struct pod *p = k->pod;
	list_del(&k->link);
	loop_timer_stop(&k->limit);
	free(k->id);
	free(k->name);
	free(k);
	if (list_empty(&p->kills))
		p->killed_grace = -1;
	LIST_FOREACH (&p->kills, other, struct kill, link)
		if (other->waits && !is_early(other))
			stop(other);
	pods_relist_now(p->k->pods);
	pod_step_done(p);
}

static void on_stopped(const struct cri_result *r, void *arg)
{
	struct kill *k = arg;
	if (r->code != RPC_OK && r->code != RPC_NOT_FOUND) {
		_cleanup_arena_ struct arena a = {0};
		const char *text = cri_error_text(r, &a);
		pod_event(k->pod, k->name, true, "FailedKillPod", "error killing container: %s",
		          text);
		pod_hold(k->pod, 1000);
	}
	if (--k->calls == 0)
		finish(k);
}

static void stop(struct kill *k)
{
	uint64_t used_s = (clock_mono_ms() - k->began_ms) / 1000;
	int64_t left = k->grace_s - (int64_t)used_s;
	if (k->grace_s > 0 && left < GRACE_MIN_S && used_s)
		left = GRACE_MIN_S;
	loop_timer_stop(&k->limit);
	k->waits = false;
	CriV1__StopContainerRequest q = CRI_V1__STOP_CONTAINER_REQUEST__INIT;
	q.container_id = k->id;
	q.timeout = left > 0 ? left : 0;
	k->calls++;
	cri_call(k->pod->k->cri, CRI_STOP_CONTAINER, &q,
	         (uint32_t)q.timeout * 1000 + CRI_TIMEOUT_MS, on_stopped, k);
}

/* Waits for its turn, but not longer than the grace. */
static void stop_in_order(struct kill *k)
{
	uint64_t used_ms = clock_mono_ms() - k->began_ms;
	uint64_t grace_ms = (uint64_t)MAX(k->grace_s, 0) * 1000;
	if (used_ms >= grace_ms || !is_early(k)) {
		stop(k);
		return;
	}
	k->waits = true;
	loop_timer_start(&k->limit, grace_ms - used_ms);
}

static void on_hook(const char *text, void *arg)
{
	struct kill *k = arg;
	k->hook = NULL;
	loop_timer_stop(&k->limit);
	if (text)
		pod_event(k->pod, k->name, true, "FailedPreStopHook", "PreStopHook failed");
	stop_in_order(k);
}

static void on_limit(void *arg)
{
	struct kill *k = arg;
	hook_drop(TAKE(k->hook));
	stop(k);
}

void container_kill(struct pod *p, const struct plan_kill *plan)
{
	struct kill *k = calloc(1, sizeof(*k));
	if (!k)
		abort();
	k->pod = p;
	k->id = strdup(plan->container->id);
	k->name = strdup(plan->container->name);
	k->grace_s = plan->grace_seconds;
	k->began_ms = clock_mono_ms();
	k->order = plan->order;
	list_add_tail(&p->kills, &k->link);
	loop_timer_init(&k->limit, p->k->loop, on_limit, k);
	pod_step(p);
	pod_event(p, k->name, false, "Killing", "%s", plan->message);
	const CoreV1__Lifecycle *l = plan->spec ? plan->spec->lifecycle : NULL;
	if (l && l->pre_stop && k->grace_s > 0 && plan->container->state == CONTAINER_RUNNING) {
		uint32_t ms = (uint32_t)MIN(k->grace_s, 86400) * 1000;
		k->hook = hook_run(p, l->pre_stop, plan->spec, k->id, ms, on_hook, k);
		loop_timer_start(&k->limit, ms);
		return;
	}
	stop_in_order(k);
}

void container_kill_hurry(struct pod *p, int64_t grace_seconds)
{
	p->killed_grace = grace_seconds;
	LIST_FOREACH (&p->kills, k, struct kill, link) {
		k->grace_s = grace_seconds;
		k->began_ms = clock_mono_ms();
		if (k->hook || k->waits) {
			loop_timer_start(&k->limit, (uint64_t)grace_seconds * 1000);
			continue;
		}
		stop(k);
	}
}
