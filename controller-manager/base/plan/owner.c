/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/owner.h"

#include <string.h>

const MetaV1__OwnerReference *owner_controller(const MetaV1__ObjectMeta *meta)
{
	for (size_t i = 0; i < meta->n_owner_references; i++)
		if (meta->owner_references[i]->has_controller &&
		    meta->owner_references[i]->controller)
			return meta->owner_references[i];
	return NULL;
}

bool owner_is(const MetaV1__ObjectMeta *meta, const char *uid)
{
	const MetaV1__OwnerReference *o = owner_controller(meta);
	return o && !strcmp(o->uid, uid);
}

void owner_set(MetaV1__ObjectMeta *meta, const char *api_version, const char *kind,
               const char *name, const char *uid, struct arena *a)
{
	MetaV1__OwnerReference *o = arena_new(a, MetaV1__OwnerReference);
	*o = (MetaV1__OwnerReference)META_V1__OWNER_REFERENCE__INIT;
	o->api_version = arena_strdup(a, api_version);
	o->kind = arena_strdup(a, kind);
	o->name = arena_strdup(a, name);
	o->uid = arena_strdup(a, uid);
	o->has_controller = o->controller = 1;
	o->has_block_owner_deletion = o->block_owner_deletion = 1;
	meta->n_owner_references = 1;
	meta->owner_references = arena_array(a, MetaV1__OwnerReference *, 1);
	meta->owner_references[0] = o;
}
