/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the core group and of events.k8s.io: one object, two spellings. */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/row.h"

enum { MESSAGE_MAX = 1024, REASON_MAX = 128, INSTANCE_MAX = 128 };

/* What the two versions have in common, with the names their fields go by. */
struct event_view {
	const char *ns;
	const CoreV1__ObjectReference *about;
	const MetaV1__MicroTime *event_time;
	const char *controller, *instance, *action, *reason, *message, *type;
	const char *about_field, *controller_field, *message_field;
	bool has_series;
	int32_t series_count;
	const MetaV1__MicroTime *series_time;
};

static bool has_time(const MetaV1__MicroTime *t)
{
	return t && (t->seconds || t->nanos);
}

static void check_namespace(errs_t errs, const struct event_view *e)
{
	path_t p = FIELD(FIELD(NULL, e->about_field), "namespace");
	const char *ns = e->about->namespace_;

	if (!*ns ? (*e->ns && strcmp(e->ns, "default")) : strcmp(e->ns, ns))
		field_invalid(errs, p, ns, "does not match event.namespace");
}

/* Rules of events that carry eventTime. */
static void check_new(errs_t errs, const struct event_view *e)
{
	path_t instance = FIELD(NULL, "reportingInstance");

	if (!*e->controller)
		field_required(errs, FIELD(NULL, e->controller_field), "");
	else
		check_name(errs, FIELD(NULL, e->controller_field), e->controller, names_qualified);
	if (!*e->instance)
		field_required(errs, instance, "");
	else if (strlen(e->instance) > INSTANCE_MAX)
		field_invalid(errs, instance, "", "can have at most 128 characters");
	if (!*e->action)
		field_required(errs, FIELD(NULL, "action"), "");
	else if (strlen(e->action) > REASON_MAX)
		field_invalid(errs, FIELD(NULL, "action"), "", "can have at most 128 characters");
	if (!*e->reason)
		field_required(errs, FIELD(NULL, "reason"), "");
	else if (strlen(e->reason) > REASON_MAX)
		field_invalid(errs, FIELD(NULL, "reason"), "", "can have at most 128 characters");
	if (strlen(e->message) > MESSAGE_MAX)
		field_invalid(errs, FIELD(NULL, e->message_field), "",
		              "can have at most 1024 characters");
}

static void check_event(errs_t errs, const struct event_view *e)
{
	check_namespace(errs, e);
	if (has_time(e->event_time))
		check_new(errs, e);
}

static struct event_view core_view(const CoreV1__Event *e)
{
	return (struct event_view){
	    .ns = e->metadata->namespace_,
	    .about = e->involved_object,
	    .event_time = e->event_time,
	    .controller = e->reporting_component,
	    .instance = e->reporting_instance,
	    .action = e->action,
	    .reason = e->reason,
	    .message = e->message,
	    .about_field = "involvedObject",
	    .controller_field = "reportingController",
	    .message_field = "message",
	};
}

static void core_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	struct event_view e = core_view(OBJECT_MSG(obj, CoreV1__Event));

	check_event(errs, &e);
}

static void group_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const EventsV1__Event *e = OBJECT_MSG(obj, EventsV1__Event);
	struct event_view view = {
	    .ns = e->metadata->namespace_,
	    .about = e->regarding,
	    .event_time = e->event_time,
	    .controller = e->reporting_controller,
	    .instance = e->reporting_instance,
	    .action = e->action,
	    .reason = e->reason,
	    .message = e->note,
	    .about_field = "regarding",
	    .controller_field = "reportingController",
	    .message_field = "note",
	};

	check_event(errs, &view);
}

static void check_series(errs_t errs, const EventsV1__EventSeries *s)
{
	if (!s)
		return;
	if (s->count < 2)
		field_invalid(errs, FIELD(NULL, "series.count"), "", "should be at least 2");
	if (!has_time(s->last_observed_time))
		field_required(errs, FIELD(NULL, "series.lastObservedTime"), "");
}

static void group_create(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const EventsV1__Event *e = OBJECT_MSG(obj, EventsV1__Event);
	static const char unset[] = "needs to be unset";

	check_series(errs, e->series);
	if (!has_time(e->event_time))
		field_required(errs, FIELD(NULL, "eventTime"), "");
	if (!list_has(LIST("Normal", "Warning"), e->type))
		field_add(errs, FIELD_INVALID, FIELD(NULL, "type"), "\"\"", "has invalid value: %s",
		          e->type);
	if (e->deprecated_first_timestamp &&
	    (e->deprecated_first_timestamp->seconds || e->deprecated_first_timestamp->nanos))
		field_invalid(errs, FIELD(NULL, "firstTimestamp"), "", unset);
	if (e->deprecated_last_timestamp &&
	    (e->deprecated_last_timestamp->seconds || e->deprecated_last_timestamp->nanos))
		field_invalid(errs, FIELD(NULL, "lastTimestamp"), "", unset);
	if (e->deprecated_count)
		field_invalid(errs, FIELD(NULL, "count"), "", unset);
	if (*e->deprecated_source->component || *e->deprecated_source->host)
		field_invalid(errs, FIELD(NULL, "source"), "", unset);
}

/* Through events.k8s.io only the series moves on. */
static void group_update(const struct strategy_ctx *ctx, const struct object *obj,
                         const struct object *old_obj, errs_t errs)
{
	const EventsV1__Event *e = OBJECT_MSG(obj, EventsV1__Event);
	const EventsV1__Event *old = OBJECT_MSG(old_obj, EventsV1__Event);

	check_series(errs, e->series);
	check_immutable_str(errs, FIELD(NULL, "reason"), e->reason, old->reason);
	check_immutable_str(errs, FIELD(NULL, "action"), e->action, old->action);
	check_immutable_str(errs, FIELD(NULL, "note"), e->note, old->note);
	check_immutable_str(errs, FIELD(NULL, "type"), e->type, old->type);
	check_immutable_str(errs, FIELD(NULL, "reportingController"), e->reporting_controller,
	                    old->reporting_controller);
	check_immutable_str(errs, FIELD(NULL, "reportingInstance"), e->reporting_instance,
	                    old->reporting_instance);
	check_immutable_msg(errs, FIELD(NULL, "regarding"), e->regarding, old->regarding);
	check_immutable_msg(errs, FIELD(NULL, "eventTime"), e->event_time, old->event_time);
}

static const char *const fields[] = {"involvedObject.kind",
                                     "involvedObject.namespace",
                                     "involvedObject.name",
                                     "involvedObject.uid",
                                     "involvedObject.apiVersion",
                                     "involvedObject.resourceVersion",
                                     "involvedObject.fieldPath",
                                     "reason",
                                     "reportingComponent",
                                     "source",
                                     "type",
                                     NULL};
static const char *const group_fields[] = {"regarding.kind",
                                           "regarding.namespace",
                                           "regarding.name",
                                           "regarding.uid",
                                           "regarding.apiVersion",
                                           "regarding.resourceVersion",
                                           "regarding.fieldPath",
                                           "reason",
                                           "reportingController",
                                           "source",
                                           "type",
                                           NULL};

static void reference_values(const CoreV1__ObjectReference *r, const char **ret)
{
	ret[0] = r->kind;
	ret[1] = r->namespace_;
	ret[2] = r->name;
	ret[3] = r->uid;
	ret[4] = r->api_version;
	ret[5] = r->resource_version;
	ret[6] = r->field_path;
}

static void core_fields(const struct object *obj, struct arena *a, const char **ret)
{
	const CoreV1__Event *e = OBJECT_MSG(obj, CoreV1__Event);

	reference_values(e->involved_object, ret);
	ret[7] = e->reason;
	ret[8] = e->reporting_component;
	ret[9] = *e->source->component ? e->source->component : e->reporting_component;
	ret[10] = e->type;
}

static void group_field_values(const struct object *obj, struct arena *a, const char **ret)
{
	const EventsV1__Event *e = OBJECT_MSG(obj, EventsV1__Event);

	reference_values(e->regarding, ret);
	ret[7] = e->reason;
	ret[8] = e->reporting_controller;
	ret[9] = *e->deprecated_source->component ? e->deprecated_source->component
	                                          : e->reporting_controller;
	ret[10] = e->type;
}

/* What a row shows of either version. */
struct event_row {
	const MetaV1__Time *first, *last;
	const MetaV1__MicroTime *time, *series_time;
	int32_t count, series_count;
	const CoreV1__ObjectReference *about;
	const char *type, *reason, *component, *host, *message;
};

static const char *trim(struct arena *a, const char *s)
{
	size_t n;

	while (*s && strchr(" \t\n\r", *s))
		s++;
	n = strlen(s);
	while (n && strchr(" \t\n\r", s[n - 1]))
		n--;
	return arena_strndup(a, s, n);
}

static const char *lower(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);

	for (char *c = copy; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	return copy;
}

static const char *since(const struct strategy_ctx *ctx, const MetaV1__Time *t)
{
	return t && (t->seconds || t->nanos) ? human_since(ctx, t->seconds) : "<unknown>";
}

static void write_row(const struct strategy_ctx *ctx, const struct object *obj,
                      const struct event_row *e, struct table_row *r)
{
	struct arena *a = ctx->arena;
	const char *first = since(ctx, e->first), *last = since(ctx, e->last);
	const char *target =
	    *e->about->name ? arena_printf(a, "%s/%s", lower(a, e->about->kind), e->about->name)
	                    : lower(a, e->about->kind);

	if ((!e->first || !e->first->seconds) && has_time(e->time))
		first = human_since(ctx, e->time->seconds);
	if (!e->last || !e->last->seconds)
		last = first;
	if (has_time(e->series_time))
		last = human_since(ctx, e->series_time->seconds);
	row_str(r, last);
	row_str(r, e->type);
	row_str(r, e->reason);
	row_str(r, target);
	row_str(r, e->about->field_path);
	row_str(r, *e->host ? arena_printf(a, "%s, %s", e->component, e->host) : e->component);
	row_str(r, trim(a, e->message));
	row_str(r, first);
	row_int(r, e->series_time ? e->series_count : e->count ? e->count : 1);
	row_name(r, obj);
}

static void core_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__Event *e = OBJECT_MSG(obj, CoreV1__Event);
	struct event_row row = {
	    .first = e->first_timestamp,
	    .last = e->last_timestamp,
	    .time = e->event_time,
	    .series_time = e->series ? e->series->last_observed_time : NULL,
	    .count = e->count,
	    .series_count = e->series ? e->series->count : 0,
	    .about = e->involved_object,
	    .type = e->type,
	    .reason = e->reason,
	    .component = *e->source->component ? e->source->component : e->reporting_component,
	    .host = *e->source->component ? e->source->host : e->reporting_instance,
	    .message = e->message,
	};

	write_row(ctx, obj, &row, r);
}

static void group_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const EventsV1__Event *e = OBJECT_MSG(obj, EventsV1__Event);
	const CoreV1__EventSource *s = e->deprecated_source;
	struct event_row row = {
	    .first = e->deprecated_first_timestamp,
	    .last = e->deprecated_last_timestamp,
	    .time = e->event_time,
	    .series_time = e->series ? e->series->last_observed_time : NULL,
	    .count = e->deprecated_count,
	    .series_count = e->series ? e->series->count : 0,
	    .about = e->regarding,
	    .type = e->type,
	    .reason = e->reason,
	    .component = *s->component ? s->component : e->reporting_controller,
	    .host = *s->component ? s->host : e->reporting_instance,
	    .message = e->note,
	};

	write_row(ctx, obj, &row, r);
}

const struct strategy event_strategy = {
    .kind = "Event",
    .validate = core_validate,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .field_names = fields,
    .field_values = core_fields,
    .field_error_fmt = "field label not supported: %s",
    .table_row = core_row,
};

const struct strategy events_event_strategy = {
    .kind = "Event",
    .validate = group_validate,
    .validate_create = group_create,
    .validate_update = group_update,
    .allow_create_on_update = true,
    .allow_unconditional_update = true,
    .field_names = group_fields,
    .stored_field_names = fields,
    .field_values = group_field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = group_row,
};
