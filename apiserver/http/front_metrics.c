/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/front_metrics.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include <stdio.h>

static const double duration_bounds[] = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8,
                                         1.0,   1.25,  1.5,  2,   3,   4,   5,   6,
                                         8,     10,    15,   20,  30,  45,  60};

enum { SERIES_CACHE_SIZE = 4096 };

/* Finding a series by its labels costs a lock and much formatting: the series of a kind of request
 * are kept under a key of few bits. An entry never changes once it is published. */
struct series {
	const struct resource_info *info;
	uint64_t key;
	struct metric *total, *duration;
};

struct front_metrics {
	_Atomic(struct series *) cache[SERIES_CACHE_SIZE];
	struct metric_family *total, *duration, *long_running;
	struct metric *inflight_reads, *inflight_writes;
	atomic_uint *inflight;
};

static void on_write(void *arg)
{
	struct front_metrics *f = arg;

	metric_set(f->inflight_reads, atomic_load(&f->inflight[0]));
	metric_set(f->inflight_writes, atomic_load(&f->inflight[1]));
}

struct front_metrics *front_metrics_new(struct metrics *m, atomic_uint *inflight)
{
	if (!m)
		return NULL;
	struct front_metrics *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	f->inflight = inflight;
	f->total = metrics_counter(
	    m, "apiserver_request_total",
	    "Requests by verb, dry run, group, version, resource, scope, component and code.",
	    "verb,dry_run,group,version,resource,subresource,scope,component,code");
	f->duration = metrics_histogram(
	    m, "apiserver_request_duration_seconds",
	    "How long requests took, by verb, group, version, resource, scope and component.",
	    "verb,dry_run,group,version,resource,subresource,scope,component", duration_bounds,
	    ARRAY_LEN(duration_bounds));
	f->long_running = metrics_gauge(m, "apiserver_longrunning_requests",
	                                "Watches and other streams that are open.",
	                                "verb,group,version,resource,subresource,scope,component");
	struct metric_family *inflight_family =
	    metrics_gauge(m, "apiserver_current_inflight_requests",
	                  "Requests that are being served, by kind.", "request_kind");
	f->inflight_reads = metric_labels(inflight_family, "readOnly");
	f->inflight_writes = metric_labels(inflight_family, "mutating");
	metrics_on_write(m, on_write, f);
	return f;
}

void front_metrics_free(struct front_metrics *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < SERIES_CACHE_SIZE; i++)
		free(atomic_load(&f->cache[i]));
	free(f);
}

static const char *verb_label(const struct request *r)
{
	switch (r->verb) {
	case VERB_LIST:
		return "LIST";
	case VERB_WATCH:
		return "WATCH";
	case VERB_CREATE:
		return "POST";
	case VERB_UPDATE:
		return "PUT";
	case VERB_PATCH:
		return r->body_type == MEDIA_APPLY_YAML ? "APPLY" : "PATCH";
	case VERB_DELETE:
		return "DELETE";
	case VERB_DELETECOLLECTION:
		return "DELETECOLLECTION";
	case VERB_GET:
		return "GET";
	default:
		break;
	}
	/* Methods are the client's text: only the known ones become labels. */
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(r->method, methods[i]) == 0)
			return methods[i];
	}
	return "OTHER";
}

static const char *scope_label(const struct request *r)
{
	if (!r->is_resource)
		return "";
	if (r->name[0])
		return "resource";
	return r->ns[0] ? "namespace" : "cluster";
}

/* Names of resources that nobody serves are left out, so that clients cannot make series. */
static const char *known(const struct request *r, const char *name)
{
	return r->info ? name : "";
}

static struct metric *running(struct front_metrics *f, const struct request *r)
{
	return metric_labels(f->long_running, verb_label(r), known(r, r->group),
	                     known(r, r->version), known(r, r->resource), known(r, r->subresource),
	                     scope_label(r), "apiserver");
}

void front_metrics_begin(struct front_metrics *f, const struct request *r, bool long_running)
{
	if (f && long_running)
		metric_add(running(f, r), 1);
}

static void find_series(struct front_metrics *f, const struct request *r, int http_status,
                        struct series *ret)
{
	char code[16];
	const char *labels[] = {verb_label(r),
	                        r->options.dry_run ? "All" : "",
	                        known(r, r->group),
	                        known(r, r->version),
	                        known(r, r->resource),
	                        known(r, r->subresource),
	                        scope_label(r),
	                        "apiserver",
	                        code};

	snprintf(code, sizeof(code), "%d", http_status);
	ret->total = metric_with(f->total, labels);
	ret->duration = metric_with(f->duration, labels);
}

/* Everything that the labels are made of, besides the resource. */
static uint64_t series_key(const struct request *r, int http_status)
{
	const char *verb = verb_label(r), *scope = scope_label(r);

	return hash_bytes(verb, strlen(verb), 0) ^ (uint64_t)(unsigned char)scope[0] << 8 ^
	       (uint64_t)r->options.dry_run << 16 ^ (uint64_t)http_status << 24;
}

static struct series series_of(struct front_metrics *f, const struct request *r, int http_status)
{
	struct series want = {.info = r->info, .key = series_key(r, http_status)};
	uint64_t hash = (want.key ^ (uintptr_t)want.info) * 0x9e3779b97f4a7c15u;
	_Atomic(struct series *) *slot = &f->cache[hash % SERIES_CACHE_SIZE];
	struct series *found = atomic_load_explicit(slot, memory_order_acquire);

	if (found && found->info == want.info && found->key == want.key)
		return *found;
	find_series(f, r, http_status, &want);
	if (!found) {
		struct series *fresh = malloc(sizeof(*fresh));
		if (!fresh)
			abort();
		*fresh = want;
		if (!atomic_compare_exchange_strong(slot, &found, fresh))
			free(fresh);
	}
	return want;
}

void front_metrics_end(struct front_metrics *f, const struct request *r,
                       const struct response_sink *s, bool long_running)
{
	if (!f || !r->verb_name[0])
		return;
	struct series series = series_of(f, r, s->http_status);
	metric_inc(series.total);
	if (long_running)
		metric_add(running(f, r), -1);
	else
		metric_observe(series.duration,
		               (double)(clock_mono_ns() - r->received_mono_ns) / 1e9);
}
