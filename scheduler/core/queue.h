/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The scheduling queue: active, back-off, unschedulable and gated pods (kube-scheduler
 * backend/queue/scheduling_queue.go).
 *
 * Active pods come out in the order of the profile's QueueSort plugin. A pod that found no node
 * rests until an event that can help it: the plugins that refused it say which, by their hints
 * (KEP-4247). It then waits out its back-off (1 s doubled with each attempt, 10 s at most); when no
 * pod is active, pods in back-off come out early, but not those that failed with an error. After
 * five minutes a pod is tried again in any case. Events that come while pods are being tried are
 * kept until the last of these is done, and looked at when one fails. A pod that a PreEnqueue
 * plugin refuses is gated. Pure: time comes in. */
#include "common/base/list.h"
#include "scheduler/core/framework.h"

enum queue_place { QUEUE_ACTIVE, QUEUE_BACKOFF, QUEUE_UNSCHEDULABLE, QUEUE_GATED, QUEUE_IN_FLIGHT };

/* A pod in the queue; read-only for all but the queue. */
struct queue_item {
	struct pod_info *pod;
	const struct framework *framework;
	uint64_t initial_ms; /* first tried; 0: not yet */
	unsigned attempts;
	uint64_t rejectors; /* of the last attempt, by number of the profile's plugins */
	/* inside */
	enum queue_place place;
	uint64_t since_ms, seq; /* age; seq breaks ties */
	uint64_t ready_ms;      /* end of the back-off */
	uint64_t failed_ms;     /* became unschedulable */
	unsigned wake;          /* kinds that help whatever the plugins say */
	unsigned kinds;         /* kinds that any hint wants to see */
	bool had_error;
	uint64_t seen_from; /* in flight: the first event that came since */
	struct list flight;
	size_t slot[2]; /* in its place's heap or bag; in the heap of early ones */
};

struct queue_config {
	uint64_t initial_backoff_ms, max_backoff_ms, unschedulable_ms;
	const struct cluster *cluster; /* for hints */
};
#define QUEUE_CONFIG_DEFAULT ((struct queue_config){1000, 10000, 300000, NULL})

struct queue;

struct queue *queue_new(const struct queue_config *config);
void queue_free(struct queue *q);

/* A new pod, or a new state of one that is there. The pod is referenced. */
void queue_add(struct queue *q, const struct pod_info *pod, const struct framework *f,
               uint64_t now_ms);
void queue_remove(struct queue *q, const char *key);
/* The pod to try next, or NULL. It is in flight until done, failed or removed. */
const struct queue_item *queue_pop(struct queue *q, uint64_t now_ms);
const struct queue_item *queue_find(const struct queue *q, const char *key);
/* It was bound, or is no longer ours. */
void queue_done(struct queue *q, const char *key);
/* It found no node: these plugins refused it, or kinds of event in `wake` help. `error`: something
 * failed that is not the pod's fault; it only waits out its back-off. */
void queue_failed(struct queue *q, const char *key, uint64_t rejectors, unsigned wake, bool error,
                  uint64_t now_ms);
/* Something happened in the cluster. */
void queue_event(struct queue *q, const struct event *e, uint64_t now_ms);
/* Tries a waiting pod again at once. */
void queue_activate(struct queue *q, const char *key, uint64_t now_ms);
/* Moves what has waited out its time. */
void queue_tick(struct queue *q, uint64_t now_ms);
/* When to tick or pop next; 0: there is a pod to pop; UINT64_MAX: no need. */
uint64_t queue_deadline(const struct queue *q);

struct queue_counts {
	size_t active, backoff, unschedulable, gated, in_flight;
};
struct queue_counts queue_counts(const struct queue *q);
/* How many events are kept for pods in flight. */
size_t queue_events_kept(const struct queue *q);

/* Why pods entered a queue: for metrics. The first are the kinds of event, by bit. */
enum {
	QUEUE_CAUSE_ADD = 13,
	QUEUE_CAUSE_FAILURE,
	QUEUE_CAUSE_BACKOFF,
	QUEUE_CAUSE_TIMEOUT,
	QUEUE_CAUSE_ACTIVATE,
	QUEUE_CAUSES
};
const char *queue_cause_name(unsigned cause);
/* How many entered active, back-off, unschedulable (enum queue_place), by cause. */
uint64_t queue_incoming(const struct queue *q, enum queue_place place, unsigned cause);
/* Items by plugin that refused them, counted over unschedulable and gated pods. */
void queue_each_waiting(const struct queue *q, void (*fn)(const struct queue_item *it, void *arg),
                        void *arg);
