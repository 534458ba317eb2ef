/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scheduler knows of the cluster: nodes, the pods on them, namespaces, budgets, and the
 * selectors of services and workloads, extracted from API objects once and kept in dense arrays
 * (kube-scheduler's cache and snapshot in one: the loop that changes it is the one that reads it).
 * Every change keeps the sums, topologies and tallies up; nothing is calculated anew for a cycle.
 *
 * A pod that was given a node is *assumed*: it counts there at once, before the apiserver's event
 * confirms it. cluster_forget takes it back when binding failed; one that was bound but is never
 * confirmed expires. A pod that waits for its victims to end is *nominated* to a node: it counts
 * there for pods of lower or equal priority only. Objects passed in are not kept. */
#include "proto/policy_v1.pb-c.h"
#include "scheduler/core/event.h"
#include "scheduler/core/tally.h"

typedef VEC(struct pod_info *) pod_infos;

/* What each cycle reads of a node comes first and lies together. */
struct node_info {
	struct node_spec *spec; /* NULL: only pods that name it have been seen */
	uint32_t id;            /* stands for the node in arrays; used again when it has gone */
	uint32_t order;         /* its place in cluster_nodes */
	uint32_t n_taints;      /* of the spec */
	bool unschedulable;
	struct resources allocatable; /* of the spec, which owns its scalars */
	struct resources requested;
	int64_t nonzero_milli_cpu, nonzero_memory; /* of the pods here */
	pod_infos pods, nominated;
	VEC(struct host_port) ports;
	char *name;
	struct symbols *symbols;
};

/* Takes over what the spec says. */
void node_info_set_spec(struct node_info *n, struct node_spec *spec);
/* Adds or takes a pod from a node's own sums, nothing else: for trying out. */
void node_info_add(struct node_info *n, const struct pod_info *p);
/* Returns false when it was not there. */
bool node_info_remove(struct node_info *n, const struct pod_info *p);
/* A copy to try things out on. */
void node_info_copy(struct node_info *to, const struct node_info *from);
void node_info_copy_deinit(struct node_info *n);

/* One pod's claim on a node. */
struct placed_pod {
	struct pod_info *pod;
	struct node_info *node;
	bool assumed;
	uint64_t expires_ms; /* of an assumed pod that was bound; 0: never */
	struct list waiting; /* among those */
	size_t n_having;     /* tallies of its own terms */
	struct tally **having;
};

struct budget {
	uint32_t ns;
	char *key;
	struct selector selector;
	int32_t disruptions_allowed;
	size_t n_disrupted;
	char **disrupted; /* names of pods that are being evicted */
	struct symbol_refs symbols;
	struct arena arena;
};

struct cluster;

struct cluster *cluster_new(void);
void cluster_free(struct cluster *c);
struct symbols *cluster_symbols(const struct cluster *c);

/* Takes over the caller's reference of `spec`. Returns the kinds of event; with old (may be NULL)
 * the state before, whose reference is the caller's. */
unsigned cluster_set_node(struct cluster *c, struct node_spec *spec, struct node_spec **old);
/* The last state (the caller's reference), or NULL when there was none. */
struct node_spec *cluster_remove_node(struct cluster *c, const char *name);

/* Counts a pod on a node from now on; the pod is referenced. Replaces what was there under its
 * key. */
void cluster_set_pod(struct cluster *c, const struct pod_info *p);
void cluster_assume(struct cluster *c, const struct pod_info *p, const char *node);
/* It was bound: it expires at that time if no event confirms it. */
void cluster_bound(struct cluster *c, const char *key, uint64_t expires_ms);
/* Takes back an assumed pod; false when it was confirmed meanwhile or is not there. */
bool cluster_forget(struct cluster *c, const char *key);
/* Takes back one assumed pod that has expired; its key is in the arena, NULL: none. */
const char *cluster_expire(struct cluster *c, uint64_t now_ms, struct arena *a);
/* When to look next; UINT64_MAX: no need. */
uint64_t cluster_deadline(const struct cluster *c);
/* The pod that went (the caller's reference), or NULL. */
struct pod_info *cluster_remove_pod(struct cluster *c, const char *key);
const struct placed_pod *cluster_pod(const struct cluster *c, const char *key);
size_t cluster_n_pods(const struct cluster *c);

/* Replaces the nomination that it had. */
void cluster_nominate(struct cluster *c, const struct pod_info *p, const char *node);
/* False when it had none. */
bool cluster_unnominate(struct cluster *c, const char *key);
/* The node's name, or NULL. */
const char *cluster_nomination(const struct cluster *c, const char *key);

/* Labels of namespaces. True when they differ from before. */
bool cluster_set_namespace(struct cluster *c, const char *name, const MetaV1__ObjectMeta *meta);
void cluster_remove_namespace(struct cluster *c, const char *name);
/* Selectors that tell which pods belong together: of a Service (map) or of a ReplicaSet,
 * StatefulSet or ReplicationController. */
void cluster_set_owner(struct cluster *c, const char *kind, const char *ns, const char *name,
                       const MetaV1__LabelSelector *selector);
void cluster_remove_owner(struct cluster *c, const char *kind, const char *ns, const char *name);
void cluster_set_budget(struct cluster *c, const PolicyV1__PodDisruptionBudget *b);
void cluster_remove_budget(struct cluster *c, const char *key);

/* --- reading --- */

/* Known nodes, taking one of each zone in turn; valid until nodes change. */
struct node_info *const *cluster_nodes(struct cluster *c, size_t *ret_n);
size_t cluster_n_nodes(const struct cluster *c);
struct node_info *cluster_find(const struct cluster *c, const char *name); /* known ones */
/* The known node with this id, or NULL. Ids are below cluster_n_ids. */
struct node_info *cluster_by_id(const struct cluster *c, uint32_t id);
uint32_t cluster_n_ids(const struct cluster *c);
bool cluster_has_nominations(const struct cluster *c);
const struct budget *const *cluster_budgets(const struct cluster *c, size_t *ret_n);
/* On how many nodes an image is. */
uint32_t cluster_image_nodes(const struct cluster *c, uint32_t image);

/* Both are valid until the next cluster_begin_cycle. */
struct topology *cluster_topology(struct cluster *c, uint32_t key);
struct tally *cluster_tally(struct cluster *c, const struct pod_term *terms, uint32_t n,
                            bool skip_terminating);
/* Tallies of the terms that placed pods have. */
struct tally *const *cluster_having(const struct cluster *c, size_t *ret_n);
/* Does the pod match the term (or is it of these namespaces at all)? */
bool cluster_term_matches(const struct cluster *c, const struct pod_term *t,
                          const struct pod_info *p);
/* What services and the controlling owner select the pod by, all together (component-helpers
 * DefaultSelector); requirements are in the arena. False when nothing selects it. */
bool cluster_default_selector(const struct cluster *c, const struct pod_info *p, struct arena *a,
                              struct selector *ret);
/* Drops what has not been used for long. */
void cluster_begin_cycle(struct cluster *c);
