/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The strategies of the named groups. Internal to registry/. */
#include "apiserver/registry/strategy.h"

extern const struct strategy crd_status_strategy, crd_strategy, apiservice_status_strategy,
    apiservice_strategy, clusterrole_strategy, clusterrolebinding_strategy, csidriver_strategy,
    csinode_strategy, csistoragecapacity_strategy, csr_approval_strategy, csr_status_strategy,
    csr_strategy, deviceclass_strategy, endpointslice_strategy, flowschema_status_strategy,
    flowschema_strategy, hpa_status_strategy, hpa_strategy, hpa_v1_status_strategy, hpa_v1_strategy,
    ingress_status_strategy, ingress_strategy, ingressclass_strategy, ipaddress_strategy,
    lease_strategy, mutatingbinding_strategy, mutatingpolicy_strategy, mutatingwebhook_strategy,
    networkpolicy_strategy, pdb_status_strategy, pdb_strategy, priorityclass_strategy,
    prioritylevel_status_strategy, prioritylevel_strategy, resourceclaim_status_strategy,
    resourceclaim_strategy, resourceclaimtemplate_strategy, resourceslice_strategy, role_strategy,
    rolebinding_strategy, runtimeclass_strategy, servicecidr_strategy, storageclass_strategy,
    validatingbinding_strategy, validatingpolicy_status_strategy, validatingpolicy_strategy,
    validatingwebhook_strategy, volumeattachment_status_strategy, volumeattachment_strategy,
    volumeattributesclass_strategy;
