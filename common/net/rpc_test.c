/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC glue against itself, over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/net/rpc_client.h"
#include "common/net/rpc_server.h"
#include "common/net/test_pki.h"

enum { MESSAGES = 10000, WATCHDOG_MS = 30000 };

struct world {
	struct loop loop;
	struct rpc_core *core;
	struct rpc_server *server;
	struct rpc_channel *channel;
	struct loop_timer watchdog;
	char address[64];
	int waiting; /* events until the loop stops */
	/* what the callbacks saw */
	int code;
	char text[256];
	struct buf got;
	uint64_t received, sum;
	bool server_cancelled, server_closed;
	struct rpc_call *held;
	struct rpc_stream *stream;
	int to_send;
	bool finished;
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

/* --- the server's methods --- */

static void on_echo(struct rpc_call *call, struct slice message, void *arg)
{
	rpc_call_reply(call, message);
}

static void on_refuse(struct rpc_call *call, struct slice message, void *arg)
{
	struct rpc_meta trailer = {"status-bin", slice_of("\0\1\377", 3)};
	rpc_call_fail(call, RPC_NOT_FOUND, "nothing here", &trailer, 1);
}

static void on_who(struct rpc_call *call, struct slice message, void *arg)
{
	const struct rpc_peer *p = rpc_call_peer(call);
	struct slice token = rpc_call_metadata(call, "authorization");
	char out[256];
	int n = snprintf(out, sizeof out, "%s|%zu|%s|%.*s|%d", p->common_name, p->n_organizations,
	                 p->n_organizations ? p->organizations[0] : "", SLICE_FMT(token),
	                 p->pem != NULL);
	rpc_call_reply(call, slice_of(out, (size_t)n));
}

static void note_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct world *w = data;
	w->server_closed = true;
	w->server_cancelled = cancelled;
	if (w->held == call) {
		w->held = NULL;
		rpc_call_fail(call, RPC_CANCELLED, "", NULL, 0);
	}
	happened(w);
}

static void on_hang(struct rpc_call *call, struct slice message, void *arg)
{
	struct world *w = arg;
	static const struct rpc_call_ops ops = {.on_closed = note_closed};
	rpc_call_set_ops(call, &ops, w);
	w->held = call;
	happened(w);
}

static void sum_message(struct rpc_call *call, struct slice message, void *data)
{
	struct world *w = data;
	uint32_t v;
	assert_int_equal(message.len, sizeof v);
	memcpy(&v, message.data, sizeof v);
	assert_int_equal(v, w->received);
	w->received++;
	w->sum += v;
}

static void sum_done(struct rpc_call *call, void *data)
{
	struct world *w = data;
	rpc_call_send(call, slice_of(&w->sum, sizeof w->sum));
	rpc_call_finish(call);
}

static void on_sum(struct rpc_call *call, struct slice message, void *arg)
{
	static const struct rpc_call_ops ops = {.on_message = sum_message,
	                                        .on_half_close = sum_done};
	rpc_call_set_ops(call, &ops, arg);
}

/* Sends numbers until the queue is full, then waits for on_writable. */
static void count_more(struct rpc_call *call, void *data)
{
	struct world *w = data;
	char pad[600] = {0};
	while (w->to_send < MESSAGES) {
		memcpy(pad, &w->to_send, sizeof w->to_send);
		w->to_send++;
		if (rpc_call_send(call, slice_of(pad, sizeof pad)))
			return;
	}
	if (!w->finished)
		rpc_call_finish(call);
	w->finished = true;
}

static void count_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct world *w = data;
	if (!w->finished)
		rpc_call_finish(call);
	w->finished = true;
}

static void on_count(struct rpc_call *call, struct slice message, void *arg)
{
	static const struct rpc_call_ops ops = {.on_writable = count_more,
	                                        .on_closed = count_closed};
	rpc_call_set_ops(call, &ops, arg);
	count_more(call, arg);
}

static void bounce(struct rpc_call *call, struct slice message, void *data)
{
	rpc_call_send(call, message);
}

static void bounce_done(struct rpc_call *call, void *data)
{
	rpc_call_finish(call);
}

static void on_bidi(struct rpc_call *call, struct slice message, void *arg)
{
	static const struct rpc_call_ops ops = {.on_message = bounce, .on_half_close = bounce_done};
	rpc_call_set_ops(call, &ops, arg);
}

/* --- set-up --- */

static struct world *world_new(const struct tls_creds_options *server_tls,
                               const struct tls_creds_options *client_tls, bool on_queue)
{
	struct world *w = calloc(1, sizeof *w);
	struct err err = ERR_INIT;
	int port = 0;
	assert_int_equal(loop_init(&w->loop), 0);
	loop_timer_init(&w->watchdog, &w->loop, expired, w);
	loop_timer_start(&w->watchdog, WATCHDOG_MS);
	w->core = rpc_core_new(1);
	struct rpc_server_options options = {.send_high_bytes = 64 << 10};
	w->server = rpc_server_new(w->core, &options);
	struct loop *loop = on_queue ? NULL : &w->loop;
	const struct rpc_method methods[] = {
	    {"/t.T/Echo", RPC_UNARY, on_echo, w, loop},
	    {"/t.T/Refuse", RPC_UNARY, on_refuse, w, loop},
	    {"/t.T/Who", RPC_UNARY, on_who, w, loop},
	    {"/t.T/Hang", RPC_UNARY, on_hang, w, &w->loop},
	    {"/t.T/HangStream", RPC_STREAM, on_hang, w, &w->loop},
	    {"/t.T/Sum", RPC_STREAM, on_sum, w, loop},
	    {"/t.T/Count", RPC_STREAM, on_count, w, loop},
	    {"/t.T/Bidi", RPC_STREAM, on_bidi, w, loop},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		rpc_server_method(w->server, &methods[i]);
	if (rpc_server_listen(w->server, "127.0.0.1:0", server_tls, &port, &err))
		fail_msg("%s", err.text);
	rpc_server_start(w->server);
	snprintf(w->address, sizeof w->address, "%s127.0.0.1:%d", client_tls ? "https://" : "",
	         port);
	struct rpc_channel_options co = {.tls = client_tls, .own_connection = true};
	if (rpc_channel_new(w->core, w->address, &co, &w->channel, &err))
		fail_msg("%s", err.text);
	return w;
}

static void stopped(void *arg)
{
	happened(arg);
}

static void world_free(struct world *w)
{
	rpc_channel_unref(w->channel);
	if (w->server) {
		rpc_server_stop(w->server, 1000, &w->loop, stopped, w);
		wait_for(w, 1);
		rpc_server_free(w->server);
	}
	rpc_core_free(w->core);
	loop_timer_stop(&w->watchdog);
	loop_deinit(&w->loop);
	buf_deinit(&w->got);
	free(w);
}

static void note_result(struct world *w, const struct rpc_result *r)
{
	w->code = r->code;
	snprintf(w->text, sizeof w->text, "%s", r->text);
	happened(w);
}

static void on_done(const struct rpc_result *r, void *arg)
{
	struct world *w = arg;
	buf_clear(&w->got);
	buf_slice(&w->got, r->code == RPC_OK ? r->message : rpc_result_trailer(r, "status-bin"));
	note_result(w, r);
}

static struct rpc_unary *call(struct world *w, const char *method, struct slice message,
                              uint32_t timeout_ms)
{
	struct rpc_unary_args a = {.method = method,
	                           .message = message,
	                           .timeout_ms = timeout_ms,
	                           .loop = &w->loop,
	                           .done = on_done,
	                           .arg = w};
	return rpc_unary_start(w->channel, &a);
}

/* --- unary --- */

static void check_unary(bool on_queue)
{
	struct world *w = world_new(NULL, NULL, on_queue);
	call(w, "/t.T/Echo", SLICE_LIT("hello"), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_true(slice_eq_str(buf_view(&w->got), "hello"));

	call(w, "/t.T/Echo", SLICE_EMPTY, 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_int_equal(w->got.len, 0);

	struct blob *big = blob_new(3 << 20);
	memset(big->data, 'x', big->len);
	struct rpc_unary_args a = {
	    .method = "/t.T/Echo", .blob = big, .loop = &w->loop, .done = on_done, .arg = w};
	rpc_unary_start(w->channel, &a);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_true(slice_eq(buf_view(&w->got), blob_view(big)));
	blob_unref(big);

	call(w, "/t.T/Refuse", SLICE_LIT("x"), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_NOT_FOUND);
	assert_string_equal(w->text, "nothing here");
	assert_true(slice_eq(buf_view(&w->got), slice_of("\0\1\377", 3)));

	call(w, "/t.T/None", SLICE_LIT("x"), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_UNIMPLEMENTED);
	assert_string_equal(w->text, "unknown method None for service t.T");
	world_free(w);
}

static void unary(void **state)
{
	check_unary(false);
	check_unary(true);
}

static void many_at_once(void **state)
{
	struct world *w = world_new(NULL, NULL, true);
	for (int i = 0; i < 500; i++)
		call(w, "/t.T/Echo", SLICE_LIT("hello"), 20000);
	wait_for(w, 500);
	assert_int_equal(w->code, RPC_OK);
	world_free(w);
}

static void too_large(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	struct blob *big = blob_new((4 << 20) + 1);
	memset(big->data, 'x', big->len);
	call(w, "/t.T/Echo", blob_view(big), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_RESOURCE_EXHAUSTED);
	blob_unref(big);
	world_free(w);
}

/* --- streams --- */

static void on_any_message(struct rpc_stream *st, struct slice message, void *arg)
{
	struct world *w = arg;
	buf_clear(&w->got);
	buf_slice(&w->got, message);
	rpc_stream_next(st);
}

static void on_number(struct rpc_stream *st, struct slice message, void *arg)
{
	struct world *w = arg;
	uint32_t v;
	memcpy(&v, message.data, sizeof v);
	assert_int_equal(v, w->received);
	w->received++;
	rpc_stream_next(st);
}

static void on_finish(struct rpc_stream *st, const struct rpc_result *r, void *arg)
{
	struct world *w = arg;
	w->stream = NULL;
	note_result(w, r);
}

static void send_numbers(struct rpc_stream *st, void *arg)
{
	struct world *w = arg;
	while (w->to_send < MESSAGES) {
		uint32_t v = (uint32_t)w->to_send++;
		if (rpc_stream_send(st, slice_of(&v, sizeof v)))
			return;
	}
	rpc_stream_half_close(st);
}

static struct rpc_stream *open_stream(struct world *w, const char *method,
                                      void (*on_message)(struct rpc_stream *, struct slice, void *))
{
	struct rpc_stream_args a = {.method = method,
	                            .loop = &w->loop,
	                            .on_message = on_message,
	                            .on_writable = send_numbers,
	                            .on_finish = on_finish,
	                            .arg = w};
	w->stream = rpc_stream_start(w->channel, &a);
	rpc_stream_next(w->stream);
	return w->stream;
}

static void client_stream(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	send_numbers(open_stream(w, "/t.T/Sum", on_any_message), w);
	wait_for(w, 1);
	uint64_t sum;
	assert_int_equal(w->code, RPC_OK);
	assert_int_equal(w->got.len, sizeof sum);
	memcpy(&sum, w->got.data, sizeof sum);
	assert_int_equal(sum, (uint64_t)MESSAGES * (MESSAGES - 1) / 2);
	world_free(w);
}

static void check_server_stream(bool on_queue)
{
	struct world *w = world_new(NULL, NULL, on_queue);
	rpc_stream_half_close(open_stream(w, "/t.T/Count", on_number));
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_int_equal(w->received, MESSAGES);
	world_free(w);
}

static void server_stream(void **state)
{
	check_server_stream(false);
	check_server_stream(true);
}

static void bidi(void **state)
{
	struct world *w = world_new(NULL, NULL, true);
	send_numbers(open_stream(w, "/t.T/Bidi", on_number), w);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_int_equal(w->received, MESSAGES);
	world_free(w);
}

/* A server that has more to send than the client asks for must wait. */
static void flow_control(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	struct rpc_stream_args a = {.method = "/t.T/Count",
	                            .loop = &w->loop,
	                            .on_message = on_any_message,
	                            .on_finish = on_finish,
	                            .arg = w};
	w->stream = rpc_stream_start(w->channel, &a);
	/* Echoes in between prove that time has passed for the stream. */
	for (int i = 0; i < 20; i++) {
		call(w, "/t.T/Echo", SLICE_LIT("x"), 5000);
		wait_for(w, 1);
	}
	assert_in_range(w->to_send, 1, MESSAGES - 1);
	rpc_stream_drop(w->stream);
	world_free(w);
}

/* --- cancellation, deadlines, failures --- */

static void client_cancels(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	struct rpc_unary *u = call(w, "/t.T/Hang", SLICE_LIT("x"), 0);
	wait_for(w, 1);
	rpc_unary_cancel(u);
	wait_for(w, 2);
	assert_int_equal(w->code, RPC_CANCELLED);
	assert_true(w->server_closed && w->server_cancelled);

	w->server_closed = w->server_cancelled = false;
	open_stream(w, "/t.T/HangStream", on_any_message);
	wait_for(w, 1);
	rpc_stream_cancel(w->stream);
	wait_for(w, 2);
	assert_int_equal(w->code, RPC_CANCELLED);
	assert_true(w->server_closed && w->server_cancelled);

	/* Dropped ones call nobody back; the server still hears of it. */
	w->code = -1;
	u = call(w, "/t.T/Hang", SLICE_LIT("x"), 0);
	wait_for(w, 1);
	rpc_unary_drop(u);
	wait_for(w, 1);
	open_stream(w, "/t.T/HangStream", on_any_message);
	wait_for(w, 1);
	rpc_stream_drop(w->stream);
	wait_for(w, 1);
	assert_int_equal(w->code, -1);
	world_free(w);
}

static void server_cancels(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	open_stream(w, "/t.T/HangStream", on_any_message);
	wait_for(w, 1);
	struct rpc_call *held = TAKE(w->held);
	rpc_call_send(held, SLICE_LIT("last words"));
	rpc_call_fail(held, RPC_OUT_OF_RANGE, "compacted", NULL, 0);
	wait_for(w, 2);
	assert_int_equal(w->code, RPC_OUT_OF_RANGE);
	assert_string_equal(w->text, "compacted");
	assert_true(slice_eq_str(buf_view(&w->got), "last words"));
	assert_true(w->server_closed && !w->server_cancelled);
	world_free(w);
}

static void deadline(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	call(w, "/t.T/Hang", SLICE_LIT("x"), 100);
	wait_for(w, 3); /* on_hang, done, note_closed */
	assert_int_equal(w->code, RPC_DEADLINE_EXCEEDED);
	assert_true(w->server_cancelled);
	world_free(w);
}

static void refused(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	/* A port that was bound a moment ago and is not listened on. */
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	char list[128];
	int port = ntohs(sa.sin_port);
	struct rpc_channel *good = w->channel;

	snprintf(list, sizeof list, "127.0.0.1:%d", port);
	assert_int_equal(rpc_channel_new(w->core, list, NULL, &w->channel, NULL), 0);
	call(w, "/t.T/Echo", SLICE_LIT("x"), 10000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_UNAVAILABLE);
	rpc_channel_unref(w->channel);

	/* The next endpoint of the list answers. */
	snprintf(list, sizeof list, "127.0.0.1:%d,%s", port, w->address);
	assert_int_equal(rpc_channel_new(w->core, list, NULL, &w->channel, NULL), 0);
	call(w, "/t.T/Echo", SLICE_LIT("x"), 10000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	rpc_channel_unref(good);
	close(fd);
	world_free(w);
}

static void endpoints(void **state)
{
	static const struct {
		const char *list, *want;
	} bad[] = {
	    {"", "no endpoints given"},
	    {"https://", "endpoint https://: want host:port"},
	    {"host", "endpoint host: want host:port"},
	    {"10.0.0.1:http", "endpoint 10.0.0.1:http: want host:port"},
	    {"a:1,b:2", "endpoints a:1,b:2: several endpoints must be addresses of one kind"},
	    {"1.2.3.4:1,[::1]:2",
	     "endpoints 1.2.3.4:1,[::1]:2: several endpoints must be addresses of one kind"},
	};
	struct rpc_core *core = rpc_core_new(1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct rpc_channel *ch = NULL;
		struct err err = ERR_INIT;
		assert_int_equal(rpc_channel_new(core, bad[i].list, NULL, &ch, &err), -ERR_INVALID);
		assert_string_equal(err.text, bad[i].want);
	}
	rpc_core_free(core);
}

static void shutdown_while_streaming(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	open_stream(w, "/t.T/HangStream", on_any_message);
	wait_for(w, 1);
	rpc_server_stop(w->server, 50, &w->loop, stopped, w);
	wait_for(w, 3); /* on_finish, note_closed, stopped */
	assert_int_equal(w->code, RPC_UNAVAILABLE);
	assert_true(w->server_cancelled);
	rpc_server_free(TAKE(w->server));
	call(w, "/t.T/Echo", SLICE_LIT("x"), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_UNAVAILABLE);
	world_free(w);
}

static void adopted_fd(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	/* A listener of our own that hands its connections over. */
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &n), 0);
	char address[64];
	snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(sa.sin_port));
	rpc_channel_unref(w->channel);
	assert_int_equal(rpc_channel_new(w->core, address, NULL, &w->channel, NULL), 0);
	call(w, "/t.T/Echo", SLICE_LIT("through"), 10000);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	rpc_server_adopt_fd(w->server, fd);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_true(slice_eq_str(buf_view(&w->got), "through"));
	close(listener);
	world_free(w);
}

/* --- TLS --- */

struct certs {
	struct test_ca ca, other_ca;
	struct test_leaf server, client, stranger;
};

static int make_certs(void **state)
{
	struct certs *c = calloc(1, sizeof *c);
	test_ca_init(&c->ca, "test-ca");
	test_ca_init(&c->other_ca, "other-ca");
	test_leaf_init(&c->server, &c->ca, "server", NULL, "IP:127.0.0.1,DNS:localhost");
	test_leaf_init(&c->client, &c->ca, "system:node:n1", "system:nodes,system:masters", NULL);
	test_leaf_init(&c->stranger, &c->other_ca, "stranger", NULL, "IP:10.9.8.7");
	*state = c;
	return 0;
}

static int free_certs(void **state)
{
	struct certs *c = *state;
	test_ca_deinit(&c->ca);
	test_ca_deinit(&c->other_ca);
	test_leaf_deinit(&c->server);
	test_leaf_deinit(&c->client);
	test_leaf_deinit(&c->stranger);
	free(c);
	return 0;
}

static struct tls_creds_options creds_of(struct test_ca *ca, struct test_leaf *leaf,
                                         enum tls_creds_client_auth auth)
{
	return (struct tls_creds_options){.ca_pem = ca->pem,
	                                  .cert_pem = leaf ? leaf->cert_pem : NULL,
	                                  .key_pem = leaf ? leaf->key_pem : NULL,
	                                  .client_auth = auth};
}

static void who(struct world *w, const char *want)
{
	struct rpc_meta md[] = {{"authorization", SLICE_LIT("Bearer abc")},
	                        {"bad", SLICE_LIT("a\nb")}};
	struct rpc_unary_args a = {.method = "/t.T/Who",
	                           .timeout_ms = 10000,
	                           .metadata = md,
	                           .n_metadata = 2,
	                           .loop = &w->loop,
	                           .done = on_done,
	                           .arg = w};
	rpc_unary_start(w->channel, &a);
	wait_for(w, 1);
	if (w->code != RPC_OK)
		fail_msg("%d %s", w->code, w->text);
	buf_byte(&w->got, 0);
	assert_string_equal(w->got.data, want);
}

static void identity(void **state)
{
	struct certs *c = *state;
	struct tls_creds_options server = creds_of(&c->ca, &c->server, TLS_CLIENT_OPTIONAL);
	struct tls_creds_options client = creds_of(&c->ca, &c->client, 0);
	struct world *w = world_new(&server, &client, true);
	who(w, "system:node:n1|2|system:nodes|Bearer abc|1");
	who(w, "system:node:n1|2|system:nodes|Bearer abc|1");
	world_free(w);

	client = creds_of(&c->ca, NULL, 0);
	w = world_new(&server, &client, true);
	who(w, "|0||Bearer abc|0");
	world_free(w);
}

static void expect_no_connection(struct tls_creds_options *server, struct tls_creds_options *client)
{
	struct world *w = world_new(server, client, true);
	call(w, "/t.T/Echo", SLICE_LIT("x"), 10000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_UNAVAILABLE);
	world_free(w);
}

static void strangers(void **state)
{
	struct certs *c = *state;
	struct tls_creds_options server = creds_of(&c->ca, &c->server, TLS_CLIENT_REQUIRED);
	/* A client without a certificate, one of another CA, and one that trusts another CA. */
	struct tls_creds_options client = creds_of(&c->ca, NULL, 0);
	expect_no_connection(&server, &client);
	client = creds_of(&c->ca, &c->stranger, 0);
	expect_no_connection(&server, &client);
	client = creds_of(&c->other_ca, &c->client, 0);
	expect_no_connection(&server, &client);
	/* A server whose certificate is for another host. */
	client = creds_of(&c->ca, &c->client, 0);
	client.server_name = "elsewhere";
	expect_no_connection(&server, &client);
	client.server_name = "localhost";
	struct world *w = world_new(&server, &client, true);
	who(w, "system:node:n1|2|system:nodes|Bearer abc|1");
	world_free(w);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* A renewed certificate is served to new connections without a restart. */
static void renewal(void **state)
{
	struct certs *c = *state;
	char dir[] = "/tmp/rpc_test_XXXXXX", cert[64], key[64];
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof cert, "%s/cert", dir);
	snprintf(key, sizeof key, "%s/key", dir);
	write_file(cert, c->server.cert_pem);
	write_file(key, c->server.key_pem);
	struct tls_creds_options server = {.cert_file = cert, .key_file = key};
	struct tls_creds_options client = creds_of(&c->ca, NULL, 0);
	struct world *w = world_new(&server, &client, true);
	who(w, "|0||Bearer abc|0");

	struct test_leaf renewed;
	test_leaf_init(&renewed, &c->other_ca, "server", NULL, "IP:127.0.0.1");
	write_file(cert, renewed.cert_pem);
	write_file(key, renewed.key_pem);
	client = creds_of(&c->other_ca, NULL, 0);
	struct rpc_channel_options co = {.tls = &client, .own_connection = true};
	do {
		rpc_channel_unref(w->channel);
		assert_int_equal(rpc_channel_new(w->core, w->address, &co, &w->channel, NULL), 0);
		call(w, "/t.T/Echo", SLICE_LIT("x"), 1000);
		wait_for(w, 1);
	} while (w->code != RPC_OK); /* the watchdog ends it */
	test_leaf_deinit(&renewed);
	world_free(w);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

static void unix_socket(void **state)
{
	struct world *w = world_new(NULL, NULL, false);
	char path[64], listen_at[80], endpoint[80];
	snprintf(path, sizeof path, "/tmp/rpc_test_%d.sock", getpid());
	snprintf(listen_at, sizeof listen_at, "unix:%s", path);
	snprintf(endpoint, sizeof endpoint, "unix://%s", path);
	struct rpc_server *s = rpc_server_new(w->core, NULL);
	rpc_server_method(s, &(struct rpc_method){"/t.T/Echo", RPC_UNARY, on_echo, w, NULL});
	assert_int_equal(rpc_server_listen(s, listen_at, NULL, NULL, NULL), 0);
	rpc_server_start(s);
	rpc_channel_unref(w->channel);
	assert_int_equal(rpc_channel_new(w->core, endpoint, NULL, &w->channel, NULL), 0);
	call(w, "/t.T/Echo", SLICE_LIT("local"), 5000);
	wait_for(w, 1);
	assert_int_equal(w->code, RPC_OK);
	assert_true(slice_eq_str(buf_view(&w->got), "local"));
	rpc_server_free(s);
	unlink(path);
	world_free(w);
}

static void bad_creds(void **state)
{
	struct certs *c = *state;
	struct tls_pem pem;
	struct err err;
	struct tls_creds_options o = {.cert_pem = c->server.cert_pem, .key_pem = c->client.key_pem};
	assert_int_equal(tls_pem_load(&pem, &o, &err), -ERR_INVALID);
	assert_string_equal(err.text, "the private key is not that of the certificate");
	o = (struct tls_creds_options){.cert_pem = c->server.cert_pem};
	assert_int_equal(tls_pem_load(&pem, &o, &err), -ERR_INVALID);
	o = (struct tls_creds_options){.ca_file = "/nonexistent/ca.crt"};
	assert_int_equal(tls_pem_load(&pem, &o, &err), -ERR_IO);
	assert_string_equal(err.text, "open /nonexistent/ca.crt: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(unary),
	    cmocka_unit_test(many_at_once),
	    cmocka_unit_test(too_large),
	    cmocka_unit_test(client_stream),
	    cmocka_unit_test(server_stream),
	    cmocka_unit_test(bidi),
	    cmocka_unit_test(flow_control),
	    cmocka_unit_test(client_cancels),
	    cmocka_unit_test(server_cancels),
	    cmocka_unit_test(deadline),
	    cmocka_unit_test(refused),
	    cmocka_unit_test(endpoints),
	    cmocka_unit_test(shutdown_while_streaming),
	    cmocka_unit_test(adopted_fd),
	    cmocka_unit_test(unix_socket),
	    cmocka_unit_test_setup_teardown(renewal, make_certs, free_certs),
	    cmocka_unit_test_setup_teardown(identity, make_certs, free_certs),
	    cmocka_unit_test_setup_teardown(strangers, make_certs, free_certs),
	    cmocka_unit_test_setup_teardown(bad_creds, make_certs, free_certs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
