/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Lists of resources and amounts: all maps of quantities of generated structs have one layout. */
#include "common/base/arena.h"
#include "common/codec/quantity.h"
#include "proto/quantity.pb-c.h"

struct resource_entry {
	ProtobufCMessage base;
	char *key;
	Quantity__Quantity *value;
};

struct resource_list {
	struct resource_entry *const *at;
	size_t n;
};

/* The map member of a message as a list. */
#define RESOURCES(msg, member)                                               \
	{                                                                    \
		.at = (struct resource_entry *const *)(void *)(msg)->member, \
		.n = (msg)->n_##member                                       \
	}

/* The amount; false when the resource is not in the list. */
bool resources_get(const struct resource_list *l, const char *name, struct quantity *ret);
bool resources_equal(const struct resource_list *a, const struct resource_list *b);

/* Amounts that are being summed up, at most RESOURCES_MAX. */
enum { RESOURCES_MAX = 64 };
struct resource_sum {
	struct {
		const char *name;
		struct quantity q;
	} at[RESOURCES_MAX];
	size_t n;
};
struct quantity *resource_sum_find(struct resource_sum *s, const char *name); /* or NULL */
void resource_sum_add(struct resource_sum *s, const char *name, const struct quantity *q);
void resource_sum_max(struct resource_sum *s, const char *name, const struct quantity *q);
void resource_sum_add_list(struct resource_sum *s, const struct resource_list *l);

struct CoreV1__PodSpec;
/* What a pod asks for (or is limited to) as a whole: the sum of its containers, or what its most
 * demanding init container needs, and the overhead (component-helpers resource PodRequests). */
void pod_resources(const struct CoreV1__PodSpec *spec, bool limits, struct resource_sum *ret);
