/* SPDX-License-Identifier: Apache-2.0 */
/* GET /containerLogs/<ns>/<pod>/<container>: finds the file, sends its lines, follows it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/heap.h"
#include "kubelet/pod/pod.h"
#include "kubelet/server/log_lines.h"
#include "kubelet/server/server.h"

enum {
	CHUNK_BYTES = 64 << 10,
	LINE_BYTES_MAX = 1 << 20, /* a line without an end is cut there */
	FOLLOW_MS = 200,          /* how often its container and rotation are looked at */
};

struct log_stream {
	struct kubelet *k;
	struct http_exchange *x;
	struct log_options o;
	int64_t left;
	int fd;
	char *uid, *container_id, *path;
	struct buf pending; /* read, but no whole line yet */
	struct loop_timer timer;
	uv_fs_event_t *watch; /* of the file that is followed; NULL: none, the timer is enough */
	bool draining;        /* the container has ended: one more look at the file */
	bool rotated;         /* there is a new file: one more look at the old one */
};

static void fail(struct http_exchange *x, int status, const char *text)
{
	http_reply(x, status, "text/plain; charset=utf-8", slice_str(text));
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle);
}

static void watch_stop(struct log_stream *s)
{
	uv_fs_event_t *w = TAKE(s->watch);
	if (!w)
		return;
	w->data = NULL;
	uv_close((uv_handle_t *)w, on_watch_closed);
}

static void on_change(uv_fs_event_t *w, const char *name, int events, int status)
{
	struct log_stream *s = w->data;
	/* What a slow client has not taken yet comes first. */
	if (s && loop_timer_active(&s->timer))
		loop_timer_start(&s->timer, 0);
}

/* Has new lines sent as they are written. */
static void watch_start(struct log_stream *s)
{
	watch_stop(s);
	uv_fs_event_t *w = heap_new(uv_fs_event_t);
	uv_fs_event_init(&s->k->loop->uv, w);
	w->data = s;
	s->watch = w;
	if (uv_fs_event_start(w, on_change, s->path, 0))
		watch_stop(s);
}

static void stream_end(struct log_stream *s)
{
	watch_stop(s);
	loop_timer_stop(&s->timer);
	http_end(s->x);
	close(s->fd);
	buf_deinit(&s->pending);
	free(s->uid);
	free(s->container_id);
	free(s->path);
	free(s);
}

static bool still_runs(const struct log_stream *s)
{
	const struct pod *p = pods_find_uid(s->k->pods, s->uid);
	if (!p)
		return false;
	for (size_t i = 0; i < p->rt.n_containers; i++)
		if (!strcmp(p->rt.containers[i].id, s->container_id))
			return p->rt.containers[i].state == CONTAINER_RUNNING ||
			       p->rt.containers[i].state == CONTAINER_CREATED;
	return false;
}

/* The file was put aside and a new one begun: goes on with that. */
static bool follow_rotation(struct log_stream *s)
{
	struct stat mine, there;
	if (fstat(s->fd, &mine) || stat(s->path, &there) ||
	    (mine.st_ino == there.st_ino && mine.st_dev == there.st_dev))
		return false;
	/* What was written between our last look and the rotation is still there. */
	s->rotated = !s->rotated;
	if (s->rotated)
		return true;
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(s->fd);
	s->fd = fd;
	s->pending.len = 0;
	watch_start(s);
	return true;
}

/* Sends until the file ends, the client is slow, or its limit is reached. */
static void pump(void *arg)
{
	struct log_stream *s = arg;
	_cleanup_buf_ struct buf out = BUF_INIT;
	for (;;) {
		if (s->x->closed || !s->left) {
			stream_end(s);
			return;
		}
		buf_reserve(&s->pending, CHUNK_BYTES + 1);
		ssize_t n = read(s->fd, s->pending.data + s->pending.len, CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		s->pending.len += (size_t)n;
		size_t used = log_lines_write(&s->o, buf_view(&s->pending), &s->left, &out);
		s->pending.len -= used;
		memmove(s->pending.data, s->pending.data + used, s->pending.len);
		if (s->pending.len > LINE_BYTES_MAX)
			s->pending.len = 0;
		if (out.len && http_write(s->x, buf_view(&out)))
			return; /* on_writable goes on */
		buf_clear(&out);
	}
	if (s->o.follow && follow_rotation(s)) {
		loop_timer_start(&s->timer, 0);
	} else if (s->o.follow && !s->draining) {
		s->draining = !still_runs(s);
		loop_timer_start(&s->timer, FOLLOW_MS);
	} else {
		stream_end(s);
	}
}

static void on_writable(struct http_exchange *x)
{
	struct log_stream *s = x->data;
	loop_timer_start(&s->timer, 0);
}

static void on_closed(struct http_exchange *x)
{
	struct log_stream *s = x->data;
	loop_timer_start(&s->timer, 0);
}

/* Puts the file's place before its last n lines. */
static void seek_tail(int fd, int64_t lines)
{
	off_t end = lseek(fd, 0, SEEK_END), at = end;
	char *chunk = malloc(CHUNK_BYTES);
	if (!chunk)
		abort();
	/* The '\n' at the very end is that of the last line. */
	int64_t seen = -1;
	while (lines > 0 && at > 0) {
		size_t n = (size_t)MIN(at, (off_t)CHUNK_BYTES);
		if (pread(fd, chunk, n, at - (off_t)n) != (ssize_t)n)
			break;
		while (n && !(chunk[n - 1] == '\n' && ++seen >= lines)) {
			n--;
			at--;
		}
		if (n)
			break;
	}
	free(chunk);
	lseek(fd, lines > 0 ? at : end, SEEK_SET);
}

/* Which container's log: by what the status shows, as upstream does. NULL: why not. */
static const char *choose(struct pod *p, const char *name, bool previous, struct arena *a,
                          const char **ret_error)
{
	const CoreV1__PodStatus *s = pod_status_now(p, a);
	const CoreV1__ContainerStatus *c = NULL;
	for (size_t i = 0; i < s->n_container_statuses; i++)
		if (!strcmp(s->container_statuses[i]->name, name))
			c = s->container_statuses[i];
	for (size_t i = 0; i < s->n_init_container_statuses; i++)
		if (!strcmp(s->init_container_statuses[i]->name, name))
			c = s->init_container_statuses[i];
	for (size_t i = 0; i < s->n_ephemeral_container_statuses; i++)
		if (!strcmp(s->ephemeral_container_statuses[i]->name, name))
			c = s->ephemeral_container_statuses[i];
	if (!c) {
		*ret_error = arena_printf(a, "container \"%s\" in pod \"%s\" is not available",
		                          name, p->name);
		return NULL;
	}
	const CoreV1__ContainerStateTerminated *last =
	    c->last_state ? c->last_state->terminated : NULL;
	const char *id = NULL;
	if (previous) {
		id = last ? last->container_id : NULL;
		if (!id || !*id)
			*ret_error = arena_printf(
			    a, "previous terminated container \"%s\" in pod \"%s\" not found", name,
			    p->name);
	} else if (c->state->waiting) {
		const char *reason = c->state->waiting->reason;
		id = last ? last->container_id : NULL;
		if (!id || !*id)
			*ret_error = arena_printf(
			    a, "container \"%s\" in pod \"%s\" is waiting to start: %s", name,
			    p->name,
			    !strcmp(reason, "ErrImagePull") ? "image can't be pulled"
			    : !strcmp(reason, "ImagePullBackOff")
			        ? "trying and failing to pull image"
			        : reason);
	} else {
		id = c->container_id;
	}
	const char *bare = id && *id ? strstr(id, "://") : NULL;
	return bare ? bare + 3 : NULL;
}

static const struct runtime_container *by_id(const struct pod *p, const char *id)
{
	for (size_t i = 0; i < p->rt.n_containers; i++)
		if (!strcmp(p->rt.containers[i].id, id))
			return &p->rt.containers[i];
	return NULL;
}

static bool has_container(const struct pod *p, const char *name)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	for (size_t i = 0; i < s->n_ephemeral_containers; i++)
		if (!strcmp(s->ephemeral_containers[i]->ephemeral_container_common->name, name))
			return true;
	return pod_container_spec(p, name) != NULL;
}

static void begin(struct kubelet *k, struct http_exchange *x, struct pod *p,
                  const struct runtime_container *c, const struct log_options *o)
{
	const char *path =
	    arena_printf(x->arena, "%s/%s/%u.log", pod_log_dir(p, x->arena), c->name, c->attempt);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fail(x, 500,
		     arena_printf(x->arena, "failed to try resolving symlinks in path \"%s\": %s",
		                  path, strerror(errno)));
		return;
	}
	struct log_stream *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	*s = (struct log_stream){.k = k,
	                         .x = x,
	                         .o = *o,
	                         .left = o->limit_bytes,
	                         .fd = fd,
	                         .uid = strdup(p->uid),
	                         .container_id = strdup(c->id),
	                         .path = strdup(path)};
	x->patient = true;
	loop_timer_init(&s->timer, k->loop, pump, s);
	if (o->tail_lines >= 0)
		seek_tail(fd, o->tail_lines);
	x->data = s;
	x->on_writable = on_writable;
	x->on_closed = on_closed;
	http_start(x, 200, "text/plain; charset=utf-8", -1);
	if (o->follow)
		watch_start(s);
	loop_timer_start(&s->timer, 0);
}

void server_logs(struct kubelet *k, struct http_exchange *x, const char *ns, const char *pod,
                 const char *container, const char *query)
{
	struct arena *a = x->arena;
	struct log_options o;
	struct err err = ERR_INIT;
	const char *error = "";
	if (log_options_parse(query, clock_real_ns() / 1000000000, &o, &err)) {
		fail(x, 422, err.text);
		return;
	}
	struct pod *p = pods_find(k->pods, ns, pod);
	if (!p || !p->rt_seen) {
		fail(x, 404, arena_printf(a, "pod \"%s\" does not exist\n", pod));
		return;
	}
	if (!has_container(p, container)) {
		fail(x, 404,
		     arena_printf(a, "container \"%s\" not found in pod \"%s\"\n", container, pod));
		return;
	}
	const char *id = choose(p, container, o.previous, a, &error);
	const struct runtime_container *c = id ? by_id(p, id) : NULL;
	if (!c) {
		fail(x, 400,
		     *error ? error
		            : arena_printf(a, "unable to retrieve container logs for %s://%s",
		                           k->runtime_name, id ? id : ""));
		return;
	}
	begin(k, x, p, c, &o);
}
