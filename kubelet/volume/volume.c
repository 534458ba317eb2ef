/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/codec/quantity.h"
#include "kubelet/pod/files.h"
#include "kubelet/volume/mounts.h"
#include "kubelet/volume/payload.h"

enum {
	REFRESH_RETRY_MS = 60000,
	PATIENCE_MS = 123000, /* how long volumes may be missing before that is told */
	RETRY_MIN_MS = 500,
	RETRY_MAX_MS = 122000,
};

struct volume {
	char *name, *path;
	bool mounted;
	uint64_t sum; /* of the payload that was written */
};

struct pod_volumes {
	struct pod *pod;
	VEC(struct volume) all;
	struct tokens *tokens;
	uint64_t retry_ms, retry_at_ms;
	uint64_t waits_since_ms; /* 0: nothing is missing */
	bool stale;              /* what is mounted may not be what is wanted */
	uint64_t refresh_at_ms;  /* writing failed: again then; 0: it did not */
};

static void wake(void *arg)
{
	struct pod_volumes *v = arg;
	v->stale = true;
	v->retry_at_ms = 0;
	pod_sync(v->pod);
}

static struct pod_volumes *volumes_of(struct pod *p)
{
	if (p->volumes)
		return p->volumes;
	struct pod_volumes *v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->pod = p;
	v->tokens = tokens_new(p, wake, v);
	return p->volumes = v;
}

void volumes_free(struct pod_volumes *v)
{
	if (!v)
		return;
	objects_forget(v->pod->k->objects, v);
	tokens_free(v->tokens);
	VEC_FOREACH (&v->all, it) {
		free(it->name);
		free(it->path);
	}
	vec_deinit(&v->all);
	free(v);
}

static struct volume *volume_of(struct pod_volumes *v, const char *name)
{
	VEC_FOREACH (&v->all, it)
		if (!strcmp(it->name, name))
			return it;
	struct volume *x = vec_push(&v->all);
	*x = (struct volume){.name = strdup(name)};
	return x;
}

const char *volume_path(const struct pod *p, const char *volume, struct arena *a)
{
	if (p->volumes)
		VEC_FOREACH (&p->volumes->all, it)
			if (!strcmp(it->name, volume) && it->mounted)
				return arena_strdup(a, it->path);
	return NULL;
}

/* Kinds */

static int64_t group_of(const struct pod *p)
{
	const CoreV1__PodSecurityContext *s = p->spec->spec->security_context;
	return s && s->has_fs_group ? s->fs_group : -1;
}

static const char *kind_of(const CoreV1__VolumeSource *s)
{
	return s->config_map     ? "configmap"
	       : s->secret       ? "secret"
	       : s->downward_api ? "downward-api"
	       : s->projected    ? "projected"
	       : s->empty_dir    ? "empty-dir"
	       : s->host_path    ? "host-path"
	                         : NULL;
}

static int mount_host_path(struct volume *x, const CoreV1__HostPathVolumeSource *h, struct err *err)
{
	struct stat st;
	const char *type = h->type ? h->type : "";
	if (!strcmp(type, "DirectoryOrCreate") && stat(h->path, &st) &&
	    folder_make(h->path, 0755, err))
		return -err->code;
	if (!strcmp(type, "FileOrCreate") && stat(h->path, &st)) {
		int fd = open(h->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return err_set(err, ERR_IO, "open %s: %s", h->path, strerror(errno));
		close(fd);
	}
	int there = !stat(h->path, &st);
	static const struct {
		const char *type, *words;
		mode_t format;
	} types[] = {
	    {"Directory", "a directory", S_IFDIR},
	    {"DirectoryOrCreate", "a directory", S_IFDIR},
	    {"File", "a file", S_IFREG},
	    {"FileOrCreate", "a file", S_IFREG},
	    {"Socket", "a socket file", S_IFSOCK},
	    {"CharDevice", "a character device", S_IFCHR},
	    {"BlockDevice", "a block device", S_IFBLK},
	};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(type, types[i].type) &&
		    (!there || (st.st_mode & S_IFMT) != types[i].format))
			return err_set(err, ERR_INVALID, "hostPath type check failed: %s is not %s",
			               h->path, types[i].words);
	free(x->path);
	x->path = strdup(h->path);
	return 0;
}

/* A folder of the pod's, on memory where asked for. */
static int make_folder(struct pod *p, struct volume *x, const CoreV1__VolumeSource *s, bool memory,
                       mode_t mode, int64_t gid, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	const char *path =
	    pod_dir(p, &a, arena_printf(&a, "volumes/kubernetes.io~%s/%s", kind_of(s), x->name));
	if (folder_make(path, 0755, err))
		return -err->code;
	if (memory && !mounts_is_point(path)) {
		char options[64] = "mode=0755";
		const char *limit = s->empty_dir && s->empty_dir->size_limit
		                        ? s->empty_dir->size_limit->string
		                        : NULL;
		struct quantity q = quantity_of(limit);
		if (quantity_sign(&q) > 0)
			snprintf(options, sizeof(options), "mode=0755,size=%lld",
			         (long long)quantity_value(&q));
		if (mount("tmpfs", path, "tmpfs", 0, options))
			return err_set(err, ERR_IO, "mount tmpfs at %s: %s", path, strerror(errno));
	}
	if (gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid))
		return err_set(err, ERR_IO, "chown %s: %s", path, strerror(errno));
	if (chmod(path, gid >= 0 ? mode | 02070 : mode))
		return err_set(err, ERR_IO, "chmod %s: %s", path, strerror(errno));
	free(x->path);
	x->path = strdup(path);
	return 0;
}

/* Writes a payload volume when what it is to hold is not what it holds. */
static enum object_state write_payload(struct pod_volumes *v, struct volume *x,
                                       const CoreV1__VolumeSource *s, struct err *err)
{
	struct pod *p = v->pod;
	_cleanup_arena_ struct arena a = {0};
	struct payload payload;
	struct payload_sources from = {p, v->tokens, wake, v};
	enum object_state state = payload_collect(&from, s, &a, &payload, err);
	if (state != OBJECT_READY)
		return state;
	uint64_t sum = payload_sum(&payload);
	if (x->mounted && x->sum == sum)
		return OBJECT_READY;
	int64_t gid = group_of(p);
	if (!x->mounted && make_folder(p, x, s, payload_is_secret(s), 0755, gid, err))
		return OBJECT_FAILED;
	if (atomic_dir_write(x->path, &payload, gid, err))
		return OBJECT_FAILED;
	x->sum = sum;
	return OBJECT_READY;
}

static enum object_state mount_one(struct pod_volumes *v, struct volume *x,
                                   const CoreV1__VolumeSource *s, struct err *err)
{
	int r = 0;
	if (payload_is_volume(s)) {
		enum object_state state = write_payload(v, x, s, err);
		if (state != OBJECT_READY)
			return state;
	} else if (s->host_path) {
		r = mount_host_path(x, s->host_path, err);
	} else if (s->empty_dir) {
		const char *medium = s->empty_dir->medium ? s->empty_dir->medium : "";
		r = make_folder(v->pod, x, s, !strcmp(medium, "Memory"), 0777, group_of(v->pod),
		                err);
	} else {
		r = err_set(err, ERR_NOT_IMPLEMENTED, "no volume plugin matched");
	}
	x->mounted = !r;
	return r ? OBJECT_FAILED : OBJECT_READY;
}

static bool mounts(const CoreV1__Container *c, const char *volume)
{
	for (size_t k = 0; k < c->n_volume_mounts; k++)
		if (!strcmp(c->volume_mounts[k]->name, volume))
			return true;
	for (size_t k = 0; k < c->n_env; k++)
		if (c->env[k]->value_from && c->env[k]->value_from->file_key_ref &&
		    !strcmp(c->env[k]->value_from->file_key_ref->volume_name, volume))
			return true;
	return false;
}

/* Some container mounts it. */
static bool is_used(const struct pod *p, const char *volume)
{
	const CoreV1__PodSpec *s = p->spec->spec;
	bool used = false;
	for (size_t i = 0; i < s->n_containers; i++)
		used |= mounts(s->containers[i], volume);
	for (size_t i = 0; i < s->n_init_containers; i++)
		used |= mounts(s->init_containers[i], volume);
	for (size_t i = 0; i < s->n_ephemeral_containers; i++)
		used |= mounts(p->ephemeral[i], volume);
	return used;
}

/* Says now and then what keeps the pod from starting. */
static void tell_missing(struct pod_volumes *v)
{
	struct pod *p = v->pod;
	const CoreV1__PodSpec *s = p->spec->spec;
	_cleanup_arena_ struct arena a = {0};
	uint64_t now = clock_mono_ms();
	const char *names = "";
	v->waits_since_ms = v->waits_since_ms ? v->waits_since_ms : now;
	if (now < v->waits_since_ms + PATIENCE_MS)
		return;
	v->waits_since_ms = now;
	for (size_t i = 0; i < s->n_volumes; i++)
		if (is_used(p, s->volumes[i]->name) && !volume_of(v, s->volumes[i]->name)->mounted)
			names = arena_printf(&a, "%s%s%s", names, *names ? " " : "",
			                     s->volumes[i]->name);
	pod_event(p, NULL, true, "FailedMount",
	          "Unable to attach or mount volumes: unmounted volumes=[%s], unattached "
	          "volumes=[], failed to process volumes=[]: context deadline exceeded",
	          names);
}

enum volume_state volumes_mount(struct pod *p)
{
	struct pod_volumes *v = volumes_of(p);
	const CoreV1__PodSpec *s = p->spec->spec;
	bool waits = false, failed = false;
	uint64_t now = clock_mono_ms();
	if (v->retry_at_ms > now) {
		pod_sync_after(p, v->retry_at_ms - now);
		return VOLUMES_WAIT;
	}
	for (size_t i = 0; i < s->n_volumes; i++) {
		struct volume *x = volume_of(v, s->volumes[i]->name);
		struct err err = ERR_INIT;
		if (x->mounted || !is_used(p, x->name))
			continue;
		enum object_state state = mount_one(v, x, s->volumes[i]->volume_source, &err);
		waits |= state == OBJECT_WAIT;
		if (state != OBJECT_FAILED)
			continue;
		failed = true;
		pod_event(p, NULL, true, "FailedMount",
		          "MountVolume.SetUp failed for volume \"%s\" : %s", x->name, err.text);
	}
	if (waits || failed)
		tell_missing(v);
	if (failed) {
		v->retry_ms = v->retry_ms ? MIN(v->retry_ms * 2, RETRY_MAX_MS) : RETRY_MIN_MS;
		v->retry_at_ms = now + v->retry_ms;
		pod_sync_after(p, v->retry_ms);
		return VOLUMES_FAILED;
	}
	if (waits)
		return VOLUMES_WAIT;
	v->retry_ms = v->waits_since_ms = 0;
	return VOLUMES_READY;
}

void volumes_stale(struct pod *p)
{
	if (p->volumes)
		p->volumes->stale = true;
}

/* Writes again what has changed. */
static void refresh(struct pod_volumes *v)
{
	struct pod *p = v->pod;
	const CoreV1__PodSpec *s = p->spec->spec;
	v->stale = false;
	v->refresh_at_ms = 0;
	for (size_t i = 0; i < s->n_volumes; i++) {
		struct volume *x = volume_of(v, s->volumes[i]->name);
		const CoreV1__VolumeSource *source = s->volumes[i]->volume_source;
		struct err err = ERR_INIT;
		if (!x->mounted || !payload_is_volume(source) ||
		    write_payload(v, x, source, &err) != OBJECT_FAILED)
			continue;
		log_error(&err, "Could not bring a volume up to date", LOG_STR("pod", p->key),
		          LOG_STR("volume", x->name));
		v->refresh_at_ms = now_real_ms() + REFRESH_RETRY_MS;
		pod_sync_after(p, REFRESH_RETRY_MS);
	}
}

void volumes_refresh(struct pod *p)
{
	struct pod_volumes *v = p->volumes;
	if (!v)
		return;
	uint64_t now = now_real_ms();
	if (v->stale || (v->refresh_at_ms && v->refresh_at_ms <= now) ||
	    tokens_renewal_ms(v->tokens) <= now)
		refresh(v);
	uint64_t renewal = tokens_renewal_ms(v->tokens);
	if (renewal != UINT64_MAX)
		pod_sync_after(p, renewal > now ? renewal - now : 1);
}

/* The end */

bool volumes_unmount(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	if (p->volumes_gone)
		return true;
	if (p->volumes) {
		volumes_free(p->volumes);
		p->volumes = NULL;
	}
	p->volumes_gone = mounts_release(pod_dir(p, &a, ""));
	return p->volumes_gone;
}

struct removal {
	char *folder, *logs;
};

static void remove_folders(void *arg)
{
	struct removal *r = arg;
	mounts_remove_tree(r->folder);
	mounts_remove_tree(r->logs);
	free(r->folder);
	free(r->logs);
	free(r);
}

void volumes_remove_dir(struct pod *p)
{
	_cleanup_arena_ struct arena a = {0};
	struct removal *r = malloc(sizeof(*r));
	if (!r)
		abort();
	r->folder = strdup(pod_dir(p, &a, ""));
	r->logs = strdup(pod_log_dir(p, &a));
	worker_post(&p->k->disk, remove_folders, r);
}
