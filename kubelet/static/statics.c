/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/static/statics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/rfc3339.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "proto/msg.h"
#include "proto/pb_encode.h"
#include "proto/schema_messages.h"

enum { MANIFEST_BYTES_MAX = 1 << 20, MANIFESTS_MAX = 500, SETTLE_MS = 100, RETRY_MS = 1000 };

/* One manifest and the pod that it last described. */
struct source {
	struct list link;
	struct arena arena;
	char *path;
	struct stat seen;
	CoreV1__Pod *pod; /* in arena; NULL: never readable */
	bool there;       /* in the scan that is going on */
	struct client_call *creating;
	struct statics *owner;
};

/* A mirror pod of the apiserver. */
struct mirror {
	struct list link;
	char *ns, *name, *uid, *hash;
	bool deleting;
	struct client_call *removing;
	struct statics *owner;
};

struct statics {
	struct kubelet *k;
	struct list sources, mirrors;
	struct loop_timer scan, wake;
	uv_fs_event_t *watch;
	bool started;
	uint64_t hold_until_ms; /* a create or delete has failed a moment ago */
};

/* Manifests */

static bool read_text(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = 1;
	while (n > 0 && out->len <= MANIFEST_BYTES_MAX) {
		buf_reserve(out, 16385);
		n = read(fd, out->data + out->len, 16384);
		out->len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return n == 0;
}

static struct source *source_of(struct statics *s, const char *path)
{
	LIST_FOREACH (&s->sources, x, struct source, link)
		if (!strcmp(x->path, path))
			return x;
	struct source *x = calloc(1, sizeof(*x));
	if (!x || !(x->path = strdup(path)))
		abort();
	x->owner = s;
	list_add_tail(&s->sources, &x->link);
	return x;
}

static void source_free(struct source *x)
{
	if (x->creating)
		client_call_drop(x->creating);
	list_del(&x->link);
	arena_deinit(&x->arena);
	free(x->path);
	free(x);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void read_manifest(struct statics *s, const char *path, const struct stat *st)
{
	struct source *x = source_of(s, path);
	x->there = true;
	if (same_file(&x->seen, st))
		return;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct err err = ERR_INIT;
	struct arena a = {0};
	CoreV1__Pod *pod = NULL;
	char seen[RFC3339_BYTES];
	int64_t now = clock_real_ns();
	rfc3339_format_nano(now / 1000000000, (int32_t)(now % 1000000000), seen);
	x->seen = *st;
	int r = read_text(path, &text) ? 0 : err_set(&err, ERR_IO, "%s", strerror(errno));
	if (!r)
		r = manifest_parse(buf_view(&text), path, s->k->config->node_name, seen, &a, &pod,
		                   &err);
	if (r) {
		log_error(&err, "Could not read the manifest of a static pod",
		          LOG_STR("path", path));
		arena_deinit(&a);
		return;
	}
	arena_deinit(&x->arena);
	x->arena = a;
	x->pod = pod;
	log_info("Read the manifest of a static pod", LOG_STR("path", path),
	         LOG_STR("pod", pod->metadata->name), LOG_STR("uid", pod->metadata->uid));
}

static void read_folder(struct statics *s, const char *folder)
{
	DIR *d = opendir(folder);
	size_t n = 0;
	for (struct dirent *e; d && n < MANIFESTS_MAX && (e = readdir(d));) {
		_cleanup_arena_ struct arena a = {0};
		struct stat st;
		if (*e->d_name == '.')
			continue;
		const char *path = arena_printf(&a, "%s/%s", folder, e->d_name);
		if (stat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		read_manifest(s, path, &st);
		n++;
	}
	if (d)
		closedir(d);
}

/* Pods */

static struct source *source_by_uid(struct statics *s, const char *uid)
{
	LIST_FOREACH (&s->sources, x, struct source, link)
		if (x->pod && !strcmp(x->pod->metadata->uid, uid))
			return x;
	return NULL;
}

static bool name_is_taken(const struct statics *s, const CoreV1__Pod *pod)
{
	MAP_FOREACH (&s->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		if (p->is_static && !strcmp(p->ns, pod->metadata->namespace_) &&
		    !strcmp(p->name, pod->metadata->name))
			return true;
	}
	return false;
}

/* The pod as its manifest has it, with the status of its mirror. */
static void offer(struct statics *s, const struct source *x, struct pod *p,
                  const CoreV1__Pod *mirror)
{
	struct arena a = {0};
	int64_t revision = 0;
	CoreV1__Pod *pod = (CoreV1__Pod *)msg_copy(&core_v1__pod_schema, &x->pod->base, &a);
	if (mirror) {
		revision = strtoll(mirror->metadata->resource_version, NULL, 10);
		pod->status = (CoreV1__PodStatus *)msg_copy(&core_v1__pod_status_schema,
		                                            &mirror->status->base, &a);
		pod->metadata->resource_version =
		    arena_strdup(&a, mirror->metadata->resource_version);
		pod->metadata->has_generation = mirror->metadata->has_generation;
		pod->metadata->generation = mirror->metadata->generation;
		snprintf(p->mirror_uid, sizeof(p->mirror_uid), "%s", mirror->metadata->uid);
	}
	pod_offer(p, pod, revision, &a);
	arena_deinit(&a);
	pod_sync(p);
}

static void end_pods(struct statics *s)
{
	VEC(struct pod *) gone = {0};
	MAP_FOREACH (&s->k->pods->by_uid, it) {
		struct pod *p = it->value;
		if (p->is_static && !p->gone && !source_by_uid(s, p->uid))
			*vec_push(&gone) = p;
	}
	VEC_FOREACH (&gone, p) {
		(*p)->gone = true;
		pod_sync(*p);
	}
	vec_deinit(&gone);
}

static void begin_pods(struct statics *s)
{
	LIST_FOREACH (&s->sources, x, struct source, link) {
		if (!x->pod || name_is_taken(s, x->pod))
			continue;
		const MetaV1__ObjectMeta *m = x->pod->metadata;
		if (pods_find_uid(s->k->pods, m->uid))
			continue;
		struct pod *p = pod_new(s->k->pods, m->uid, m->namespace_, m->name);
		p->is_static = true;
		offer(s, x, p, NULL);
	}
}

/* Mirrors */

static void mirror_free(struct mirror *m)
{
	if (m->removing)
		client_call_drop(m->removing);
	list_del(&m->link);
	free(m->ns);
	free(m->name);
	free(m->uid);
	free(m->hash);
	free(m);
}

static bool failed(struct statics *s, const struct client_result *r, const char *what)
{
	struct err err = ERR_INIT;
	if (r->code == ERR_OK || r->code == ERR_NOT_FOUND || r->code == ERR_ALREADY_EXISTS)
		return false;
	ERR_IGNORE(client_result_err(r, &err)); /* for the log */
	log_error(&err, "Could not keep a mirror pod", LOG_STR("step", what));
	s->hold_until_ms = loop_now_ms(s->k->loop) + RETRY_MS;
	loop_timer_start(&s->wake, RETRY_MS);
	return true;
}

static void on_created(const struct client_result *r, void *arg)
{
	struct source *x = arg;
	x->creating = NULL;
	if (failed(x->owner, r, "create") || r->code != ERR_OK)
		return;
	/* The answer is as good as the watch's event. */
	struct err err;
	_cleanup_arena_ struct arena a = {0};
	ProtobufCMessage *msg = NULL;
	if (!pb_decode(&core_v1__pod_schema, r->object, &a, &msg, &err))
		statics_on_mirror(x->owner, (CoreV1__Pod *)msg);
}

static void create(struct statics *s, struct source *x, const char *node_uid)
{
	_cleanup_arena_ struct arena a = {0};
	CoreV1__Pod *m = manifest_mirror(x->pod, s->k->config->node_name, node_uid, &a);
	struct client_target t = {{"", "v1", "pods"}, m->metadata->namespace_, "", ""};
	x->creating =
	    client_write_msg(s->k->client, true, &t, &core_v1__pod_schema, &m->base, on_created, x);
}

static void on_removed(const struct client_result *r, void *arg)
{
	struct mirror *m = arg;
	m->removing = NULL;
	if (failed(m->owner, r, "delete"))
		return;
	struct statics *s = m->owner;
	mirror_free(m);
	statics_wake(s);
}

static void remove_mirror(struct statics *s, struct mirror *m)
{
	struct client_target t = {{"", "v1", "pods"}, m->ns, m->name, ""};
	struct client_delete_options o = {.grace_period_seconds = 0, .uid = m->uid};
	if (!m->removing)
		m->removing = client_delete(s->k->client, &t, &o, on_removed, m);
}

static struct mirror *mirror_named(struct statics *s, const CoreV1__Pod *pod)
{
	LIST_FOREACH (&s->mirrors, m, struct mirror, link)
		if (!strcmp(m->ns, pod->metadata->namespace_) &&
		    !strcmp(m->name, pod->metadata->name))
			return m;
	return NULL;
}

static void keep_mirrors(struct statics *s)
{
	const char *node_uid = node_uid_of(s->k->node);
	if (!*node_uid || !s->k->pods->synced || loop_now_ms(s->k->loop) < s->hold_until_ms)
		return;
	LIST_FOREACH (&s->mirrors, m, struct mirror, link) {
		struct source *x = source_by_uid(s, m->hash);
		const struct pod *p = pods_find_uid(s->k->pods, m->hash);
		if (m->deleting || (!x && !p))
			remove_mirror(s, m);
	}
	LIST_FOREACH (&s->sources, x, struct source, link)
		if (x->pod && !x->creating && !mirror_named(s, x->pod) &&
		    pods_find_uid(s->k->pods, x->pod->metadata->uid))
			create(s, x, node_uid);
}

void statics_on_mirror(struct statics *s, const CoreV1__Pod *mirror)
{
	const MetaV1__ObjectMeta *meta = mirror->metadata;
	struct mirror *m = NULL;
	LIST_FOREACH (&s->mirrors, x, struct mirror, link)
		if (!strcmp(x->uid, meta->uid))
			m = x;
	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m)
			abort();
		m->owner = s;
		m->ns = strdup(meta->namespace_);
		m->name = strdup(meta->name);
		m->uid = strdup(meta->uid);
		m->hash = strdup(pod_annotation(mirror, ANNOTATION_CONFIG_MIRROR));
		list_add_tail(&s->mirrors, &m->link);
	}
	m->deleting = meta->deletion_timestamp != NULL;
	struct source *x = source_by_uid(s, m->hash);
	struct pod *p = pods_find_uid(s->k->pods, m->hash);
	if (x && p && p->is_static && !p->gone && !m->deleting)
		offer(s, x, p, mirror);
	statics_wake(s);
}

void statics_mirror_gone(struct statics *s, const char *uid)
{
	LIST_FOREACH (&s->mirrors, m, struct mirror, link) {
		if (strcmp(m->uid, uid))
			continue;
		struct pod *p = pods_find_uid(s->k->pods, m->hash);
		if (p && !strcmp(p->mirror_uid, uid))
			*p->mirror_uid = 0;
		mirror_free(m);
		statics_wake(s);
	}
}

/* Turns */

static void on_wake(void *arg)
{
	struct statics *s = arg;
	if (!s->started)
		return;
	end_pods(s);
	begin_pods(s);
	keep_mirrors(s);
}

void statics_wake(struct statics *s)
{
	if (!loop_timer_active(&s->wake))
		loop_timer_start(&s->wake, 0);
}

static void scan(void *arg)
{
	struct statics *s = arg;
	const char *path = s->k->config->static_pod_path;
	struct stat st;
	loop_timer_start(&s->scan, (uint64_t)s->k->config->file_check_ms);
	LIST_FOREACH (&s->sources, x, struct source, link)
		x->there = false;
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		read_folder(s, path);
	else if (S_ISREG(st.st_mode))
		read_manifest(s, path, &st);
	LIST_FOREACH (&s->sources, x, struct source, link)
		if (!x->there)
			source_free(x);
	statics_wake(s);
}

static void on_change(uv_fs_event_t *w, const char *name, int events, int status)
{
	struct statics *s = w->data;
	if (s)
		loop_timer_start(&s->scan, SETTLE_MS);
}

struct statics *statics_new(struct kubelet *k)
{
	struct statics *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->k = k;
	k->statics = s;
	list_init(&s->sources);
	list_init(&s->mirrors);
	loop_timer_init(&s->scan, k->loop, scan, s);
	loop_timer_init(&s->wake, k->loop, on_wake, s);
	return s;
}

void statics_start(struct statics *s)
{
	s->started = true;
	if (!*s->k->config->static_pod_path) {
		statics_wake(s);
		return;
	}
	s->watch = calloc(1, sizeof(*s->watch));
	if (!s->watch)
		abort();
	uv_fs_event_init(&s->k->loop->uv, s->watch);
	s->watch->data = s;
	if (uv_fs_event_start(s->watch, on_change, s->k->config->static_pod_path, 0))
		log_warning("The folder of static pods is read now and then only",
		            LOG_STR("path", s->k->config->static_pod_path));
	scan(s);
	on_wake(s);
}

static void on_closed(uv_handle_t *h)
{
	free(h);
}

void statics_free(struct statics *s)
{
	if (!s)
		return;
	loop_timer_stop(&s->scan);
	loop_timer_stop(&s->wake);
	if (s->watch) {
		s->watch->data = NULL;
		uv_close((uv_handle_t *)s->watch, on_closed);
	}
	LIST_FOREACH (&s->sources, x, struct source, link)
		source_free(x);
	LIST_FOREACH (&s->mirrors, m, struct mirror, link)
		mirror_free(m);
	free(s);
}
