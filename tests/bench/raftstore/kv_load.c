/* SPDX-License-Identifier: Apache-2.0 */
/* kv_load ENDPOINT NAME=VALUE...: loads a server of etcd's API over one connection and prints
 * NAME=VALUE pairs: calls and deliveries a second, latencies in milliseconds.
 *
 *   op=put      one of `keys` keys gets `bytes` bytes
 *   op=get      reads one key; op=range: 100 of them; serializable=1: without asking the leader
 *   op=count    counts all keys
 *   op=txn      as Kubernetes updates: if the key's revision is the known one then put else get;
 *               each client has a key of its own
 *   op=fill     writes all `keys` keys once, 100 a transaction
 *   op=watch    puts while `watchers` watchers on `streams` streams wait for every one of them
 *
 * clients: calls in flight. Ends after `seconds`, or after `count` calls when that is not 0.
 *
 * Whatever the load takes of the machine's cores the server beside it has not. So the client is one
 * of its own (rpc_light), which costs a fraction of a complete one and leaves the cores to the
 * servers. */
#include <stdio.h>
#include "common/base/clock.h"
#include "proto/etcd_rpc.pb-c.h"
#include "proto/pb_decode.h"
#include "tests/bench/raftstore/rpc_light.h"

enum { VALUE_BYTES_MAX = 1 << 16, RANGE_KEYS = 100, FILL_KEYS = 100, SAMPLES_MAX = 4 << 20 };
#define PREFIX "/load/"
#define PREFIX_END "/load0"

enum op { PUT, GET, RANGE, COUNT, TXN, FILL, WATCH, OPS };
static const char *const op_names[OPS] = {"put", "get", "range", "count", "txn", "fill", "watch"};

struct options {
	uint64_t clients, seconds, count, bytes, keys, serializable, watchers, streams;
	enum op op;
};

struct load {
	struct options o;
	struct rpc_light *rpc;
	uint64_t end_ns, began_ns, ended_ns, started, failed, running;
	uint64_t created, events, conflicts; /* watchers that wait; what they got; txns that lost */
	uint64_t *samples;
	size_t n;
	uint8_t value[VALUE_BYTES_MAX];
	struct buf bytes;   /* of the request that is being made */
	struct arena arena; /* of the response that is being read */
};

struct client {
	struct load *load;
	uint64_t began_ns, number;
	int64_t revision; /* of its key */
};

/* --- requests --- */

struct named_key {
	char text[32];
	ProtobufCBinaryData data;
};

static ProtobufCBinaryData key_of(struct named_key *k, uint64_t number)
{
	int n = snprintf(k->text, sizeof(k->text), PREFIX "%08llu", (unsigned long long)number);
	k->data = (ProtobufCBinaryData){(size_t)n, (uint8_t *)k->text};
	return k->data;
}

static Etcdserverpb__PutRequest put_of(struct load *l, ProtobufCBinaryData key)
{
	Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
	q.key = key;
	q.value = (ProtobufCBinaryData){l->o.bytes, l->value};
	return q;
}

static void pack(struct load *l, const ProtobufCMessage *m)
{
	buf_clear(&l->bytes);
	buf_reserve(&l->bytes, protobuf_c_message_get_packed_size(m));
	l->bytes.len = protobuf_c_message_pack(m, l->bytes.data);
}

static void pack_range(struct load *l, uint64_t at)
{
	struct named_key key, end;
	Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
	q.key = key_of(&key, at);
	q.serializable = l->o.serializable != 0;
	if (l->o.op == RANGE)
		q.range_end = key_of(&end, at + RANGE_KEYS);
	if (l->o.op == COUNT) {
		q.key = (ProtobufCBinaryData){sizeof(PREFIX) - 1, (uint8_t *)PREFIX};
		q.range_end = (ProtobufCBinaryData){sizeof(PREFIX_END) - 1, (uint8_t *)PREFIX_END};
		q.count_only = true;
	}
	pack(l, &q.base);
}

static void pack_update(struct client *c)
{
	struct named_key key;
	Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&compare};
	compare.key = key_of(&key, c->number);
	compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
	compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
	compare.mod_revision = c->revision;
	Etcdserverpb__PutRequest put = put_of(c->load, key.data);
	Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;
	get.key = key.data;
	Etcdserverpb__RequestOp then = ETCDSERVERPB__REQUEST_OP__INIT, *thens[] = {&then};
	Etcdserverpb__RequestOp other = ETCDSERVERPB__REQUEST_OP__INIT, *others[] = {&other};
	then.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	then.request_put = &put;
	other.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	other.request_range = &get;
	Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
	q.compare = compares;
	q.success = thens;
	q.failure = others;
	q.n_compare = q.n_success = q.n_failure = 1;
	pack(c->load, &q.base);
}

static void pack_fill(struct load *l, uint64_t first)
{
	struct named_key keys[FILL_KEYS];
	Etcdserverpb__PutRequest puts[FILL_KEYS];
	Etcdserverpb__RequestOp ops[FILL_KEYS], *at[FILL_KEYS];
	Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
	q.success = at;
	for (; q.n_success < FILL_KEYS && first + q.n_success < l->o.keys; q.n_success++) {
		size_t i = q.n_success;
		puts[i] = put_of(l, key_of(&keys[i], first + i));
		etcdserverpb__request_op__init(&ops[i]);
		ops[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		ops[i].request_put = &puts[i];
		at[i] = &ops[i];
	}
	pack(l, &q.base);
}

static const char *pack_call(struct client *c)
{
	struct load *l = c->load;
	/* All keys come, in no order. */
	uint64_t at = l->started * 7919 % l->o.keys;
	struct named_key key;
	switch (l->o.op) {
	case GET:
	case RANGE:
	case COUNT:
		pack_range(l, at);
		return "/etcdserverpb.KV/Range";
	case TXN:
		pack_update(c);
		return "/etcdserverpb.KV/Txn";
	case FILL:
		pack_fill(l, l->started * FILL_KEYS);
		return "/etcdserverpb.KV/Txn";
	default: {
		Etcdserverpb__PutRequest q = put_of(l, key_of(&key, at));
		pack(l, &q.base);
		return "/etcdserverpb.KV/Put";
	}
	}
}

/* --- calls --- */

static void call(struct client *c);

static bool is_over(const struct load *l)
{
	if (l->failed)
		return true;
	return l->o.count ? l->started >= l->o.count : clock_mono_ns() >= l->end_ns;
}

static bool all_delivered(const struct load *l)
{
	return l->o.op != WATCH || l->events >= l->n * l->o.watchers;
}

static void maybe_stop(struct load *l)
{
	if (l->running)
		return;
	if (!l->ended_ns || !all_delivered(l))
		l->ended_ns = clock_mono_ns();
	if (all_delivered(l) || l->failed)
		rpc_light_stop(l->rpc);
}

/* Which revision the key has by now. */
static void learn(struct client *c, struct slice message)
{
	ProtobufCAllocator allocator = pb_arena_allocator(&c->load->arena);
	Etcdserverpb__TxnResponse *r =
	    etcdserverpb__txn_response__unpack(&allocator, message.len, message.data);
	if (r && r->succeeded) {
		c->revision = r->header->revision;
	} else if (r) {
		c->load->conflicts++;
		c->revision = 0;
		if (r->n_responses && r->responses[0]->response_range->n_kvs)
			c->revision = r->responses[0]->response_range->kvs[0]->mod_revision;
	}
	arena_reset(&c->load->arena);
}

static void on_done(const struct rpc_light_result *r, void *arg)
{
	struct client *c = arg;
	struct load *l = c->load;
	if (r->code && !l->failed++)
		fprintf(stderr, "%s\n", r->text);
	if (l->n < SAMPLES_MAX)
		l->samples[l->n++] = clock_mono_ns() - c->began_ns;
	if (l->o.op == TXN && !r->code)
		learn(c, r->message);
	if (!is_over(l)) {
		call(c);
		return;
	}
	free(c);
	l->running--;
	maybe_stop(l);
}

static void call(struct client *c)
{
	struct load *l = c->load;
	struct rpc_light_args a = {.method = pack_call(c), .on_end = on_done, .arg = c};
	l->started++;
	c->began_ns = clock_mono_ns();
	rpc_light_unary(l->rpc, &a, buf_view(&l->bytes));
}

static void begin(struct load *l)
{
	l->began_ns = clock_mono_ns();
	l->end_ns = l->began_ns + l->o.seconds * 1000000000;
	l->running = l->o.clients;
	for (uint64_t i = 0; i < l->o.clients; i++) {
		struct client *c = calloc(1, sizeof(*c));
		if (!c)
			abort();
		*c = (struct client){.load = l, .number = i};
		call(c);
	}
}

/* --- watchers --- */

static void on_watch(struct slice message, void *arg)
{
	struct load *l = arg;
	ProtobufCAllocator allocator = pb_arena_allocator(&l->arena);
	Etcdserverpb__WatchResponse *r =
	    etcdserverpb__watch_response__unpack(&allocator, message.len, message.data);
	if (!r || r->canceled) {
		l->failed++;
	} else {
		l->events += r->n_events;
		if (r->created && ++l->created == l->o.watchers)
			begin(l);
		else if (l->began_ns && r->n_events)
			maybe_stop(l);
	}
	arena_reset(&l->arena);
}

static void on_watch_end(const struct rpc_light_result *r, void *arg)
{
	struct load *l = arg;
	fprintf(stderr, "a watch has ended: %s\n", r->text);
	l->failed++;
}

static void watch(struct load *l)
{
	Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
	create.key = (ProtobufCBinaryData){sizeof(PREFIX) - 1, (uint8_t *)PREFIX};
	create.range_end = (ProtobufCBinaryData){sizeof(PREFIX_END) - 1, (uint8_t *)PREFIX_END};
	Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
	q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
	q.create_request = &create;
	pack(l, &q.base);
	struct rpc_light_args a = {
	    .method = "/etcdserverpb.Watch/Watch",
	    .on_message = on_watch,
	    .on_end = on_watch_end,
	    .arg = l,
	};
	struct rpc_light_call *st = NULL;
	for (uint64_t i = 0; i < l->o.watchers; i++) {
		if (i % ((l->o.watchers + l->o.streams - 1) / l->o.streams) == 0)
			st = rpc_light_stream(l->rpc, &a);
		rpc_light_send(st, buf_view(&l->bytes));
	}
}

/* --- life --- */

static bool option(struct options *o, const char *text)
{
	const struct {
		const char *name;
		uint64_t *number;
	} numbers[] = {
	    {"clients=", &o->clients},   {"seconds=", &o->seconds},
	    {"count=", &o->count},       {"bytes=", &o->bytes},
	    {"keys=", &o->keys},         {"serializable=", &o->serializable},
	    {"watchers=", &o->watchers}, {"streams=", &o->streams},
	};
	for (size_t i = 0; i < OPS; i++) {
		if (!strncmp(text, "op=", 3) && !strcmp(text + 3, op_names[i])) {
			o->op = (enum op)i;
			return true;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		size_t n = strlen(numbers[i].name);
		if (!strncmp(text, numbers[i].name, n)) {
			*numbers[i].number = strtoull(text + n, NULL, 10);
			return true;
		}
	}
	return false;
}

static int sample_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void print(struct load *l)
{
	double seconds =
	    (double)((l->ended_ns ? l->ended_ns : clock_mono_ns()) - l->began_ns) / 1e9;
	if (!l->n)
		return;
	qsort(l->samples, l->n, sizeof(*l->samples), sample_cmp);
	printf("calls=%llu seconds=%.3f rate=%.1f p50=%.3f p99=%.3f max=%.3f events=%llu "
	       "deliveries=%.1f conflicts=%llu failed=%llu\n",
	       (unsigned long long)l->started, seconds, (double)l->started / seconds,
	       (double)l->samples[l->n / 2] / 1e6, (double)l->samples[l->n * 99 / 100] / 1e6,
	       (double)l->samples[l->n - 1] / 1e6, (unsigned long long)l->events,
	       (double)l->events / seconds, (unsigned long long)l->conflicts,
	       (unsigned long long)l->failed);
}

static int run(struct load *l, const char *endpoint)
{
	struct err err = ERR_INIT;
	int r = rpc_light_new(endpoint, &l->rpc, &err);
	if (r) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	uint64_t patience_ns = clock_mono_ns() + (l->o.seconds + 60) * 1000000000;
	if (l->o.op == WATCH)
		watch(l);
	else
		begin(l);
	r = rpc_light_run(l->rpc, l->o.count ? 0 : patience_ns, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	if (r > 0)
		fprintf(stderr, "not done in time: %llu of %llu events\n",
		        (unsigned long long)l->events, (unsigned long long)(l->n * l->o.watchers));
	if (r)
		l->failed++;
	print(l);
	return l->failed > 0;
}

int main(int argc, char **argv)
{
	static struct load l = {.o = {.clients = 1,
	                              .seconds = 5,
	                              .bytes = 256,
	                              .keys = 10000,
	                              .watchers = 1000,
	                              .streams = 10}};
	for (int i = 2; i < argc; i++) {
		if (!option(&l.o, argv[i])) {
			fprintf(stderr, "kv_load: unknown option %s\n", argv[i]);
			return 2;
		}
	}
	struct options *o = &l.o;
	if (argc < 3 || o->bytes > VALUE_BYTES_MAX || !o->keys || !o->clients || !o->streams) {
		fprintf(stderr, "usage: kv_load ENDPOINT op=OP [NAME=VALUE...]\n");
		return 2;
	}
	if (o->op == FILL)
		o->count = (o->keys + FILL_KEYS - 1) / FILL_KEYS;
	for (size_t i = 0; i < sizeof(l.value); i++)
		l.value[i] = (uint8_t)(i * 31 + i / 7);
	l.samples = malloc(SAMPLES_MAX * sizeof(*l.samples));
	if (!l.samples)
		abort();
	arena_init(&l.arena);
	return run(&l, argv[1]);
}
