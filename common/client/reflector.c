/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/reflector.h"

#include <stdio.h>
#include <string.h>
#include "common/base/log.h"
#include "common/client/meta_peek.h"

enum {
	BACKOFF_MIN_MS = 800,
	BACKOFF_MAX_MS = 30000,
	BACKOFF_UNREACHABLE_MS = 2000,
	SHORT_WATCH_MS = 1000,
	WATCH_SECONDS = 300, /* and up to as many again */
};

static void start_list(struct reflector *r);
static void start_watch(struct reflector *r);

static void on_retry(void *arg)
{
	struct reflector *r = arg;
	if (r->watching)
		start_watch(r);
	else
		start_list(r);
}

void reflector_init(struct reflector *r, struct loop *loop, const struct reflector_transport *t,
                    const struct reflector_sink *sink, const char *name, const char *label_selector,
                    const char *field_selector)
{
	uint64_t seed;
	*r = (struct reflector){.transport = *t,
	                        .sink = *sink,
	                        .name = name,
	                        .label_selector = label_selector,
	                        .field_selector = field_selector};
	rng_system(&seed, sizeof seed);
	rng_init(&r->rng, seed);
	loop_timer_init(&r->retry, loop, on_retry, r);
}

void reflector_start(struct reflector *r)
{
	if (r->running)
		return;
	r->running = true;
	loop_timer_start(&r->retry, 0);
}

void reflector_stop(struct reflector *r)
{
	r->running = false;
	loop_timer_stop(&r->retry);
	if (r->stream)
		r->transport.drop(r->transport.self, TAKE(r->stream));
}

static void succeeded(struct reflector *r)
{
	r->backoff_ms = 0;
	r->failures = 0;
}

/* Waits, twice as long each time and up to twice as long by chance; then on_retry. */
static void back_off(struct reflector *r, const struct client_result *result)
{
	bool unreachable = result->http_status == 0;
	uint64_t limit = unreachable ? BACKOFF_UNREACHABLE_MS : BACKOFF_MAX_MS;
	r->backoff_ms = r->backoff_ms ? MIN(r->backoff_ms * 2, limit) : BACKOFF_MIN_MS;
	uint64_t wait = r->backoff_ms + rng_below(&r->rng, r->backoff_ms);
	if (unreachable)
		wait = rng_below(&r->rng, r->backoff_ms) + 50;
	wait = MAX(wait, (uint64_t)MAX(result->retry_after_seconds, 0) * 1000);
	if (r->failures++ == 0)
		log_warning("Could not follow a resource; trying again",
		            LOG_STR("resource", r->name), LOG_STR("reason", result->reason),
		            LOG_STR("err", result->message));
	loop_timer_start(&r->retry, wait);
}

static void set_version(struct reflector *r, const char *version)
{
	snprintf(r->resource_version, sizeof r->resource_version, "%s", version);
}

static bool is_expired(const struct client_result *result)
{
	return result->code == ERR_EXPIRED || result->code == ERR_GONE;
}

/* --- lists --- */

static void on_item(struct slice object, void *arg)
{
	struct reflector *r = arg;
	r->sink.item(object, r->sink.arg);
}

static void on_list_end(const struct client_result *result, void *arg)
{
	struct reflector *r = arg;
	r->stream = NULL;
	if (result->code != ERR_OK) {
		/* A version that is forgotten, or that this server has not reached. */
		r->list_fresh |= is_expired(result) || result->code == ERR_TIMEOUT;
		back_off(r, result);
		return;
	}
	succeeded(r);
	set_version(r, result->resource_version);
	r->list_fresh = false;
	r->synced = true;
	r->watching = true;
	r->sink.list_end(r->sink.arg);
	if (r->running)
		start_watch(r);
}

static void start_list(struct reflector *r)
{
	static const struct client_list_ops ops = {on_item, on_list_end};
	const char *version = r->list_fresh ? "" : *r->resource_version ? r->resource_version : "0";
	struct client_list_options o = {.label_selector = r->label_selector,
	                                .field_selector = r->field_selector,
	                                .resource_version = version};
	r->watching = false;
	r->sink.list_begin(r->sink.arg);
	r->stream = r->transport.list(r->transport.self, &o, &ops, r);
}

/* --- watches --- */

static void on_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	struct reflector *r = arg;
	char version[24];
	r->watch_saw_event = true;
	succeeded(r);
	snprintf(version, sizeof version, "%lld", (long long)revision);
	set_version(r, version);
	if (type != CLIENT_BOOKMARK)
		r->sink.event(type, object, revision, r->sink.arg);
}

static void on_watch_end(const struct client_result *result, void *arg)
{
	struct reflector *r = arg;
	uint64_t lasted = loop_now_ms(r->retry.loop) - r->watch_began_ms;
	r->stream = NULL;
	if (is_expired(result)) {
		log_v(2, "The watched version was forgotten; listing again",
		      LOG_STR("resource", r->name), LOG_STR("version", r->resource_version));
		r->list_fresh = true;
		r->watching = false;
		loop_timer_start(&r->retry, 0);
	} else if (result->code == ERR_OK && (lasted >= SHORT_WATCH_MS || r->watch_saw_event)) {
		loop_timer_start(&r->retry, 0);
	} else if (result->code == ERR_OK || result->http_status == 0 ||
	           result->code == ERR_TOO_MANY_REQUESTS) {
		/* The connection broke or the server is busy: the watch resumes where it was. */
		bool first = r->failures == 0 && lasted >= SHORT_WATCH_MS;
		if (first)
			loop_timer_start(&r->retry, 0);
		else
			back_off(r, result);
		r->failures += first;
	} else {
		r->watching = false;
		back_off(r, result);
	}
}

static void start_watch(struct reflector *r)
{
	static const struct client_watch_ops ops = {on_event, on_watch_end};
	struct client_list_options o = {
	    .label_selector = r->label_selector,
	    .field_selector = r->field_selector,
	    .resource_version = r->resource_version,
	    .timeout_seconds = WATCH_SECONDS + (int64_t)rng_below(&r->rng, WATCH_SECONDS)};
	r->watch_began_ms = loop_now_ms(r->retry.loop);
	r->watch_saw_event = false;
	r->stream = r->transport.watch(r->transport.self, &o, &ops, r);
}
