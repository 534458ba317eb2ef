/* SPDX-License-Identifier: Apache-2.0 */
/* StorageObjectInUseProtection: claims, volumes and attribute classes stay until nobody uses them.
 */
#include "apiserver/admission/pods.h"

static const char *protection(const struct admission *ad)
{
	if (admission_is(ad, "", "persistentvolumeclaims"))
		return "kubernetes.io/pvc-protection";
	if (admission_is(ad, "", "persistentvolumes"))
		return "kubernetes.io/pv-protection";
	if (admission_is(ad, "storage.k8s.io", "volumeattributesclasses"))
		return "kubernetes.io/vac-protection";
	return NULL;
}

const struct refusal *storage_object_in_use(struct admission *ad)
{
	const char *finalizer = ad->at->op == ADMIT_CREATE ? protection(ad) : NULL;
	MetaV1__ObjectMeta *meta = finalizer ? ad->at->obj->meta : NULL;

	if (!finalizer)
		return NULL;
	for (size_t i = 0; i < meta->n_finalizers; i++)
		if (!strcmp(meta->finalizers[i], finalizer))
			return NULL;
	APPEND_MSG(ad->arena, meta, finalizers, (char *)finalizer);
	return NULL;
}
