/* SPDX-License-Identifier: Apache-2.0 */
/* DELETECOLLECTION: one delete after the other over what a consistent read selects; objects that
 * are gone by then count as deleted. Answers with the list of what was selected. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"

#include "proto/codec.h"

struct collection {
	struct deletion d;
	struct call *c;
	struct cache_selection sel;
	struct cacher_snapshot snap;
	struct cache_cursor cursor;
	MetaV1__DeleteOptions *options;
	struct buf items;
	size_t n;
};

static void next(struct collection *k);

static void collection_end(struct collection *k, const struct status *s)
{
	struct call *c = k->c;
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (!s) {
		buf_printf(&out,
		           "{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\",\"metadata\":"
		           "{\"resourceVersion\":\"%lld\"},\"items\":[",
		           c->res->list_kind, c->res->group, c->res->group[0] ? "/" : "",
		           c->res->version, (long long)k->snap.revision);
		buf_slice(&out, buf_view(&k->items));
		buf_str(&out, "]}\n");
	}
	cacher_snapshot_deinit(&k->snap);
	buf_deinit(&k->items);
	if (s) {
		call_refuse(c, s);
		return;
	}
	call_flush_warnings(c);
	response_reply(c->sink, 200, "application/json", buf_view(&out));
}

static void one_done(struct deletion *d, struct object *obj, bool gone)
{
	next(CONTAINER_OF(d, struct collection, d));
}

static void one_failed(struct deletion *d, const struct status *s)
{
	struct collection *k = CONTAINER_OF(d, struct collection, d);

	if (s->code == 404)
		next(k);
	else
		collection_end(k, s);
}

static struct cache_object *next_object(struct collection *k)
{
	struct cache_object *o;

	while ((o = cache_cursor_next(&k->cursor)) &&
	       slice_has_prefix(cache_object_key(o), k->sel.key_prefix))
		if (cache_selection_matches(&k->sel, o))
			return o;
	return NULL;
}

static const char *namespace_of(struct call *c, const struct cache_object *o)
{
	struct slice ns = cache_object_namespace(o);

	return ns.len ? arena_strndup(c->a, ns.data, ns.len) : "";
}

static void next(struct collection *k)
{
	struct cache_object *o = next_object(k);
	struct call *c = k->c;
	struct err err = ERR_INIT;
	struct slice name;

	if (!o) {
		collection_end(k, NULL);
		return;
	}
	name = cache_object_name(o);
	if (k->n++)
		buf_byte(&k->items, ',');
	if (encode_stored(c, blob_view(o->blob), o->mod_revision, true, &k->items, &err) < 0) {
		collection_end(k, status_internal(c->a, err.text));
		return;
	}
	k->d = (struct deletion){.options = k->options, .done = one_done, .failed = one_failed};
	c->req->ns = namespace_of(c, o);
	deletion_start(&k->d, c, arena_strndup(c->a, name.data, name.len));
}

static void begin(struct call *c, void *arg)
{
	struct collection *k = arg;

	k->snap = cacher_snapshot(c->cache);
	cache_cursor_seek(&k->cursor, &k->snap.tree, k->sel.key_prefix);
	next(k);
}

void endpoint_delete_collection(struct call *c)
{
	struct collection *k = arena_new(c->a, struct collection);
	const struct status *s = call_delete_options(c, &k->options);

	k->c = c;
	if (!s)
		s = call_selection(c, &k->sel);
	if (s) {
		call_refuse(c, s);
		return;
	}
	warn_of_orphans(c, k->options);
	c->req->accept.format = MEDIA_JSON;
	c->req->accept.as = AS_OBJECT;
	call_await(c, FRESH_NOW, begin, k);
}
