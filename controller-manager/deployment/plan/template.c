/* SPDX-License-Identifier: Apache-2.0 */
/* Which ReplicaSet is the current one: equality and hash of pod templates. */
#include <string.h>
#include "common/base/buf.h"
#include "controller-manager/base/plan/hash.h"
#include "controller-manager/deployment/plan/internal.h"
#include "proto/msg.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

#define HASH_LABEL "pod-template-hash"

/* The template without the label that the controller itself adds. */
static void without_hash(const CoreV1__PodTemplateSpec *from, CoreV1__PodTemplateSpec *to,
                         MetaV1__ObjectMeta *meta, struct arena *a)
{
	*to = *from;
	if (!from->metadata)
		return;
	*meta = *from->metadata;
	meta->labels = arena_array(a, MetaV1__ObjectMeta__LabelsEntry *, from->metadata->n_labels);
	meta->n_labels = 0;
	for (size_t i = 0; i < from->metadata->n_labels; i++)
		if (strcmp(from->metadata->labels[i]->key, HASH_LABEL))
			meta->labels[meta->n_labels++] = from->metadata->labels[i];
	to->metadata = meta;
}

static bool same_template(const CoreV1__PodTemplateSpec *x, const CoreV1__PodTemplateSpec *y)
{
	_cleanup_arena_ struct arena a = {0};
	CoreV1__PodTemplateSpec cx, cy;
	MetaV1__ObjectMeta mx, my;
	without_hash(x, &cx, &mx, &a);
	without_hash(y, &cy, &my, &a);
	return msg_equal(&core_v1__pod_template_spec_schema, &cx.base, &cy.base);
}

static bool is_older(const AppsV1__ReplicaSet *x, const AppsV1__ReplicaSet *y)
{
	int64_t tx = x->metadata->creation_timestamp ? x->metadata->creation_timestamp->seconds : 0;
	int64_t ty = y->metadata->creation_timestamp ? y->metadata->creation_timestamp->seconds : 0;
	return tx != ty ? tx < ty : strcmp(x->metadata->name, y->metadata->name) < 0;
}

const AppsV1__ReplicaSet *deployment_new_set(const struct deployment_input *in)
{
	const AppsV1__ReplicaSet *best = NULL;
	for (size_t i = 0; i < in->n_sets; i++)
		if (same_template(in->sets[i]->spec->template_, in->d->spec->template_) &&
		    (!best || is_older(in->sets[i], best)))
			best = in->sets[i];
	return best;
}

/* Of the template's bytes and the collision count. */
const char *template_hash(const AppsV1__Deployment *d, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	CoreV1__PodTemplateSpec clean;
	MetaV1__ObjectMeta meta;
	without_hash(d->spec->template_, &clean, &meta, a);
	pb_encode(&core_v1__pod_template_spec_schema, &clean.base, &b);
	return name_hash(buf_view(&b),
	                 d->status->has_collision_count ? &d->status->collision_count : NULL, a);
}
