/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/convert.h"

#include "proto/autoscaling_v1.pb-c.h"
#include "proto/autoscaling_v2.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/events_v1.pb-c.h"
#include "proto/pb_decode.h"
#include "proto/schema.h"

/* --- Event: the same facts under other names -------------------------------------------------- */

static ProtobufCMessage *event_to_events(const ProtobufCMessage *msg,
                                         const struct schema_message *to, struct arena *a)
{
	const CoreV1__Event *in = (const CoreV1__Event *)msg;
	EventsV1__Event *out = (EventsV1__Event *)pb_new(to, a);

	out->metadata = in->metadata;
	out->event_time = in->event_time;
	/* The two series have one layout; only their descriptors differ. */
	if (in->series) {
		out->series = arena_new(a, EventsV1__EventSeries);
		events_v1__event_series__init(out->series);
		out->series->has_count = in->series->has_count;
		out->series->count = in->series->count;
		out->series->last_observed_time = in->series->last_observed_time;
	}
	out->reporting_controller = in->reporting_component;
	out->reporting_instance = in->reporting_instance;
	out->action = in->action;
	out->reason = in->reason;
	out->regarding = in->involved_object;
	out->related = in->related;
	out->note = in->message;
	out->type = in->type;
	out->deprecated_source = in->source;
	out->deprecated_first_timestamp = in->first_timestamp;
	out->deprecated_last_timestamp = in->last_timestamp;
	out->has_deprecated_count = in->has_count;
	out->deprecated_count = in->count;
	return &out->base;
}

static ProtobufCMessage *event_from_events(const ProtobufCMessage *msg,
                                           const struct schema_message *to, struct arena *a)
{
	const EventsV1__Event *in = (const EventsV1__Event *)msg;
	CoreV1__Event *out = (CoreV1__Event *)pb_new(to, a);

	out->metadata = in->metadata;
	out->event_time = in->event_time;
	if (in->series) {
		out->series = arena_new(a, CoreV1__EventSeries);
		core_v1__event_series__init(out->series);
		out->series->has_count = in->series->has_count;
		out->series->count = in->series->count;
		out->series->last_observed_time = in->series->last_observed_time;
	}
	out->reporting_component = in->reporting_controller;
	out->reporting_instance = in->reporting_instance;
	out->action = in->action;
	out->reason = in->reason;
	out->involved_object = in->regarding;
	out->related = in->related;
	out->message = in->note;
	out->type = in->type;
	out->source = in->deprecated_source;
	out->first_timestamp = in->deprecated_first_timestamp;
	out->last_timestamp = in->deprecated_last_timestamp;
	out->has_count = in->has_deprecated_count;
	out->count = in->deprecated_count;
	return &out->base;
}

/* --- HorizontalPodAutoscaler ------------------------------------------------------------------ */

/* The metric that v1 has a field for: cpu utilization of the pods. */
static bool is_cpu_utilization(const AutoscalingV2__MetricSpec *m)
{
	return strcmp(m->type, "Resource") == 0 && m->resource &&
	       strcmp(m->resource->name, "cpu") == 0 &&
	       m->resource->target->has_average_utilization;
}

static void spec_to_v1(const AutoscalingV2__HorizontalPodAutoscalerSpec *in,
                       AutoscalingV1__HorizontalPodAutoscalerSpec *out)
{
	out->scale_target_ref->kind = in->scale_target_ref->kind;
	out->scale_target_ref->name = in->scale_target_ref->name;
	out->scale_target_ref->api_version = in->scale_target_ref->api_version;
	out->has_min_replicas = in->has_min_replicas;
	out->min_replicas = in->min_replicas;
	out->max_replicas = in->max_replicas;
	for (size_t i = 0; i < in->n_metrics && !out->has_target_cpu_utilization_percentage; i++) {
		if (!is_cpu_utilization(in->metrics[i]))
			continue;
		out->has_target_cpu_utilization_percentage = 1;
		out->target_cpu_utilization_percentage =
		    in->metrics[i]->resource->target->average_utilization;
	}
}

static void status_to_v1(const AutoscalingV2__HorizontalPodAutoscalerStatus *in,
                         AutoscalingV1__HorizontalPodAutoscalerStatus *out)
{
	out->has_observed_generation = in->has_observed_generation;
	out->observed_generation = in->observed_generation;
	out->last_scale_time = in->last_scale_time;
	out->current_replicas = in->current_replicas;
	out->desired_replicas = in->desired_replicas;
}

static ProtobufCMessage *hpa_to_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                   struct arena *a)
{
	const AutoscalingV2__HorizontalPodAutoscaler *in =
	    (const AutoscalingV2__HorizontalPodAutoscaler *)msg;
	AutoscalingV1__HorizontalPodAutoscaler *out =
	    (AutoscalingV1__HorizontalPodAutoscaler *)pb_new(to, a);

	out->metadata = in->metadata;
	spec_to_v1(in->spec, out->spec);
	status_to_v1(in->status, out->status);
	return &out->base;
}

static void add_cpu_metric(AutoscalingV2__HorizontalPodAutoscalerSpec *spec, int32_t percent,
                           struct arena *a)
{
	AutoscalingV2__MetricSpec *m = arena_new(a, AutoscalingV2__MetricSpec);

	autoscaling_v2__metric_spec__init(m);
	m->type = (char *)"Resource";
	m->resource = (AutoscalingV2__ResourceMetricSource *)pb_new(
	    schema_of(&autoscaling_v2__resource_metric_source__descriptor), a);
	m->resource->name = (char *)"cpu";
	m->resource->target->type = (char *)"Utilization";
	m->resource->target->has_average_utilization = 1;
	m->resource->target->average_utilization = percent;
	spec->metrics = arena_array(a, AutoscalingV2__MetricSpec *, 1);
	spec->metrics[0] = m;
	spec->n_metrics = 1;
}

static ProtobufCMessage *hpa_from_v1(const ProtobufCMessage *msg, const struct schema_message *to,
                                     struct arena *a)
{
	const AutoscalingV1__HorizontalPodAutoscaler *in =
	    (const AutoscalingV1__HorizontalPodAutoscaler *)msg;
	AutoscalingV2__HorizontalPodAutoscaler *out =
	    (AutoscalingV2__HorizontalPodAutoscaler *)pb_new(to, a);

	out->metadata = in->metadata;
	out->spec->scale_target_ref->kind = in->spec->scale_target_ref->kind;
	out->spec->scale_target_ref->name = in->spec->scale_target_ref->name;
	out->spec->scale_target_ref->api_version = in->spec->scale_target_ref->api_version;
	out->spec->has_min_replicas = in->spec->has_min_replicas;
	out->spec->min_replicas = in->spec->min_replicas;
	out->spec->max_replicas = in->spec->max_replicas;
	if (in->spec->has_target_cpu_utilization_percentage)
		add_cpu_metric(out->spec, in->spec->target_cpu_utilization_percentage, a);
	out->status->has_observed_generation = in->status->has_observed_generation;
	out->status->observed_generation = in->status->observed_generation;
	out->status->last_scale_time = in->status->last_scale_time;
	out->status->current_replicas = in->status->current_replicas;
	out->status->desired_replicas = in->status->desired_replicas;
	return &out->base;
}

/* --------------------------------------------------------------------------------------------- */

struct conversion {
	const ProtobufCMessageDescriptor *from, *to;
	ProtobufCMessage *(*fn)(const ProtobufCMessage *msg, const struct schema_message *to,
	                        struct arena *a);
};

static const struct conversion conversions[] = {
    {&core_v1__event__descriptor, &events_v1__event__descriptor, event_to_events},
    {&events_v1__event__descriptor, &core_v1__event__descriptor, event_from_events},
    {&autoscaling_v2__horizontal_pod_autoscaler__descriptor,
     &autoscaling_v1__horizontal_pod_autoscaler__descriptor, hpa_to_v1},
    {&autoscaling_v1__horizontal_pod_autoscaler__descriptor,
     &autoscaling_v2__horizontal_pod_autoscaler__descriptor, hpa_from_v1},
};

ProtobufCMessage *convert_message(const struct schema_message *from,
                                  const struct schema_message *to, const ProtobufCMessage *msg,
                                  struct arena *a)
{
	if (from == to)
		return (ProtobufCMessage *)msg;
	for (size_t i = 0; i < sizeof(conversions) / sizeof(conversions[0]); i++)
		if (conversions[i].from == from->desc && conversions[i].to == to->desc)
			return conversions[i].fn(msg, to, a);
	return NULL;
}
