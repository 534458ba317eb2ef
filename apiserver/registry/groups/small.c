/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of one or two small kinds: scheduling.k8s.io, node.k8s.io, policy, apiregistration.k8s.io.
 */
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { PRIORITY_USER_MAX = 1000000000 };

/* --- PriorityClass ---------------------------------------------------------------------------- */

static const struct {
	const char *name;
	int32_t value;
} system_priorities[] = {{"system-node-critical", 2000001000},
                         {"system-cluster-critical", 2000000000}};

static void priority_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const SchedulingV1__PriorityClass *c = OBJECT_MSG(obj, SchedulingV1__PriorityClass);
	const char *name = object_name(obj);
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(system_priorities); i++)
		known |= !strcmp(system_priorities[i].name, name) &&
		         system_priorities[i].value == c->value;
	if (has_prefix(name, "system-")) {
		if (!known)
			field_forbidden(
			    errs, FIELD(NULL, "metadata.name"),
			    "priority class names with 'system-' prefix are reserved for "
			    "system use only. error: system priority classes cannot be "
			    "created or changed");
	} else if (c->value > PRIORITY_USER_MAX) {
		field_forbidden(errs, FIELD(NULL, "value"),
		                "maximum allowed value of a user defined priority is 1000000000");
	}
	if (c->preemption_policy)
		check_enum(errs, FIELD(NULL, "preemptionPolicy"), c->preemption_policy,
		           LIST("PreemptLowerPriority", "Never"));
}

static void priority_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const SchedulingV1__PriorityClass *c = OBJECT_MSG(obj, SchedulingV1__PriorityClass);
	const SchedulingV1__PriorityClass *old = OBJECT_MSG(old_obj, SchedulingV1__PriorityClass);

	if (c->value != old->value)
		field_forbidden(errs, FIELD(NULL, "value"), "may not be changed in an update.");
	check_immutable_str(errs, FIELD(NULL, "preemptionPolicy"), c->preemption_policy,
	                    old->preemption_policy);
}

static void priority_row(const struct strategy_ctx *ctx, const struct object *obj,
                         struct table_row *r)
{
	const SchedulingV1__PriorityClass *c = OBJECT_MSG(obj, SchedulingV1__PriorityClass);

	row_name(r, obj);
	row_int(r, c->value);
	row_bool(r, c->global_default);
	row_age(ctx, r, obj);
	row_str(r, c->preemption_policy);
}

const struct strategy priorityclass_strategy = {
    .kind = "PriorityClass",
    .generation = GENERATION_SPEC,
    .validate = priority_validate,
    .validate_update = priority_update,
    .lax_update = true,
    .allow_unconditional_update = true,
    .table_row = priority_row,
};

/* --- RuntimeClass ----------------------------------------------------------------------------- */

static void runtime_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const NodeV1__RuntimeClass *c = OBJECT_MSG(obj, NodeV1__RuntimeClass);

	check_name(errs, FIELD(NULL, "handler"), c->handler, names_dns1123_label);
	if (c->overhead)
		resource_list_check(errs, FIELD(NULL, "overhead.podFixed"),
		                    QUANTITIES(c->overhead->pod_fixed), c->overhead->n_pod_fixed);
	if (!c->scheduling)
		return;
	check_labels(errs, FIELD(NULL, "scheduling.nodeSelector"),
	             STRINGS(c->scheduling->node_selector), c->scheduling->n_node_selector);
	tolerations_check(errs, FIELD(NULL, "scheduling.tolerations"), c->scheduling->tolerations,
	                  c->scheduling->n_tolerations);
}

static void runtime_update(const struct strategy_ctx *ctx, const struct object *obj,
                           const struct object *old, errs_t errs)
{
	check_immutable_str(errs, FIELD(NULL, "handler"),
	                    OBJECT_MSG(obj, NodeV1__RuntimeClass)->handler,
	                    OBJECT_MSG(old, NodeV1__RuntimeClass)->handler);
}

static void runtime_row(const struct strategy_ctx *ctx, const struct object *obj,
                        struct table_row *r)
{
	row_name(r, obj);
	row_str(r, OBJECT_MSG(obj, NodeV1__RuntimeClass)->handler);
	row_age(ctx, r, obj);
}

const struct strategy runtimeclass_strategy = {
    .kind = "RuntimeClass",
    .validate = runtime_validate,
    .validate_update = runtime_update,
    .table_row = runtime_row,
};

/* --- PodDisruptionBudget ---------------------------------------------------------------------- */

static void budget_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const PolicyV1__PodDisruptionBudgetSpec *s =
	    OBJECT_MSG(obj, PolicyV1__PodDisruptionBudget)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->min_available && s->max_unavailable)
		field_invalid_json(errs, p, go_json_of(errs, s),
		                   "minAvailable and maxUnavailable cannot be both set");
	if (s->min_available) {
		check_number_or_percent(errs, FIELD(p, "minAvailable"), s->min_available);
		check_not_over_100_percent(errs, FIELD(p, "minAvailable"), s->min_available);
	}
	if (s->max_unavailable) {
		check_number_or_percent(errs, FIELD(p, "maxUnavailable"), s->max_unavailable);
		check_not_over_100_percent(errs, FIELD(p, "maxUnavailable"), s->max_unavailable);
	}
	check_selector(errs, FIELD(p, "selector"), s->selector);
	if (s->unhealthy_pod_eviction_policy)
		check_enum(errs, FIELD(p, "unhealthyPodEvictionPolicy"),
		           s->unhealthy_pod_eviction_policy,
		           LIST("AlwaysAllow", "IfHealthyBudget"));
}

static const char *amount(struct arena *a, const Intstr__IntOrString *v)
{
	if (!v)
		return "N/A";
	return intstr_is_int(v) ? arena_printf(a, "%d", v->int_val) : v->str_val;
}

static void budget_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	const PolicyV1__PodDisruptionBudget *b = OBJECT_MSG(obj, PolicyV1__PodDisruptionBudget);

	row_name(r, obj);
	row_str(r, amount(ctx->arena, b->spec->min_available));
	row_str(r, amount(ctx->arena, b->spec->max_unavailable));
	row_int(r, b->status->disruptions_allowed);
	row_age(ctx, r, obj);
}

const struct strategy pdb_strategy = {
    .kind = "PodDisruptionBudget",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .validate = budget_validate,
    .table_row = budget_row,
};

static void budget_status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                                   const struct object *old, errs_t errs)
{
	const PolicyV1__PodDisruptionBudgetStatus *s =
	    OBJECT_MSG(obj, PolicyV1__PodDisruptionBudget)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "disruptionsAllowed"), s->disruptions_allowed);
	check_nonneg(errs, FIELD(p, "currentHealthy"), s->current_healthy);
	check_nonneg(errs, FIELD(p, "desiredHealthy"), s->desired_healthy);
	check_nonneg(errs, FIELD(p, "expectedPods"), s->expected_pods);
}

const struct strategy pdb_status_strategy = {
    .kind = "PodDisruptionBudget",
    .is_status = true,
    .lax_update = true,
    .validate_update = budget_status_validate,
    .table_row = budget_row,
};

/* --- APIService ------------------------------------------------------------------------------- */

static void service_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const ApiregistrationV1__APIServiceSpec *s =
	    OBJECT_MSG(obj, ApiregistrationV1__APIService)->spec;
	const char *wanted = arena_printf(errs->arena, "%s.%s", s->version, s->group);
	path_t p = FIELD(NULL, "spec");

	if (strcmp(object_name(obj), wanted))
		field_add(errs, FIELD_INVALID, FIELD(NULL, "metadata.name"),
		          field_quote(errs->arena, object_name(obj)),
		          "must be `spec.version+\".\"+spec.group`: \"%s\"", wanted);
	if (*s->group)
		check_name(errs, FIELD(p, "group"), s->group, names_dns1123_subdomain);
	check_name(errs, FIELD(p, "version"), s->version, names_dns1035_label);
	if (s->group_priority_minimum <= 0 || s->group_priority_minimum > 20000)
		field_invalid_int(errs, FIELD(p, "groupPriorityMinimum"), s->group_priority_minimum,
		                  "must be positive and less than 20000");
	if (s->version_priority <= 0 || s->version_priority > 1000)
		field_invalid_int(errs, FIELD(p, "versionPriority"), s->version_priority,
		                  "must be positive and less than 1000");
	if (!s->service) {
		if (s->ca_bundle.len)
			field_invalid(errs, FIELD(p, "caBundle"), "...",
			              "local APIServices may not have a caBundle");
		if (s->insecure_skip_tls_verify)
			field_add(errs, FIELD_INVALID, FIELD(p, "insecureSkipTLSVerify"), "true",
			          "local APIServices may not have insecureSkipTLSVerify");
		return;
	}
	check_required(errs, FIELD(p, "service.namespace"), s->service->namespace_);
	check_required(errs, FIELD(p, "service.name"), s->service->name);
	check_port(errs, FIELD(p, "service.port"), s->service->port);
	if (s->insecure_skip_tls_verify && s->ca_bundle.len)
		field_add(errs, FIELD_INVALID, FIELD(p, "insecureSkipTLSVerify"), "true",
		          "may not be true if caBundle is present");
}

static void service_row(const struct strategy_ctx *ctx, const struct object *obj,
                        struct table_row *r)
{
	const ApiregistrationV1__APIService *s = OBJECT_MSG(obj, ApiregistrationV1__APIService);
	const char *available = "Unknown";

	for (size_t i = 0; i < s->status->n_conditions; i++) {
		const ApiregistrationV1__APIServiceCondition *c = s->status->conditions[i];
		if (strcmp(c->type, "Available"))
			continue;
		available = c->status;
		if (strcmp(c->status, "True"))
			available = arena_printf(ctx->arena, "%s (%s)", c->status, c->reason);
	}
	row_name(r, obj);
	row_str(r, s->spec->service
	               ? arena_printf(ctx->arena, "%s/%s", s->spec->service->namespace_,
	                              s->spec->service->name)
	               : "Local");
	row_str(r, available);
	row_age(ctx, r, obj);
}

const struct strategy apiservice_strategy = {
    .kind = "APIService",
    .name_syntax = names_path_segment,
    .has_status = true,
    .validate = service_validate,
    .table_row = service_row,
};

const struct strategy apiservice_status_strategy = {
    .kind = "APIService",
    .name_syntax = names_path_segment,
    .is_status = true,
    .lax_update = true,
    .table_row = service_row,
};
