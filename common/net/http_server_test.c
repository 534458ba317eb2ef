/* SPDX-License-Identifier: Apache-2.0 */
/* A server on a loop thread, talked to by blocking sockets with deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/base/clock.h"
#include "common/net/http_server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { DEADLINE_S = 10 };

struct fixture {
	struct loop_thread thread;
	struct http_server *server;
	struct tls_context *tls;
	int port;
	sem_t stopped, closed;
	struct http_tunnel tunnel;
	struct http_exchange *parked;
};

/* --- the handler ----------------------------------------------------------------------------- */

static void on_parked_closed(struct http_exchange *x)
{
	struct fixture *f = x->data;

	http_end(x);
	sem_post(&f->closed);
}

static void on_flood_writable(struct http_exchange *x)
{
	static const uint8_t block[10000];
	size_t *left = x->data;

	while (*left) {
		size_t n = MIN(*left, sizeof(block));
		*left -= n;
		if (http_write(x, slice_of(block, n)) && *left)
			return;
	}
	http_end(x);
}

static void on_tunnel_data(struct http_tunnel *t, struct slice data)
{
	assert_int_equal(http_tunnel_write(t, data), 0);
}

static void on_tunnel_closed(struct http_tunnel *t)
{
}

static void echo(struct http_exchange *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct slice agent = http_header_get(x, "x-test");

	buf_printf(&b, "%s %.*s %zu%s %.*s|", x->method, SLICE_FMT(x->target), x->body.len,
	           x->body_too_large ? " too large" : "", SLICE_FMT(agent));
	buf_slice(&b, slice_of(x->body.data, MIN(x->body.len, (size_t)64)));
	http_set_header(x, "X-Answer", "a\r\nInjected: b");
	http_reply(x, 200, "text/plain", buf_view(&b));
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct fixture *f = arg;

	if (slice_eq_str(x->target, "/stream")) {
		http_start(x, 200, "text/plain", -1);
		http_write(x, SLICE_LIT("one"));
		http_write(x, SLICE_LIT("two!"));
		http_end(x);
	} else if (slice_eq_str(x->target, "/park")) {
		x->data = f;
		x->on_closed = on_parked_closed;
		http_start(x, 200, "text/plain", -1);
		http_write(x, SLICE_LIT("waiting"));
	} else if (slice_eq_str(x->target, "/flood")) {
		size_t *left = arena_alloc(x->arena, sizeof(*left));
		*left = 5000000;
		x->data = left;
		x->on_writable = on_flood_writable;
		x->on_closed = http_end;
		http_start(x, 200, "text/plain", 5000000);
		on_flood_writable(x);
	} else if (slice_eq_str(x->target, "/tunnel")) {
		f->tunnel =
		    (struct http_tunnel){.on_data = on_tunnel_data, .on_closed = on_tunnel_closed};
		assert_true(http_upgrade(x, "echo", &f->tunnel));
	} else if (slice_eq_str(x->target, "/abort")) {
		http_start(x, 200, "text/plain", 100);
		http_write(x, SLICE_LIT("half"));
		http_abort(x);
	} else {
		echo(x);
	}
}

/* --- set up ---------------------------------------------------------------------------------- */

struct listen_call {
	struct fixture *f;
	sem_t done;
};

static void do_listen(void *arg)
{
	struct listen_call *c = arg;
	struct err err = ERR_INIT;

	assert_int_equal(
	    http_server_listen(c->f->server, &c->f->thread.loop, "127.0.0.1", 0, &c->f->port, &err),
	    0);
	sem_post(&c->done);
}

static struct fixture *start(bool tls, const struct http_server_options *extra)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct http_server_options o = extra ? *extra : (struct http_server_options){0};

	sem_init(&f->stopped, 0, 0);
	sem_init(&f->closed, 0, 0);
	if (tls) {
		_cleanup_buf_ struct buf cert = BUF_INIT, key = BUF_INIT;
		const char *hosts[] = {"localhost", "127.0.0.1"};
		const char *alpn[] = {"h2", "http/1.1", NULL};
		assert_int_equal(
		    tls_self_signed(hosts, 2, clock_real_ns() / 1000000000, &cert, &key, NULL), 0);
		struct tls_options t = {.server = true,
		                        .cert_pem = buf_view(&cert),
		                        .key_pem = buf_view(&key),
		                        .client_auth = TLS_CLIENT_AUTH_REQUEST,
		                        .alpn = alpn};
		assert_int_equal(tls_context_new(&t, &f->tls, NULL), 0);
	}
	o.tls = f->tls;
	o.on_request = on_request;
	o.arg = f;
	http_server_new(&o, &f->server);
	assert_int_equal(loop_thread_start(&f->thread, "http"), 0);
	struct listen_call call = {.f = f};
	sem_init(&call.done, 0, 0);
	loop_post(&f->thread.loop, do_listen, &call);
	sem_wait(&call.done);
	return f;
}

static void on_stopped(void *arg)
{
	struct fixture *f = arg;

	sem_post(&f->stopped);
}

static void wait_for(sem_t *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DEADLINE_S;
	assert_int_equal(sem_timedwait(s, &until), 0);
}

static void stop(struct fixture *f)
{
	http_server_stop(f->server, 0, &f->thread.loop, on_stopped, f);
	wait_for(&f->stopped);
	loop_thread_stop(&f->thread);
	http_server_free(f->server);
	tls_context_unref(f->tls);
	free(f);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
	struct timeval t = {.tv_sec = DEADLINE_S};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until `until` has come, or (NULL) the end. */
static void get(int fd, struct buf *b, const char *until)
{
	char space[65536];

	for (;;) {
		if (until && b->len && memmem(b->data, b->len, until, strlen(until)))
			return;
		ssize_t n = recv(fd, space, sizeof(space), 0);
		if (n <= 0) {
			assert_null(until);
			assert_true(n == 0);
			buf_add(b, "", 0);
			return;
		}
		buf_add(b, space, (size_t)n);
	}
}

static char *ask(const struct fixture *f, const char *request, const char *until)
{
	struct buf b = BUF_INIT;
	int fd = dial(f);

	put(fd, request);
	get(fd, &b, until);
	close(fd);
	return buf_steal_str(&b);
}

#define assert_has(text, part)                                               \
	do {                                                                 \
		if (!strstr((text), (part)))                                 \
			fail_msg("\"%s\" is not in \"%s\"", (part), (text)); \
	} while (0)

/* --- HTTP/1.1 -------------------------------------------------------------------------------- */

static void test_http1_answers(void **state)
{
	static const struct {
		const char *request, *until, *expected;
	} cases[] = {
	    {"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Test: v\r\n\r\n", "|", "GET /a?b=c 0 v|"},
	    {"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "|hello",
	     "POST /p 5 |hello"},
	    {"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde"
	     "\r\n0\r\n\r\n",
	     "|abcde", "POST /p 5 |abcde"},
	    {"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "0\r\n\r\n",
	     "\r\n\r\n3\r\none\r\n4\r\ntwo!\r\n0\r\n\r\n"},
	    {"GET /stream HTTP/1.0\r\nHost: x\r\n\r\n", NULL, "\r\n\r\nonetwo!"},
	    {"GET /a HTTP/1.0\r\n\r\n", NULL, "Connection: close\r\n"},
	    {"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, "GET /a 0 |"},
	    {"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL,
	     "Content-Length: 11\r\n"},
	    {"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "|", "X-Answer: a  Injected: b\r\n"},
	    {"NONSENSE\r\n\r\n", NULL, "HTTP/1.1 400 Bad Request\r\n"},
	    {"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", NULL,
	     "HTTP/1.1 400 Bad Request\r\n"},
	    {"POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\nx", NULL,
	     "POST /big 0 too large |"},
	    {"GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nping!",
	     "ping!", "HTTP/1.1 101 Switching Protocols\r\n"},
	};
	struct fixture *f = start(false, NULL);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(free_p) char *answer = ask(f, cases[i].request, cases[i].until);
		assert_has(answer, cases[i].expected);
	}
	_cleanup_(free_p) char *head =
	    ask(f, "HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_null(strchr(head, '|'));
	_cleanup_(free_p) char *cut = ask(f, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	assert_null(strstr(cut, "half"));
	stop(f);
}

static void test_http1_pipeline(void **state)
{
	struct fixture *f = start(false, NULL);
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd = dial(f);

	put(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
	        "POST /3 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nokGET /4 HT");
	get(fd, &b, "/3 2 |ok");
	put(fd, "TP/1.1\r\nHost: x\r\n\r\n");
	get(fd, &b, "/4 0 |");
	const char *text = (const char *)b.data;
	assert_true(strstr(text, "/1 0") < strstr(text, "two!"));
	assert_true(strstr(text, "two!") < strstr(text, "/3 2"));
	close(fd);
	stop(f);
}

static void test_http1_continue(void **state)
{
	struct fixture *f = start(false, NULL);
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd = dial(f);

	put(fd, "POST /c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	get(fd, &b, "100 Continue\r\n\r\n");
	put(fd, "hi");
	get(fd, &b, "/c 2 |hi");
	close(fd);
	stop(f);
}

static void test_client_goes_away(void **state)
{
	struct fixture *f = start(false, NULL);
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd = dial(f);

	put(fd, "GET /park HTTP/1.1\r\nHost: x\r\n\r\n");
	get(fd, &b, "waiting");
	close(fd);
	wait_for(&f->closed);
	stop(f);
}

static void test_limits(void **state)
{
	struct http_server_options o = {
	    .header_timeout_ms = 50, .max_header_bytes = 4096, .idle_timeout_ms = 50};
	struct fixture *f = start(false, &o);
	_cleanup_buf_ struct buf big = BUF_INIT;

	buf_str(&big, "GET / HTTP/1.1\r\nX: ");
	for (int i = 0; i < 5000; i++)
		buf_byte(&big, 'x');
	buf_str(&big, "\r\n\r\n");
	_cleanup_(free_p) char *answer = ask(f, (const char *)big.data, NULL);
	assert_has(answer, "431 Request Header Fields Too Large");
	/* A client that never finishes its headers is cut off. */
	_cleanup_(free_p) char *slow = ask(f, "GET / HTTP/1.1\r\nX", NULL);
	assert_string_equal(slow, "");
	_cleanup_(free_p) char *idle = ask(f, "GET /idle HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	assert_has(idle, "/idle 0");
	stop(f);
}

/* Requests that go no further than the server, and how Go's server answers them. */
static void test_refusals(void **state)
{
	static const struct {
		const char *request, *answer;
	} table[] = {
	    {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"},
	    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request\r\n"},
	    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 Bad Request: malformed Host header"},
	    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 Bad Request: malformed Host header"},
	    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", "200 OK"},
	    {"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", "200 OK"},
	    {"GET / HTTP/1.0\r\n\r\n", "200 OK"},
	    {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"},
	    {"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"},
	    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"},
	    {"FO(O / HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request\r\n"},
	    {"FOO x HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request\r\n"},
	    {"FOO /\r\n\r\n", "400 Bad Request\r\n"},
	    {"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", "400 Bad Request\r\n"},
	};
	struct fixture *f = start(false, NULL);

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(free_p) char *answer = ask(f, table[i].request, NULL);
		assert_has(answer, table[i].answer);
	}
	stop(f);
}

static void test_back_pressure(void **state)
{
	struct fixture *f = start(false, NULL);
	_cleanup_(free_p) char *head =
	    ask(f, "GET /flood HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "\r\n\r\n");
	assert_has(head, "Content-Length: 5000000");

	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd = dial(f);
	put(fd, "GET /flood HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	get(fd, &b, NULL);
	uint8_t *body = memmem(b.data, b.len, "\r\n\r\n", 4);
	assert_non_null(body);
	assert_int_equal(b.len - (size_t)(body + 4 - b.data), 5000000);
	close(fd);
	stop(f);
}

/* --- TLS and HTTP/2 -------------------------------------------------------------------------- */

struct h2_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	nghttp2_session *session;
	size_t received;
	int closed, resets;
	char status[4], body[128];
};

static ssize_t h2_send(nghttp2_session *s, const uint8_t *data, size_t len, int flags, void *user)
{
	struct h2_client *c = user;
	int n = SSL_write(c->ssl, data, (int)len);

	return n > 0 ? n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int h2_on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name,
                        size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                        void *user)
{
	struct h2_client *c = user;

	if (name_len == 7 && memcmp(name, ":status", 7) == 0)
		snprintf(c->status, sizeof(c->status), "%.3s", (const char *)value);
	return 0;
}

static int h2_on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data,
                      size_t len, void *user)
{
	struct h2_client *c = user;

	if (c->received < sizeof(c->body) - 1)
		memcpy(c->body + c->received, data, MIN(len, sizeof(c->body) - 1 - c->received));
	c->received += len;
	return 0;
}

static int h2_on_close(nghttp2_session *s, int32_t id, uint32_t error_code, void *user)
{
	struct h2_client *c = user;

	c->closed++;
	c->resets += error_code != NGHTTP2_NO_ERROR;
	return 0;
}

static void h2_dial(struct h2_client *c, const struct fixture *f)
{
	static const uint8_t alpn[] = "\x02h2";
	nghttp2_session_callbacks *cb;

	memset(c, 0, sizeof(*c));
	c->fd = dial(f);
	c->ctx = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(c->ctx);
	SSL_set_alpn_protos(c->ssl, alpn, 3);
	SSL_set_fd(c->ssl, c->fd);
	assert_int_equal(SSL_connect(c->ssl), 1);
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_send_callback(cb, h2_send);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_close);
	nghttp2_session_client_new(&c->session, cb, c);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(c->session, 0, NULL, 0);
}

static void h2_hang_up(struct h2_client *c)
{
	nghttp2_session_del(c->session);
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
}

#define NV(n, v)                                                        \
	{                                                               \
		(uint8_t *)(n), (uint8_t *)(v), strlen(n), strlen(v), 0 \
	}

static int32_t h2_get(struct h2_client *c, const char *method, const char *path,
                      nghttp2_data_provider *body)
{
	nghttp2_nv nv[] = {NV(":method", method), NV(":path", path), NV(":scheme", "https"),
	                   NV(":authority", "localhost"), NV("x-test", "two")};

	return nghttp2_submit_request(c->session, NULL, nv, ARRAY_LEN(nv), body, NULL);
}

/* False when the server has closed. */
static bool h2_turn(struct h2_client *c)
{
	uint8_t space[65536];

	assert_int_equal(nghttp2_session_send(c->session), 0);
	int n = SSL_read(c->ssl, space, sizeof(space));
	return n > 0 && nghttp2_session_mem_recv(c->session, space, (size_t)n) == n;
}

static void test_http2_answers(void **state)
{
	struct fixture *f = start(true, NULL);
	struct h2_client c;

	h2_dial(&c, f);
	h2_get(&c, "GET", "/x", NULL);
	while (c.closed < 1)
		assert_true(h2_turn(&c));
	assert_string_equal(c.status, "200");
	assert_string_equal(c.body, "GET /x 0 two|");
	/* Many at once; one of them floods, one breaks off. */
	c.received = 0;
	for (int i = 0; i < 100; i++)
		h2_get(&c, "GET", i == 50 ? "/flood" : i == 60 ? "/abort" : "/stream", NULL);
	while (c.closed < 101)
		assert_true(h2_turn(&c));
	assert_int_equal(c.resets, 1);
	assert_in_range(c.received, 5000000 + 98 * 7, 5000000 + 98 * 7 + 4);
	h2_hang_up(&c);
	stop(f);
}

static ssize_t endless(nghttp2_session *s, int32_t id, uint8_t *out, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
	memset(out, 'x', len);
	return (ssize_t)len;
}

static void test_http2_refuses_endless_body(void **state)
{
	struct fixture *f = start(true, NULL);
	struct h2_client c;
	nghttp2_data_provider body = {.read_callback = endless};

	h2_dial(&c, f);
	h2_get(&c, "POST", "/p", &body);
	while (c.closed < 1)
		assert_true(h2_turn(&c));
	assert_has(c.body, "POST /p 0 too large");
	h2_hang_up(&c);
	stop(f);
}

static void test_http2_rapid_reset(void **state)
{
	struct fixture *f = start(true, NULL);
	struct h2_client c;
	int rounds = 0;

	h2_dial(&c, f);
	for (;; rounds++) {
		int32_t id = h2_get(&c, "GET", "/park", NULL);
		if (id < 0 || nghttp2_session_send(c.session) != 0)
			break;
		nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL);
		assert_true(rounds < 20000);
	}
	assert_true(rounds >= 500);
	h2_hang_up(&c);
	stop(f);
}

static void test_plain_http_to_tls_port(void **state)
{
	struct fixture *f = start(true, NULL);
	_cleanup_(free_p) char *answer = ask(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL);

	assert_has(answer, "Client sent an HTTP request to an HTTPS server.");
	stop(f);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_http1_answers),
	    cmocka_unit_test(test_http1_pipeline),
	    cmocka_unit_test(test_http1_continue),
	    cmocka_unit_test(test_client_goes_away),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_back_pressure),
	    cmocka_unit_test(test_http2_answers),
	    cmocka_unit_test(test_http2_refuses_endless_body),
	    cmocka_unit_test(test_http2_rapid_reset),
	    cmocka_unit_test(test_plain_http_to_tls_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
