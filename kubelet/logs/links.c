/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/logs/links.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"

static const char *folder(const struct kubelet *k, struct arena *a)
{
	const char *logs = k->config->logs_dir, *slash = strrchr(logs, '/');
	return arena_printf(a, "%.*s/containers", slash ? (int)(slash - logs) : 1,
	                    slash ? logs : ".");
}

static const char *link_of(const struct pod *p, const struct runtime_container *c, struct arena *a)
{
	return arena_printf(a, "%s/%s_%s_%s-%s.log", folder(p->k, a), p->name, p->ns, c->name,
	                    c->id);
}

void log_links_make(const struct pod *p)
{
	for (size_t i = 0; i < p->rt.n_containers; i++) {
		const struct runtime_container *c = &p->rt.containers[i];
		_cleanup_arena_ struct arena a = {0};
		struct stat st;
		const char *log =
		    arena_printf(&a, "%s/%s/%u.log", pod_log_dir(p, &a), c->name, c->attempt);
		const char *link = link_of(p, c, &a);
		if (!lstat(link, &st) || stat(log, &st))
			continue;
		mkdir(folder(p->k, &a), 0755);
		if (symlink(log, link) && errno != EEXIST)
			log_warning("Could not link to a log", LOG_STR("link", link),
			            LOG_STR("err", strerror(errno)));
	}
}

void log_link_remove(const struct pod *p, const struct runtime_container *c)
{
	_cleanup_arena_ struct arena a = {0};
	unlink(link_of(p, c, &a));
}

void log_links_clean(const struct kubelet *k)
{
	_cleanup_arena_ struct arena a = {0};
	const char *dir = folder(k, &a);
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		const char *path = arena_printf(&a, "%s/%s", dir, e->d_name);
		if (e->d_type == DT_LNK && stat(path, &st) && errno == ENOENT)
			unlink(path);
	}
	if (d)
		closedir(d);
}
