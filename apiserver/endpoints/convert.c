/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/convert.h"
#include "apiserver/endpoints/convert_hpa.h"

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
     &autoscaling_v1__horizontal_pod_autoscaler__descriptor, convert_hpa_to_v1},
    {&autoscaling_v1__horizontal_pod_autoscaler__descriptor,
     &autoscaling_v2__horizontal_pod_autoscaler__descriptor, convert_hpa_from_v1},
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
