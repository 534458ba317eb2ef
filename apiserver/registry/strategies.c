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
    {"", "limitranges", "", &limitrange_strategy},
    {"", "namespaces", "", &namespace_strategy},
    {"", "namespaces", "finalize", &namespace_finalize_strategy},
    {"", "namespaces", "status", &namespace_status_strategy},
    {"", "nodes", "", &node_strategy},
    {"", "nodes", "status", &node_status_strategy},
    {"", "persistentvolumeclaims", "", &pvc_strategy},
    {"", "persistentvolumeclaims", "status", &pvc_status_strategy},
    {"", "persistentvolumes", "", &pv_strategy},
    {"", "persistentvolumes", "status", &pv_status_strategy},
    {"", "pods", "", &pod_strategy},
    {"", "pods", "ephemeralcontainers", &pod_ephemeral_strategy},
    {"", "pods", "resize", &pod_resize_strategy},
    {"", "pods", "status", &pod_status_strategy},
    {"", "podtemplates", "", &podtemplate_strategy},
    {"", "replicationcontrollers", "", &rc_strategy},
    {"", "replicationcontrollers", "status", &rc_status_strategy},
    {"", "resourcequotas", "", &resourcequota_strategy},
    {"", "resourcequotas", "status", &resourcequota_status_strategy},
    {"", "secrets", "", &secret_strategy},
    {"", "serviceaccounts", "", &serviceaccount_strategy},
    {"", "services", "", &service_strategy},
    {"", "services", "status", &service_status_strategy},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicies", "", &mutatingpolicy_strategy},
    {"admissionregistration.k8s.io", "mutatingadmissionpolicybindings", "",
     &mutatingbinding_strategy},
    {"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "",
     &mutatingwebhook_strategy},
    {"admissionregistration.k8s.io", "validatingadmissionpolicies", "", &validatingpolicy_strategy},
    {"admissionregistration.k8s.io", "validatingadmissionpolicies", "status",
     &validatingpolicy_status_strategy},
    {"admissionregistration.k8s.io", "validatingadmissionpolicybindings", "",
     &validatingbinding_strategy},
    {"admissionregistration.k8s.io", "validatingwebhookconfigurations", "",
     &validatingwebhook_strategy},
    {"apiextensions.k8s.io", "customresourcedefinitions", "", &crd_strategy},
    {"apiextensions.k8s.io", "customresourcedefinitions", "status", &crd_status_strategy},
    {"apiregistration.k8s.io", "apiservices", "", &apiservice_strategy},
    {"apiregistration.k8s.io", "apiservices", "status", &apiservice_status_strategy},
    {"apps", "controllerrevisions", "", &controllerrevision_strategy},
    {"apps", "daemonsets", "", &daemonset_strategy},
    {"apps", "daemonsets", "status", &daemonset_status_strategy},
    {"apps", "deployments", "", &deployment_strategy},
    {"apps", "deployments", "status", &deployment_status_strategy},
    {"apps", "replicasets", "", &replicaset_strategy},
    {"apps", "replicasets", "status", &replicaset_status_strategy},
    {"apps", "statefulsets", "", &statefulset_strategy},
    {"apps", "statefulsets", "status", &statefulset_status_strategy},
    {"autoscaling", "horizontalpodautoscalers", "", &hpa_strategy},
    {"autoscaling", "horizontalpodautoscalers", "status", &hpa_status_strategy},
    {"batch", "cronjobs", "", &cronjob_strategy},
    {"batch", "cronjobs", "status", &cronjob_status_strategy},
    {"batch", "jobs", "", &job_strategy},
    {"batch", "jobs", "status", &job_status_strategy},
    {"certificates.k8s.io", "certificatesigningrequests", "", &csr_strategy},
    {"certificates.k8s.io", "certificatesigningrequests", "approval", &csr_approval_strategy},
    {"certificates.k8s.io", "certificatesigningrequests", "status", &csr_status_strategy},
    {"coordination.k8s.io", "leases", "", &lease_strategy},
    {"discovery.k8s.io", "endpointslices", "", &endpointslice_strategy},
    {"events.k8s.io", "events", "", &events_event_strategy},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", "", &flowschema_strategy},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", "status", &flowschema_status_strategy},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "", &prioritylevel_strategy},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "status",
     &prioritylevel_status_strategy},
    {"networking.k8s.io", "ingressclasses", "", &ingressclass_strategy},
    {"networking.k8s.io", "ingresses", "", &ingress_strategy},
    {"networking.k8s.io", "ingresses", "status", &ingress_status_strategy},
    {"networking.k8s.io", "ipaddresses", "", &ipaddress_strategy},
    {"networking.k8s.io", "networkpolicies", "", &networkpolicy_strategy},
    {"networking.k8s.io", "servicecidrs", "", &servicecidr_strategy},
    {"node.k8s.io", "runtimeclasses", "", &runtimeclass_strategy},
    {"policy", "poddisruptionbudgets", "", &pdb_strategy},
    {"policy", "poddisruptionbudgets", "status", &pdb_status_strategy},
    {"rbac.authorization.k8s.io", "clusterrolebindings", "", &clusterrolebinding_strategy},
    {"rbac.authorization.k8s.io", "clusterroles", "", &clusterrole_strategy},
    {"rbac.authorization.k8s.io", "rolebindings", "", &rolebinding_strategy},
    {"rbac.authorization.k8s.io", "roles", "", &role_strategy},
    {"resource.k8s.io", "deviceclasses", "", &deviceclass_strategy},
    {"resource.k8s.io", "resourceclaims", "", &resourceclaim_strategy},
    {"resource.k8s.io", "resourceclaims", "status", &resourceclaim_status_strategy},
    {"resource.k8s.io", "resourceclaimtemplates", "", &resourceclaimtemplate_strategy},
    {"resource.k8s.io", "resourceslices", "", &resourceslice_strategy},
    {"scheduling.k8s.io", "priorityclasses", "", &priorityclass_strategy},
    {"storage.k8s.io", "csidrivers", "", &csidriver_strategy},
    {"storage.k8s.io", "csinodes", "", &csinode_strategy},
    {"storage.k8s.io", "csistoragecapacities", "", &csistoragecapacity_strategy},
    {"storage.k8s.io", "storageclasses", "", &storageclass_strategy},
    {"storage.k8s.io", "volumeattachments", "", &volumeattachment_strategy},
    {"storage.k8s.io", "volumeattachments", "status", &volumeattachment_status_strategy},
    {"storage.k8s.io", "volumeattributesclasses", "", &volumeattributesclass_strategy},
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

	/* v1 is another message than the v2 of the table. */
	if (row && !strcmp(key.group, "autoscaling") && !strcmp(res->version, "v1"))
		return *key.subresource ? &hpa_v1_status_strategy : &hpa_v1_strategy;
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
