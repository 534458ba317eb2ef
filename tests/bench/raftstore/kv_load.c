/* SPDX-License-Identifier: Apache-2.0 */
/* kv_load ENDPOINT put|get|range IN_FLIGHT SECONDS [BYTES [KEYS]]: calls a server of etcd's API,
 * with so many calls in flight on one connection, and prints calls a second and latencies. put
 * writes BYTES (256) under one of KEYS (10 000) keys, get reads one of them, range reads 100. */
#include <stdio.h>
#include "common/base/clock.h"
#include "common/net/loop.h"
#include "common/net/rpc_client.h"
#include "proto/etcd_rpc.pb-c.h"

enum { VALUE_BYTES_MAX = 1 << 16, RANGE_KEYS = 100, SAMPLES_MAX = 4 << 20 };

struct load {
	struct loop loop;
	struct rpc_channel *channel;
	const char *kind;
	uint64_t end_ns, began_ns;
	unsigned key, keys, value_bytes, in_flight, failed;
	uint64_t *samples;
	size_t n;
};

struct one {
	struct load *load;
	uint64_t began_ns;
};

static void start(struct one *o);

static void on_done(const struct rpc_result *r, void *arg)
{
	struct one *o = arg;
	struct load *l = o->load;
	uint64_t now = clock_mono_ns();
	if (r->code && !l->failed++)
		fprintf(stderr, "%s\n", r->text);
	if (l->n < SAMPLES_MAX)
		l->samples[l->n++] = now - o->began_ns;
	if (now < l->end_ns && !l->failed) {
		start(o);
		return;
	}
	free(o);
	if (!--l->in_flight)
		loop_stop(&l->loop);
}

static size_t pack(struct load *l, uint8_t *out)
{
	static uint8_t value[VALUE_BYTES_MAX];
	char key[32], end[32];
	unsigned at = (unsigned)(l->key++ * 7919ull % l->keys);
	int n = snprintf(key, sizeof(key), "/load/%08u", at);
	ProtobufCBinaryData k = {(size_t)n, (uint8_t *)key};
	if (!strcmp(l->kind, "put")) {
		Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
		q.key = k;
		q.value = (ProtobufCBinaryData){l->value_bytes, value};
		return etcdserverpb__put_request__pack(&q, out);
	}
	Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
	q.key = k;
	if (!strcmp(l->kind, "range")) {
		n = snprintf(end, sizeof(end), "/load/%08u", at + RANGE_KEYS);
		q.range_end = (ProtobufCBinaryData){(size_t)n, (uint8_t *)end};
	}
	return etcdserverpb__range_request__pack(&q, out);
}

static void start(struct one *o)
{
	static uint8_t bytes[VALUE_BYTES_MAX + 128];
	size_t n = pack(o->load, bytes);
	o->began_ns = clock_mono_ns();
	struct rpc_unary_args a = {
	    .method =
	        strcmp(o->load->kind, "put") ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put",
	    .message = slice_of(bytes, n),
	    .wait_for_ready = true,
	    .timeout_ms = 10000,
	    .done = on_done,
	    .arg = o,
	    .loop = &o->load->loop,
	};
	rpc_unary_start(o->load->channel, &a);
}

static int sample_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	if (argc < 5 || argc > 7) {
		fprintf(stderr,
		        "usage: kv_load ENDPOINT put|get|range IN_FLIGHT SECONDS [BYTES [KEYS]]\n");
		return 2;
	}
	static struct load l;
	struct err err = ERR_INIT;
	struct rpc_core *core = rpc_core_new(1);
	loop_init(&l.loop);
	if (rpc_channel_new(core, argv[1], &(struct rpc_channel_options){0}, &l.channel, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	l.kind = argv[2];
	l.samples = malloc(SAMPLES_MAX * sizeof(*l.samples));
	l.in_flight = (unsigned)strtoul(argv[3], NULL, 10);
	l.value_bytes = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 256;
	l.keys = argc > 6 ? (unsigned)strtoul(argv[6], NULL, 10) : 10000;
	if (l.value_bytes > VALUE_BYTES_MAX || !l.keys) {
		fprintf(stderr, "too many bytes, or no keys\n");
		return 2;
	}
	l.began_ns = clock_mono_ns();
	l.end_ns = l.began_ns + strtoull(argv[4], NULL, 10) * 1000000000;
	for (unsigned i = 0; i < l.in_flight; i++) {
		struct one *o = calloc(1, sizeof(*o));
		o->load = &l;
		start(o);
	}
	loop_run(&l.loop);
	double seconds = (double)(clock_mono_ns() - l.began_ns) / 1e9;
	qsort(l.samples, l.n, sizeof(*l.samples), sample_cmp);
	printf("%s: %.0f calls/s, p50 %.2f ms, p99 %.2f ms, failed %u\n", l.kind,
	       (double)l.n / seconds, (double)l.samples[l.n / 2] / 1e6,
	       (double)l.samples[l.n * 99 / 100] / 1e6, l.failed);
	rpc_channel_unref(l.channel);
	rpc_core_free(core);
	loop_deinit(&l.loop);
	return l.failed > 0;
}
