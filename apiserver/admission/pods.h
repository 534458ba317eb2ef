/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What several plugins need of pods. */
#include "apiserver/admission/plugins.h"
#include "proto/core_v1.pb-c.h"
#include "proto/meta_labels.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/pb_decode.h"

/* The pod that is being created or updated as a whole; NULL: another request. */
static inline CoreV1__Pod *admission_pod(const struct admission *ad)
{
	return admission_is(ad, "", "pods") && ad->at->obj ? OBJECT_MSG(ad->at->obj, CoreV1__Pod)
	                                                   : NULL;
}

static inline bool is_mirror(const CoreV1__Pod *pod)
{
	return meta_annotation(pod->metadata, "kubernetes.io/config.mirror") != NULL;
}

/* A new message of the kind, as decoding makes it. */
#define NEW_MSG(arena, type, descriptor) ((type *)pb_new(schema_of(&(descriptor)), (arena)))

/* Appends to a repeated field of messages. */
#define APPEND_MSG(arena, obj, member, value)                                              \
	do {                                                                               \
		(obj)->member =                                                            \
		    arena_grow((arena), (obj)->member, (obj)->n_##member * sizeof(void *), \
		               ((obj)->n_##member + 1) * sizeof(void *));                  \
		(obj)->member[(obj)->n_##member++] = (value);                              \
	} while (0)
