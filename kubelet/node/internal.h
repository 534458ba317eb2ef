/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of kubelet/node. */
#include "kubelet/node/machine.h"
#include "kubelet/node/node.h"
#include "proto/core_v1.pb-c.h"

struct node {
	struct kubelet *k;
	struct arena arena; /* of the machine's facts */
	struct machine machine;
	struct lease *lease;
	struct loop_timer timer;
	struct client_call *call;
	bool registered, lease_started;
	char uid[64];
	/* What was written last, without the heartbeats, and when. */
	struct arena sent_arena;
	CoreV1__NodeStatus *sent;
	uint64_t sent_ms;
	/* The newest answers of the runtime. */
	struct arena images_arena;
	const CriV1__ListImagesResponse *images;
	uint64_t images_ms;                   /* when they were listed */
	const CriV1__StatusResponse *runtime; /* NULL: it does not answer */
	struct arena runtime_arena;
	char told[4]; /* first letters of the conditions' statuses that events told; 0: none */
	unsigned pending, waits;
};

#define TEXT(s) ((char *)(uintptr_t)(s))

/* status.c: everything of the status but its heartbeats' meaning; in the arena. */
void node_fill_status(const struct node *n, CoreV1__NodeStatus *s, struct arena *a);
/* labels.c: labels and annotations that the kubelet keeps; true when something changed. */
bool node_set_labels(const struct node *n, MetaV1__ObjectMeta *m, struct arena *a);
/* A taint "key=value:effect". */
void node_add_taint(CoreV1__NodeSpec *s, struct arena *a, const char *text);
