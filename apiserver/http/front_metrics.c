/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/front_metrics.h"
#include "common/base/clock.h"
#include <stdio.h>

static const double duration_bounds[] = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8,
                                         1.0,   1.25,  1.5,  2,   3,   4,   5,   6,
                                         8,     10,    15,   20,  30,  45,  60};

struct front_metrics {
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

void front_metrics_end(struct front_metrics *f, const struct request *r,
                       const struct response_sink *s, bool long_running)
{
	char code[16];

	if (!f || !r->verb_name[0])
		return;
	snprintf(code, sizeof(code), "%d", s->http_status);
	const char *labels[] = {verb_label(r),
	                        r->options.dry_run ? "All" : "",
	                        known(r, r->group),
	                        known(r, r->version),
	                        known(r, r->resource),
	                        known(r, r->subresource),
	                        scope_label(r),
	                        "apiserver",
	                        code};
	metric_inc(metric_with(f->total, labels));
	if (long_running)
		metric_add(running(f, r), -1);
	else
		metric_observe(metric_with(f->duration, labels),
		               (double)(clock_mono_ns() - r->received_mono_ns) / 1e9);
}
