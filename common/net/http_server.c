/* SPDX-License-Identifier: Apache-2.0 */
/* Listening, spreading connections over loops, stopping. */
#include "common/net/http_internal.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
	return value ? value : fallback;
}

void http_server_new(const struct http_server_options *o, struct http_server **ret)
{
	struct http_server *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->options = *o;
	struct http_server_options *d = &s->options;
	d->max_body_bytes = or_default(o->max_body_bytes, 3 << 20);
	d->max_header_bytes = or_default(o->max_header_bytes, 1 << 20);
	d->max_streams = or_default(o->max_streams, 250);
	d->header_timeout_ms = or_default(o->header_timeout_ms, 32000);
	d->idle_timeout_ms = or_default(o->idle_timeout_ms, 90000);
	d->body_timeout_ms = or_default(o->body_timeout_ms, 60000);
	d->write_timeout_ms = or_default(o->write_timeout_ms, 60000);
	d->queue_high_bytes = or_default(o->queue_high_bytes, 256 << 10);
	if (d->tls)
		tls_context_ref(d->tls);
	list_init(&s->listeners);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* The parser's own limit is one for the whole process; ours is checked field by field. */
	http_parser_set_max_header_size(UINT32_MAX);
	*ret = s;
}

/* --- loops ----------------------------------------------------------------------------------- */

static void on_prepare(uv_prepare_t *handle)
{
	http_conn_flush_all(handle->data);
}

static struct http_loop *find_loop(struct http_server *s, struct loop *loop)
{
	VEC_FOREACH (&s->loops, it) {
		if ((*it)->loop == loop)
			return *it;
	}
	return NULL;
}

static void on_grace_over(void *arg)
{
	struct http_loop *hl = arg;

	while (!list_empty(&hl->connections))
		http_conn_close(list_first(&hl->connections, struct http_connection, link));
}

static struct http_loop *use_loop(struct http_server *s, struct loop *loop)
{
	struct http_loop *hl = find_loop(s, loop);
	if (hl)
		return hl;
	hl = calloc(1, sizeof(*hl));
	if (!hl)
		abort();
	hl->server = s;
	hl->loop = loop;
	list_init(&hl->connections);
	list_init(&hl->dirty);
	list_init(&hl->spare_exchanges);
	loop_timer_init(&hl->grace, loop, on_grace_over, hl);
	*vec_push(&s->loops) = hl;
	return hl;
}

/* Runs on the loop. */
static void start_loop(struct http_loop *hl)
{
	if (hl->started)
		return;
	hl->started = true;
	uv_prepare_init(&hl->loop->uv, &hl->flush);
	hl->flush.data = hl;
	uv_prepare_start(&hl->flush, on_prepare);
	uv_idle_init(&hl->loop->uv, &hl->again);
	hl->again.data = hl;
}

void http_server_add_loop(struct http_server *s, struct loop *loop)
{
	use_loop(s, loop);
}

/* --- accepting ------------------------------------------------------------------------------- */

struct handover {
	struct http_loop *hl;
	int fd;
};

static void take_over(void *arg)
{
	struct handover *h = arg;

	start_loop(h->hl);
	http_conn_open_fd(h->hl, h->fd);
	free(h);
}

static struct http_loop *least_busy(struct http_server *s)
{
	struct http_loop *best = s->loops.at[0];

	VEC_FOREACH (&s->loops, it) {
		if (atomic_load(&(*it)->n_connections) < atomic_load(&best->n_connections))
			best = *it;
	}
	return best;
}

static void place(struct http_listener *l, int fd)
{
	struct http_server *s = l->server;

	if (s->options.max_connections &&
	    http_server_connections(s) >= s->options.max_connections) {
		close(fd);
		return;
	}
	struct http_loop *hl = least_busy(s);
	if (hl == l->on) {
		http_conn_open_fd(hl, fd);
		return;
	}
	struct handover *h = malloc(sizeof(*h));
	if (!h)
		abort();
	*h = (struct handover){hl, fd};
	loop_post(hl->loop, take_over, h);
}

/* Out of descriptors: takes the connection with the reserved one and closes it, so that the client
 * learns and the listener does not spin. */
static void shed(struct http_listener *l)
{
	struct http_server *s = l->server;

	if (s->reserve_fd < 0)
		return;
	close(s->reserve_fd);
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
	enum { AT_ONCE = 64 };
	struct http_listener *l = handle->data;

	for (int i = 0; i < AT_ONCE; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			place(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE)
			shed(l);
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		return;
	}
}

/* --- listening ------------------------------------------------------------------------------- */

static int resolve(const char *address, int port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		*ret_len = sizeof(*v4);
		return 0;
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(*v6);
		return 0;
	}
	return -ERR_BAD_REQUEST;
}

static int bound_port(int fd)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return 0;
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
	return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

static int open_listener(const struct sockaddr *a, socklen_t len, const char *name, int *ret_fd,
                         struct err *err)
{
	int one = 1, zero = 0;
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, ERR_IO, "socket: %s", strerror(errno));
	if (a->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, a, len) < 0 || listen(fd, BACKLOG) < 0) {
		int r = err_set(err, ERR_IO, "listen on %s: %s", name, strerror(errno));
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int add_listener(struct http_server *s, struct loop *loop, int fd, const char *path)
{
	struct http_listener *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	/* All listeners are on one loop, which can close them all. */
	assert(list_empty(&s->listeners) ||
	       list_first(&s->listeners, struct http_listener, link)->on->loop == loop);
	l->server = s;
	l->on = use_loop(s, loop);
	l->fd = fd;
	snprintf(l->path, sizeof(l->path), "%s", path);
	start_loop(l->on);
	uv_poll_init(&loop->uv, &l->poll, fd);
	l->poll.data = l;
	uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
	list_add_tail(&s->listeners, &l->link);
	return 0;
}

int http_server_listen(struct http_server *s, struct loop *loop, const char *address, int port,
                       int *ret_port, struct err *err)
{
	struct sockaddr_storage a;
	socklen_t len;
	char name[80];
	int fd;

	snprintf(name, sizeof(name), strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, port);
	if (resolve(address, port, &a, &len) < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is not an IP address", address);
	int r = open_listener((struct sockaddr *)&a, len, name, &fd, err);
	if (r < 0)
		return r;
	if (ret_port)
		*ret_port = bound_port(fd);
	return add_listener(s, loop, fd, "");
}

int http_server_listen_unix(struct http_server *s, struct loop *loop, const char *path,
                            struct err *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return err_set(err, ERR_BAD_REQUEST, "%s: the path is too long", path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	unlink(path);
	int r = open_listener((struct sockaddr *)&a, sizeof(a), path, &fd, err);
	return r < 0 ? r : add_listener(s, loop, fd, path);
}

int http_server_adopt_fd(struct http_server *s, struct loop *loop, int fd)
{
	struct http_loop *hl = use_loop(s, loop);

	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -ERR_IO;
	start_loop(hl);
	http_conn_open_fd(hl, fd);
	return 0;
}

/* --- stopping -------------------------------------------------------------------------------- */

static void on_handles_closed(uv_handle_t *handle)
{
	struct http_loop *hl = handle->data;
	struct http_server *s = hl->server;

	if (atomic_fetch_sub(&s->loops_left, 1) == 1)
		loop_post(s->done_loop, s->done, s->done_arg);
}

static void on_flush_closed(uv_handle_t *handle)
{
	struct http_loop *hl = handle->data;

	uv_close((uv_handle_t *)&hl->again, on_handles_closed);
}

static void maybe_gone(struct http_loop *hl)
{
	if (!hl->stopping || hl->closing || atomic_load(&hl->n_connections))
		return;
	hl->closing = true;
	loop_timer_stop(&hl->grace);
	uv_close((uv_handle_t *)&hl->flush, on_flush_closed);
}

void http_server_connection_gone(struct http_loop *hl)
{
	maybe_gone(hl);
}

static void listener_free(struct http_listener *l)
{
	close(l->fd);
	if (l->path[0])
		unlink(l->path);
	free(l);
}

static void on_poll_closed(uv_handle_t *handle)
{
	listener_free(handle->data);
}

static void stop_loop(void *arg)
{
	struct http_loop *hl = arg;
	struct http_server *s = hl->server;

	start_loop(hl);
	hl->stopping = true;
	LIST_FOREACH (&hl->connections, c, struct http_connection, link)
		http_conn_drain(c);
	loop_timer_start(&hl->grace, s->grace_ms);
	maybe_gone(hl);
}

/* Only when nobody listens any more can no connection come to the other loops. */
static void stop_listening(void *arg)
{
	struct http_server *s = arg;

	LIST_FOREACH (&s->listeners, l, struct http_listener, link) {
		list_del(&l->link);
		uv_close((uv_handle_t *)&l->poll, on_poll_closed);
	}
	VEC_FOREACH (&s->loops, it)
		loop_post((*it)->loop, stop_loop, *it);
}

void http_server_stop(struct http_server *s, uint32_t grace_ms, struct loop *loop, loop_fn done,
                      void *arg)
{
	s->done_loop = loop;
	s->done = done;
	s->done_arg = arg;
	s->grace_ms = grace_ms;
	atomic_store(&s->loops_left, (unsigned)s->loops.n);
	if (s->loops.n == 0)
		loop_post(loop, done, arg);
	else if (list_empty(&s->listeners))
		loop_post(s->loops.at[0]->loop, stop_listening, s);
	else
		loop_post(list_first(&s->listeners, struct http_listener, link)->on->loop,
		          stop_listening, s);
}

static void loop_free(struct http_loop *hl)
{
	while (!list_empty(&hl->spare_exchanges)) {
		struct exchange *x = list_first(&hl->spare_exchanges, struct exchange, link);
		list_del(&x->link);
		arena_deinit(&x->arena);
		buf_deinit(&x->head_in);
		buf_deinit(&x->head_out);
		buf_deinit(&x->body);
		vec_deinit(&x->fields);
		vec_deinit(&x->out_fields);
		http_queue_deinit(&x->out);
		free(x);
	}
	buf_deinit(&hl->plain);
	buf_deinit(&hl->wire);
	buf_deinit(&hl->record);
	free(hl);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	VEC_FOREACH (&s->loops, it)
		loop_free(*it);
	vec_deinit(&s->loops);
	if (s->reserve_fd >= 0)
		close(s->reserve_fd);
	tls_context_unref(s->options.tls);
	free(s);
}

uint32_t http_server_connections(const struct http_server *s)
{
	uint32_t n = 0;

	VEC_FOREACH (&s->loops, it)
		n += atomic_load(&(*it)->n_connections);
	return n;
}
