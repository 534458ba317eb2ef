/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/services.h"

#include <stdio.h>

#include "apiserver/endpoints/fresh.h"
#include "apiserver/registry/core/service_alloc.h"
#include "common/net/loop.h"
#include "common/base/rng.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/pb_decode.h"

enum { TRIES = 8 };

struct services {
	struct pipeline *p;
	struct service_alloc *alloc;
	const struct resource_info *res, *ip_res;
	struct loop *loop; /* the state loop */
	struct watcher w;
	atomic_bool ready;
};

/* --- following ------------------------------------------------------------------------------- */

static bool decode(struct services *s, const struct cache_object *o, struct arena *a,
                   struct object *ret)
{
	return o && stored_decode(s->res, blob_view(o->blob), o->mod_revision, a, ret, NULL) == 0;
}

static int on_event(struct watcher *w, struct cache_event *e, enum cache_event_type type,
                    bool show_prev, bool shared)
{
	struct services *s = CONTAINER_OF(w, struct services, w);
	_cleanup_arena_ struct arena a;
	struct object now, prev;
	bool is, was;

	arena_init(&a);
	is = decode(s, e->object, &a, &now);
	was = decode(s, e->prev, &a, &prev);
	if (is)
		service_alloc_note(s->alloc, OBJECT_MSG(&now, CoreV1__Service));
	if (was)
		service_alloc_drop(s->alloc, OBJECT_MSG(&prev, CoreV1__Service),
		                   is ? OBJECT_MSG(&now, CoreV1__Service) : NULL);
	return 0;
}

static void follow(struct services *s);

/* The caches were filled anew. What went meanwhile stays marked, which is safe. */
static void on_ended(struct watcher *w, enum watcher_end why)
{
	follow(CONTAINER_OF(w, struct services, w));
}

static void on_filled(void *arg, int code, const struct err *err, int64_t revision)
{
	struct services *s = arg;
	struct cacher_snapshot snap;
	struct cache_cursor cursor;
	struct cache_object *o;

	if (code < 0) {
		follow(s);
		return;
	}
	s->w = (struct watcher){.loop = s->loop, .event = on_event, .ended = on_ended};
	watcher_start_now(&s->w, pipeline_cache(s->p, s->res), &snap);
	cache_cursor_seek(&cursor, &snap.tree, SLICE_EMPTY);
	while ((o = cache_cursor_next(&cursor))) {
		_cleanup_arena_ struct arena a;
		struct object obj;

		arena_init(&a);
		if (decode(s, o, &a, &obj))
			service_alloc_note(s->alloc, OBJECT_MSG(&obj, CoreV1__Service));
	}
	cacher_snapshot_deinit(&snap);
	watcher_resume(&s->w);
	atomic_store(&s->ready, true);
}

static void follow(struct services *s)
{
	cacher_fresh(s->p->cacher, s->loop, 1, 0, on_filled, s);
}

/* --- life cycle ------------------------------------------------------------------------------ */

static int parse(const char *ranges, const char *ports, struct service_alloc_options *o,
                 struct err *err)
{
	char text[128], *save = NULL;
	unsigned first = 0, last = 0;

	snprintf(text, sizeof(text), "%s", ranges);
	for (char *r = strtok_r(text, ",", &save); r; r = strtok_r(NULL, ",", &save))
		if (o->n_ranges == SERVICE_RANGES_MAX ||
		    !ip_prefix_parse(r, &o->ranges[o->n_ranges++]))
			return err_set(err, ERR_INVALID, "bad service cluster IP range: %s",
			               ranges);
	if (ports && ports[0] &&
	    (sscanf(ports, "%u-%u", &first, &last) != 2 || !first || first > last || last > 65535))
		return err_set(err, ERR_INVALID, "bad service node port range: %s", ports);
	o->first_port = (uint16_t)first;
	o->last_port = (uint16_t)last;
	return 0;
}

int services_new(struct pipeline *p, const char *ranges, const char *ports, struct services **ret,
                 struct err *err)
{
	struct service_alloc_options o = {0};
	int r = parse(ranges, ports, &o, err);
	struct services *s;

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->p = p;
	s->alloc = service_alloc_new(&o);
	s->res = resource_find("", "v1", "services", "");
	s->ip_res = resource_find("networking.k8s.io", "v1", "ipaddresses", "");
	s->loop = cacher_loop(p->cacher);
	p->service_alloc = s->alloc;
	*ret = s;
	follow(s);
	return 0;
}

void services_free(struct services *s)
{
	if (!s)
		return;
	watcher_stop(&s->w);
	service_alloc_free(s->alloc);
	free(s);
}

bool services_is(const struct call *c)
{
	return c->p->services && c->res == c->p->services->res && !c->info->parent;
}

/* --- claims ---------------------------------------------------------------------------------- */

static struct slice claim_key(struct call *c, const char *ip)
{
	struct services *s = c->p->services;
	_cleanup_buf_ struct buf b = BUF_INIT;

	cacher_key(pipeline_cache(c->p, s->ip_res), slice_str(ip), &b);
	return slice_of(arena_memdup(c->a, b.data, b.len), b.len);
}

static MetaV1__ObjectMeta__LabelsEntry *label(struct arena *a, const char *key, const char *value)
{
	MetaV1__ObjectMeta__LabelsEntry *e = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);

	meta_v1__object_meta__labels_entry__init(e);
	e->key = (char *)key;
	e->value = (char *)value;
	return e;
}

static const struct status *claim_value(struct call *c, const struct object *svc, const char *ip,
                                        struct slice *ret)
{
	struct services *s = c->p->services;
	ProtobufCMessage *msg = pb_new(s->ip_res->schema, c->a);
	struct object obj = object_of(s->ip_res, s->ip_res->schema, msg);
	NetworkingV1__IPAddress *addr = OBJECT_MSG(&obj, NetworkingV1__IPAddress);
	MetaV1__Time *now = arena_new(c->a, MetaV1__Time);
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct err err = ERR_INIT;
	char uid[37];

	rng_uuid(uid);
	meta_v1__time__init(now);
	now->has_seconds = now->has_nanos = 1;
	now->seconds = c->ctx.now_sec;
	obj.meta->name = (char *)ip;
	obj.meta->uid = arena_strdup(c->a, uid);
	obj.meta->creation_timestamp = now;
	obj.meta->labels = arena_array(c->a, MetaV1__ObjectMeta__LabelsEntry *, 2);
	obj.meta->labels[0] =
	    label(c->a, "ipaddress.kubernetes.io/ip-family", strchr(ip, ':') ? "IPv6" : "IPv4");
	obj.meta->labels[1] =
	    label(c->a, "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
	obj.meta->n_labels = 2;
	addr->spec->parent_ref = (NetworkingV1__ParentReference *)pb_new(
	    schema_of(&networking_v1__parent_reference__descriptor), c->a);
	addr->spec->parent_ref->resource = (char *)"services";
	addr->spec->parent_ref->namespace_ = svc->meta->namespace_;
	addr->spec->parent_ref->name = svc->meta->name;
	if (stored_encode(s->ip_res, &obj, c->a, &out, &err) < 0)
		return status_internal(c->a, err.text);
	*ret = slice_of(arena_memdup(c->a, out.data, out.len), out.len);
	return NULL;
}

static bool claim_is_ours(struct call *c, struct slice value, const struct object *svc)
{
	const NetworkingV1__ParentReference *ref;
	struct object obj;

	if (stored_decode(c->p->services->ip_res, value, 1, c->a, &obj, NULL) < 0)
		return false;
	ref = OBJECT_MSG(&obj, NetworkingV1__IPAddress)->spec->parent_ref;
	return ref && strcmp(ref->resource, "services") == 0 &&
	       strcmp(ref->namespace_, svc->meta->namespace_) == 0 &&
	       strcmp(ref->name, svc->meta->name) == 0;
}

static const CoreV1__ServiceSpec *spec_of(const struct object *obj)
{
	return OBJECT_MSG(obj, CoreV1__Service)->spec;
}

static bool holds(const struct object *obj, const char *ip)
{
	const CoreV1__ServiceSpec *s = obj ? spec_of(obj) : NULL;

	for (size_t i = 0; s && i < s->n_cluster_ips; i++)
		if (strcmp(s->cluster_ips[i], ip) == 0)
			return true;
	return false;
}

static bool is_address(const char *ip)
{
	return ip[0] && strcmp(ip, "None") != 0;
}

/* --- allocating ------------------------------------------------------------------------------ */

struct allocation {
	struct call *c;
	struct object *obj;
	const struct object *old;
	struct object before; /* the object as it came, for another try */
	void (*done)(struct call *c, const struct status *refusal);
	size_t at; /* the address being claimed */
	int tries;
	bool synced; /* the bitmaps have what the store had when we began */
	const struct status *refusal;
};

static void try(struct allocation *k);

static void reset(struct allocation *k)
{
	struct object copy = object_copy(k->c->a, &k->before);

	k->obj->msg = copy.msg;
	k->obj->meta = copy.meta;
}

static void on_synced(void *arg)
{
	struct allocation *k = arg;

	k->synced = true;
	reset(k);
	try(k);
}

static void on_state_loop(void *arg)
{
	struct allocation *k = arg;

	loop_post(k->c->req->loop, on_synced, k);
}

/* The follower was woken before the cache's answer came here: a turn of its loop later it has run.
 */
static void on_cached(struct call *c, void *arg)
{
	loop_post(c->p->services->loop, on_state_loop, arg);
}

static void claim_next(struct allocation *k);

static void on_undone(void *arg)
{
	struct allocation *k = arg;

	k->done(k->c, k->refusal);
}

static void refuse(struct allocation *k, const struct status *s)
{
	k->refusal = s;
	services_undo(k->c, k->obj, k->old, on_undone, k);
}

static void on_claimed(void *arg, const struct store_result *r)
{
	struct allocation *k = arg;
	struct call *c = k->c;

	if (r->code < 0) {
		refuse(k, call_store_status(c, r->code, &r->err));
		return;
	}
	if (r->done || (r->n_kvs && claim_is_ours(c, r->kvs[0].value, k->obj))) {
		k->at++;
		claim_next(k);
		return;
	}
	/* Another server was faster. The address stays marked here; take another one. */
	if (++k->tries < TRIES && !holds(&k->before, spec_of(k->obj)->cluster_ips[k->at])) {
		reset(k);
		try(k);
		return;
	}
	refuse(k, status_conflict(c->a, "", "services", k->obj->meta->name,
	                          "the cluster IP is claimed by another object"));
}

static void claim_next(struct allocation *k)
{
	const CoreV1__ServiceSpec *spec = spec_of(k->obj);
	struct call *c = k->c;
	const struct status *s;
	struct slice value;
	const char *ip;

	while (k->at < spec->n_cluster_ips &&
	       (!is_address(spec->cluster_ips[k->at]) || holds(k->old, spec->cluster_ips[k->at])))
		k->at++;
	if (k->at == spec->n_cluster_ips || c->dry_run) {
		k->done(c, NULL);
		return;
	}
	ip = spec->cluster_ips[k->at];
	s = claim_value(c, k->obj, ip, &value);
	if (s)
		refuse(k, s);
	else
		store_put(c->p->store, c->req->loop, claim_key(c, ip), value, 0, 0, on_claimed, k);
}

static void try(struct allocation *k)
{
	struct call *c = k->c;
	struct field_errors errs = field_errors_in(c->a);

	if (!atomic_load(&c->p->services->ready)) {
		call_await(c, FRESH_NOW, on_cached, k);
		return;
	}
	k->at = 0;
	c->st->allocate(&c->ctx, k->obj, k->old, &errs);
	if (!errs.n) {
		claim_next(k);
		return;
	}
	c->st->release(&c->ctx, k->obj, k->old);
	if (!k->synced)
		call_await(c, FRESH_NOW, on_cached, k);
	else
		k->done(c, call_invalid(c, k->obj, &errs));
}

void services_allocate(struct call *c, struct object *obj, const struct object *old,
                       void (*done)(struct call *c, const struct status *refusal))
{
	struct allocation *k = arena_new(c->a, struct allocation);

	k->c = c;
	k->obj = obj;
	k->old = old;
	k->done = done;
	k->before = object_copy(c->a, obj);
	try(k);
}

/* --- giving back ----------------------------------------------------------------------------- */

struct forgetting {
	struct call *c;
	const struct object *old, *now;
	void (*done)(void *arg);
	void *arg;
	size_t at;
};

static void forget_next(struct forgetting *f);

static void on_forgotten(void *arg, const struct store_result *r)
{
	struct forgetting *f = arg;

	f->at++;
	forget_next(f);
}

static void on_found(void *arg, const struct store_result *r)
{
	struct forgetting *f = arg;
	struct call *c = f->c;

	if (r->code < 0 || !r->n_kvs || !claim_is_ours(c, r->kvs[0].value, f->old)) {
		on_forgotten(f, r);
		return;
	}
	store_delete(c->p->store, c->req->loop, r->kvs[0].key, r->kvs[0].mod_revision, on_forgotten,
	             f);
}

static void forget_next(struct forgetting *f)
{
	const CoreV1__ServiceSpec *spec = spec_of(f->old);
	struct call *c = f->c;

	while (f->at < spec->n_cluster_ips &&
	       (!is_address(spec->cluster_ips[f->at]) || holds(f->now, spec->cluster_ips[f->at])))
		f->at++;
	if (f->at == spec->n_cluster_ips)
		f->done(f->arg);
	else
		store_get(c->p->store, c->req->loop, claim_key(c, spec->cluster_ips[f->at]),
		          on_found, f);
}

void services_forget(struct call *c, const struct object *old, const struct object *now,
                     void (*done)(void *arg), void *arg)
{
	struct forgetting *f = arena_new(c->a, struct forgetting);

	*f = (struct forgetting){.c = c, .old = old, .now = now, .done = done, .arg = arg};
	forget_next(f);
}

struct undoing {
	struct call *c;
	const struct object *obj, *old;
	void (*done)(void *arg);
	void *arg;
};

static void claims_gone(void *arg)
{
	struct undoing *u = arg;

	u->c->st->release(&u->c->ctx, u->obj, u->old);
	u->done(u->arg);
}

void services_undo(struct call *c, const struct object *obj, const struct object *old,
                   void (*done)(void *arg), void *arg)
{
	struct undoing *u = arena_new(c->a, struct undoing);

	*u = (struct undoing){.c = c, .obj = obj, .old = old, .done = done, .arg = arg};
	if (c->dry_run)
		claims_gone(u);
	else
		services_forget(c, obj, old, claims_gone, u);
}
