/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The objects that are the same for every cluster, as JSON; made from objects.tsv at build time. */
#include <stddef.h>

struct bootstrap_object {
	const char *group, *resource, *ns, *name;
	const char *json;
};

extern const struct bootstrap_object bootstrap_objects[];
extern const size_t bootstrap_n_objects;
