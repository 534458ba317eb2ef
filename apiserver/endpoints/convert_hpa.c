/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/convert_hpa.h"

#include "common/codec/jvalue.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"
#include "proto/schema.h"

typedef AutoscalingV1__HorizontalPodAutoscaler v1_t;
typedef AutoscalingV2__HorizontalPodAutoscaler v2_t;

static const char METRICS[] = "autoscaling.alpha.kubernetes.io/metrics";
static const char CURRENT[] = "autoscaling.alpha.kubernetes.io/current-metrics";
static const char CONDITIONS[] = "autoscaling.alpha.kubernetes.io/conditions";
static const char BEHAVIOR[] = "autoscaling.alpha.kubernetes.io/behavior";

/* --- metrics: the same facts at other places ----------------------------------------------------
 */

struct place {
	const char *source;  /* member of the metric: "pods" */
	const char *v2, *v1; /* where it is inside that */
	bool required;       /* v1 writes a zero quantity when there is none */
};

static const struct place SPEC_PLACES[] = {
    {"object", "describedObject", "target", false},
    {"object", "metric.name", "metricName", false},
    {"object", "target.value", "targetValue", true},
    {"object", "metric.selector", "selector", false},
    {"object", "target.averageValue", "averageValue", false},
    {"pods", "metric.name", "metricName", false},
    {"pods", "target.averageValue", "targetAverageValue", true},
    {"pods", "metric.selector", "selector", false},
    {"resource", "name", "name", false},
    {"resource", "target.averageUtilization", "targetAverageUtilization", false},
    {"resource", "target.averageValue", "targetAverageValue", false},
    {"containerResource", "name", "name", false},
    {"containerResource", "target.averageUtilization", "targetAverageUtilization", false},
    {"containerResource", "target.averageValue", "targetAverageValue", false},
    {"containerResource", "container", "container", false},
    {"external", "metric.name", "metricName", false},
    {"external", "metric.selector", "metricSelector", false},
    {"external", "target.value", "targetValue", false},
    {"external", "target.averageValue", "targetAverageValue", false},
    {0},
};

static const struct place STATUS_PLACES[] = {
    {"object", "describedObject", "target", false},
    {"object", "metric.name", "metricName", false},
    {"object", "current.value", "currentValue", true},
    {"object", "metric.selector", "selector", false},
    {"object", "current.averageValue", "averageValue", false},
    {"pods", "metric.name", "metricName", false},
    {"pods", "current.averageValue", "currentAverageValue", true},
    {"pods", "metric.selector", "selector", false},
    {"resource", "name", "name", false},
    {"resource", "current.averageUtilization", "currentAverageUtilization", false},
    {"resource", "current.averageValue", "currentAverageValue", true},
    {"containerResource", "name", "name", false},
    {"containerResource", "current.averageUtilization", "currentAverageUtilization", false},
    {"containerResource", "current.averageValue", "currentAverageValue", true},
    {"containerResource", "container", "container", false},
    {"external", "metric.name", "metricName", false},
    {"external", "metric.selector", "metricSelector", false},
    {"external", "current.value", "currentValue", true},
    {"external", "current.averageValue", "currentAverageValue", false},
    {0},
};

static struct jvalue *member(struct arena *a, struct jvalue *obj, const char *key)
{
	struct jvalue *v = jvalue_get(obj, key);

	if (!v) {
		v = jvalue_object(a);
		jvalue_set(a, obj, key, v);
	}
	return v;
}

/* Sets "a" or "a.b". */
static void set_path(struct arena *a, struct jvalue *obj, const char *path, struct jvalue *v)
{
	const char *dot = strchr(path, '.');

	if (dot) {
		obj = member(a, obj, arena_strndup(a, path, (size_t)(dot - path)));
		path = dot + 1;
	}
	jvalue_set(a, obj, path, v);
}

static struct jvalue *metric_to_v1(struct arena *a, const struct jvalue *in,
                                   const struct place *places)
{
	struct jvalue *out = jvalue_object(a);

	jvalue_set(a, out, "type", jvalue_str(a, jvalue_get_str(in, "type", "")));
	for (const struct place *p = places; p->source; p++) {
		struct jvalue *source = jvalue_get(in, p->source), *v;

		if (!source)
			continue;
		v = jvalue_path(source, p->v2);
		if (!v && p->required)
			v = jvalue_str(a, "0");
		if (v)
			jvalue_set(a, member(a, out, p->source), p->v1, v);
	}
	return out;
}

static void set_target_type(struct arena *a, struct jvalue *source)
{
	struct jvalue *target = member(a, source, "target");
	const char *type = jvalue_get(target, "averageUtilization") ? "Utilization"
	                   : jvalue_get(target, "averageValue")     ? "AverageValue"
	                                                            : "Value";

	jvalue_set(a, target, "type", jvalue_str(a, type));
}

static struct jvalue *metric_to_v2(struct arena *a, const struct jvalue *in,
                                   const struct place *places)
{
	struct jvalue *out = jvalue_object(a);

	jvalue_set(a, out, "type", jvalue_str(a, jvalue_get_str(in, "type", "")));
	for (const struct place *p = places; p->source; p++) {
		struct jvalue *source = jvalue_get(in, p->source);
		struct jvalue *v = source ? jvalue_get(source, p->v1) : NULL;
		bool zero = p->required && v && strcmp(p->source, "object") == 0 &&
		            jvalue_get(source, "averageValue");

		if (v && !zero)
			set_path(a, member(a, out, p->source), p->v2, v);
	}
	for (uint32_t i = 0; places == SPEC_PLACES && i < out->n; i++)
		if (out->members[i].value->kind == JVALUE_OBJECT)
			set_target_type(a, out->members[i].value);
	return out;
}

/* --- behavior: the internal type as Go marshals it ----------------------------------------------
 */

static const char *const RULE_NAMES[][2] = {
    {"stabilizationWindowSeconds", "StabilizationWindowSeconds"},
    {"selectPolicy", "SelectPolicy"},
    {"policies", "Policies"},
    {"tolerance", "Tolerance"},
};
static const char *const POLICY_NAMES[][2] = {
    {"type", "Type"}, {"value", "Value"}, {"periodSeconds", "PeriodSeconds"}};
static const char *const BEHAVIOR_NAMES[][2] = {{"scaleUp", "ScaleUp"}, {"scaleDown", "ScaleDown"}};

/* Copies members under their other names; what is missing becomes null on the way to v1. */
static struct jvalue *rename_members(struct arena *a, const struct jvalue *in,
                                     const char *const names[][2], size_t n, int from)
{
	struct jvalue *out = jvalue_object(a);

	for (size_t i = 0; i < n; i++) {
		struct jvalue *v = jvalue_get(in, names[i][from]);

		if (v && v->kind != JVALUE_NULL)
			jvalue_set(a, out, names[i][!from], v);
		else if (from == 0)
			jvalue_set(a, out, names[i][1], jvalue_null(a));
	}
	return out;
}

static struct jvalue *rename_rules(struct arena *a, const struct jvalue *in, int from)
{
	struct jvalue *out = rename_members(a, in, RULE_NAMES, ARRAY_LEN(RULE_NAMES), from);
	struct jvalue *list = jvalue_get(out, RULE_NAMES[2][!from]);
	struct jvalue *renamed = jvalue_array(a);

	if (!jvalue_is(list, JVALUE_ARRAY))
		return out;
	for (size_t i = 0; i < list->n; i++)
		jvalue_append(a, renamed,
		              rename_members(a, jvalue_at(list, i), POLICY_NAMES,
		                             ARRAY_LEN(POLICY_NAMES), from));
	jvalue_set(a, out, RULE_NAMES[2][!from], renamed);
	return out;
}

static struct jvalue *rename_behavior(struct arena *a, const struct jvalue *in, int from)
{
	struct jvalue *out = rename_members(a, in, BEHAVIOR_NAMES, ARRAY_LEN(BEHAVIOR_NAMES), from);

	for (size_t i = 0; i < ARRAY_LEN(BEHAVIOR_NAMES); i++) {
		struct jvalue *rules = jvalue_get(out, BEHAVIOR_NAMES[i][!from]);

		if (jvalue_is(rules, JVALUE_OBJECT))
			jvalue_set(a, out, BEHAVIOR_NAMES[i][!from], rename_rules(a, rules, from));
	}
	return out;
}

/* --- annotations --------------------------------------------------------------------------------
 */

static MetaV1__ObjectMeta *copy_meta(const MetaV1__ObjectMeta *in, struct arena *a)
{
	MetaV1__ObjectMeta *out = arena_memdup(a, in, sizeof(*in));

	out->annotations =
	    arena_array(a, MetaV1__ObjectMeta__AnnotationsEntry *, in->n_annotations + 4);
	if (in->n_annotations)
		memcpy(out->annotations, in->annotations,
		       in->n_annotations * sizeof(*in->annotations));
	return out;
}

static void annotate(MetaV1__ObjectMeta *meta, struct arena *a, const char *key,
                     const struct jvalue *v)
{
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    arena_new(a, MetaV1__ObjectMeta__AnnotationsEntry);
	_cleanup_buf_ struct buf text = BUF_INIT;

	jvalue_write(v, &text);
	meta_v1__object_meta__annotations_entry__init(e);
	e->key = (char *)key;
	e->value = arena_strndup(a, text.data, text.len);
	meta->annotations[meta->n_annotations++] = e;
}

/* Takes the annotation out; its document, or NULL. */
static struct jvalue *take(MetaV1__ObjectMeta *meta, struct arena *a, const char *key)
{
	struct jvalue *v = NULL;

	for (size_t i = 0; i < meta->n_annotations; i++) {
		if (strcmp(meta->annotations[i]->key, key) != 0)
			continue;
		if (jvalue_parse(slice_str(meta->annotations[i]->value), a, NULL, &v, NULL) < 0)
			v = NULL;
		memmove(&meta->annotations[i], &meta->annotations[i + 1],
		        (meta->n_annotations - i - 1) * sizeof(*meta->annotations));
		meta->n_annotations--;
		break;
	}
	return v;
}

static struct jvalue *tree_of(const ProtobufCMessage *msg, struct arena *a)
{
	static const struct type_meta none = {"", ""};

	return json_encode_tree(schema_of(msg->descriptor), msg, &none, a);
}

/* --- v2 to v1 -----------------------------------------------------------------------------------
 */

static bool is_cpu(const AutoscalingV2__MetricSpec *m)
{
	return strcmp(m->type, "Resource") == 0 && m->resource &&
	       strcmp(m->resource->name, "cpu") == 0 &&
	       m->resource->target->has_average_utilization;
}

static void metrics_to_v1(const v2_t *in, v1_t *out, struct arena *a)
{
	struct jvalue *rest = jvalue_array(a);

	for (size_t i = 0; i < in->spec->n_metrics; i++) {
		const AutoscalingV2__MetricSpec *m = in->spec->metrics[i];

		if (is_cpu(m) && !out->spec->has_target_cpu_utilization_percentage) {
			out->spec->has_target_cpu_utilization_percentage = 1;
			out->spec->target_cpu_utilization_percentage =
			    m->resource->target->average_utilization;
			continue;
		}
		jvalue_append(a, rest, metric_to_v1(a, tree_of(&m->base, a), SPEC_PLACES));
	}
	if (rest->n)
		annotate(out->metadata, a, METRICS, rest);
}

static void status_to_v1(const v2_t *in, v1_t *out, struct arena *a)
{
	const AutoscalingV2__HorizontalPodAutoscalerStatus *st = in->status;
	struct jvalue *current = jvalue_array(a), *conditions = jvalue_array(a);

	out->status->has_observed_generation = st->has_observed_generation;
	out->status->observed_generation = st->observed_generation;
	out->status->last_scale_time = st->last_scale_time;
	out->status->current_replicas = st->current_replicas;
	out->status->desired_replicas = st->desired_replicas;
	for (size_t i = 0; i < st->n_current_metrics; i++) {
		struct jvalue *m = tree_of(&st->current_metrics[i]->base, a);
		int64_t percent =
		    jvalue_get_int(jvalue_path(m, "resource.current"), "averageUtilization", -1);

		jvalue_append(a, current, metric_to_v1(a, m, STATUS_PLACES));
		if (strcmp(jvalue_get_str(jvalue_get(m, "resource"), "name", ""), "cpu") == 0 &&
		    percent >= 0) {
			out->status->has_current_cpu_utilization_percentage = 1;
			out->status->current_cpu_utilization_percentage = (int32_t)percent;
		}
	}
	for (size_t i = 0; i < st->n_conditions; i++)
		jvalue_append(a, conditions, tree_of(&st->conditions[i]->base, a));
	if (current->n)
		annotate(out->metadata, a, CURRENT, current);
	if (conditions->n)
		annotate(out->metadata, a, CONDITIONS, conditions);
}

ProtobufCMessage *convert_hpa_to_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                    struct arena *a)
{
	const v2_t *in = (const v2_t *)msg;
	v1_t *out = (v1_t *)pb_new(to, a);

	out->metadata = copy_meta(in->metadata, a);
	out->spec->scale_target_ref->kind = in->spec->scale_target_ref->kind;
	out->spec->scale_target_ref->name = in->spec->scale_target_ref->name;
	out->spec->scale_target_ref->api_version = in->spec->scale_target_ref->api_version;
	out->spec->has_min_replicas = in->spec->has_min_replicas;
	out->spec->min_replicas = in->spec->min_replicas;
	out->spec->max_replicas = in->spec->max_replicas;
	metrics_to_v1(in, out, a);
	status_to_v1(in, out, a);
	if (in->spec->behavior)
		annotate(out->metadata, a, BEHAVIOR,
		         rename_behavior(a, tree_of(&in->spec->behavior->base, a), 0));
	return &out->base;
}

/* --- v1 to v2 -----------------------------------------------------------------------------------
 */

/* Elements of a list of documents as messages; what does not decode is left out. */
static size_t decode_all(const struct jvalue *list, const ProtobufCMessageDescriptor *desc,
                         const struct place *places, struct arena *a, ProtobufCMessage **ret)
{
	size_t n = 0;

	for (size_t i = 0; jvalue_is(list, JVALUE_ARRAY) && i < list->n; i++) {
		const struct jvalue *v = jvalue_at(list, i);

		if (places)
			v = metric_to_v2(a, v, places);
		if (json_decode_tree(schema_of(desc), v, a, NULL, &ret[n], NULL, NULL) == 0)
			n++;
	}
	return n;
}

static AutoscalingV2__MetricSpec *cpu_metric(int32_t percent, struct arena *a)
{
	AutoscalingV2__MetricSpec *m = (AutoscalingV2__MetricSpec *)pb_new(
	    schema_of(&autoscaling_v2__metric_spec__descriptor), a);

	m->type = (char *)"Resource";
	m->resource = (AutoscalingV2__ResourceMetricSource *)pb_new(
	    schema_of(&autoscaling_v2__resource_metric_source__descriptor), a);
	m->resource->name = (char *)"cpu";
	m->resource->target->type = (char *)"Utilization";
	m->resource->target->has_average_utilization = 1;
	m->resource->target->average_utilization = percent;
	return m;
}

static size_t list_length(const struct jvalue *v)
{
	return jvalue_is(v, JVALUE_ARRAY) ? v->n : 0;
}

static void metrics_to_v2(const v1_t *in, v2_t *out, struct arena *a)
{
	struct jvalue *rest = take(out->metadata, a, METRICS);
	AutoscalingV2__HorizontalPodAutoscalerSpec *spec = out->spec;

	spec->metrics = arena_array(a, AutoscalingV2__MetricSpec *, list_length(rest) + 1);
	spec->n_metrics = decode_all(rest, &autoscaling_v2__metric_spec__descriptor, SPEC_PLACES, a,
	                             (ProtobufCMessage **)spec->metrics);
	if (in->spec->has_target_cpu_utilization_percentage)
		spec->metrics[spec->n_metrics++] =
		    cpu_metric(in->spec->target_cpu_utilization_percentage, a);
}

static void status_to_v2(const v1_t *in, v2_t *out, struct arena *a)
{
	struct jvalue *current = take(out->metadata, a, CURRENT);
	struct jvalue *conditions = take(out->metadata, a, CONDITIONS);
	AutoscalingV2__HorizontalPodAutoscalerStatus *st = out->status;

	st->has_observed_generation = in->status->has_observed_generation;
	st->observed_generation = in->status->observed_generation;
	st->last_scale_time = in->status->last_scale_time;
	st->current_replicas = in->status->current_replicas;
	st->desired_replicas = in->status->desired_replicas;
	st->current_metrics = arena_array(a, AutoscalingV2__MetricStatus *, list_length(current));
	st->n_current_metrics =
	    decode_all(current, &autoscaling_v2__metric_status__descriptor, STATUS_PLACES, a,
	               (ProtobufCMessage **)st->current_metrics);
	st->conditions = arena_array(a, AutoscalingV2__HorizontalPodAutoscalerCondition *,
	                             list_length(conditions));
	st->n_conditions =
	    decode_all(conditions, &autoscaling_v2__horizontal_pod_autoscaler_condition__descriptor,
	               NULL, a, (ProtobufCMessage **)st->conditions);
}

ProtobufCMessage *convert_hpa_from_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                      struct arena *a)
{
	const v1_t *in = (const v1_t *)msg;
	v2_t *out = (v2_t *)pb_new(to, a);
	struct jvalue *behavior;
	ProtobufCMessage *b;

	out->metadata = copy_meta(in->metadata, a);
	out->spec->scale_target_ref->kind = in->spec->scale_target_ref->kind;
	out->spec->scale_target_ref->name = in->spec->scale_target_ref->name;
	out->spec->scale_target_ref->api_version = in->spec->scale_target_ref->api_version;
	out->spec->has_min_replicas = in->spec->has_min_replicas;
	out->spec->min_replicas = in->spec->min_replicas;
	out->spec->max_replicas = in->spec->max_replicas;
	metrics_to_v2(in, out, a);
	status_to_v2(in, out, a);
	behavior = take(out->metadata, a, BEHAVIOR);
	if (behavior &&
	    json_decode_tree(
	        schema_of(&autoscaling_v2__horizontal_pod_autoscaler_behavior__descriptor),
	        rename_behavior(a, behavior, 1), a, NULL, &b, NULL, NULL) == 0)
		out->spec->behavior = (AutoscalingV2__HorizontalPodAutoscalerBehavior *)b;
	return &out->base;
}
