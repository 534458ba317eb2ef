/* SPDX-License-Identifier: Apache-2.0 */
/* api_load URL CA CERT KEY KIND ...: loads an API server over HTTP/1.1 with a client certificate,
 * one connection a client, and prints one line "name=value ..." of numbers.
 *
 *   create PREFIX CLIENTS COUNT    COUNT config maps of 1 KB
 *   get PREFIX CLIENTS COUNT       reads them by name, COUNT times, PREFIX-0 ... PREFIX-999
 *   list ACCEPT COUNT              all config maps of the namespace, COUNT times, one after the
 * other watch PREFIX WATCHERS COUNT VERSION    WATCHERS, from this resource version on, see COUNT
 * config maps being created by 16 clients */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/net/http_client.h"
#include "common/net/loop.h"
#include "common/net/tls.h"

enum { DATA_BYTES = 700, NAMES = 1000, WATCH_WRITERS = 16 };

static const char MAPS[] = "/api/v1/namespaces/default/configmaps";

struct load {
	struct loop loop;
	struct http_client *client;
	const char *url, *kind, *prefix, *accept;
	unsigned long count, begun, done, failed;
	unsigned long watchers, ready, deliveries;
	size_t answer_bytes;
	uint64_t began_ns;
	uint64_t *samples;
};

struct one {
	struct load *load;
	uint64_t began_ns;
};

static void next(struct one *o);

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct one *o = arg;
	struct load *l = o->load;
	int status = code ? 0 : http_request_status(r);

	if (status != 200 && status != 201 && !l->failed++)
		fprintf(stderr, "%d %s\n", status, code ? err->text : "");
	l->samples[l->done++] = clock_mono_ns() - o->began_ns;
	l->answer_bytes = http_request_body(r).len;
	if (l->begun < l->count && !l->failed)
		next(o);
	else if (l->failed || (l->done == l->begun && !l->watchers))
		loop_stop(&l->loop);
}

static void next(struct one *o)
{
	struct load *l = o->load;
	char url[512], body[DATA_BYTES + 512], data[DATA_BYTES + 1];
	const struct http_header headers[] = {
	    {SLICE_LIT("accept"), slice_str(l->accept)},
	    {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
	};
	struct http_client_call call = {.url = url, .headers = headers, .n_headers = 2};
	unsigned long n = l->begun++;

	call.on_done = on_done;
	call.arg = o;
	call.max_body_bytes = 256 << 20;
	snprintf(url, sizeof(url), "%s%s", l->url, MAPS);
	if (!strcmp(l->kind, "get")) {
		snprintf(url, sizeof(url), "%s%s/%s-%lu", l->url, MAPS, l->prefix,
		         n * 7919 % NAMES);
	} else if (strcmp(l->kind, "list") != 0) {
		memset(data, 'x', DATA_BYTES);
		data[DATA_BYTES] = 0;
		int len = snprintf(body, sizeof(body),
		                   "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{"
		                   "\"name\":\"%s-%lu\"},\"data\":{\"key\":\"%s\"}}",
		                   l->prefix, n, data);
		call.method = "POST";
		call.body = slice_of(body, (size_t)len);
	}
	o->began_ns = clock_mono_ns();
	http_client_start(l->client, &call);
}

static void begin(struct load *l, unsigned long clients)
{
	l->began_ns = clock_mono_ns();
	for (unsigned long i = 0; i < clients && l->begun < l->count; i++) {
		struct one *o = calloc(1, sizeof(*o));
		if (!o)
			abort();
		o->load = l;
		next(o);
	}
}

static void on_watching(struct http_request *r, void *arg)
{
	struct load *l = arg;

	if (++l->ready == l->watchers)
		begin(l, WATCH_WRITERS);
}

/* Every event is one line. */
static void on_events(struct http_request *r, struct slice data, void *arg)
{
	struct load *l = arg;

	for (size_t i = 0; i < data.len; i++)
		l->deliveries += data.data[i] == '\n';
	if (l->deliveries == l->watchers * l->count)
		loop_stop(&l->loop);
}

static void on_watch_end(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct load *l = arg;

	l->failed++;
	fprintf(stderr, "a watch ended: %s\n", err->text);
	loop_stop(&l->loop);
}

static void watch(struct load *l, const char *version)
{
	char url[512];

	snprintf(url, sizeof(url), "%s%s?watch=1&resourceVersion=%s", l->url, MAPS, version);
	for (unsigned long i = 0; i < l->watchers; i++)
		http_client_start(l->client, &(struct http_client_call){.url = url,
		                                                        .on_head = on_watching,
		                                                        .on_body = on_events,
		                                                        .on_done = on_watch_end,
		                                                        .arg = l});
}

static int sample_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void report(struct load *l)
{
	double seconds = (double)(clock_mono_ns() - l->began_ns) / 1e9;

	qsort(l->samples, l->done, sizeof(*l->samples), sample_cmp);
	printf("seconds=%.4f rate=%.1f p50_ms=%.3f p99_ms=%.3f bytes=%zu deliveries=%lu\n", seconds,
	       (double)l->done / seconds, (double)l->samples[l->done / 2] / 1e6,
	       (double)l->samples[l->done * 99 / 100] / 1e6, l->answer_bytes, l->deliveries);
}

int main(int argc, char **argv)
{
	static struct load l;
	struct err err = ERR_INIT;
	struct tls_context *tls;

	if (argc < 8) {
		fprintf(stderr, "usage: api_load URL CA CERT KEY KIND ... (see the source)\n");
		return 2;
	}
	if (tls_context_new(&(struct tls_options){.ca_file = argv[2],
	                                          .cert_file = argv[3],
	                                          .key_file = argv[4]},
	                    &tls, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	l.url = argv[1];
	l.kind = argv[5];
	l.prefix = l.accept = argv[6];
	bool lists = !strcmp(l.kind, "list"), watches = !strcmp(l.kind, "watch");
	if (!lists)
		l.accept = "application/json";
	unsigned long clients = lists ? 1 : strtoul(argv[7], NULL, 10);
	l.count = strtoul(argv[lists ? 7 : 8], NULL, 10);
	l.samples = calloc(l.count + 1, sizeof(*l.samples));
	loop_init(&l.loop);
	http_client_new(&(struct http_client_options){.loop = &l.loop, .tls = tls, .max_idle = 64},
	                &l.client);
	if (watches) {
		l.watchers = clients;
		watch(&l, argc > 9 ? argv[9] : "");
	} else {
		begin(&l, clients);
	}
	loop_run(&l.loop);
	report(&l);
	http_client_free(l.client);
	tls_context_unref(tls);
	loop_deinit(&l.loop);
	free(l.samples);
	return l.failed > 0;
}
