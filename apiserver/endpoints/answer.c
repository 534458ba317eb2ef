/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: one object in the form that the client accepts, or a Status. */
#include "apiserver/endpoints/call.h"

#include "common/codec/json_writer.h"
#include "common/codec/yaml.h"
#include "proto/json_encode.h"
#include "proto/pb_encode.h"

void call_flush_warnings(struct call *c)
{
	for (size_t i = 0; i < c->warnings.n; i++)
		response_warning(c->sink, c->warnings.at[i]);
	c->warnings.n = 0;
}

void call_refuse(struct call *c, const struct status *s)
{
	call_flush_warnings(c);
	status_send(s, c->req, c->sink);
}

const struct status *call_store_status(struct call *c, int code, const struct err *err)
{
	const char *text = err ? err->text : err_name(code);
	struct status *s;

	switch (-code) {
	case ERR_TIMEOUT:
		return status_timeout(c->a, text, 0);
	case ERR_EXPIRED:
		return status_expired(c->a, text);
	case ERR_TOO_LARGE:
		return status_too_large(c->a, text);
	default:
		/* What the store's client says goes out as upstream passes it on: 500, no reason.
		 */
		s = status_new(c->a, 500, "", "%s", text);
		return s;
	}
}

void call_refuse_err(struct call *c, int code, const struct err *err)
{
	call_refuse(c, call_store_status(c, code, err));
}

const char *call_content_type(const struct call *c)
{
	return media_type_name(c->req->accept.format);
}

static const struct type_meta PARTIAL = {"meta.k8s.io/v1", "PartialObjectMetadata"};
static const struct type_meta PARTIAL_BETA = {"meta.k8s.io/v1beta1", "PartialObjectMetadata"};

static const struct type_meta *partial_meta(const struct call *c)
{
	return strcmp(c->req->accept.as_version, "v1beta1") == 0 ? &PARTIAL_BETA : &PARTIAL;
}

static enum object_format object_format_of(enum media_type t)
{
	return t == MEDIA_PROTOBUF ? OBJECT_PROTOBUF : t == MEDIA_YAML ? OBJECT_YAML : OBJECT_JSON;
}

static const struct schema_message *partial_schema(void)
{
	return schema_by_gvk("meta.k8s.io", "v1", "PartialObjectMetadata");
}

static void encode_partial(struct call *c, const struct object *obj, struct buf *out)
{
	MetaV1__PartialObjectMetadata p = META_V1__PARTIAL_OBJECT_METADATA__INIT;

	p.metadata = obj->meta;
	object_encode(object_format_of(c->req->accept.format), partial_schema(), &p.base,
	              partial_meta(c), out);
}

/* A table is always made as JSON text; YAML goes through a tree. */
static void encode_table(struct call *c, const struct object *obj, struct buf *out)
{
	struct table_meta meta = {.remaining = -1};
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct jvalue *tree;

	meta.revision = strtoll(obj->meta->resource_version, NULL, 10);
	table_begin(c, &meta, true, &json);
	table_row_add(c, obj, true, &json);
	table_end(&json);
	if (c->req->accept.format != MEDIA_YAML) {
		buf_slice(out, buf_view(&json));
		return;
	}
	if (jvalue_parse(buf_view(&json), c->a, NULL, &tree, NULL) == 0)
		yaml_write(tree, out);
}

void encode_object(struct call *c, const struct object *obj, struct buf *out)
{
	switch (c->req->accept.as) {
	case AS_TABLE:
		encode_table(c, obj, out);
		break;
	case AS_PARTIAL_METADATA:
	case AS_PARTIAL_METADATA_LIST:
		encode_partial(c, obj, out);
		break;
	case AS_OBJECT:
		object_encode(object_format_of(c->req->accept.format), obj->schema, obj->msg, NULL,
		              out);
		break;
	}
}

static void reply(struct call *c, int http_status, struct buf *body)
{
	_cleanup_buf_ struct buf pretty = BUF_INIT;

	if (c->req->accept.format == MEDIA_JSON && c->req->accept.pretty) {
		json_write_indented(&pretty, buf_view(body), "  ");
		body = &pretty;
	}
	if (c->req->accept.format == MEDIA_JSON && body->len && body->data[body->len - 1] != '\n')
		buf_byte(body, '\n');
	call_flush_warnings(c);
	response_reply(c->sink, http_status, call_content_type(c), buf_view(body));
}

void call_reply_object(struct call *c, int http_status, const struct object *obj)
{
	_cleanup_buf_ struct buf body = BUF_INIT;

	encode_object(c, obj, &body);
	reply(c, http_status, &body);
}

static int encode_decoded(struct call *c, struct slice value, int64_t revision, bool nested,
                          struct buf *out, struct err *err)
{
	static const struct type_meta none = {"", ""};
	_cleanup_arena_ struct arena a;
	struct object obj;
	int r;

	arena_init(&a);
	r = stored_decode(c->res, value, revision, &a, &obj, err);
	if (r < 0)
		return r;
	if (c->req->accept.as != AS_OBJECT)
		encode_partial(c, &obj, out);
	else if (!nested)
		encode_object(c, &obj, out);
	else if (c->req->accept.format == MEDIA_PROTOBUF)
		pb_encode(obj.schema, obj.msg, out);
	else
		object_encode(OBJECT_JSON, obj.schema, obj.msg, &none, out);
	return 0;
}

/* Partial metadata of lists keeps its kind; in protobuf lists items are bare. */
static int encode_plain(struct call *c, struct slice value, int64_t revision, bool nested,
                        struct buf *out, struct err *err)
{
	bool partial = c->req->accept.as != AS_OBJECT, pb = c->req->accept.format == MEDIA_PROTOBUF;
	const struct schema_message *schema = partial ? partial_schema() : c->res->schema;
	_cleanup_buf_ struct buf raw = BUF_INIT;
	struct buf *to = pb && nested ? out : &raw;
	int r = partial ? stored_raw_metadata(value, revision, to, err)
	                : stored_raw(value, revision, to, err);

	if (r < 0 || to == out)
		return r;
	return object_transcode(pb ? OBJECT_PROTOBUF : OBJECT_JSON, schema, buf_view(&raw),
	                        partial ? partial_meta(c) : NULL, nested && !partial, out, err);
}

int encode_stored(struct call *c, struct slice value, int64_t revision, bool nested,
                  struct buf *out, struct err *err)
{
	return stored_is_plain(c->res) ? encode_plain(c, value, revision, nested, out, err)
	                               : encode_decoded(c, value, revision, nested, out, err);
}

void call_reply_stored(struct call *c, int http_status, struct slice value, int64_t revision)
{
	_cleanup_buf_ struct buf body = BUF_INIT;
	struct err err = ERR_INIT;
	struct object obj;
	int r;

	if (c->req->accept.as == AS_TABLE || c->req->accept.format == MEDIA_YAML) {
		r = stored_decode(c->res, value, revision, c->a, &obj, &err);
		if (r == 0)
			encode_object(c, &obj, &body);
	} else {
		r = encode_stored(c, value, revision, false, &body, &err);
	}
	if (r < 0)
		call_refuse(c, status_internal(c->a, err.text));
	else
		reply(c, http_status, &body);
}
