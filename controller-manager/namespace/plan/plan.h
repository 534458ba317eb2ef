/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The state of a namespace that is being deleted: its conditions and whether its finalizer can go
 * (kubernetes pkg/controller/namespace/deletion). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/core_v1.pb-c.h"

#define NAMESPACE_FINALIZER "kubernetes"

/* What was found of one resource after everything had been asked to go. */
struct namespace_content {
	const char *group, *resource;
	size_t remaining;
	const char *failure; /* of the deletion; NULL: none */
};

struct namespace_input {
	const CoreV1__Namespace *ns;
	const struct namespace_content *content;
	size_t n_content;
	/* Finalizers of what remains, each with the number of objects that have it. */
	const char *const *finalizers;
	const size_t *finalizer_counts;
	size_t n_finalizers;
	int64_t now_s;
};

struct namespace_plan {
	bool finalize;                   /* nothing is left: the finalizer goes */
	CoreV1__NamespaceSpec *spec;     /* without it */
	CoreV1__NamespaceStatus *status; /* with the conditions */
	bool status_differs;
};

void namespace_plan(const struct namespace_input *in, struct arena *a, struct namespace_plan *ret);
