/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/front.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/net/http_server.h"
#include "proto/etcd_rpc.pb-c.h"

enum {
	PEEK_BYTES = 4, /* "PRI " */
	PEEK_TIMEOUT_MS = 10000,
	GUESTS_MAX = 1000,
	HTTP_GRACE_MS = 200,
};

struct listener {
	uv_poll_t poll;
	struct front *front;
	int fd;
};

/* An accepted connection whose first bytes have not come. */
struct guest {
	uv_poll_t poll;
	struct loop_timer timer;
	struct list link;
	struct front *front;
	int fd;
};

struct front {
	struct server *server;
	struct http_server *http;
	VEC(struct listener *) listeners;
	struct list guests;
	size_t n_guests;
};

/* --- what is answered over HTTP/1 --- */

/* "a=b&c=d" */
static bool query_has(struct slice query, const char *pair)
{
	size_t n = strlen(pair);
	for (struct slice at = query; at.len >= n;) {
		const uint8_t *end = memchr(at.data, '&', at.len);
		size_t len = end ? (size_t)(end - at.data) : at.len;
		if (len == n && !memcmp(at.data, pair, n))
			return true;
		at = slice_skip(at, len + 1);
	}
	return false;
}

/* As etcd: ?exclude=NOSPACE leaves that alarm out, ?serializable=true needs no leader. */
static void answer_health(struct http_exchange *x, struct server *s, struct slice query)
{
	const char *reason = "";
	bool full = s->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__NOSPACE;
	if (full && !query_has(query, "exclude=NOSPACE"))
		reason = "ALARM NOSPACE";
	else if (!s->leader && !query_has(query, "serializable=true"))
		reason = "RAFT NO LEADER";
	else if (!s->serving)
		reason = "NOT READY";
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "{\"health\":\"%s\",\"reason\":\"%s\"}", *reason ? "false" : "true", reason);
	http_reply(x, *reason ? 503 : 200, "application/json", buf_view(&b));
}

static void on_request(struct http_exchange *x, void *arg)
{
	struct front *f = arg;
	struct slice path = x->target, query = SLICE_EMPTY;
	const uint8_t *mark = memchr(path.data, '?', path.len);
	if (mark) {
		query = slice_skip(path, (size_t)(mark - path.data) + 1);
		path.len = (size_t)(mark - path.data);
	}
	if (strcmp(x->method, "GET") && strcmp(x->method, "HEAD")) {
		http_reply(x, 405, "text/plain", SLICE_LIT("Method Not Allowed\n"));
		return;
	}
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (slice_eq_str(path, "/health")) {
		answer_health(x, f->server, query);
	} else if (slice_eq_str(path, "/version")) {
		http_reply(x, 200, "application/json",
		           SLICE_LIT("{\"etcdserver\":\"" RAFTSTORE_ETCD_VERSION
		                     "\",\"etcdcluster\":\"" RAFTSTORE_ETCD_VERSION "\"}"));
	} else if (slice_eq_str(path, "/metrics")) {
		metrics_write(f->server->daemon->metrics, &b);
		http_reply(x, 200, "text/plain; version=0.0.4", buf_view(&b));
	} else {
		int status = health_answer(&f->server->daemon->health, path, query, &b);
		if (status == 404)
			buf_str(&b, "404 page not found\n");
		http_reply(x, status, "text/plain; charset=utf-8", buf_view(&b));
	}
}

static int check_leader(void *arg, struct err *err)
{
	struct server *s = arg;
	return s->leader ? 0 : err_set(err, ERR_UNAVAILABLE, "no leader");
}

static int check_serving(void *arg, struct err *err)
{
	struct server *s = arg;
	return s->serving ? 0 : err_set(err, ERR_UNAVAILABLE, "the log is being replayed");
}

static int check_corruption(void *arg, struct err *err)
{
	struct server *s = arg;
	return s->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__CORRUPT
	           ? err_set(err, ERR_CORRUPT, "alarm activated: CORRUPT")
	           : 0;
}

/* --- plain sockets --- */

static void on_guest_closed(uv_handle_t *h)
{
	free(CONTAINER_OF(h, struct guest, poll));
}

/* Lets go of the handle; returns the socket. */
static int guest_leave(struct guest *g)
{
	int fd = g->fd;
	loop_timer_stop(&g->timer);
	list_del(&g->link);
	g->front->n_guests--;
	uv_poll_stop(&g->poll);
	uv_close((uv_handle_t *)&g->poll, on_guest_closed);
	return fd;
}

static void on_guest_late(void *arg)
{
	close(guest_leave(arg));
}

static void on_guest_bytes(uv_poll_t *poll, int status, int events)
{
	struct guest *g = CONTAINER_OF(poll, struct guest, poll);
	struct front *f = g->front;
	char peek[PEEK_BYTES];
	ssize_t n = recv(g->fd, peek, sizeof(peek), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(guest_leave(g));
		return;
	}
	bool preface = !memcmp(peek, "PRI ", (size_t)n);
	if (preface && n < PEEK_BYTES)
		return;
	int fd = guest_leave(g);
	if (preface)
		rpc_server_adopt_fd(f->server->rpc, fd);
	else
		ERR_IGNORE(http_server_adopt_fd(f->http, f->server->loop, fd)); /* it closes */
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct listener *l = CONTAINER_OF(poll, struct listener, poll);
	struct front *f = l->front;
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (f->n_guests >= GUESTS_MAX) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	struct guest *g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	g->front = f;
	g->fd = fd;
	list_add_tail(&f->guests, &g->link);
	f->n_guests++;
	uv_poll_init(&f->server->loop->uv, &g->poll, fd);
	uv_poll_start(&g->poll, UV_READABLE | UV_DISCONNECT, on_guest_bytes);
	loop_timer_init(&g->timer, f->server->loop, on_guest_late, g);
	loop_timer_start(&g->timer, PEEK_TIMEOUT_MS);
}

static int listen_on(struct front *f, const struct addrinfo *ai, const char *url, struct err *err)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, ERR_IO, "%s: %s", url, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 512)) {
		int r = err_set(err, ERR_IO, "listen %s: %s", url, strerror(errno));
		close(fd);
		return r;
	}
	struct listener *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->front = f;
	l->fd = fd;
	uv_poll_init(&f->server->loop->uv, &l->poll, fd);
	*vec_push(&f->listeners) = l;
	return 0;
}

/* "host:port", "[v6]:port". */
static int address_split(const char *address, char host[256], char port[16], struct err *err)
{
	const char *colon = strrchr(address, ':');
	const char *end = colon;
	if (!colon)
		return err_set(err, ERR_INVALID, "%s: no port", address);
	if (*address == '[' && end > address && end[-1] == ']') {
		address++;
		end--;
	}
	size_t n = (size_t)(end - address), m = strcspn(colon + 1, "/");
	if (n >= 256 || m >= 16)
		return err_set(err, ERR_INVALID, "%s: too long", address);
	memcpy(host, address, n);
	host[n] = 0;
	memcpy(port, colon + 1, m);
	port[m] = 0;
	return 0;
}

static int listen_plain(struct front *f, const char *url, const char *address, struct err *err)
{
	char host[256], port[16];
	int r = address_split(address, host, port, err);
	if (r)
		return r;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
	r = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (r)
		return err_set(err, ERR_INVALID, "%s: %s", url, gai_strerror(r));
	r = -ERR_IO;
	/* A name may stand for an address family that this machine does not have. */
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		int one = listen_on(f, ai, url, err);
		if (r)
			r = one;
	}
	freeaddrinfo(list);
	return r;
}

static int listen_clients(struct front *f, struct err *err)
{
	struct server *s = f->server;
	VEC_FOREACH (&s->options->client_urls, url) {
		bool tls;
		const char *address;
		int r = url_split(*url, &tls, &address, err);
		if (!r && tls)
			r = rpc_server_listen(s->rpc, address, &s->options->client_tls, NULL, err);
		else if (!r)
			r = listen_plain(f, *url, address, err);
		if (r)
			return r;
	}
	return 0;
}

static int listen_metrics(struct front *f, struct err *err)
{
	VEC_FOREACH (&f->server->options->metrics_urls, url) {
		bool tls;
		const char *address;
		char host[256], port[16];
		int r = url_split(*url, &tls, &address, err);
		if (!r && tls)
			r = err_set(err, ERR_INVALID, "%s: metrics are served over http:// only",
			            *url);
		if (!r)
			r = address_split(address, host, port, err);
		if (!r)
			r = http_server_listen(f->http, f->server->loop, host,
			                       (int)strtol(port, NULL, 10), NULL, err);
		if (r)
			return r;
	}
	return 0;
}

int front_start(struct server *s, struct err *err)
{
	struct front *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	s->front = f;
	f->server = s;
	list_init(&f->guests);
	struct http_server_options o = {
	    .on_request = on_request, .arg = f, .no_http2 = true, .max_body_bytes = 1 << 16};
	http_server_new(&o, &f->http);
	health_add(&s->daemon->health, "serializable_read", HEALTH_ALL, check_serving, s);
	health_add(&s->daemon->health, "linearizable_read", HEALTH_READYZ, check_leader, s);
	health_add(&s->daemon->health, "data_corruption", HEALTH_READYZ, check_corruption, s);
	int r = listen_clients(f, err);
	return r ? r : listen_metrics(f, err);
}

void front_serve(struct front *f)
{
	VEC_FOREACH (&f->listeners, l)
		uv_poll_start(&(*l)->poll, UV_READABLE, on_connection);
}

static void on_listener_closed(uv_handle_t *h)
{
	free(CONTAINER_OF(h, struct listener, poll));
}

void front_stop(struct front *f, loop_fn done, void *arg)
{
	VEC_FOREACH (&f->listeners, l) {
		uv_poll_stop(&(*l)->poll);
		close((*l)->fd);
		uv_close((uv_handle_t *)&(*l)->poll, on_listener_closed);
	}
	vec_clear(&f->listeners);
	while (!list_empty(&f->guests))
		close(guest_leave(list_first(&f->guests, struct guest, link)));
	http_server_stop(f->http, HTTP_GRACE_MS, f->server->loop, done, arg);
}

/* What did not stop is closed with the loop, after this. */
void front_free(struct server *s)
{
	struct front *f = TAKE(s->front);
	if (!f)
		return;
	vec_deinit(&f->listeners);
	if (s->stopping)
		http_server_free(f->http);
	free(f);
}
