/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/recorder.h"

#include <stdio.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "proto/core_v1.pb-c.h"
#include "proto/pb_encode.h"
#include "proto/schema.h"

enum {
	WAITING_MAX = 1000,
	KNOWN_MAX = 4096,    /* remembered events, groups and sources, each */
	SIMILAR_MAX = 10,    /* events alike before they are combined */
	SIMILAR_MS = 600000, /* in that time */
	BURST = 25,          /* events about one object */
	REFILL_MS = 300000,  /* then one in that time */
	TRIES = 3,
	RETRY_MS = 10000,
	MESSAGE_LIMIT_BYTES = 1024,
};

/* An event that is on the server: the next one like it raises its count. */
struct known {
	char *name, *ns;
	int32_t count;
	int64_t first_ns;
};

/* How many different messages there were for one object and reason. */
struct group {
	uint64_t since_ms;
	unsigned n;
};

/* A token bucket for one object. */
struct bucket {
	double tokens;
	uint64_t at_ms;
};

/* One event on its way. */
struct event {
	struct recorder *recorder;
	char *key;        /* of known */
	struct buf bytes; /* a create, or a patch */
	char *ns, *name;
	bool is_patch;
	unsigned tries;
	struct client_call *call;
};

struct recorder {
	struct client *client;
	char *component, *instance;
	struct map known, groups, buckets;
	VEC(struct event *) waiting; /* the first one is being sent */
	struct loop_timer retry;
};

struct recorder *recorder_new(struct client *c, const char *component, const char *instance)
{
	struct recorder *r = calloc(1, sizeof *r);
	if (!r)
		abort();
	r->client = c;
	r->component = strdup(component);
	r->instance = strdup(instance ? instance : "");
	map_init(&r->known, 0);
	map_init(&r->groups, 0);
	map_init(&r->buckets, 0);
	return r;
}

static void known_free(struct known *k)
{
	free(k->name);
	free(k->ns);
	free(k);
}

static void event_free(struct event *e)
{
	buf_deinit(&e->bytes);
	free(e->key);
	free(e->ns);
	free(e->name);
	free(e);
}

static void forget_known(struct recorder *r)
{
	MAP_FOREACH (&r->known, slot)
		known_free(slot->value);
	map_deinit(&r->known);
	map_init(&r->known, 0);
}

/* A map of plain structs starts afresh when it is full. */
static void *find_or_new(struct map *m, const char *key, size_t bytes, bool *ret_new)
{
	void *v = map_get_str(m, key);
	*ret_new = !v;
	if (v)
		return v;
	if (m->n >= KNOWN_MAX) {
		MAP_FOREACH (m, slot)
			free(slot->value);
		map_deinit(m);
		map_init(m, 0);
	}
	v = calloc(1, bytes);
	if (!v)
		abort();
	map_put_str(m, key, v);
	return v;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	loop_timer_stop(&r->retry);
	VEC_FOREACH (&r->waiting, e) {
		if ((*e)->call)
			client_call_drop((*e)->call);
		event_free(*e);
	}
	vec_deinit(&r->waiting);
	forget_known(r);
	map_deinit(&r->known);
	MAP_FOREACH (&r->groups, slot)
		free(slot->value);
	map_deinit(&r->groups);
	MAP_FOREACH (&r->buckets, slot)
		free(slot->value);
	map_deinit(&r->buckets);
	free(r->component);
	free(r->instance);
	free(r);
}

/* --- sending: one at a time, in order --- */

static void send_first(void *arg);

static void first_is_done(struct recorder *r)
{
	event_free(r->waiting.at[0]);
	vec_remove(&r->waiting, 0);
	if (r->waiting.n)
		send_first(r);
}

static void on_sent(const struct client_result *result, void *arg)
{
	struct event *e = arg;
	struct recorder *r = e->recorder;
	e->call = NULL;
	bool again = result->http_status == 0 || result->code == ERR_TOO_MANY_REQUESTS;
	if (result->code == ERR_OK || !again || ++e->tries >= TRIES) {
		if (result->code != ERR_OK) {
			log_v(2, "An event was not written", LOG_STR("name", e->name),
			      LOG_STR("err", result->message));
			/* The next one like it begins anew. */
			struct known *k = map_del_str(&r->known, e->key);
			if (k)
				known_free(k);
		}
		first_is_done(r);
		return;
	}
	loop_timer_init(&r->retry, client_loop(r->client), send_first, r);
	loop_timer_start(&r->retry, RETRY_MS);
}

static void send_first(void *arg)
{
	struct recorder *r = arg;
	struct event *e = r->waiting.at[0];
	struct client_target t = {{"", "v1", "events"}, e->ns, e->is_patch ? e->name : NULL, NULL};
	e->call = e->is_patch ? client_patch(r->client, &t, CLIENT_PATCH_MERGE, buf_view(&e->bytes),
	                                     NULL, on_sent, e)
	                      : client_create(r->client, &t, buf_view(&e->bytes), NULL, on_sent, e);
}

static void queue_event(struct recorder *r, struct event *e)
{
	*vec_push(&r->waiting) = e;
	if (r->waiting.n == 1)
		send_first(r);
}

/* --- correlation --- */

static const char *text(const char *s)
{
	return s ? s : "";
}

static uint64_t now(const struct recorder *r)
{
	return loop_now_ms(client_loop(r->client));
}

/* May one more event be written about this object? */
static bool take_token(struct recorder *r, const char *object)
{
	bool fresh;
	struct bucket *b = find_or_new(&r->buckets, object, sizeof *b, &fresh);
	uint64_t t = now(r);
	b->tokens = fresh ? BURST : MIN(BURST, b->tokens + (double)(t - b->at_ms) / REFILL_MS);
	b->at_ms = t;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

/* Are there so many alike that only their number counts? */
static bool is_flood(struct recorder *r, const char *alike)
{
	bool fresh;
	struct group *g = find_or_new(&r->groups, alike, sizeof *g, &fresh);
	if (fresh || now(r) - g->since_ms > SIMILAR_MS) {
		g->since_ms = now(r);
		g->n = 0;
	}
	return ++g->n > SIMILAR_MAX;
}

static MetaV1__Time *pb_time(struct arena *a, int64_t ns)
{
	MetaV1__Time *t = (MetaV1__Time *)pb_new(schema_of(&meta_v1__time__descriptor), a);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = ns / 1000000000;
	t->nanos = 0;
	return t;
}

static char *str(const char *s)
{
	return (char *)(uintptr_t)text(s);
}

static struct event *new_create(struct recorder *r, const struct recorder_ref *ref, bool warning,
                                const char *reason, const char *action, const char *message,
                                struct known *k)
{
	_cleanup_arena_ struct arena a;
	struct event *e = calloc(1, sizeof *e);
	if (!e)
		abort();
	arena_init(&a);
	ProtobufCMessage *msg = pb_new(schema_of(&core_v1__event__descriptor), &a);
	CoreV1__Event *ev = (CoreV1__Event *)msg;
	ev->metadata->name = k->name;
	ev->metadata->namespace_ = k->ns;
	ev->involved_object->api_version = str(ref->api_version);
	ev->involved_object->kind = str(ref->kind);
	ev->involved_object->namespace_ = str(ref->ns);
	ev->involved_object->name = str(ref->name);
	ev->involved_object->uid = str(ref->uid);
	ev->involved_object->resource_version = str(ref->resource_version);
	ev->involved_object->field_path = str(ref->field_path);
	ev->reason = str(reason);
	ev->message = str(message);
	ev->source->component = r->component;
	ev->source->host = r->instance;
	ev->first_timestamp = ev->last_timestamp = pb_time(&a, k->first_ns);
	ev->has_count = 1;
	ev->count = 1;
	ev->type = str(warning ? "Warning" : "Normal");
	ev->action = str(action);
	ev->reporting_component = r->component;
	ev->reporting_instance = r->instance;
	pb_encode(schema_of(&core_v1__event__descriptor), msg, &e->bytes);
	return e;
}

static void add_timestamp(struct buf *b, int64_t ns)
{
	time_t sec = (time_t)(ns / 1000000000);
	struct tm tm;
	char out[32];
	gmtime_r(&sec, &tm);
	strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_str(b, out);
}

/* The count goes up; the rest of the event stays. */
static struct event *new_patch(const struct known *k)
{
	struct event *e = calloc(1, sizeof *e);
	if (!e)
		abort();
	e->is_patch = true;
	buf_printf(&e->bytes, "{\"count\":%d,\"lastTimestamp\":\"", (int)k->count);
	add_timestamp(&e->bytes, clock_real_ns());
	buf_str(&e->bytes, "\"}");
	return e;
}

static struct known *new_known(struct recorder *r, const struct recorder_ref *ref)
{
	struct known *k = calloc(1, sizeof *k);
	struct buf name = BUF_INIT;
	if (!k)
		abort();
	k->first_ns = clock_real_ns();
	buf_printf(&name, "%s.%llx", text(ref->name), (unsigned long long)k->first_ns);
	k->name = buf_steal_str(&name);
	/* Events about cluster-wide objects live in the namespace "default". */
	k->ns = strdup(ref->ns && *ref->ns ? ref->ns : "default");
	k->count = 1;
	return k;
}

void recorder_event(struct recorder *r, const struct recorder_ref *ref, bool warning,
                    const char *reason, const char *action, const char *fmt, ...)
{
	_cleanup_arena_ struct arena a;
	char message[MESSAGE_LIMIT_BYTES];
	va_list ap;
	arena_init(&a);
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	const char *object = arena_printf(&a, "%s/%s/%s/%s/%s", text(ref->kind), text(ref->ns),
	                                  text(ref->name), text(ref->uid), text(ref->field_path));
	const char *alike = arena_printf(&a, "%s|%d|%s", object, warning, reason);
	const char *key = arena_printf(&a, "%s|%s", alike, message);
	struct known *k = map_get_str(&r->known, key);
	const char *said = message;
	if (!k && is_flood(r, alike)) {
		key = arena_printf(&a, "%s|combined", alike);
		said = arena_printf(&a, "(combined from similar events): %s", message);
		k = map_get_str(&r->known, key);
	}
	if (r->waiting.n >= WAITING_MAX || !take_token(r, object)) {
		log_v(4, "An event was dropped", LOG_STR("object", object),
		      LOG_STR("reason", reason));
		return;
	}
	struct event *e;
	if (k) {
		k->count++;
		e = new_patch(k);
	} else {
		if (r->known.n >= KNOWN_MAX)
			forget_known(r);
		k = new_known(r, ref);
		map_put_str(&r->known, key, k);
		e = new_create(r, ref, warning, reason, action, said, k);
	}
	e->recorder = r;
	e->key = strdup(key);
	e->ns = strdup(k->ns);
	e->name = strdup(k->name);
	queue_event(r, e);
}
