/* SPDX-License-Identifier: Apache-2.0 */
/* api_load NAME=VALUE...: loads an API server by REST or gRPC with a client certificate, and prints
 * one line of numbers "name=value ...". The names are those of struct load_options.
 *
 * An operation (op=create, get, update, patch, apply, list) is repeated `count` times by `clients`.
 * op=watch starts `watchers`, then one client writes `count` times: to object or node n % watchers,
 * so that with by=name and by=node one watcher sees each write, with by=all everyone does. */
#include "tests/bench/apiserver/load.h"

#include <stdio.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/err.h"

enum { STARTING = 64, GRPC_SETTLE_MS = 5000 };

struct load {
	struct load_options o;
	struct loop loop;
	struct load_way *way;
	struct loop_timer pace, settle;
	struct client *clients;
	unsigned long warm, limit;
	unsigned long begun, done, failed;
	size_t bytes;
	uint64_t began_ns, ended_ns;
	uint64_t *samples; /* of operations */
	/* Watching. */
	struct load_watch *watches;
	unsigned long started, ready, deliveries, expected;
	uint64_t *sent, *last; /* of each write: when it began, when the last watcher saw it */
	uint64_t *delays;      /* of each delivery, from when its write began */
};

struct client {
	struct load *load;
	unsigned long i;
	uint64_t began_ns;
	bool busy; /* it has asked and waits */
};

/* --- operations ------------------------------------------------------------------------------ */

static void next(struct client *c);

static bool is_over(const struct load *l)
{
	return l->failed ||
	       (l->done == l->o.count && l->done == l->begun && l->deliveries >= l->expected);
}

static void check_end(struct load *l)
{
	if (!is_over(l))
		return;
	l->ended_ns = clock_mono_ns();
	loop_stop(&l->loop);
}

static void on_done(void *arg, bool ok, size_t bytes)
{
	struct client *c = arg;
	struct load *l = c->load;

	l->failed += !ok;
	l->samples[l->done++] = clock_mono_ns() - c->began_ns;
	l->bytes = bytes;
	c->busy = false;
	check_end(l);
	if (l->begun < l->o.count && !l->failed && !l->o.rate)
		next(c);
}

static void next(struct client *c)
{
	struct load *l = c->load;
	unsigned long n = l->begun++;
	enum load_op op = l->o.op;

	if (op == LOAD_WATCH)
		op = strcmp(l->o.by, "name") == 0 ? LOAD_PATCH : LOAD_CREATE;
	c->busy = true;
	c->began_ns = clock_mono_ns();
	if (l->sent)
		l->sent[n] = c->began_ns;
	l->way->start(l->way, c->i, op, n, on_done, c);
}

static struct client *clients_new(struct load *l)
{
	struct client *c = calloc(l->o.clients, sizeof(*c));

	if (!c)
		abort();
	for (unsigned long i = 0; i < l->o.clients; i++)
		c[i] = (struct client){.load = l, .i = i};
	return c;
}

/* Starts what is due by now with clients that are free; who is late is not made up for. */
static void pace(void *arg)
{
	struct client *clients = arg;
	struct load *l = clients->load;
	uint64_t ms = (clock_mono_ns() - l->began_ns) / 1000000;
	unsigned long due = MIN(l->o.count, 1 + ms * l->o.rate / 1000);

	for (unsigned long i = 0; i < l->o.clients && l->begun < due; i++)
		if (!clients[i].busy)
			next(&clients[i]);
	if (l->begun < l->o.count)
		loop_timer_start(&l->pace, l->o.rate >= 100 ? 1 : 100 / l->o.rate);
}

/* With `hold`, everything is ready: says so, and goes on when there is a line of input. */
static void begin(struct load *l)
{
	if (l->o.hold) {
		printf("ready\n");
		fflush(stdout);
		if (getchar() == EOF)
			exit(1);
	}
	l->began_ns = clock_mono_ns();
	if (l->o.rate) {
		loop_timer_init(&l->pace, &l->loop, pace, l->clients);
		pace(l->clients);
		return;
	}
	for (unsigned long i = 0; i < l->o.clients && l->begun < l->o.count; i++)
		next(&l->clients[i]);
}

static void watch(struct load *l);

static void on_warm(void *arg, bool ok, size_t bytes)
{
	struct client *c = arg;
	struct load *l = c->load;

	l->failed += !ok;
	if (l->failed) {
		loop_stop(&l->loop);
		return;
	}
	if (++l->warm < l->o.clients)
		return;
	l->o.limit = l->limit;
	if (l->o.op == LOAD_WATCH)
		watch(l);
	else
		begin(l);
}

/* Every client makes its connection with a small question, which is not counted. */
static void warm_up(struct load *l)
{
	l->clients = clients_new(l);
	l->limit = l->o.limit;
	l->o.limit = 1;
	for (unsigned long i = 0; i < l->o.clients; i++)
		l->way->start(l->way, i, LOAD_LIST, 0, on_warm, &l->clients[i]);
}

/* --- watching -------------------------------------------------------------------------------- */

/* The write that a watcher's k-th event shows. */
static unsigned long write_of(const struct load *l, const struct load_watch *w, unsigned long k)
{
	return strcmp(l->o.by, "all") == 0 ? k : k * l->o.watchers + w->i;
}

static void on_events(struct load_watch *w, size_t n)
{
	struct load *l = w->arg;
	uint64_t now = clock_mono_ns();

	for (; n; n--) {
		unsigned long write = write_of(l, w, w->seen++);

		if (write >= l->o.count || l->deliveries >= l->expected)
			continue;
		l->delays[l->deliveries++] = now - l->sent[write];
		l->last[write] = now - l->sent[write];
	}
	check_end(l);
}

static void on_ended(struct load_watch *w)
{
	struct load *l = w->arg;

	l->failed++;
	loop_stop(&l->loop);
}

static void settled(void *arg)
{
	begin(arg);
}

static void start_watch(struct load *l)
{
	struct load_watch *w = &l->watches[l->started];

	w->i = l->started++;
	l->way->watch(l->way, w);
}

static void on_ready(struct load_watch *w)
{
	struct load *l = w->arg;

	if (++l->ready == l->o.watchers)
		loop_timer_start(&l->settle, l->o.grpc ? GRPC_SETTLE_MS : 0);
	else if (l->started < l->o.watchers)
		start_watch(l);
}

static void watch(struct load *l)
{
	bool all = strcmp(l->o.by, "all") == 0;

	l->expected = l->o.count * (all ? l->o.watchers : 1);
	l->watches = calloc(l->o.watchers, sizeof(*l->watches));
	l->sent = calloc(l->o.count, sizeof(*l->sent));
	l->last = calloc(l->o.count, sizeof(*l->last));
	l->delays = calloc(l->expected, sizeof(*l->delays));
	if (!l->watches || !l->sent || !l->last || !l->delays)
		abort();
	loop_timer_init(&l->settle, &l->loop, settled, l);
	for (unsigned long i = 0; i < l->o.watchers; i++)
		l->watches[i] = (struct load_watch){
		    .ready = on_ready, .events = on_events, .ended = on_ended, .arg = l};
	while (l->started < MIN(l->o.watchers, (unsigned long)STARTING))
		start_watch(l);
}

/* --- what is said ---------------------------------------------------------------------------- */

static int sample_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void say_percentiles(const char *name, uint64_t *at, unsigned long n)
{
	if (!n)
		return;
	qsort(at, n, sizeof(*at), sample_cmp);
	printf(" %sp50_ms=%.3f %sp99_ms=%.3f %smax_ms=%.3f", name, (double)at[n / 2] / 1e6, name,
	       (double)at[n * 99 / 100] / 1e6, name, (double)at[n - 1] / 1e6);
}

static void report(struct load *l)
{
	double seconds = (double)(l->ended_ns - l->began_ns) / 1e9;

	printf("seconds=%.4f rate=%.1f bytes=%zu deliveries=%lu", seconds,
	       (double)l->done / seconds, l->bytes, l->deliveries);
	say_percentiles("", l->samples, l->done);
	say_percentiles("delay_", l->delays, l->deliveries);
	say_percentiles("last_", l->last, l->deliveries ? l->o.count : 0);
	printf("\n");
}

/* --- options --------------------------------------------------------------------------------- */

static bool set_op(struct load_options *o, const char *value)
{
	static const char *const names[] = {
	    [LOAD_CREATE] = "create", [LOAD_GET] = "get",     [LOAD_UPDATE] = "update",
	    [LOAD_PATCH] = "patch",   [LOAD_APPLY] = "apply", [LOAD_LIST] = "list",
	    [LOAD_WATCH] = "watch"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], value) == 0) {
			o->op = (enum load_op)i;
			return true;
		}
	return false;
}

static bool set(struct load_options *o, const char *name, const char *value)
{
	const struct {
		const char *name;
		const char **text;
		unsigned long *number;
	} known[] = {
	    {"url", &o->url, NULL},
	    {"grpc", &o->grpc, NULL},
	    {"ca", &o->ca, NULL},
	    {"cert", &o->cert, NULL},
	    {"key", &o->key, NULL},
	    {"prefix", &o->prefix, NULL},
	    {"accept", &o->accept, NULL},
	    {"by", &o->by, NULL},
	    {"version", &o->version, NULL},
	    {"clients", NULL, &o->clients},
	    {"count", NULL, &o->count},
	    {"names", NULL, &o->names},
	    {"nodes", NULL, &o->nodes},
	    {"limit", NULL, &o->limit},
	    {"rate", NULL, &o->rate},
	    {"watchers", NULL, &o->watchers},
	    {"connections", NULL, &o->connections},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].name, name) == 0) {
			if (known[i].text)
				*known[i].text = value;
			else
				*known[i].number = strtoul(value, NULL, 10);
			return true;
		}
	if (strcmp(name, "op") == 0)
		return set_op(o, value);
	if (strcmp(name, "resource") == 0)
		return (o->resource = load_resource_find(value));
	if (strcmp(name, "hold") == 0)
		o->hold = true;
	return strcmp(name, "hold") == 0;
}

static bool parse(struct load_options *o, int argc, char **argv)
{
	*o = (struct load_options){.resource = load_resource_find("configmaps"),
	                           .prefix = "m",
	                           .accept = "application/json",
	                           .by = "all",
	                           .version = "",
	                           .clients = 1,
	                           .names = 1000,
	                           .connections = 16};
	for (int i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return false;
		*value++ = '\0';
		if (!set(o, argv[i], value))
			return false;
	}
	return o->clients && o->count && o->names && !o->url != !o->grpc;
}

int main(int argc, char **argv)
{
	static struct load l;
	struct err err = ERR_INIT;

	if (!parse(&l.o, argc, argv)) {
		fprintf(stderr, "usage: api_load NAME=VALUE... (see the source)\n");
		return 2;
	}
	l.samples = calloc(l.o.count, sizeof(*l.samples));
	loop_init(&l.loop);
	l.way = l.o.grpc ? load_grpc_new(&l.o, &l.loop, &err) : load_rest_new(&l.o, &l.loop, &err);
	if (!l.way) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	warm_up(&l);
	loop_run(&l.loop);
	if (!l.failed)
		report(&l);
	/* The process ends with its connections: taking down 10,000 of them in order is no use. */
	fflush(stdout);
	_exit(l.failed > 0);
}
