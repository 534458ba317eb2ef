/* SPDX-License-Identifier: Apache-2.0 */
/* AlwaysPullImages: no pod uses an image that it could not have pulled itself. */
#include "apiserver/admission/pods.h"

static bool has_image(const CoreV1__PodSpec *spec, const char *image)
{
	for (size_t i = 0; i < spec->n_init_containers; i++)
		if (!strcmp(spec->init_containers[i]->image, image))
			return true;
	for (size_t i = 0; i < spec->n_containers; i++)
		if (!strcmp(spec->containers[i]->image, image))
			return true;
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
		if (!strcmp(spec->ephemeral_containers[i]->ephemeral_container_common->image,
		            image))
			return true;
	for (size_t i = 0; i < spec->n_volumes; i++)
		if (spec->volumes[i]->volume_source->image &&
		    !strcmp(spec->volumes[i]->volume_source->image->reference, image))
			return true;
	return false;
}

/* An update that names no other image is left alone. */
static bool brings_images(const CoreV1__PodSpec *spec, const CoreV1__PodSpec *old)
{
	for (size_t i = 0; i < spec->n_init_containers; i++)
		if (!has_image(old, spec->init_containers[i]->image))
			return true;
	for (size_t i = 0; i < spec->n_containers; i++)
		if (!has_image(old, spec->containers[i]->image))
			return true;
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
		if (!has_image(old,
		               spec->ephemeral_containers[i]->ephemeral_container_common->image))
			return true;
	return false;
}

const struct refusal *always_pull_images(struct admission *ad)
{
	bool ephemeral = admission_is_sub(ad, "", "pods", "ephemeralcontainers");

	if ((!admission_is(ad, "", "pods") && !ephemeral) || !ad->at->obj)
		return NULL;
	CoreV1__PodSpec *spec = OBJECT_MSG(ad->at->obj, CoreV1__Pod)->spec;
	if (ad->at->op == ADMIT_UPDATE && ad->at->old &&
	    !brings_images(spec, OBJECT_MSG(ad->at->old, CoreV1__Pod)->spec))
		return NULL;
	for (size_t i = 0; i < spec->n_init_containers; i++)
		spec->init_containers[i]->image_pull_policy = (char *)"Always";
	for (size_t i = 0; i < spec->n_containers; i++)
		spec->containers[i]->image_pull_policy = (char *)"Always";
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
		spec->ephemeral_containers[i]->ephemeral_container_common->image_pull_policy =
		    (char *)"Always";
	for (size_t i = 0; i < spec->n_volumes; i++)
		if (spec->volumes[i]->volume_source->image)
			spec->volumes[i]->volume_source->image->pull_policy = (char *)"Always";
	return NULL;
}
