/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which Services select a pod: their selectors, parsed once, and pods' labels read from the bytes
 * that the informer holds. Kept by the controllers that make endpoints. */
#include "common/base/map.h"
#include "common/client/informer.h"
#include "common/codec/labels.h"

struct service_selectors {
	struct map by_ns; /* namespace -> struct ns_services */
};

void service_selectors_deinit(struct service_selectors *s);
/* A Service came, changed or went. */
void service_selectors_put(struct service_selectors *s, const struct informer_object *service);
void service_selectors_del(struct service_selectors *s, const struct informer_object *service);
/* Calls fn(key, arg) for each Service that selects the pod. */
void service_selectors_match(const struct service_selectors *s, const struct informer_object *pod,
                             void (*fn)(const char *key, void *arg), void *arg);
/* The labels of an object of any kind. */
struct label_set object_labels(const struct informer_object *o, struct arena *a);
