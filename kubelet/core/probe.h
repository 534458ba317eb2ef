/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The schedule and the verdict of one probe (kubelet prober/worker.go): when to run it, and what a
 * run of results means. The shell runs the action (exec, HTTP, TCP, gRPC) and reports back. */
#include <stdbool.h>
#include <stdint.h>
#include "kubelet/core/runtime.h"
#include "proto/core_v1.pb-c.h"

enum probe_result { PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };

struct probe {
	enum probe_kind kind;
	int32_t initial_delay_s, period_s, timeout_s, success_threshold, failure_threshold;
	enum probe_result verdict; /* what the pod's status goes by */
	enum probe_result last;
	int32_t run; /* equal results in a row */
	uint64_t next_ms;
	bool on_hold; /* failed for good: waits for a new container */
};

/* For a container that started at started_ms. Readiness begins as failed, liveness as good. */
void probe_init(struct probe *p, enum probe_kind kind, const CoreV1__Probe *spec,
                uint64_t started_ms, uint64_t now_ms);
/* When to run the action; UINT64_MAX: not now. `startup_done`: liveness and readiness wait for it.
 */
uint64_t probe_due(const struct probe *p, bool startup_done);
/* Takes a result; returns true when the verdict changed. */
bool probe_report(struct probe *p, enum probe_result result, uint64_t now_ms);
