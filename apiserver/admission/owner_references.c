/* SPDX-License-Identifier: Apache-2.0 */
/* OwnerReferencesPermissionEnforcement: who may not delete an object cannot have it deleted by way
 * of an owner, nor hold an owner's deletion up without the right to set its finalizers. */
#include "apiserver/admission/plugins.h"
#include "proto/meta_v1.pb-c.h"

static bool same_reference(const MetaV1__OwnerReference *a, const MetaV1__OwnerReference *b)
{
	return !strcmp(a->uid, b->uid) && !strcmp(a->name, b->name) && !strcmp(a->kind, b->kind) &&
	       !strcmp(a->api_version, b->api_version) && a->controller == b->controller;
}

static bool has_reference(const MetaV1__ObjectMeta *meta, const MetaV1__OwnerReference *ref,
                          bool blocking)
{
	for (size_t i = 0; meta && i < meta->n_owner_references; i++)
		if (same_reference(meta->owner_references[i], ref) &&
		    (!blocking || meta->owner_references[i]->block_owner_deletion))
			return true;
	return false;
}

static bool changed(const MetaV1__ObjectMeta *meta, const MetaV1__ObjectMeta *old)
{
	if (!old)
		return meta->n_owner_references > 0;
	if (meta->n_owner_references != old->n_owner_references)
		return true;
	for (size_t i = 0; i < meta->n_owner_references; i++)
		if (!has_reference(old, meta->owner_references[i], false))
			return true;
	return false;
}

static bool may(struct admission *ad, const struct resource_info *res, const char *subresource,
                const char *verb, const char *name)
{
	const struct admission_question q = {.verb = verb,
	                                     .group = res->group,
	                                     .resource = res->resource,
	                                     .subresource = subresource,
	                                     .ns = res->namespaced ? ad->at->ns : "",
	                                     .name = name,
	                                     .path = "",
	                                     .field_selector = ""};
	const char *reason;

	return !ad->world->allowed || ad->world->allowed(ad->world->arg, &q, &reason);
}

static const struct resource_info *owner_resource(struct admission *ad,
                                                  const MetaV1__OwnerReference *ref)
{
	const char *slash = strchr(ref->api_version, '/');

	return resource_by_kind(
	    slash ? arena_strndup(ad->arena, ref->api_version, (size_t)(slash - ref->api_version))
	          : "",
	    slash ? slash + 1 : ref->api_version, ref->kind);
}

const struct refusal *owner_references(struct admission *ad)
{
	const MetaV1__ObjectMeta *meta = ad->at->obj ? ad->at->obj->meta : NULL;
	const MetaV1__ObjectMeta *old = ad->at->old ? ad->at->old->meta : NULL;
	const char *sub = ad->at->subresource ? ad->at->subresource : "";

	if (!meta || !strcmp(sub, "status"))
		return NULL;
	if (changed(meta, old) && old && !may(ad, ad->at->res, sub, "delete", ad->at->name))
		return admission_forbid(ad,
		                        "cannot set an ownerRef on a resource you can't delete");
	for (size_t i = 0; i < meta->n_owner_references; i++) {
		const MetaV1__OwnerReference *ref = meta->owner_references[i];
		const struct resource_info *res;

		if (!ref->block_owner_deletion || has_reference(old, ref, true))
			continue;
		res = owner_resource(ad, ref);
		if (res && !may(ad, res, "finalizers", "update", ref->name))
			return admission_forbid(ad, "cannot set blockOwnerDeletion if an "
			                            "ownerReference refers to a resource you "
			                            "can't set finalizers on");
	}
	return NULL;
}
