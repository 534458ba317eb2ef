/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scheduler knows of nodes and of the pods on them, extracted from API objects once and
 * kept in dense arrays (kube-scheduler's cache and snapshot in one: the loop that changes it is the
 * one that reads it).
 *
 * A pod that was given a node is *assumed*: it counts there at once, before the apiserver's event
 * confirms it; cluster_forget takes it back when binding failed. Objects passed in are not kept. */
#include <stdbool.h>
#include "common/base/vec.h"
#include "scheduler/core/resources.h"

struct taint {
	char *key, *value, *effect;
};

struct label {
	char *key, *value;
};

struct node_info {
	char *name;
	bool known; /* false: only pods that name it have been seen */
	bool unschedulable;
	size_t n_taints, n_labels;
	struct taint *taints;
	struct label *labels;
	struct resources allocatable, requested;
	int64_t nonzero_milli_cpu, nonzero_memory; /* of the pods here */
	size_t n_pods;
	size_t slot; /* its place in the dense array, when known */
};

/* One pod's claim on a node. */
struct placed_pod {
	char *key; /* namespace/name */
	char *uid;
	struct node_info *node;
	struct resources requests;
	int64_t nonzero_milli_cpu, nonzero_memory;
	bool assumed;
};

struct cluster;

struct cluster *cluster_new(void);
void cluster_free(struct cluster *c);

/* Returns true when something changed that can make a pod fit (a bit set of enum queue_event). */
unsigned cluster_set_node(struct cluster *c, const CoreV1__Node *node);
void cluster_remove_node(struct cluster *c, const char *name);

/* A pod with spec.nodeName. A pod in a final phase counts as removed. */
void cluster_set_pod(struct cluster *c, const char *key, const CoreV1__Pod *pod);
/* Returns true when the pod was known. */
bool cluster_remove_pod(struct cluster *c, const char *key);
/* Counts the pod on the node from now on. */
void cluster_assume(struct cluster *c, const char *key, const CoreV1__Pod *pod, const char *node);
/* Takes back an assumed pod; does nothing when it was confirmed meanwhile. */
void cluster_forget(struct cluster *c, const char *key);

/* Known nodes, dense, in no order that matters. */
size_t cluster_n_nodes(const struct cluster *c);
struct node_info *cluster_node(const struct cluster *c, size_t slot);
struct node_info *cluster_find(const struct cluster *c, const char *name);
const struct placed_pod *cluster_pod(const struct cluster *c, const char *key);

/* NULL when the node has no such label. */
const char *node_label(const struct node_info *n, const char *key);
