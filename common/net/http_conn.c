/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: socket, TLS, output in flights, deadlines. */
#include "common/base/clock.h"
#include "common/net/http_internal.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Bytes that the kernel did not take at once. */
struct http_flight {
	uv_write_t req;
	size_t len;
	uint8_t data[];
};

void http_peer_unref(struct peer_object *p)
{
	if (--p->refs)
		return;
	if (p->pub.data_free)
		p->pub.data_free(p->pub.data);
	for (size_t i = 0; i < p->pub.n_certs; i++)
		blob_unref(p->certs[i]);
	free(p);
}

const char *http_loop_date(struct http_loop *hl)
{
	uint64_t now = loop_now_ms(hl->loop);

	if (!hl->date[0] || now - hl->date_at_ms >= 500) {
		time_t t = (time_t)(clock_real_ns() / 1000000000);
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(hl->date, sizeof(hl->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		hl->date_at_ms = now;
	}
	return hl->date;
}

/* --- deadlines ------------------------------------------------------------------------------- */

void http_conn_arm(struct http_connection *c, uint64_t at_ms)
{
	if (!loop_timer_active(&c->timer) || at_ms < c->timer.due_ms)
		loop_timer_start_at(&c->timer, at_ms);
}

void http_conn_set_deadline(struct http_connection *c, uint64_t delay_ms)
{
	c->deadline_ms = delay_ms ? loop_now_ms(c->hl->loop) + delay_ms : 0;
	if (c->deadline_ms)
		http_conn_arm(c, c->deadline_ms);
}

/* A peer that nobody reads can leave without being noticed: its end lies behind bytes that wait. */
static bool peer_has_left(struct http_connection *c)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);
	uv_os_fd_t fd;

	return !uv_fileno(&c->handle, &fd) && !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	       info.tcpi_state != TCP_ESTABLISHED;
}

/* False: the connection is closed. A tunnel that is paused for so long gets rid of nothing more. */
static bool check_tunnel(struct http_connection *c, uint64_t now)
{
	if (!c->tunnel_paused || now < c->tunnel_check_ms)
		return true;
	if (peer_has_left(c)) {
		http_conn_close(c);
		return false;
	}
	c->tunnel_check_ms = now + HTTP_TUNNEL_CHECK_MS;
	return true;
}

/* The timer is never stopped when a deadline moves away: it fires, looks and is started anew. */
static void on_timer(void *arg)
{
	struct http_connection *c = arg;
	uint64_t now = loop_now_ms(c->hl->loop), next = UINT64_MAX;

	if ((c->deadline_ms && now >= c->deadline_ms) ||
	    (c->flight && now >= c->write_deadline_ms)) {
		http_conn_close(c);
		return;
	}
	if (!check_tunnel(c, now))
		return;
	if (c->deadline_ms)
		next = MIN(next, c->deadline_ms);
	if (c->tunnel_paused)
		next = MIN(next, c->tunnel_check_ms);
	if (c->flight)
		next = MIN(next, c->write_deadline_ms);
	LIST_FOREACH (&c->exchanges, x, struct exchange, link) {
		if (!x->body_deadline_ms || x->aborted)
			continue;
		if (now < x->body_deadline_ms) {
			next = MIN(next, x->body_deadline_ms);
			continue;
		}
		if (c->protocol != HTTP_2) {
			http_conn_close(c);
			return;
		}
		x->aborted = x->ended = true;
		http2_abort(x);
		http_conn_touch(c);
	}
	if (next != UINT64_MAX)
		http_conn_arm(c, next);
}

/* --- the end --------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
	struct http_connection *c = handle->data;
	struct http_loop *hl = c->hl;

	free(c->flight);
	free(c);
	atomic_fetch_sub(&hl->n_connections, 1);
	http_server_connection_gone(hl);
}

void http_conn_close(struct http_connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	loop_timer_stop(&c->timer);
	list_del(&c->link);
	list_del(&c->dirty_link);
	if (c->protocol == HTTP_TUNNEL)
		http_tunnel_close_from_peer(c);
	while (!list_empty(&c->exchanges))
		http_exchange_orphan(list_first(&c->exchanges, struct exchange, link));
	c->current = NULL;
	http2_deinit(c);
	http1_deinit(c);
	http_queue_deinit(&c->tunnel_out);
	tls_session_free(TAKE(c->tls));
	buf_deinit(&c->backlog);
	http_peer_unref(TAKE(c->peer));
	uv_close(&c->handle, on_handle_closed);
}

/* --- output ---------------------------------------------------------------------------------- */

void http_conn_touch(struct http_connection *c)
{
	if (c->closing || !list_empty(&c->dirty_link))
		return;
	list_add_tail(&c->hl->dirty, &c->dirty_link);
}

static void conn_send(struct http_connection *c, struct slice wire);

static void on_written(uv_write_t *req, int status)
{
	struct http_connection *c = req->data;

	if (c->closing)
		return; /* on_handle_closed frees the flight */
	free(TAKE(c->flight));
	if (status < 0) {
		http_conn_close(c);
		return;
	}
	if (c->backlog.len) {
		struct buf waiting = c->backlog;
		c->backlog = BUF_INIT;
		conn_send(c, buf_view(&waiting));
		buf_deinit(&waiting);
	}
	http_conn_touch(c);
}

/* May the client stop reading for as long as it likes? A terminal that is being scrolled does. */
static bool is_patient(const struct http_connection *c)
{
	if (c->protocol == HTTP_TUNNEL)
		return c->tunnel != NULL;
	return c->protocol == HTTP_1 && c->current && c->current->pub.patient;
}

static void conn_send(struct http_connection *c, struct slice wire)
{
	if (wire.len == 0 || c->closing)
		return;
	if (c->flight) {
		buf_slice(&c->backlog, wire);
		return;
	}
	uv_buf_t out = uv_buf_init((char *)(uintptr_t)wire.data, (unsigned int)wire.len);
	int n = uv_try_write(&c->stream, &out, 1);
	if (n < 0 && n != UV_EAGAIN) {
		http_conn_close(c);
		return;
	}
	wire = slice_skip(wire, n > 0 ? (size_t)n : 0);
	if (wire.len == 0)
		return;
	struct http_flight *f = malloc(sizeof(*f) + wire.len);
	if (!f)
		abort();
	f->len = wire.len;
	f->req.data = c;
	memcpy(f->data, wire.data, wire.len);
	out = uv_buf_init((char *)f->data, (unsigned int)f->len);
	c->flight = f;
	if (uv_write(&f->req, &c->stream, &out, 1, on_written) < 0) {
		free(TAKE(c->flight));
		http_conn_close(c);
		return;
	}
	c->write_deadline_ms = UINT64_MAX;
	if (is_patient(c))
		return;
	c->write_deadline_ms = loop_now_ms(c->hl->loop) + c->hl->server->options.write_timeout_ms;
	http_conn_arm(c, c->write_deadline_ms);
}

static bool tunnel_produce(struct http_connection *c, struct buf *out, size_t max)
{
	buf_reserve(out, max);
	size_t n = http_queue_take(&c->tunnel_out, out->data + out->len, max);
	out->len += n;
	return n;
}

static bool produce(struct http_connection *c, struct buf *out, size_t max)
{
	if (c->closing)
		return false;
	switch (c->protocol) {
	case HTTP_1:
		return http1_produce(c, out, max);
	case HTTP_2:
		return http2_produce(c, out, max);
	case HTTP_TUNNEL:
		return tunnel_produce(c, out, max);
	default:
		return false;
	}
}

/* Fills the loop's `wire` with one flight. */
static int fill_wire(struct http_connection *c)
{
	struct http_loop *hl = c->hl;

	buf_clear(&hl->wire);
	while (hl->wire.len < HTTP_FLIGHT_BYTES) {
		if (!c->tls) {
			if (!produce(c, &hl->wire, HTTP_FLIGHT_BYTES))
				return 0;
			continue;
		}
		if (!tls_session_established(c->tls))
			return 0;
		buf_clear(&hl->record);
		while (hl->record.len < HTTP_RECORD_BYTES &&
		       produce(c, &hl->record, HTTP_RECORD_BYTES - hl->record.len))
			;
		if (c->closing || hl->record.len == 0)
			return 0;
		int r = tls_session_seal(c->tls, buf_view(&hl->record), &hl->wire, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	free(req);
}

/* Everything is out: says so to the peer, and waits for it when it may still be sending (a close
 * would reset the connection and take our last bytes with it). */
static void conn_finish(struct http_connection *c)
{
	struct http_loop *hl = c->hl;

	if (c->tls) {
		buf_clear(&hl->wire);
		tls_session_close(c->tls, &hl->wire);
		conn_send(c, buf_view(&hl->wire));
	}
	if (c->closing)
		return;
	if (!c->discard) {
		http_conn_close(c);
		return;
	}
	uv_shutdown_t *req = malloc(sizeof(*req));
	if (!req)
		abort();
	if (uv_shutdown(req, &c->stream, on_shutdown) < 0) {
		free(req);
		http_conn_close(c);
		return;
	}
	c->protocol = HTTP_LINGER;
	c->finish = false;
	http_conn_set_deadline(c, HTTP_LINGER_MS);
	http_conn_read_start(c);
}

static void conn_flush(struct http_connection *c)
{
	if (!c->closing && c->protocol == HTTP_TUNNEL && c->pending.len && !c->tunnel_paused)
		http_tunnel_deliver(c);
	if (c->closing || c->flight)
		return;
	int r = fill_wire(c);
	if (c->closing)
		return;
	bool full = c->hl->wire.len >= HTTP_FLIGHT_BYTES;
	conn_send(c, buf_view(&c->hl->wire));
	if (c->closing)
		return;
	if (r < 0) {
		http_conn_close(c);
		return;
	}
	if (c->finish && !c->flight && !full) {
		conn_finish(c);
		return;
	}
	if (full)
		http_conn_touch(c);
	if (c->protocol == HTTP_TUNNEL && c->tunnel && c->tunnel_wait &&
	    c->tunnel_out.bytes <= c->hl->server->options.queue_high_bytes / 2) {
		c->tunnel_wait = false;
		if (c->tunnel->on_writable)
			c->tunnel->on_writable(c->tunnel);
		return;
	}
	LIST_FOREACH (&c->exchanges, x, struct exchange, link)
		http_exchange_maybe_writable(x);
}

/* Its being started keeps the loop from sleeping. */
static void on_again(uv_idle_t *handle)
{
}

void http_conn_flush_all(struct http_loop *hl)
{
	/* What a flush makes dirty again waits until the kernel has been asked for news. */
	struct list now;
	list_init(&now);
	while (!list_empty(&hl->dirty)) {
		struct list *n = hl->dirty.next;
		list_del(n);
		list_add_tail(&now, n);
	}
	while (!list_empty(&now)) {
		struct http_connection *c = list_first(&now, struct http_connection, dirty_link);
		list_del(&c->dirty_link);
		conn_flush(c);
	}
	if (list_empty(&hl->dirty))
		uv_idle_stop(&hl->again);
	else
		uv_idle_start(&hl->again, on_again);
}

/* --- input ----------------------------------------------------------------------------------- */

static void conn_input(struct http_connection *c, struct slice plain);

static void detect(struct http_connection *c, struct slice plain)
{
	static const char preface[] = "PRI";

	if (!c->tls && !c->hl->server->options.no_http2) {
		buf_slice(&c->pending, plain);
		size_t n = MIN(c->pending.len, sizeof(preface) - 1);
		bool same = memcmp(c->pending.data, preface, n) == 0;
		if (same && n < sizeof(preface) - 1)
			return; /* more will tell */
		c->protocol = same ? HTTP_2 : HTTP_1;
	} else {
		buf_slice(&c->pending, plain);
		c->protocol =
		    c->tls && strcmp(tls_session_alpn(c->tls), "h2") == 0 ? HTTP_2 : HTTP_1;
	}
	struct buf first = c->pending;
	c->pending = BUF_INIT;
	http1_init(c);
	c->peer->pub.http2 = c->protocol == HTTP_2;
	if (c->protocol == HTTP_2 && http2_init(c) < 0)
		http_conn_close(c);
	else
		conn_input(c, buf_view(&first));
	buf_deinit(&first);
}

static void conn_input(struct http_connection *c, struct slice plain)
{
	if (c->closing)
		return;
	switch (c->protocol) {
	case HTTP_DETECT:
		detect(c, plain);
		break;
	case HTTP_1:
		http1_input(c, plain);
		break;
	case HTTP_2:
		http2_input(c, plain);
		break;
	case HTTP_TUNNEL:
		if (c->tunnel && c->tunnel->on_data)
			c->tunnel->on_data(c->tunnel, plain);
		break;
	case HTTP_LINGER:
		break;
	}
}

static void conn_eof(struct http_connection *c)
{
	if (c->protocol == HTTP_1 && !list_empty(&c->exchanges)) {
		http1_eof(c);
		return;
	}
	http_conn_close(c);
}

static void take_certificates(struct http_connection *c)
{
	struct peer_object *p = c->peer;

	p->pub.n_certs = tls_session_peer_certs(c->tls, p->certs, HTTP_PEER_CERTS_MAX);
	for (size_t i = 0; i < p->pub.n_certs; i++)
		p->pub.certs[i] = blob_view(p->certs[i]);
}

/* A browser or probe that speaks plain HTTP to the TLS port gets an answer that it can read. */
static bool is_plain_http(struct slice data)
{
	return data.len >= 4 && data.data[0] >= 'A' && data.data[0] <= 'Z' && data.data[1] >= 'A' &&
	       data.data[1] <= 'Z' && data.data[2] >= 'A' && data.data[2] <= 'Z';
}

static void tls_input(struct http_connection *c, struct slice data)
{
	static const char sorry[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
	                            "Client sent an HTTP request to an HTTPS server.\n";
	struct http_loop *hl = c->hl;
	bool established = tls_session_established(c->tls);

	if (!established && is_plain_http(data)) {
		conn_send(c, slice_str(sorry));
		if (!c->closing)
			http_conn_close(c);
		return;
	}
	buf_clear(&hl->plain);
	buf_clear(&hl->wire);
	int r = tls_session_feed(c->tls, data, &hl->plain, &hl->wire, NULL);
	conn_send(c, buf_view(&hl->wire));
	if (c->closing)
		return;
	if (!established && tls_session_established(c->tls)) {
		take_certificates(c);
		if (strcmp(tls_session_alpn(c->tls), "h2") == 0)
			detect(c, SLICE_EMPTY);
	}
	if (hl->plain.len)
		conn_input(c, buf_view(&hl->plain));
	if (c->closing)
		return;
	if (r == -ERR_EOF)
		conn_eof(c);
	else if (r < 0)
		http_conn_close(c);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
	struct http_connection *c = handle->data;

	*out = uv_buf_init((char *)c->hl->read_space, HTTP_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *space)
{
	struct http_connection *c = stream->data;

	if (c->closing || n == 0)
		return;
	if (n == UV_EOF) {
		http_conn_read_stop(c);
		conn_eof(c);
		return;
	}
	if (n < 0) {
		http_conn_close(c);
		return;
	}
	if (c->protocol == HTTP_LINGER)
		return;
	struct slice data = slice_of(space->base, (size_t)n);
	if (c->tls)
		tls_input(c, data);
	else
		conn_input(c, data);
}

void http_conn_read_start(struct http_connection *c)
{
	if (c->reading || c->closing)
		return;
	c->reading = true;
	uv_read_start(&c->stream, on_alloc, on_read);
}

void http_conn_read_stop(struct http_connection *c)
{
	if (!c->reading)
		return;
	c->reading = false;
	uv_read_stop(&c->stream);
}

/* --- the beginning --------------------------------------------------------------------------- */

static void name_peer(struct http_peer *p, int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof(a);
	char host[INET6_ADDRSTRLEN] = "";

	if (getpeername(fd, (struct sockaddr *)&a, &len) < 0)
		return;
	if (a.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&a;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(p->address, sizeof(p->address), "%s:%d", host, ntohs(in->sin_port));
	} else if (a.ss_family == AF_INET6) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
		if (mapped)
			inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], host, sizeof(host));
		else
			inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(p->address, sizeof(p->address), mapped ? "%s:%d" : "[%s]:%d", host,
		         ntohs(in->sin6_port));
	} else {
		snprintf(p->address, sizeof(p->address), "@");
	}
}

static int open_handle(struct http_connection *c, int fd)
{
	enum { KEEPALIVE_S = 15 };
	uv_loop_t *uv = &c->hl->loop->uv;
	int family = 0;
	socklen_t len = sizeof(family);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	if (family == AF_UNIX) {
		uv_pipe_init(uv, &c->pipe, 0);
		return uv_pipe_open(&c->pipe, fd);
	}
	uv_tcp_init(uv, &c->tcp);
	int r = uv_tcp_open(&c->tcp, fd);
	if (r == 0) {
		uv_tcp_nodelay(&c->tcp, 1);
		uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	}
	return r;
}

void http_conn_open_fd(struct http_loop *hl, int fd)
{
	struct http_connection *c = calloc(1, sizeof(*c));
	struct peer_object *peer = calloc(1, sizeof(*peer));
	if (!c || !peer)
		abort();
	c->hl = hl;
	c->peer = peer;
	peer->refs = 1;
	peer->pub.tls = hl->server->options.tls != NULL;
	list_init(&c->link);
	list_init(&c->dirty_link);
	list_init(&c->exchanges);
	loop_timer_init(&c->timer, hl->loop, on_timer, c);
	name_peer(&peer->pub, fd);
	int r = open_handle(c, fd);
	c->handle.data = c;
	atomic_fetch_add(&hl->n_connections, 1);
	list_add_tail(&hl->connections, &c->link);
	if (r < 0 || hl->stopping) {
		if (r < 0)
			close(fd);
		http_conn_close(c);
		return;
	}
	if (hl->server->options.tls)
		c->tls = tls_session_new(hl->server->options.tls, NULL);
	http_conn_set_deadline(c, hl->server->options.header_timeout_ms);
	http_conn_read_start(c);
}

void http_conn_drain(struct http_connection *c)
{
	c->draining = true;
	if (c->protocol == HTTP_2) {
		http2_goaway(c);
		http_conn_touch(c);
	} else if (c->protocol != HTTP_TUNNEL && list_empty(&c->exchanges)) {
		http_conn_close(c);
	}
}
