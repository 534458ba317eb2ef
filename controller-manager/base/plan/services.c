/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/plan/services.h"

#include <string.h>

#include "controller-manager/base/plan/pods.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

bool service_is_headless(const CoreV1__Service *svc)
{
	return !*svc->spec->cluster_ip || !strcmp(svc->spec->cluster_ip, "None");
}

static bool named_port(CoreV1__Container *const *containers, size_t n, bool sidecars_only,
                       const CoreV1__ServicePort *port, int32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		const CoreV1__Container *c = containers[i];
		if (sidecars_only && (!c->restart_policy || strcmp(c->restart_policy, "Always")))
			continue;
		for (size_t k = 0; k < c->n_ports; k++)
			if (!strcmp(c->ports[k]->name, port->target_port->str_val) &&
			    !strcmp(c->ports[k]->protocol, port->protocol)) {
				*ret = c->ports[k]->container_port;
				return true;
			}
	}
	return false;
}

bool service_port_of(const CoreV1__Pod *pod, const CoreV1__ServicePort *port, int32_t *ret)
{
	if (!port->target_port || port->target_port->type == 0) {
		*ret = port->target_port && port->target_port->int_val ? port->target_port->int_val
		                                                       : port->port;
		return true;
	}
	return named_port(pod->spec->containers, pod->spec->n_containers, false, port, ret) ||
	       named_port(pod->spec->init_containers, pod->spec->n_init_containers, true, port,
	                  ret);
}

const char *pod_address(const CoreV1__Pod *pod, const char *family)
{
	bool v6 = !strcmp(family, "IPv6");
	for (size_t i = 0; i < pod->status->n_pod_ips; i++)
		if ((strchr(pod->status->pod_ips[i]->ip, ':') != NULL) == v6)
			return pod->status->pod_ips[i]->ip;
	return NULL;
}

CoreV1__ObjectReference *pod_reference(const CoreV1__Pod *pod, struct arena *a)
{
	CoreV1__ObjectReference *ref = arena_new(a, CoreV1__ObjectReference);
	*ref = (CoreV1__ObjectReference)CORE_V1__OBJECT_REFERENCE__INIT;
	ref->kind = TEXT("Pod");
	ref->namespace_ = pod->metadata->namespace_;
	ref->name = pod->metadata->name;
	ref->uid = pod->metadata->uid;
	ref->api_version = ref->resource_version = ref->field_path = TEXT("");
	return ref;
}

bool service_names_pod(const CoreV1__Service *svc, const CoreV1__Pod *pod)
{
	return *pod->spec->hostname && !strcmp(pod->spec->subdomain, svc->metadata->name);
}

static int64_t seconds_of(const MetaV1__Time *t)
{
	return t ? t->seconds : 0;
}

int64_t pod_trigger_s(const CoreV1__Pod *pod, int64_t newest)
{
	const CoreV1__PodCondition *ready = pod_condition(pod, "Ready");
	newest = MAX(newest, seconds_of(pod->metadata->deletion_timestamp));
	return MAX(newest, ready ? seconds_of(ready->last_transition_time) : 0);
}
