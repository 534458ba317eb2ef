/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/probe.h"

static int32_t or_default(int32_t value, int32_t fallback)
{
	return value > 0 ? value : fallback;
}

void probe_init(struct probe *p, enum probe_kind kind, const CoreV1__Probe *spec,
                uint64_t started_ms, uint64_t now_ms)
{
	*p = (struct probe){
	    .kind = kind,
	    .initial_delay_s = spec->initial_delay_seconds > 0 ? spec->initial_delay_seconds : 0,
	    .period_s = or_default(spec->period_seconds, 10),
	    .timeout_s = or_default(spec->timeout_seconds, 1),
	    .success_threshold = or_default(spec->success_threshold, 1),
	    .failure_threshold = or_default(spec->failure_threshold, 3),
	    .verdict = kind == PROBE_LIVENESS    ? PROBE_SUCCESS
	               : kind == PROBE_READINESS ? PROBE_FAILURE
	                                         : PROBE_UNKNOWN,
	};
	uint64_t first = started_ms + (uint64_t)p->initial_delay_s * 1000;
	p->next_ms = first > now_ms ? first : now_ms;
}

uint64_t probe_due(const struct probe *p, bool startup_done)
{
	if (p->on_hold)
		return UINT64_MAX;
	/* A startup probe is over with its first success; the others wait for that. */
	if (p->kind == PROBE_STARTUP ? p->verdict == PROBE_SUCCESS : !startup_done)
		return UINT64_MAX;
	return p->next_ms;
}

bool probe_report(struct probe *p, enum probe_result result, uint64_t now_ms)
{
	p->next_ms = now_ms + (uint64_t)p->period_s * 1000;
	if (result == PROBE_UNKNOWN)
		return false;
	p->run = p->last == result ? p->run + 1 : 1;
	p->last = result;
	int32_t needed = result == PROBE_SUCCESS ? p->success_threshold : p->failure_threshold;
	if (p->run < needed)
		return false;
	enum probe_result before = p->verdict;
	p->verdict = result;
	if (result == PROBE_FAILURE && p->kind != PROBE_READINESS)
		p->on_hold = true;
	return before != result;
}
