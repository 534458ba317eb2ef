/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/gc/gc.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/logs/links.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "kubelet/stats/stats.h"
#include "kubelet/volume/mounts.h"

enum {
	IMAGES_MS = 300000,
	FOLDERS_MS = 60000,
	FIRST_MS = 5000,
	/* A folder younger than this may belong to a pod that is only being made. */
	FOLDER_AGE_S = 30,
};

/* What is remembered of an image between looks. */
struct image_record {
	uint64_t detected_ms, last_used_ms, mark;
};

struct gc {
	struct kubelet *k;
	struct loop_timer images_timer, folders_timer;
	struct map records; /* image id -> struct image_record */
	uint64_t mark;
	char *image_fs;
	struct arena arena; /* of the collection that is going on */
	struct gc_image *images;
	size_t n_images, n_chosen, at;
	uint64_t wanted, found;
	bool busy, was_short;
	struct cri_call *call;
	loop_fn done;
	void *arg;
};

const char *gc_image_fs(const struct gc *g)
{
	return g->image_fs;
}

/* Images */

/* What holds the namespaces of pods: the runtime needs it, but no container shows it. */
static bool is_pause(const CriV1__Image *im)
{
	for (size_t i = 0; i < im->n_repo_tags; i++) {
		const char *slash = strrchr(im->repo_tags[i], '/');
		const char *name = slash ? slash + 1 : im->repo_tags[i];
		if (!strncmp(name, "pause:", 6) || !strncmp(name, "pause-", 6))
			return true;
	}
	return false;
}

static bool uses(const struct gc *g, const CriV1__Image *im)
{
	MAP_FOREACH (&g->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		for (size_t i = 0; i < p->rt.n_containers; i++) {
			const struct runtime_container *c = &p->rt.containers[i];
			if ((c->image_id && !strcmp(c->image_id, im->id)) ||
			    (c->image && !strcmp(c->image, im->id)))
				return true;
			for (size_t t = 0; t < im->n_repo_tags; t++)
				if (c->image && !strcmp(c->image, im->repo_tags[t]))
					return true;
			for (size_t t = 0; t < im->n_repo_digests; t++)
				if (c->image_id && !strcmp(c->image_id, im->repo_digests[t]))
					return true;
		}
	}
	return false;
}

static void take_image(struct gc *g, const CriV1__Image *im, uint64_t now)
{
	struct image_record *r = map_get_str(&g->records, im->id);
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			abort();
		r->detected_ms = now;
		map_put_str(&g->records, im->id, r);
	}
	r->mark = g->mark;
	bool in_use = uses(g, im);
	if (in_use)
		r->last_used_ms = now;
	g->images[g->n_images++] = (struct gc_image){
	    .id = arena_strdup(&g->arena, im->id),
	    .size_bytes = im->size,
	    .in_use = in_use,
	    .pinned = im->pinned || is_pause(im),
	    .detected_ms = r->detected_ms,
	    .last_used_ms = r->last_used_ms,
	};
}

static void forget_images(struct gc *g)
{
	MAP_FOREACH (&g->records, it) {
		struct image_record *r = it->value;
		if (r->mark == g->mark)
			continue;
		_cleanup_arena_ struct arena a = {0};
		free(map_del_str(&g->records, arena_strdup(&a, it->key)));
	}
}

static void end(struct gc *g)
{
	loop_fn done = g->done;
	void *arg = g->arg;
	g->busy = false;
	g->done = NULL;
	arena_deinit(&g->arena);
	loop_timer_start(&g->images_timer, IMAGES_MS);
	if (done)
		done(arg);
}

static void remove_next(struct gc *g);

static void on_removed(const struct cri_result *r, void *arg)
{
	struct gc *g = arg;
	const struct gc_image *im = &g->images[g->at++];
	g->call = NULL;
	if (r->code == RPC_OK)
		log_info("Removed an image", LOG_STR("image", im->id),
		         LOG_INT("bytes", im->size_bytes));
	else
		log_warning("Could not remove an image", LOG_STR("image", im->id),
		            LOG_STR("err", r->text));
	remove_next(g);
}

static void remove_next(struct gc *g)
{
	if (g->at == g->n_chosen) {
		end(g);
		return;
	}
	CriV1__ImageSpec spec = CRI_V1__IMAGE_SPEC__INIT;
	CriV1__RemoveImageRequest q = CRI_V1__REMOVE_IMAGE_REQUEST__INIT;
	spec.image = (char *)(uintptr_t)g->images[g->at].id;
	q.image = &spec;
	g->call = cri_call(g->k->cri, CRI_REMOVE_IMAGE, &q, CRI_TIMEOUT_MS, on_removed, g);
}

/* Too little may go: told at once, and as a failure of the collection when it stays so. */
static void tell_short(struct gc *g)
{
	if (g->wanted == UINT64_MAX || g->found >= g->wanted) {
		g->was_short = false;
		return;
	}
	_cleanup_arena_ struct arena a = {0};
	const char *text = arena_printf(
	    &a,
	    "Failed to garbage collect required amount of images. Attempted to free %llu bytes, "
	    "but only found %llu bytes eligible to free.",
	    (unsigned long long)g->wanted, (unsigned long long)g->found);
	node_event(g->k->node, true, "FreeDiskSpaceFailed", "%s", text);
	if (g->was_short)
		node_event(g->k->node, true, "ImageGCFailed", "%s", text);
	g->was_short = true;
}

static void choose(struct gc *g, uint64_t now)
{
	const struct kubelet_config *c = g->k->config;
	struct image_policy p = {
	    .high_percent = c->image_gc_high,
	    .low_percent = c->image_gc_low,
	    .min_age_ms = (uint64_t)c->image_min_age_ms,
	    .max_age_ms = (uint64_t)c->image_max_age_ms,
	};
	struct fs_usage fs = {0};
	if (g->image_fs)
		stats_fs(g->image_fs, &fs);
	g->wanted =
	    g->done ? UINT64_MAX : image_bytes_to_free(&p, fs.capacity_bytes, fs.available_bytes);
	g->n_chosen = images_to_remove(&p, g->images, g->n_images, g->wanted, now, &g->found);
	g->at = 0;
	tell_short(g);
	remove_next(g);
}

static void on_images(const struct cri_result *r, void *arg)
{
	struct gc *g = arg;
	const CriV1__ListImagesResponse *m = (const void *)r->body;
	uint64_t now = clock_mono_ms() + 1;
	g->call = NULL;
	if (!m) {
		end(g);
		return;
	}
	g->mark++;
	g->n_images = 0;
	g->images = arena_array(&g->arena, struct gc_image, m->n_images + 1);
	for (size_t i = 0; i < m->n_images; i++)
		take_image(g, m->images[i], now);
	forget_images(g);
	choose(g, now);
}

static void on_fs(const struct cri_result *r, void *arg)
{
	struct gc *g = arg;
	const CriV1__ImageFsInfoResponse *m = (const void *)r->body;
	if (m && m->n_image_filesystems && m->image_filesystems[0]->fs_id) {
		free(g->image_fs);
		g->image_fs = strdup(m->image_filesystems[0]->fs_id->mountpoint);
	}
	CriV1__ListImagesRequest q = CRI_V1__LIST_IMAGES_REQUEST__INIT;
	g->call = cri_call(g->k->cri, CRI_LIST_IMAGES, &q, CRI_TIMEOUT_MS, on_images, g);
}

static void collect_images(void *arg)
{
	struct gc *g = arg;
	CriV1__ImageFsInfoRequest q = CRI_V1__IMAGE_FS_INFO_REQUEST__INIT;
	if (g->busy)
		return;
	g->busy = true;
	g->call = cri_call(g->k->cri, CRI_IMAGE_FS_INFO, &q, CRI_TIMEOUT_MS, on_fs, g);
}

struct refused {
	loop_fn done;
	void *arg;
};

static void refuse(void *arg)
{
	struct refused r = *(struct refused *)arg;
	free(arg);
	r.done(r.arg);
}

void gc_reclaim(struct gc *g, loop_fn done, void *arg)
{
	if (g->busy) {
		struct refused *r = malloc(sizeof(*r));
		if (!r)
			abort();
		*r = (struct refused){done, arg};
		loop_post(g->k->loop, refuse, r);
		return;
	}
	g->done = done;
	g->arg = arg;
	collect_images(g);
}

/* Folders */

static void remove_folder(void *arg)
{
	char *path = arg;
	if (!mounts_release(path))
		log_warning("An orphaned pod's volumes are still mounted", LOG_STR("path", path));
	mounts_remove_tree(path);
	free(path);
}

static bool is_old(const char *path)
{
	struct stat st;
	return !lstat(path, &st) && S_ISDIR(st.st_mode) &&
	       clock_real_ns() / 1000000000 - st.st_mtim.tv_sec >= FOLDER_AGE_S;
}

/* The uid of a pod's folder: all of the name, or what follows the last '_'. */
static void remove_orphans(struct gc *g, const char *root, bool logs)
{
	DIR *d = opendir(root);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_arena_ struct arena a = {0};
		const char *line = strrchr(e->d_name, '_');
		const char *uid = logs ? (line ? line + 1 : "") : e->d_name;
		if (*e->d_name == '.' || !*uid || pods_find_uid(g->k->pods, uid))
			continue;
		const char *path = arena_printf(&a, "%s/%s", root, e->d_name);
		if (!is_old(path))
			continue;
		log_info("Removing what an orphaned pod left", LOG_STR("path", path));
		worker_post(&g->k->disk, remove_folder, strdup(path));
	}
	if (d)
		closedir(d);
}

static void collect_folders(void *arg)
{
	struct gc *g = arg;
	struct pods *pods = g->k->pods;
	_cleanup_arena_ struct arena a = {0};
	loop_timer_start(&g->folders_timer, pods->synced && pods->listed ? FOLDERS_MS : FIRST_MS);
	/* Before both the apiserver and the runtime have told, everything looks orphaned. */
	if (!pods->synced || !pods->listed)
		return;
	remove_orphans(g, arena_printf(&a, "%s/pods", g->k->config->root_dir), false);
	remove_orphans(g, g->k->config->logs_dir, true);
	cgroups_clean(g->k->cgroups);
	log_links_clean(g->k);
}

/* Life */

struct gc *gc_new(struct kubelet *k)
{
	struct gc *g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	g->k = k;
	k->gc = g;
	map_init(&g->records, 0);
	loop_timer_init(&g->images_timer, k->loop, collect_images, g);
	loop_timer_init(&g->folders_timer, k->loop, collect_folders, g);
	return g;
}

void gc_start(struct gc *g)
{
	loop_timer_start(&g->images_timer, FIRST_MS);
	loop_timer_start(&g->folders_timer, FIRST_MS);
}

void gc_free(struct gc *g)
{
	if (!g)
		return;
	loop_timer_stop(&g->images_timer);
	loop_timer_stop(&g->folders_timer);
	cri_call_drop(g->call);
	MAP_FOREACH (&g->records, it)
		free(it->value);
	map_deinit(&g->records);
	arena_deinit(&g->arena);
	free(g->image_fs);
	free(g);
}
