/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/logs/rotation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/quantity.h"
#include "kubelet/pod/pod.h"

enum { FILES_MAX = 1000, CHUNK_BYTES = 64 << 10, REOPEN_MS = 10000 };

struct log_rotation {
	struct kubelet *k;
	int64_t max_bytes;
	struct loop_timer timer;
	struct list rotations;
};

/* One log that is being rotated. */
struct rotation {
	struct list link;
	struct log_rotation *owner;
	char *id, *path, *rotated; /* of the container; the live log; its new name */
	struct cri_call *call;
};

/* Folders */

static void split(const char *path, struct arena *a, const char **folder, const char **name)
{
	const char *slash = strrchr(path, '/');
	*folder = arena_strndup(a, path, (size_t)(slash - path));
	*name = slash + 1;
}

static struct log_file *list_files(const char *folder, const char *log, struct arena *a,
                                   size_t *ret_n)
{
	struct log_file *files = arena_array(a, struct log_file, FILES_MAX);
	DIR *d = opendir(folder);
	*ret_n = 0;
	for (struct dirent *e; d && *ret_n < FILES_MAX && (e = readdir(d));)
		if (log_file_belongs(log, e->d_name))
			files[(*ret_n)++].name = arena_strdup(a, e->d_name);
	if (d)
		closedir(d);
	return files;
}

void log_files_remove(const char *path)
{
	_cleanup_arena_ struct arena a = {0};
	const char *folder, *log;
	size_t n;
	split(path, &a, &folder, &log);
	struct log_file *files = list_files(folder, log, &a, &n);
	for (size_t i = 0; i < n; i++)
		unlink(arena_printf(&a, "%s/%s", folder, files[i].name));
}

/* Compressing, on the worker: into a temporary file first, so that a crash leaves nothing half. */

static bool copy_compressed(int in, const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	gzFile out = fd >= 0 ? gzdopen(fd, "wb") : NULL;
	char *chunk = malloc(CHUNK_BYTES);
	ssize_t n = -1;
	while (out && chunk && (n = read(in, chunk, CHUNK_BYTES)) > 0)
		if (gzwrite(out, chunk, (unsigned)n) != n) {
			n = -1;
			break;
		}
	free(chunk);
	return (!out || gzclose(out) == Z_OK) && n == 0;
}

static void compress_file(void *arg)
{
	char *path = arg;
	_cleanup_arena_ struct arena a = {0};
	const char *tmp = arena_printf(&a, "%s.tmp", path);
	const char *done = arena_printf(&a, "%s.gz", path);
	int in = open(path, O_RDONLY | O_CLOEXEC);
	if (in >= 0 && copy_compressed(in, tmp) && !rename(tmp, done))
		unlink(path);
	else if (in >= 0)
		log_warning("Could not compress a log", LOG_STR("path", path));
	if (in >= 0)
		close(in);
	free(path);
}

static void tidy(struct log_rotation *r, const char *path)
{
	_cleanup_arena_ struct arena a = {0};
	const char *folder, *log;
	size_t n;
	split(path, &a, &folder, &log);
	struct log_file *files = list_files(folder, log, &a, &n);
	log_files_plan(log, files, n, r->k->config->log_max_files);
	for (size_t i = 0; i < n; i++) {
		const char *file = arena_printf(&a, "%s/%s", folder, files[i].name);
		if (files[i].action == LOG_REMOVE)
			unlink(file);
		else if (files[i].action == LOG_COMPRESS)
			worker_post(&r->k->disk, compress_file, strdup(file));
	}
}

/* Rotating */

static void rotation_free(struct rotation *x)
{
	cri_call_drop(x->call);
	list_del(&x->link);
	free(x->id);
	free(x->path);
	free(x->rotated);
	free(x);
}

static void on_reopened(const struct cri_result *r, void *arg)
{
	struct rotation *x = arg;
	x->call = NULL;
	if (r->code != RPC_OK) {
		log_warning("Could not reopen a container's log", LOG_STR("path", x->path),
		            LOG_STR("err", r->text));
		/* The container still writes to the old file: it gets its name back. */
		if (rename(x->rotated, x->path))
			log_warning("Could not take back a log", LOG_STR("path", x->rotated));
	}
	rotation_free(x);
}

static void rotate(struct log_rotation *r, const char *id, const char *path)
{
	_cleanup_arena_ struct arena a = {0};
	LIST_FOREACH (&r->rotations, x, struct rotation, link)
		if (!strcmp(x->path, path))
			return;
	tidy(r, path);
	const char *rotated = log_rotated_name(path, clock_real_ns() / 1000000000, &a);
	if (rename(path, rotated)) {
		log_warning("Could not rotate a log", LOG_STR("path", path),
		            LOG_STR("err", strerror(errno)));
		return;
	}
	struct rotation *x = calloc(1, sizeof(*x));
	if (!x)
		abort();
	*x = (struct rotation){
	    .owner = r, .id = strdup(id), .path = strdup(path), .rotated = strdup(rotated)};
	list_add_tail(&r->rotations, &x->link);
	CriV1__ReopenContainerLogRequest q = CRI_V1__REOPEN_CONTAINER_LOG_REQUEST__INIT;
	q.container_id = x->id;
	x->call = cri_call(r->k->cri, CRI_REOPEN_CONTAINER_LOG, &q, REOPEN_MS, on_reopened, x);
}

static void look_at_pod(struct log_rotation *r, const struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	for (size_t i = 0; i < p->rt.n_containers; i++) {
		const struct runtime_container *c = &p->rt.containers[i];
		struct stat st;
		if (c->state != CONTAINER_RUNNING)
			continue;
		const char *path =
		    arena_printf(&a, "%s/%s/%u.log", pod_log_dir(p, &a), c->name, c->attempt);
		if (!stat(path, &st) && st.st_size >= r->max_bytes)
			rotate(r, c->id, path);
	}
}

static void look(void *arg)
{
	struct log_rotation *r = arg;
	loop_timer_start(&r->timer, (uint64_t)r->k->config->log_monitor_ms);
	MAP_FOREACH (&r->k->pods->by_uid, it)
		look_at_pod(r, it->value);
}

int log_rotation_new(struct kubelet *k, struct log_rotation **ret, struct err *err)
{
	const struct kubelet_config *c = k->config;
	struct log_rotation *r = calloc(1, sizeof(*r));
	struct quantity q;
	if (!r)
		abort();
	r->k = k;
	*ret = r;
	list_init(&r->rotations);
	loop_timer_init(&r->timer, k->loop, look, r);
	int bad = quantity_parse(slice_str(c->log_max_size), &q, err);
	if (bad)
		return err_prefix(err, "failed to parse container log max size \"%s\"",
		                  c->log_max_size);
	if (c->log_max_files <= 1)
		return err_set(err, ERR_INVALID,
		               "invalid configuration: containerLogMaxFiles %lld must be greater "
		               "than 1",
		               (long long)c->log_max_files);
	r->max_bytes = quantity_value(&q);
	return 0;
}

/* A size that is not positive switches rotation off. */
void log_rotation_start(struct log_rotation *r)
{
	if (r->max_bytes > 0)
		loop_timer_start(&r->timer, (uint64_t)r->k->config->log_monitor_ms);
}

void log_rotation_free(struct log_rotation *r)
{
	if (!r)
		return;
	loop_timer_stop(&r->timer);
	LIST_FOREACH (&r->rotations, x, struct rotation, link)
		rotation_free(x);
	free(r);
}
