/* SPDX-License-Identifier: Apache-2.0 */
/* NamespaceLifecycle: nothing is made in a namespace that is not there or is going away, and the
 * namespaces that the cluster needs stay. */
#include "apiserver/admission/plugins.h"
#include "proto/core_v1.pb-c.h"

static bool immortal(const char *name)
{
	return !strcmp(name, "default") || !strcmp(name, "kube-system") ||
	       !strcmp(name, "kube-public");
}

static const struct refusal *terminating(const struct admission *ad)
{
	struct refusal *r = (struct refusal *)admission_forbid(
	    ad, "unable to create new content in namespace %s because it is being terminated",
	    ad->at->ns);

	r->cause_reason = "NamespaceTerminating";
	r->cause_message = arena_printf(ad->arena, "namespace %s is being terminated", ad->at->ns);
	r->cause_field = "metadata.namespace";
	return r;
}

const struct refusal *namespace_lifecycle(struct admission *ad)
{
	bool is_namespace = !strcmp(ad->at->res->resource, "namespaces") && !ad->at->res->group[0];

	if (is_namespace) {
		if (ad->at->op == ADMIT_DELETE && immortal(ad->at->name))
			return admission_forbid(ad, "this namespace may not be deleted");
		return NULL;
	}
	if (!ad->at->ns[0] || ad->at->op == ADMIT_DELETE || ad->at->op == ADMIT_CONNECT)
		return NULL;
	const struct object *ns = admission_get(ad, "", "namespaces", "", ad->at->ns);
	if (!ns)
		return admission_not_found(ad, "", "namespaces", ad->at->ns);
	const char *phase = OBJECT_MSG(ns, CoreV1__Namespace)->status->phase;
	if (ad->at->op == ADMIT_CREATE && !strcmp(phase, "Terminating"))
		return terminating(ad);
	return NULL;
}
