/* SPDX-License-Identifier: Apache-2.0 */
/* DefaultStorageClass, DefaultIngressClass: what names no class gets the one that is marked as the
 * default; of several the newest, then the first by name. PersistentVolumeClaimResize: only bound
 * claims of classes that allow it grow. */
#include "apiserver/admission/pods.h"
#include "common/codec/quantity.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/quantity.pb-c.h"
#include "proto/storage_v1.pb-c.h"

static bool marked(const MetaV1__ObjectMeta *meta, const char *const *annotations)
{
	for (; *annotations; annotations++) {
		const char *v = meta_annotation(meta, *annotations);

		if (v && !strcmp(v, "true"))
			return true;
	}
	return false;
}

static bool newer(const MetaV1__ObjectMeta *a, const MetaV1__ObjectMeta *b)
{
	int64_t ta = a->creation_timestamp->seconds, tb = b->creation_timestamp->seconds;

	return ta != tb ? ta > tb : strcmp(a->name, b->name) < 0;
}

static const char *default_of(struct admission *ad, const char *group, const char *resource,
                              const char *const *annotations)
{
	const struct object *all;
	const MetaV1__ObjectMeta *best = NULL;
	size_t n = admission_list(ad, group, resource, "", &all);

	for (size_t i = 0; i < n; i++)
		if (marked(all[i].meta, annotations) && (!best || newer(all[i].meta, best)))
			best = all[i].meta;
	return best ? best->name : NULL;
}

const struct refusal *default_storage_class(struct admission *ad)
{
	static const char *const MARKS[] = {"storageclass.kubernetes.io/is-default-class",
	                                    "storageclass.beta.kubernetes.io/is-default-class",
	                                    NULL};

	if (!admission_is(ad, "", "persistentvolumeclaims") || ad->at->op != ADMIT_CREATE)
		return NULL;
	CoreV1__PersistentVolumeClaimSpec *spec =
	    OBJECT_MSG(ad->at->obj, CoreV1__PersistentVolumeClaim)->spec;
	if (spec->storage_class_name ||
	    meta_annotation(ad->at->obj->meta, "volume.beta.kubernetes.io/storage-class"))
		return NULL;
	spec->storage_class_name =
	    (char *)default_of(ad, "storage.k8s.io", "storageclasses", MARKS);
	return NULL;
}

const struct refusal *default_ingress_class(struct admission *ad)
{
	static const char *const MARKS[] = {"ingressclass.kubernetes.io/is-default-class", NULL};

	if (!admission_is(ad, "networking.k8s.io", "ingresses") || ad->at->op != ADMIT_CREATE)
		return NULL;
	NetworkingV1__IngressSpec *spec = OBJECT_MSG(ad->at->obj, NetworkingV1__Ingress)->spec;
	if (spec->ingress_class_name ||
	    meta_annotation(ad->at->obj->meta, "kubernetes.io/ingress.class"))
		return NULL;
	spec->ingress_class_name =
	    (char *)default_of(ad, "networking.k8s.io", "ingressclasses", MARKS);
	return NULL;
}

static struct quantity storage_of(const CoreV1__PersistentVolumeClaimSpec *spec)
{
	const CoreV1__VolumeResourceRequirements *r = spec->resources;

	for (size_t i = 0; r && i < r->n_requests; i++)
		if (!strcmp(r->requests[i]->key, "storage"))
			return quantity_of(r->requests[i]->value->string);
	return quantity_of("0");
}

const struct refusal *claim_resize(struct admission *ad)
{
	if (!admission_is(ad, "", "persistentvolumeclaims") || ad->at->op != ADMIT_UPDATE)
		return NULL;
	const CoreV1__PersistentVolumeClaim *old =
	    OBJECT_MSG(ad->at->old, CoreV1__PersistentVolumeClaim);
	const CoreV1__PersistentVolumeClaim *new =
	    OBJECT_MSG(ad->at->obj, CoreV1__PersistentVolumeClaim);
	struct quantity before = storage_of(old->spec), after = storage_of(new->spec);

	if (quantity_cmp(&after, &before) <= 0)
		return NULL;
	if (strcmp(old->status->phase, "Bound") != 0)
		return admission_forbid(ad, "Only bound persistent volume claims can be expanded");
	const char *name = old->spec->storage_class_name;
	const struct object *c =
	    name && *name ? admission_get(ad, "storage.k8s.io", "storageclasses", "", name) : NULL;
	const StorageV1__StorageClass *sc = c ? OBJECT_MSG(c, StorageV1__StorageClass) : NULL;
	if (sc && sc->has_allow_volume_expansion && sc->allow_volume_expansion)
		return NULL;
	return admission_forbid(ad, "only dynamically provisioned pvc can be resized and the "
	                            "storageclass that provisions the pvc must support resize");
}
