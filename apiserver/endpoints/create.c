/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"
#include "apiserver/endpoints/services.h"

enum { NAME_TRIES = 8, EVENT_TTL_S = 3600 };

struct creation {
	struct call *c;
	struct object obj;   /* as it will be stored */
	struct object given; /* as admission left it, when its name is generated */
	struct slice value;  /* what the store is to hold, in the arena */
	struct slice key;
	int64_t lease;
	int tries;
	bool dry;                     /* everything is checked: the answer follows */
	const struct status *refusal; /* what the client hears once all is given back */
};

static void try_store(struct creation *k);

static void creation_refuse(struct creation *k, const struct status *s)
{
	call_refuse(k->c, s);
}

static const struct status *encode(struct creation *k)
{
	struct call *c = k->c;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	if (stored_encode(c->res, &k->obj, c->a, &out, &err) < 0)
		return status_internal(c->a, err.text);
	k->value = slice_of(arena_memdup(c->a, out.data, out.len), out.len);
	return NULL;
}

/* The answer is what a reader of the store would see: empty lists are gone, for one. */
static void creation_done(struct creation *k, int64_t revision)
{
	call_reply_stored(k->c, 201, k->value, revision);
}

/* The key is taken: by what? */
static const struct status *exists(struct creation *k, struct slice value, int64_t revision)
{
	struct call *c = k->c;
	struct status *s =
	    status_already_exists(c->a, c->res->group, c->res->resource, k->obj.meta->name);
	struct object there;

	if (stored_decode(c->res, value, revision, c->a, &there, NULL) == 0 &&
	    object_terminating(&there))
		s->message = arena_printf(c->a, "object is being deleted: %s", s->message);
	return s;
}

static bool another_name(struct creation *k)
{
	return k->given.msg && ++k->tries < NAME_TRIES;
}

static void undone(void *arg)
{
	struct creation *k = arg;

	if (!k->refusal && k->dry)
		creation_done(k, 0);
	else if (!k->refusal)
		try_store(k);
	else
		creation_refuse(k, k->refusal);
}

/* Gives back what was taken; then the refusal, another try, or (dry run) the answer. */
static void undo(struct creation *k, const struct status *refusal)
{
	k->refusal = refusal;
	if (services_is(k->c))
		services_undo(k->c, &k->obj, NULL, undone, k);
	else
		undone(k);
}

static void on_stored(void *arg, const struct store_result *r)
{
	struct creation *k = arg;
	struct call *c = k->c;

	if (r->code == 0 && r->done)
		creation_done(k, r->revision);
	else if (r->code < 0)
		undo(k, call_store_status(c, r->code, &r->err));
	else if (another_name(k))
		undo(k, NULL);
	else if (r->n_kvs)
		undo(k, exists(k, r->kvs[0].value, r->kvs[0].mod_revision));
	else
		undo(k, status_already_exists(c->a, c->res->group, c->res->resource,
		                              k->obj.meta->name));
}

static void put(struct creation *k)
{
	store_put(k->c->p->store, k->c->req->loop, k->key, k->value, 0, k->lease, on_stored, k);
}

static void on_lease(void *arg, int code, const struct err *err, int64_t lease)
{
	struct creation *k = arg;

	if (code < 0) {
		undo(k, call_store_status(k->c, code, err));
		return;
	}
	k->lease = lease;
	put(k);
}

/* Dry run: everything but the transaction; the name must be free all the same. */
static void dry_run(struct call *c, void *arg)
{
	struct creation *k = arg;
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct cache_object *o = cache_tree_get(&s.tree, call_key(c, k->obj.meta->name));
	const struct status *refusal = NULL;

	if (o)
		refusal = exists(k, blob_view(o->blob), o->mod_revision);
	cacher_snapshot_deinit(&s);
	k->dry = true;
	undo(k, refusal);
}

static struct creation *creation_of(struct call *c)
{
	return CONTAINER_OF(c->admission.obj, struct creation, obj);
}

static void allocated(struct call *c, const struct status *refusal)
{
	struct creation *k = creation_of(c);
	const struct status *s = refusal;

	if (s) {
		creation_refuse(k, s);
		return;
	}
	s = encode(k);
	if (s) {
		undo(k, s);
		return;
	}
	if (c->dry_run) {
		call_await(c, FRESH_NOW, dry_run, k);
		return;
	}
	k->key = call_store_key(c, k->obj.meta->name);
	if (strcmp(c->res->storage_prefix, "/registry/events") == 0 && !k->lease)
		lease_pool_get(c->p->leases, c->req->loop,
		               c->p->o.event_ttl_s ? c->p->o.event_ttl_s : EVENT_TTL_S, on_lease,
		               k);
	else
		put(k);
}

static void validated(struct call *c)
{
	if (services_is(c))
		services_allocate(c, &creation_of(c)->obj, NULL, allocated);
	else
		allocated(c, NULL);
}

static void refused(struct call *c, const struct status *s)
{
	creation_refuse(creation_of(c), s);
}

/* Strategy and validation on a copy when the name is generated, since another name may be needed.
 */
static void try_store(struct creation *k)
{
	struct call *c = k->c;
	struct field_errors errs = field_errors_in(c->a);

	if (k->given.msg)
		k->obj = object_copy(c->a, &k->given);
	registry_before_create(&c->ctx, c->st, &k->obj, &errs);
	if (errs.n) {
		creation_refuse(k, call_invalid(c, &k->obj, &errs));
		return;
	}
	if (k->tries == 0)
		registry_warnings(&c->ctx, c->st, &k->obj, NULL, &c->warnings);
	c->admission.name = k->obj.meta->name;
	call_admit(c, true, validated, refused);
}

static void mutated(struct call *c)
{
	struct creation *k = CONTAINER_OF(c->admission.obj, struct creation, obj);
	const struct status *s = call_check_namespace(c, &k->obj);

	if (s) {
		creation_refuse(k, s);
		return;
	}
	if (!k->obj.meta->name[0] && k->obj.meta->generate_name[0])
		k->given = k->obj;
	try_store(k);
}

void create_object(struct call *c, struct object *obj)
{
	struct creation *k = arena_new(c->a, struct creation);

	k->c = c;
	k->obj = *obj;
	c->admission =
	    (struct admission_attrs){.op = ADMIT_CREATE, .obj = &k->obj, .name = obj->meta->name};
	call_admit(c, false, mutated, refused);
}

void endpoint_create(struct call *c)
{
	ProtobufCMessage *msg;
	struct type_meta meta;
	struct object obj;
	const struct status *s = call_decode_body(c, c->info->schema, &msg, &meta);

	if (s) {
		call_refuse(c, s);
		return;
	}
	obj = object_of(c->res, c->info->schema, msg);
	s = call_check_namespace(c, &obj);
	if (!s && obj.meta->resource_version[0])
		s = status_new(c->a, 500, "",
		               "resourceVersion should not be set on objects to be created");
	if (!s) {
		registry_defaults(&c->ctx, c->st, &obj);
		s = call_manage_fields(c, &obj, NULL);
	}
	if (s)
		call_refuse(c, s);
	else
		create_object(c, &obj);
}
