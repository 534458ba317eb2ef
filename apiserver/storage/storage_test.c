/* SPDX-License-Identifier: Apache-2.0 */
/* The store client and the cacher against a real etcd, started for the test on ports of its own. */
#include "apiserver/storage/cacher.h"
#include "apiserver/storage/compactor.h"
#include "apiserver/storage/lease_pool.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/loop.h"
#include "common/net/rpc_core.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

static struct {
	char dir[64], client[64], peer[64];
	pid_t pid;
	struct rpc_core *core;
	struct loop loop;
	struct loop_timer tick;
	struct store_client *store;
} T;

/* --- etcd ------------------------------------------------------------------------------------ */

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void etcd_start(void)
{
	char log[96], cluster[96];

	snprintf(log, sizeof(log), "%s/log", T.dir);
	snprintf(cluster, sizeof(cluster), "default=%s", T.peer);
	T.pid = fork();
	if (T.pid == 0) {
		int fd = open(log, O_CREAT | O_WRONLY | O_APPEND, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, 1);
		dup2(fd, 2);
		execl("/usr/bin/etcd", "etcd", "--data-dir", T.dir, "--listen-client-urls",
		      T.client, "--advertise-client-urls", T.client, "--listen-peer-urls", T.peer,
		      "--initial-advertise-peer-urls", T.peer, "--initial-cluster", cluster, NULL);
		_exit(127);
	}
	assert_true(T.pid > 0);
}

static void etcd_stop(void)
{
	if (T.pid <= 0)
		return;
	kill(T.pid, SIGKILL);
	waitpid(T.pid, NULL, 0);
	T.pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

/* --- waiting --------------------------------------------------------------------------------- */

static void on_tick(void *arg)
{
	loop_timer_start(&T.tick, 50);
}

#define WAIT(cond)                                                         \
	do {                                                               \
		uint64_t until_ = clock_mono_ms() + DEADLINE_MS;           \
		while (!(cond)) {                                          \
			if (clock_mono_ms() > until_)                      \
				fail_msg("waited too long for %s", #cond); \
			loop_run_once(&T.loop, true);                      \
		}                                                          \
	} while (0)

struct answer {
	bool there;
	int code;
	bool done, more;
	int64_t revision, count, mod, lease;
	size_t n;
	char value[64];
};

static void on_store(void *arg, const struct store_result *r)
{
	struct answer *a = arg;

	a->there = true;
	a->code = r->code;
	a->done = r->done;
	a->more = r->more;
	a->count = r->count;
	a->revision = r->revision;
	a->n = r->n_kvs;
	a->lease = r->lease;
	if (r->n_kvs) {
		a->mod = r->kvs[0].mod_revision;
		snprintf(a->value, sizeof(a->value), "%.*s", SLICE_FMT(r->kvs[0].value));
	}
}

static struct answer put(const char *key, const char *value, int64_t expect)
{
	struct answer a = {0};

	store_put(T.store, &T.loop, slice_str(key), slice_str(value), expect, 0, on_store, &a);
	WAIT(a.there);
	return a;
}

static struct answer del(const char *key, int64_t expect)
{
	struct answer a = {0};

	store_delete(T.store, &T.loop, slice_str(key), expect, on_store, &a);
	WAIT(a.there);
	return a;
}

static struct answer get(const char *key)
{
	struct answer a = {0};

	store_get(T.store, &T.loop, slice_str(key), on_store, &a);
	WAIT(a.there);
	return a;
}

static struct answer compact(int64_t revision)
{
	struct answer a = {0};

	store_compact(T.store, &T.loop, revision, on_store, &a);
	WAIT(a.there);
	return a;
}

/* A transaction that meets the broken connection fails; the next one waits for the new one. */
static void await_store(void)
{
	uint64_t until = clock_mono_ms() + DEADLINE_MS;

	while (put("/elsewhere/probe", "x", get("/elsewhere/probe").mod).code < 0)
		assert_true(clock_mono_ms() < until);
}

/* --- the store client ------------------------------------------------------------------------ */

static void test_store(void **state)
{
	struct answer a = put("/registry/t/a", "1", 0), b;

	assert_int_equal(a.code, 0);
	assert_true(a.done);
	b = put("/registry/t/a", "2", 0); /* exists */
	assert_false(b.done);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.value, "1");
	assert_int_equal(b.mod, a.revision);
	b = put("/registry/t/a", "2", a.revision);
	assert_true(b.done);
	assert_string_equal(get("/registry/t/a").value, "2");
	assert_false(del("/registry/t/a", a.revision).done);
	assert_true(del("/registry/t/a", b.revision).done);
	assert_int_equal(get("/registry/t/a").n, 0);
	a = del("/registry/t/a", b.revision);
	assert_false(a.done);
	assert_int_equal(a.n, 0);
}

static void test_range(void **state)
{
	struct answer first, a;
	char key[32];

	first = put("/registry/r/0", "x", 0);
	for (int i = 1; i < 5; i++) {
		snprintf(key, sizeof(key), "/registry/r/%d", i);
		put(key, "x", 0);
	}
	a = (struct answer){0};
	store_range(T.store, &T.loop,
	            &(struct store_range){.key = SLICE_LIT("/registry/r/"),
	                                  .end = SLICE_LIT("/registry/r0"),
	                                  .limit = 2},
	            on_store, &a);
	WAIT(a.there);
	assert_int_equal(a.n, 2);
	assert_int_equal(a.count, 5);
	assert_true(a.more);
	a = (struct answer){0};
	store_range(T.store, &T.loop,
	            &(struct store_range){.key = SLICE_LIT("/registry/r/"),
	                                  .end = SLICE_LIT("/registry/r0"),
	                                  .revision = first.revision},
	            on_store, &a);
	WAIT(a.there);
	assert_int_equal(a.n, 1);
	a = (struct answer){0};
	store_range(T.store, &T.loop,
	            &(struct store_range){.key = SLICE_LIT("/registry/r/"), .revision = 1 << 30},
	            on_store, &a);
	WAIT(a.there);
	assert_int_equal(a.code, -ERR_TIMEOUT);
}

struct lease_answer {
	bool there;
	int code;
	int64_t lease;
};

static void on_lease(void *arg, int code, const struct err *err, int64_t lease)
{
	*(struct lease_answer *)arg = (struct lease_answer){true, code, lease};
}

static void test_lease(void **state)
{
	struct lease_pool *p = lease_pool_new(T.store);
	struct lease_answer a = {0}, b = {0}, c = {0};

	lease_pool_get(p, &T.loop, 3600, on_lease, &a);
	WAIT(a.there);
	assert_int_equal(a.code, 0);
	assert_int_not_equal(a.lease, 0);
	lease_pool_get(p, &T.loop, 3600, on_lease, &b);
	assert_false(b.there);
	WAIT(b.there);
	assert_true(a.lease == b.lease);
	lease_pool_get(p, &T.loop, 60, on_lease, &c);
	WAIT(c.there);
	assert_true(c.lease != a.lease);
	lease_pool_free(p);
}

static void test_compactor(void **state)
{
	struct compactor *a = compactor_new(T.store, &T.loop, 100);
	struct compactor *b = compactor_new(T.store, &T.loop, 100);
	struct answer first = put("/registry/c/a", "1", 0), r = {0};
	uint64_t until = clock_mono_ms() + DEADLINE_MS;

	while (r.code != -ERR_EXPIRED) {
		assert_true(clock_mono_ms() < until);
		r = (struct answer){0};
		store_range(T.store, &T.loop,
		            &(struct store_range){.key = SLICE_LIT("/registry/c/a"),
		                                  .revision = first.revision},
		            on_store, &r);
		WAIT(r.there);
	}
	compactor_free(a);
	compactor_free(b);
	r = get("compact_rev_key");
	assert_int_equal(r.n, 1);
	assert_true(strtoll(r.value, NULL, 10) > 0);
}

/* --- the cacher ------------------------------------------------------------------------------ */

struct world {
	struct loop_thread state;
	struct cacher *c;
};

static void start_cacher(void *arg)
{
	cacher_start(arg);
}

static void world_start(struct world *w)
{
	assert_int_equal(loop_thread_start(&w->state, "state"), 0);
	w->c = cacher_new(&(struct cacher_options){
	    .store = T.store, .state_loop = &w->state.loop, .no_compaction = true});
	loop_post(&w->state.loop, start_cacher, w->c);
}

struct stop {
	struct cacher *c;
	atomic_bool done;
};

static void stop_cacher(void *arg)
{
	struct stop *s = arg;

	cacher_free(s->c);
	atomic_store(&s->done, true);
}

static void world_stop(struct world *w)
{
	struct stop s = {.c = w->c};

	loop_post(&w->state.loop, stop_cacher, &s);
	WAIT(atomic_load(&s.done));
	loop_thread_stop(&w->state);
}

/* "label:text" values give the label app=label. */
static void extract(void *arg, struct arena *a, struct slice value, struct cache_object_spec *spec)
{
	const uint8_t *colon = memchr(value.data, ':', value.len);
	struct cache_pair *p = arena_array(a, struct cache_pair, 1);

	if (!colon)
		return;
	p->key = "app";
	p->value = arena_strndup(a, value.data, (size_t)(colon - value.data));
	spec->labels = p;
	spec->n_labels = 1;
}

struct fresh_answer {
	bool there;
	int code;
	int64_t revision;
};

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	*(struct fresh_answer *)arg = (struct fresh_answer){true, code, revision};
}

static int64_t fresh(struct cacher *c)
{
	struct fresh_answer a = {0};

	cacher_fresh(c, &T.loop, 0, 5000, on_fresh, &a);
	WAIT(a.there);
	assert_int_equal(a.code, 0);
	return a.revision;
}

static char *value_of(struct cacher_resource *r, const char *key, char buf[64])
{
	struct cacher_snapshot s = cacher_snapshot(r);
	struct cache_object *o = cache_tree_get(&s.tree, slice_str(key));

	snprintf(buf, 64, "%.*s", o ? (int)o->blob->len : 1, o ? (char *)o->blob->data : "-");
	cacher_snapshot_deinit(&s);
	return buf;
}

/* Every acknowledged write is in a fresh read at once, whatever the store answered in between. */
static void test_fresh(void **state)
{
	struct world w;
	struct cacher_resource *r;
	char key[32], value[32], buf[64];
	struct fresh_answer many[50] = {{0}};

	world_start(&w);
	put("/registry/f/ns/old", "x:old", 0);
	r = cacher_resource(w.c, "f", extract, NULL);
	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "/registry/f/ns/%d", i);
		snprintf(value, sizeof(value), "x:%d", i);
		put(key, value, 0);
		if (i % 3 == 0)
			put("elsewhere", value, get("elsewhere").mod);
		assert_true(fresh(w.c) > 0);
		assert_string_equal(value_of(r, key + strlen("/registry/f/"), buf), value);
	}
	assert_string_equal(value_of(r, "ns/old", buf), "x:old");
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		cacher_fresh(w.c, &T.loop, 0, 5000, on_fresh, &many[i]);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		WAIT(many[i].there && many[i].code == 0);
	memset(many, 0, sizeof(many));
	cacher_fresh(w.c, &T.loop, 1 << 30, 100, on_fresh, &many[0]);
	WAIT(many[0].there);
	assert_int_equal(many[0].code, -ERR_TIMEOUT);
	world_stop(&w);
}

/* A resource that is made known late finds its objects, with their fields. */
static void test_adopt(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct cacher_snapshot s;
	struct cache_object *o;

	put("/registry/group.example/things/a/b", "late:1", 0);
	world_start(&w);
	fresh(w.c);
	put("/registry/group.example/things/a/c", "late:2", 0);
	fresh(w.c);
	r = cacher_resource(w.c, "group.example/things", extract, NULL);
	assert_ptr_equal(r, cacher_resource(w.c, "group.example/things", extract, NULL));
	s = cacher_snapshot(r);
	assert_int_equal(cache_tree_count(&s.tree), 2);
	o = cache_tree_get(&s.tree, SLICE_LIT("a/c"));
	assert_non_null(o);
	assert_string_equal(cache_object_label(o, "app"), "late");
	cacher_snapshot_deinit(&s);
	world_stop(&w);
}

static void test_snapshots(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct cacher_snapshot s, at;
	int64_t rev;

	world_start(&w);
	r = cacher_resource(w.c, "s", extract, NULL);
	put("/registry/s/a", "1", 0);
	rev = fresh(w.c);
	assert_true(cacher_snapshot_at(r, rev, &s));
	cacher_keep(r, &s);
	put("/registry/s/b", "1", 0);
	fresh(w.c);
	assert_true(cacher_snapshot_at(r, rev, &at));
	assert_int_equal(cache_tree_count(&at.tree), 1);
	assert_false(cacher_snapshot_at(r, rev - 1, &at) && at.revision != rev - 1);
	cacher_snapshot_deinit(&at);
	cacher_snapshot_deinit(&s);
	world_stop(&w);
}

/* --- watching -------------------------------------------------------------------------------- */

struct seen {
	struct watcher w;
	struct buf log;
	int pause_after; /* events; 0: never */
	bool ended;
};

static int seen_event(struct watcher *w, struct cache_event *e, enum cache_event_type type,
                      bool show_prev, bool shared)
{
	struct seen *s = CONTAINER_OF(w, struct seen, w);
	const struct cache_object *o = show_prev ? e->prev : e->object;

	buf_printf(&s->log, "%s%c %s=%.*s", s->log.len ? ", " : "", "AMD"[type], o -> key,
	           (int)o -> blob -> len, (char *)o -> blob -> data);
	return s->pause_after && --s->pause_after == 0;
}

static void seen_ended(struct watcher *w, enum watcher_end why)
{
	CONTAINER_OF(w, struct seen, w)->ended = true;
}

static struct seen seen_init(void)
{
	return (struct seen){
	    .w = {.loop = &T.loop, .event = seen_event, .ended = seen_ended},
	};
}

static bool log_is(struct seen *s, const char *want)
{
	return slice_eq_str(buf_view(&s->log), want);
}

static void test_watch(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct cacher_snapshot now;
	struct seen all = seen_init(), from = seen_init(), one = seen_init(), slow = seen_init();
	struct answer a;
	int64_t floor, rev;

	world_start(&w);
	r = cacher_resource(w.c, "w", extract, NULL);
	fresh(w.c);
	watcher_start_now(&all.w, r, &now);
	assert_int_equal(cache_tree_count(&now.tree), 0);
	cacher_snapshot_deinit(&now);
	watcher_resume(&all.w);
	one.w.selection.key = SLICE_LIT("ns/b");
	assert_true(watcher_start(&one.w, r, cacher_revision(w.c), &floor));
	slow.pause_after = 1;
	assert_true(watcher_start(&slow.w, r, cacher_revision(w.c), &floor));

	a = put("/registry/w/ns/a", "1", 0);
	rev = a.revision;
	put("/registry/w/ns/b", "1", 0);
	a = put("/registry/w/ns/a", "2", a.revision);
	del("/registry/w/ns/a", a.revision);
	WAIT(log_is(&all, "A ns/a=1, A ns/b=1, M ns/a=2, D ns/a=2"));
	WAIT(log_is(&one, "A ns/b=1"));
	assert_true(log_is(&slow, "A ns/a=1"));
	WAIT(watcher_caught_up(&one.w) >= cacher_revision(w.c));
	assert_int_equal(watcher_caught_up(&slow.w), 0);
	watcher_resume(&slow.w);
	WAIT(log_is(&slow, "A ns/a=1, A ns/b=1, M ns/a=2, D ns/a=2"));

	assert_true(watcher_start(&from.w, r, rev, &floor));
	WAIT(log_is(&from, "A ns/b=1, M ns/a=2, D ns/a=2"));
	watcher_stop(&from.w);
	buf_clear(&from.log);
	assert_false(watcher_start(&from.w, r, floor - 1, &floor));
	put("/registry/w/ns/c", "1", 0);
	WAIT(watcher_caught_up(&all.w) >= rev + 4);
	assert_int_equal(from.log.len, 0);
	watcher_stop(&all.w);
	watcher_stop(&one.w);
	watcher_stop(&slow.w);
	buf_deinit(&all.log);
	buf_deinit(&one.log);
	buf_deinit(&slow.log);
	buf_deinit(&from.log);
	world_stop(&w);
}

/* Watchers of single keys and namespaces among others, one of them slow: each hears of its own, in
 * order, also when it catches up, and no more after it has stopped. */
static void test_watch_few(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct seen key = seen_init(), slow = seen_init(), ns = seen_init();
	struct answer a, b;
	int64_t floor;

	world_start(&w);
	r = cacher_resource(w.c, "few", extract, NULL);
	fresh(w.c);
	key.w.selection = slow.w.selection = ns.w.selection =
	    (struct cache_selection){.key_prefix = SLICE_LIT("x/")};
	key.w.selection.key = slow.w.selection.key = SLICE_LIT("x/a");
	assert_true(watcher_start(&key.w, r, cacher_revision(w.c), &floor));
	assert_true(watcher_start(&slow.w, r, cacher_revision(w.c), &floor));
	assert_true(watcher_start(&ns.w, r, cacher_revision(w.c), &floor));
	slow.pause_after = 1;
	a = put("/registry/few/x/a", "1", 0);
	put("/registry/few/y/a", "1", 0);
	b = put("/registry/few/x/b", "1", 0);
	a = put("/registry/few/x/a", "2", a.revision);
	WAIT(log_is(&key, "A x/a=1, M x/a=2"));
	WAIT(log_is(&ns, "A x/a=1, A x/b=1, M x/a=2"));
	assert_true(log_is(&slow, "A x/a=1"));
	watcher_resume(&slow.w);
	WAIT(log_is(&slow, "A x/a=1, M x/a=2"));
	watcher_stop(&key.w);
	a = put("/registry/few/x/a", "3", a.revision);
	del("/registry/few/x/b", b.revision);
	WAIT(log_is(&slow, "A x/a=1, M x/a=2, M x/a=3"));
	WAIT(log_is(&ns, "A x/a=1, A x/b=1, M x/a=2, M x/a=3, D x/b=1"));
	assert_true(log_is(&key, "A x/a=1, M x/a=2"));
	watcher_stop(&slow.w);
	watcher_stop(&ns.w);
	buf_deinit(&key.log);
	buf_deinit(&slow.log);
	buf_deinit(&ns.log);
	world_stop(&w);
}

static bool fresh_works(struct cacher *c)
{
	struct fresh_answer a = {0};

	cacher_fresh(c, &T.loop, 0, 2000, on_fresh, &a);
	WAIT(a.there);
	return a.code == 0;
}

/* The store goes away: nothing that was acknowledged is missed after it has come back. */
static void test_store_restart(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct seen all = seen_init();
	int64_t floor;
	char buf[64];

	world_start(&w);
	r = cacher_resource(w.c, "x", extract, NULL);
	fresh(w.c);
	assert_true(watcher_start(&all.w, r, cacher_revision(w.c), &floor));
	put("/registry/x/a", "1", 0);
	WAIT(log_is(&all, "A a=1"));
	etcd_stop();
	etcd_start();
	await_store();
	put("/registry/x/b", "1", 0);
	WAIT(log_is(&all, "A a=1, A b=1"));
	WAIT(fresh_works(w.c));
	assert_string_equal(value_of(r, "b", buf), "1");
	watcher_stop(&all.w);
	buf_deinit(&all.log);
	world_stop(&w);
}

/* The store was compacted beyond what the cacher had seen: it lists again, and watchers end. */
static void test_compacted(void **state)
{
	struct world w;
	struct cacher_resource *r;
	struct seen all = seen_init();
	int64_t floor;
	struct answer a = put("/registry/y/gone", "1", 0), b;
	char buf[64];

	world_start(&w);
	r = cacher_resource(w.c, "y", extract, NULL);
	fresh(w.c);
	assert_true(watcher_start(&all.w, r, cacher_revision(w.c), &floor));
	b = put("/registry/y/stays", "1", 0);
	/* A watch that must go on from a compacted revision: the stream breaks first. */
	etcd_stop();
	etcd_start();
	await_store();
	assert_true(del("/registry/y/gone", a.revision).done);
	b = put("/registry/y/stays", "2", b.revision);
	assert_int_equal(compact(b.revision).code, 0);
	WAIT(fresh_works(w.c));
	assert_string_equal(value_of(r, "gone", buf), "-");
	assert_string_equal(value_of(r, "stays", buf), "2");
	watcher_stop(&all.w);
	buf_deinit(&all.log);
	world_stop(&w);
}

/* --- set up ---------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct err err = ERR_INIT;

	snprintf(T.dir, sizeof(T.dir), "/tmp/kubec-storage-XXXXXX");
	if (!mkdtemp(T.dir))
		return -1;
	snprintf(T.client, sizeof(T.client), "http://127.0.0.1:%d", free_port());
	snprintf(T.peer, sizeof(T.peer), "http://127.0.0.1:%d", free_port());
	T.core = rpc_core_new(1);
	if (loop_init(&T.loop) < 0)
		return -1;
	loop_timer_init(&T.tick, &T.loop, on_tick, NULL);
	loop_timer_start(&T.tick, 50);
	etcd_start();
	return store_client_new(
	    &(struct store_client_options){.core = T.core, .endpoints = T.client}, &T.store, &err);
}

static int teardown(void **state)
{
	store_client_free(T.store);
	etcd_stop();
	nftw(T.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	loop_deinit(&T.loop);
	rpc_core_free(T.core);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_store),         cmocka_unit_test(test_range),
	    cmocka_unit_test(test_lease),         cmocka_unit_test(test_fresh),
	    cmocka_unit_test(test_adopt),         cmocka_unit_test(test_snapshots),
	    cmocka_unit_test(test_watch),         cmocka_unit_test(test_watch_few),
	    cmocka_unit_test(test_store_restart), cmocka_unit_test(test_compacted),
	    cmocka_unit_test(test_compactor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
