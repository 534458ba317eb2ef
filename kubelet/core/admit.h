/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Whether the node takes a pod that was bound to it (kubelet lifecycle predicates, sysctl). */
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

enum room_kind { ROOM_PODS, ROOM_CPU_MILLI, ROOM_MEMORY, ROOM_STORAGE, ROOM_KINDS };

/* What pods may have, and what those that are here have. */
struct node_room {
	int64_t allocatable[ROOM_KINDS], used[ROOM_KINDS];
};

/* Adds what a pod that is here has. */
void room_use(struct node_room *r, const CoreV1__Pod *pod);

struct refusal {
	const char *reason, *message; /* "OutOfcpu", ... */
};

/* True when there is room; else fills ret, in the arena. */
bool room_fits(const struct node_room *r, const CoreV1__Pod *pod, struct arena *a,
               struct refusal *ret);
/* True when the pods do not ask for the same port of the host; else fills ret. */
bool ports_fit(const CoreV1__Pod *pod, const CoreV1__Pod *other, struct refusal *ret);
/* True when the node is one that the pod's nodeSelector and required node affinity ask for; else
 * fills ret. */
bool node_suits(const CoreV1__Pod *pod, const MetaV1__ObjectMeta *node, struct refusal *ret);
/* True when the pod's sysctls are safe, or are among the patterns ("name" or "prefix*"); else fills
 * ret, in the arena. */
bool sysctls_allowed(const CoreV1__Pod *pod, const char *const *patterns, size_t n_patterns,
                     struct arena *a, struct refusal *ret);
