/* SPDX-License-Identifier: Apache-2.0 */
/* The `Resources` service: a connection a client; watchers share some. */
#include "tests/bench/apiserver/load.h"

#include <stdio.h>
#include "common/net/rpc_client.h"
#include "common/client/meta_peek.h"
#include "resources.pb-c.h"

enum { LIST_ITEMS = 2, WATCH_EVENTS = 2 };

struct grpc {
	struct load_way way;
	const struct load_options *o;
	struct rpc_core *core;
	struct loop *loop;
	struct rpc_channel **channels;
	size_t n_channels;
	bool told;
};

struct exchange {
	struct grpc *grpc;
	load_done_fn done;
	void *arg;
	size_t bytes;
};

static char *text(const char *s)
{
	return (char *)s;
}

static Resources__Target target_of(const struct load_options *o, char *name)
{
	Resources__Target t = RESOURCES__TARGET__INIT;

	t.group = text(o->resource->group);
	t.version = text(o->resource->version);
	t.resource = text(o->resource->plural);
	t.namespace_ = text("default");
	t.name = name;
	return t;
}

static struct slice pack(const ProtobufCMessage *msg, struct buf *out)
{
	buf_reserve(out, protobuf_c_message_get_packed_size(msg) + 1);
	out->len = protobuf_c_message_pack(msg, out->data);
	return buf_view(out);
}

static void complain(struct grpc *g, const struct rpc_result *r)
{
	if (r->code != RPC_OK && !g->told) {
		g->told = true;
		fprintf(stderr, "%s: %s\n", rpc_code_name(r->code), r->text);
	}
}

static void finish(struct exchange *x, const struct rpc_result *r)
{
	complain(x->grpc, r);
	x->done(x->arg, r->code == RPC_OK, x->bytes);
	free(x);
}

/* --- one answer ------------------------------------------------------------------------------ */

static void on_done(const struct rpc_result *r, void *arg)
{
	struct exchange *x = arg;

	x->bytes = r->message.len;
	finish(x, r);
}

static const char *get_message(const struct load_options *o, Resources__Target *t, struct buf *out)
{
	Resources__GetRequest m = RESOURCES__GET_REQUEST__INIT;

	m.target = t;
	pack(&m.base, out);
	return "/kubec.Resources/Get";
}

static const char *write_message(const struct load_options *o, enum load_op op, unsigned long n,
                                 Resources__Target *t, struct buf *out)
{
	_cleanup_buf_ struct buf object = BUF_INIT;
	Resources__Body body = RESOURCES__BODY__INIT;
	Resources__CreateRequest create = RESOURCES__CREATE_REQUEST__INIT;
	Resources__UpdateRequest update = RESOURCES__UPDATE_REQUEST__INIT;

	load_object_pb(o, op == LOAD_CREATE ? n : n % o->names, op == LOAD_CREATE ? 0 : n + 1,
	               &object);
	body.object.data = object.data;
	body.object.len = object.len;
	create.target = update.target = t;
	create.body = update.body = &body;
	pack(op == LOAD_CREATE ? &create.base : &update.base, out);
	return op == LOAD_CREATE ? "/kubec.Resources/Create" : "/kubec.Resources/Update";
}

static const char *patch_message(const struct load_options *o, enum load_op op, unsigned long n,
                                 Resources__Target *t, struct buf *out)
{
	_cleanup_buf_ struct buf patch = BUF_INIT;
	Resources__PatchRequest m = RESOURCES__PATCH_REQUEST__INIT;
	Resources__WriteOptions options = RESOURCES__WRITE_OPTIONS__INIT;

	if (op == LOAD_APPLY)
		load_object(o, n % o->names, n + 1, &patch);
	else
		load_patch(o, n + 1, &patch);
	options.field_manager = text("bench");
	m.target = t;
	m.type = op == LOAD_APPLY ? RESOURCES__PATCH_REQUEST__TYPE__APPLY
	                          : RESOURCES__PATCH_REQUEST__TYPE__MERGE_PATCH;
	m.patch.data = patch.data;
	m.patch.len = patch.len;
	m.options = &options;
	pack(&m.base, out);
	return "/kubec.Resources/Patch";
}

/* --- streams --------------------------------------------------------------------------------- */

static size_t count_field(struct slice message, uint32_t number)
{
	struct pb_field f;
	size_t n = 0;

	while (pb_next_field(&message, &f) == 1)
		n += f.number == number;
	return n;
}

static void on_batch(struct rpc_stream *st, struct slice message, void *arg)
{
	struct exchange *x = arg;

	x->bytes += message.len;
	rpc_stream_next(st);
}

static void on_finish(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	finish(arg, r);
}

static struct rpc_stream *stream(struct grpc *g, struct rpc_channel *channel, const char *method,
                                 const Resources__ListRequest *m, struct rpc_stream_args args)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct rpc_stream *st;

	args.method = method;
	args.wait_for_ready = true;
	args.loop = g->loop;
	st = rpc_stream_start(channel, &args);
	rpc_stream_send(st, pack(&m->base, &out));
	rpc_stream_half_close(st);
	rpc_stream_next(st);
	return st;
}

static void list(struct grpc *g, struct rpc_channel *channel, struct exchange *x)
{
	Resources__ListRequest m = RESOURCES__LIST_REQUEST__INIT;
	Resources__Target t = target_of(g->o, text(""));

	m.target = &t;
	m.limit = (int64_t)g->o->limit;
	stream(g, channel, "/kubec.Resources/List", &m,
	       (struct rpc_stream_args){.on_message = on_batch, .on_finish = on_finish, .arg = x});
}

static void on_events(struct rpc_stream *st, struct slice message, void *arg)
{
	struct load_watch *w = arg;

	w->events(w, count_field(message, WATCH_EVENTS));
	rpc_stream_next(st);
}

static void on_watch_end(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	struct load_watch *w = arg;

	fprintf(stderr, "a watch ended: %s: %s\n", rpc_code_name(r->code), r->text);
	w->ended(w);
}

static void watch(struct load_way *way, struct load_watch *w)
{
	struct grpc *g = CONTAINER_OF(way, struct grpc, way);
	_cleanup_buf_ struct buf selector = BUF_INIT;
	Resources__ListRequest m = RESOURCES__LIST_REQUEST__INIT;
	Resources__Target t = target_of(g->o, text(""));

	load_selector(g->o, w->i, &selector);
	m.target = &t;
	m.field_selector = (char *)selector.data;
	m.resource_version = text(g->o->version);
	stream(
	    g, g->channels[w->i % g->n_channels], "/kubec.Resources/Watch", &m,
	    (struct rpc_stream_args){.on_message = on_events, .on_finish = on_watch_end, .arg = w});
	w->ready(w); /* its headers come with the first event */
}

/* --- operations ------------------------------------------------------------------------------ */

static void start(struct load_way *way, unsigned long client, enum load_op op, unsigned long n,
                  load_done_fn done, void *arg)
{
	struct grpc *g = CONTAINER_OF(way, struct grpc, way);
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct exchange *x = calloc(1, sizeof(*x));
	struct rpc_channel *channel = g->channels[client % g->n_channels];
	struct rpc_unary_args args = {
	    .wait_for_ready = true, .loop = g->loop, .done = on_done, .arg = x};
	char name[256] = "";

	if (!x)
		abort();
	*x = (struct exchange){g, done, arg, 0};
	if (op != LOAD_CREATE && op != LOAD_LIST)
		snprintf(name, sizeof(name), "%s-%lu", g->o->prefix, n % g->o->names);
	Resources__Target t = target_of(g->o, name);
	if (op == LOAD_LIST) {
		list(g, channel, x);
		return;
	}
	args.method = op == LOAD_GET                         ? get_message(g->o, &t, &out)
	              : op == LOAD_PATCH || op == LOAD_APPLY ? patch_message(g->o, op, n, &t, &out)
	                                                     : write_message(g->o, op, n, &t, &out);
	args.message = buf_view(&out);
	rpc_unary_start(channel, &args);
}

/* --- life cycle ------------------------------------------------------------------------------ */

struct load_way *load_grpc_new(const struct load_options *o, struct loop *loop, struct err *err)
{
	struct grpc *g = calloc(1, sizeof(*g));
	struct tls_creds_options tls = {.ca_file = o->ca, .cert_file = o->cert, .key_file = o->key};
	struct rpc_channel_options options = {.tls = &tls, .own_connection = true};
	int r = 0;

	if (!g)
		abort();
	g->way = (struct load_way){.start = start, .watch = watch};
	g->o = o;
	g->loop = loop;
	g->core = rpc_core_new(1);
	g->n_channels = MAX(o->op == LOAD_WATCH ? o->connections : o->clients, 1ul);
	g->channels = calloc(g->n_channels, sizeof(struct rpc_channel *));
	if (!g->channels)
		abort();
	for (size_t i = 0; i < g->n_channels && r == 0; i++)
		r = rpc_channel_new(g->core, o->grpc, &options, &g->channels[i], err);
	return r < 0 ? NULL : &g->way;
}
