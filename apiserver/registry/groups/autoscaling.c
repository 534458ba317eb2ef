/* SPDX-License-Identifier: Apache-2.0 */
/* autoscaling: HorizontalPodAutoscalers of v2, and what v1 says of the same object. */
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { CPU_TARGET_PERCENT = 80, PERIOD_MAX_S = 1800, WINDOW_MAX_S = 3600 };

struct rule_default {
	const char *type;
	int32_t value, period_s;
};

static void default_rules(struct arena *a, AutoscalingV2__HPAScalingRules **rules,
                          const struct rule_default *policies, size_t n, int32_t window_s)
{
	if (!*rules)
		*rules = MSG_NEW(a, AutoscalingV2__HPAScalingRules,
		                 autoscaling_v2__hpascaling_rules__descriptor);
	AutoscalingV2__HPAScalingRules *r = *rules;
	if (!r->has_stabilization_window_seconds && window_s >= 0)
		SET(r, stabilization_window_seconds, window_s);
	if (!r->select_policy)
		r->select_policy = arena_strdup(a, "Max");
	if (r->n_policies)
		return;
	r->policies = arena_array(a, AutoscalingV2__HPAScalingPolicy *, n);
	for (size_t i = 0; i < n; i++) {
		AutoscalingV2__HPAScalingPolicy *p =
		    MSG_NEW(a, AutoscalingV2__HPAScalingPolicy,
		            autoscaling_v2__hpascaling_policy__descriptor);
		p->type = arena_strdup(a, policies[i].type);
		SET(p, value, policies[i].value);
		SET(p, period_seconds, policies[i].period_s);
		r->policies[i] = p;
	}
	r->n_policies = n;
}

/* 80 percent of the CPU that was asked for. */
static void default_metric(struct arena *a, AutoscalingV2__HorizontalPodAutoscalerSpec *s)
{
	AutoscalingV2__MetricSpec *m =
	    MSG_NEW(a, AutoscalingV2__MetricSpec, autoscaling_v2__metric_spec__descriptor);

	m->type = arena_strdup(a, "Resource");
	m->resource = MSG_NEW(a, AutoscalingV2__ResourceMetricSource,
	                      autoscaling_v2__resource_metric_source__descriptor);
	m->resource->name = arena_strdup(a, "cpu");
	m->resource->target->type = arena_strdup(a, "Utilization");
	SET(m->resource->target, average_utilization, CPU_TARGET_PERCENT);
	s->metrics = arena_memdup(a, &m, sizeof(m));
	s->n_metrics = 1;
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	static const struct rule_default up[] = {{"Pods", 4, 15}, {"Percent", 100, 15}};
	static const struct rule_default down[] = {{"Percent", 100, 15}};
	AutoscalingV2__HorizontalPodAutoscalerSpec *s =
	    OBJECT_MSG(obj, AutoscalingV2__HorizontalPodAutoscaler)->spec;

	if (!s->has_min_replicas)
		SET(s, min_replicas, 1);
	if (!s->n_metrics)
		default_metric(ctx->arena, s);
	if (!s->behavior)
		return;
	default_rules(ctx->arena, &s->behavior->scale_up, up, 2, 0);
	default_rules(ctx->arena, &s->behavior->scale_down, down, 1, -1);
}

static void check_reference_names(errs_t errs, path_t p, const char *kind, const char *name)
{
	check_required_name(errs, FIELD(p, "kind"), kind, names_path_segment);
	check_required_name(errs, FIELD(p, "name"), name, names_path_segment);
}

static void check_reference(errs_t errs, path_t p, const char *kind, const char *name,
                            const char *api_version)
{
	struct group_version gv = group_version_split(errs->arena, api_version);

	check_reference_names(errs, p, kind, name);
	if (!*gv.group && strcmp(kind, "ReplicationController") && *kind)
		field_invalid(errs, FIELD(p, "apiVersion"), api_version,
		              "apiVersion must specify API group");
}

static void check_target(errs_t errs, path_t p, const AutoscalingV2__MetricTarget *t)
{
	if (!*t->type)
		field_required(errs, FIELD(p, "type"), "must specify a metric target type");
	if (!list_has(LIST("AverageValue", "Utilization", "Value"), t->type))
		field_invalid(errs, FIELD(p, "type"), t->type,
		              "must be either Utilization, Value, or AverageValue");
	if (t->value && quantity_cmp_text(t->value->string, "0") <= 0)
		field_invalid(errs, FIELD(p, "value"), t->value->string, "must be positive");
	if (t->average_value && quantity_cmp_text(t->average_value->string, "0") <= 0)
		field_invalid(errs, FIELD(p, "averageValue"), t->average_value->string,
		              "must be positive");
	if (t->has_average_utilization && t->average_utilization < 1)
		field_invalid_int(errs, FIELD(p, "averageUtilization"), t->average_utilization,
		                  "must be greater than 0");
}

static void check_identifier(errs_t errs, path_t p, const AutoscalingV2__MetricIdentifier *id)
{
	if (!*id->name)
		field_required(errs, FIELD(p, "name"), "must specify a metric name");
	else
		check_name(errs, FIELD(p, "name"), id->name, names_path_segment);
}

static void check_resource_target(errs_t errs, path_t p, const char *name,
                                  const AutoscalingV2__MetricTarget *t)
{
	if (!*name)
		field_required(errs, FIELD(p, "name"), "must specify a resource name");
	else
		container_resource_check(errs, FIELD(p, "name"), name);
	check_target(errs, FIELD(p, "target"), t);
	if (!t->has_average_utilization && !t->average_value)
		field_required(errs, FIELD(p, "target.averageUtilization"),
		               "must set either a target raw value or a target utilization");
	if (t->has_average_utilization && t->average_value)
		field_forbidden(errs, FIELD(p, "target.averageValue"),
		                "may not set both a target raw value and a target utilization");
}

static void check_object_source(errs_t errs, path_t p, const AutoscalingV2__ObjectMetricSource *o)
{
	const AutoscalingV2__CrossVersionObjectReference *ref = o->described_object;

	check_reference_names(errs, FIELD(p, "describedObject"), ref->kind, ref->name);
	check_identifier(errs, FIELD(p, "metric"), o->metric);
	check_target(errs, FIELD(p, "target"), o->target);
	if (!o->target->value && !o->target->average_value)
		field_required(errs, FIELD(p, "target.averageValue"),
		               "must set either a target value or averageValue");
}

static void check_external_source(errs_t errs, path_t p,
                                  const AutoscalingV2__ExternalMetricSource *e)
{
	check_identifier(errs, FIELD(p, "metric"), e->metric);
	check_target(errs, FIELD(p, "target"), e->target);
	if (!e->target->value && !e->target->average_value)
		field_required(errs, FIELD(p, "target.averageValue"),
		               "must set either a target value for metric or a per-pod target");
	if (e->target->value && e->target->average_value)
		field_forbidden(errs, FIELD(p, "target.value"),
		                "may not set both a target value for metric and a per-pod target");
}

static void check_pods_source(errs_t errs, path_t p, const AutoscalingV2__PodsMetricSource *s)
{
	const Quantity__Quantity *v = s->target->average_value;

	check_identifier(errs, FIELD(p, "metric"), s->metric);
	check_target(errs, FIELD(p, "target"), s->target);
	if (!v || quantity_cmp_text(v->string, "0") <= 0)
		field_required(errs, FIELD(p, "target.averageValue"),
		               "must specify a positive target averageValue");
}

/* Only the first source that is there is looked into. */
static void check_first_source(errs_t errs, path_t p, const AutoscalingV2__MetricSpec *m)
{
	if (m->object) {
		check_object_source(errs, FIELD(p, "object"), m->object);
	} else if (m->external) {
		check_external_source(errs, FIELD(p, "external"), m->external);
	} else if (m->pods) {
		check_pods_source(errs, FIELD(p, "pods"), m->pods);
	} else if (m->resource) {
		check_resource_target(errs, FIELD(p, "resource"), m->resource->name,
		                      m->resource->target);
	} else if (m->container_resource) {
		path_t at = FIELD(p, "containerResource");
		if (!*m->container_resource->container)
			field_required(errs, FIELD(at, "container"), "must specify a container");
		check_resource_target(errs, at, m->container_resource->name,
		                      m->container_resource->target);
	}
}

static void check_metric(errs_t errs, path_t p, const AutoscalingV2__MetricSpec *m)
{
	static const char *const types[] = {"ContainerResource", "External", "Object", "Pods",
	                                    "Resource",          NULL};
	const struct {
		const char *type, *field;
		const void *source;
	} sources[] = {{"Object", "object", m->object},
	               {"Pods", "pods", m->pods},
	               {"Resource", "resource", m->resource},
	               {"ContainerResource", "containerResource", m->container_resource},
	               {"External", "external", m->external}};
	size_t n = 0;

	if (!*m->type)
		field_required(errs, FIELD(p, "type"), "must specify a metric source type");
	check_enum(errs, FIELD(p, "type"), m->type, types);
	check_first_source(errs, p, m);
	check_enum(errs, FIELD(p, "type"), m->type, types); /* upstream says it twice */
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		n += sources[i].source != NULL;
		if (!strcmp(sources[i].type, m->type) && !sources[i].source)
			field_required(errs, FIELD(p, sources[i].field),
			               "must populate information for the given metric source");
	}
	for (size_t i = 0; n > 1 && i < ARRAY_LEN(sources); i++)
		if (sources[i].source && strcmp(sources[i].type, m->type))
			field_forbidden(errs, FIELD(p, sources[i].field),
			                "must populate the given metric source only");
}

static void check_rules(errs_t errs, path_t p, const AutoscalingV2__HPAScalingRules *r)
{
	if (!r)
		return;
	if (r->has_stabilization_window_seconds) {
		path_t at = FIELD(p, "stabilizationWindowSeconds");
		if (r->stabilization_window_seconds < 0)
			field_invalid_int(errs, at, r->stabilization_window_seconds,
			                  "must be greater than or equal to zero");
		if (r->stabilization_window_seconds > WINDOW_MAX_S)
			field_invalid_int(errs, at, r->stabilization_window_seconds,
			                  "must be less than or equal to 3600");
	}
	if (r->select_policy)
		check_enum(errs, FIELD(p, "selectPolicy"), r->select_policy,
		           LIST("Disabled", "Max", "Min"));
	if (!r->n_policies)
		field_required(errs, FIELD(p, "policies"), "must specify at least one Policy");
	for (size_t i = 0; i < r->n_policies; i++) {
		const AutoscalingV2__HPAScalingPolicy *s = r->policies[i];
		path_t at = FIELD_INDEX(FIELD(p, "policies"), i);
		check_enum(errs, FIELD(at, "type"), s->type, LIST("Percent", "Pods"));
		check_positive(errs, FIELD(at, "value"), s->value);
		check_positive(errs, FIELD(at, "periodSeconds"), s->period_seconds);
		if (s->period_seconds > PERIOD_MAX_S)
			field_invalid_int(errs, FIELD(at, "periodSeconds"), s->period_seconds,
			                  "must be less than or equal to 1800");
	}
}

static void check_replicas(errs_t errs, bool has_min, int32_t min, int32_t max)
{
	path_t p = FIELD(NULL, "spec");

	if (has_min && min < 1)
		field_invalid_int(errs, FIELD(p, "minReplicas"), min,
		                  "must be greater than or equal to 1");
	if (max < 1)
		field_required(errs, FIELD(p, "maxReplicas"), "must be set and greater than 0");
	if (has_min && max < min)
		field_invalid_int(errs, FIELD(p, "maxReplicas"), max,
		                  "must be greater than or equal to `minReplicas`");
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AutoscalingV2__HorizontalPodAutoscalerSpec *s =
	    OBJECT_MSG(obj, AutoscalingV2__HorizontalPodAutoscaler)->spec;
	path_t p = FIELD(NULL, "spec");

	check_replicas(errs, s->has_min_replicas, s->min_replicas, s->max_replicas);
	check_reference(errs, FIELD(p, "scaleTargetRef"), s->scale_target_ref->kind,
	                s->scale_target_ref->name, s->scale_target_ref->api_version);
	for (size_t i = 0; i < s->n_metrics; i++)
		check_metric(errs, FIELD_INDEX(FIELD(p, "metrics"), i), s->metrics[i]);
	if (!s->behavior)
		return;
	check_rules(errs, FIELD(p, "behavior.scaleUp"), s->behavior->scale_up);
	check_rules(errs, FIELD(p, "behavior.scaleDown"), s->behavior->scale_down);
}

/* --- the row ---------------------------------------------------------------------------------- */

static const AutoscalingV2__MetricValueStatus *
current_of(const AutoscalingV2__HorizontalPodAutoscaler *h, size_t i)
{
	const AutoscalingV2__MetricStatus *m;

	if (i >= h->status->n_current_metrics)
		return NULL;
	m = h->status->current_metrics[i];
	return m->resource             ? m->resource->current
	       : m->container_resource ? m->container_resource->current
	       : m->pods               ? m->pods->current
	       : m->object             ? m->object->current
	       : m->external           ? m->external->current
	                               : NULL;
}

static const char *metric_text(struct arena *a, const AutoscalingV2__HorizontalPodAutoscaler *h,
                               size_t i)
{
	const AutoscalingV2__MetricSpec *m = h->spec->metrics[i];
	const AutoscalingV2__MetricValueStatus *now = current_of(h, i);
	const AutoscalingV2__MetricTarget *t = m->resource ? m->resource->target
	                                       : m->container_resource
	                                           ? m->container_resource->target
	                                       : m->pods     ? m->pods->target
	                                       : m->object   ? m->object->target
	                                       : m->external ? m->external->target
	                                                     : NULL;
	const char *name = m->resource             ? m->resource->name
	                   : m->container_resource ? m->container_resource->name
	                                           : NULL;
	const char *current = "<unknown>", *target = "<auto>";

	if (!t)
		return "<unknown type>";
	if (t->has_average_utilization) {
		target = arena_printf(a, "%d%%", t->average_utilization);
		if (now && now->has_average_utilization)
			current = arena_printf(a, "%d%%", now->average_utilization);
	} else if (t->average_value) {
		target = m->pods || name ? t->average_value->string
		                         : arena_printf(a, "%s (avg)", t->average_value->string);
		if (now && now->average_value)
			current = now->average_value->string;
	} else if (t->value) {
		target = t->value->string;
		if (now && now->value)
			current = now->value->string;
	}
	return name ? arena_printf(a, "%s: %s/%s", name, current, target)
	            : arena_printf(a, "%s/%s", current, target);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const AutoscalingV2__HorizontalPodAutoscaler *h =
	    OBJECT_MSG(obj, AutoscalingV2__HorizontalPodAutoscaler);
	struct arena *a = ctx->arena;
	const char *metrics = "";
	size_t shown = MIN(h->spec->n_metrics, 2);

	for (size_t i = 0; i < shown; i++)
		metrics = joined(a, metrics, metric_text(a, h, i), ", ");
	if (h->spec->n_metrics > shown)
		metrics = arena_printf(a, "%s + %zu more...", metrics, h->spec->n_metrics - shown);
	row_name(r, obj);
	row_str(r, arena_printf(a, "%s/%s", h->spec->scale_target_ref->kind,
	                        h->spec->scale_target_ref->name));
	row_str(r, h->spec->n_metrics ? metrics : "<none>");
	row_str(r, h->spec->has_min_replicas ? arena_printf(a, "%d", h->spec->min_replicas)
	                                     : "<unset>");
	row_int(r, h->spec->max_replicas);
	row_int(r, h->status->current_replicas);
	row_age(ctx, r, obj);
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const AutoscalingV2__HorizontalPodAutoscalerStatus *s =
	    OBJECT_MSG(obj, AutoscalingV2__HorizontalPodAutoscaler)->status;

	check_nonneg(errs, FIELD(NULL, "status.currentReplicas"), s->current_replicas);
	check_nonneg(errs, FIELD(NULL, "status.desiredReplicas"), s->desired_replicas);
}

const struct strategy hpa_strategy = {
    .kind = "HorizontalPodAutoscaler",
    .has_status = true,
    .defaults = defaults,
    .validate = validate,
    .allow_unconditional_update = true,
    .table_row = row,
};

const struct strategy hpa_status_strategy = {
    .kind = "HorizontalPodAutoscaler",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};

/* --- v1 --------------------------------------------------------------------------------------- */

/* Metrics that v1 has no field for. */
static bool has_metrics_annotation(const struct object *obj)
{
	for (size_t i = 0; i < obj->meta->n_annotations; i++)
		if (strcmp(obj->meta->annotations[i]->key,
		           "autoscaling.alpha.kubernetes.io/metrics") == 0)
			return true;
	return false;
}

/* As v2: an autoscaler without metrics looks at the CPU. */
static void v1_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	AutoscalingV1__HorizontalPodAutoscalerSpec *s =
	    OBJECT_MSG(obj, AutoscalingV1__HorizontalPodAutoscaler)->spec;

	if (!s->has_min_replicas)
		SET(s, min_replicas, 1);
	if (!s->has_target_cpu_utilization_percentage && !has_metrics_annotation(obj))
		SET(s, target_cpu_utilization_percentage, CPU_TARGET_PERCENT);
}

static void v1_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const AutoscalingV1__HorizontalPodAutoscalerSpec *s =
	    OBJECT_MSG(obj, AutoscalingV1__HorizontalPodAutoscaler)->spec;

	check_replicas(errs, s->has_min_replicas, s->min_replicas, s->max_replicas);
	check_reference(errs, FIELD(NULL, "spec.scaleTargetRef"), s->scale_target_ref->kind,
	                s->scale_target_ref->name, s->scale_target_ref->api_version);
	if (s->has_target_cpu_utilization_percentage && s->target_cpu_utilization_percentage < 1)
		field_invalid_int(errs,
		                  FIELD(NULL, "spec.metrics[0].resource.target.averageUtilization"),
		                  s->target_cpu_utilization_percentage, "must be greater than 0");
}

static void v1_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const AutoscalingV1__HorizontalPodAutoscaler *h =
	    OBJECT_MSG(obj, AutoscalingV1__HorizontalPodAutoscaler);
	struct arena *a = ctx->arena;
	const char *now =
	    h->status->has_current_cpu_utilization_percentage
	        ? arena_printf(a, "%d%%", h->status->current_cpu_utilization_percentage)
	        : "<unknown>";

	row_name(r, obj);
	row_str(r, arena_printf(a, "%s/%s", h->spec->scale_target_ref->kind,
	                        h->spec->scale_target_ref->name));
	row_str(r, h->spec->has_target_cpu_utilization_percentage
	               ? arena_printf(a, "cpu: %s/%d%%", now,
	                              h->spec->target_cpu_utilization_percentage)
	               : "<none>");
	row_str(r, h->spec->has_min_replicas ? arena_printf(a, "%d", h->spec->min_replicas)
	                                     : "<unset>");
	row_int(r, h->spec->max_replicas);
	row_int(r, h->status->current_replicas);
	row_age(ctx, r, obj);
}

const struct strategy hpa_v1_strategy = {
    .kind = "HorizontalPodAutoscaler",
    .has_status = true,
    .defaults = v1_defaults,
    .validate = v1_validate,
    .allow_unconditional_update = true,
    .table_row = v1_row,
};

const struct strategy hpa_v1_status_strategy = {
    .kind = "HorizontalPodAutoscaler",
    .is_status = true,
    .lax_update = true,
    .defaults = v1_defaults,
    .allow_unconditional_update = true,
    .table_row = v1_row,
};
