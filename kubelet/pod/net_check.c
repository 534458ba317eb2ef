/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP connection and a gRPC health check. */
#include <stdio.h>
#include <string.h>

#include "common/net/rpc_client.h"
#include "kubelet/pod/http_get.h"
#include "proto/grpc_health.pb-c.h"

struct net_check {
	struct loop_timer timer; /* the limit, or (failed already) calls back later */
	uv_tcp_t tcp;
	uv_connect_t connect;
	bool has_tcp, over;
	struct rpc_channel *channel;
	struct rpc_unary *call;
	uint32_t timeout_ms;
	char address[128], error[400];
	net_check_fn done;
	void *arg;
};

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void release(struct net_check *n)
{
	n->over = true;
	loop_timer_stop(&n->timer);
	if (n->call)
		rpc_unary_drop(n->call);
	rpc_channel_unref(n->channel);
	if (n->has_tcp)
		uv_close((uv_handle_t *)&n->tcp, on_closed);
	else
		free(n);
}

static void finish(struct net_check *n, const char *error)
{
	n->done(error, n->arg);
	release(n);
}

static void on_timer(void *arg)
{
	struct net_check *n = arg;
	if (!*n->error)
		snprintf(n->error, sizeof(n->error), "dial tcp %s: i/o timeout", n->address);
	finish(n, n->error);
}

static struct net_check *check_new(struct pod *p, uint32_t timeout_ms, net_check_fn done, void *arg)
{
	struct net_check *n = calloc(1, sizeof(*n));
	if (!n)
		abort();
	n->done = done;
	n->arg = arg;
	n->timeout_ms = timeout_ms;
	loop_timer_init(&n->timer, p->k->loop, on_timer, n);
	return n;
}

static struct net_check *fail_later(struct net_check *n, const char *text)
{
	snprintf(n->error, sizeof(n->error), "%.*s", (int)sizeof(n->error) - 1, text);
	loop_timer_start(&n->timer, 0);
	return n;
}

/* As Go words what connect says. */
static const char *errno_words(int code, char out[64])
{
	if (code == UV_ECONNREFUSED)
		return "connection refused";
	if (code == UV_EHOSTUNREACH)
		return "no route to host";
	if (code == UV_ENETUNREACH)
		return "network is unreachable";
	return uv_strerror_r(code, out, 64);
}

static void on_connect(uv_connect_t *c, int status)
{
	struct net_check *n = c->data;
	char words[64];
	if (n->over)
		return;
	if (status)
		snprintf(n->error, sizeof(n->error), "dial tcp %s: connect: %s", n->address,
		         errno_words(status, words));
	finish(n, status ? n->error : NULL);
}

struct net_check *tcp_check_start(struct pod *p, const CoreV1__Container *c,
                                  const CoreV1__TCPSocketAction *action, uint32_t timeout_ms,
                                  net_check_fn done, void *arg)
{
	struct net_check *n = check_new(p, timeout_ms, done, arg);
	const char *host = action->host && *action->host ? action->host : pod_address(p);
	int port = container_port(c, action->port);
	struct sockaddr_storage sa;
	if (!host)
		return fail_later(n, "the pod has no address");
	snprintf(n->address, sizeof(n->address), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
	         port);
	if (uv_ip4_addr(host, port, (struct sockaddr_in *)&sa) &&
	    uv_ip6_addr(host, port, (struct sockaddr_in6 *)&sa))
		return fail_later(n, "the host of a TCP probe must be an address");
	uv_tcp_init(&p->k->loop->uv, &n->tcp);
	n->has_tcp = true;
	n->tcp.data = n->connect.data = n;
	int r = uv_tcp_connect(&n->connect, &n->tcp, (struct sockaddr *)&sa, on_connect);
	if (r)
		return fail_later(n, uv_strerror(r));
	loop_timer_start(&n->timer, timeout_ms);
	return n;
}

static void on_health(const struct rpc_result *r, void *arg)
{
	struct net_check *n = arg;
	n->call = NULL;
	if (r->code == RPC_UNIMPLEMENTED) {
		finish(n, "this server does not implement the grpc health protocol "
		          "(grpc.health.v1.Health)");
		return;
	}
	if (r->code == RPC_UNAVAILABLE || r->code == RPC_DEADLINE_EXCEEDED) {
		snprintf(n->error, sizeof(n->error),
		         "timeout: failed to connect service \"%s\" within %us: %s", n->address,
		         n->timeout_ms / 1000, r->text);
		finish(n, n->error);
		return;
	}
	if (r->code != RPC_OK) {
		snprintf(n->error, sizeof(n->error),
		         "error: health rpc probe failed: rpc error: code = %s desc = %s",
		         rpc_code_name(r->code), r->text);
		finish(n, n->error);
		return;
	}
	GrpcHealth__HealthCheckResponse *m =
	    grpc_health__health_check_response__unpack(NULL, r->message.len, r->message.data);
	static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
	int status = m ? (int)m->status : 0;
	bool good = m && status == GRPC_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	if (m)
		grpc_health__health_check_response__free_unpacked(m, NULL);
	if (!good)
		snprintf(n->error, sizeof(n->error), "service unhealthy (responded with \"%s\")",
		         status >= 0 && status < 4 ? names[status] : "UNKNOWN");
	finish(n, good ? NULL : n->error);
}

struct net_check *grpc_check_start(struct pod *p, const CoreV1__GRPCAction *action,
                                   uint32_t timeout_ms, net_check_fn done, void *arg)
{
	struct net_check *n = check_new(p, timeout_ms, done, arg);
	const char *host = pod_address(p);
	struct err err = ERR_INIT;
	if (!host)
		return fail_later(n, "the pod has no address");
	snprintf(n->address, sizeof(n->address), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
	         action->port);
	struct rpc_channel_options o = {.own_connection = true, .keepalive_time_ms = UINT32_MAX};
	if (rpc_channel_new(p->k->daemon->rpc, n->address, &o, &n->channel, &err))
		return fail_later(n, err.text);
	GrpcHealth__HealthCheckRequest q = GRPC_HEALTH__HEALTH_CHECK_REQUEST__INIT;
	q.service = action->service ? action->service : (char *)"";
	size_t len = grpc_health__health_check_request__get_packed_size(&q);
	_cleanup_buf_ struct buf packed = BUF_INIT;
	buf_reserve(&packed, len + 1);
	packed.len = grpc_health__health_check_request__pack(&q, packed.data);
	n->call = rpc_unary_start(n->channel, &(struct rpc_unary_args){
	                                          .method = "/grpc.health.v1.Health/Check",
	                                          .message = buf_view(&packed),
	                                          .timeout_ms = timeout_ms,
	                                          .wait_for_ready = true,
	                                          .loop = p->k->loop,
	                                          .done = on_health,
	                                          .arg = n,
	                                      });
	return n;
}

void net_check_drop(struct net_check *n)
{
	if (n)
		release(n);
}
