/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the scheduler needs of a pod, extracted from the API object once: numbers in place of texts,
 * selectors compiled, requests summed up. Immutable and counted by reference; one owner's thread.
 * A pod_info holds the references of all symbols in it. */
#include "scheduler/core/resources.h"
#include "scheduler/core/selector.h"

enum taint_effect {
	EFFECT_NO_SCHEDULE = 1,
	EFFECT_PREFER_NO_SCHEDULE = 2,
	EFFECT_NO_EXECUTE = 4,
	EFFECT_ALL = 7,
};

struct toleration {
	uint32_t key, value; /* key 0: every key */
	uint8_t effects;     /* enum taint_effect bits */
	bool exists;
};

struct taint {
	uint32_t key, value;
	uint8_t effect;
};

/* A term of a node selector; without requirements it matches nothing. */
struct node_term {
	uint32_t n_labels, n_names;
	struct requirement *labels, *names; /* names: of metadata.name; other fields never hold */
	int32_t weight;                     /* of a preferred term */
};

struct node_terms {
	uint32_t n;
	struct node_term *at;
};

/* A term of pod affinity or anti-affinity. */
struct pod_term {
	uint32_t topology_key;
	int32_t weight; /* of a preferred term */
	uint32_t n_namespaces;
	uint32_t *namespaces;        /* sorted */
	struct selector *namespaced; /* namespaces by their labels; NULL: none */
	struct selector selector;
};

struct pod_terms {
	uint32_t n;
	struct pod_term *at;
};

struct spread {
	uint32_t topology_key;
	int32_t max_skew, min_domains;
	bool hard, honor_affinity, honor_taints;
	struct selector selector;
};

struct host_port {
	uint32_t ip; /* 0: all addresses */
	int32_t port;
	uint8_t protocol; /* its first letter */
};

struct pod_info {
	size_t refs;
	struct symbol_refs symbols;
	struct arena arena;                     /* of pods with terms or constraints */
	void *block;                            /* of all others: one allocation */
	const char *key, *ns_text, *name, *uid; /* key: namespace/name */
	const char *scheduler_name, *node_name, *nominated_node;
	uint32_t ns;
	int32_t priority;
	bool terminating, final, never_preempts, gated;
	int64_t created_sec, started_sec; /* 0: unknown */
	int64_t generation;
	struct label_list labels;
	/* the controlling owner; 0 without */
	uint32_t owner_kind, owner_name;
	struct resources requests;
	int64_t nonzero_milli_cpu, nonzero_memory;
	uint32_t n_tolerations, n_ports, n_spreads, n_images, n_containers;
	struct toleration *tolerations;
	struct host_port *ports;
	struct spread *spreads;
	uint32_t *images;                /* normalized names, one a container */
	struct node_terms node_selector; /* spec.nodeSelector: one term, or none */
	bool has_required_node_terms;    /* spec.affinity.nodeAffinity.required... */
	struct node_terms node_required, node_preferred;
	struct pod_terms affinity, anti_affinity, prefers, avoids;
};

/* A pod_info with one reference. The object is not kept. */
struct pod_info *pod_info_new(struct symbols *s, const CoreV1__Pod *pod);
struct pod_info *pod_info_ref(const struct pod_info *p);
void pod_info_unref(const struct pod_info *p); /* NULL is fine */

/* "nginx" -> "nginx:latest", as nodes report images. */
uint32_t image_symbol(struct symbol_refs *r, const char *image);

/* Does a toleration cover the taint? */
bool toleration_covers(const struct toleration *t, const struct taint *taint);
bool pod_tolerates(const struct pod_info *p, const struct taint *taint);
/* Does the term match a node of this name and these labels? */
bool node_term_matches(const struct node_term *t, const struct label_list *labels, uint32_t name,
                       const struct symbols *s);
