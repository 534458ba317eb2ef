/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "common/codec/quantity.h"
#include "kubelet/core/status.h"

static bool counts(const char *name)
{
	return !strcmp(name, "cpu") || !strcmp(name, "memory");
}

static const char *request_of(const CoreV1__ResourceRequirements *r, const char *name)
{
	for (size_t i = 0; i < r->n_requests; i++)
		if (!strcmp(r->requests[i]->key, name) && r->requests[i]->value)
			return r->requests[i]->value->string;
	return NULL;
}

static const char *limit_of(const CoreV1__ResourceRequirements *r, const char *name)
{
	for (size_t i = 0; i < r->n_limits; i++)
		if (!strcmp(r->limits[i]->key, name) && r->limits[i]->value)
			return r->limits[i]->value->string;
	return NULL;
}

static bool positive(const char *quantity)
{
	struct quantity q = quantity_of(quantity);
	return quantity && quantity_sign(&q) > 0;
}

/* Cpu and memory have limits, and requests that are absent or equal to them. */
static bool is_guaranteed(const CoreV1__ResourceRequirements *r)
{
	static const char *const names[] = {"cpu", "memory"};
	for (size_t i = 0; i < 2; i++) {
		const char *limit = limit_of(r, names[i]), *request = request_of(r, names[i]);
		if (!positive(limit) || (request && quantity_cmp_text(request, limit)))
			return false;
	}
	return true;
}

static bool asks_anything(const CoreV1__ResourceRequirements *r)
{
	for (size_t i = 0; i < r->n_requests; i++)
		if (counts(r->requests[i]->key) && r->requests[i]->value &&
		    positive(r->requests[i]->value->string))
			return true;
	for (size_t i = 0; i < r->n_limits; i++)
		if (counts(r->limits[i]->key) && r->limits[i]->value &&
		    positive(r->limits[i]->value->string))
			return true;
	return false;
}

const char *pod_qos_class(const CoreV1__Pod *pod)
{
	const CoreV1__PodSpec *spec = pod->spec;
	static const CoreV1__ResourceRequirements none = CORE_V1__RESOURCE_REQUIREMENTS__INIT;
	bool guaranteed = true, any = false;
	if (spec->resources && asks_anything(spec->resources))
		return is_guaranteed(spec->resources) ? "Guaranteed" : "Burstable";
	for (size_t i = 0; i < spec->n_containers + spec->n_init_containers; i++) {
		const CoreV1__Container *c = i < spec->n_containers
		                                 ? spec->containers[i]
		                                 : spec->init_containers[i - spec->n_containers];
		const CoreV1__ResourceRequirements *r = c->resources ? c->resources : &none;
		guaranteed &= is_guaranteed(r);
		any |= asks_anything(r);
	}
	return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}
