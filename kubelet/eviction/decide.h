/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* When the node runs low and whom to evict: functions from thresholds, observations and what was
 * seen before to conditions, the threshold to act on, and an order of pods (kubelet
 * pkg/kubelet/eviction helpers.go). Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "proto/core_v1.pb-c.h"

enum signal {
	SIGNAL_MEMORY,
	SIGNAL_NODEFS,
	SIGNAL_NODEFS_INODES,
	SIGNAL_IMAGEFS,
	SIGNAL_IMAGEFS_INODES,
	SIGNAL_PID,
	SIGNAL_COUNT
};
/* "memory.available" */
const char *signal_name(enum signal s);
/* What a pod's message calls it: "memory", "ephemeral-storage", "inodes", "pids". */
const char *signal_resource(enum signal s);

enum pressure { PRESSURE_MEMORY, PRESSURE_DISK, PRESSURE_PID, PRESSURE_COUNT };
enum pressure signal_pressure(enum signal s);

/* A quantity or a part of the capacity. */
struct amount {
	bool is_part;
	double part; /* 0.1: ten percent */
	int64_t value;
};

struct threshold {
	enum signal signal;
	struct amount limit; /* it is met when less is available */
	bool hard;
	int64_t grace_ms;
	bool has_reclaim;
	struct amount reclaim; /* how much more must be free until it counts as not met */
};

enum { THRESHOLDS_MAX = 2 * SIGNAL_COUNT };
struct thresholds {
	struct threshold at[THRESHOLDS_MAX];
	size_t n;
};

/* Flags in upstream's form: hard "memory.available<100Mi,nodefs.available<10%", graces
 * "memory.available=1m30s", reclaim "nodefs.available=500Mi". Hard "" means upstream's defaults;
 * with `merge` they fill what `hard` does not name. Errors in upstream's words. */
int thresholds_parse(const char *hard, const char *soft, const char *soft_grace,
                     const char *min_reclaim, bool merge, struct thresholds *ret, struct err *err);

struct observation {
	bool known;
	int64_t available, capacity;
};

int64_t amount_of(const struct amount *a, int64_t capacity);

/* What is remembered between looks; zero at the start. Times are of a clock that never goes back,
 * in milliseconds and not 0. */
struct eviction_state {
	uint64_t met_since_ms[THRESHOLDS_MAX];     /* 0: not met */
	uint64_t pressure_last_ms[PRESSURE_COUNT]; /* when it was last under pressure; 0: never */
};

struct eviction_verdict {
	bool pressure[PRESSURE_COUNT]; /* the node's conditions */
	/* Thresholds that are met, their grace over, in the order of importance. */
	const struct threshold *due[THRESHOLDS_MAX];
	size_t n_due;
};

/* obs: one for each signal. */
void eviction_decide(const struct thresholds *t, const struct observation *obs,
                     int64_t transition_ms, uint64_t now_ms, struct eviction_state *state,
                     struct eviction_verdict *ret);

/* What is kept free of a resource by hard thresholds: "memory", "ephemeral-storage". */
int64_t eviction_reserved(const struct thresholds *t, const char *resource, int64_t capacity);

/* A pod as the ranking sees it. */
struct candidate {
	const CoreV1__Pod *pod;
	bool known; /* its use could be read */
	int64_t memory_bytes, disk_bytes, inodes, pids;
	void *owner;
	size_t place; /* keeps the order of equals */
};
/* Sorts: whom to evict first for this signal. */
void eviction_rank(enum signal s, struct candidate *c, size_t n);

/* "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ..." with the
 * containers whose use (bytes, in the order of the spec) exceeds their requests; use NULL: none. */
const char *eviction_message(const struct threshold *t, const struct observation *o,
                             const CoreV1__Pod *pod, const int64_t *use, struct arena *a);
