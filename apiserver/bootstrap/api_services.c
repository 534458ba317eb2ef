/* SPDX-License-Identifier: Apache-2.0 */
/* An APIService for each group and version that this server serves itself (kubernetes
 * pkg/controlplane/apiserver/aggregator.go): who lists them sees the whole API, and an extension
 * server's objects stand beside them. */
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "proto/resource_table.h"

/* The order in which discovery shows groups. */
static const struct {
	const char *group;
	int priority;
} GROUPS[] = {
    {"", 18000},
    {"apps", 17800},
    {"events.k8s.io", 17750},
    {"authentication.k8s.io", 17700},
    {"authorization.k8s.io", 17600},
    {"autoscaling", 17500},
    {"batch", 17400},
    {"certificates.k8s.io", 17300},
    {"networking.k8s.io", 17200},
    {"policy", 17100},
    {"rbac.authorization.k8s.io", 17000},
    {"storage.k8s.io", 16800},
    {"apiextensions.k8s.io", 16700},
    {"admissionregistration.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
    {"resource.k8s.io", 15900},
};

static int group_priority(const char *group)
{
	for (size_t i = 0; i < ARRAY_LEN(GROUPS); i++)
		if (!strcmp(GROUPS[i].group, group))
			return GROUPS[i].priority;
	return 2000;
}

static int version_priority(const char *group, const char *version)
{
	if (!*group)
		return 1;
	if (!strcmp(group, "flowcontrol.apiserver.k8s.io"))
		return 21;
	return !strcmp(group, "autoscaling") && !strcmp(version, "v2") ? 30 : 15;
}

void bootstrap_api_services(struct wanted_list *l)
{
	for (size_t i = 0; i < resource_n_groups; i++) {
		const char *group = resource_groups[i].name;

		/* The group of the APIServices themselves is the aggregator's own. */
		if (!strcmp(group, "apiregistration.k8s.io"))
			continue;
		for (const char *const *v = resource_groups[i].versions; *v; v++) {
			const char *name = arena_printf(l->arena, "%s.%s", *v, group);
			wanted_add(
			    l, "apiregistration.k8s.io", "apiservices", "", name,
			    arena_printf(l->arena,
			                 "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kube-"
			                 "aggregator.kubernetes.io/"
			                 "automanaged\":\"onstart\"}},\"spec\":{\"group\":\"%s\","
			                 "\"version\":\"%s\","
			                 "\"groupPriorityMinimum\":%d,\"versionPriority\":%d}}",
			                 name, group, *v, group_priority(group),
			                 version_priority(group, *v)));
		}
	}
}
