/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/rpc_server.h"

#include <assert.h>
#include <grpc/grpc_posix.h>
#include <string.h>
#include "common/net/rpc_call.h"

/* How many calls each queue asks gRPC for in advance. */
enum { REQUESTED_CALLS = 64 };

static void on_new_call(struct rpc_tag *tag, bool ok);

static grpc_server *new_grpc_server(const struct rpc_server_options *o)
{
	grpc_arg args[16];
	size_t n = rpc_lean_args(args);
	args[n++] = rpc_int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, o->max_recv_bytes);
	args[n++] = rpc_int_arg(GRPC_ARG_MAX_METADATA_SIZE, o->max_metadata_bytes);
	args[n++] = rpc_int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, o->keepalive_time_ms);
	args[n++] = rpc_int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, o->keepalive_timeout_ms);
	args[n++] = rpc_int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	args[n++] = rpc_int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
	args[n++] = rpc_int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
	                        o->min_ping_interval_ms);
	args[n++] = rpc_int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0);
	if (o->max_streams)
		args[n++] = rpc_int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, o->max_streams);
	return grpc_server_create(&(grpc_channel_args){n, args}, NULL);
}

struct rpc_server *rpc_server_new(struct rpc_core *core, const struct rpc_server_options *o)
{
	struct rpc_server *s = calloc(1, sizeof *s);
	if (!s)
		abort();
	if (o)
		s->options = *o;
#define DEFAULT(field, value) (s->options.field = s->options.field ? s->options.field : (value))
	DEFAULT(max_recv_bytes, 4U << 20);
	DEFAULT(max_metadata_bytes, 16U << 10);
	DEFAULT(keepalive_time_ms, 7200000);
	DEFAULT(keepalive_timeout_ms, 20000);
	DEFAULT(min_ping_interval_ms, 5000);
	DEFAULT(send_high_bytes, 1U << 20);
#undef DEFAULT
	s->core = core;
	s->unknown = (struct rpc_method){
	    .name = "", .kind = RPC_UNARY, .on_call = s->options.on_unknown, .arg = s->options.arg};
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	map_init(&s->methods, 0);
	s->server = new_grpc_server(&s->options);
	for (size_t i = 0; i < rpc_core_queue_count(core); i++)
		grpc_server_register_completion_queue(s->server, rpc_core_queue(core, i), NULL);
	rpc_core_hold(core);
	return s;
}

void rpc_server_method(struct rpc_server *s, const struct rpc_method *m)
{
	assert(!s->started && m->on_call);
	struct rpc_method *copy = malloc(sizeof *copy);
	if (!copy)
		abort();
	*copy = *m;
	free(map_put_str(&s->methods, m->name, copy));
}

int rpc_server_listen(struct rpc_server *s, const char *address,
                      const struct tls_creds_options *tls, int *ret_port, struct err *err)
{
	grpc_server_credentials *creds;
	assert(!s->started);
	if (tls) {
		struct tls_server_state *state;
		int r = tls_server_creds_new(tls, &creds, &state, err);
		if (r)
			return r;
		*vec_push(&s->tls_states) = state;
	} else {
		creds = grpc_insecure_server_credentials_create();
	}
	int port = grpc_server_add_http2_port(s->server, address, creds);
	grpc_server_credentials_release(creds);
	if (!port)
		return err_set(err, ERR_IO, "listen %s: the address cannot be bound", address);
	if (ret_port)
		*ret_port = port;
	return 0;
}

/* --- accepting --- */

static void request_call(struct rpc_server *s, grpc_completion_queue *cq)
{
	pthread_mutex_lock(&s->lock);
	bool stopping = s->stopping;
	s->live += !stopping;
	pthread_mutex_unlock(&s->lock);
	if (stopping)
		return;
	struct rpc_call *c = rpc_call_new(s, cq);
	c->new_tag.done = on_new_call;
	rpc_tag_release(&c->new_tag);
	grpc_call_error e = grpc_server_request_call(s->server, &c->call, &c->details, &c->metadata,
	                                             cq, cq, &c->new_tag);
	if (e != GRPC_CALL_OK)
		rpc_call_unref(c);
}

static void on_new_call(struct rpc_tag *tag, bool ok)
{
	struct rpc_call *c = CONTAINER_OF(tag, struct rpc_call, new_tag);
	if (!ok) {
		rpc_call_unref(c);
		return;
	}
	struct rpc_server *s = c->server;
	request_call(s, c->cq);
	struct slice path =
	    slice_of(GRPC_SLICE_START_PTR(c->details.method), GRPC_SLICE_LENGTH(c->details.method));
	c->method_name = strndup((const char *)path.data, path.len);
	const struct rpc_method *m = map_get(&s->methods, path);
	rpc_call_begin(c, m ? m : &s->unknown);
}

void rpc_server_start(struct rpc_server *s)
{
	s->started = true;
	grpc_server_start(s->server);
	for (size_t q = 0; q < rpc_core_queue_count(s->core); q++)
		for (int i = 0; i < REQUESTED_CALLS; i++)
			request_call(s, rpc_core_queue(s->core, q));
}

void rpc_server_adopt_fd(struct rpc_server *s, int fd)
{
	grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
	grpc_server_add_channel_from_fd(s->server, fd, plain);
	grpc_server_credentials_release(plain);
}

/* --- stopping --- */

static void call_done(void *arg)
{
	struct rpc_server *s = arg;
	loop_timer_stop(&s->grace);
	if (s->done)
		s->done(s->done_arg);
}

/* Under the lock; true when the caller must post call_done. */
static bool all_gone(struct rpc_server *s)
{
	if (!s->shut_down || s->live || s->told_done)
		return false;
	s->told_done = true;
	pthread_cond_broadcast(&s->idle);
	return s->stop_loop != NULL;
}

void rpc_server_call_gone(struct rpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->live--;
	struct loop *tell = all_gone(s) ? s->stop_loop : NULL;
	pthread_mutex_unlock(&s->lock);
	/* The server may be freed by now when nobody is told by post. */
	if (tell)
		loop_post(tell, call_done, s);
}

static void on_shutdown(struct rpc_tag *tag, bool ok)
{
	struct rpc_server *s = CONTAINER_OF(tag, struct rpc_server, shutdown_tag);
	pthread_mutex_lock(&s->lock);
	s->shut_down = true;
	struct loop *tell = all_gone(s) ? s->stop_loop : NULL;
	pthread_mutex_unlock(&s->lock);
	if (tell)
		loop_post(tell, call_done, s);
}

static void shut_down(struct rpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_mutex_unlock(&s->lock);
	s->shutdown_tag.done = on_shutdown;
	rpc_tag_release(&s->shutdown_tag);
	grpc_server_shutdown_and_notify(s->server, rpc_core_queue(s->core, 0), &s->shutdown_tag);
}

static void on_grace_over(void *arg)
{
	struct rpc_server *s = arg;
	grpc_server_cancel_all_calls(s->server);
}

void rpc_server_stop(struct rpc_server *s, uint32_t grace_ms, struct loop *loop, loop_fn done,
                     void *arg)
{
	s->stop_loop = loop;
	s->done = done;
	s->done_arg = arg;
	loop_timer_init(&s->grace, loop, on_grace_over, s);
	shut_down(s);
	if (grace_ms)
		loop_timer_start(&s->grace, grace_ms);
	else
		grpc_server_cancel_all_calls(s->server);
}

void rpc_server_free(struct rpc_server *s)
{
	if (!s)
		return;
	if (!s->stopping) {
		shut_down(s);
		grpc_server_cancel_all_calls(s->server);
	}
	pthread_mutex_lock(&s->lock);
	while (!s->told_done)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
	grpc_server_destroy(s->server);
	VEC_FOREACH (&s->tls_states, state)
		tls_server_state_free(*state);
	vec_deinit(&s->tls_states);
	MAP_FOREACH (&s->methods, slot)
		free(slot->value);
	map_deinit(&s->methods);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->idle);
	rpc_core_release(s->core);
	free(s);
}
