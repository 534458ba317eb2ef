/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/objects.h"

#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/client/reflector.h"
#include "proto/core_v1.pb-c.h"
#include "proto/schema_messages.h"

enum {
	UNUSED_MS = 60000,  /* how long one stays that nobody asks for */
	PATIENCE_MS = 1000, /* how long the first answer may take before it counts as failed */
	KEY_BYTES = 600,
};

static const struct {
	const char *resource, *word;
	const struct schema_message *schema;
} kinds[] = {
    [OBJECT_CONFIG_MAP] = {"configmaps", "configmap", &core_v1__config_map_schema},
    [OBJECT_SECRET] = {"secrets", "secret", &core_v1__secret_schema},
};

struct asker {
	loop_fn fn;
	void *arg;
};

struct entry {
	struct objects *o;
	enum object_kind kind;
	char *key, *ns, *name, *selector;
	struct reflector reflector;
	struct arena arena;
	const ProtobufCMessage *msg; /* NULL: there is none */
	bool listed;                 /* the list that is coming in has it */
	bool failed;                 /* the first answer takes too long */
	char error[320];
	struct loop_timer timer; /* of patience; when nobody asks: of removal */
	VEC(struct asker) askers;
};

struct objects {
	struct client *client;
	struct map entries;
};

struct objects *objects_new(struct client *c)
{
	struct objects *o = calloc(1, sizeof(*o));
	if (!o)
		abort();
	o->client = c;
	map_init(&o->entries, 0);
	return o;
}

static void entry_free(struct entry *e)
{
	reflector_stop(&e->reflector);
	loop_timer_stop(&e->timer);
	arena_deinit(&e->arena);
	vec_deinit(&e->askers);
	free(e->selector);
	free(e->name);
	free(e->ns);
	free(e->key);
	free(e);
}

void objects_free(struct objects *o)
{
	if (!o)
		return;
	MAP_FOREACH (&o->entries, it)
		entry_free(it->value);
	map_deinit(&o->entries);
	free(o);
}

/* Each asker may ask again or forget, and is called once. */
static void tell(struct entry *e)
{
	VEC(struct asker) now = {0};
	VEC_FOREACH (&e->askers, it)
		*vec_push(&now) = *it;
	VEC_FOREACH (&now, it) {
		bool there = false;
		VEC_FOREACH (&e->askers, x)
			there |= x->fn == it->fn && x->arg == it->arg;
		if (there)
			it->fn(it->arg);
	}
	vec_deinit(&now);
}

static bool is_immutable(const struct entry *e)
{
	if (!e->msg)
		return false;
	return e->kind == OBJECT_SECRET
	           ? ((const CoreV1__Secret *)(const void *)e->msg)->immutable
	           : ((const CoreV1__ConfigMap *)(const void *)e->msg)->immutable;
}

static void set(struct entry *e, struct slice object)
{
	struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	if (pb_decode(kinds[e->kind].schema, object, &a, &msg, &err)) {
		arena_deinit(&a);
		return;
	}
	arena_deinit(&e->arena);
	e->arena = a;
	e->msg = msg;
}

/* The sink of the reflector */

static void on_list_begin(void *arg)
{
	struct entry *e = arg;
	e->listed = false;
}

static void on_item(struct slice object, void *arg)
{
	struct entry *e = arg;
	e->listed = true;
	set(e, object);
}

static void on_list_end(void *arg)
{
	struct entry *e = arg;
	if (!e->listed)
		e->msg = NULL;
	e->failed = false;
	loop_timer_stop(&e->timer);
	if (is_immutable(e))
		reflector_stop(&e->reflector);
	tell(e);
}

static void on_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	struct entry *e = arg;
	(void)revision;
	if (type == CLIENT_DELETED)
		e->msg = NULL;
	else
		set(e, object);
	tell(e);
}

static void on_impatient(void *arg)
{
	struct entry *e = arg;
	e->failed = true;
	tell(e);
}

/* The transport of the reflector */

static struct client_target target(const struct entry *e)
{
	return (struct client_target){{"", "v1", kinds[e->kind].resource}, e->ns, "", ""};
}

static void *begin_list(void *self, const struct client_list_options *o,
                        const struct client_list_ops *ops, void *arg)
{
	struct entry *e = self;
	struct client_target t = target(e);
	return client_list(e->o->client, &t, o, ops, arg);
}

static void *begin_watch(void *self, const struct client_list_options *o,
                         const struct client_watch_ops *ops, void *arg)
{
	struct entry *e = self;
	struct client_target t = target(e);
	return client_watch(e->o->client, &t, o, ops, arg);
}

static void drop(void *self, void *stream)
{
	(void)self;
	client_stream_drop(stream);
}

/* Asking */

static struct entry *entry_new(struct objects *o, enum object_kind kind, const char *ns,
                               const char *name, const char *key)
{
	static const struct reflector_transport transport = {
	    .list = begin_list, .watch = begin_watch, .drop = drop};
	struct entry *e = calloc(1, sizeof(*e));
	if (!e || asprintf(&e->selector, "metadata.name=%s", name) < 0)
		abort();
	e->o = o;
	e->kind = kind;
	e->key = strdup(key);
	e->ns = strdup(ns);
	e->name = strdup(name);
	struct reflector_transport t = transport;
	t.self = e;
	struct reflector_sink sink = {on_list_begin, on_item, on_list_end, on_event, e};
	reflector_init(&e->reflector, client_loop(o->client), &t, &sink, kinds[kind].resource, "",
	               e->selector);
	loop_timer_init(&e->timer, client_loop(o->client), on_impatient, e);
	map_put_str(&o->entries, key, e);
	reflector_start(&e->reflector);
	return e;
}

static void add_asker(struct entry *e, loop_fn fn, void *arg)
{
	VEC_FOREACH (&e->askers, it)
		if (it->fn == fn && it->arg == arg)
			return;
	*vec_push(&e->askers) = (struct asker){fn, arg};
}

enum object_state objects_get(struct objects *o, enum object_kind kind, const char *ns,
                              const char *name, loop_fn fn, void *arg, struct object_view *ret)
{
	char key[KEY_BYTES];
	snprintf(key, sizeof(key), "%d/%s/%s", kind, ns, name);
	struct entry *e = map_get_str(&o->entries, key);
	bool fresh = !e;
	if (!e)
		e = entry_new(o, kind, ns, name, key);
	if (!e->askers.n)
		loop_timer_stop(&e->timer);
	add_asker(e, fn, arg);
	bool synced = e->reflector.synced;
	if (!synced && !e->failed) {
		if (fresh || !loop_timer_active(&e->timer)) {
			e->timer.fn = on_impatient;
			loop_timer_start(&e->timer, PATIENCE_MS);
		}
		return OBJECT_WAIT;
	}
	*ret = (struct object_view){.msg = e->msg, .missing = synced && !e->msg};
	if (synced && e->msg)
		return OBJECT_READY;
	if (synced)
		snprintf(e->error, sizeof(e->error), "%s \"%s\" not found", kinds[kind].word, name);
	else
		snprintf(e->error, sizeof(e->error),
		         "failed to sync %s cache: timed out waiting for the condition",
		         kinds[kind].word);
	ret->error = e->error;
	return OBJECT_FAILED;
}

static void on_unused(void *arg)
{
	struct entry *e = arg;
	map_del_str(&e->o->entries, e->key);
	entry_free(e);
}

void objects_forget(struct objects *o, const void *arg)
{
	MAP_FOREACH (&o->entries, it) {
		struct entry *e = it->value;
		size_t before = e->askers.n;
		for (size_t i = before; i-- > 0;)
			if (e->askers.at[i].arg == arg)
				vec_remove(&e->askers, i);
		if (before && !e->askers.n) {
			e->timer.fn = on_unused;
			loop_timer_start(&e->timer, UNUSED_MS);
		}
	}
}
