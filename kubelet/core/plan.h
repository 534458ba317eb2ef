/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What to do next for a pod: a function from its spec, the runtime's state and the kubelet's memory
 * to a list of actions (kubelet kuberuntime_manager.go computePodActions; KEP-753 for sidecars).
 *
 * The shell carries the plan out in order (kill, sandbox, start), tells what failed to the memory,
 * lists the runtime again and plans anew. An empty plan with retry_ms UINT64_MAX means that there
 * is nothing to do until something changes. */
#include "common/base/arena.h"
#include "kubelet/core/runtime.h"
#include "proto/core_v1.pb-c.h"

enum container_kind { KIND_INIT, KIND_REGULAR, KIND_EPHEMERAL };

struct plan_kill {
	const struct runtime_container *container;
	const char *message;           /* for the event */
	const char *reason;            /* "Unhealthy", "DeletedPod", ... for logs */
	int64_t grace_seconds;         /* of the termination */
	unsigned order;                /* its signal waits for those of a lower order to end */
	const CoreV1__Container *spec; /* NULL: not in the spec; its preStop hook cannot run */
};

struct plan_start {
	const CoreV1__Container *spec;
	enum container_kind kind;
	uint32_t attempt;
};

struct pod_plan {
	bool kill_pod; /* all containers, then the sandboxes */
	bool create_sandbox;
	uint32_t sandbox_attempt;
	const struct runtime_sandbox *sandbox; /* to start containers in; NULL: the new one */
	struct plan_kill *kill;
	size_t n_kill;
	struct plan_start *start;
	size_t n_start;
	uint64_t retry_ms;       /* when a back-off ends */
	const char *backing_off; /* name of a container that waits for it, or NULL */
	uint64_t backing_off_delay_ms;
};

/* `now_ms` is the real clock, so that it compares with the runtime's times. */
void pod_plan(const CoreV1__Pod *pod, const struct pod_runtime *rt, const struct pod_memory *memory,
              uint64_t now_ms, struct arena *a, struct pod_plan *ret);

/* For a pod that must end (deleted, evicted, past its deadline, finished): kills what runs with the
 * given grace, sidecars after the others and in reverse; kill_pod is set once nothing runs and
 * sandboxes are left. An empty plan: all is gone. */
void pod_stop_plan(const CoreV1__Pod *pod, const struct pod_runtime *rt, int64_t grace_seconds,
                   struct arena *a, struct pod_plan *ret);

/* An init container that goes on beside the others. */
bool container_is_sidecar(const CoreV1__Container *c);
/* Whether a container that ended so is started again: the first of its rules that matches, its own
 * policy, the pod's (KEP-5307). */
bool container_restarts(const CoreV1__Pod *pod, const CoreV1__Container *c, int32_t exit_code);
/* An ephemeral container as a container: it has no probes, ports or hooks. Shares what it points
 * to. */
CoreV1__Container *container_of_ephemeral(const CoreV1__EphemeralContainerCommon *e,
                                          struct arena *a);
/* All containers have ended and none will be started again. */
bool pod_is_finished(const CoreV1__Pod *pod, const struct pod_runtime *rt);
