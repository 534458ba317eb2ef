/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/test_apiserver.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "common/client/meta_peek.h"
#include "proto/resources.pb-c.h"

struct watch {
	struct list watches;
	struct test_apiserver *server;
	struct rpc_call *call;
	char *prefix;
};

static void add_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_byte(b, (uint8_t)(v | 0x80));
	buf_byte(b, (uint8_t)v);
}

static void add_bytes(struct buf *b, uint32_t number, struct slice s)
{
	add_varint(b, number << 3 | 2);
	add_varint(b, s.len);
	buf_slice(b, s);
}

/* The object with another resourceVersion, and a uid if it had none. */
static struct blob *stamp(struct slice object, uint64_t revision)
{
	_cleanup_buf_ struct buf meta = BUF_INIT, out = BUF_INIT;
	struct slice rest = object, fields;
	struct pb_field f;
	char text[32];
	bool has_uid = false;
	int r = pb_next_field(&rest, &f);
	assert(r == 1 && f.number == 1);
	fields = f.bytes;
	for (struct slice here = fields; pb_next_field(&fields, &f) == 1; here = fields) {
		has_uid |= f.number == 5 && f.bytes.len;
		if (f.number != 6 && !(f.number == 5 && !f.bytes.len))
			buf_add(&meta, here.data, (size_t)(fields.data - here.data));
	}
	snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
	if (!has_uid)
		add_bytes(&meta, 5, slice_str(text));
	add_bytes(&meta, 6, slice_str(text));
	add_bytes(&out, 1, buf_view(&meta));
	buf_slice(&out, rest);
	return blob_dup(buf_view(&out));
}

static void fail(struct rpc_call *call, int code, const char *reason, uint64_t http)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	add_bytes(&b, 3, slice_str(reason));
	add_bytes(&b, 4, slice_str(reason));
	add_varint(&b, 6 << 3);
	add_varint(&b, http);
	struct rpc_meta trailer = {"kubec-status-bin", buf_view(&b)};
	rpc_call_fail(call, code, reason, &trailer, 1);
}

static void reply(struct rpc_call *call, struct slice object)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	add_bytes(&b, 2, object);
	add_bytes(&b, 3, pb_peek_path(object, 1, 6));
	rpc_call_reply(call, buf_view(&b));
}

static void tell_watches(struct test_apiserver *s, int type, const char *key, struct slice object)
{
	_cleanup_buf_ struct buf event = BUF_INIT, batch = BUF_INIT;
	add_varint(&event, 1 << 3);
	add_varint(&event, (uint64_t)type);
	add_bytes(&event, 2, object);
	add_varint(&event, 3 << 3);
	add_varint(&event, s->revision);
	add_bytes(&batch, 2, buf_view(&event));
	LIST_FOREACH (&s->watches, w, struct watch, watches)
		if (!strncmp(key, w->prefix, strlen(w->prefix)))
			rpc_call_send(w->call, buf_view(&batch));
}

void test_apiserver_expire(struct test_apiserver *s)
{
	_cleanup_buf_ struct buf status = BUF_INIT, event = BUF_INIT, batch = BUF_INIT;
	add_bytes(&status, 4, SLICE_LIT("Expired"));
	add_varint(&status, 6 << 3);
	add_varint(&status, 410);
	add_varint(&event, 1 << 3);
	add_varint(&event, RESOURCES__WATCH_EVENT__TYPE__ERROR);
	add_bytes(&event, 2, buf_view(&status));
	add_bytes(&batch, 2, buf_view(&event));
	LIST_FOREACH (&s->watches, w, struct watch, watches)
		rpc_call_send(w->call, buf_view(&batch));
}

static void collection_of(const Resources__Target *t, struct buf *out)
{
	buf_printf(out, "%s/%s/%s%s", t->group, t->resource, t->namespace_,
	           *t->namespace_ ? "/" : "");
}

static void write_object(struct test_apiserver *s, struct rpc_call *call,
                         const Resources__Target *t, const Resources__Body *body, bool create)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct slice object = slice_of(body->object.data, body->object.len);
	struct meta_peek m;
	bool good = meta_peek(object, &m);
	assert(good);
	collection_of(t, &key);
	buf_printf(&key, "%.*s", SLICE_FMT(m.name));
	struct blob *old = map_get(&s->objects, buf_view(&key));
	if (create && old)
		return fail(call, RPC_ALREADY_EXISTS, "AlreadyExists", 409);
	if (!create && !old)
		return fail(call, RPC_NOT_FOUND, "NotFound", 404);
	if (!create && m.resource_version.len &&
	    !slice_eq(m.resource_version, pb_peek_path(blob_view(old), 1, 6)))
		return fail(call, RPC_ABORTED, "Conflict", 409);
	struct blob *fresh = stamp(object, ++s->revision);
	blob_unref(map_put(&s->objects, buf_view(&key), fresh));
	s->writes++;
	reply(call, blob_view(fresh));
	tell_watches(s, create ? 0 : 1, (char *)key.data, blob_view(fresh));
}

/* --- methods --- */

static bool refused(struct test_apiserver *s, struct rpc_call *call)
{
	if (s->refuse)
		rpc_call_fail(call, RPC_UNAVAILABLE, "refused by the test", NULL, 0);
	return s->refuse;
}

static void on_get(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__GetRequest *m = resources__get_request__unpack(NULL, in.len, in.data);
	_cleanup_buf_ struct buf key = BUF_INIT;
	collection_of(m->target, &key);
	buf_str(&key, m->target->name);
	struct blob *object = map_get(&s->objects, buf_view(&key));
	if (!refused(s, call)) {
		if (object)
			reply(call, blob_view(object));
		else
			fail(call, RPC_NOT_FOUND, "NotFound", 404);
	}
	resources__get_request__free_unpacked(m, NULL);
}

static void on_create(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__CreateRequest *m = resources__create_request__unpack(NULL, in.len, in.data);
	if (!refused(s, call))
		write_object(s, call, m->target, m->body, true);
	resources__create_request__free_unpacked(m, NULL);
}

static void on_update(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__UpdateRequest *m = resources__update_request__unpack(NULL, in.len, in.data);
	if (!refused(s, call))
		write_object(s, call, m->target, m->body, false);
	resources__update_request__free_unpacked(m, NULL);
}

static void on_patch(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__PatchRequest *m = resources__patch_request__unpack(NULL, in.len, in.data);
	_cleanup_buf_ struct buf key = BUF_INIT;
	collection_of(m->target, &key);
	buf_str(&key, m->target->name);
	if (refused(s, call)) {
		/* it has its answer */
	} else if (s->strict && !map_get(&s->objects, buf_view(&key))) {
		fail(call, RPC_NOT_FOUND, "NotFound", 404);
	} else {
		s->patches++;
		buf_clear(&s->last_patch);
		buf_add(&s->last_patch, m->patch.data, m->patch.len);
		reply(call, SLICE_EMPTY);
	}
	resources__patch_request__free_unpacked(m, NULL);
}

static void on_delete(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__DeleteRequest *m = resources__delete_request__unpack(NULL, in.len, in.data);
	_cleanup_buf_ struct buf key = BUF_INIT;
	collection_of(m->target, &key);
	buf_str(&key, m->target->name);
	if (!refused(s, call)) {
		struct blob *old = map_del(&s->objects, buf_view(&key));
		if (old) {
			s->revision++;
			s->writes++;
			reply(call, blob_view(old));
			tell_watches(s, 2, (char *)key.data, blob_view(old));
		} else {
			fail(call, RPC_NOT_FOUND, "NotFound", 404);
		}
		blob_unref(old);
	}
	resources__delete_request__free_unpacked(m, NULL);
}

static void on_list(struct rpc_call *call, struct slice in, void *arg)
{
	struct test_apiserver *s = arg;
	Resources__ListRequest *m = resources__list_request__unpack(NULL, in.len, in.data);
	_cleanup_buf_ struct buf prefix = BUF_INIT, batch = BUF_INIT;
	char text[32];
	collection_of(m->target, &prefix);
	resources__list_request__free_unpacked(m, NULL);
	if (refused(s, call))
		return;
	MAP_FOREACH (&s->objects, slot)
		if (!strncmp(slot->key, (char *)prefix.data, prefix.len))
			add_bytes(&batch, 2, blob_view(slot->value));
	snprintf(text, sizeof text, "%llu", (unsigned long long)s->revision);
	add_bytes(&batch, 3, slice_str(text));
	rpc_call_send(call, buf_view(&batch));
	rpc_call_finish(call);
}

static void on_watch_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct watch *w = data;
	list_del(&w->watches);
	rpc_call_finish(call);
	free(w->prefix);
	free(w);
}

static void on_watch(struct rpc_call *call, struct slice in, void *arg)
{
	static const struct rpc_call_ops ops = {.on_closed = on_watch_closed};
	struct test_apiserver *s = arg;
	struct buf prefix = BUF_INIT;
	if (refused(s, call))
		return;
	Resources__ListRequest *m = resources__list_request__unpack(NULL, in.len, in.data);
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		abort();
	collection_of(m->target, &prefix);
	w->server = s;
	w->call = call;
	w->prefix = buf_steal_str(&prefix);
	list_add_tail(&s->watches, &w->watches);
	rpc_call_set_ops(call, &ops, w);
	/* What happened between the list and this watch: the state, as far as it is newer. */
	uint64_t since = strtoull(m->resource_version, NULL, 10);
	resources__list_request__free_unpacked(m, NULL);
	MAP_FOREACH (&s->objects, slot) {
		struct slice version = pb_peek_path(blob_view(slot->value), 1, 6);
		char text[32] = {0};
		memcpy(text, version.data, MIN(version.len, sizeof text - 1));
		if (!strncmp(slot->key, w->prefix, strlen(w->prefix)) &&
		    strtoull(text, NULL, 10) > since)
			tell_watches(s, 1, slot->key, blob_view(slot->value));
	}
}

/* --- life cycle --- */

void test_apiserver_init(struct test_apiserver *s, struct rpc_core *core, struct loop *loop)
{
	const struct rpc_method methods[] = {
	    {"/kubec.Resources/Get", RPC_UNARY, on_get, s, loop},
	    {"/kubec.Resources/List", RPC_SERVER_STREAM, on_list, s, loop},
	    {"/kubec.Resources/Watch", RPC_SERVER_STREAM, on_watch, s, loop},
	    {"/kubec.Resources/Create", RPC_UNARY, on_create, s, loop},
	    {"/kubec.Resources/Update", RPC_UNARY, on_update, s, loop},
	    {"/kubec.Resources/Patch", RPC_UNARY, on_patch, s, loop},
	    {"/kubec.Resources/Delete", RPC_UNARY, on_delete, s, loop},
	};
	int port;
	memset(s, 0, sizeof *s);
	s->loop = loop;
	s->revision = 100;
	map_init(&s->objects, 0);
	list_init(&s->watches);
	s->server = rpc_server_new(core, NULL);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		rpc_server_method(s->server, &methods[i]);
	int r = rpc_server_listen(s->server, "127.0.0.1:0", NULL, &port, NULL);
	assert(r == 0);
	rpc_server_start(s->server);
	snprintf(s->endpoint, sizeof s->endpoint, "127.0.0.1:%d", port);
}

static void on_stopped(void *arg)
{
	struct test_apiserver *s = arg;
	s->stopped = true;
}

void test_apiserver_deinit(struct test_apiserver *s)
{
	rpc_server_stop(s->server, 0, s->loop, on_stopped, s);
	while (!s->stopped)
		loop_run_once(s->loop, true);
	rpc_server_free(s->server);
	MAP_FOREACH (&s->objects, slot)
		blob_unref(slot->value);
	map_deinit(&s->objects);
	buf_deinit(&s->last_patch);
}

struct slice test_apiserver_get(const struct test_apiserver *s, const char *key)
{
	return blob_view(map_get_str(&s->objects, key));
}
