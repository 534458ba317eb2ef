/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How a Service sees a pod: for the controllers that make its endpoints. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

#define SERVICE_HEADLESS_LABEL "service.kubernetes.io/headless"

/* Has no address of its own. */
bool service_is_headless(const CoreV1__Service *svc);
/* The pod's number for a port of the Service; false when its port of that name is not there. */
bool service_port_of(const CoreV1__Pod *pod, const CoreV1__ServicePort *port, int32_t *ret);
/* The pod's address of a family, "IPv4" or "IPv6"; NULL: none. */
const char *pod_address(const CoreV1__Pod *pod, const char *family);
/* A reference for endpoints: kind, namespace, name, uid. */
CoreV1__ObjectReference *pod_reference(const CoreV1__Pod *pod, struct arena *a);
/* The pod is "hostname.service" in DNS. */
bool service_names_pod(const CoreV1__Service *svc, const CoreV1__Pod *pod);
/* When the newest of the things about a pod that shape endpoints happened, or `newest`. */
int64_t pod_trigger_s(const CoreV1__Pod *pod, int64_t newest);
