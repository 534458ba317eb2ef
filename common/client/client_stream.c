/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and watches of a client. Messages are read in place: items are slices of the message that
 * gRPC received. */
#include <string.h>
#include "common/client/client_internal.h"
#include "common/client/meta_peek.h"

/* Field numbers of ListBatch, WatchBatch and WatchEvent. */
enum {
	LIST_ITEMS = 2,
	LIST_VERSION = 3,
	WATCH_EVENTS = 2,
	EVENT_TYPE = 1,
	EVENT_OBJECT = 2,
	EVENT_VERSION = 3,
};

struct client_stream {
	struct list streams;
	struct client *client;
	struct rpc_stream *rpc;
	bool is_watch;
	struct client_list_ops list_ops;
	struct client_watch_ops watch_ops;
	void *arg;
	char resource_version[24];
	bool dropped, calling; /* dropped from within a callback: freed after it */
};

static void stream_free(struct client_stream *s)
{
	list_del(&s->streams);
	free(s);
}

void client_stream_drop(struct client_stream *s)
{
	if (!s || s->dropped)
		return;
	s->dropped = true;
	rpc_stream_drop(s->rpc);
	if (!s->calling)
		stream_free(s);
}

void client_streams_drop(struct client *c)
{
	LIST_FOREACH (&c->streams, s, struct client_stream, streams)
		client_stream_drop(s);
}

static void end_stream(struct client_stream *s, const struct rpc_result *r)
{
	_cleanup_arena_ struct arena a;
	struct client_result result;
	arena_init(&a);
	client_result_of(r, &a, &result);
	if (result.code == ERR_OK)
		result.resource_version = s->resource_version;
	s->calling = true;
	if (s->is_watch)
		s->watch_ops.on_end(&result, s->arg);
	else
		s->list_ops.on_end(&result, s->arg);
	stream_free(s);
}

/* A watch tells its last error as an event: it ends as if the call had failed with it. */
static void end_by_error(struct client_stream *s, struct slice status)
{
	struct rpc_meta trailer = {"kubec-status-bin", status};
	struct rpc_result r = {
	    .code = RPC_UNKNOWN, .text = "", .trailers = &trailer, .n_trailers = 1};
	s->dropped = true;
	rpc_stream_drop(s->rpc);
	end_stream(s, &r);
}

/* False when it was the last one: an error. */
static bool take_event(struct client_stream *s, struct slice event, struct slice *error)
{
	uint64_t type = 0, revision = 0;
	struct slice object = SLICE_EMPTY;
	struct pb_field f;
	while (pb_next_field(&event, &f) == 1) {
		if (f.number == EVENT_TYPE)
			type = f.value;
		else if (f.number == EVENT_OBJECT)
			object = f.bytes;
		else if (f.number == EVENT_VERSION)
			revision = f.value;
	}
	if (type == RESOURCES__WATCH_EVENT__TYPE__ERROR) {
		*error = object;
		return false;
	}
	if (type <= RESOURCES__WATCH_EVENT__TYPE__BOOKMARK)
		s->watch_ops.on_event((enum client_event_type)type, object, (int64_t)revision,
		                      s->arg);
	return true;
}

static void on_message(struct rpc_stream *rpc, struct slice message, void *arg)
{
	struct client_stream *s = arg;
	struct slice error = SLICE_EMPTY;
	struct pb_field f;
	bool more = true;
	s->calling = true;
	while (more && !s->dropped && pb_next_field(&message, &f) == 1) {
		if (s->is_watch && f.number == WATCH_EVENTS)
			more = take_event(s, f.bytes, &error);
		else if (!s->is_watch && f.number == LIST_ITEMS)
			s->list_ops.on_item(f.bytes, s->arg);
		else if (!s->is_watch && f.number == LIST_VERSION &&
		         f.bytes.len < sizeof s->resource_version)
			memcpy(s->resource_version, f.bytes.data, f.bytes.len);
	}
	s->calling = false;
	if (s->dropped)
		stream_free(s);
	else if (!more)
		end_by_error(s, error);
	else
		rpc_stream_next(rpc);
}

static void on_finish(struct rpc_stream *rpc, const struct rpc_result *r, void *arg)
{
	end_stream(arg, r);
}

static struct client_stream *start(struct client *c, const char *method,
                                   const struct client_target *t,
                                   const struct client_list_options *o, bool is_watch)
{
	struct client_stream *s = calloc(1, sizeof *s);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct rpc_meta md[2];
	if (!s)
		abort();
	Resources__Target target = client_pb_target(t);
	Resources__ListRequest req = RESOURCES__LIST_REQUEST__INIT;
	req.target = &target;
	req.label_selector = pb_str(o->label_selector);
	req.field_selector = pb_str(o->field_selector);
	req.resource_version = pb_str(o->resource_version);
	req.resource_version_match = pb_str(o->resource_version_match);
	req.timeout_seconds = o->timeout_seconds;
	req.allow_watch_bookmarks = is_watch;
	client_pack(&req.base, &b);
	s->client = c;
	s->is_watch = is_watch;
	list_add_tail(&c->streams, &s->streams);
	struct rpc_stream_args a = {.method = method,
	                            .metadata = md,
	                            .n_metadata = client_metadata(c, md),
	                            .loop = c->loop,
	                            .on_message = on_message,
	                            .on_finish = on_finish,
	                            .arg = s};
	s->rpc = rpc_stream_start(c->channel, &a);
	rpc_stream_send(s->rpc, buf_view(&b));
	rpc_stream_half_close(s->rpc);
	rpc_stream_next(s->rpc);
	return s;
}

struct client_stream *client_list(struct client *c, const struct client_target *t,
                                  const struct client_list_options *o,
                                  const struct client_list_ops *ops, void *arg)
{
	struct client_stream *s = start(c, "/kubec.Resources/List", t, o, false);
	s->list_ops = *ops;
	s->arg = arg;
	return s;
}

struct client_stream *client_watch(struct client *c, const struct client_target *t,
                                   const struct client_list_options *o,
                                   const struct client_watch_ops *ops, void *arg)
{
	struct client_stream *s = start(c, "/kubec.Resources/Watch", t, o, true);
	s->watch_ops = *ops;
	s->arg = arg;
	return s;
}
