/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: from bytes to an object, with upstream's words for what is wrong. */
#include "apiserver/endpoints/call.h"

#include <stdio.h>

enum { SUMMARY_BYTES = 30 };

static enum object_format format_of(enum media_type t)
{
	return t == MEDIA_PROTOBUF ? OBJECT_PROTOBUF : t == MEDIA_YAML ? OBJECT_YAML : OBJECT_JSON;
}

/* "7b226b..." as upstream shows the beginning of a body that it could not read. */
static const char *summary(struct arena *a, struct slice body)
{
	size_t n = MIN(body.len, (size_t)SUMMARY_BYTES);
	char *out = arena_alloc(a, n * 2 + 5);

	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", body.data[i]);
	snprintf(out + 2 * n, 5, "%s", body.len > n ? " ..." : "");
	return out;
}

static const struct status *unrecognized(struct call *c, const struct schema_message *schema,
                                         const char *why)
{
	return status_bad_request(c->a,
	                          "the object provided is unrecognized (must be of type %s): "
	                          "%s (%s)",
	                          schema->kind, why, summary(c->a, c->req->body));
}

static const char *group_version(struct arena *a, const struct schema_message *s)
{
	return s->group && s->group[0] ? arena_printf(a, "%s/%s", s->group, s->version)
	                               : s->version;
}

static const struct status *not_handled(struct call *c, const struct schema_message *schema,
                                        const struct type_meta *meta, const char *why)
{
	const char *slash = strchr(meta->api_version, '/');

	if (!meta->kind[0])
		return unrecognized(c, schema, why);
	return status_bad_request(c->a, "%s in version \"%s\" cannot be handled as a %s: %s",
	                          meta->kind, slash ? slash + 1 : meta->api_version, schema->kind,
	                          why);
}

/* The kind that the body says it is, against the one that the path wants. */
static const struct status *check_kind(struct call *c, const struct schema_message *schema,
                                       struct type_meta *meta)
{
	const char *want = group_version(c->a, schema), *slash;
	const char *group, *version;

	if (!meta->kind[0])
		meta->kind = schema->kind;
	if (!meta->api_version[0])
		meta->api_version = want;
	if (strcmp(meta->kind, schema->kind) == 0 && strcmp(meta->api_version, want) == 0)
		return NULL;
	slash = strchr(meta->api_version, '/');
	group = slash ? arena_strndup(c->a, meta->api_version, (size_t)(slash - meta->api_version))
	              : "";
	version = slash ? slash + 1 : meta->api_version;
	if (!schema_by_gvk(group, version, meta->kind))
		return not_handled(c, schema, meta,
		                   arena_printf(c->a,
		                                "no kind \"%s\" is registered for version "
		                                "\"%s\" in scheme "
		                                "\"pkg/api/legacyscheme/scheme.go:30\"",
		                                meta->kind, meta->api_version));
	if (strcmp(meta->api_version, want) != 0)
		return status_bad_request(c->a,
		                          "the API version in the data (%s) does not match the "
		                          "expected API version (%s)",
		                          meta->api_version, want);
	return not_handled(c, schema, meta,
	                   arena_printf(c->a, "converting (%s.%s) to (%s.%s): unknown conversion",
	                                version, meta->kind, version, schema->kind));
}

static const char *report_text(struct call *c, const struct json_report *report)
{
	char *all = arena_strdup(c->a, "");

	for (size_t i = 0; i < report->n; i++)
		all = arena_printf(c->a, "%s%s%s", all, i ? ", " : "", report->at[i]);
	return all;
}

const struct status *call_field_report(struct call *c, const struct schema_message *schema,
                                       const struct json_report *report)
{
	struct type_meta meta = {group_version(c->a, schema), schema->kind};

	if (!report->n || c->req->options.field_validation == FIELD_VALIDATION_IGNORE)
		return NULL;
	if (c->req->options.field_validation == FIELD_VALIDATION_STRICT)
		return not_handled(
		    c, schema, &meta,
		    arena_printf(c->a, "strict decoding error: %s", report_text(c, report)));
	for (size_t i = 0; i < report->n; i++)
		strategy_warn(&c->warnings, "%s", report->at[i]);
	return NULL;
}

const struct status *call_decode_body(struct call *c, const struct schema_message *schema,
                                      ProtobufCMessage **ret, struct type_meta *ret_meta)
{
	enum object_format format = format_of(c->req->body_type);
	struct json_report report = {.arena = c->a};
	struct err err = ERR_INIT;
	const struct status *s;

	if (object_type_meta(format, c->req->body, c->a, ret_meta, &err) < 0)
		return unrecognized(c, schema, err.text);
	s = check_kind(c, schema, ret_meta);
	if (s)
		return s;
	if (object_decode(format, schema, c->req->body, c->a,
	                  c->req->options.field_validation == FIELD_VALIDATION_IGNORE ? NULL
	                                                                              : &report,
	                  ret, NULL, &err) < 0)
		return not_handled(c, schema, ret_meta, err.text);
	return call_field_report(c, schema, &report);
}
