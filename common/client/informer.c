/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/informer.h"

#include <stdio.h>
#include <string.h>
#include "common/base/log.h"
#include "common/client/informer_store.h"
#include "common/client/reflector.h"

struct informer {
	struct informers *owner;
	struct client_resource resource;
	char *ns, *label_selector, *field_selector, *id;
	struct informer_store store;
	struct reflector reflector;
	VEC(struct informer_handler) handlers;
	uint64_t generation; /* counts lists */
	bool synced;
};

struct synced_waiter {
	loop_fn fn;
	void *arg;
};

struct informers {
	struct client *client;
	VEC(struct informer *) all;
	VEC(struct synced_waiter) waiters;
	bool started;
};

/* --- changes --- */

static void tell_add(struct informer *inf, const struct informer_object *o)
{
	VEC_FOREACH (&inf->handlers, h)
		if (h->on_add)
			h->on_add(o, h->arg);
}

static void tell_update(struct informer *inf, const struct informer_object *old,
                        const struct informer_object *o)
{
	VEC_FOREACH (&inf->handlers, h)
		if (h->on_update)
			h->on_update(old, o, h->arg);
}

static void tell_delete(struct informer *inf, const struct informer_object *old)
{
	VEC_FOREACH (&inf->handlers, h)
		if (h->on_delete)
			h->on_delete(old, h->arg);
}

static void upsert(struct informer *inf, struct slice bytes)
{
	const struct informer_object *old = NULL, *fresh = NULL;
	if (informer_store_put(&inf->store, bytes, inf->generation, &old, &fresh)) {
		log_error(NULL, "An object could not be read",
		          LOG_STR("resource", inf->resource.name));
		return;
	}
	if (fresh && old && strcmp(old->uid, fresh->uid)) {
		/* Deleted and made again between two looks: handlers see both. */
		tell_delete(inf, old);
		tell_add(inf, fresh);
	} else if (fresh && old) {
		tell_update(inf, old, fresh);
	} else if (fresh) {
		tell_add(inf, fresh);
	}
	informer_object_unref(old);
}

static void on_list_begin(void *arg)
{
	struct informer *inf = arg;
	inf->generation++;
}

static void on_item(struct slice object, void *arg)
{
	upsert(arg, object);
}

static void tell_synced(struct informers *f)
{
	if (!informers_synced(f))
		return;
	VEC_FOREACH (&f->waiters, w)
		loop_post(client_loop(f->client), w->fn, w->arg);
	vec_clear(&f->waiters);
}

static void on_list_end(void *arg)
{
	struct informer *inf = arg;
	informer_objects stale = {0};
	informer_store_take_stale(&inf->store, inf->generation, &stale);
	VEC_FOREACH (&stale, old) {
		tell_delete(inf, *old);
		informer_object_unref(*old);
	}
	vec_deinit(&stale);
	inf->synced = true;
	tell_synced(inf->owner);
}

static void on_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	struct informer *inf = arg;
	if (type != CLIENT_DELETED) {
		upsert(inf, object);
		return;
	}
	const struct informer_object *old = informer_store_delete(&inf->store, object);
	if (old)
		tell_delete(inf, old);
	informer_object_unref(old);
}

/* --- transport --- */

static struct client_target target_of(const struct informer *inf)
{
	return (struct client_target){.resource = inf->resource, .ns = inf->ns};
}

static void *list_from_client(void *self, const struct client_list_options *o,
                              const struct client_list_ops *ops, void *arg)
{
	struct informer *inf = self;
	struct client_target t = target_of(inf);
	return client_list(inf->owner->client, &t, o, ops, arg);
}

static void *watch_from_client(void *self, const struct client_list_options *o,
                               const struct client_watch_ops *ops, void *arg)
{
	struct informer *inf = self;
	struct client_target t = target_of(inf);
	return client_watch(inf->owner->client, &t, o, ops, arg);
}

static void drop_from_client(void *self, void *stream)
{
	client_stream_drop(stream);
}

/* --- life cycle --- */

struct informers *informers_new(struct client *c)
{
	struct informers *f = calloc(1, sizeof *f);
	if (!f)
		abort();
	f->client = c;
	return f;
}

static void informer_free(struct informer *inf)
{
	reflector_stop(&inf->reflector);
	informer_store_deinit(&inf->store);
	vec_deinit(&inf->handlers);
	free((void *)(uintptr_t)inf->resource.group);
	free((void *)(uintptr_t)inf->resource.version);
	free((void *)(uintptr_t)inf->resource.name);
	free(inf->ns);
	free(inf->label_selector);
	free(inf->field_selector);
	free(inf->id);
	free(inf);
}

void informers_free(struct informers *f)
{
	if (!f)
		return;
	VEC_FOREACH (&f->all, inf)
		informer_free(*inf);
	vec_deinit(&f->all);
	vec_deinit(&f->waiters);
	free(f);
}

static struct informer *informer_new(struct informers *f, const struct client_resource *r,
                                     const char *ns, const char *labels, const char *fields,
                                     const char *id)
{
	struct informer *inf = calloc(1, sizeof *inf);
	if (!inf)
		abort();
	inf->owner = f;
	inf->resource = (struct client_resource){strdup(r->group ? r->group : ""),
	                                         strdup(r->version), strdup(r->name)};
	inf->ns = strdup(ns ? ns : "");
	inf->label_selector = strdup(labels ? labels : "");
	inf->field_selector = strdup(fields ? fields : "");
	inf->id = strdup(id);
	informer_store_init(&inf->store);
	struct reflector_transport t = {inf, list_from_client, watch_from_client, drop_from_client};
	struct reflector_sink sink = {on_list_begin, on_item, on_list_end, on_event, inf};
	reflector_init(&inf->reflector, client_loop(f->client), &t, &sink, inf->resource.name,
	               inf->label_selector, inf->field_selector);
	return inf;
}

struct informer *informers_get(struct informers *f, const struct client_resource *r, const char *ns,
                               const char *label_selector, const char *field_selector)
{
	_cleanup_buf_ struct buf id = BUF_INIT;
	buf_printf(&id, "%s/%s/%s|%s|%s|%s", r->group ? r->group : "", r->version, r->name,
	           ns ? ns : "", label_selector ? label_selector : "",
	           field_selector ? field_selector : "");
	VEC_FOREACH (&f->all, it)
		if (!strcmp((*it)->id, (char *)id.data))
			return *it;
	struct informer *inf =
	    informer_new(f, r, ns, label_selector, field_selector, (char *)id.data);
	*vec_push(&f->all) = inf;
	if (f->started)
		reflector_start(&inf->reflector);
	return inf;
}

void informers_start(struct informers *f)
{
	f->started = true;
	VEC_FOREACH (&f->all, inf)
		reflector_start(&(*inf)->reflector);
	tell_synced(f);
}

bool informers_synced(const struct informers *f)
{
	for (size_t i = 0; i < f->all.n; i++)
		if (!f->all.at[i]->synced)
			return false;
	return f->started;
}

void informers_on_synced(struct informers *f, loop_fn fn, void *arg)
{
	*vec_push(&f->waiters) = (struct synced_waiter){fn, arg};
	tell_synced(f);
}

/* --- reading --- */

static void add_one(const struct informer_object *o, void *arg)
{
	const struct informer_handler *h = arg;
	h->on_add(o, h->arg);
}

void informer_add_handler(struct informer *inf, const struct informer_handler *h)
{
	struct informer_handler copy = *h;
	if (h->on_add)
		informer_store_each(&inf->store, add_one, &copy);
	*vec_push(&inf->handlers) = copy;
}

bool informer_synced(const struct informer *inf)
{
	return inf->synced;
}

const struct informer_object *informer_get(const struct informer *inf, const char *ns,
                                           const char *name)
{
	char key[600];
	int n = snprintf(key, sizeof key, "%s%s%s", ns ? ns : "", ns && *ns ? "/" : "", name);
	return n >= 0 && (size_t)n < sizeof key ? informer_get_key(inf, key) : NULL;
}

const struct informer_object *informer_get_key(const struct informer *inf, const char *key)
{
	return informer_store_get(&inf->store, key);
}

size_t informer_count(const struct informer *inf)
{
	return inf->store.objects.n;
}

void informer_each(const struct informer *inf,
                   void (*fn)(const struct informer_object *o, void *arg), void *arg)
{
	informer_store_each(&inf->store, fn, arg);
}

unsigned informer_add_index(struct informer *inf, const char *name, informer_index_fn fn)
{
	return informer_store_add_index(&inf->store, name, fn);
}

const struct informer_object *const *informer_lookup(const struct informer *inf, unsigned index,
                                                     const char *value, size_t *ret_n)
{
	return informer_store_lookup(&inf->store, index, value, ret_n);
}

ProtobufCMessage *informer_object_decode(const struct informer_object *o,
                                         const struct schema_message *schema, struct arena *a)
{
	ProtobufCMessage *msg;
	struct err err;
	if (pb_decode(schema, o->bytes, a, &msg, &err)) {
		log_error(&err, "An object could not be decoded", LOG_STR("key", o->key));
		return NULL;
	}
	return msg;
}
