/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/objects.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/client/client.h"
#include "proto/schema_messages.h"

enum { UNUSED_MS = 600000 };

struct waiter {
	loop_fn fn;
	void *arg;
};

struct entry {
	struct objects *o;
	enum object_kind kind;
	char *key; /* "kind/ns/name" */
	struct arena arena;
	const ProtobufCMessage *msg;
	char *error;
	bool missing;
	uint64_t fetched_ms, used_ms; /* fetched_ms: when the last answer was asked for; 0: none */
	uint64_t asked_ms;
	struct client_call *call;
	VEC(struct waiter) waiters;
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
	if (e->call)
		client_call_drop(e->call);
	arena_deinit(&e->arena);
	vec_deinit(&e->waiters);
	free(e->error);
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

void objects_forget(struct objects *o, const void *arg)
{
	MAP_FOREACH (&o->entries, it) {
		struct entry *e = it->value;
		for (size_t i = e->waiters.n; i-- > 0;)
			if (e->waiters.at[i].arg == arg)
				vec_remove(&e->waiters, i);
	}
}

/* Drops what nobody asked for lately. */
static void sweep(struct objects *o, uint64_t now)
{
	MAP_FOREACH (&o->entries, it) {
		struct entry *e = it->value;
		if (e->call || e->used_ms + UNUSED_MS > now)
			continue;
		map_del_str(&o->entries, e->key);
		entry_free(e);
	}
}

static void take(struct entry *e, const struct client_result *r)
{
	struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	const struct schema_message *schema =
	    e->kind == OBJECT_SECRET ? &core_v1__secret_schema : &core_v1__config_map_schema;
	int code = client_result_err(r, &err);
	if (!code)
		code = pb_decode(schema, r->object, &a, &msg, &err);
	if (code) {
		arena_deinit(&a);
		free(e->error);
		e->missing = r->code == ERR_NOT_FOUND;
		if (e->missing)
			err_set(&err, ERR_NOT_FOUND, "%s \"%s\" not found",
			        e->kind == OBJECT_SECRET ? "secret" : "configmap",
			        strrchr(e->key, '/') + 1);
		e->error = strdup(err.text);
		/* A broken connection leaves what was known. */
		if (e->msg && !e->missing && r->code != ERR_FORBIDDEN) {
			free(e->error);
			e->error = NULL;
		}
		return;
	}
	free(e->error);
	e->error = NULL;
	e->missing = false;
	arena_deinit(&e->arena);
	e->arena = a;
	e->msg = msg;
}

static void on_answer(const struct client_result *r, void *arg)
{
	struct entry *e = arg;
	e->call = NULL;
	e->fetched_ms = e->asked_ms;
	take(e, r);
	/* A waiter may ask again, or forget another. */
	while (e->waiters.n) {
		struct waiter w = vec_pop(&e->waiters);
		w.fn(w.arg);
	}
	sweep(e->o, clock_mono_ms());
}

static void fetch(struct entry *e, const char *ns, const char *name)
{
	struct client_target t = {.ns = ns, .name = name};
	t.resource =
	    (struct client_resource){"", "v1", e->kind == OBJECT_SECRET ? "secrets" : "configmaps"};
	e->asked_ms = clock_mono_ms();
	e->call = client_get(e->o->client, &t, on_answer, e);
}

enum object_state objects_get(struct objects *o, enum object_kind kind, const char *ns,
                              const char *name, uint64_t max_age_ms, loop_fn fn, void *arg,
                              struct object_view *ret)
{
	char key[600];
	uint64_t now = clock_mono_ms();
	snprintf(key, sizeof(key), "%d/%s/%s", kind, ns, name);
	struct entry *e = map_get_str(&o->entries, key);
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			abort();
		e->o = o;
		e->kind = kind;
		e->key = strdup(key);
		map_put_str(&o->entries, key, e);
	}
	e->used_ms = now;
	if (!e->fetched_ms || e->fetched_ms + max_age_ms < now) {
		bool there = false;
		for (size_t i = 0; i < e->waiters.n; i++)
			there |= e->waiters.at[i].fn == fn && e->waiters.at[i].arg == arg;
		if (!there)
			*vec_push(&e->waiters) = (struct waiter){fn, arg};
		if (!e->call)
			fetch(e, ns, name);
		return OBJECT_WAIT;
	}
	*ret = (struct object_view){e->msg, e->missing, e->error};
	return e->error ? OBJECT_FAILED : OBJECT_READY;
}
