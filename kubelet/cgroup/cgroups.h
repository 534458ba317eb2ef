/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The cgroups of this node's pods: /kubepods held to the node's allocatable resources, one for the
 * classes besteffort and burstable, one a pod. They are made before a pod's sandbox and removed
 * when all of the pod has gone; those of pods that nobody knows are removed after a start.
 *
 * When the machine does not let the kubelet make cgroups, that is logged once and pods run where
 * the runtime puts them. On the loop; writing is quick. */
#include "kubelet/cgroup/tree.h"
#include "kubelet/kubelet.h"

struct cgroups;

struct cgroups *cgroups_new(struct kubelet *k);
void cgroups_free(struct cgroups *c);
/* What the runtime says of its driver; before cgroups_start. */
void cgroups_set_driver(struct cgroups *c, enum cgroup_driver driver);
/* Makes /kubepods and the classes. Needs the node's facts. */
void cgroups_start(struct cgroups *c);
bool cgroups_active(const struct cgroups *c);
const struct cgroup_tree *cgroups_tree(const struct cgroups *c);
enum cgroup_driver cgroups_driver(const struct cgroups *c);
const struct cgroup_policy *cgroups_policy(const struct cgroups *c);

/* --single-process-oom-kill: of a container's processes only one dies when memory runs out. */
bool cgroups_one_dies(const struct cgroups *c);

/* The pod's cgroup with its limits; again after its resources have changed. */
int cgroups_pod_make(struct cgroups *c, const CoreV1__Pod *pod, struct err *err);
/* All of the pod has gone. */
void cgroups_pod_remove(struct cgroups *c, const char *uid, const CoreV1__Pod *pod);
/* For the runtime's cgroup_parent; "" when pods have no cgroups. */
const char *cgroups_pod_parent(const struct cgroups *c, const CoreV1__Pod *pod, struct arena *a);
/* Removes empty cgroups of pods that are not known; after the first list of pods. */
void cgroups_clean(struct cgroups *c);

/* "/kubepods" of this node. */
const char *cgroups_root(const struct cgroups *c, struct arena *a);
/* Where the runtime has put a container: below the pod's cgroup, by its id. */
const char *cgroups_container_path(const struct cgroups *c, const CoreV1__Pod *pod,
                                   const char *container_id, struct arena *a);

/* What a container may use, for the runtime. */
CriV1__LinuxContainerResources *
cgroups_container_resources(const struct cgroups *c, const CoreV1__Pod *pod,
                            const CoreV1__Container *k, int64_t memory_capacity, struct arena *a);
/* What all containers of a pod may use, for the sandbox. */
CriV1__LinuxContainerResources *cgroups_sandbox_resources(const struct cgroups *c,
                                                          const CoreV1__Pod *pod, struct arena *a);
