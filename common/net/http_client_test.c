/* SPDX-License-Identifier: Apache-2.0 */
/* The client against our own server, both on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/clock.h"
#include "common/net/http_client.h"
#include <signal.h>

enum { DEADLINE_MS = 10000 };

struct fixture {
	struct loop loop;
	struct http_server *server;
	struct http_client *client;
	struct tls_context *server_tls, *client_tls;
	int port;
	bool stopped;
	unsigned requests, peers;
	struct http_peer *last_peer;
	struct http_tunnel server_tunnel;

	/* the last answer */
	bool done;
	int code, status;
	struct buf body;
	char text[ERR_TEXT_BYTES];
};

static void on_echo(struct http_tunnel *t, struct slice data)
{
	ERR_IGNORE(http_tunnel_write(t, data)); /* a few bytes */
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct fixture *f = arg;

	f->requests++;
	f->peers += x->peer != f->last_peer;
	f->last_peer = x->peer;
	if (slice_eq_str(x->target, "/never")) {
		x->on_closed = http_abort;
		return;
	}
	if (slice_eq_str(x->target, "/stream")) {
		http_start(x, 200, "text/plain", -1);
		for (int i = 0; i < 1000; i++)
			http_write(x, SLICE_LIT("0123456789"));
		http_end(x);
	} else if (slice_eq_str(x->target, "/abort")) {
		http_start(x, 200, "text/plain", 100);
		http_abort(x);
	} else if (slice_eq_str(x->target, "/tunnel")) {
		f->server_tunnel = (struct http_tunnel){.on_data = on_echo};
		assert_true(http_upgrade(x, "echo", &f->server_tunnel));
	} else {
		_cleanup_buf_ struct buf b = BUF_INIT;
		buf_printf(&b, "%s %.*s %.*s", x->method, SLICE_FMT(x->target), SLICE_FMT(x->body));
		http_reply(x, 201, "text/plain", buf_view(&b));
	}
}

static void start(struct fixture *f, bool tls, bool trusted)
{
	struct http_server_options so = {.on_request = on_request, .arg = f};
	struct http_client_options co = {.loop = &f->loop};

	memset(f, 0, sizeof(*f));
	assert_int_equal(loop_init(&f->loop), 0);
	if (tls) {
		_cleanup_buf_ struct buf cert = BUF_INIT, key = BUF_INIT;
		const char *hosts[] = {"127.0.0.1"};
		assert_int_equal(
		    tls_self_signed(hosts, 1, clock_real_ns() / 1000000000, &cert, &key, NULL), 0);
		struct tls_options s = {
		    .server = true, .cert_pem = buf_view(&cert), .key_pem = buf_view(&key)};
		struct tls_options c = {.ca_pem = trusted ? buf_view(&cert) : SLICE_EMPTY};
		assert_int_equal(tls_context_new(&s, &f->server_tls, NULL), 0);
		assert_int_equal(tls_context_new(&c, &f->client_tls, NULL), 0);
		so.tls = f->server_tls;
		co.tls = f->client_tls;
	}
	http_server_new(&so, &f->server);
	assert_int_equal(http_server_listen(f->server, &f->loop, "127.0.0.1", 0, &f->port, NULL),
	                 0);
	http_client_new(&co, &f->client);
}

/* Keeps a turn of the loop from waiting for ever, so that the deadline is looked at. */
static void on_tick(void *arg)
{
	loop_timer_start(arg, 10);
}

static void run_until(struct fixture *f, const bool *flag)
{
	uint64_t until = clock_mono_ms() + DEADLINE_MS;
	struct loop_timer tick;

	loop_timer_init(&tick, &f->loop, on_tick, &tick);
	loop_timer_start(&tick, 10);
	while (!*flag) {
		assert_true(clock_mono_ms() < until);
		loop_run_once(&f->loop, true);
	}
	loop_timer_stop(&tick);
}

static void on_stopped(void *arg)
{
	struct fixture *f = arg;

	f->stopped = true;
}

static void stop(struct fixture *f)
{
	http_client_free(f->client);
	http_server_stop(f->server, 0, &f->loop, on_stopped, f);
	run_until(f, &f->stopped);
	loop_deinit(&f->loop);
	http_server_free(f->server);
	tls_context_unref(f->server_tls);
	tls_context_unref(f->client_tls);
	buf_deinit(&f->body);
}

static void on_done(struct http_request *r, int code, const struct err *err, void *arg)
{
	struct fixture *f = arg;

	f->done = true;
	f->code = code;
	f->status = http_request_status(r);
	buf_clear(&f->body);
	buf_slice(&f->body, http_request_body(r));
	buf_byte(&f->body, 0);
	snprintf(f->text, sizeof(f->text), "%s", err ? err->text : "");
}

static void ask(struct fixture *f, const char *method, const char *path, struct slice body)
{
	char url[128];
	struct http_client_call call = {.method = method,
	                                .url = url,
	                                .body = body,
	                                .timeout_ms = 200,
	                                .on_done = on_done,
	                                .arg = f};

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s", f->client_tls ? "https" : "http", f->port,
	         path);
	f->done = false;
	http_client_start(f->client, &call);
	assert_false(f->done);
	run_until(f, &f->done);
}

static void check_answers(bool tls)
{
	struct fixture f;

	start(&f, tls, true);
	ask(&f, "POST", "/a?b=c", SLICE_LIT("body"));
	assert_int_equal(f.code, 0);
	assert_int_equal(f.status, 201);
	assert_string_equal((char *)f.body.data, "POST /a?b=c body");
	ask(&f, "GET", "/stream", SLICE_EMPTY);
	assert_int_equal(f.code, 0);
	assert_int_equal(f.body.len, 10001);
	ask(&f, "HEAD", "/x", SLICE_EMPTY);
	assert_int_equal(f.code, 0);
	assert_int_equal(f.body.len, 1);
	/* All of these went over one connection. */
	assert_int_equal(f.requests, 3);
	assert_int_equal(f.peers, 1);
	ask(&f, "GET", "/abort", SLICE_EMPTY);
	assert_int_equal(f.code, -ERR_IO);
	ask(&f, "GET", "/never", SLICE_EMPTY);
	assert_int_equal(f.code, -ERR_TIMEOUT);
	stop(&f);
}

static void test_plain(void **state)
{
	check_answers(false);
}

static void test_tls(void **state)
{
	check_answers(true);
}

static void test_untrusted_server(void **state)
{
	struct fixture f;

	start(&f, true, false);
	ask(&f, "GET", "/", SLICE_EMPTY);
	assert_int_equal(f.code, -ERR_UNAVAILABLE);
	assert_non_null(strstr(f.text, "certificate verification failed"));
	assert_int_equal(f.requests, 0);
	stop(&f);
}

static void test_nobody_there(void **state)
{
	struct fixture f;
	struct http_client_call call = {
	    .url = "http://127.0.0.1:1/", .on_done = on_done, .arg = &f};

	start(&f, false, false);
	http_client_start(f.client, &call);
	run_until(&f, &f.done);
	assert_int_equal(f.code, -ERR_UNAVAILABLE);
	f.done = false;
	call.url = "gopher://x/";
	http_client_start(f.client, &call);
	run_until(&f, &f.done);
	assert_int_equal(f.code, -ERR_BAD_REQUEST);
	stop(&f);
}

static void test_cancel(void **state)
{
	struct fixture f;
	char url[64];
	struct http_client_call call = {.url = url, .on_done = on_done, .arg = &f};

	start(&f, false, false);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/never", f.port);
	struct http_request *early = http_client_start(f.client, &call);
	struct http_request *late = http_client_start(f.client, &call);
	http_request_cancel(early);
	while (f.requests == 0)
		loop_run_once(&f.loop, true);
	http_request_cancel(late);
	ask(&f, "GET", "/ok", SLICE_EMPTY);
	assert_int_equal(f.status, 201);
	assert_int_equal(f.requests, 2);
	stop(&f);
}

struct tunnel_test {
	struct http_tunnel tunnel;
	struct buf got;
	bool enough;
};

static void on_tunnel_data(struct http_tunnel *t, struct slice data)
{
	struct tunnel_test *test = CONTAINER_OF(t, struct tunnel_test, tunnel);

	buf_slice(&test->got, data);
	test->enough = test->got.len >= 5;
}

static void on_upgraded(struct http_request *r, void *arg)
{
	struct tunnel_test *test = arg;

	assert_int_equal(http_request_status(r), 101);
	ERR_IGNORE(http_tunnel_write(&test->tunnel, SLICE_LIT("hello"))); /* a few bytes */
}

static void test_tunnel(void **state)
{
	struct fixture f;
	struct tunnel_test test = {.tunnel = {.on_data = on_tunnel_data}};
	char url[64];
	struct http_client_call call = {.url = url,
	                                .upgrade = "echo",
	                                .on_upgraded = on_upgraded,
	                                .tunnel = &test.tunnel,
	                                .arg = &test};

	start(&f, true, true);
	snprintf(url, sizeof(url), "https://127.0.0.1:%d/tunnel", f.port);
	http_client_start(f.client, &call);
	run_until(&f, &test.enough);
	assert_memory_equal(test.got.data, "hello", 5);
	http_tunnel_close(&test.tunnel);
	buf_deinit(&test.got);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_tls),
	    cmocka_unit_test(test_untrusted_server),
	    cmocka_unit_test(test_nobody_there),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_tunnel),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
