/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/cgroup/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/map.h"

enum { PATH_BYTES = 1024, FILE_BYTES_MAX = 64 << 10, DEPTH_MAX = 16 };

/* Too long a path is cut and then names nothing. */
_printf_(2, 3) static void path_set(char out[PATH_BYTES], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(out, PATH_BYTES, fmt, ap) >= PATH_BYTES)
		*out = 0;
	va_end(ap);
}

/* Finding the hierarchies */

static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
		if (!strncmp(p, word, n) && (!p[n] || p[n] == ','))
			return true;
	}
	return false;
}

/* Of a super block's options the names of controllers. */
static void controllers_of(const char *options, char out[64])
{
	static const char *const known[] = {"cpu",     "cpuacct", "cpuset",     "memory",
	                                    "pids",    "devices", "freezer",    "blkio",
	                                    "hugetlb", "net_cls", "perf_event", "name=systemd"};
	*out = 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (list_has(options, known[i])) {
			size_t n = strlen(out);
			snprintf(out + n, 64 - n, "%s%s", n ? "," : "", known[i]);
		}
}

/* "36 35 98:0 /root /mount/point options [optional]... - type source super-options" */
static void parse_line(struct cgroup_tree *t, char *line, struct cgroup_mount *unified)
{
	char *rest = strstr(line, " - "), *save = NULL;
	if (!rest)
		return;
	*rest = 0;
	rest += 3;
	char *mount = strtok_r(line, " ", &save);
	for (int i = 0; mount && i < 4; i++)
		mount = strtok_r(NULL, " ", &save);
	char *type = strtok_r(rest, " ", &save);
	char *source = strtok_r(NULL, " ", &save);
	char *options = strtok_r(NULL, " ", &save);
	if (!mount || !type || !source || !options || strlen(mount) >= sizeof(unified->path))
		return;
	if (!strcmp(type, "cgroup2") && !*unified->path)
		snprintf(unified->path, sizeof(unified->path), "%s", mount);
	if (strcmp(type, "cgroup") || t->n == CGROUP_MOUNTS_MAX)
		return;
	struct cgroup_mount m;
	controllers_of(options, m.controllers);
	snprintf(m.path, sizeof(m.path), "%s", mount);
	if (!*m.controllers)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->mounts[i].controllers, m.controllers))
			return; /* mounted twice */
	t->mounts[t->n++] = m;
}

void cgroup_tree_parse(struct cgroup_tree *t, const char *mountinfo)
{
	_cleanup_arena_ struct arena a = {0};
	struct cgroup_mount unified = {{0}, {0}};
	char *save = NULL, *text = arena_strdup(&a, mountinfo);
	*t = (struct cgroup_tree){0};
	for (char *line; (line = strtok_r(text, "\n", &save)); text = NULL)
		parse_line(t, line, &unified);
	if (cgroup_tree_mount(t, "memory") || cgroup_tree_mount(t, "cpu")) {
		t->version = 1;
		/* A bare one of version 2 beside them: runtimes make their cgroups there too. */
		if (*unified.path && t->n < CGROUP_MOUNTS_MAX)
			t->mounts[t->n++] = unified;
	} else if (*unified.path) {
		t->version = 2;
		t->n = 1;
		t->mounts[0] = unified;
	} else {
		t->n = 0;
	}
}

static bool read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	buf_clear(out);
	for (;;) {
		buf_reserve(out, 4097);
		ssize_t n = read(fd, out->data + out->len, 4096);
		if (n < 0)
			out->len = 0;
		if (n <= 0 || out->len > FILE_BYTES_MAX)
			break;
		out->len += (size_t)n;
	}
	close(fd);
	buf_byte(out, 0);
	out->len--;
	return true;
}

int cgroup_tree_find(struct cgroup_tree *t, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	*t = (struct cgroup_tree){0};
	if (!read_file("/proc/self/mountinfo", &text))
		return err_set(err, ERR_IO, "cannot read /proc/self/mountinfo: %s",
		               strerror(errno));
	cgroup_tree_parse(t, (const char *)text.data);
	return t->version ? 0 : err_set(err, ERR_NOT_FOUND, "no cgroup hierarchy is mounted");
}

const char *cgroup_tree_mount(const struct cgroup_tree *t, const char *controller)
{
	if (t->version == 2)
		return t->mounts[0].path;
	for (size_t i = 0; i < t->n; i++)
		if (list_has(t->mounts[i].controllers, controller))
			return t->mounts[i].path;
	return NULL;
}

/* Making */

static int write_file(const char *path, const char *value, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", path, strerror(errno));
	ssize_t n = write(fd, value, strlen(value));
	int e = errno;
	close(fd);
	return n < 0 ? err_set(err, ERR_IO, "write %s to %s: %s", value, path, strerror(e)) : 0;
}

/* A new cpuset of version 1 is empty and takes no process: it gets what its parent has. */
static void inherit_cpuset(const char *parent, const char *child)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	_cleanup_buf_ struct buf text = BUF_INIT;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[PATH_BYTES];
		path_set(path, "%s/%s", child, files[i]);
		if (!read_file(path, &text) || (text.len && text.data[0] != '\n'))
			continue;
		char from[PATH_BYTES];
		path_set(from, "%s/%s", parent, files[i]);
		if (read_file(from, &text) && text.len)
			ERR_IGNORE(
			    write_file(path, (const char *)text.data, NULL)); /* best effort */
	}
}

/* Children of a cgroup of version 2 have the controllers that their parent hands down. */
static void hand_down(const char *parent)
{
	static const char *const wanted[] = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb"};
	char path[PATH_BYTES], value[32];
	_cleanup_buf_ struct buf has = BUF_INIT;
	path_set(path, "%s/cgroup.controllers", parent);
	if (!read_file(path, &has))
		return;
	for (char *c = (char *)has.data; *c; c++)
		*c = *c == ' ' || *c == '\n' ? ',' : *c;
	path_set(path, "%s/cgroup.subtree_control", parent);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (list_has((const char *)has.data, wanted[i])) {
			snprintf(value, sizeof(value), "+%s", wanted[i]);
			ERR_IGNORE(write_file(path, value, NULL)); /* one by one: each may fail */
		}
}

static int make_in(const struct cgroup_tree *t, const struct cgroup_mount *m, const char *path,
                   struct err *err)
{
	char at[PATH_BYTES];
	size_t n = strlen(m->path);
	memcpy(at, m->path, n + 1);
	bool cpuset = list_has(m->controllers, "cpuset");
	for (const char *p = path; *p;) {
		const char *end = strchrnul(p + 1, '/');
		char parent[PATH_BYTES];
		memcpy(parent, at, n + 1);
		if (n + (size_t)(end - p) >= sizeof(at))
			return err_set(err, ERR_LIMIT, "the cgroup path %s is too long", path);
		memcpy(at + n, p, (size_t)(end - p));
		n += (size_t)(end - p);
		at[n] = 0;
		if (t->version == 2)
			hand_down(parent);
		if (mkdir(at, 0755) && errno != EEXIST)
			return err_set(err, ERR_IO, "mkdir %s: %s", at, strerror(errno));
		if (cpuset)
			inherit_cpuset(parent, at);
		p = end;
	}
	return 0;
}

int cgroup_tree_make(const struct cgroup_tree *t, const char *path, struct err *err)
{
	for (size_t i = 0; i < t->n; i++) {
		int r = make_in(t, &t->mounts[i], path, err);
		if (r)
			return r;
	}
	return 0;
}

int64_t cgroup_tree_changed(const struct cgroup_tree *t, const char *path)
{
	int64_t newest = 0;
	for (size_t i = 0; i < t->n; i++) {
		char at[PATH_BYTES];
		struct stat st;
		path_set(at, "%s%s", t->mounts[i].path, path);
		if (!stat(at, &st))
			newest = MAX(newest, (int64_t)st.st_mtim.tv_sec);
	}
	return newest;
}

bool cgroup_tree_has(const struct cgroup_tree *t, const char *path)
{
	char at[PATH_BYTES];
	struct stat st;
	for (size_t i = 0; i < t->n; i++) {
		path_set(at, "%s%s", t->mounts[i].path, path);
		if (stat(at, &st))
			return false;
	}
	return t->n > 0;
}

int cgroup_tree_apply(const struct cgroup_tree *t, const char *path, const struct cgroup_limits *l,
                      struct err *err)
{
	struct cgroup_write writes[CGROUP_WRITES_MAX];
	size_t n = cgroup_writes(t->version, l, writes);
	int first = 0;
	for (size_t i = 0; i < n; i++) {
		const char *mount = cgroup_tree_mount(t, writes[i].controller);
		char file[PATH_BYTES];
		if (!mount)
			continue;
		path_set(file, "%s%s/%s", mount, path, writes[i].file);
		if (access(file, F_OK))
			continue; /* the kernel has no such control */
		int r = write_file(file, writes[i].value, first ? NULL : err);
		first = first ? first : r;
	}
	return first;
}

/* Removing */

static int remove_below(const char *path, int depth)
{
	DIR *d = depth < DEPTH_MAX ? opendir(path) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		char child[PATH_BYTES];
		if (e->d_type != DT_DIR || *e->d_name == '.')
			continue;
		path_set(child, "%s/%s", path, e->d_name);
		remove_below(child, depth + 1);
	}
	if (d)
		closedir(d);
	return rmdir(path);
}

int cgroup_tree_remove(const struct cgroup_tree *t, const char *path, struct err *err)
{
	int r = 0;
	for (size_t i = 0; i < t->n; i++) {
		char at[PATH_BYTES];
		path_set(at, "%s%s", t->mounts[i].path, path);
		if (remove_below(at, 0) && errno != ENOENT)
			r = err_set(err, ERR_CONFLICT, "rmdir %s: %s", at, strerror(errno));
	}
	return r;
}

/* Reading */

void cgroup_tree_children(const struct cgroup_tree *t, const char *path,
                          void (*fn)(const char *name, void *arg), void *arg)
{
	struct map seen;
	map_init(&seen, 0);
	for (size_t i = 0; i < t->n; i++) {
		char at[PATH_BYTES];
		path_set(at, "%s%s", t->mounts[i].path, path);
		DIR *d = opendir(at);
		for (struct dirent *e; d && (e = readdir(d));)
			if (e->d_type == DT_DIR && *e->d_name != '.' &&
			    !map_get_str(&seen, e->d_name)) {
				map_put_str(&seen, e->d_name, &seen);
				fn(e->d_name, arg);
			}
		if (d)
			closedir(d);
	}
	map_deinit(&seen);
}

bool cgroup_tree_read(const struct cgroup_tree *t, const char *controller, const char *path,
                      const char *file, struct buf *out)
{
	const char *mount = cgroup_tree_mount(t, controller);
	char at[PATH_BYTES];
	if (!mount)
		return false;
	path_set(at, "%s%s/%s", mount, path, file);
	return read_file(at, out);
}

int64_t cgroup_tree_number(const struct cgroup_tree *t, const char *controller, const char *path,
                           const char *file, int64_t fallback)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	if (!cgroup_tree_read(t, controller, path, file, &text) || !text.len)
		return fallback;
	if (!strncmp((const char *)text.data, "max", 3))
		return INT64_MAX;
	return strtoll((const char *)text.data, NULL, 10);
}

int64_t cgroup_text_value(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, key, n) && p[n] == ' ')
			return strtoll(p + n + 1, NULL, 10);
	return 0;
}
