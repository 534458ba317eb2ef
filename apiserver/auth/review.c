/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/review.h"
#include "common/codec/json_writer.h"
#include "proto/codec.h"
#include "proto/meta_v1.pb-c.h"

static enum object_format format_of(enum media_type t)
{
	return t == MEDIA_PROTOBUF ? OBJECT_PROTOBUF : t == MEDIA_YAML ? OBJECT_YAML : OBJECT_JSON;
}

static const char *group_version(struct arena *a, const struct schema_message *s)
{
	return s->group && s->group[0] ? arena_printf(a, "%s/%s", s->group, s->version)
	                               : s->version;
}

static const struct status *wrong_version(const struct request *req, const struct type_meta *meta,
                                          const char *want)
{
	return status_bad_request(
	    req->arena,
	    "the API version in the data (%s) does not match the expected API "
	    "version (%s)",
	    meta->api_version, want);
}

const struct status *review_decode(const struct request *req, const struct schema_message *schema,
                                   struct object *ret)
{
	const char *want = group_version(req->arena, schema);
	struct type_meta meta;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	if (object_decode(format_of(req->body_type), schema, req->body, req->arena, NULL, &msg,
	                  &meta, &err) < 0)
		return status_bad_request(req->arena,
		                          "%s in version \"%s\" cannot be handled as a %s: %s",
		                          schema->kind, schema->version, schema->kind, err.text);
	if (meta.api_version[0] && strcmp(meta.api_version, want) != 0)
		return wrong_version(req, &meta, want);
	if (meta.kind[0] && strcmp(meta.kind, schema->kind) != 0)
		return status_bad_request(req->arena,
		                          "%s in version \"%s\" cannot be handled as a %s",
		                          meta.kind, schema->version, schema->kind);
	*ret = object_of(req->info, schema, msg);
	return NULL;
}

const struct status *review_namespace(const struct request *req, struct object *obj)
{
	if (!obj->meta->namespace_[0])
		obj->meta->namespace_ = (char *)req->ns;
	if (strcmp(obj->meta->namespace_, req->ns) != 0)
		return status_bad_request(
		    req->arena, "the namespace of the provided object does not match the namespace "
		                "sent on the request");
	return NULL;
}

const struct status *review_manage(struct pipeline *p, struct request *req, struct object *obj)
{
	struct pipeline_hooks *h = pipeline_hooks(p);
	struct err err = ERR_INIT;
	int r = h->manage_fields ? h->manage_fields(h->fields_arg, req, obj, NULL, req->arena, &err)
	                         : 0;

	if (r < 0)
		return status_of_err(req->arena, r, &err);
	/* The kind of a subresource may be of another group than its resource. */
	for (size_t i = 0; i < obj->meta->n_managed_fields; i++)
		obj->meta->managed_fields[i]->api_version =
		    (char *)group_version(req->arena, obj->schema);
	return NULL;
}

void review_reply(const struct request *req, struct response_sink *sink, const struct object *obj)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_buf_ struct buf pretty = BUF_INIT;
	enum media_type as = req->accept.format;

	object_encode(format_of(as), obj->schema, obj->msg, NULL, &out);
	if (as == MEDIA_JSON && req->accept.pretty)
		json_write_indented(&pretty, buf_view(&out), "  ");
	else if (as == MEDIA_JSON)
		buf_byte(&out, '\n');
	response_reply(sink, 201, media_type_name(as), buf_view(pretty.len ? &pretty : &out));
}

const struct status *review_invalid(const struct request *req, const char *group, const char *kind,
                                    const struct field_errors *errs)
{
	struct status_cause *causes = arena_array(req->arena, struct status_cause, errs->n);
	_cleanup_buf_ struct buf text = BUF_INIT;

	for (size_t i = 0; i < errs->n; i++) {
		_cleanup_buf_ struct buf body = BUF_INIT;

		field_error_body(&errs->at[i], &body);
		causes[i] = (struct status_cause){
		    .reason = field_error_reason(errs->at[i].type),
		    .message = arena_strndup(req->arena, body.data, body.len),
		    .field = errs->at[i].field,
		};
	}
	field_errors_message(errs, arena_printf(req->arena, "%s.%s", kind, group), "", &text);
	return status_invalid(req->arena, group, kind, "",
	                      arena_strndup(req->arena, text.data, text.len), causes, errs->n);
}

void time_set(MetaV1__Time *t, int64_t sec)
{
	t->has_seconds = true;
	t->seconds = sec;
	t->has_nanos = true;
	t->nanos = 0;
}
