/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The plugins, each in the file of its name. */
#include "apiserver/admission/admission.h"

const struct refusal *namespace_lifecycle(struct admission *ad);
const struct refusal *service_account_mutate(struct admission *ad);
const struct refusal *service_account_validate(struct admission *ad);
const struct refusal *node_restriction(struct admission *ad);
const struct refusal *taint_nodes_by_condition(struct admission *ad);
const struct refusal *priority_mutate(struct admission *ad);
const struct refusal *priority_validate(struct admission *ad);
const struct refusal *default_toleration_seconds(struct admission *ad);
const struct refusal *storage_object_in_use(struct admission *ad);
const struct refusal *default_storage_class(struct admission *ad);
const struct refusal *default_ingress_class(struct admission *ad);
const struct refusal *claim_resize(struct admission *ad);
const struct refusal *runtime_class_mutate(struct admission *ad);
const struct refusal *runtime_class_validate(struct admission *ad);
const struct refusal *certificate_approval(struct admission *ad);
const struct refusal *certificate_signing(struct admission *ad);
const struct refusal *limit_ranger_mutate(struct admission *ad);
const struct refusal *limit_ranger_validate(struct admission *ad);
const struct refusal *resource_quota(struct admission *ad);
const struct refusal *pod_security(struct admission *ad);
const struct refusal *pod_topology_labels(struct admission *ad);
const struct refusal *validating_policy(struct admission *ad);
const struct refusal *always_pull_images(struct admission *ad);
const struct refusal *always_deny(struct admission *ad);
const struct refusal *deny_service_external_ips(struct admission *ad);
const struct refusal *namespace_exists(struct admission *ad);
const struct refusal *limit_pod_hard_anti_affinity(struct admission *ad);
const struct refusal *extended_resource_toleration(struct admission *ad);
const struct refusal *owner_references(struct admission *ad);
