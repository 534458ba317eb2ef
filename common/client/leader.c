/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/leader.h"

#include <string.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/client/meta_peek.h"
#include "common/client/reflector.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/pb_encode.h"
#include "proto/schema.h"

enum { HAND_OVER_MS = 50, STARTUP_MS = 200, RELEASE_MS = 3000 };

enum pending { NOTHING, TAKING, RENEWING, RELEASING };

struct leader {
	struct client *client;
	struct loop *loop;
	char *ns, *name, *identity, *selector;
	uint32_t lease_ms, renew_ms, retry_ms;
	void (*on_started)(void *arg);
	void (*on_stopped)(void *arg);
	void (*on_new_leader)(const char *identity, void *arg);
	void *arg;
	loop_fn stop_done;
	void *stop_arg;

	struct reflector reflector;
	struct loop_timer tick;
	struct rng rng;
	bool started, synced, leading, stopping;

	struct buf lease;     /* the last one seen, encoded; empty: there is none */
	char *holder;         /* of it */
	struct slice renewed; /* its renewTime's bytes, in `lease` */
	uint64_t observed_ms; /* when holder or renewTime last changed, by our clock */
	bool seen;            /* in the list that is running */

	struct client_call *call;
	enum pending pending;
	uint64_t call_ms;       /* when it began */
	uint64_t last_renew_ms; /* when the last one that went well began */
};

static const struct schema_message *lease_schema(void)
{
	return schema_of(&coordination_v1__lease__descriptor);
}

static uint64_t now(const struct leader *l)
{
	return loop_now_ms(l->loop);
}

/* --- what is observed --- */

static void stop_leading(struct leader *l, const char *why)
{
	if (!l->leading)
		return;
	l->leading = false;
	log_warning("Stopped leading", LOG_STR("lease", l->name), LOG_STR("reason", why));
	if (l->on_stopped)
		l->on_stopped(l->arg);
}

static void observe(struct leader *l, struct slice bytes)
{
	struct slice holder = pb_peek_path(bytes, 2, 1), renewed = pb_peek_path(bytes, 2, 4);
	bool changed = !slice_eq_str(holder, l->holder);
	if (changed || !slice_eq(renewed, l->renewed) || !l->lease.len)
		l->observed_ms = now(l);
	buf_clear(&l->lease);
	buf_slice(&l->lease, bytes);
	l->renewed = pb_peek_path(buf_view(&l->lease), 2, 4);
	if (!changed)
		return;
	free(l->holder);
	l->holder = strndup(holder.len ? (const char *)holder.data : "", holder.len);
	if (l->on_new_leader && *l->holder)
		l->on_new_leader(l->holder, l->arg);
	if (l->leading && l->pending == NOTHING && strcmp(l->holder, l->identity))
		stop_leading(l, "another candidate holds the lease");
	/* A free lease is taken at once; a little chance keeps candidates apart. */
	if (!*l->holder && !l->stopping && l->pending == NOTHING)
		loop_timer_start(&l->tick, rng_below(&l->rng, HAND_OVER_MS));
}

static void forget_lease(struct leader *l)
{
	buf_clear(&l->lease);
	l->renewed = SLICE_EMPTY;
	free(l->holder);
	l->holder = strdup("");
	if (!l->leading && !l->stopping && l->synced)
		loop_timer_start(&l->tick, rng_below(&l->rng, HAND_OVER_MS));
}

static void on_list_begin(void *arg)
{
	((struct leader *)arg)->seen = false;
}

static void on_item(struct slice object, void *arg)
{
	struct leader *l = arg;
	l->seen = true;
	observe(l, object);
}

static void on_list_end(void *arg)
{
	struct leader *l = arg;
	bool first = !l->synced;
	l->synced = true;
	if (!l->seen && l->lease.len)
		forget_lease(l);
	if (first && !loop_timer_active(&l->tick) && !l->stopping)
		loop_timer_start(&l->tick, rng_below(&l->rng, STARTUP_MS));
}

static void on_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	if (type == CLIENT_DELETED)
		forget_lease(arg);
	else
		observe(arg, object);
}

/* --- writing --- */

static void set_now(struct arena *a, MetaV1__MicroTime **to)
{
	int64_t ns = clock_real_ns();
	*to = (MetaV1__MicroTime *)pb_new(schema_of(&meta_v1__micro_time__descriptor), a);
	(*to)->has_seconds = (*to)->has_nanos = 1;
	(*to)->seconds = ns / 1000000000;
	(*to)->nanos = (int32_t)(ns % 1000000000 / 1000 * 1000);
}

static void on_written(const struct client_result *r, void *arg);

/* Writes the lease as it should be: held by us, renewed, or released. */
static void write_lease(struct leader *l, enum pending what)
{
	_cleanup_arena_ struct arena a;
	ProtobufCMessage *msg = NULL;
	arena_init(&a);
	bool create =
	    !l->lease.len || pb_decode(lease_schema(), buf_view(&l->lease), &a, &msg, NULL) != 0;
	if (create)
		msg = pb_new(lease_schema(), &a);
	CoordinationV1__Lease *lease = (CoordinationV1__Lease *)msg;
	CoordinationV1__LeaseSpec *spec = lease->spec;
	bool taken_over = strcmp(l->holder, l->identity) != 0;
	lease->metadata->name = l->name;
	lease->metadata->namespace_ = l->ns;
	spec->holder_identity = what == RELEASING ? arena_strdup(&a, "") : l->identity;
	spec->has_lease_duration_seconds = 1;
	spec->lease_duration_seconds = what == RELEASING ? 1 : (int32_t)MAX(l->lease_ms / 1000, 1U);
	set_now(&a, &spec->renew_time);
	if (what == TAKING && taken_over) {
		set_now(&a, &spec->acquire_time);
		spec->lease_transitions =
		    !create && spec->has_lease_transitions ? spec->lease_transitions + 1 : 0;
		spec->has_lease_transitions = 1;
	}
	struct client_target t = {{"coordination.k8s.io", "v1", "leases"}, l->ns, l->name, NULL};
	if (create)
		t.name = NULL;
	l->pending = what;
	l->call_ms = now(l);
	l->call = client_write_msg(l->client, create, &t, lease_schema(), msg, on_written, l);
}

static void finish_stop(struct leader *l)
{
	reflector_stop(&l->reflector);
	loop_timer_stop(&l->tick);
	if (l->stop_done)
		loop_post(l->loop, l->stop_done, l->stop_arg);
	l->stop_done = NULL;
}

static void on_written(const struct client_result *r, void *arg)
{
	struct leader *l = arg;
	enum pending what = l->pending;
	l->call = NULL;
	if (r->code == ERR_OK && r->object.len && what != RELEASING) {
		observe(l, r->object);
		l->last_renew_ms = l->call_ms;
	}
	l->pending = NOTHING;
	if (l->stopping) {
		/* What was in flight took or kept the lease: give it back now. */
		if (what != RELEASING && r->code == ERR_OK)
			write_lease(l, RELEASING);
		else
			finish_stop(l);
		return;
	}
	if (r->code == ERR_OK && what == TAKING) {
		l->leading = true;
		log_info("Acquired the lease", LOG_STR("lease", l->name),
		         LOG_STR("identity", l->identity));
		if (l->on_started)
			l->on_started(l->arg);
	} else if (r->code != ERR_OK) {
		log_v(r->code == ERR_CONFLICT || r->code == ERR_ALREADY_EXISTS ? 4 : 0,
		      "Could not write the lease", LOG_STR("lease", l->name),
		      LOG_STR("err", r->message));
		if (l->leading && *l->holder && strcmp(l->holder, l->identity))
			stop_leading(l, "another candidate holds the lease");
	}
}

/* --- time --- */

static bool may_take(const struct leader *l)
{
	return !l->lease.len || !*l->holder || !strcmp(l->holder, l->identity) ||
	       now(l) - l->observed_ms >= l->lease_ms;
}

static void on_tick(void *arg)
{
	struct leader *l = arg;
	uint64_t wait = l->retry_ms;
	if (l->stopping) { /* the release takes too long */
		if (l->call)
			client_call_drop(TAKE(l->call));
		finish_stop(l);
		return;
	}
	if (!l->leading) /* candidates spread out, as upstream's do */
		wait += rng_below(&l->rng, l->retry_ms + l->retry_ms / 5);
	loop_timer_start(&l->tick, wait);
	if (l->leading && now(l) - l->last_renew_ms >= l->renew_ms) {
		stop_leading(l, "the lease could not be renewed in time");
		return;
	}
	if (l->pending != NOTHING) {
		if (now(l) - l->call_ms < l->renew_ms / 2)
			return;
		client_call_drop(TAKE(l->call));
		l->pending = NOTHING;
	}
	if (l->leading)
		write_lease(l, RENEWING);
	else if (l->synced && may_take(l))
		write_lease(l, TAKING);
}

/* --- transport --- */

static struct client_target collection(const struct leader *l)
{
	return (struct client_target){.resource = {"coordination.k8s.io", "v1", "leases"},
	                              .ns = l->ns};
}

static void *list_leases(void *self, const struct client_list_options *o,
                         const struct client_list_ops *ops, void *arg)
{
	struct leader *l = self;
	struct client_target t = collection(l);
	return client_list(l->client, &t, o, ops, arg);
}

static void *watch_leases(void *self, const struct client_list_options *o,
                          const struct client_watch_ops *ops, void *arg)
{
	struct leader *l = self;
	struct client_target t = collection(l);
	return client_watch(l->client, &t, o, ops, arg);
}

static void drop_stream(void *self, void *stream)
{
	client_stream_drop(stream);
}

/* --- life cycle --- */

static char *make_identity(void)
{
	char host[256] = "localhost", uuid[37];
	struct buf b = BUF_INIT;
	if (gethostname(host, sizeof host - 1))
		host[0] = 0;
	rng_uuid(uuid);
	buf_printf(&b, "%s_%s", host, uuid);
	return buf_steal_str(&b);
}

struct leader *leader_new(const struct leader_options *o)
{
	struct leader *l = calloc(1, sizeof *l);
	struct buf selector = BUF_INIT;
	uint64_t seed;
	if (!l)
		abort();
	l->client = o->client;
	l->loop = client_loop(o->client);
	l->ns = strdup(o->ns);
	l->name = strdup(o->name);
	l->identity = o->identity ? strdup(o->identity) : make_identity();
	buf_printf(&selector, "metadata.name=%s", o->name);
	l->selector = buf_steal_str(&selector);
	l->lease_ms = o->lease_duration_ms ? o->lease_duration_ms : 15000;
	l->renew_ms = o->renew_deadline_ms ? o->renew_deadline_ms : 10000;
	l->retry_ms = o->retry_period_ms ? o->retry_period_ms : 2000;
	l->on_started = o->on_started;
	l->on_stopped = o->on_stopped;
	l->on_new_leader = o->on_new_leader;
	l->arg = o->arg;
	l->holder = strdup("");
	rng_system(&seed, sizeof seed);
	rng_init(&l->rng, seed);
	loop_timer_init(&l->tick, l->loop, on_tick, l);
	struct reflector_transport t = {l, list_leases, watch_leases, drop_stream};
	struct reflector_sink sink = {on_list_begin, on_item, on_list_end, on_event, l};
	reflector_init(&l->reflector, l->loop, &t, &sink, "leases", "", l->selector);
	return l;
}

void leader_start(struct leader *l)
{
	l->started = true;
	reflector_start(&l->reflector);
}

bool leader_is_leading(const struct leader *l)
{
	return l->leading;
}

const char *leader_identity(const struct leader *l)
{
	return l->identity;
}

void leader_stop(struct leader *l, loop_fn done, void *arg)
{
	bool was_leading = l->leading;
	l->stopping = true;
	l->stop_done = done;
	l->stop_arg = arg;
	l->leading = false;
	if (!was_leading && !l->call) {
		finish_stop(l);
		return;
	}
	loop_timer_start(&l->tick, RELEASE_MS);
	if (!l->call)
		write_lease(l, RELEASING);
}

void leader_free(struct leader *l)
{
	if (!l)
		return;
	if (l->call)
		client_call_drop(l->call);
	reflector_stop(&l->reflector);
	loop_timer_stop(&l->tick);
	buf_deinit(&l->lease);
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l->selector);
	free(l->holder);
	free(l);
}
