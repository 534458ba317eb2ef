/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/base/log.h"
#include "common/client/client_internal.h"
#include "common/client/meta_peek.h"
#include "proto/pb_encode.h"

enum { DEFAULT_TIMEOUT_MS = 30000, FILES_INTERVAL_MS = 5000, TOKEN_LIMIT_BYTES = 64 << 10 };

/* Field numbers of ObjectResponse, Status and StatusDetails. */
enum {
	RESPONSE_OBJECT = 2,
	RESPONSE_VERSION = 3,
	RESPONSE_CREATED = 4,
	RESPONSE_WARNINGS = 5,
	RESPONSE_IS_STATUS = 6,
	STATUS_MESSAGE = 3,
	STATUS_REASON = 4,
	STATUS_DETAILS = 5,
	STATUS_CODE = 6,
	DETAILS_RETRY_AFTER = 5,
};

struct client_call {
	struct list calls;
	struct client *client;
	struct rpc_unary *rpc;
	client_done_fn done;
	void *arg;
	bool is_collection;
};

/* --- the connection --- */

static char *read_token(const char *path)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return NULL;
	char *text = calloc(1, TOKEN_LIMIT_BYTES);
	if (!text)
		abort();
	size_t n = fread(text, 1, TOKEN_LIMIT_BYTES - 1, f);
	fclose(f);
	while (n && strchr(" \t\r\n", text[n - 1]))
		text[--n] = 0;
	return text;
}

void client_set_token(struct client *c, const char *token)
{
	struct buf b = BUF_INIT;
	buf_printf(&b, "Bearer %s", token);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	c->token = buf_steal_str(&b);
}

static void load_token(struct client *c)
{
	const struct kubeconfig *k = c->kubeconfig;
	char *from_file = k->token_file ? read_token(k->token_file) : NULL;
	const char *token = from_file ? from_file : k->token;
	if (token && *token)
		client_set_token(c, token);
	free(from_file);
}

static int connect_channel(struct client *c, struct err *err)
{
	struct rpc_channel *fresh;
	struct rpc_channel_options o = {.tls = c->kubeconfig->is_tls ? &c->kubeconfig->tls : NULL};
	int r = rpc_channel_new(c->core, c->kubeconfig->grpc_endpoints, &o, &fresh, err);
	if (r)
		return r;
	/* Open calls keep the old one until they end. */
	rpc_channel_unref(c->channel);
	c->channel = fresh;
	return 0;
}

static void on_files_changed(void *arg)
{
	struct client *c = arg;
	struct err err = ERR_INIT;
	load_token(c);
	if (c->kubeconfig->is_tls && connect_channel(c, &err))
		log_error(&err, "Could not use the changed credentials; the old ones stay");
}

int client_new(const struct client_options *o, struct client **ret, struct err *err)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		abort();
	const struct kubeconfig *k = o->kubeconfig;
	const char *agent = o->user_agent ? o->user_agent : "kubec";
	c->core = o->core;
	c->loop = o->loop;
	c->kubeconfig = k;
	c->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	c->user_agent = strdup(agent);
	c->field_manager = strndup(agent, strcspn(agent, "/"));
	list_init(&c->calls);
	list_init(&c->streams);
	load_token(c);
	int r = connect_channel(c, err);
	if (r) {
		free(c->user_agent);
		free(c->field_manager);
		free(c->token);
		free(c);
		return r;
	}
	const char *files[] = {k->tls.cert_file, k->tls.key_file, k->tls.ca_file, k->token_file};
	file_watch_start(&c->files, c->loop, files, ARRAY_LEN(files), FILES_INTERVAL_MS,
	                 on_files_changed, c);
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	LIST_FOREACH (&c->calls, call, struct client_call, calls)
		client_call_drop(call);
	client_streams_drop(c);
	file_watch_stop(&c->files);
	rpc_channel_unref(c->channel);
	free(c->user_agent);
	free(c->field_manager);
	if (c->token)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	free(c);
}

struct loop *client_loop(const struct client *c)
{
	return c->loop;
}

size_t client_metadata(const struct client *c, struct rpc_meta out[2])
{
	size_t n = 0;
	out[n++] = (struct rpc_meta){"x-user-agent", slice_str(c->user_agent)};
	if (c->token)
		out[n++] = (struct rpc_meta){"authorization", slice_str(c->token)};
	return n;
}

Resources__Target client_pb_target(const struct client_target *t)
{
	Resources__Target pb = RESOURCES__TARGET__INIT;
	pb.group = pb_str(t->resource.group);
	pb.version = pb_str(t->resource.version);
	pb.resource = pb_str(t->resource.name);
	pb.subresource = pb_str(t->subresource);
	pb.namespace_ = pb_str(t->ns);
	pb.name = pb_str(t->name);
	pb.omit_managed_fields = true;
	return pb;
}

void client_pack(const ProtobufCMessage *msg, struct buf *out)
{
	size_t n = protobuf_c_message_get_packed_size(msg);
	buf_clear(out);
	buf_reserve(out, n + 1);
	out->len = protobuf_c_message_pack(msg, out->data);
}

/* --- results --- */

static enum err_code code_of(const char *reason, int http_status)
{
	for (int code = 1; *reason && code < ERR_CODE_COUNT; code++)
		if (!strcmp(err_reason(code), reason) && err_http_status(code) == http_status)
			return (enum err_code)code;
	for (int code = 1; code < ERR_CODE_COUNT; code++)
		if (err_http_status(code) == http_status && *err_reason(code))
			return (enum err_code)code;
	return ERR_UNKNOWN;
}

static const char *peek_text(struct arena *a, struct slice message, uint32_t field)
{
	struct slice s = pb_peek(message, &field, 1);
	return arena_strndup(a, s.data, s.len);
}

void client_result_of(const struct rpc_result *r, struct arena *a, struct client_result *ret)
{
	*ret = (struct client_result){.reason = "", .message = "", .resource_version = ""};
	if (r->code == RPC_OK) {
		ret->http_status = 200;
		return;
	}
	struct slice status = rpc_result_trailer(r, "kubec-status-bin");
	if (!status.data) {
		ret->code = rpc_code_to_err(r->code);
		ret->reason = err_reason(ret->code);
		ret->message = arena_printf(a, "rpc error: code = %s desc = %s",
		                            rpc_code_name(r->code), r->text);
		return;
	}
	const uint32_t code_path[] = {STATUS_CODE};
	const uint32_t retry_path[] = {STATUS_DETAILS, DETAILS_RETRY_AFTER};
	ret->reason = peek_text(a, status, STATUS_REASON);
	ret->message = peek_text(a, status, STATUS_MESSAGE);
	ret->http_status = (int)pb_peek_int(status, code_path, 1);
	ret->retry_after_seconds = (int32_t)pb_peek_int(status, retry_path, 2);
	ret->code = code_of(ret->reason, ret->http_status);
}

int client_result_err(const struct client_result *r, struct err *err)
{
	return r->code == ERR_OK ? 0 : err_set(err, r->code, "%s", r->message);
}

static void parse_response(struct slice message, struct arena *a, struct client_result *ret)
{
	struct pb_field f;
	while (pb_next_field(&message, &f) == 1) {
		switch (f.number) {
		case RESPONSE_OBJECT:
			ret->object = f.bytes;
			break;
		case RESPONSE_VERSION:
			ret->resource_version = arena_strndup(a, f.bytes.data, f.bytes.len);
			break;
		case RESPONSE_CREATED:
			ret->created = f.value != 0;
			break;
		case RESPONSE_WARNINGS:
			log_v(2, "The apiserver warns", LOG_SLICE("warning", f.bytes));
			break;
		case RESPONSE_IS_STATUS:
			ret->is_status = f.value != 0;
			break;
		}
	}
}

static void on_rpc_done(const struct rpc_result *r, void *arg)
{
	struct client_call *call = arg;
	_cleanup_arena_ struct arena a;
	struct client_result result;
	arena_init(&a);
	list_del(&call->calls);
	client_result_of(r, &a, &result);
	if (result.code == ERR_OK && !call->is_collection)
		parse_response(r->message, &a, &result);
	if (call->done)
		call->done(&result, call->arg);
	free(call);
}

/* --- calls --- */

static struct client_call *start(struct client *c, const char *method, const ProtobufCMessage *msg,
                                 client_done_fn done, void *arg)
{
	struct client_call *call = calloc(1, sizeof *call);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct rpc_meta md[2];
	if (!call)
		abort();
	client_pack(msg, &b);
	call->client = c;
	call->done = done;
	call->arg = arg;
	list_add_tail(&c->calls, &call->calls);
	struct rpc_unary_args a = {.method = method,
	                           .message = buf_view(&b),
	                           .timeout_ms = c->timeout_ms,
	                           .wait_for_ready = true,
	                           .metadata = md,
	                           .n_metadata = client_metadata(c, md),
	                           .loop = c->loop,
	                           .done = on_rpc_done,
	                           .arg = call};
	call->rpc = rpc_unary_start(c->channel, &a);
	return call;
}

void client_call_drop(struct client_call *call)
{
	rpc_unary_drop(call->rpc);
	list_del(&call->calls);
	free(call);
}

struct client_call *client_get(struct client *c, const struct client_target *t, client_done_fn done,
                               void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__GetRequest req = RESOURCES__GET_REQUEST__INIT;
	req.target = &target;
	return start(c, "/kubec.Resources/Get", &req.base, done, arg);
}

static Resources__WriteOptions write_options(const struct client *c,
                                             const struct client_write_options *o)
{
	Resources__WriteOptions pb = RESOURCES__WRITE_OPTIONS__INIT;
	pb.field_manager = pb_str(o && o->field_manager ? o->field_manager : c->field_manager);
	pb.dry_run = o && o->dry_run;
	return pb;
}

static Resources__Body body_of(struct slice object)
{
	Resources__Body body = RESOURCES__BODY__INIT;
	body.object.data = (uint8_t *)(uintptr_t)object.data;
	body.object.len = object.len;
	return body;
}

struct client_call *client_create(struct client *c, const struct client_target *t,
                                  struct slice object, const struct client_write_options *o,
                                  client_done_fn done, void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__WriteOptions options = write_options(c, o);
	Resources__Body body = body_of(object);
	Resources__CreateRequest req = RESOURCES__CREATE_REQUEST__INIT;
	req.target = &target;
	req.body = &body;
	req.options = &options;
	return start(c, "/kubec.Resources/Create", &req.base, done, arg);
}

struct client_call *client_update(struct client *c, const struct client_target *t,
                                  struct slice object, const struct client_write_options *o,
                                  client_done_fn done, void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__WriteOptions options = write_options(c, o);
	Resources__Body body = body_of(object);
	Resources__UpdateRequest req = RESOURCES__UPDATE_REQUEST__INIT;
	req.target = &target;
	req.body = &body;
	req.options = &options;
	return start(c, "/kubec.Resources/Update", &req.base, done, arg);
}

struct client_call *client_patch(struct client *c, const struct client_target *t,
                                 enum client_patch_type type, struct slice patch,
                                 const struct client_write_options *o, client_done_fn done,
                                 void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__WriteOptions options = write_options(c, o);
	Resources__PatchRequest req = RESOURCES__PATCH_REQUEST__INIT;
	req.target = &target;
	req.type = (Resources__PatchRequest__Type)type;
	req.patch.data = (uint8_t *)(uintptr_t)patch.data;
	req.patch.len = patch.len;
	req.force = o && o->force;
	req.options = &options;
	return start(c, "/kubec.Resources/Patch", &req.base, done, arg);
}

static Resources__DeleteOptions delete_options(const struct client_delete_options *o)
{
	Resources__DeleteOptions pb = RESOURCES__DELETE_OPTIONS__INIT;
	if (!o)
		return pb;
	if (o->grace_period_seconds >= 0) {
		pb.grace_case = RESOURCES__DELETE_OPTIONS__GRACE_GRACE_PERIOD_SECONDS;
		pb.grace_period_seconds = o->grace_period_seconds;
	}
	pb.precondition_uid = pb_str(o->uid);
	pb.precondition_resource_version = pb_str(o->resource_version);
	pb.propagation_policy = pb_str(o->propagation_policy);
	return pb;
}

struct client_call *client_delete(struct client *c, const struct client_target *t,
                                  const struct client_delete_options *o, client_done_fn done,
                                  void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__DeleteOptions options = delete_options(o);
	Resources__DeleteRequest req = RESOURCES__DELETE_REQUEST__INIT;
	req.target = &target;
	req.options = &options;
	return start(c, "/kubec.Resources/Delete", &req.base, done, arg);
}

struct client_call *client_delete_collection(struct client *c, const struct client_target *t,
                                             const struct client_delete_options *o,
                                             const char *label_selector, const char *field_selector,
                                             client_done_fn done, void *arg)
{
	Resources__Target target = client_pb_target(t);
	Resources__DeleteOptions options = delete_options(o);
	Resources__DeleteCollectionRequest req = RESOURCES__DELETE_COLLECTION_REQUEST__INIT;
	req.target = &target;
	req.options = &options;
	req.label_selector = pb_str(label_selector);
	req.field_selector = pb_str(field_selector);
	struct client_call *call =
	    start(c, "/kubec.Resources/DeleteCollection", &req.base, done, arg);
	call->is_collection = true;
	return call;
}

struct client_call *client_write_msg(struct client *c, bool create, const struct client_target *t,
                                     const struct schema_message *schema,
                                     const ProtobufCMessage *msg, client_done_fn done, void *arg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	pb_encode(schema, msg, &b);
	return create ? client_create(c, t, buf_view(&b), NULL, done, arg)
	              : client_update(c, t, buf_view(&b), NULL, done, arg);
}

static void add_bytes_field(struct buf *b, uint32_t number, struct slice s)
{
	size_t n = s.len;
	buf_byte(b, (uint8_t)(number << 3 | 2));
	for (; n >= 0x80; n >>= 7)
		buf_byte(b, (uint8_t)(n | 0x80));
	buf_byte(b, (uint8_t)n);
	buf_slice(b, s);
}

/* A core/v1 Binding {metadata {name, namespace, uid}, target {kind: Node, name}}. */
struct client_call *client_bind(struct client *c, const char *ns, const char *pod, const char *uid,
                                const char *node, client_done_fn done, void *arg)
{
	_cleanup_buf_ struct buf meta = BUF_INIT, target = BUF_INIT, binding = BUF_INIT;
	add_bytes_field(&meta, 1, slice_str(pod));
	add_bytes_field(&meta, 3, slice_str(ns));
	if (uid)
		add_bytes_field(&meta, 5, slice_str(uid));
	add_bytes_field(&target, 1, SLICE_LIT("Node"));
	add_bytes_field(&target, 3, slice_str(node));
	add_bytes_field(&binding, 1, buf_view(&meta));
	add_bytes_field(&binding, 2, buf_view(&target));
	struct client_target t = {{"", "v1", "pods"}, ns, pod, "binding"};
	return client_create(c, &t, buf_view(&binding), NULL, done, arg);
}
