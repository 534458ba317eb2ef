/* SPDX-License-Identifier: Apache-2.0 */
/* PodSecurity: the labels of a namespace say which level its pods must keep to, and which level to
 * warn about (k8s.io/pod-security-admission/admission). */
#include <stdio.h>
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/pods.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"

#define LABEL "pod-security.kubernetes.io/"

struct policy {
	enum pod_security_level level;
	const char *version;
};

static struct policy policy_of(const MetaV1__ObjectMeta *ns, const char *mode)
{
	struct policy p = {POD_SECURITY_PRIVILEGED, "latest"};
	char key[96];
	const char *v;

	snprintf(key, sizeof(key), LABEL "%s", mode);
	v = meta_label(ns, key);
	/* A level that nobody knows is taken for the strictest one. */
	if (v && !pod_security_level_parse(v, &p.level))
		p.level = POD_SECURITY_RESTRICTED;
	snprintf(key, sizeof(key), LABEL "%s-version", mode);
	v = meta_label(ns, key);
	if (v)
		p.version = v;
	return p;
}

/* The pod template of a workload, or false. */
static bool template_of(const struct admission *ad, const MetaV1__ObjectMeta **ret_meta,
                        const CoreV1__PodSpec **ret_spec)
{
	const struct object *o = ad->at->obj;
	const CoreV1__PodTemplateSpec *t = NULL;

	if (admission_is(ad, "apps", "deployments"))
		t = OBJECT_MSG(o, AppsV1__Deployment)->spec->template_;
	else if (admission_is(ad, "apps", "replicasets"))
		t = OBJECT_MSG(o, AppsV1__ReplicaSet)->spec->template_;
	else if (admission_is(ad, "apps", "daemonsets"))
		t = OBJECT_MSG(o, AppsV1__DaemonSet)->spec->template_;
	else if (admission_is(ad, "apps", "statefulsets"))
		t = OBJECT_MSG(o, AppsV1__StatefulSet)->spec->template_;
	else if (admission_is(ad, "batch", "jobs"))
		t = OBJECT_MSG(o, BatchV1__Job)->spec->template_;
	else if (admission_is(ad, "batch", "cronjobs"))
		t = OBJECT_MSG(o, BatchV1__CronJob)->spec->job_template->spec->template_;
	else if (admission_is(ad, "", "replicationcontrollers"))
		t = OBJECT_MSG(o, CoreV1__ReplicationController)->spec->template_;
	else if (admission_is(ad, "", "podtemplates"))
		t = OBJECT_MSG(o, CoreV1__PodTemplate)->template_;
	if (!t)
		return false;
	*ret_meta = t->metadata;
	*ret_spec = t->spec;
	return true;
}

static void warn(struct admission *ad, const char *text)
{
	if (ad->at->warnings)
		strategy_warn(ad->at->warnings, "%s", text);
}

static void warn_about(struct admission *ad, const MetaV1__ObjectMeta *ns,
                       const MetaV1__ObjectMeta *meta, const CoreV1__PodSpec *spec)
{
	struct policy p = policy_of(ns, "warn");
	const char *faults = pod_security_check(p.level, meta, spec, true, ad->arena);

	if (faults)
		warn(ad, arena_printf(ad->arena, "would violate PodSecurity \"%s:%s\": %s",
		                      pod_security_level_name(p.level), p.version, faults));
}

/* --- namespaces
 * ------------------------------------------------------------------------------------ */

struct offenders {
	const char *first, *faults;
	size_t n;
};

/* Pods that the new level would refuse are told of, grouped by what is wrong with them. */
static void tell_offenders(struct admission *ad, const struct policy *p)
{
	enum { GROUPS_MAX = 16, PODS_MAX = 3000 };
	struct offenders groups[GROUPS_MAX];
	const struct object *pods;
	size_t n = admission_list(ad, "", "pods", ad->at->name, &pods), n_groups = 0;

	for (size_t i = 0; i < n && i < PODS_MAX; i++) {
		const CoreV1__Pod *pod = OBJECT_MSG(&pods[i], CoreV1__Pod);
		const char *faults =
		    pod_security_check(p->level, pod->metadata, pod->spec, false, ad->arena);
		size_t g = 0;

		if (!faults)
			continue;
		while (g < n_groups && strcmp(groups[g].faults, faults) != 0)
			g++;
		if (g < n_groups)
			groups[g].n++;
		else if (n_groups < GROUPS_MAX)
			groups[n_groups++] = (struct offenders){pod->metadata->name, faults, 1};
	}
	if (n_groups)
		warn(ad,
		     arena_printf(ad->arena,
		                  "existing pods in namespace \"%s\" violate the new PodSecurity "
		                  "enforce level \"%s:%s\"",
		                  ad->at->name, pod_security_level_name(p->level), p->version));
	for (size_t g = 0; g < n_groups; g++) {
		const char *more =
		    groups[g].n == 1 ? ""
		    : groups[g].n == 2
		        ? " (and 1 other pod)"
		        : arena_printf(ad->arena, " (and %zu other pods)", groups[g].n - 1);
		warn(ad,
		     arena_printf(ad->arena, "%s%s: %s", groups[g].first, more, groups[g].faults));
	}
}

static void check_namespace(struct admission *ad)
{
	struct policy new = policy_of(ad->at->obj->meta, "enforce");
	struct policy old = policy_of(ad->at->old->meta, "enforce");

	if (new.level > old.level)
		tell_offenders(ad, &new);
}

/* --- pods
 * -------------------------------------------------------------------------------------------- */

/* An update that changes nothing that the levels look at needs no look: metadata and finishing. */
static bool relevant(const struct admission *ad, const CoreV1__Pod *pod)
{
	if (ad->at->op == ADMIT_CREATE)
		return true;
	const CoreV1__Pod *old = OBJECT_MSG(ad->at->old, CoreV1__Pod);

	return old->spec->n_ephemeral_containers != pod->spec->n_ephemeral_containers ||
	       old->spec->n_containers != pod->spec->n_containers;
}

const struct refusal *pod_security(struct admission *ad)
{
	const MetaV1__ObjectMeta *meta;
	const CoreV1__PodSpec *spec;
	bool ephemeral = admission_is_sub(ad, "", "pods", "ephemeralcontainers");
	CoreV1__Pod *pod =
	    ephemeral && ad->at->obj ? OBJECT_MSG(ad->at->obj, CoreV1__Pod) : admission_pod(ad);

	if (ad->at->op != ADMIT_CREATE && ad->at->op != ADMIT_UPDATE)
		return NULL;
	if (admission_is(ad, "", "namespaces") && ad->at->op == ADMIT_UPDATE) {
		check_namespace(ad);
		return NULL;
	}
	bool workload = !pod && template_of(ad, &meta, &spec);
	if ((!pod || !relevant(ad, pod)) && !workload)
		return NULL;
	const struct object *ns = admission_get(ad, "", "namespaces", "", ad->at->ns);
	if (!ns)
		return admission_not_found(ad, "", "namespaces", ad->at->ns);
	if (workload) {
		warn_about(ad, ns->meta, meta, spec);
		return NULL;
	}
	struct policy p = policy_of(ns->meta, "enforce");
	const char *faults = pod_security_check(p.level, pod->metadata, pod->spec, true, ad->arena);
	if (faults)
		return admission_forbid(ad, "violates PodSecurity \"%s:%s\": %s",
		                        pod_security_level_name(p.level), p.version, faults);
	warn_about(ad, ns->meta, pod->metadata, pod->spec);
	return NULL;
}
