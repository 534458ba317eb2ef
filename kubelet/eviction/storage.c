/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/eviction/storage.h"

#include <string.h>

#include "common/codec/quantity.h"
#include "kubelet/core/resources.h"

static const char *const ephemeral = "ephemeral-storage";

static int64_t value_of(const char *text)
{
	struct quantity q = quantity_of(text);
	return quantity_value(&q);
}

/* The sizeLimit of an emptyDir; NULL: it has none, or is none. */
static const char *size_limit(const CoreV1__Volume *v)
{
	const CoreV1__EmptyDirVolumeSource *e =
	    v->volume_source ? v->volume_source->empty_dir : NULL;
	const char *text = e && e->size_limit ? e->size_limit->string : NULL;
	return text && value_of(text) > 0 ? text : NULL;
}

bool storage_is_limited(const CoreV1__Pod *pod)
{
	const CoreV1__PodSpec *s = pod->spec;
	for (size_t i = 0; i < s->n_volumes; i++)
		if (size_limit(s->volumes[i]))
			return true;
	for (size_t i = 0; i < s->n_containers; i++)
		if (container_resource(s->containers[i]->resources, true, ephemeral))
			return true;
	return false;
}

static int64_t used(const struct storage_use *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return list[i].bytes;
	return 0;
}

const char *storage_excess(const CoreV1__Pod *pod, const struct pod_storage *use, struct arena *a)
{
	const CoreV1__PodSpec *s = pod->spec;
	struct quantity all;
	for (size_t i = 0; i < s->n_volumes; i++) {
		const char *limit = size_limit(s->volumes[i]);
		if (limit &&
		    used(use->volumes, use->n_volumes, s->volumes[i]->name) > value_of(limit))
			return arena_printf(
			    a, "Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ",
			    s->volumes[i]->name, limit);
	}
	if (pod_resource(pod, true, ephemeral, &all) && use->all_bytes > quantity_value(&all)) {
		char text[QUANTITY_BYTES];
		quantity_format_text(&all, text);
		return arena_printf(a,
		                    "Pod ephemeral local storage usage exceeds the total limit of "
		                    "containers %s. ",
		                    text);
	}
	for (size_t i = 0; i < s->n_containers; i++) {
		const char *limit =
		    container_resource(s->containers[i]->resources, true, ephemeral);
		if (limit && used(use->containers, use->n_containers, s->containers[i]->name) >
		                 value_of(limit))
			return arena_printf(
			    a, "Container %s exceeded its local ephemeral storage limit \"%s\". ",
			    s->containers[i]->name, limit);
	}
	return NULL;
}
