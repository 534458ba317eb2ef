/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The PodStatus that the kubelet reports: a function of the spec, the runtime's state, the memory
 * and the last status (kubelet kubelet_pods.go generateAPIPodStatus, status/generate.go). */
#include "kubelet/core/plan.h"

struct status_input {
	const CoreV1__Pod *pod; /* with the status as the apiserver has it */
	const struct pod_runtime *rt;
	const struct pod_memory *memory;
	uint64_t now_ms;
	const char *host_ip;
	int64_t start_seconds; /* when the kubelet saw the pod first */
	bool stopping;         /* it was told to end */
	/* Set when the pod was refused or ended by the kubelet itself: phase Failed with these. */
	const char *failed_reason, *failed_message;
	/* A resize in place: "PodResizePending" or "PodResizeInProgress", or NULL. */
	const char *resize_type, *resize_reason, *resize_message;
	bool refused;                  /* it was never taken: nothing of its containers is told */
	const char *disruption_reason; /* of the condition DisruptionTarget; NULL: none */
};

/* The status lives in the arena; it shares strings with the input. */
CoreV1__PodStatus *pod_status(const struct status_input *in, struct arena *a);

/* "Guaranteed", "Burstable" or "BestEffort" (KEP: pod QoS; apis/core/v1/helper/qos). */
const char *pod_qos_class(const CoreV1__Pod *pod);
