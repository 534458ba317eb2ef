/* SPDX-License-Identifier: Apache-2.0 */
/* Which strategy a resource has. */
#include <stdlib.h>
#include <string.h>

#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/groups/kinds.h"
#include "proto/resource_table.h"

struct row {
	const char *group, *resource, *subresource;
	const struct strategy *strategy;
};

/* Sorted by group, resource, subresource. */
static const struct row rows[] = {
    {"", "configmaps", "", &configmap_strategy},
    {"", "endpoints", "", &endpoints_strategy},
    {"", "events", "", &event_strategy},
    {"", "namespaces", "", &namespace_strategy},
    {"", "namespaces", "finalize", &namespace_finalize_strategy},
    {"", "namespaces", "status", &namespace_status_strategy},
    {"", "nodes", "", &node_strategy},
    {"", "nodes", "status", &node_status_strategy},
    {"", "persistentvolumeclaims", "", &pvc_strategy},
    {"", "persistentvolumeclaims", "status", &pvc_status_strategy},
    {"", "pods", "", &pod_strategy},
    {"", "pods", "ephemeralcontainers", &pod_ephemeral_strategy},
    {"", "pods", "resize", &pod_resize_strategy},
    {"", "pods", "status", &pod_status_strategy},
    {"", "secrets", "", &secret_strategy},
    {"", "serviceaccounts", "", &serviceaccount_strategy},
    {"", "services", "", &service_strategy},
    {"", "services", "status", &service_status_strategy},
    {"apps", "controllerrevisions", "", &controllerrevision_strategy},
    {"apps", "daemonsets", "", &daemonset_strategy},
    {"apps", "daemonsets", "status", &daemonset_status_strategy},
    {"apps", "deployments", "", &deployment_strategy},
    {"apps", "deployments", "status", &deployment_status_strategy},
    {"apps", "replicasets", "", &replicaset_strategy},
    {"apps", "replicasets", "status", &replicaset_status_strategy},
    {"apps", "statefulsets", "", &statefulset_strategy},
    {"apps", "statefulsets", "status", &statefulset_status_strategy},
    {"batch", "cronjobs", "", &cronjob_strategy},
    {"batch", "cronjobs", "status", &cronjob_status_strategy},
    {"batch", "jobs", "", &job_strategy},
    {"batch", "jobs", "status", &job_status_strategy},
    {"coordination.k8s.io", "leases", "", &lease_strategy},
    {"discovery.k8s.io", "endpointslices", "", &endpointslice_strategy},
    {"events.k8s.io", "events", "", &events_event_strategy},
    {"rbac.authorization.k8s.io", "clusterrolebindings", "", &clusterrolebinding_strategy},
    {"rbac.authorization.k8s.io", "clusterroles", "", &clusterrole_strategy},
    {"rbac.authorization.k8s.io", "rolebindings", "", &rolebinding_strategy},
    {"rbac.authorization.k8s.io", "roles", "", &role_strategy},
};

/* Kinds without rules of their own: the rules of metadata. */
static const struct strategy generic_strategy = {
    .kind = "",
    .allow_unconditional_update = true,
};
static const struct strategy generic_with_status_strategy = {
    .kind = "",
    .has_status = true,
    .allow_unconditional_update = true,
};
static const struct strategy generic_status_strategy = {
    .kind = "",
    .is_status = true,
    .lax_update = true,
    .allow_unconditional_update = true,
};

static int compare(const void *key, const void *elem)
{
	const struct row *a = key, *b = elem;
	int r = strcmp(a->group, b->group);

	if (!r)
		r = strcmp(a->resource, b->resource);
	return r ? r : strcmp(a->subresource, b->subresource);
}

const struct strategy *registry_strategy(const struct resource_info *res, const char *subresource)
{
	struct row key = {res->group, res->resource, subresource ? subresource : "", NULL};
	const struct row *row =
	    bsearch(&key, rows, sizeof(rows) / sizeof(rows[0]), sizeof(rows[0]), compare);

	if (row)
		return row->strategy;
	if (!strcmp(key.subresource, "status"))
		return resource_find(res->group, res->version, res->resource, "status")
		           ? &generic_status_strategy
		           : NULL;
	if (*key.subresource)
		return NULL;
	return resource_find(res->group, res->version, res->resource, "status")
	           ? &generic_with_status_strategy
	           : &generic_strategy;
}
