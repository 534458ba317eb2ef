/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/http_splice.h"

/* A side that is not open yet (or no more) takes nothing: the other one waits. */
static void pass(struct http_tunnel *from, struct http_tunnel *to, struct slice data)
{
	if (http_tunnel_write(to, data))
		http_tunnel_pause(from, true);
}

static void end(struct http_splice *s, struct http_tunnel *other)
{
	http_tunnel_close(other);
	s->on_end(s->arg);
}

static void near_data(struct http_tunnel *t, struct slice data)
{
	struct http_splice *s = CONTAINER_OF(t, struct http_splice, near);

	s->near_bytes += data.len;
	pass(&s->near, &s->far, data);
}

static void near_writable(struct http_tunnel *t)
{
	http_tunnel_pause(&CONTAINER_OF(t, struct http_splice, near)->far, false);
}

static void near_closed(struct http_tunnel *t)
{
	struct http_splice *s = CONTAINER_OF(t, struct http_splice, near);

	end(s, &s->far);
}

static void far_data(struct http_tunnel *t, struct slice data)
{
	struct http_splice *s = CONTAINER_OF(t, struct http_splice, far);

	s->far_bytes += data.len;
	pass(&s->far, &s->near, data);
}

static void far_writable(struct http_tunnel *t)
{
	http_tunnel_pause(&CONTAINER_OF(t, struct http_splice, far)->near, false);
}

static void far_closed(struct http_tunnel *t)
{
	struct http_splice *s = CONTAINER_OF(t, struct http_splice, far);

	end(s, &s->near);
}

void http_splice_init(struct http_splice *s, void (*on_end)(void *arg), void *arg)
{
	*s = (struct http_splice){
	    .near = {.on_data = near_data, .on_writable = near_writable, .on_closed = near_closed},
	    .far = {.on_data = far_data, .on_writable = far_writable, .on_closed = far_closed},
	    .on_end = on_end,
	    .arg = arg,
	};
}

void http_splice_close(struct http_splice *s)
{
	http_tunnel_close(&s->near);
	http_tunnel_close(&s->far);
}
