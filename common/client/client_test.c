/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts in virtual time, and the reflector against a transport of data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "common/client/informer_store.h"
#include "common/client/reflector.h"
#include "common/client/workqueue.h"

/* --- work queue --- */

static void queue_order(void **state)
{
	struct workqueue_core q;
	workqueue_core_init(&q);
	workqueue_core_add(&q, "a");
	workqueue_core_add(&q, "b");
	workqueue_core_add(&q, "a");
	assert_int_equal(workqueue_core_length(&q), 2);
	const char *a = workqueue_core_take(&q);
	assert_string_equal(a, "a");
	/* Added while it is in a hand: not handed out before done. */
	workqueue_core_add(&q, "a");
	workqueue_core_add(&q, "a");
	const char *b = workqueue_core_take(&q);
	assert_string_equal(b, "b");
	assert_null(workqueue_core_take(&q));
	workqueue_core_done(&q, a);
	a = workqueue_core_take(&q);
	assert_string_equal(a, "a");
	workqueue_core_done(&q, a);
	workqueue_core_done(&q, b);
	assert_null(workqueue_core_take(&q));
	assert_int_equal(q.items.n, 0);
	workqueue_core_deinit(&q);
}

static void queue_delays(void **state)
{
	struct workqueue_core q;
	workqueue_core_init(&q);
	workqueue_core_add_after(&q, "late", 1000, 500);
	workqueue_core_add_after(&q, "soon", 1000, 100);
	workqueue_core_add_after(&q, "late", 1000, 900); /* the earlier time stays */
	assert_int_equal(workqueue_core_tick(&q, 1050), 1100);
	assert_null(workqueue_core_take(&q));
	assert_int_equal(workqueue_core_tick(&q, 1100), 1500);
	const char *key = workqueue_core_take(&q);
	assert_string_equal(key, "soon");
	workqueue_core_done(&q, key);
	workqueue_core_add_after(&q, "late", 1100, 50); /* and an earlier one moves it */
	assert_int_equal(workqueue_core_tick(&q, 1150), UINT64_MAX);
	key = workqueue_core_take(&q);
	assert_string_equal(key, "late");
	workqueue_core_done(&q, key);
	assert_int_equal(q.items.n, 0);
	workqueue_core_deinit(&q);
}

static void queue_backoff(void **state)
{
	struct workqueue_core q;
	uint64_t now = 0, want = 5;
	workqueue_core_init(&q);
	for (int i = 0; i < 30; i++) {
		workqueue_core_add_rate_limited(&q, "k", now);
		assert_int_equal(workqueue_core_tick(&q, now), now + want);
		now += want;
		workqueue_core_tick(&q, now);
		const char *key = workqueue_core_take(&q);
		assert_non_null(key);
		workqueue_core_done(&q, key);
		want = MIN(want * 2, 1000000U);
	}
	assert_int_equal(workqueue_core_requeues(&q, "k"), 30);
	workqueue_core_forget(&q, "k");
	assert_int_equal(q.items.n, 0);
	workqueue_core_deinit(&q);
}

/* Many keys through adds, delays and hands in random order: none is lost or in two hands. */
static void queue_random(void **state)
{
	enum { KEYS = 50, STEPS = 20000 };
	struct workqueue_core q;
	struct rng rng;
	bool busy[KEYS] = {0}, owed[KEYS] = {0};
	const char *hands[KEYS] = {0};
	uint64_t now = 0;
	char key[8];
	rng_init(&rng, 7);
	workqueue_core_init(&q);
	for (int step = 0; step < STEPS; step++) {
		size_t k = rng_below(&rng, KEYS);
		snprintf(key, sizeof key, "%zu", k);
		switch (rng_below(&rng, 4)) {
		case 0:
			workqueue_core_add(&q, key);
			owed[k] = true;
			break;
		case 1:
			workqueue_core_add_after(&q, key, now, rng_below(&rng, 20));
			owed[k] = true;
			break;
		case 2:
			if (busy[k]) {
				workqueue_core_done(&q, hands[k]);
				busy[k] = false;
			}
			break;
		case 3: {
			const char *got = workqueue_core_take(&q);
			if (!got)
				break;
			size_t i = strtoul(got, NULL, 10);
			assert_false(busy[i]);
			busy[i] = true;
			hands[i] = got;
			owed[i] = false;
			break;
		}
		}
		workqueue_core_tick(&q, ++now);
	}
	for (size_t k = 0; k < KEYS; k++)
		if (busy[k])
			workqueue_core_done(&q, hands[k]);
	workqueue_core_tick(&q, now + 100);
	for (const char *got; (got = workqueue_core_take(&q));) {
		owed[strtoul(got, NULL, 10)] = false;
		workqueue_core_done(&q, got);
	}
	for (size_t k = 0; k < KEYS; k++)
		assert_false(owed[k]);
	assert_int_equal(q.items.n, 0);
	workqueue_core_deinit(&q);
}

struct looped {
	struct loop loop;
	int runs;
};

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct looped *l = arg;
	if (++l->runs < 3) {
		workqueue_retry(q, key);
		return;
	}
	workqueue_done(q, key);
	loop_stop(&l->loop);
}

static void queue_on_loop(void **state)
{
	struct looped l = {.runs = 0};
	assert_int_equal(loop_init(&l.loop), 0);
	struct workqueue *q = workqueue_new(&l.loop, 1, process, &l);
	workqueue_add(q, "x");
	workqueue_start(q);
	loop_run(&l.loop);
	assert_int_equal(l.runs, 3);
	assert_int_equal(workqueue_requeues(q, "x"), 0);
	workqueue_free(q);
	loop_deinit(&l.loop);
}

/* --- objects --- */

static void add_field(struct buf *b, unsigned number, struct slice s)
{
	assert_in_range(number, 1, 15);
	assert_in_range(s.len, 0, 127);
	buf_byte(b, (uint8_t)(number << 3 | 2));
	buf_byte(b, (uint8_t)s.len);
	buf_slice(b, s);
}

/* A Pod with metadata and spec.nodeName; in a buffer that lives until the next but 15 call. */
static struct slice pod(const char *ns, const char *name, const char *uid, int rv, const char *node)
{
	static struct buf ring[16];
	static unsigned at;
	struct buf *out = &ring[at++ % 16];
	_cleanup_buf_ struct buf meta = BUF_INIT, spec = BUF_INIT, owner = BUF_INIT;
	char version[16];
	snprintf(version, sizeof version, "%d", rv);
	buf_clear(out);
	add_field(&meta, 1, slice_str(name));
	add_field(&meta, 3, slice_str(ns));
	add_field(&meta, 5, slice_str(uid));
	add_field(&meta, 6, slice_str(version));
	add_field(&owner, 1, SLICE_LIT("ReplicaSet"));
	add_field(&owner, 4, SLICE_LIT("owner-1"));
	buf_byte(&owner, 6 << 3);
	buf_byte(&owner, 1);
	add_field(&meta, 13, buf_view(&owner));
	add_field(&spec, 10, slice_str(node));
	add_field(out, 1, buf_view(&meta));
	add_field(out, 2, buf_view(&spec));
	return buf_view(out);
}

static void peeks(void **state)
{
	struct meta_peek m;
	struct slice o = pod("ns", "p1", "u1", 42, "n1");
	assert_true(meta_peek(o, &m));
	assert_true(slice_eq_str(m.name, "p1") && slice_eq_str(m.ns, "ns"));
	assert_true(slice_eq_str(m.resource_version, "42") && slice_eq_str(m.uid, "u1"));
	assert_true(slice_eq_str(m.owner_uid, "owner-1"));
	assert_true(slice_eq_str(pb_peek_path(o, 2, 10), "n1"));
	/* Every cut of it is refused or read, never beyond its end. */
	for (size_t n = 0; n < o.len; n++) {
		uint8_t *copy = malloc(n + 1);
		memcpy(copy, o.data, n);
		(void)meta_peek(slice_of(copy, n), &m); /* either is fine */
		free(copy);
	}
	assert_false(meta_peek(SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), &m));
	assert_false(meta_peek(SLICE_LIT("\x0a\x05\x0a"), &m));
}

static const struct informer_object *put(struct informer_store *s, struct slice o, uint64_t gen)
{
	const struct informer_object *old = NULL, *fresh = NULL;
	assert_int_equal(informer_store_put(s, o, gen, &old, &fresh), 0);
	informer_object_unref(old);
	return fresh;
}

static void store(void **state)
{
	struct informer_store s;
	size_t n;
	informer_store_init(&s);
	unsigned by_node = informer_store_add_index(&s, "node", informer_index_pod_node);
	unsigned by_owner = informer_store_add_index(&s, "owner", informer_index_owner);
	assert_int_equal(informer_store_add_index(&s, "node", informer_index_pod_node), by_node);
	char name[16];
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "p%d", i);
		assert_non_null(put(&s, pod("ns", name, "u", i + 1, i % 2 ? "n1" : "n2"), 1));
	}
	informer_store_lookup(&s, by_node, "n1", &n);
	assert_int_equal(n, 50);
	informer_store_lookup(&s, by_owner, "owner-1", &n);
	assert_int_equal(n, 100);
	/* The same revision changes nothing; a new one moves it between the indexes. */
	assert_null(put(&s, pod("ns", "p0", "u", 1, "n9"), 2));
	assert_non_null(put(&s, pod("ns", "p0", "u", 200, "n1"), 2));
	informer_store_lookup(&s, by_node, "n1", &n);
	assert_int_equal(n, 51);
	informer_store_lookup(&s, by_node, "n2", &n);
	assert_int_equal(n, 49);
	const struct informer_object *p1 = informer_object_ref(informer_store_get(&s, "ns/p1"));
	informer_object_unref(informer_store_delete(&s, pod("ns", "p1", "u", 300, "n1")));
	assert_null(informer_store_get(&s, "ns/p1"));
	assert_string_equal(p1->name, "p1"); /* the reference keeps it */
	informer_object_unref(p1);
	/* Only p0 was seen in generation 2. */
	informer_objects stale = {0};
	informer_store_take_stale(&s, 2, &stale);
	assert_int_equal(stale.n, 98);
	VEC_FOREACH (&stale, o)
		informer_object_unref(*o);
	vec_deinit(&stale);
	informer_store_lookup(&s, by_owner, "owner-1", &n);
	assert_int_equal(n, 1);
	const struct informer_object *old = NULL, *fresh = NULL;
	assert_int_equal(informer_store_put(&s, SLICE_LIT("\x0a\x00"), 1, &old, &fresh),
	                 -ERR_CORRUPT);
	informer_store_deinit(&s);
}

/* --- reflector --- */

/* Plays one answer to each list and watch, in order. */
struct step {
	bool is_watch;
	const char *want_version;
	const char *items[4]; /* names of objects or events; "-x": deleted, "@9": a bookmark */
	enum err_code code;
	int http_status;
	const char *version; /* of a list */
};

struct play {
	struct loop loop;
	struct loop_timer timer, limit;
	const struct step *steps;
	size_t n, at;
	int next_version;
	const struct client_list_ops *list_ops;
	const struct client_watch_ops *watch_ops;
	void *arg;
	int dropped;
	struct buf seen; /* what the sink heard */
};

static void answer(void *arg)
{
	struct play *p = arg;
	const struct step *s = &p->steps[p->at++];
	struct client_result r = {.code = s->code,
	                          .http_status = s->http_status,
	                          .reason = "",
	                          .message = "played",
	                          .resource_version = s->version ? s->version : ""};
	for (size_t i = 0; i < ARRAY_LEN(s->items) && s->items[i]; i++) {
		const char *it = s->items[i];
		if (!s->is_watch)
			p->list_ops->on_item(pod("ns", it, "u", 1, ""), p->arg);
		else if (*it == '@')
			p->watch_ops->on_event(CLIENT_BOOKMARK, SLICE_EMPTY,
			                       strtoll(it + 1, NULL, 10), p->arg);
		else
			p->watch_ops->on_event(*it == '-' ? CLIENT_DELETED : CLIENT_ADDED,
			                       pod("ns", it + (*it == '-'), "u", 1, ""),
			                       p->next_version++, p->arg);
	}
	if (s->is_watch)
		p->watch_ops->on_end(&r, p->arg);
	else
		p->list_ops->on_end(&r, p->arg);
}

static void *play(struct play *p, bool is_watch, const struct client_list_options *o, void *arg)
{
	p->arg = arg;
	if (p->at == p->n) {
		loop_stop(&p->loop);
		return p;
	}
	assert_int_equal(p->steps[p->at].is_watch, is_watch);
	assert_string_equal(o->resource_version, p->steps[p->at].want_version);
	loop_timer_start(&p->timer, 0);
	return p;
}

static void *play_list(void *self, const struct client_list_options *o,
                       const struct client_list_ops *ops, void *arg)
{
	struct play *p = self;
	p->list_ops = ops;
	return play(p, false, o, arg);
}

static void *play_watch(void *self, const struct client_list_options *o,
                        const struct client_watch_ops *ops, void *arg)
{
	struct play *p = self;
	p->watch_ops = ops;
	return play(p, true, o, arg);
}

static void play_drop(void *self, void *stream)
{
	((struct play *)self)->dropped++;
}

static void see_begin(void *arg)
{
	buf_str(&((struct play *)arg)->seen, "[");
}

static void see_item(struct slice object, void *arg)
{
	struct meta_peek m;
	assert_true(meta_peek(object, &m));
	buf_slice(&((struct play *)arg)->seen, m.name);
}

static void see_end(void *arg)
{
	buf_str(&((struct play *)arg)->seen, "]");
}

static void see_event(enum client_event_type type, struct slice object, int64_t revision, void *arg)
{
	buf_str(&((struct play *)arg)->seen, type == CLIENT_DELETED ? "-" : "+");
	see_item(object, arg);
}

static void limit(void *arg)
{
	abort();
}

static void reflector_plays(void **state)
{
	static const struct step steps[] = {
	    {false, "0", {NULL}, ERR_UNAVAILABLE, 0, NULL},    /* no server yet */
	    {false, "0", {"a", "b"}, ERR_INTERNAL, 500, NULL}, /* broke off */
	    {false, "0", {"a", "b"}, ERR_OK, 200, "10"},
	    {true, "10", {"c", "-a"}, ERR_OK, 200, NULL},    /* timed out */
	    {true, "101", {"@150"}, ERR_OK, 200, NULL},      /* a bookmark moves on */
	    {true, "150", {NULL}, ERR_UNAVAILABLE, 0, NULL}, /* broke: resumes */
	    {true, "150", {NULL}, ERR_EXPIRED, 410, NULL},
	    {false, "", {"c"}, ERR_OK, 200, "200"},
	    {true, "200", {NULL}, ERR_GONE, 410, NULL},
	    {false, "", {"c"}, ERR_OK, 200, "300"},
	};
	struct play p = {.steps = steps, .n = ARRAY_LEN(steps), .next_version = 100};
	struct reflector r;
	struct reflector_transport t = {&p, play_list, play_watch, play_drop};
	struct reflector_sink sink = {see_begin, see_item, see_end, see_event, &p};
	assert_int_equal(loop_init(&p.loop), 0);
	loop_timer_init(&p.timer, &p.loop, answer, &p);
	loop_timer_init(&p.limit, &p.loop, limit, &p);
	loop_timer_start(&p.limit, 20000);
	reflector_init(&r, &p.loop, &t, &sink, "pods", "", "");
	reflector_start(&r);
	loop_run(&p.loop);
	buf_str(&p.seen, "");
	assert_string_equal(p.seen.data, "[[ab[ab]+c-a[c][c]");
	assert_string_equal(r.resource_version, "300");
	reflector_stop(&r);
	assert_int_equal(p.dropped, 1);
	buf_deinit(&p.seen);
	loop_deinit(&p.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(queue_order),   cmocka_unit_test(queue_delays),
	    cmocka_unit_test(queue_backoff), cmocka_unit_test(queue_random),
	    cmocka_unit_test(queue_on_loop), cmocka_unit_test(peeks),
	    cmocka_unit_test(store),         cmocka_unit_test(reflector_plays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
