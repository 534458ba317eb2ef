/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Manifests of static pods: from a file's text to the pod that runs and to its mirror in the
 * apiserver (kubelet config/common.go, pod/mirror_client.go). */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "proto/core_v1.pb-c.h"

#define ANNOTATION_CONFIG_SOURCE "kubernetes.io/config.source"
#define ANNOTATION_CONFIG_HASH "kubernetes.io/config.hash"
#define ANNOTATION_CONFIG_SEEN "kubernetes.io/config.seen"
#define ANNOTATION_CONFIG_MIRROR "kubernetes.io/config.mirror"

/* Reads a Pod (YAML or JSON): its name gets the node's as a suffix, its uid is a hash of the text,
 * the node and the file, its fields get the apiserver's defaults. `seen`: RFC 3339. */
int manifest_parse(struct slice text, const char *file, const char *node, const char *seen,
                   struct arena *a, CoreV1__Pod **ret, struct err *err);
/* The object that stands for the static pod in the apiserver, owned by the node. */
CoreV1__Pod *manifest_mirror(const CoreV1__Pod *pod, const char *node, const char *node_uid,
                             struct arena *a);
/* The apiserver's picture of a static pod? */
bool pod_is_mirror(const CoreV1__Pod *pod);
/* "" when there is no such annotation. */
const char *pod_annotation(const CoreV1__Pod *pod, const char *key);
