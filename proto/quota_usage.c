/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/quota_usage.h"
#include <string.h>
#include "proto/core_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/resource_table.h"

static void add_count(struct resource_sum *s, const char *name, int64_t n)
{
	struct quantity q = quantity_from_int(n, QUANTITY_DECIMAL_SI);

	resource_sum_add(s, name, &q);
}

static bool is_core(const struct resource_info *res, const char *resource)
{
	return !res->group[0] && !strcmp(res->resource, resource);
}

/* --- pods
 * ------------------------------------------------------------------------------------------ */

static bool standard(const char *name)
{
	return !strcmp(name, "cpu") || !strcmp(name, "memory") ||
	       !strcmp(name, "ephemeral-storage");
}

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Requests count by their bare name too; limits do not; other resources only count as requests. */
static void add_compute(struct arena *a, struct resource_sum *s,
                        const struct resource_sum *requests, const struct resource_sum *limits)
{
	for (size_t i = 0; i < requests->n; i++) {
		const char *name = requests->at[i].name;

		if (standard(name) || has_prefix(name, "hugepages-"))
			resource_sum_add(s, name, &requests->at[i].q);
		resource_sum_add(s, arena_printf(a, "requests.%s", name), &requests->at[i].q);
	}
	for (size_t i = 0; i < limits->n; i++)
		if (standard(limits->at[i].name))
			resource_sum_add(s, arena_printf(a, "limits.%s", limits->at[i].name),
			                 &limits->at[i].q);
}

static bool ended(const CoreV1__Pod *pod)
{
	return !strcmp(pod->status->phase, "Succeeded") || !strcmp(pod->status->phase, "Failed");
}

static void pod_usage(const CoreV1__Pod *pod, struct arena *a, struct resource_sum *s)
{
	struct resource_sum requests, limits;

	if (ended(pod))
		return;
	add_count(s, "pods", 1);
	pod_resources(pod->spec, false, &requests);
	pod_resources(pod->spec, true, &limits);
	add_compute(a, s, &requests, &limits);
}

/* --- services and claims
 * ------------------------------------------------------------------------------ */

static void service_usage(const CoreV1__ServiceSpec *spec, struct resource_sum *s)
{
	int64_t ports = 0;
	bool balanced = !strcmp(spec->type, "LoadBalancer");

	if (!strcmp(spec->type, "NodePort")) {
		ports = (int64_t)spec->n_ports;
	} else if (balanced && (!spec->has_allocate_load_balancer_node_ports ||
	                        spec->allocate_load_balancer_node_ports)) {
		ports = (int64_t)spec->n_ports;
	} else if (balanced) {
		for (size_t i = 0; i < spec->n_ports; i++)
			ports += spec->ports[i]->node_port != 0;
	}
	add_count(s, "services", 1);
	add_count(s, "services.nodeports", ports);
	add_count(s, "services.loadbalancers", balanced);
}

static void claim_usage(const CoreV1__PersistentVolumeClaimSpec *spec, struct arena *a,
                        struct resource_sum *s)
{
	const char *class = spec->storage_class_name;
	struct resource_list requests = RESOURCES(spec->resources, requests);
	struct quantity q;

	add_count(s, "persistentvolumeclaims", 1);
	if (class && *class)
		add_count(
		    s,
		    arena_printf(a, "%s.storageclass.storage.k8s.io/persistentvolumeclaims", class),
		    1);
	if (!resources_get(&requests, "storage", &q))
		return;
	resource_sum_add(s, "requests.storage", &q);
	if (class && *class)
		resource_sum_add(
		    s, arena_printf(a, "%s.storageclass.storage.k8s.io/requests.storage", class),
		    &q);
}

void quota_usage(const struct resource_info *res, const ProtobufCMessage *msg, struct arena *a,
                 struct resource_sum *ret)
{
	static const char *const PLAIN[] = {"configmaps", "secrets", "replicationcontrollers",
	                                    "resourcequotas"};
	const char *resource = res->resource, *group = res->group;

	*ret = (struct resource_sum){0};
	add_count(ret, arena_printf(a, "count/%s%s%s", resource, *group ? "." : "", group), 1);
	if (is_core(res, "pods"))
		pod_usage(((const CoreV1__Pod *)msg), a, ret);
	else if (is_core(res, "services"))
		service_usage(((const CoreV1__Service *)msg)->spec, ret);
	else if (is_core(res, "persistentvolumeclaims"))
		claim_usage(((const CoreV1__PersistentVolumeClaim *)msg)->spec, a, ret);
	for (size_t i = 0; !*group && i < ARRAY_LEN(PLAIN); i++)
		if (!strcmp(resource, PLAIN[i]))
			add_count(ret, PLAIN[i], 1);
}

const struct resource_info *quota_resource(const char *name)
{
	static const char *const core[] = {"services", "persistentvolumeclaims", "configmaps",
	                                   "secrets",  "replicationcontrollers", "resourcequotas"};

	if (has_prefix(name, "count/")) {
		const char *resource = name + strlen("count/"), *dot = strchr(resource, '.');
		size_t n = dot ? (size_t)(dot - resource) : strlen(resource);
		const char *group = dot ? dot + 1 : "";

		for (size_t i = 0; i < resource_n; i++) {
			const struct resource_info *r = &resource_table[i];
			if (!r->subresource[0] && !strcmp(r->group, group) &&
			    !strncmp(r->resource, resource, n) && !r->resource[n])
				return r;
		}
		return NULL;
	}
	if (!strcmp(name, "requests.storage") || strstr(name, ".storageclass.storage.k8s.io/"))
		name = "persistentvolumeclaims";
	for (size_t i = 0; i < ARRAY_LEN(core); i++)
		if (!strcmp(name, core[i]) || (!i && has_prefix(name, "services.")))
			return resource_find("", "v1", core[i], "");
	return resource_find("", "v1", "pods", "");
}

bool quota_follows_updates(const struct resource_info *res)
{
	return !res->group[0] && (!strcmp(res->resource, "services") ||
	                          !strcmp(res->resource, "persistentvolumeclaims"));
}

/* --- scopes
 * ---------------------------------------------------------------------------------------------- */

static bool best_effort(const CoreV1__PodSpec *spec)
{
	for (size_t i = 0; i < spec->n_containers + spec->n_init_containers; i++) {
		const CoreV1__Container *c = i < spec->n_containers
		                                 ? spec->containers[i]
		                                 : spec->init_containers[i - spec->n_containers];
		const struct resource_list r = RESOURCES(c->resources, requests),
		                           l = RESOURCES(c->resources, limits);

		for (size_t k = 0; k < r.n; k++)
			if (standard(r.at[k]->key))
				return false;
		for (size_t k = 0; k < l.n; k++)
			if (standard(l.at[k]->key))
				return false;
	}
	return true;
}

static bool in_values(const CoreV1__ScopedResourceSelectorRequirement *r, const char *value)
{
	for (size_t i = 0; i < r->n_values; i++)
		if (!strcmp(r->values[i], value))
			return true;
	return false;
}

static bool in_scope(const char *scope, const CoreV1__ScopedResourceSelectorRequirement *r,
                     const CoreV1__Pod *pod)
{
	const char *class = pod->spec->priority_class_name;

	if (!strcmp(scope, "Terminating"))
		return pod->spec->has_active_deadline_seconds;
	if (!strcmp(scope, "NotTerminating"))
		return !pod->spec->has_active_deadline_seconds;
	if (!strcmp(scope, "BestEffort"))
		return best_effort(pod->spec);
	if (!strcmp(scope, "NotBestEffort"))
		return !best_effort(pod->spec);
	if (strcmp(scope, "PriorityClass") != 0)
		return false;
	if (!r || !strcmp(r->operator_, "Exists"))
		return class[0] != '\0';
	if (!strcmp(r->operator_, "DoesNotExist"))
		return !class[0];
	return class[0] && in_values(r, class) == !strcmp(r->operator_, "In");
}

bool quota_matches(const CoreV1__ResourceQuota *q, const struct resource_info *res,
                   const ProtobufCMessage *msg)
{
	const CoreV1__ScopeSelector *sel = q->spec->scope_selector;
	size_t n = q->spec->n_scopes + (sel ? sel->n_match_expressions : 0);

	if (!n)
		return true;
	/* Scopes tell pods apart; other kinds fall under no quota that has them. */
	if (!is_core(res, "pods"))
		return false;
	const CoreV1__Pod *pod = ((const CoreV1__Pod *)msg);

	for (size_t i = 0; i < q->spec->n_scopes; i++)
		if (!in_scope(q->spec->scopes[i], NULL, pod))
			return false;
	for (size_t i = 0; sel && i < sel->n_match_expressions; i++)
		if (!in_scope(sel->match_expressions[i]->scope_name, sel->match_expressions[i],
		              pod))
			return false;
	return true;
}

/* --- what must be said
 * ------------------------------------------------------------------------------------ */

/* Whether the container says what the quota's resource is about. */
static bool says(const CoreV1__Container *c, const char *name)
{
	const struct resource_list requests = RESOURCES(c->resources, requests),
	                           limits = RESOURCES(c->resources, limits);
	struct quantity q;

	if (has_prefix(name, "limits."))
		return resources_get(&limits, name + strlen("limits."), &q);
	if (has_prefix(name, "requests."))
		name += strlen("requests.");
	return resources_get(&requests, name, &q);
}

static const char *silent(const CoreV1__PodSpec *spec, const char *name, struct arena *a)
{
	const char *list = "";

	for (size_t i = 0; i < spec->n_containers; i++)
		if (!says(spec->containers[i], name))
			list = arena_printf(a, "%s%s%s", list, *list ? "," : "",
			                    spec->containers[i]->name);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		if (!says(spec->init_containers[i], name))
			list = arena_printf(a, "%s%s%s", list, *list ? "," : "",
			                    spec->init_containers[i]->name);
	return list;
}

const char *quota_missing(const CoreV1__ResourceQuota *q, const CoreV1__Pod *pod, struct arena *a)
{
	/* In the order in which they are told. */
	static const char *const NAMES[] = {"cpu",    "limits.cpu",   "limits.memory",
	                                    "memory", "requests.cpu", "requests.memory"};
	const struct resource_list hard = RESOURCES(q->status, hard);
	const char *text = "";
	struct quantity limit;

	if (pod->spec->resources)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
		if (!resources_get(&hard, NAMES[i], &limit))
			continue;
		const char *who = silent(pod->spec, NAMES[i], a);
		if (*who)
			text = arena_printf(a, "%s%s%s for: %s", text, *text ? "; " : "", NAMES[i],
			                    who);
	}
	return *text ? text : NULL;
}
