/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/request/status.h"
#include "common/codec/json_writer.h"
#include "proto/codec.h"
#include "proto/meta_v1.pb-c.h"
#include <stdio.h>

struct status *status_new(struct arena *a, int http_code, const char *reason, const char *fmt, ...)
{
	struct status *s = arena_new(a, struct status);
	va_list ap;

	s->code = http_code;
	s->reason = reason ? reason : "";
	for (int code = 0; !reason && code < ERR_CODE_COUNT; code++) {
		if (err_http_status(code) == http_code) {
			s->reason = err_reason(code);
			break;
		}
	}
	va_start(ap, fmt);
	s->message = arena_vprintf(a, fmt, ap);
	va_end(ap);
	status_details(s, NULL, NULL, NULL);
	s->has_details = false;
	return s;
}

struct status *status_of_err(struct arena *a, int code, const struct err *err)
{
	const char *text = err && err->text[0] ? err->text : err_name(code);

	return status_new(a, err_http_status(code), err_reason(code), "%s", text);
}

void status_details(struct status *s, const char *group, const char *kind, const char *name)
{
	s->has_details = true;
	s->details.group = group ? group : "";
	s->details.kind = kind ? kind : "";
	s->details.name = name ? name : "";
	if (!s->details.uid)
		s->details.uid = "";
}

/* "pods" or "deployments.apps" */
static const char *qualified(struct arena *a, const char *group, const char *resource)
{
	return group && *group ? arena_printf(a, "%s.%s", resource, group) : resource;
}

static struct status *with_details(struct status *s, const char *group, const char *kind,
                                   const char *name)
{
	status_details(s, group, kind, name);
	return s;
}

struct status *status_not_found(struct arena *a, const char *group, const char *resource,
                                const char *name)
{
	return with_details(status_new(a, 404, "NotFound", "%s \"%s\" not found",
	                               qualified(a, group, resource), name),
	                    group, resource, name);
}

struct status *status_already_exists(struct arena *a, const char *group, const char *resource,
                                     const char *name)
{
	return with_details(status_new(a, 409, "AlreadyExists", "%s \"%s\" already exists",
	                               qualified(a, group, resource), name),
	                    group, resource, name);
}

struct status *status_conflict(struct arena *a, const char *group, const char *resource,
                               const char *name, const char *why)
{
	return with_details(status_new(a, 409, "Conflict",
	                               "Operation cannot be fulfilled on %s \"%s\": %s",
	                               qualified(a, group, resource), name, why),
	                    group, resource, name);
}

struct status *status_forbidden(struct arena *a, const char *group, const char *resource,
                                const char *name, const char *why)
{
	const char *what = qualified(a, group, resource);
	struct status *s;

	if (!*resource)
		s = status_new(a, 403, "Forbidden", "forbidden: %s", why);
	else if (!*name)
		s = status_new(a, 403, "Forbidden", "%s is forbidden: %s", what, why);
	else
		s = status_new(a, 403, "Forbidden", "%s \"%s\" is forbidden: %s", what, name, why);
	return with_details(s, group, resource, name);
}

struct status *status_unauthorized(struct arena *a)
{
	return status_new(a, 401, "Unauthorized", "Unauthorized");
}

struct status *status_bad_request(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return status_new(a, 400, "BadRequest", "%s", text);
}

struct status *status_internal(struct arena *a, const char *why)
{
	struct status *s = status_new(a, 500, "InternalError", "Internal error occurred: %s", why);
	struct status_cause *cause = arena_new(a, struct status_cause);

	*cause = (struct status_cause){.reason = "", .message = why, .field = ""};
	status_details(s, NULL, NULL, NULL);
	s->details.causes = cause;
	s->details.n_causes = 1;
	return s;
}

struct status *status_invalid(struct arena *a, const char *group, const char *kind,
                              const char *name, const char *message,
                              const struct status_cause *causes, size_t n_causes)
{
	struct status *s = status_new(a, 422, "Invalid", "%s", message);

	status_details(s, group, kind, name);
	s->details.causes = causes;
	s->details.n_causes = n_causes;
	return s;
}

struct status *status_method_not_supported(struct arena *a, const char *group, const char *resource,
                                           const char *verb)
{
	return with_details(status_new(a, 405, "MethodNotAllowed",
	                               "%s is not supported on resources of kind \"%s\"", verb,
	                               qualified(a, group, resource)),
	                    group, resource, NULL);
}

struct status *status_method_not_allowed(struct arena *a)
{
	return with_details(
	    status_new(a, 405, "MethodNotAllowed",
	               "the server does not allow this method on the requested resource"),
	    NULL, NULL, NULL);
}

struct status *status_no_resource(struct arena *a)
{
	return with_details(
	    status_new(a, 404, "NotFound", "the server could not find the requested resource"),
	    NULL, NULL, NULL);
}

struct status *status_not_acceptable(struct arena *a, const char *accepted)
{
	return status_new(a, 406, "NotAcceptable",
	                  "only the following media types are accepted: %s", accepted);
}

struct status *status_no_table(struct arena *a)
{
	return status_not_acceptable(
	    a, "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

struct status *status_unsupported_media(struct arena *a, const char *accepted)
{
	return status_new(
	    a, 415, "UnsupportedMediaType",
	    "the body of the request was in an unknown format - accepted media types include: %s",
	    accepted);
}

struct status *status_patch_media(struct arena *a, const char *accepted)
{
	return with_details(
	    status_new(a, 415, "UnsupportedMediaType", "415: Unsupported Media Type"), NULL, NULL,
	    NULL);
}

struct status *status_too_many_requests(struct arena *a, const char *message, int retry_after_s)
{
	struct status *s = status_new(a, 429, "TooManyRequests", "%s", message);

	status_details(s, NULL, NULL, NULL);
	s->details.retry_after_seconds = retry_after_s;
	return s;
}

struct status *status_too_large(struct arena *a, const char *message)
{
	return status_new(a, 413, "RequestEntityTooLarge", "Request entity too large: %s", message);
}

struct status *status_expired(struct arena *a, const char *message)
{
	return status_new(a, 410, "Expired", "%s", message);
}

struct status *status_timeout(struct arena *a, const char *message, int retry_after_s)
{
	struct status *s = status_new(a, 504, "Timeout", "Timeout: %s", message);

	status_details(s, NULL, NULL, NULL);
	s->details.retry_after_seconds = retry_after_s;
	return s;
}

struct status *status_server_timeout(struct arena *a, const char *group, const char *resource,
                                     const char *operation, int retry_after_s)
{
	struct status *s = status_new(
	    a, 500, "ServerTimeout",
	    "The %s operation against %s could not be completed at this time, please try again.",
	    operation, qualified(a, group, resource));

	status_details(s, group, resource, operation);
	s->details.retry_after_seconds = retry_after_s;
	return s;
}

struct status *status_unavailable(struct arena *a, const char *message)
{
	return status_new(a, 503, "ServiceUnavailable", "%s", message);
}

struct status *status_deleted(struct arena *a, const char *group, const char *resource,
                              const char *name, const char *uid)
{
	struct status *s = status_new(a, 200, "", "%s", "");

	s->success = true;
	status_details(s, group, resource, name);
	s->details.uid = uid;
	return s;
}

/* --- encoding -------------------------------------------------------------------------------- */

static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static MetaV1__StatusDetails *details_msg(const struct status *s, struct arena *a)
{
	MetaV1__StatusDetails *d = arena_new(a, MetaV1__StatusDetails);

	meta_v1__status_details__init(d);
	d->name = text(s->details.name);
	d->group = text(s->details.group);
	d->kind = text(s->details.kind);
	d->uid = text(s->details.uid);
	d->has_retry_after_seconds = 1;
	d->retry_after_seconds = s->details.retry_after_seconds;
	d->causes = arena_array(a, MetaV1__StatusCause *, s->details.n_causes);
	for (size_t i = 0; i < s->details.n_causes; i++) {
		MetaV1__StatusCause *c = arena_new(a, MetaV1__StatusCause);
		meta_v1__status_cause__init(c);
		c->reason = text(s->details.causes[i].reason);
		c->message = text(s->details.causes[i].message);
		c->field = text(s->details.causes[i].field);
		d->causes[d->n_causes++] = c;
	}
	return d;
}

static void fill_msg(const struct status *s, struct arena *a, MetaV1__Status *m)
{
	meta_v1__status__init(m);
	m->metadata = arena_new(a, MetaV1__ListMeta);
	meta_v1__list_meta__init(m->metadata);
	m->metadata->continue_ = text(s->continue_token);
	m->status = text(s->success ? "Success" : "Failure");
	m->message = text(s->message);
	m->reason = text(s->reason);
	m->has_code = 1;
	m->code = s->success && s->code == 200 ? 0 : s->code;
	if (s->has_details)
		m->details = details_msg(s, a);
}

void status_encode(const struct status *s, enum media_type format, bool pretty, struct buf *out)
{
	_cleanup_arena_ struct arena a;
	_cleanup_buf_ struct buf flat = BUF_INIT;
	const struct type_meta meta = {.api_version = "v1", .kind = "Status"};
	MetaV1__Status m;

	arena_init(&a);
	fill_msg(s, &a, &m);
	const struct schema_message *schema = schema_of(&meta_v1__status__descriptor);
	if (format == MEDIA_PROTOBUF) {
		object_encode(OBJECT_PROTOBUF, schema, &m.base, &meta, out);
	} else if (format == MEDIA_YAML) {
		object_encode(OBJECT_YAML, schema, &m.base, &meta, out);
	} else if (pretty) {
		object_encode(OBJECT_JSON, schema, &m.base, &meta, &flat);
		json_write_indented(out, buf_view(&flat), "  ");
	} else {
		object_encode(OBJECT_JSON, schema, &m.base, &meta, out);
		buf_byte(out, '\n');
	}
}

void status_send(const struct status *s, const struct request *req, struct response_sink *sink)
{
	_cleanup_buf_ struct buf body = BUF_INIT;
	enum media_type format = req->accept.format;
	char seconds[16];

	if (format != MEDIA_YAML && format != MEDIA_PROTOBUF)
		format = MEDIA_JSON;
	if (s->details.retry_after_seconds > 0 && !s->success) {
		snprintf(seconds, sizeof(seconds), "%d", s->details.retry_after_seconds);
		response_header(sink, "Retry-After", seconds);
	}
	status_encode(s, format, req->accept.pretty, &body);
	response_reply(sink, s->code, media_type_name(format), buf_view(&body));
}
