/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The history of a pod template as ControllerRevisions (kubernetes pkg/controller/history): what
 * `kubectl rollout history` and `undo` of DaemonSets and StatefulSets read. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "proto/apps_v1.pb-c.h"

struct revisions_input {
	const MetaV1__ObjectMeta *owner;
	const char *api_version, *kind; /* of it */
	const CoreV1__PodTemplateSpec *template;
	const int32_t *collisions;                    /* NULL: none */
	AppsV1__ControllerRevision *const *revisions; /* those that it controls */
	size_t n_revisions;
	/* Labels of new ones, and the label that holds the hash too. */
	MetaV1__ObjectMeta__LabelsEntry *const *labels;
	size_t n_labels;
	const char *hash_label;
};

struct revisions_plan {
	const char *hash;                       /* of the current template */
	AppsV1__ControllerRevision *current;    /* it, as it is or is to be written */
	bool create, update;                    /* an older one that is current again is raised */
	const AppsV1__ControllerRevision **old; /* the others, oldest first */
	size_t n_old;
};

void revisions_plan(const struct revisions_input *in, struct arena *a, struct revisions_plan *ret);
/* The hash label of a revision; "" without. */
const char *revision_hash(const AppsV1__ControllerRevision *r, const char *hash_label);
/* Of the old ones that nothing is made of any more those beyond the limit. */
size_t revisions_beyond(const struct revisions_plan *p, int32_t limit,
                        bool (*is_live)(const AppsV1__ControllerRevision *r, void *arg), void *arg,
                        struct arena *a, const AppsV1__ControllerRevision ***ret);
/* The template of a revision; NULL when it cannot be read. */
CoreV1__PodTemplateSpec *revision_template(const AppsV1__ControllerRevision *r, struct arena *a);
