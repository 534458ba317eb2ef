/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Node authorization: a kubelet reads what the pods bound to its node refer to, and its own objects
 * (kubernetes plugin/pkg/auth/authorizer/node).
 *
 * Pure. The graph counts, for each object and node, how many pods of the node refer to the object,
 * so that a question is one lookup however many pods there are; where a pod is, its owner says.
 * Persistent volumes are reached through their claim, secrets of volumes through the volume. */
#include "apiserver/admission/pod_refs.h"
#include "apiserver/auth/rbac/rbac.h"
#include "proto/core_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"

struct node_graph;

/* Whether there is such a pod and it is bound to the node. */
typedef bool (*node_graph_pod_fn)(void *arg, const char *ns, const char *name, const char *node);

struct node_graph *node_graph_new(node_graph_pod_fn pod_is_on, void *arg);
void node_graph_free(struct node_graph *g);
void node_graph_clear_pods(struct node_graph *g);
void node_graph_clear_pvs(struct node_graph *g);
void node_graph_clear_attachments(struct node_graph *g);

/* Adds what the pod refers to; removing takes the pod as it was added. A pod without a node refers
 * to nothing. */
void node_graph_add_pod(struct node_graph *g, const CoreV1__Pod *pod);
void node_graph_remove_pod(struct node_graph *g, const CoreV1__Pod *pod);
/* Setting replaces. */
void node_graph_set_pv(struct node_graph *g, const CoreV1__PersistentVolume *pv);
void node_graph_remove_pv(struct node_graph *g, const char *name);
void node_graph_set_attachment(struct node_graph *g, const StorageV1__VolumeAttachment *va);
void node_graph_remove_attachment(struct node_graph *g, const char *name);

/* Whether the node has to do with the object. */
bool node_graph_reaches(const struct node_graph *g, const char *node, enum node_object kind,
                        const char *ns, const char *name);

/* The decision for `node`: true allows; else *ret_reason is "" or why not. `field_selector` is that
 * of a list or watch. */
bool node_authorize(const struct node_graph *g, const char *node, const struct rbac_attributes *a,
                    const char *field_selector, struct arena *arena, const char **ret_reason);

/* What every node may do, whatever its pods: the rules of the role system:node, made at build time.
 */
extern const RbacV1__PolicyRule node_rules[];
extern const size_t node_n_rules;
