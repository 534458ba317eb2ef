/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pleg/exits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/log.h"
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/pod/pod.h"

enum { EVENTS = 32 };

/* One process; fd -1: it has ended, or could not be found. */
struct exit_watch {
	struct list link;
	struct exits *owner;
	int fd;
	bool wanted;
	char id[];
};

/* Of one pod. */
struct exit_group {
	struct list watches;
};

struct exits {
	struct kubelet *k;
	int epoll;
	uv_poll_t *poll;
	struct map groups; /* uid -> struct exit_group */
	size_t missing;    /* watches without a descriptor */
	loop_fn on_exit;
	void *arg;
};

static void release(struct exit_watch *w)
{
	if (w->fd < 0)
		return;
	close(w->fd); /* leaves the epoll set, too */
	w->fd = -1;
	w->owner->missing++;
}

static void watch_free(struct exit_watch *w)
{
	release(w);
	w->owner->missing--;
	list_del(&w->link);
	free(w);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
	struct exits *e = poll->data;
	struct epoll_event ev[EVENTS];
	if (!e)
		return;
	int n = epoll_wait(e->epoll, ev, EVENTS, 0);
	for (int i = 0; i < n; i++)
		release(ev[i].data.ptr);
	if (n > 0)
		e->on_exit(e->arg);
}

struct exits *exits_new(struct kubelet *k, loop_fn on_exit, void *arg)
{
	struct exits *e = calloc(1, sizeof(*e));
	if (!e)
		abort();
	*e = (struct exits){.k = k, .on_exit = on_exit, .arg = arg};
	map_init(&e->groups, 0);
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	e->poll = calloc(1, sizeof(*e->poll));
	if (e->epoll < 0 || !e->poll)
		abort();
	uv_poll_init(&k->loop->uv, e->poll, e->epoll);
	e->poll->data = e;
	uv_poll_start(e->poll, UV_READABLE, on_events);
	return e;
}

static void group_free(struct exit_group *g)
{
	LIST_FOREACH (&g->watches, w, struct exit_watch, link)
		watch_free(w);
	free(g);
}

static void on_closed(uv_handle_t *h)
{
	free(h);
}

void exits_free(struct exits *e)
{
	if (!e)
		return;
	MAP_FOREACH (&e->groups, it)
		group_free(it->value);
	map_deinit(&e->groups);
	e->poll->data = NULL;
	uv_close((uv_handle_t *)e->poll, on_closed);
	close(e->epoll);
	free(e);
}

/* Finding the process */

/* "NSpid:	4711	17	1": the last one. */
static long innermost_pid(long pid)
{
	char path[64], line[256];
	long found = 0;
	snprintf(path, sizeof(path), "/proc/%ld/status", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		const char *last = strrchr(line, '\t');
		found = last ? strtol(last, NULL, 10) : 0;
		break;
	}
	if (f)
		fclose(f);
	return found;
}

static int open_process(struct exits *e, const struct pod *p, const char *id)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf procs = BUF_INIT;
	if (!cgroups_active(e->k->cgroups))
		return -1;
	const struct cgroup_tree *t = cgroups_tree(e->k->cgroups);
	const char *path = cgroups_container_path(e->k->cgroups, p->spec, id, &a);
	if (!cgroup_tree_read(t, "memory", path, "cgroup.procs", &procs))
		return -1;
	long pid = exits_first_process((const char *)procs.data, innermost_pid);
	return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static void watch(struct exits *e, const struct pod *p, struct exit_watch *w)
{
	w->fd = open_process(e, p, w->id);
	if (w->fd < 0)
		return;
	e->missing--;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = w};
	if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, w->fd, &ev))
		release(w);
}

/* Keeping up with a pod */

static void want(struct exits *e, const struct pod *p, struct exit_group *g, const char *id)
{
	LIST_FOREACH (&g->watches, w, struct exit_watch, link)
		if (!strcmp(w->id, id)) {
			w->wanted = true;
			if (w->fd < 0)
				watch(e, p, w);
			return;
		}
	size_t n = strlen(id) + 1;
	struct exit_watch *w = calloc(1, sizeof(*w) + n);
	if (!w)
		abort();
	w->owner = e;
	w->fd = -1;
	w->wanted = true;
	memcpy(w->id, id, n);
	list_add_tail(&g->watches, &w->link);
	e->missing++;
	watch(e, p, w);
}

void exits_sync(struct exits *e, const struct pod *p)
{
	struct exit_group *g = map_get_str(&e->groups, p->uid);
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			abort();
		list_init(&g->watches);
		map_put_str(&e->groups, p->uid, g);
	}
	LIST_FOREACH (&g->watches, w, struct exit_watch, link)
		w->wanted = false;
	for (size_t i = 0; i < p->rt.n_sandboxes; i++)
		if (p->rt.sandboxes[i].ready)
			want(e, p, g, p->rt.sandboxes[i].id);
	for (size_t i = 0; i < p->rt.n_containers; i++)
		if (p->rt.containers[i].state == CONTAINER_RUNNING)
			want(e, p, g, p->rt.containers[i].id);
	LIST_FOREACH (&g->watches, w, struct exit_watch, link)
		if (!w->wanted)
			watch_free(w);
}

void exits_forget(struct exits *e, const struct pod *p)
{
	struct exit_group *g = map_del_str(&e->groups, p->uid);
	if (g)
		group_free(g);
}

bool exits_complete(const struct exits *e)
{
	return e->missing == 0;
}
