/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins of one rule each, which are off unless they are asked for. */
#include "apiserver/admission/pods.h"

/* AlwaysDeny */
const struct refusal *always_deny(struct admission *ad)
{
	return admission_forbid(ad, "admission control is denying all modifications");
}

/* DenyServiceExternalIPs: nobody takes addresses for a Service that it did not have. */
const struct refusal *deny_service_external_ips(struct admission *ad)
{
	if (!admission_is(ad, "", "services") || !ad->at->obj)
		return NULL;
	const CoreV1__ServiceSpec *spec = OBJECT_MSG(ad->at->obj, CoreV1__Service)->spec;
	const CoreV1__ServiceSpec *old =
	    ad->at->old ? OBJECT_MSG(ad->at->old, CoreV1__Service)->spec : NULL;
	for (size_t i = 0; i < spec->n_external_ips; i++) {
		bool had = false;

		for (size_t k = 0; old && k < old->n_external_ips && !had; k++)
			had = !strcmp(old->external_ips[k], spec->external_ips[i]);
		if (!had)
			return admission_forbid(
			    ad, "Use of external IPs is denied by admission control");
	}
	return NULL;
}

/* NamespaceExists */
const struct refusal *namespace_exists(struct admission *ad)
{
	const char *ns = ad->at->ns;

	if (!ns || !*ns || admission_is(ad, "", "namespaces") ||
	    admission_get(ad, "", "namespaces", "", ns))
		return NULL;
	return admission_not_found(ad, "", "namespaces", ns);
}

/* LimitPodHardAntiAffinityTopology: a pod may keep others off a node, not off a zone. */
const struct refusal *limit_pod_hard_anti_affinity(struct admission *ad)
{
	static const char HOSTNAME[] = "kubernetes.io/hostname";
	const CoreV1__Pod *pod = admission_pod(ad);
	const CoreV1__PodAntiAffinity *anti =
	    pod && pod->spec->affinity ? pod->spec->affinity->pod_anti_affinity : NULL;

	for (size_t i = 0; anti && i < anti->n_required_during_scheduling_ignored_during_execution;
	     i++) {
		const char *key =
		    anti->required_during_scheduling_ignored_during_execution[i]->topology_key;
		if (strcmp(key, HOSTNAME) != 0)
			return admission_forbid(ad,
			                        "affinity.PodAntiAffinity.RequiredDuringScheduling "
			                        "has TopologyKey %s but only "
			                        "key %s is allowed",
			                        key, HOSTNAME);
	}
	return NULL;
}

/* ExtendedResourceToleration: who asks for a device may go where its taint keeps others away. */
static void tolerate(struct admission *ad, CoreV1__PodSpec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_tolerations; i++)
		if (!strcmp(spec->tolerations[i]->key, key) &&
		    !strcmp(spec->tolerations[i]->operator_, "Exists"))
			return;
	CoreV1__Toleration *t =
	    NEW_MSG(ad->arena, CoreV1__Toleration, core_v1__toleration__descriptor);
	t->key = (char *)key;
	t->operator_ = (char *)"Exists";
	APPEND_MSG(ad->arena, spec, tolerations, t);
}

/* A resource that is not Kubernetes' own: "example.com/gpu". */
static bool is_extended(const char *name)
{
	return strchr(name, '/') && !strstr(name, "kubernetes.io/") &&
	       strncmp(name, "requests.", 9) != 0;
}

static void tolerate_requests(struct admission *ad, CoreV1__PodSpec *spec,
                              CoreV1__Container *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < list[i]->resources->n_requests; k++)
			if (is_extended(list[i]->resources->requests[k]->key))
				tolerate(ad, spec, list[i]->resources->requests[k]->key);
}

const struct refusal *extended_resource_toleration(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);

	if (pod) {
		tolerate_requests(ad, pod->spec, pod->spec->containers, pod->spec->n_containers);
		tolerate_requests(ad, pod->spec, pod->spec->init_containers,
		                  pod->spec->n_init_containers);
	}
	return NULL;
}
