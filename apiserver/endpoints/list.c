/* SPDX-License-Identifier: Apache-2.0 */
/* LIST: streams a snapshot in the client's format. What is in memory at a time is the snapshot,
 * which the cache holds anyway, and a few items' worth of output. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"
#include "apiserver/endpoints/list_options.h"

#include "apiserver/storage/wire.h"
#include "common/base/clock.h"
#include "common/codec/json_writer.h"
#include "common/codec/yaml.h"
#include "common/net/loop.h"
#include "proto/table_columns.h"

enum { CHUNK_BYTES = 64 << 10, TURN_NS = 2000000, TURN_ITEMS = 32, STORE_PAGE = 1000 };

struct lister {
	struct call *c;
	struct list_plan plan;
	struct cache_selection sel;
	struct cacher_snapshot snap;
	struct cache_cursor cursor;
	struct slice stop; /* not empty: the key of the last item of the page */
	struct buf out;
	const char *token;
	int64_t remaining;
	size_t n;             /* items written */
	uint64_t items_bytes; /* protobuf: all items as fields of the list */
	bool started;         /* the status is out */
	bool table, yaml, pb, done;
	size_t measured;
	bool weighed; /* items are as long as their objects' weights say */
	/* Reading a past revision from the store. */
	struct buf at;
};

static void list_more(void *arg);

/* --- what the page holds --------------------------------------------------------------------- */

static struct slice first_key(struct lister *l)
{
	struct slice prefix = l->sel.key_prefix;
	char *key;

	if (l->sel.key.len)
		return l->sel.key;
	if (!l->plan.continued)
		return prefix;
	key = arena_alloc(l->c->a, prefix.len + l->plan.start.len);
	if (prefix.len)
		memcpy(key, prefix.data, prefix.len);
	memcpy(key + prefix.len, l->plan.start.data, l->plan.start.len);
	return slice_of(key, prefix.len + l->plan.start.len);
}

/* The next object that is selected; NULL at the end of the range or of the page. */
static struct cache_object *next_item(struct lister *l)
{
	struct cache_object *o;

	while (!l->done && (o = cache_cursor_next(&l->cursor))) {
		struct slice key = cache_object_key(o);

		if (!slice_has_prefix(key, l->sel.key_prefix))
			break;
		if (l->sel.key.len && !slice_eq(key, l->sel.key))
			break;
		l->done = l->stop.len && slice_eq(key, l->stop);
		if (cache_selection_matches(&l->sel, o))
			return o;
	}
	l->done = true;
	return NULL;
}

static void rewind_items(struct lister *l)
{
	cache_cursor_seek(&l->cursor, &l->snap.tree, first_key(l));
	l->done = false;
}

/* What the tree holds before the end of the list's range. */
static struct cache_sum sum_before_end(struct lister *l)
{
	struct slice prefix = l->sel.key_prefix;
	uint8_t *last;

	if (!prefix.len)
		return cache_tree_sum(&l->snap.tree);
	last = arena_memdup(l->c->a, prefix.data, prefix.len);
	last[prefix.len - 1]++; /* '/' becomes '0' */
	return cache_tree_sum_below(&l->snap.tree, slice_of(last, prefix.len));
}

/* Number of keys behind `key` in the list's range. */
static int64_t keys_behind(struct lister *l, struct slice key)
{
	return (int64_t)(sum_before_end(l).count - cache_tree_rank(&l->snap.tree, key)) - 1;
}

/* With a limit: where the page ends, and what the list's metadata says of the rest. */
static void plan_page(struct lister *l)
{
	struct cache_object *o, *last = NULL;
	int64_t n = 0;

	l->remaining = -1;
	if (!l->plan.limit)
		return;
	rewind_items(l);
	while (n < l->plan.limit && (o = next_item(l))) {
		last = o;
		n++;
	}
	/* As upstream, it goes on as long as there are keys, whether they will match or not. */
	o = n == l->plan.limit && !l->done ? cache_cursor_next(&l->cursor) : NULL;
	if (!o || !slice_has_prefix(cache_object_key(o), l->sel.key_prefix) || l->sel.key.len)
		return;
	l->stop = cache_object_key(last);
	l->token =
	    continue_encode(l->c->a, l->snap.revision, slice_skip(l->stop, l->sel.key_prefix.len));
	if (cache_selection_is_range(&l->sel))
		l->remaining = keys_behind(l, l->stop);
	cacher_keep(l->c->cache, &l->snap);
}

/* --- frame ----------------------------------------------------------------------------------- */

static const char *group_version(struct call *c)
{
	return c->res->group[0] ? arena_printf(c->a, "%s/%s", c->res->group, c->res->version)
	                        : c->res->version;
}

static bool is_partial(const struct call *c)
{
	return c->req->accept.as == AS_PARTIAL_METADATA ||
	       c->req->accept.as == AS_PARTIAL_METADATA_LIST;
}

static void list_type(struct call *c, const char **ret_version, const char **ret_kind)
{
	if (is_partial(c)) {
		*ret_version = arena_printf(c->a, "meta.k8s.io/%s", c->req->accept.as_version);
		*ret_kind = "PartialObjectMetadataList";
	} else {
		*ret_version = group_version(c);
		*ret_kind = c->res->list_kind;
	}
}

static void begin_json(struct lister *l)
{
	const char *version, *kind;

	list_type(l->c, &version, &kind);
	buf_printf(&l->out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{", kind, version);
	buf_printf(&l->out, "\"resourceVersion\":\"%lld\"", (long long)l->snap.revision);
	if (l->token)
		buf_printf(&l->out, ",\"continue\":\"%s\"", l->token);
	if (l->remaining >= 0)
		buf_printf(&l->out, ",\"remainingItemCount\":%lld", (long long)l->remaining);
	buf_str(&l->out, "},\"items\":[");
}

static void list_meta_pb(struct lister *l, struct buf *out)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)l->snap.revision);

	wire_put_bytes(out, 1, SLICE_EMPTY);
	wire_put_bytes(out, 2, slice_of(text, (size_t)n));
	wire_put_bytes(out, 3, slice_str(l->token));
	if (l->remaining >= 0) {
		wire_put_varint(out, 4 << 3);
		wire_put_varint(out, (uint64_t)l->remaining);
	}
}

static void begin_pb(struct lister *l)
{
	_cleanup_buf_ struct buf type = BUF_INIT, meta = BUF_INIT;
	const char *version, *kind;

	list_type(l->c, &version, &kind);
	wire_put_bytes(&type, 1, slice_str(version));
	wire_put_bytes(&type, 2, slice_str(kind));
	list_meta_pb(l, &meta);
	buf_add(&l->out, "k8s", 4);
	wire_put_bytes(&l->out, 1, buf_view(&type));
	wire_put_varint(&l->out, 2 << 3 | 2);
	wire_put_varint(&l->out, 1 + wire_varint_bytes(meta.len) + meta.len + l->items_bytes);
	wire_put_bytes(&l->out, 1, buf_view(&meta));
}

static void begin_table(struct lister *l)
{
	table_begin(l->c,
	            &(struct table_meta){.revision = l->snap.revision,
	                                 .continue_token = l->token,
	                                 .remaining = l->remaining},
	            true, &l->out);
}

static void end_frame(struct lister *l)
{
	if (l->table) {
		/* Upstream's generic table of nothing has null for rows. */
		if (!l->n && l->c->res->columns == &table_columns_default) {
			l->out.len--;
			buf_str(&l->out, "null}\n");
			return;
		}
		table_end(&l->out);
	} else if (l->pb) {
		wire_put_bytes(&l->out, 3, SLICE_EMPTY);
		wire_put_bytes(&l->out, 4, SLICE_EMPTY);
	} else {
		buf_str(&l->out, "]}\n");
	}
}

/* --- items ----------------------------------------------------------------------------------- */

static int add_row(struct lister *l, const struct cache_object *o, struct err *err)
{
	struct arena *mine = l->c->ctx.arena;
	_cleanup_arena_ struct arena a;
	struct object obj;
	int r;

	arena_init(&a);
	r = stored_decode(l->c->res, blob_view(o->blob), o->mod_revision, &a, &obj, err);
	if (r < 0)
		return r;
	l->c->ctx.arena = &a;
	table_row_add(l->c, &obj, l->n == 0, &l->out);
	l->c->ctx.arena = mine;
	return 0;
}

/* The length of an item whose field takes `weight` bytes. */
static size_t item_len(uint32_t weight)
{
	size_t n = weight - 2;

	while (1 + wire_varint_bytes(n) + n > weight)
		n--;
	return n;
}

static int add_weighed(struct lister *l, const struct cache_object *o, struct err *err)
{
	size_t n = item_len(o->weight), from;
	int r;

	wire_put_varint(&l->out, 2 << 3 | 2);
	wire_put_varint(&l->out, n);
	from = l->out.len;
	r = stored_raw(blob_view(o->blob), o->mod_revision, &l->out, err);
	if (r == 0 && l->out.len - from != n)
		r = err_set(err, ERR_CORRUPT, "stored object is not what it was");
	return r;
}

static int add_pb(struct lister *l, const struct cache_object *o, struct err *err)
{
	_cleanup_buf_ struct buf item = BUF_INIT;
	int r;

	if (l->weighed && o->weight)
		return add_weighed(l, o, err);
	r = encode_stored(l->c, blob_view(o->blob), o->mod_revision, true, &item, err);
	if (r == 0)
		wire_put_bytes(&l->out, 2, buf_view(&item));
	return r;
}

static int add_item(struct lister *l, const struct cache_object *o, struct err *err)
{
	int r;

	if (l->table) {
		r = add_row(l, o, err);
	} else if (l->pb) {
		r = add_pb(l, o, err);
	} else {
		if (l->n)
			buf_byte(&l->out, ',');
		r = encode_stored(l->c, blob_view(o->blob), o->mod_revision, true, &l->out, err);
	}
	l->n++;
	return r;
}

/* --- sending --------------------------------------------------------------------------------- */

static void lister_free(struct lister *l)
{
	cacher_snapshot_deinit(&l->snap);
	buf_deinit(&l->out);
	buf_deinit(&l->at);
}

static void list_fail(struct lister *l, const struct err *err)
{
	struct call *c = l->c;
	bool started = l->started;

	lister_free(l);
	if (started)
		response_abort(c->sink);
	else
		call_refuse(c, status_internal(c->a, err->text));
}

static void list_end(struct lister *l)
{
	struct call *c = l->c;
	_cleanup_buf_ struct buf other = BUF_INIT;
	struct buf *out = &l->out;
	struct jvalue *tree;

	if (!l->started) {
		call_flush_warnings(c);
		if (l->yaml && jvalue_parse(buf_view(out), c->a, NULL, &tree, NULL) == 0) {
			yaml_write(tree, &other);
			out = &other;
		} else if (c->req->accept.pretty && !l->pb) {
			json_write_indented(&other, buf_view(out), "  ");
			buf_byte(&other, '\n');
			out = &other;
		}
		response_reply(c->sink, 200, call_content_type(c), buf_view(out));
		lister_free(l);
		return;
	}
	ERR_IGNORE(response_chunk(c->sink, buf_view(out))); /* the last: nothing waits for room */
	lister_free(l);
	response_end(c->sink);
}

static void list_closed(void *arg)
{
	struct lister *l = arg;
	struct call *c = l->c;
	bool started = l->started;

	lister_free(l);
	if (started)
		response_end(c->sink);
	else
		response_abort(c->sink);
}

/* Sends what has been written. True when the sink wants us to wait. */
static bool flush(struct lister *l)
{
	struct response_sink *sink = l->c->sink;
	int full;

	if (!l->started) {
		call_flush_warnings(l->c);
		sink->arg = l;
		sink->on_writable = list_more;
		sink->on_closed = NULL;
		response_status(sink, 200, call_content_type(l->c), -1);
		l->started = true;
	}
	full = response_chunk(sink, buf_view(&l->out));
	buf_clear(&l->out);
	if (full)
		sink->on_closed = list_closed;
	return full != 0;
}

static void list_more(void *arg)
{
	struct lister *l = arg;
	uint64_t until = clock_mono_ns() + TURN_NS;
	struct err err = ERR_INIT;
	struct cache_object *o;

	l->c->sink->on_closed = NULL;
	if (l->c->sink->closed) {
		list_closed(l);
		return;
	}
	while ((o = next_item(l))) {
		if (add_item(l, o, &err) < 0) {
			list_fail(l, &err);
			return;
		}
		if (l->yaml || l->out.len < CHUNK_BYTES)
			continue;
		if (flush(l))
			return;
		if (clock_mono_ns() > until) {
			loop_post(l->c->req->loop, list_more, l);
			return;
		}
	}
	end_frame(l);
	list_end(l);
}

/* --- measuring ------------------------------------------------------------------------------- */

/* The envelope of a protobuf list wants the length of what it holds. */

static int item_bytes(struct lister *l, const struct cache_object *o, struct err *err)
{
	_cleanup_buf_ struct buf item = BUF_INIT;
	int r;

	if (l->weighed && o->weight) {
		l->items_bytes += o->weight;
		return 0;
	}
	r = encode_stored(l->c, blob_view(o->blob), o->mod_revision, true, &item, err);
	l->items_bytes += 1 + wire_varint_bytes(item.len) + item.len;
	return r;
}

static void send_pb(struct lister *l)
{
	begin_pb(l);
	rewind_items(l);
	list_more(l);
}

/* In turns, as the sending: others are served meanwhile. */
static void measure_more(void *arg)
{
	struct lister *l = arg;
	uint64_t until = clock_mono_ns() + TURN_NS;
	struct err err = ERR_INIT;
	struct cache_object *o;

	if (l->c->sink->closed) {
		list_closed(l);
		return;
	}
	while ((o = next_item(l))) {
		if (item_bytes(l, o, &err) < 0) {
			list_fail(l, &err);
			return;
		}
		if (++l->measured % TURN_ITEMS == 0 && clock_mono_ns() > until) {
			loop_post(l->c->req->loop, measure_more, l);
			return;
		}
	}
	send_pb(l);
}

static void measure(struct lister *l)
{
	struct call *c = l->c;
	struct slice first = first_key(l);

	l->weighed = stored_is_plain(c->res) && c->req->accept.as == AS_OBJECT;
	if (l->weighed && cache_selection_is_range(&l->sel) && !l->stop.len) {
		l->items_bytes =
		    sum_before_end(l).weight - cache_tree_sum_below(&l->snap.tree, first).weight;
		send_pb(l);
		return;
	}
	rewind_items(l);
	measure_more(l);
}

static void list_send(struct lister *l)
{
	struct call *c = l->c;

	l->table = c->req->accept.as == AS_TABLE;
	l->yaml = c->req->accept.format == MEDIA_YAML;
	l->pb = c->req->accept.format == MEDIA_PROTOBUF;
	plan_page(l);
	if (l->pb && !l->table) {
		measure(l);
		return;
	}
	if (l->table)
		begin_table(l);
	else
		begin_json(l);
	rewind_items(l);
	list_more(l);
}

/* --- getting the snapshot -------------------------------------------------------------------- */

static const char TOO_OLD_CONTINUE[] =
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list.";

/* The revision of the list is compacted. A continued one may go on without it. */
static const struct status *expired_status(struct lister *l)
{
	struct arena *a = l->c->a;

	if (!l->plan.continued)
		return status_expired(a, "The resourceVersion for the provided list is too old.");
	struct status *s = status_expired(a, TOO_OLD_CONTINUE);
	s->continue_token = continue_encode_from(a, -1, l->plan.start);
	return s;
}

static void on_store_page(void *arg, const struct store_result *r);

static void read_page(struct lister *l)
{
	_cleanup_buf_ struct buf end = BUF_INIT;

	cacher_key(l->c->cache, SLICE_EMPTY, &end);
	end.data[end.len - 1]++;
	store_range(l->c->p->store, l->c->req->loop,
	            &(struct store_range){.key = buf_view(&l->at),
	                                  .end = buf_view(&end),
	                                  .revision = l->plan.revision,
	                                  .limit = STORE_PAGE},
	            on_store_page, l);
}

static void on_store_page(void *arg, const struct store_result *r)
{
	struct lister *l = arg;
	struct call *c = l->c;
	_cleanup_buf_ struct buf prefix = BUF_INIT;

	if (r->code < 0) {
		const struct status *s = r->code == -ERR_EXPIRED
		                             ? expired_status(l)
		                             : call_store_status(c, r->code, &r->err);

		lister_free(l);
		call_refuse(c, s);
		return;
	}
	cacher_key(c->cache, SLICE_EMPTY, &prefix);
	for (size_t i = 0; i < r->n_kvs; i++)
		cacher_add(c->cache, &l->snap.tree, slice_skip(r->kvs[i].key, prefix.len),
		           &r->kvs[i]);
	if (r->more && r->n_kvs) {
		buf_clear(&l->at);
		buf_slice(&l->at, r->kvs[r->n_kvs - 1].key);
		buf_byte(&l->at, 0);
		read_page(l);
		return;
	}
	l->snap.revision = l->plan.revision;
	list_send(l);
}

static void list_snapshot(struct call *c, void *arg)
{
	struct lister *l = arg;

	if (l->plan.mode != LIST_EXACT) {
		l->snap = cacher_snapshot(c->cache);
		list_send(l);
	} else if (cacher_snapshot_at(c->cache, l->plan.revision, &l->snap)) {
		list_send(l);
	} else {
		cacher_key(c->cache, SLICE_EMPTY, &l->at);
		read_page(l);
	}
}

void endpoint_list(struct call *c)
{
	struct lister *l = arena_new(c->a, struct lister);
	const struct status *s = list_plan_of(c->req, &l->plan);

	l->c = c;
	if (!s)
		s = call_selection(c, &l->sel);
	if (s) {
		call_refuse(c, s);
		return;
	}
	call_await(c,
	           l->plan.mode == LIST_FRESH ? FRESH_NOW
	           : l->plan.mode == LIST_ANY ? FRESH_ANY
	                                      : l->plan.revision,
	           list_snapshot, l);
}
