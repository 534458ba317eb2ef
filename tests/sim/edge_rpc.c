/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC between clients and members, in the place of common/net: calls travel with delays, in order
 * within a call, and break when a member or the way to it does. Calls are never freed before their
 * world is. */
#include <stdio.h>
#include "common/net/rpc_server.h"
#include "tests/sim/edges.h"

struct rpc_server {
	struct member *member;
	VEC(struct rpc_method) methods;
	bool started;
};

struct rpc_call {
	struct member *member;
	uint64_t life;
	const struct rpc_method *method;
	struct executor *executor;
	const char *name;
	struct slice message; /* the call's, as long as it lives */
	/* The server's side. */
	struct rpc_call_ops ops;
	void *data;
	bool arrived, ended, closed, congested;
	size_t queued;
	/* The client's. */
	struct client_ops client;
	bool given_up, over, sent;
	uint64_t to_server_us, to_client_us; /* when the last message gets there */
};

enum { SEND_HIGH_BYTES = 2000, REFUSED_US = 300 };

static VEC(struct rpc_call *) calls;

void sim_rpc_reset(void)
{
	memset(&calls, 0, sizeof(calls));
}

/* --- the server --- */

struct rpc_server *rpc_server_new(struct rpc_core *core, const struct rpc_server_options *o)
{
	struct rpc_server *s = calloc(1, sizeof(*s));
	s->member = sim_member();
	s->member->rpc = s;
	return s;
}

void rpc_server_method(struct rpc_server *s, const struct rpc_method *m)
{
	*vec_push(&s->methods) = *m;
}

int rpc_server_listen(struct rpc_server *s, const char *address,
                      const struct tls_creds_options *tls, int *ret_port, struct err *err)
{
	return 0;
}

void rpc_server_start(struct rpc_server *s)
{
	s->started = true;
}

void rpc_server_adopt_fd(struct rpc_server *s, int fd)
{
}

static struct slice copy(struct slice s)
{
	uint8_t *p = malloc(s.len + 1);
	if (s.len)
		memcpy(p, s.data, s.len);
	return slice_of(p, s.len);
}

static bool is_live(const struct rpc_call *c)
{
	return c->member->up && c->member->life == c->life;
}

/* --- what the client gets --- */

struct parcel {
	struct rpc_call *call;
	struct slice message;
	int code;
	char *text;
};

static uint64_t way_us(void)
{
	return 30 + sim_below(300) + (sim_chance(20) ? sim_below(20000) : 0);
}

static uint64_t arrival(uint64_t *last_us, uint64_t extra_us)
{
	uint64_t soonest = sim_now_us() + way_us() + extra_us, at = MAX(*last_us, soonest);
	*last_us = at;
	return at - sim_now_us();
}

static void on_closed(void *arg)
{
	struct rpc_call *c = arg;
	if (c->closed || !c->arrived)
		return;
	c->closed = true;
	if (c->ops.on_closed)
		c->ops.on_closed(c, c->given_up, c->data);
}

static void on_writable(void *arg)
{
	struct rpc_call *c = arg;
	if (!c->closed && c->ops.on_writable)
		c->ops.on_writable(c, c->data);
}

static void client_end(struct rpc_call *c, int code, const char *text, struct slice answer)
{
	if (c->over)
		return;
	c->over = true;
	sim.stats.failed_calls += code != RPC_OK;
	if (!c->given_up && c->client.on_end)
		c->client.on_end(c->client.arg, code, text, c->sent, answer);
}

static void arrive_end(void *arg)
{
	struct parcel *p = arg;
	client_end(p->call, p->code, p->text ? p->text : "", p->message);
}

static void arrive_message(void *arg)
{
	struct parcel *p = arg;
	struct rpc_call *c = p->call;
	c->queued -= p->message.len;
	if (c->congested && c->queued < SEND_HIGH_BYTES / 2 && is_live(c)) {
		c->congested = false;
		sim_after_in(c->member, c->executor, 0, on_writable, c);
	}
	if (!c->over && !c->given_up && c->client.on_message)
		c->client.on_message(c->client.arg, p->message);
	free(p);
}

static void send_end(struct rpc_call *c, int code, const char *text, struct slice message)
{
	if (c->ended)
		return;
	c->ended = true;
	struct parcel *p = malloc(sizeof(*p));
	*p = (struct parcel){c, copy(message), code, NULL};
	if (text)
		p->text = memcpy(malloc(strlen(text) + 1), text, strlen(text) + 1);
	sim_after(arrival(&c->to_client_us, 0), arrive_end, p);
	sim_after_in(c->member, c->executor, way_us(), on_closed, c);
}

void rpc_call_reply(struct rpc_call *c, struct slice message)
{
	send_end(c, RPC_OK, NULL, message);
}

void rpc_call_reply_blob(struct rpc_call *c, struct blob *message)
{
	send_end(c, RPC_OK, NULL, blob_view(message));
}

void rpc_call_fail(struct rpc_call *c, int code, const char *text, const struct rpc_meta *trailers,
                   size_t n_trailers)
{
	send_end(c, code, text, SLICE_EMPTY);
}

void rpc_call_finish(struct rpc_call *c)
{
	send_end(c, RPC_OK, NULL, SLICE_EMPTY);
}

int rpc_call_send(struct rpc_call *c, struct slice message)
{
	if (c->ended || c->given_up || c->over)
		return 0;
	struct parcel *p = malloc(sizeof(*p));
	*p = (struct parcel){c, copy(message), RPC_OK, NULL};
	c->queued += message.len;
	uint64_t slow_us = sim_chance(c->client.slow) ? sim_below(2000000) : 0;
	sim_after(arrival(&c->to_client_us, slow_us), arrive_message, p);
	c->congested |= c->queued > SEND_HIGH_BYTES;
	return c->congested;
}

int rpc_call_send_blob(struct rpc_call *c, struct blob *message)
{
	return rpc_call_send(c, blob_view(message));
}

size_t rpc_call_queued_bytes(struct rpc_call *c)
{
	return c->queued;
}

void rpc_call_set_ops(struct rpc_call *c, const struct rpc_call_ops *o, void *data)
{
	c->ops = *o;
	c->data = data;
}

void *rpc_call_data(const struct rpc_call *c)
{
	return c->data;
}

void rpc_call_set_loop(struct rpc_call *c, struct loop *loop)
{
	c->executor = (struct executor *)loop->thread;
}

void rpc_call_recv(struct rpc_call *c)
{
}

struct rpc_call *rpc_call_ref(struct rpc_call *c)
{
	return c;
}

void rpc_call_unref(struct rpc_call *c)
{
}

const struct rpc_peer *rpc_call_peer(struct rpc_call *c)
{
	static const struct rpc_peer nobody = {.common_name = ""};
	return &nobody;
}

const char *rpc_call_peer_address(struct rpc_call *c)
{
	return "ipv4:10.0.0.1:1000";
}

const char *rpc_call_method(const struct rpc_call *c)
{
	return c->name;
}

struct slice rpc_call_metadata(const struct rpc_call *c, const char *key)
{
	return SLICE_EMPTY;
}

bool rpc_call_metadata_at(const struct rpc_call *c, size_t i, struct slice *ret_key,
                          struct slice *ret_value)
{
	return false;
}

uint64_t rpc_call_time_left_ms(const struct rpc_call *c)
{
	return UINT64_MAX;
}

/* --- what the server gets --- */

static void begin_on_server(void *arg)
{
	struct rpc_call *c = arg;
	if (c->given_up)
		return;
	c->arrived = true;
	c->method->on_call(c, c->message, c->method->arg);
}

static void arrive_at_server(void *arg)
{
	struct rpc_call *c = arg;
	struct member *m = c->member;
	bool refused = !m->up || m->life != c->life || !m->rpc || !m->rpc->started || m->stopping ||
	               sim.cut_clients[m->at];
	for (size_t i = 0; !refused && i < m->rpc->methods.n; i++) {
		const struct rpc_method *method = &m->rpc->methods.at[i];
		if (!strcmp(method->name, c->name))
			c->method = method;
	}
	if (!c->method) {
		client_end(c, RPC_UNAVAILABLE, "connection refused", SLICE_EMPTY);
		return;
	}
	c->sent = true;
	c->executor = c->method->loop ? (struct executor *)c->method->loop->thread : m->queue;
	*vec_push(&calls) = c;
	sim_after_in(m, c->executor, 0, begin_on_server, c);
}

struct rpc_call *client_call(struct member *m, const char *method, struct slice message,
                             const struct client_ops *o)
{
	struct rpc_call *c = calloc(1, sizeof(*c));
	sim.stats.calls++;
	c->member = m;
	c->life = m->life;
	c->name = method;
	c->message = copy(message);
	c->client = *o;
	sim_after(arrival(&c->to_server_us, 0), arrive_at_server, c);
	return c;
}

static void message_on_server(void *arg)
{
	struct parcel *p = arg;
	struct rpc_call *c = p->call;
	if (c->arrived && !c->closed && c->ops.on_message)
		c->ops.on_message(c, p->message, c->data);
	free(p);
}

/* What a cut swallows is never followed by what was sent later. */
static void break_call(struct rpc_call *c)
{
	client_end(c, RPC_UNAVAILABLE, "connection broken", SLICE_EMPTY);
	c->given_up = true;
	sim_after_in(c->member, c->executor, 0, on_closed, c);
}

static void message_at_server(void *arg)
{
	struct parcel *p = arg;
	struct rpc_call *c = p->call;
	if (!is_live(c) || !c->method || c->given_up)
		return;
	if (sim.cut_clients[c->member->at])
		break_call(c);
	else
		sim_after_in(c->member, c->executor, 0, message_on_server, p);
}

void client_send(struct rpc_call *c, struct slice message)
{
	if (c->over)
		return;
	struct parcel *p = malloc(sizeof(*p));
	*p = (struct parcel){c, copy(message), RPC_OK, NULL};
	sim_after(arrival(&c->to_server_us, 0), message_at_server, p);
}

void client_cancel(struct rpc_call *c)
{
	if (c->over)
		return;
	c->given_up = c->over = true;
	if (is_live(c) && c->method && !c->ended)
		sim_after_in(c->member, c->executor, way_us(), on_closed, c);
}

/* --- ends --- */

struct broken {
	struct rpc_call *call;
};

static void on_broken(void *arg)
{
	struct rpc_call *c = arg;
	client_end(c, RPC_UNAVAILABLE, "connection broken", SLICE_EMPTY);
}

static void forget_over(void)
{
	for (size_t i = 0; i < calls.n;) {
		if (calls.at[i]->over)
			vec_swap_remove(&calls, i);
		else
			i++;
	}
}

void sim_rpc_crash(struct member *m)
{
	m->rpc = NULL;
	forget_over();
	VEC_FOREACH (&calls, it) {
		struct rpc_call *c = *it;
		if (c->member == m && !c->ended) {
			c->ended = c->closed = true;
			sim_after(way_us(), on_broken, c);
		}
	}
}

void rpc_server_stop(struct rpc_server *s, uint32_t grace_ms, struct loop *loop, loop_fn done,
                     void *arg)
{
	s->started = false;
	VEC_FOREACH (&calls, it) {
		struct rpc_call *c = *it;
		if (c->member != s->member || c->life != s->member->life || c->over)
			continue;
		if (!c->ended) {
			sim_after(way_us() + grace_ms * 1000, on_broken, c);
			c->ended = true;
			sim_after_in(c->member, c->executor, grace_ms * 1000, on_closed, c);
		}
	}
	sim_after_in(s->member, (struct executor *)loop->thread, grace_ms * 1000 + 1000, done, arg);
}

void rpc_server_free(struct rpc_server *s)
{
	s->member->rpc = NULL;
}
