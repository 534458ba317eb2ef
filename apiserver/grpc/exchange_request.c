/* SPDX-License-Identifier: Apache-2.0 */
/* From a call's message to the request that REST would have made of it. */
#include <string.h>
#include "apiserver/grpc/exchange.h"
#include "apiserver/request/request_info.h"
#include "common/codec/json_writer.h"
#include "proto/codec.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"

enum { PARAMETERS_MAX = 24 };

/* A request while it is being put together. */
struct draft {
	struct exchange *x;
	struct request_pair query[PARAMETERS_MAX];
	size_t n_query;
	const Resources__Target *target;
};

static void add_query(struct draft *d, const char *name, const char *value)
{
	if (value && *value && d->n_query < PARAMETERS_MAX)
		d->query[d->n_query++] = (struct request_pair){name, value};
}

static void add_query_int(struct draft *d, const char *name, int64_t value)
{
	add_query(d, name, arena_printf(&d->x->arena, "%lld", (long long)value));
}

static void add_query_true(struct draft *d, const char *name, bool value)
{
	add_query(d, name, value ? "true" : "");
}

static void add_write_options(struct draft *d, const Resources__WriteOptions *o)
{
	if (!o)
		return;
	add_query(d, "fieldManager", o->field_manager);
	add_query(d, "dryRun", o->dry_run ? "All" : "");
	add_query(d, "fieldValidation", o->field_validation);
}

/* A segment of the path must not reach into the next one. */
static bool is_segment(const char *s)
{
	return !strpbrk(s, "/?#%") && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static int set_path(struct draft *d, const char *method, struct err *err)
{
	const Resources__Target *t = d->target;
	struct exchange *x = d->x;
	struct arena *a = &x->arena;
	if (!t || !*t->resource || !*t->version)
		return err_set(err, ERR_BAD_REQUEST, "the request names no resource");
	const char *const all[] = {t->group,       t->version,    t->resource,
	                           t->subresource, t->namespace_, t->name};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!is_segment(all[i]))
			return err_set(err, ERR_BAD_REQUEST, "the target is not well formed");
	/* A namespace object names itself twice in the path's grammar. */
	bool is_ns = !*t->group && !strcmp(t->resource, "namespaces");
	const char *ns =
	    *t->namespace_ && !is_ns ? arena_printf(a, "/namespaces/%s", t->namespace_) : "";
	const char *base = *t->group ? arena_printf(a, "/apis/%s/%s", t->group, t->version)
	                             : arena_printf(a, "/api/%s", t->version);
	x->req.path = arena_printf(a, "%s%s/%s%s%s%s%s", base, ns, t->resource, *t->name ? "/" : "",
	                           t->name, *t->subresource ? "/" : "", t->subresource);
	x->req.method = method;
	x->accept = t->accept;
	x->omit_managed_fields = t->omit_managed_fields;
	return 0;
}

/* Wraps a bare message into the envelope that REST bodies have. */
static void set_body(struct draft *d, const Resources__Body *body)
{
	static const enum media_type types[] = {
	    [RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF] = MEDIA_PROTOBUF,
	    [RESOURCES__CONTENT_TYPE__CONTENT_JSON] = MEDIA_JSON,
	    [RESOURCES__CONTENT_TYPE__CONTENT_YAML] = MEDIA_YAML,
	    [RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF_ENVELOPE] = MEDIA_PROTOBUF,
	};
	struct exchange *x = d->x;
	const Resources__Target *t = d->target;
	if (!body || (unsigned)body->content_type >= ARRAY_LEN(types))
		return;
	x->req.body = slice_of(body->object.data, body->object.len);
	x->req.body_type = types[body->content_type];
	if (body->content_type != RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF)
		return;
	const struct resource_info *info =
	    resource_find(t->group, t->version, t->resource, t->subresource);
	if (!info)
		return; /* the pipeline answers: there is no such resource */
	const char *group = info->kind_group, *version = info->kind_version;
	struct type_meta meta = {
	    *group ? arena_printf(&x->arena, "%s/%s", group, version) : version, info->kind};
	_cleanup_buf_ struct buf b = BUF_INIT;
	unknown_wrap(&meta, x->req.body, &b);
	x->req.body = slice_of(arena_memdup(&x->arena, b.data, b.len), b.len);
}

/* DeleteOptions as the JSON body of a DELETE. */
static void set_delete_body(struct draft *d, const Resources__DeleteOptions *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (!o)
		return;
	buf_str(&b, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"");
	if (o->grace_case == RESOURCES__DELETE_OPTIONS__GRACE_GRACE_PERIOD_SECONDS)
		buf_printf(&b, ",\"gracePeriodSeconds\":%lld", (long long)o->grace_period_seconds);
	if (*o->propagation_policy) {
		buf_str(&b, ",\"propagationPolicy\":");
		json_write_cstr(&b, o->propagation_policy);
	}
	if (*o->precondition_uid || *o->precondition_resource_version) {
		buf_str(&b, ",\"preconditions\":{");
		if (*o->precondition_uid) {
			buf_str(&b, "\"uid\":");
			json_write_cstr(&b, o->precondition_uid);
		}
		if (*o->precondition_resource_version) {
			buf_str(&b, *o->precondition_uid ? ",\"resourceVersion\":"
			                                 : "\"resourceVersion\":");
			json_write_cstr(&b, o->precondition_resource_version);
		}
		buf_byte(&b, '}');
	}
	if (o->dry_run)
		buf_str(&b, ",\"dryRun\":[\"All\"]");
	buf_byte(&b, '}');
	d->x->req.body = slice_of(arena_memdup(&d->x->arena, b.data, b.len), b.len);
	d->x->req.body_type = MEDIA_JSON;
}

/* --- one function a method --- */

static int get(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__GetRequest *m = (const Resources__GetRequest *)msg;
	d->target = m->target;
	add_query(d, "resourceVersion", m->resource_version);
	return set_path(d, "GET", err);
}

static int list(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__ListRequest *m = (const Resources__ListRequest *)msg;
	bool watch = d->x->mode == EXCHANGE_WATCH;
	d->target = m->target;
	add_query(d, "labelSelector", m->label_selector);
	add_query(d, "fieldSelector", m->field_selector);
	add_query(d, "resourceVersion", m->resource_version);
	add_query(d, "resourceVersionMatch", m->resource_version_match);
	add_query(d, "continue", m->continue_);
	add_query_true(d, "watch", watch);
	add_query_true(d, "allowWatchBookmarks", watch && m->allow_watch_bookmarks);
	add_query_true(d, "sendInitialEvents", watch && m->send_initial_events);
	if (m->limit)
		add_query_int(d, "limit", m->limit);
	if (m->timeout_seconds)
		add_query_int(d, "timeoutSeconds", m->timeout_seconds);
	if (m->target && m->target->accept != RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF)
		return err_set(err, ERR_NOT_IMPLEMENTED,
		               "lists and watches come as bare protobuf only");
	return set_path(d, "GET", err);
}

static int create(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__CreateRequest *m = (const Resources__CreateRequest *)msg;
	d->target = m->target;
	add_write_options(d, m->options);
	int r = set_path(d, "POST", err);
	if (!r)
		set_body(d, m->body);
	return r;
}

static int update(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__UpdateRequest *m = (const Resources__UpdateRequest *)msg;
	d->target = m->target;
	add_write_options(d, m->options);
	int r = set_path(d, "PUT", err);
	if (!r)
		set_body(d, m->body);
	return r;
}

static int patch(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	static const enum media_type types[] = {
	    [RESOURCES__PATCH_REQUEST__TYPE__JSON_PATCH] = MEDIA_JSON_PATCH,
	    [RESOURCES__PATCH_REQUEST__TYPE__MERGE_PATCH] = MEDIA_MERGE_PATCH,
	    [RESOURCES__PATCH_REQUEST__TYPE__STRATEGIC_MERGE_PATCH] = MEDIA_STRATEGIC_PATCH,
	    [RESOURCES__PATCH_REQUEST__TYPE__APPLY] = MEDIA_APPLY_YAML,
	};
	const Resources__PatchRequest *m = (const Resources__PatchRequest *)msg;
	d->target = m->target;
	add_write_options(d, m->options);
	add_query_true(d, "force", m->force);
	if ((unsigned)m->type >= ARRAY_LEN(types))
		return err_set(err, ERR_BAD_REQUEST, "unknown patch type");
	d->x->req.body = slice_of(m->patch.data, m->patch.len);
	d->x->req.body_type = types[m->type];
	return set_path(d, "PATCH", err);
}

static int delete_one(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__DeleteRequest *m = (const Resources__DeleteRequest *)msg;
	d->target = m->target;
	set_delete_body(d, m->options);
	if (m->target && !*m->target->name)
		return err_set(err, ERR_BAD_REQUEST, "a delete needs a name");
	return set_path(d, "DELETE", err);
}

static int delete_collection(struct draft *d, const ProtobufCMessage *msg, struct err *err)
{
	const Resources__DeleteCollectionRequest *m =
	    (const Resources__DeleteCollectionRequest *)msg;
	d->target = m->target;
	add_query(d, "labelSelector", m->label_selector);
	add_query(d, "fieldSelector", m->field_selector);
	add_query(d, "continue", m->continue_);
	if (m->limit)
		add_query_int(d, "limit", m->limit);
	set_delete_body(d, m->options);
	if (m->target && *m->target->name)
		return err_set(err, ERR_BAD_REQUEST, "a collection has no name");
	return set_path(d, "DELETE", err);
}

static const struct {
	const char *name;
	const ProtobufCMessageDescriptor *desc;
	int (*fill)(struct draft *d, const ProtobufCMessage *msg, struct err *err);
	enum exchange_mode mode;
} methods[] = {
    {"Get", &resources__get_request__descriptor, get, EXCHANGE_OBJECT},
    {"List", &resources__list_request__descriptor, list, EXCHANGE_LIST},
    {"Watch", &resources__list_request__descriptor, list, EXCHANGE_WATCH},
    {"Create", &resources__create_request__descriptor, create, EXCHANGE_OBJECT},
    {"Update", &resources__update_request__descriptor, update, EXCHANGE_OBJECT},
    {"Patch", &resources__patch_request__descriptor, patch, EXCHANGE_OBJECT},
    {"Delete", &resources__delete_request__descriptor, delete_one, EXCHANGE_OBJECT},
    {"DeleteCollection", &resources__delete_collection_request__descriptor, delete_collection,
     EXCHANGE_COLLECTION},
};

/* The metadata as headers, and what the pipeline wants to know of them. */
static void set_headers(struct exchange *x)
{
	VEC(struct request_pair) headers = {0};
	struct slice key, value;
	for (size_t i = 0; rpc_call_metadata_at(x->call, i, &key, &value); i++)
		*vec_push(&headers) =
		    (struct request_pair){arena_strndup(&x->arena, key.data, key.len),
		                          arena_strndup(&x->arena, value.data, value.len)};
	x->req.headers = arena_memdup(&x->arena, headers.at, headers.n * sizeof(*headers.at));
	x->req.n_headers = headers.n;
	vec_deinit(&headers);
	const char *agent = request_header(&x->req, "x-user-agent");
	agent = agent ? agent : request_header(&x->req, "user-agent");
	x->req.user_agent = agent ? agent : "";
}

static void set_query(struct draft *d)
{
	struct exchange *x = d->x;
	x->req.query = arena_memdup(&x->arena, d->query, d->n_query * sizeof d->query[0]);
	x->req.n_query = d->n_query;
	/* For audit only: nothing parses it again. */
	const char *uri = x->req.path;
	for (size_t i = 0; i < d->n_query; i++)
		uri = arena_printf(&x->arena, "%s%s%s=%s", uri, i ? "&" : "?", d->query[i].name,
		                   d->query[i].value);
	x->req.uri = uri;
}

static int unpack(struct exchange *x, const ProtobufCMessageDescriptor *desc, struct slice message,
                  ProtobufCMessage **ret, struct err *err)
{
	ProtobufCAllocator in_arena = pb_arena_allocator(&x->arena);
	int r = pb_check(desc, message, NULL, err);
	if (r)
		return r;
	*ret = protobuf_c_message_unpack(desc, &in_arena, message.len, message.data);
	return *ret ? 0 : err_set(err, ERR_BAD_REQUEST, "the message cannot be decoded");
}

int exchange_decode(struct exchange *x, const char *method, struct slice message, struct err *err)
{
	static const enum media_type formats[] = {
	    [RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF] = MEDIA_PROTOBUF,
	    [RESOURCES__CONTENT_TYPE__CONTENT_JSON] = MEDIA_JSON,
	    [RESOURCES__CONTENT_TYPE__CONTENT_YAML] = MEDIA_YAML,
	    [RESOURCES__CONTENT_TYPE__CONTENT_PROTOBUF_ENVELOPE] = MEDIA_PROTOBUF,
	};
	struct draft d = {.x = x};
	size_t i = 0;
	while (i < ARRAY_LEN(methods) && strcmp(methods[i].name, method))
		i++;
	if (i == ARRAY_LEN(methods))
		return err_set(err, ERR_NOT_IMPLEMENTED, "unknown method %s", method);
	ProtobufCMessage *msg;
	x->mode = methods[i].mode;
	int r = unpack(x, methods[i].desc, message, &msg, err);
	if (!r)
		r = methods[i].fill(&d, msg, err);
	if (!r && (unsigned)x->accept >= ARRAY_LEN(formats))
		r = err_set(err, ERR_BAD_REQUEST, "unknown content type");
	if (r)
		return r;
	struct request *req = &x->req;
	set_headers(x);
	set_query(&d);
	request_info_parse(req);
	req->info = resource_find(req->group, req->version, req->resource, req->subresource);
	req->accept = (struct accept){.format = formats[x->accept],
	                              .as = AS_OBJECT,
	                              .as_version = "",
	                              .stream_watch = x->mode == EXCHANGE_WATCH};
	req->fault = request_options_parse(req);
	return 0;
}
