/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/recorder.h"

#include <stdio.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/client/event_correlator.h"
#include "common/codec/json_writer.h"
#include "common/codec/rfc3339.h"
#include "proto/core_v1.pb-c.h"
#include "proto/pb_encode.h"
#include "proto/schema.h"

enum { WAITING_MAX = 1000, TRIES = 12, RETRY_MS = 10000, MESSAGE_LIMIT_BYTES = 1024 };

/* One event on its way: what is written is made when its turn comes. */
struct event {
	struct list waiting;
	struct recorder *recorder;
	char *key; /* of the correlator */
	char *ns, *name;
	struct buf object; /* the event as a whole, for a create */
	struct buf patch;  /* its count, when it is on the server already; empty: create */
	unsigned tries;
};

struct recorder {
	struct client *client;
	char *component, *instance;
	struct event_correlator correlator;
	struct list waiting; /* the first one is being sent */
	struct map by_key;   /* those that wait, but for the first one */
	size_t n_waiting;
	struct client_call *call;
	struct loop_timer retry;
};

static void send_first(void *arg);

struct recorder *recorder_new(struct client *c, const char *component, const char *instance)
{
	struct recorder *r = heap_new(struct recorder);
	r->client = c;
	r->component = heap_strdup(component);
	r->instance = heap_strdup(instance ? instance : "");
	event_correlator_init(&r->correlator, 0);
	list_init(&r->waiting);
	loop_timer_init(&r->retry, client_loop(c), send_first, r);
	return r;
}

static void event_free(struct event *e)
{
	list_del(&e->waiting);
	buf_deinit(&e->object);
	buf_deinit(&e->patch);
	free(e->key);
	free(e->ns);
	free(e->name);
	free(e);
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	loop_timer_stop(&r->retry);
	if (r->call)
		client_call_drop(r->call);
	LIST_FOREACH (&r->waiting, e, struct event, waiting)
		event_free(e);
	map_deinit(&r->by_key);
	event_correlator_deinit(&r->correlator);
	free(r->component);
	free(r->instance);
	free(r);
}

size_t recorder_waiting(const struct recorder *r)
{
	return r->n_waiting;
}

/* --- sending: one at a time, in order --- */

static struct event *first(const struct recorder *r)
{
	return list_first(&r->waiting, struct event, waiting);
}

/* What could not be written begins anew with the next event like it. */
static void set_created(struct recorder *r, const struct event *e, bool created)
{
	struct event_known *k = event_find(&r->correlator, e->key);
	if (k && k->name && !strcmp(k->name, e->name))
		k->created = created;
}

static void on_sent(const struct client_result *result, void *arg)
{
	struct recorder *r = arg;
	struct event *e = first(r);
	r->call = NULL;
	if (result->code == ERR_NOT_FOUND && e->patch.len) {
		/* The event is too old for the server: it is made again, with its count. */
		buf_clear(&e->patch);
		send_first(r);
		return;
	}
	bool again = result->http_status == 0 || result->code == ERR_TOO_MANY_REQUESTS;
	if (again && ++e->tries < TRIES) {
		loop_timer_start(&r->retry, RETRY_MS);
		return;
	}
	if (result->code != ERR_OK) {
		log_v(2, "An event was not written", LOG_STR("name", e->name),
		      LOG_STR("err", result->message));
		set_created(r, e, false);
	}
	event_free(e);
	r->n_waiting--;
	if (r->n_waiting)
		send_first(r);
}

static void send_first(void *arg)
{
	struct recorder *r = arg;
	struct event *e = first(r);
	bool patch = e->patch.len > 0;
	struct client_target t = {{"", "v1", "events"}, e->ns, patch ? e->name : NULL, NULL};
	if (map_get_str(&r->by_key, e->key) == e)
		map_del_str(&r->by_key, e->key);
	r->call = patch ? client_patch(r->client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&e->patch),
	                               NULL, on_sent, r)
	                : client_create(r->client, &t, buf_view(&e->object), NULL, on_sent, r);
}

/* --- what is written --- */

static const char *text(const char *s)
{
	return s ? s : "";
}

static char *str(const char *s)
{
	return (char *)(uintptr_t)text(s);
}

static MetaV1__Time *pb_time(struct arena *a, int64_t ns)
{
	MetaV1__Time *t = (MetaV1__Time *)pb_new(schema_of(&meta_v1__time__descriptor), a);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = ns / 1000000000;
	return t;
}

struct told {
	const struct recorder_ref *ref;
	const char *type, *reason, *action, *message;
	int64_t now_ns;
};

static void write_object(const struct recorder *r, const struct told *told,
                         const struct event_known *k, struct buf *out)
{
	_cleanup_arena_ struct arena a = {0};
	const struct recorder_ref *ref = told->ref;
	CoreV1__Event *ev = (CoreV1__Event *)pb_new(schema_of(&core_v1__event__descriptor), &a);
	ev->metadata->name = k->name;
	ev->metadata->namespace_ = k->ns;
	ev->involved_object->api_version = str(ref->api_version);
	ev->involved_object->kind = str(ref->kind);
	ev->involved_object->namespace_ = str(ref->ns);
	ev->involved_object->name = str(ref->name);
	ev->involved_object->uid = str(ref->uid);
	ev->involved_object->resource_version = str(ref->resource_version);
	ev->involved_object->field_path = str(ref->field_path);
	ev->reason = str(told->reason);
	ev->message = str(told->message);
	ev->source->component = r->component;
	ev->source->host = r->instance;
	ev->first_timestamp = pb_time(&a, k->first_ns);
	ev->last_timestamp = pb_time(&a, told->now_ns);
	ev->has_count = 1;
	ev->count = k->count;
	ev->type = str(told->type);
	ev->action = str(told->action);
	ev->reporting_component = r->component;
	ev->reporting_instance = r->instance;
	buf_clear(out);
	pb_encode(schema_of(&core_v1__event__descriptor), &ev->base, out);
}

static void write_patch(const struct told *told, const struct event_known *k, struct buf *out)
{
	char now[RFC3339_BYTES];
	rfc3339_format(told->now_ns / 1000000000, now);
	buf_clear(out);
	buf_printf(out, "{\"count\":%d,\"lastTimestamp\":\"%s\",\"message\":", (int)k->count, now);
	json_write_cstr(out, told->message);
	buf_str(out, "}");
}

/* --- what is told --- */

static void set_name(const struct recorder_ref *ref, struct event_known *k)
{
	struct buf name = BUF_INIT;
	if (k->name)
		return;
	buf_printf(&name, "%s.%llx", text(ref->name), (unsigned long long)k->first_ns);
	k->name = buf_steal_str(&name);
	/* Events about cluster-wide objects live in the namespace "default". */
	k->ns = heap_strdup(ref->ns && *ref->ns ? ref->ns : "default");
}

/* The event that waits under this key, or a new one at the end. */
static struct event *enqueue(struct recorder *r, const char *key, const struct event_known *k)
{
	struct event *e = map_get_str(&r->by_key, key);
	if (e)
		return e;
	e = heap_new(struct event);
	e->recorder = r;
	e->key = heap_strdup(key);
	e->ns = heap_strdup(k->ns);
	e->name = heap_strdup(k->name);
	list_add_tail(&r->waiting, &e->waiting);
	map_put_str(&r->by_key, key, e);
	r->n_waiting++;
	return e;
}

static void tell(struct recorder *r, struct told *told)
{
	_cleanup_arena_ struct arena a = {0};
	const struct recorder_ref *ref = told->ref;
	struct event_verdict v;
	struct event_identity id = {.message = told->message};
	id.object = arena_printf(&a, "%s/%s/%s/%s/%s", text(ref->api_version), text(ref->kind),
	                         text(ref->ns), text(ref->name), text(ref->uid));
	id.alike = arena_printf(&a, "%s|%s|%s", id.object, told->type, told->reason);
	id.exact =
	    arena_printf(&a, "%s|%s|%s", id.alike, text(ref->field_path), text(told->action));
	event_correlate(&r->correlator, &id, told->now_ns, &v);
	bool waits = map_get_str(&r->by_key, v.key) != NULL;
	if (v.skip || (!waits && r->n_waiting >= WAITING_MAX)) {
		log_v(4, "An event was dropped", LOG_STR("object", id.object),
		      LOG_STR("reason", told->reason));
		return;
	}
	if (v.combined)
		told->message =
		    arena_printf(&a, "(combined from similar events): %s", told->message);
	set_name(ref, v.known);
	bool fresh = !waits && !v.known->created;
	struct event *e = enqueue(r, v.key, v.known);
	write_object(r, told, v.known, &e->object);
	/* One that waits to be created goes with the count that it has by then. */
	if (!fresh && (!waits || e->patch.len))
		write_patch(told, v.known, &e->patch);
	v.known->created = true;
	if (!r->call && r->n_waiting == 1)
		loop_timer_start(&r->retry, 0);
}

void recorder_event(struct recorder *r, const struct recorder_ref *ref, bool warning,
                    const char *reason, const char *action, const char *fmt, ...)
{
	char message[MESSAGE_LIMIT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	tell(r, &(struct told){.ref = ref,
	                       .type = warning ? "Warning" : "Normal",
	                       .reason = reason,
	                       .action = action,
	                       .message = message,
	                       .now_ns = clock_real_ns()});
}
