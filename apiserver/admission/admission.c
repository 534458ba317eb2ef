/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admission/plugins.h"

const struct admission_plugin admission_plugins[] = {
    {"AlwaysAdmit", NULL, NULL, false},
    {"NamespaceLifecycle", namespace_lifecycle, NULL, true},
    {"NamespaceExists", NULL, namespace_exists, false},
    {"LimitPodHardAntiAffinityTopology", NULL, limit_pod_hard_anti_affinity, false},
    {"LimitRanger", limit_ranger_mutate, limit_ranger_validate, true},
    {"ServiceAccount", service_account_mutate, service_account_validate, true},
    {"NodeRestriction", NULL, node_restriction, false},
    {"TaintNodesByCondition", taint_nodes_by_condition, NULL, true},
    {"AlwaysPullImages", always_pull_images, NULL, false},
    {"PodSecurity", NULL, pod_security, true},
    {"Priority", priority_mutate, priority_validate, true},
    {"DefaultTolerationSeconds", default_toleration_seconds, NULL, true},
    {"ExtendedResourceToleration", extended_resource_toleration, NULL, false},
    {"DefaultStorageClass", default_storage_class, NULL, true},
    {"StorageObjectInUseProtection", storage_object_in_use, NULL, true},
    {"OwnerReferencesPermissionEnforcement", NULL, owner_references, false},
    {"PersistentVolumeClaimResize", NULL, claim_resize, true},
    {"RuntimeClass", runtime_class_mutate, runtime_class_validate, true},
    {"CertificateApproval", NULL, certificate_approval, true},
    {"CertificateSigning", NULL, certificate_signing, true},
    {"DefaultIngressClass", default_ingress_class, NULL, true},
    {"PodTopologyLabels", pod_topology_labels, NULL, true},
    {"DenyServiceExternalIPs", NULL, deny_service_external_ips, false},
    {"ValidatingAdmissionPolicy", NULL, validating_policy, true},
    {"ResourceQuota", NULL, resource_quota, true},
    {"AlwaysDeny", NULL, always_deny, false},
};
const size_t admission_n_plugins = ARRAY_LEN(admission_plugins);

static struct refusal *refusal_new(const struct admission *ad, enum refusal_kind kind,
                                   const char *fmt, va_list ap)
{
	struct refusal *r = arena_new(ad->arena, struct refusal);

	*r = (struct refusal){.kind = kind,
	                      .why = arena_vprintf(ad->arena, fmt, ap),
	                      .group = "",
	                      .resource = "",
	                      .name = "",
	                      .cause_reason = "",
	                      .cause_message = "",
	                      .cause_field = "",
	                      .reason = ""};
	return r;
}

const struct refusal *admission_forbid(const struct admission *ad, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const struct refusal *r = refusal_new(ad, REFUSE_FORBIDDEN, fmt, ap);
	va_end(ap);
	return r;
}

const struct refusal *admission_refuse(const struct admission *ad, enum refusal_kind kind,
                                       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const struct refusal *r = refusal_new(ad, kind, fmt, ap);
	va_end(ap);
	return r;
}

const struct refusal *admission_not_found(const struct admission *ad, const char *group,
                                          const char *resource, const char *name)
{
	struct refusal *r =
	    (struct refusal *)admission_refuse(ad, REFUSE_NOT_FOUND, "%s not found", name);

	r->group = group;
	r->resource = resource;
	r->name = name;
	return r;
}

const struct object *admission_get(struct admission *ad, const char *group, const char *resource,
                                   const char *ns, const char *name)
{
	const struct object *o =
	    ad->world->get(ad->world->arg, resource_find(group, "v1", resource, ""), ns, name);

	if (!o && !ad->fresh)
		ad->stale = true;
	return o;
}

size_t admission_list(struct admission *ad, const char *group, const char *resource, const char *ns,
                      const struct object **ret)
{
	return ad->world->list(ad->world->arg, resource_find(group, "v1", resource, ""), ns, ret);
}

bool admission_is_sub(const struct admission *ad, const char *group, const char *resource,
                      const char *subresource)
{
	return !strcmp(ad->at->res->resource, resource) && !strcmp(ad->at->res->group, group) &&
	       !strcmp(ad->at->subresource ? ad->at->subresource : "", subresource);
}

bool admission_is(const struct admission *ad, const char *group, const char *resource)
{
	return admission_is_sub(ad, group, resource, "");
}
