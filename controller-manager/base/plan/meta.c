/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/meta.h"

#include <string.h>

void meta_set_annotation(MetaV1__ObjectMeta *meta, struct arena *a, const char *key,
                         const char *value)
{
	size_t n = meta->n_annotations, at = 0;
	MetaV1__ObjectMeta__AnnotationsEntry **list =
	    arena_array(a, MetaV1__ObjectMeta__AnnotationsEntry *, n + 1);
	for (size_t i = 0; i < n; i++)
		list[i] = meta->annotations[i];
	while (at < n && strcmp(list[at]->key, key))
		at++;
	list[at] = arena_new(a, MetaV1__ObjectMeta__AnnotationsEntry);
	*list[at] =
	    (MetaV1__ObjectMeta__AnnotationsEntry)META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	list[at]->key = arena_strdup(a, key);
	list[at]->value = arena_strdup(a, value);
	meta->annotations = list;
	meta->n_annotations = at == n ? n + 1 : n;
}

void meta_set_label(MetaV1__ObjectMeta *meta, struct arena *a, const char *key, const char *value)
{
	size_t n = meta->n_labels, at = 0;
	MetaV1__ObjectMeta__LabelsEntry **list =
	    arena_array(a, MetaV1__ObjectMeta__LabelsEntry *, n + 1);
	for (size_t i = 0; i < n; i++)
		list[i] = meta->labels[i];
	while (at < n && strcmp(list[at]->key, key))
		at++;
	list[at] = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);
	*list[at] = (MetaV1__ObjectMeta__LabelsEntry)META_V1__OBJECT_META__LABELS_ENTRY__INIT;
	list[at]->key = arena_strdup(a, key);
	list[at]->value = arena_strdup(a, value);
	meta->labels = list;
	meta->n_labels = at == n ? n + 1 : n;
}

bool meta_del_label(MetaV1__ObjectMeta *meta, struct arena *a, const char *key)
{
	size_t n = 0, had = meta->n_labels;
	MetaV1__ObjectMeta__LabelsEntry **list =
	    arena_array(a, MetaV1__ObjectMeta__LabelsEntry *, had);
	for (size_t i = 0; i < had; i++)
		if (strcmp(meta->labels[i]->key, key))
			list[n++] = meta->labels[i];
	meta->labels = list;
	meta->n_labels = n;
	return n < had;
}

bool meta_del_annotation(MetaV1__ObjectMeta *meta, struct arena *a, const char *key)
{
	size_t n = 0, had = meta->n_annotations;
	MetaV1__ObjectMeta__AnnotationsEntry **list =
	    arena_array(a, MetaV1__ObjectMeta__AnnotationsEntry *, had);
	for (size_t i = 0; i < had; i++)
		if (strcmp(meta->annotations[i]->key, key))
			list[n++] = meta->annotations[i];
	meta->annotations = list;
	meta->n_annotations = n;
	return n < had;
}

bool meta_has_finalizer(const MetaV1__ObjectMeta *meta, const char *name)
{
	for (size_t i = 0; i < meta->n_finalizers; i++)
		if (!strcmp(meta->finalizers[i], name))
			return true;
	return false;
}

MetaV1__Time *meta_time(struct arena *a, int64_t seconds)
{
	MetaV1__Time *t = arena_new(a, MetaV1__Time);
	*t = (MetaV1__Time)META_V1__TIME__INIT;
	t->has_seconds = 1;
	t->seconds = seconds;
	return t;
}
