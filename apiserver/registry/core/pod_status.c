/* SPDX-License-Identifier: Apache-2.0 */
/* What a node may say of a pod. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/row.h"

enum { ID_MAX = INT32_MAX };

void pod_status_prepare(const struct strategy_ctx *ctx, struct object *obj,
                        const struct object *old)
{
	CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	const CoreV1__Pod *was = OBJECT_MSG(old, CoreV1__Pod);

	pod->metadata->owner_references = was->metadata->owner_references;
	pod->metadata->n_owner_references = was->metadata->n_owner_references;
	if (!*pod->status->qos_class)
		pod->status->qos_class = was->status->qos_class;
}

static void check_conditions(errs_t errs, const CoreV1__PodStatus *s)
{
	path_t p = FIELD(NULL, "metadata.conditions");

	for (size_t i = 0; i < s->n_conditions; i++)
		if (!list_has(LIST("PodScheduled", "Ready", "Initialized"), s->conditions[i]->type))
			check_name(errs, FIELD(FIELD_INDEX(p, i), "Type"), s->conditions[i]->type,
			           names_qualified);
}

/* May a container of this name that has ended with this code run again? */
static bool may_restart(const CoreV1__PodSpec *spec, CoreV1__Container *const *list, size_t n,
                        const char *name, int32_t code)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i]->name, name) && list[i]->restart_policy)
			return list[i]->n_restart_policy_rules ||
			       !strcmp(list[i]->restart_policy, "Always") ||
			       (code && !strcmp(list[i]->restart_policy, "OnFailure"));
	return !strcmp(spec->restart_policy, "Always") ||
	       (code && !strcmp(spec->restart_policy, "OnFailure"));
}

/* A list of statuses, and the containers that they are of. */
struct statuses {
	const char *name;
	CoreV1__ContainerStatus *const *at;
	size_t n;
	CoreV1__ContainerStatus *const *was;
	size_t n_was;
	CoreV1__Container *const *containers; /* NULL: ephemeral ones, which never restart */
	size_t n_containers;
};

static void check_transitions(errs_t errs, const CoreV1__PodSpec *spec, const struct statuses *s)
{
	path_t p = FIELD(FIELD(NULL, "status"), s->name);
	struct index now = INDEX_IN(errs->arena);

	for (size_t i = 0; i < s->n; i++)
		index_add(&now, s->at[i]->name, (uint32_t)i);
	for (size_t i = 0; i < s->n_was; i++) {
		const CoreV1__ContainerStatus *old = s->was[i];
		int64_t at = index_find(&now, old->name);
		if (!old->state->terminated || at < 0 || s->at[at]->state->terminated)
			continue;
		if (s->containers && may_restart(spec, s->containers, s->n_containers, old->name,
		                                 old->state->terminated->exit_code))
			continue;
		field_forbidden(errs, FIELD(FIELD_INDEX(p, i), "state"),
		                "may not be transitioned to non-terminated state");
	}
}

static void check_id(errs_t errs, path_t p, int64_t id)
{
	if (id < 0 || id > ID_MAX)
		field_invalid_int(errs, p, id, "must be between 0 and 2147483647, inclusive");
}

static void check_users(errs_t errs, const CoreV1__PodSpec *spec, const struct statuses *s)
{
	path_t p = FIELD(FIELD(NULL, "status"), s->name);
	bool is_windows = spec->os && !strcmp(spec->os->name, "windows");

	for (size_t i = 0; i < s->n; i++) {
		const CoreV1__LinuxContainerUser *u =
		    s->at[i]->user ? s->at[i]->user->linux_ : NULL;
		path_t at = FIELD(FIELD_INDEX(p, i), "linux");
		if (!u)
			continue;
		if (is_windows) {
			field_forbidden(errs, at, "cannot be set for a windows pod");
			continue;
		}
		check_id(errs, FIELD(at, "uid"), u->uid);
		check_id(errs, FIELD(at, "gid"), u->gid);
		for (size_t j = 0; j < u->n_supplemental_groups; j++)
			check_id(errs, FIELD_INDEX(FIELD(at, "supplementalGroups"), j),
			         u->supplemental_groups[j]);
	}
}

/* Addresses: valid, at most one of each family, none twice. */
static void check_ips(errs_t errs, path_t p, const char *const *ips, size_t n, const char *json)
{
	struct index seen = INDEX_IN(errs->arena);
	size_t v6 = 0;

	for (size_t i = 0; i < n; i++) {
		check_name(errs, FIELD_INDEX(p, i), ips[i], names_ip);
		v6 += strchr(ips[i], ':') != NULL;
	}
	if (n < 2)
		return;
	if (n > 2 || v6 != 1)
		field_invalid_json(errs, p, json,
		                   "may specify no more than one IP for each IP family");
	for (size_t i = 0; i < n; i++)
		if (!index_add(&seen, ips[i], 0))
			field_add(errs, FIELD_DUPLICATE, FIELD_INDEX(p, i),
			          arena_printf(errs->arena, "{\"IP\":%s}",
			                       field_quote(errs->arena, ips[i])),
			          "%s", "");
}

static const char *ips_json(struct arena *a, const char *const *ips, size_t n)
{
	struct join text = JOIN(a, ",");

	for (size_t i = 0; i < n; i++)
		join_add(&text, arena_printf(a, "{\"IP\":%s}", field_quote(a, ips[i])));
	return arena_printf(a, "[%s]", join_text(&text));
}

static void check_addresses(errs_t errs, const CoreV1__PodStatus *s)
{
	struct arena *a = errs->arena;
	const char **pod = arena_array(a, const char *, s->n_pod_ips + 1);
	const char **host = arena_array(a, const char *, s->n_host_ips + 1);
	path_t hosts = FIELD(NULL, "status.hostIPs");

	for (size_t i = 0; i < s->n_pod_ips; i++)
		pod[i] = s->pod_ips[i]->ip;
	for (size_t i = 0; i < s->n_host_ips; i++)
		host[i] = s->host_ips[i]->ip;
	check_ips(errs, FIELD(NULL, "status.podIPs"), pod, s->n_pod_ips,
	          ips_json(a, pod, s->n_pod_ips));
	if (s->n_host_ips && strcmp(s->host_ip, host[0]))
		field_invalid(errs, FIELD(FIELD_INDEX(hosts, 0), "ip"), host[0],
		              "must be equal to `hostIP`");
	check_ips(errs, hosts, host, s->n_host_ips, ips_json(a, host, s->n_host_ips));
}

static void check_claims(errs_t errs, const CoreV1__PodSpec *spec, const CoreV1__PodStatus *s)
{
	path_t p = FIELD(NULL, "status.resourceClaimStatuses");
	struct index known = INDEX_IN(errs->arena), seen = known;

	for (size_t i = 0; i < spec->n_resource_claims; i++)
		index_add(&known, spec->resource_claims[i]->name, 0);
	for (size_t i = 0; i < s->n_resource_claim_statuses; i++) {
		const CoreV1__PodResourceClaimStatus *c = s->resource_claim_statuses[i];
		path_t name = FIELD(FIELD_INDEX(p, i), "name");
		if (!index_has(&known, c->name))
			field_invalid(errs, name, c->name,
			              "must match the name of an entry in `spec.resourceClaims`");
		if (!index_add(&seen, c->name, 0))
			field_duplicate(errs, name, c->name);
		if (c->resource_claim_name)
			check_name(errs, name, c->resource_claim_name, names_dns1123_subdomain);
	}
}

void pod_status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod),
	                  *old = OBJECT_MSG(old_obj, CoreV1__Pod);
	const CoreV1__PodStatus *s = pod->status, *was = old->status;
	const CoreV1__PodSpec *spec = old->spec;
	const struct statuses lists[] = {
	    {"containerStatuses", s->container_statuses, s->n_container_statuses,
	     was->container_statuses, was->n_container_statuses, spec->containers,
	     spec->n_containers},
	    {"initContainerStatuses", s->init_container_statuses, s->n_init_container_statuses,
	     was->init_container_statuses, was->n_init_container_statuses, spec->init_containers,
	     spec->n_init_containers},
	    {"ephemeralContainerStatuses", s->ephemeral_container_statuses,
	     s->n_ephemeral_container_statuses, was->ephemeral_container_statuses,
	     was->n_ephemeral_container_statuses, NULL, 0},
	};

	pod_annotations_check_update(errs, pod, old);
	check_conditions(errs, s);
	if (*s->nominated_node_name && strcmp(s->nominated_node_name, was->nominated_node_name))
		check_name(errs, FIELD(NULL, "status.nominatedNodeName"), s->nominated_node_name,
		           names_dns1123_subdomain);
	if (*was->qos_class)
		check_immutable_str(errs, FIELD(NULL, "status.qosClass"), s->qos_class,
		                    was->qos_class);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		check_transitions(errs, spec, &lists[i]);
		check_users(errs, spec, &lists[i]);
	}
	check_claims(errs, pod->spec, s);
	check_addresses(errs, s);
}
