/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the downward API says of a pod: values for environment variables and files. */
#include "kubelet/pod/pod.h"

/* "metadata.name", "metadata.labels['x']", "status.podIP" ...; NULL and err when it is none. */
const char *field_ref_value(const struct pod *p, const char *path, struct arena *a,
                            struct err *err);
/* "limits.cpu" of a container in units of the divisor (NULL: 1). */
const char *resource_ref_value(const struct pod *p, const CoreV1__Container *c,
                               const char *resource, const Quantity__Quantity *divisor,
                               struct arena *a, struct err *err);
/* The quantity of a resource in a container's requests or limits; NULL: not said. */
const char *container_limit(const CoreV1__Container *c, const char *resource);
const char *container_request(const CoreV1__Container *c, const char *resource);
