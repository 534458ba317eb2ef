/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scheduling queue: active, back-off and unschedulable pods (kube-scheduler
 * backend/queue/scheduling_queue.go).
 *
 * Active pods come out by priority, then by age. A pod that found no node rests until an event
 * that can help it: the plugins that refused it say which. It then waits out its back-off (1 s
 * doubled with each attempt, 10 s at most), or goes on at once when that is over. After five
 * minutes it is tried again in any case. An event that comes while a pod is being tried is not
 * lost: the pod remembers the queue's event count from when it was taken. Pure: time comes in. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_event {
	QUEUE_NODE_ADD = 1 << 0,
	QUEUE_NODE_ALLOCATABLE = 1 << 1,
	QUEUE_NODE_TAINT = 1 << 2,
	QUEUE_NODE_LABEL = 1 << 3,
	QUEUE_POD_DELETE = 1 << 4, /* an assigned pod went or ended */
	QUEUE_POD_UPDATE = 1 << 5, /* the waiting pod itself changed */
	QUEUE_ALL = (1 << 6) - 1,
};

struct queue;

struct queue_config {
	uint64_t initial_backoff_ms, max_backoff_ms, unschedulable_ms;
};
#define QUEUE_CONFIG_DEFAULT ((struct queue_config){1000, 10000, 300000})

struct queue *queue_new(const struct queue_config *config);
void queue_free(struct queue *q);

/* A new pod, or one whose spec changed. `gated` pods (spec.schedulingGates) wait outside. */
void queue_add(struct queue *q, const char *key, int32_t priority, bool gated, uint64_t now_ms);
void queue_remove(struct queue *q, const char *key);
/* The pod to try next, or NULL. It is in flight until done, failed or removed; the text is valid
 * until then. */
const char *queue_pop(struct queue *q, uint64_t now_ms);
/* It was bound. */
void queue_done(struct queue *q, const char *key);
/* It found no node: events of `help` (enum queue_event bits) can change that. help QUEUE_ALL with
 * error true: something failed that is not the pod's fault; it only waits out its back-off. */
void queue_failed(struct queue *q, const char *key, unsigned help, bool error, uint64_t now_ms);
/* Something happened in the cluster. */
void queue_event(struct queue *q, unsigned events, uint64_t now_ms);
/* Moves what has waited out its time. */
void queue_tick(struct queue *q, uint64_t now_ms);
/* When to tick next; UINT64_MAX: no need. */
uint64_t queue_deadline(const struct queue *q);

struct queue_counts {
	size_t active, backoff, unschedulable, gated, in_flight;
};
struct queue_counts queue_counts(const struct queue *q);
