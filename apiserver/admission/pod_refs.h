/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The objects that a pod names: secrets, config maps, claims, its service account. Pure. */
#include "proto/core_v1.pb-c.h"

enum node_object {
	NODE_SECRET = 's',
	NODE_CONFIGMAP = 'c',
	NODE_PVC = 'p',
	NODE_PV = 'v',
	NODE_SERVICE_ACCOUNT = 'a',
	NODE_RESOURCE_CLAIM = 'r',
	NODE_ATTACHMENT = 't',
	NODE_POD = 'o',
};

/* Called for each reference, the same one perhaps more than once; ns is the pod's unless a volume
 * says otherwise. */
typedef void (*pod_ref_fn)(void *arg, enum node_object kind, const char *ns, const char *name);

void pod_refs(const CoreV1__Pod *pod, pod_ref_fn fn, void *arg);
/* The secrets of a volume, with their namespace. */
void pv_secrets(const CoreV1__PersistentVolume *pv, pod_ref_fn fn, void *arg);
