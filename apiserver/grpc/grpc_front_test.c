/* SPDX-License-Identifier: Apache-2.0 */
/* The front door and the client of the service, back to back over loopback; the pipeline behind it
 * is a table of answers in the forms that REST has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "apiserver/grpc/grpc_front.h"
#include "apiserver/grpc/object_bytes.h"
#include "apiserver/request/status.h"
#include "common/client/client.h"
#include "common/client/informer.h"
#include "common/net/test_pki.h"
#include "proto/codec.h"

enum { ITEMS = 3000, WATCHDOG_MS = 30000 };

struct world {
	struct loop loop;
	struct loop_timer watchdog;
	struct rpc_core *core;
	struct grpc_front *front;
	struct client *client;
	struct kubeconfig kubeconfig;
	char endpoint[64];
	int waiting;
	/* What the pipeline saw. */
	struct buf saw;
	struct response_sink *watch; /* open */
	struct request *watch_req;
	int watches;
	bool watch_closed;
	int listed;
	struct request *list_req;
	struct response_sink *list_sink;
	/* What the client heard. */
	enum err_code code;
	int http_status;
	char message[256], version[32];
	struct buf object;
	int items, adds, updates, deletes;
};

static void expired(void *arg)
{
	fprintf(stderr, "the test waited too long\n");
	abort();
}

static void wait_for(struct world *w, int events)
{
	w->waiting += events;
	if (w->waiting > 0)
		loop_run(&w->loop);
	w->waiting = 0;
}

static void happened(struct world *w)
{
	if (--w->waiting == 0)
		loop_stop(&w->loop);
}

/* --- objects --- */

static void add_meta(struct buf *b, const char *name, int rv)
{
	_cleanup_buf_ struct buf meta = BUF_INIT, managed = BUF_INIT;
	char version[16];
	snprintf(version, sizeof version, "%d", rv);
	add_bytes_field(&meta, 1, slice_str(name));
	add_bytes_field(&meta, 3, SLICE_LIT("ns"));
	add_bytes_field(&meta, 6, slice_str(version));
	add_bytes_field(&managed, 1, SLICE_LIT("kubectl"));
	add_bytes_field(&meta, 17, buf_view(&managed));
	add_bytes_field(b, 1, buf_view(&meta));
}

/* A ConfigMap with one entry of `pad` bytes. */
static void config_map(struct buf *b, const char *name, int rv, size_t pad)
{
	_cleanup_buf_ struct buf entry = BUF_INIT, text = BUF_INIT;
	buf_clear(b);
	add_meta(b, name, rv);
	for (size_t i = 0; i < pad; i++)
		buf_byte(&text, 'x');
	add_bytes_field(&entry, 1, SLICE_LIT("k"));
	add_bytes_field(&entry, 2, buf_view(&text));
	add_bytes_field(b, 2, buf_view(&entry));
}

static void wrap(const char *kind, struct slice raw, struct buf *out)
{
	struct type_meta meta = {"v1", kind};
	buf_clear(out);
	unknown_wrap(&meta, raw, out);
}

/* --- the pipeline --- */

static void reply_object(struct request *req, struct response_sink *sink)
{
	_cleanup_buf_ struct buf b = BUF_INIT, out = BUF_INIT;
	config_map(&b, "c1", 7, 10);
	wrap("ConfigMap", buf_view(&b), &out);
	response_warning(sink, "be careful");
	response_reply(sink, req->verb == VERB_CREATE ? 201 : 200, NULL, buf_view(&out));
}

static void list_more(void *arg)
{
	struct world *w = arg;
	_cleanup_buf_ struct buf b = BUF_INIT, out = BUF_INIT;
	while (w->listed < ITEMS) {
		char name[16];
		snprintf(name, sizeof name, "c%d", w->listed);
		config_map(&b, name, 100 + w->listed++, 300);
		buf_clear(&out);
		add_bytes_field(&out, 2, buf_view(&b));
		if (response_chunk(w->list_sink, buf_view(&out)))
			return;
	}
	response_end(w->list_sink);
}

/* A list whose bytes come in pieces, the first ones cut in the middle of everything. */
static void reply_list(struct world *w, struct request *req, struct response_sink *sink)
{
	_cleanup_buf_ struct buf b = BUF_INIT, item = BUF_INIT, head = BUF_INIT, meta = BUF_INIT;
	size_t body = 0;
	for (int i = 0; i < ITEMS; i++) {
		char name[16];
		snprintf(name, sizeof name, "c%d", i);
		config_map(&b, name, 100 + i, 300);
		buf_clear(&item);
		add_bytes_field(&item, 2, buf_view(&b));
		body += item.len;
	}
	add_bytes_field(&meta, 2, SLICE_LIT("5000"));
	buf_clear(&item);
	add_bytes_field(&item, 1, buf_view(&meta));
	body += item.len;
	buf_add(&head, "k8s\0", 4);
	add_bytes_field(&head, 1,
	                SLICE_LIT("\x0a\x02v1\x12\x0d"
	                          "ConfigMapList"));
	add_varint(&head, 2 << 3 | 2);
	add_varint(&head, body);
	buf_slice(&head, buf_view(&item));
	response_status(sink, 200, NULL, -1);
	for (size_t i = 0; i < head.len; i++)
		response_chunk(sink, slice_of(head.data + i, 1));
	w->listed = 0;
	w->list_sink = sink;
	sink->on_writable = list_more;
	sink->arg = w;
	list_more(w);
}

static void send_event(struct world *w, const char *type, const char *name, int rv)
{
	_cleanup_buf_ struct buf b = BUF_INIT, wrapped = BUF_INIT, ext = BUF_INIT, ev = BUF_INIT,
	                         frame = BUF_INIT;
	config_map(&b, name, rv, 5);
	wrap("ConfigMap", buf_view(&b), &wrapped);
	add_bytes_field(&ext, 1, buf_view(&wrapped));
	add_bytes_field(&ev, 1, slice_str(type));
	add_bytes_field(&ev, 2, buf_view(&ext));
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_byte(&frame, (uint8_t)(ev.len >> shift));
	buf_slice(&frame, buf_view(&ev));
	/* In two pieces: frames need not end where chunks do. */
	response_chunk(w->watch, slice_of(frame.data, 3));
	response_chunk(w->watch, slice_of(frame.data + 3, frame.len - 3));
}

static void on_watch_closed(void *arg)
{
	struct world *w = arg;
	w->watch_closed = true;
	response_end(TAKE(w->watch));
	happened(w);
}

static void reply_watch(struct world *w, struct request *req, struct response_sink *sink)
{
	w->watch = sink;
	w->watch_req = req;
	w->watches++;
	sink->on_closed = on_watch_closed;
	sink->arg = w;
	response_status(sink, 200, NULL, -1);
	happened(w);
}

static void reply_status(struct request *req, struct response_sink *sink)
{
	struct status *s = status_not_found(req->arena, req->group, req->resource, req->name);
	status_send(s, req, sink);
}

static void serve(void *arg, struct request *req, struct response_sink *sink)
{
	struct world *w = arg;
	const char *token = request_header(req, "authorization");
	buf_clear(&w->saw);
	buf_printf(&w->saw, "%s %s|%s|%s|certs=%zu|%s|body=%zu", req->method, req->uri,
	           request_verb_name(req->verb), token ? token : "-", req->peer->n_certs,
	           media_type_name(req->body_type), req->body.len);
	if (req->fault)
		status_send(req->fault, req, sink);
	else if (!strcmp(req->name, "gone"))
		reply_status(req, sink);
	else if (req->verb == VERB_LIST)
		reply_list(w, req, sink);
	else if (req->verb == VERB_WATCH)
		reply_watch(w, req, sink);
	else if (!strcmp(req->name, "cut"))
		response_abort(sink);
	else
		reply_object(req, sink);
}

/* --- set-up --- */

static struct world *world_new(const struct tls_creds_options *server,
                               const struct tls_creds_options *client)
{
	struct world *w = calloc(1, sizeof *w);
	struct err err = ERR_INIT;
	int port;
	assert_int_equal(loop_init(&w->loop), 0);
	loop_timer_init(&w->watchdog, &w->loop, expired, w);
	loop_timer_start(&w->watchdog, WATCHDOG_MS);
	w->core = rpc_core_new(1);
	struct loop *loops[] = {&w->loop};
	struct grpc_front_options fo = {.core = w->core,
	                                .loops = loops,
	                                .n_loops = 1,
	                                .serve = serve,
	                                .arg = w,
	                                .address = "127.0.0.1:0",
	                                .tls = server};
	if (grpc_front_new(&fo, &w->front, &port, &err))
		fail_msg("%s", err.text);
	snprintf(w->endpoint, sizeof w->endpoint, "127.0.0.1:%d", port);
	w->kubeconfig.grpc_endpoints = w->endpoint;
	w->kubeconfig.is_tls = client != NULL;
	if (client)
		w->kubeconfig.tls = *client;
	w->kubeconfig.token = "t0k";
	struct client_options co = {w->core, &w->loop, &w->kubeconfig, "tester/1", 10000};
	if (client_new(&co, &w->client, &err))
		fail_msg("%s", err.text);
	return w;
}

static void stopped(void *arg)
{
	happened(arg);
}

static void world_free(struct world *w)
{
	client_free(w->client);
	w->waiting = 0;
	grpc_front_stop(w->front, 0, &w->loop, stopped, w);
	wait_for(w, w->watch ? 2 : 1);
	grpc_front_free(w->front);
	rpc_core_free(w->core);
	loop_timer_stop(&w->watchdog);
	loop_deinit(&w->loop);
	buf_deinit(&w->saw);
	buf_deinit(&w->object);
	free(w);
}

static void on_done(const struct client_result *r, void *arg)
{
	struct world *w = arg;
	w->code = r->code;
	w->http_status = r->http_status;
	snprintf(w->message, sizeof w->message, "%s", r->message);
	snprintf(w->version, sizeof w->version, "%s", r->resource_version);
	buf_clear(&w->object);
	buf_slice(&w->object, r->object);
	happened(w);
}

static struct client_target maps(const char *name)
{
	return (struct client_target){{"", "v1", "configmaps"}, "ns", name, NULL};
}

/* --- tests --- */

static void objects(void **state)
{
	struct world *w = world_new(NULL, NULL);
	struct client_target t = maps("c1");
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_OK);
	assert_string_equal(w->version, "7");
	assert_string_equal(
	    w->saw.data, "GET /api/v1/namespaces/ns/configmaps/c1|get|Bearer t0k|certs=0||body=0");
	/* Bare, and without managed fields. */
	assert_true(slice_eq_str(pb_peek_path(buf_view(&w->object), 1, 1), "c1"));
	assert_int_equal(pb_peek_path(buf_view(&w->object), 1, 17).len, 0);
	assert_int_equal(pb_peek_path(buf_view(&w->object), 2, 2).len, 10);

	_cleanup_buf_ struct buf b = BUF_INIT;
	config_map(&b, "c1", 0, 1);
	t = maps(NULL);
	client_create(w->client, &t, buf_view(&b), NULL, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_OK);
	assert_non_null(
	    strstr((char *)w->saw.data,
	           "POST /api/v1/namespaces/ns/configmaps?fieldManager=tester|create|"));
	assert_non_null(strstr((char *)w->saw.data, "|application/vnd.kubernetes.protobuf|"));

	t = maps("c1");
	client_patch(w->client, &t, CLIENT_PATCH_STRATEGIC, SLICE_LIT("{}"), NULL, on_done, w);
	wait_for(w, 1);
	assert_non_null(strstr((char *)w->saw.data, "PATCH /api/v1/namespaces/ns/configmaps/c1?"));
	assert_non_null(
	    strstr((char *)w->saw.data, "|application/strategic-merge-patch+json|body=2"));

	struct client_delete_options o = {.grace_period_seconds = 5, .uid = "u-1"};
	client_delete(w->client, &t, &o, on_done, w);
	wait_for(w, 1);
	assert_non_null(
	    strstr((char *)w->saw.data, "DELETE /api/v1/namespaces/ns/configmaps/c1|delete|"));

	client_bind(w->client, "ns", "p1", "uid", "n1", on_done, w);
	wait_for(w, 1);
	assert_non_null(
	    strstr((char *)w->saw.data,
	           "POST /api/v1/namespaces/ns/pods/p1/binding?fieldManager=tester|create"));
	world_free(w);
}

static void errors(void **state)
{
	struct world *w = world_new(NULL, NULL);
	struct client_target t = maps("gone");
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_NOT_FOUND);
	assert_int_equal(w->http_status, 404);
	assert_string_equal(w->message, "configmaps \"gone\" not found");

	t = maps("cut");
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_UNAVAILABLE);
	assert_int_equal(w->http_status, 0);

	t = maps("a/b");
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_BAD_REQUEST);

	/* Dropped calls do not call back. */
	t = maps("c1");
	client_call_drop(client_get(w->client, &t, on_done, w));
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_OK);
	world_free(w);
}

static void on_item(struct slice object, void *arg)
{
	struct world *w = arg;
	char name[16];
	snprintf(name, sizeof name, "c%d", w->items++);
	assert_true(slice_eq_str(pb_peek_path(object, 1, 1), name));
	assert_int_equal(pb_peek_path(object, 2, 2).len, 300);
	assert_int_equal(pb_peek_path(object, 1, 17).len, 0);
}

static void lists(void **state)
{
	static const struct client_list_ops ops = {on_item, on_done};
	struct world *w = world_new(NULL, NULL);
	struct client_target t = maps(NULL);
	struct client_list_options o = {.resource_version = "0", .label_selector = "a=b"};
	client_list(w->client, &t, &o, &ops, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_OK);
	assert_int_equal(w->items, ITEMS);
	assert_string_equal(w->version, "5000");
	assert_non_null(
	    strstr((char *)w->saw.data, "configmaps?labelSelector=a=b&resourceVersion=0|"));
	world_free(w);
}

static void on_add(const struct informer_object *o, void *arg)
{
	((struct world *)arg)->adds++;
}

static void on_update(const struct informer_object *old, const struct informer_object *o, void *arg)
{
	struct world *w = arg;
	assert_true(old->revision < o->revision);
	w->updates++;
	happened(w);
}

static void on_delete(const struct informer_object *old, void *arg)
{
	struct world *w = arg;
	w->deletes++;
	happened(w);
}

static void synced(void *arg)
{
	happened(arg);
}

static void informers(void **state)
{
	struct world *w = world_new(NULL, NULL);
	struct informers *f = informers_new(w->client);
	struct client_resource res = {"", "v1", "configmaps"};
	struct informer *inf = informers_get(f, &res, "ns", NULL, NULL);
	assert_ptr_equal(inf, informers_get(f, &res, "ns", NULL, NULL));
	unsigned by_ns = informer_add_index(inf, "ns", informer_index_ns);
	struct informer_handler h = {on_add, on_update, on_delete, w};
	informer_add_handler(inf, &h);
	informers_on_synced(f, synced, w);
	informers_start(f);
	wait_for(w, 2); /* synced, and the watch is there */
	assert_int_equal(w->adds, ITEMS);
	assert_int_equal(informer_count(inf), ITEMS);
	assert_non_null(strstr((char *)w->saw.data, "resourceVersion=5000&watch=true"));
	size_t n;
	informer_lookup(inf, by_ns, "ns", &n);
	assert_int_equal(n, ITEMS);

	send_event(w, "ADDED", "new", 6000);
	send_event(w, "MODIFIED", "c1", 6001);
	send_event(w, "DELETED", "c2", 6002);
	wait_for(w, 2);
	assert_int_equal(w->adds, ITEMS + 1);
	assert_int_equal(informer_get(inf, "ns", "c1")->revision, 6001);
	assert_null(informer_get(inf, "ns", "c2"));
	assert_non_null(informer_get_key(inf, "ns/new"));

	/* The watch ends: the next one goes on where it stopped. */
	response_end(TAKE(w->watch));
	wait_for(w, 1);
	assert_int_equal(w->watches, 2);
	assert_non_null(strstr((char *)w->saw.data, "resourceVersion=6002&watch=true"));

	/* Stopping closes the watch on the server's side, too. */
	informers_free(f);
	wait_for(w, 1);
	assert_true(w->watch_closed);
	world_free(w);
}

static void identity(void **state)
{
	struct test_ca ca;
	struct test_leaf server, client;
	test_ca_init(&ca, "ca");
	test_leaf_init(&server, &ca, "server", NULL, "IP:127.0.0.1");
	test_leaf_init(&client, &ca, "system:kube-scheduler", NULL, NULL);
	struct tls_creds_options so = {.ca_pem = ca.pem,
	                               .cert_pem = server.cert_pem,
	                               .key_pem = server.key_pem,
	                               .client_auth = TLS_CLIENT_OPTIONAL};
	struct tls_creds_options co = {
	    .ca_pem = ca.pem, .cert_pem = client.cert_pem, .key_pem = client.key_pem};
	struct world *w = world_new(&so, &co);
	struct client_target t = maps("c1");
	client_get(w->client, &t, on_done, w);
	wait_for(w, 1);
	assert_int_equal(w->code, ERR_OK);
	assert_non_null(strstr((char *)w->saw.data, "|certs=1|"));
	world_free(w);
	test_ca_deinit(&ca);
	test_leaf_deinit(&server);
	test_leaf_deinit(&client);
}

/* Objects with and without managed fields, and every cut of one. */
static void stripping(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT, out = BUF_INIT;
	config_map(&b, "c1", 7, 10);
	add_object_field(&out, 2, buf_view(&b), true);
	struct slice object = pb_peek_path(buf_view(&out), 2);
	assert_true(slice_eq_str(pb_peek_path(object, 1, 6), "7"));
	assert_int_equal(pb_peek_path(object, 1, 17).len, 0);
	assert_int_equal(pb_peek_path(object, 2, 2).len, 10);
	buf_clear(&out);
	add_object_field(&out, 2, buf_view(&b), false);
	assert_true(slice_eq(pb_peek_path(buf_view(&out), 2), buf_view(&b)));
	for (size_t n = 0; n < b.len; n++) {
		buf_clear(&out);
		add_object_field(&out, 2, slice_of(b.data, n), true);
		assert_true(out.len > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(objects),   cmocka_unit_test(errors),   cmocka_unit_test(lists),
	    cmocka_unit_test(informers), cmocka_unit_test(identity), cmocka_unit_test(stripping),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
