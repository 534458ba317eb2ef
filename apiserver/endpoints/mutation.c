/* SPDX-License-Identifier: Apache-2.0 */
/* The conflict loop: read, change, write if nobody else did, else again with what they wrote. The
 * first reading comes from the cache, which may lag: what fails on it is tried again on the store's
 * own answer before the client hears of it. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/services.h"

enum { ATTEMPTS_MAX = 64 };

static void attempt(struct mutation *m);

static void mutation_deinit(struct mutation *m)
{
	m->blob = blob_unref(m->blob);
}

static void refuse_now(struct mutation *m, const struct status *s)
{
	mutation_deinit(m);
	if (m->refused)
		m->refused(m, s);
	else
		call_refuse(m->c, s);
}

static void set_present(struct mutation *m, const struct store_kv *kv)
{
	m->live = true;
	m->blob = blob_unref(m->blob);
	m->revision = 0;
	if (kv) {
		m->blob = blob_dup(kv->value);
		m->revision = kv->mod_revision;
	}
}

static void on_present(void *arg, const struct store_result *r)
{
	struct mutation *m = arg;
	int64_t before = m->revision;
	const struct status *held = m->held;

	if (r->code < 0) {
		refuse_now(m, call_store_status(m->c, r->code, &r->err));
		return;
	}
	set_present(m, r->n_kvs ? &r->kvs[0] : NULL);
	m->held = NULL;
	if (held && before == m->revision)
		refuse_now(m, held); /* the cache was right */
	else
		attempt(m);
}

static void read_store(struct mutation *m)
{
	store_get(m->c->p->store, m->c->req->loop, call_store_key(m->c, m->name), on_present, m);
}

static void attempt(struct mutation *m)
{
	struct call *c = m->c;
	struct err err = ERR_INIT;

	c->warnings.n = m->n_warnings;
	if (++m->attempts > ATTEMPTS_MAX) {
		refuse_now(m, status_conflict(c->a, c->res->group, c->res->resource, m->name,
		                              STATUS_MODIFIED));
		return;
	}
	if (m->blob &&
	    stored_decode(c->res, blob_view(m->blob), m->revision, c->a, &m->old, &err) < 0) {
		refuse_now(m, status_internal(c->a, err.text));
		return;
	}
	m->attempt(m);
}

void mutation_start(struct mutation *m)
{
	struct call *c = m->c;
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct cache_object *o = cache_tree_get(&s.tree, call_key(c, m->name));

	m->n_warnings = c->warnings.n;
	if (o) {
		m->blob = blob_ref(o->blob);
		m->revision = o->mod_revision;
	}
	cacher_snapshot_deinit(&s);
	if (o)
		attempt(m);
	else
		read_store(m);
}

void mutation_refuse(struct mutation *m, const struct status *s)
{
	if (m->live) {
		refuse_now(m, s);
		return;
	}
	m->held = s;
	read_store(m);
}

static void put_finished(void *arg)
{
	struct mutation *m = arg;

	mutation_deinit(m);
	m->stored(m, &m->obj);
}

/* A Service lets go of the addresses that it no longer has; a dry run of those that it tried. */
static void finish_put(struct mutation *m, int64_t revision)
{
	struct call *c = m->c;

	m->obj.meta->resource_version = arena_printf(c->a, "%lld", (long long)revision);
	m->revision = revision;
	if (!services_is(c) || !m->blob)
		put_finished(m);
	else if (c->dry_run)
		services_undo(c, &m->obj, &m->old, put_finished, m);
	else
		services_forget(c, &m->old, &m->obj, put_finished, m);
}

void mutation_reply(struct mutation *m)
{
	if (m->value.len)
		call_reply_stored(m->c, 200, m->value, m->revision);
	else
		call_reply_object(m->c, 200, &m->obj);
}

static void try_again(void *arg)
{
	struct mutation *m = arg;

	if (m->held)
		refuse_now(m, m->held);
	else
		attempt(m);
}

static void on_put(void *arg, const struct store_result *r)
{
	struct mutation *m = arg;
	struct call *c = m->c;
	struct object *old;

	if (r->code == 0 && r->done) {
		finish_put(m, r->revision);
		return;
	}
	m->held = r->code < 0 ? call_store_status(c, r->code, &r->err) : NULL;
	old = arena_memdup(c->a, &m->old, sizeof(m->old));
	if (r->code == 0)
		set_present(m, r->n_kvs ? &r->kvs[0] : NULL);
	if (services_is(c))
		services_undo(c, &m->obj, old, try_again, m);
	else
		try_again(m);
}

static void put(struct mutation *m, int64_t lease)
{
	struct call *c = m->c;

	store_put(c->p->store, c->req->loop, call_store_key(c, m->name), m->value, m->revision,
	          lease, on_put, m);
}

static void on_lease(void *arg, int code, const struct err *err, int64_t lease)
{
	struct mutation *m = arg;

	if (code < 0)
		refuse_now(m, call_store_status(m->c, code, err));
	else
		put(m, lease);
}

void mutation_put(struct mutation *m, struct object *obj)
{
	enum { EVENT_TTL_S = 3600 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct call *c = m->c;
	struct err err = ERR_INIT;

	m->obj = *obj;
	if (stored_encode(c->res, obj, c->a, &out, &err) < 0) {
		refuse_now(m, status_internal(c->a, err.text));
		return;
	}
	m->value = slice_of(arena_memdup(c->a, out.data, out.len), out.len);
	if (c->dry_run) {
		finish_put(m, m->revision);
		return;
	}
	if (m->blob && slice_eq(m->value, blob_view(m->blob))) {
		/* Nothing changes. The cache may be behind, though: ask the store once. */
		if (m->live)
			finish_put(m, m->revision);
		else
			read_store(m);
		return;
	}
	if (strcmp(c->res->storage_prefix, "/registry/events") == 0)
		lease_pool_get(c->p->leases, c->req->loop,
		               c->p->o.event_ttl_s ? c->p->o.event_ttl_s : EVENT_TTL_S, on_lease,
		               m);
	else
		put(m, 0);
}

void mutation_keep(struct mutation *m, struct object *obj)
{
	m->obj = *obj;
	m->value = SLICE_EMPTY;
	finish_put(m, m->revision);
}

static void delete_finished(void *arg)
{
	struct mutation *m = arg;

	mutation_deinit(m);
	m->deleted(m, m->revision);
}

static void on_deleted(void *arg, const struct store_result *r)
{
	struct mutation *m = arg;
	struct call *c = m->c;

	if (r->code < 0) {
		refuse_now(m, call_store_status(c, r->code, &r->err));
		return;
	}
	if (!r->done) {
		set_present(m, r->n_kvs ? &r->kvs[0] : NULL);
		attempt(m);
		return;
	}
	m->revision = r->revision;
	if (services_is(c))
		services_forget(c, &m->old, NULL, delete_finished, m);
	else
		delete_finished(m);
}

void mutation_delete(struct mutation *m)
{
	struct call *c = m->c;

	if (c->dry_run) {
		mutation_deinit(m);
		m->deleted(m, m->revision);
		return;
	}
	store_delete(c->p->store, c->req->loop, call_store_key(c, m->name), m->revision, on_deleted,
	             m);
}
