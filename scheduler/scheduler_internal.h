/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the shell share. */
#include "common/client/informer.h"
#include "scheduler/core/cycle.h"
#include "scheduler/core/profile.h"
#include "scheduler/core/queue.h"
#include "scheduler/scheduler.h"

enum attempt { ATTEMPT_SCHEDULED, ATTEMPT_UNSCHEDULABLE, ATTEMPT_ERROR, ATTEMPTS };

/* Series of one profile. */
struct profile_metrics {
	struct metric *attempts[ATTEMPTS], *attempt_seconds[ATTEMPTS];
	struct metric *point_seconds[POINT_COUNT];
	struct metric *unschedulable[PLUGINS_MAX];
};

struct scheduler_metrics {
	struct profile_metrics profiles[PROFILES_MAX];
	struct metric *algorithm_seconds, *pod_attempts, *preemption_attempts, *preemption_victims;
	struct metric *pending[4], *cache_nodes, *cache_pods, *cache_assumed;
	struct metric_family *incoming, *sli_seconds;
};

struct scheduler {
	struct scheduler_options o;
	struct arena forever; /* the configuration */
	struct profile_config config;
	struct informers *informers;
	struct informer *pods;
	struct recorder **recorders; /* by profile */
	struct cluster *cluster;
	struct queue *queue;
	struct cycle *cycle; /* used again, unless a binding keeps it */
	struct cycle_tracer tracer;
	struct rng rng;
	size_t start;
	struct loop_timer turn;
	bool synced, leading;
	size_t n_binding;    /* bindings on their way */
	struct list waiting; /* bindings that a Permit plugin holds */
	struct scheduler_metrics metrics;
	uint64_t point_began_ns;
};

uint64_t scheduler_now_ms(const struct scheduler *s);
/* Sees to it that the next turn comes in time. */
void scheduler_wake(struct scheduler *s);
size_t scheduler_profile_index(const struct scheduler *s, const struct framework *f);
struct recorder *scheduler_recorder(const struct scheduler *s, const struct framework *f);
struct recorder_ref scheduler_pod_ref(const struct pod_info *p);
char *scheduler_strdup(const char *text);

/* watch.c */
void watch_init(struct scheduler *s);

/* bind.c: the cycle's pod goes to this node. */
void bind_begin(struct scheduler *s, const struct queue_item *it, struct node_info *n,
                uint64_t began_ns);
/* Asks Permit plugins again about the bindings that they hold. */
void bind_check_waiting(struct scheduler *s);
/* When a held binding times out; UINT64_MAX: none is held. */
uint64_t bind_deadline(const struct scheduler *s);
/* Gives up a held binding; false: it is not held. */
bool bind_reject(struct scheduler *s, const char *key, const char *why);
void bind_deinit(struct scheduler *s);

/* report.c */
/* Tells that a pod was not scheduled: log, event, condition, and the node it is nominated to
 * (NULL: as it was). */
void report_failure(struct scheduler *s, const struct framework *f, const struct pod_info *p,
                    bool error, const char *message, const char *nominated_node);
/* Writes status.nominatedNodeName alone. */
void report_nominated(struct scheduler *s, const struct pod_info *p, const char *node);

/* preempt.c */
void preempt(struct scheduler *s, const struct framework *f, const struct pod_info *p,
             const struct preemption *how);

/* observe.c */
void observe_init(struct scheduler *s);
void observe_attempt(struct scheduler *s, const struct framework *f, enum attempt result,
                     uint64_t began_ns);
/* The call to the apiserver was answered. */
void observe_bind(struct scheduler *s, const struct framework *f, uint64_t sent_ns);
void observe_scheduled(struct scheduler *s, unsigned attempts, uint64_t initial_ms);
