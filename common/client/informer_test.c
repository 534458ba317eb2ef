/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers of an informer hear, against an apiserver in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/client/informer.h"
#include "common/client/test_apiserver.h"

enum { WATCHDOG_MS = 30000 };

struct world {
	struct loop loop;
	struct loop_timer watchdog;
	struct rpc_core *core;
	struct test_apiserver server;
	struct kubeconfig kubeconfig;
	struct client *client;
	struct informers *informers;
	struct informer *pods;
	struct buf heard;
	int answers;
};

static void expired(void *arg)
{
	fprintf(stderr, "the test waited too long\n");
	abort();
}

/* Runs the loop until a condition holds. */
#define UNTIL(w, condition)                              \
	do {                                             \
		while (!(condition))                     \
			loop_run_once(&(w)->loop, true); \
	} while (0)

static void on_add(const struct informer_object *o, void *arg)
{
	buf_printf(arg, "+%s:%s ", o->name, o->uid);
}

static void on_update(const struct informer_object *old, const struct informer_object *o, void *arg)
{
	assert_true(old->revision < o->revision);
	buf_printf(arg, "~%s:%s ", o->name, o->uid);
}

static void on_delete(const struct informer_object *old, void *arg)
{
	buf_printf(arg, "-%s:%s ", old->name, old->uid);
}

static void add_field(struct buf *b, unsigned number, const char *text)
{
	buf_byte(b, (uint8_t)(number << 3 | 2));
	buf_byte(b, (uint8_t)strlen(text));
	buf_str(b, text);
}

/* A Pod of metadata alone. */
static void make_pod(struct buf *out, const char *name, const char *uid, const char *version)
{
	_cleanup_buf_ struct buf meta = BUF_INIT;
	add_field(&meta, 1, name);
	add_field(&meta, 3, "ns");
	add_field(&meta, 5, uid);
	if (*version)
		add_field(&meta, 6, version);
	buf_str(&meta, "");
	buf_clear(out);
	add_field(out, 1, (const char *)meta.data);
}

static void on_answer(const struct client_result *r, void *arg)
{
	assert_int_equal(r->code, ERR_OK);
	(*(int *)arg)++;
}

static void write_pod(struct world *w, bool create, const char *name, const char *uid)
{
	_cleanup_buf_ struct buf pod = BUF_INIT;
	struct client_target t = {{"", "v1", "pods"}, "ns", create ? NULL : name, NULL};
	int before = w->answers;
	make_pod(&pod, name, uid, "");
	if (create)
		client_create(w->client, &t, buf_view(&pod), NULL, on_answer, &w->answers);
	else
		client_update(w->client, &t, buf_view(&pod), NULL, on_answer, &w->answers);
	UNTIL(w, w->answers > before);
}

static void delete_pod(struct world *w, const char *name)
{
	struct client_target t = {{"", "v1", "pods"}, "ns", name, NULL};
	int before = w->answers;
	client_delete(w->client, &t, NULL, on_answer, &w->answers);
	UNTIL(w, w->answers > before);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	assert_int_equal(loop_init(&w->loop), 0);
	loop_timer_init(&w->watchdog, &w->loop, expired, w);
	loop_timer_start(&w->watchdog, WATCHDOG_MS);
	w->core = rpc_core_new(1);
	test_apiserver_init(&w->server, w->core, &w->loop);
	w->kubeconfig.grpc_endpoints = w->server.endpoint;
	struct client_options o = {w->core, &w->loop, &w->kubeconfig, "tester", 5000};
	assert_int_equal(client_new(&o, &w->client, NULL), 0);
	w->informers = informers_new(w->client);
	w->pods = informers_get(w->informers, &(struct client_resource){"", "v1", "pods"}, NULL,
	                        NULL, NULL);
	informer_add_handler(w->pods,
	                     &(struct informer_handler){on_add, on_update, on_delete, &w->heard});
	buf_str(&w->heard, "");
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	informers_free(w->informers);
	client_free(w->client);
	test_apiserver_deinit(&w->server);
	rpc_core_free(w->core);
	loop_timer_stop(&w->watchdog);
	loop_deinit(&w->loop);
	buf_deinit(&w->heard);
	free(w);
	return 0;
}

static bool heard(struct world *w, const char *what)
{
	return !strcmp((const char *)w->heard.data, what);
}

static void test_events(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf late = BUF_INIT;
	write_pod(w, true, "a", "1");
	informers_start(w->informers);
	UNTIL(w, informer_synced(w->pods));
	assert_true(heard(w, "+a:1 "));
	write_pod(w, true, "b", "2");
	UNTIL(w, heard(w, "+a:1 +b:2 "));
	write_pod(w, false, "a", "1");
	UNTIL(w, heard(w, "+a:1 +b:2 ~a:1 "));
	delete_pod(w, "b");
	UNTIL(w, heard(w, "+a:1 +b:2 ~a:1 -b:2 "));
	/* Asking again gives the same one; who comes late hears of what is there. */
	assert_ptr_equal(informers_get(w->informers, &(struct client_resource){"", "v1", "pods"},
	                               NULL, NULL, NULL),
	                 w->pods);
	informer_add_handler(w->pods,
	                     &(struct informer_handler){on_add, on_update, on_delete, &late});
	buf_str(&late, "");
	assert_string_equal(late.data, "+a:1 ");
	assert_int_equal(informer_count(w->pods), 1);
	assert_null(informer_get(w->pods, "ns", "b"));
}

/* The server forgets: what changed behind the watch's back is told by the next list. */
static void test_expired_watch(void **state)
{
	struct world *w = *state;
	_cleanup_buf_ struct buf pod = BUF_INIT;
	for (int i = 1; i <= 3; i++) {
		char name[2] = {(char)('a' + i - 1), 0}, uid[2] = {(char)('0' + i), 0};
		write_pod(w, true, name, uid);
	}
	informers_start(w->informers);
	UNTIL(w, informer_synced(w->pods));
	UNTIL(w, !list_empty(&w->server.watches));
	buf_clear(&w->heard);
	buf_str(&w->heard, "");
	test_apiserver_expire(&w->server);
	/* a stays, b is made anew, c goes. */
	w->server.revision += 10;
	make_pod(&pod, "b", "9", "113");
	blob_unref(map_put_str(&w->server.objects, "/pods/ns/b", blob_dup(buf_view(&pod))));
	blob_unref(map_del_str(&w->server.objects, "/pods/ns/c"));
	UNTIL(w, heard(w, "-b:2 +b:9 -c:3 "));
	assert_int_equal(informer_count(w->pods), 2);
	assert_string_equal(informer_get(w->pods, "ns", "b")->uid, "9");
	/* And the watch goes on from there. */
	UNTIL(w, !list_empty(&w->server.watches));
	delete_pod(w, "a");
	UNTIL(w, heard(w, "-b:2 +b:9 -c:3 -a:1 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_events, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_expired_watch, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
