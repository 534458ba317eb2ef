/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a pod the n-th of its set: name, labels, host name, volumes. */
#include <stdlib.h>
#include <string.h>
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/owner.h"
#include "controller-manager/statefulset/plan/plan.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define INDEX_LABEL "apps.kubernetes.io/pod-index"

int32_t statefulset_ordinal(const AppsV1__StatefulSet *set, const CoreV1__Pod *pod)
{
	const char *name = pod->metadata->name, *own = set->metadata->name;
	size_t n = strlen(own);
	char *end;
	if (strncmp(name, own, n) || name[n] != '-' || name[n + 1] < '0' || name[n + 1] > '9')
		return -1;
	long long ordinal = strtoll(name + n + 1, &end, 10);
	return *end || ordinal > INT32_MAX ? -1 : (int32_t)ordinal;
}

static const char *claim_name(const CoreV1__PersistentVolumeClaim *template,
                              const AppsV1__StatefulSet *set, int32_t ordinal, struct arena *a)
{
	return arena_printf(a, "%s-%s-%d", template->metadata->name, set->metadata->name, ordinal);
}

static CoreV1__Volume *claim_volume(const AppsV1__StatefulSet *set, size_t at, int32_t ordinal,
                                    struct arena *a)
{
	const CoreV1__PersistentVolumeClaim *t = set->spec->volume_claim_templates[at];
	CoreV1__Volume *v = (CoreV1__Volume *)pb_new(&core_v1__volume_schema, a);
	v->name = t->metadata->name;
	v->volume_source = (CoreV1__VolumeSource *)pb_new(&core_v1__volume_source_schema, a);
	v->volume_source->persistent_volume_claim =
	    (CoreV1__PersistentVolumeClaimVolumeSource *)pb_new(
	        &core_v1__persistent_volume_claim_volume_source_schema, a);
	v->volume_source->persistent_volume_claim->claim_name =
	    arena_strdup(a, claim_name(t, set, ordinal, a));
	return v;
}

/* The volumes of the claims, and the template's others. */
static bool set_volumes(const AppsV1__StatefulSet *set, int32_t ordinal, CoreV1__PodSpec *spec,
                        struct arena *a)
{
	size_t n_claims = set->spec->n_volume_claim_templates, n = 0;
	CoreV1__Volume **list = arena_array(a, CoreV1__Volume *, n_claims + spec->n_volumes);
	bool changed = false;
	for (size_t i = 0; i < n_claims; i++)
		list[n++] = claim_volume(set, i, ordinal, a);
	for (size_t i = 0; i < n_claims; i++) {
		size_t k = 0;
		while (k < spec->n_volumes && strcmp(spec->volumes[k]->name, list[i]->name))
			k++;
		changed |=
		    k == spec->n_volumes ||
		    !msg_equal(&core_v1__volume_schema, &spec->volumes[k]->base, &list[i]->base);
	}
	for (size_t i = 0; i < spec->n_volumes; i++) {
		size_t k = 0;
		while (k < n_claims && strcmp(list[k]->name, spec->volumes[i]->name))
			k++;
		if (k == n_claims)
			list[n++] = spec->volumes[i];
	}
	if (changed) {
		spec->volumes = list;
		spec->n_volumes = n;
	}
	return changed;
}

static bool set_label(MetaV1__ObjectMeta *meta, struct arena *a, const char *key, const char *value)
{
	const char *have = meta_label(meta, key);
	if (have && !strcmp(have, value))
		return false;
	meta_set_label(meta, a, key, value);
	return true;
}

bool statefulset_set_identity(const AppsV1__StatefulSet *set, int32_t ordinal, CoreV1__Pod *pod,
                              struct arena *a)
{
	bool changed = set_label(pod->metadata, a, NAME_LABEL, pod->metadata->name);
	changed |= set_label(pod->metadata, a, INDEX_LABEL, arena_printf(a, "%d", ordinal));
	changed |= set_volumes(set, ordinal, pod->spec, a);
	return changed;
}

void statefulset_shape_pod(const AppsV1__StatefulSet *set, int32_t ordinal, const char *revision,
                           CoreV1__Pod *pod, struct arena *a)
{
	pod->spec = arena_memdup(a, pod->spec, sizeof(*pod->spec));
	pod->metadata->generate_name = arena_strdup(a, "");
	pod->metadata->name = arena_printf(a, "%s-%d", set->metadata->name, ordinal);
	pod->spec->hostname = pod->metadata->name;
	pod->spec->subdomain = set->spec->service_name;
	statefulset_set_identity(set, ordinal, pod, a);
	meta_set_label(pod->metadata, a, STATEFULSET_REVISION_LABEL, revision);
}

size_t statefulset_claims(const AppsV1__StatefulSet *set, int32_t ordinal, struct arena *a,
                          CoreV1__PersistentVolumeClaim ***ret)
{
	size_t n = set->spec->n_volume_claim_templates;
	const AppsV1__StatefulSetPersistentVolumeClaimRetentionPolicy *keep =
	    set->spec->persistent_volume_claim_retention_policy;
	*ret = arena_array(a, CoreV1__PersistentVolumeClaim *, n);
	for (size_t i = 0; i < n; i++) {
		const CoreV1__PersistentVolumeClaim *t = set->spec->volume_claim_templates[i];
		CoreV1__PersistentVolumeClaim *c = (*ret)[i] =
		    (CoreV1__PersistentVolumeClaim *)pb_new(
		        &core_v1__persistent_volume_claim_schema, a);
		c->spec = t->spec;
		c->metadata->name = arena_strdup(a, claim_name(t, set, ordinal, a));
		c->metadata->namespace_ = set->metadata->namespace_;
		c->metadata->annotations = t->metadata->annotations;
		c->metadata->n_annotations = t->metadata->n_annotations;
		c->metadata->labels = t->metadata->labels;
		c->metadata->n_labels = t->metadata->n_labels;
		const MetaV1__LabelSelector *sel = set->spec->selector;
		for (size_t k = 0; sel && k < sel->n_match_labels; k++)
			meta_set_label(c->metadata, a, sel->match_labels[k]->key,
			               sel->match_labels[k]->value);
		if (keep && !strcmp(keep->when_deleted, "Delete"))
			owner_set(c->metadata, "apps/v1", "StatefulSet", set->metadata->name,
			          set->metadata->uid, a);
	}
	return n;
}
