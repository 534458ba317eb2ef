/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Clusters from short YAML, for tests. A node or pod is an API object, or these short forms:
 *
 *     {name: n1, cpu: "4", memory: 8Gi, pods: "110", labels: {...}, taints: [...], images: [...]}
 *     {name: p, ns: default, node: n1, priority: 5, cpu: 100m, memory: 1Gi, labels: {...},
 *      spec: {...}, status: {...}, metadata: {...}}
 *
 * whose spec, status and metadata are merged into what the short keys say. */
#include "common/codec/yaml.h"
#include "scheduler/core/profile.h"
#include "scheduler/core/queue.h"
#include "scheduler/plugins/plugins.h"

struct world {
	struct arena arena;
	struct cluster *cluster;
	struct profile_config config;
	struct cycle cycle;
	struct rng rng;
	size_t start;
};

/* config: KubeSchedulerConfiguration without apiVersion and kind, or NULL. */
void world_init(struct world *w, const struct jvalue *config);
void world_deinit(struct world *w);
/* Reads a file of testdata as a list of documents. */
struct jvalue *world_documents(const char *path, struct arena *a);

CoreV1__Pod *world_pod_object(struct arena *a, const struct jvalue *v);
CoreV1__Node *world_node_object(struct arena *a, const struct jvalue *v);
struct pod_info *world_pod(struct world *w, const struct jvalue *v);
struct node_spec *world_node(struct world *w, const struct jvalue *v);
/* Adds nodes, pods, namespaces, services, workloads and budgets of a document. */
void world_fill(struct world *w, const struct jvalue *doc);
const struct framework *world_framework(const struct world *w);
struct cycle_result world_schedule(struct world *w, const struct pod_info *p);
