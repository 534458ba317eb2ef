/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups and what is written into their files. */
#include <stdio.h>
#include <string.h>

#include "kubelet/cgroup/limits.h"

enum { PARTS_MAX = 32 };

static char *replaced(const char *s, char from, char to, struct arena *a)
{
	char *r = arena_strdup(a, s);
	for (char *c = r; *c; c++)
		*c = *c == from ? to : *c;
	return r;
}

/* "/a/b", "a", "b-c" -> "/a.slice/a-b.slice/...": each slice names all those above it. */
static const char *systemd_path(const char *const *parts, size_t n, struct arena *a)
{
	const char *path = "", *name = "";
	for (size_t i = 0; i < n; i++) {
		const char *part = replaced(parts[i], '-', '_', a);
		name = *name ? arena_printf(a, "%s-%s", name, part) : part;
		path = arena_printf(a, "%s/%s.slice", path, name);
	}
	return path;
}

const char *cgroup_path(enum cgroup_driver driver, const char *root, const char *qos,
                        const char *uid, struct arena *a)
{
	const char *parts[PARTS_MAX];
	size_t n = 0;
	char *save = NULL, *copy = arena_strdup(a, root);
	for (char *p; n < PARTS_MAX - 3 && (p = strtok_r(copy, "/", &save)); copy = NULL)
		parts[n++] = p;
	parts[n++] = "kubepods";
	if (qos && !strcmp(qos, "BestEffort"))
		parts[n++] = "besteffort";
	else if (qos && !strcmp(qos, "Burstable"))
		parts[n++] = "burstable";
	if (uid)
		parts[n++] = arena_printf(a, "pod%s", uid);
	if (driver == CGROUP_SYSTEMD)
		return systemd_path(parts, n, a);
	const char *path = "";
	for (size_t i = 0; i < n; i++)
		path = arena_printf(a, "%s/%s", path, parts[i]);
	return path;
}

const char *cgroup_path_uid(enum cgroup_driver driver, const char *name, struct arena *a)
{
	if (driver == CGROUP_CGROUPFS)
		return !strncmp(name, "pod", 3) && name[3] ? arena_strdup(a, name + 3) : NULL;
	const char *pod = strrchr(name, '-');
	size_t n = strlen(name);
	if (!pod || strncmp(pod, "-pod", 4) || n < 7 || strcmp(name + n - 6, ".slice"))
		return NULL;
	char *uid = arena_strndup(a, pod + 4, (size_t)(name + n - 6 - (pod + 4)));
	return replaced(uid, '_', '-', a);
}

/* Files */

struct writer {
	struct cgroup_write *out;
	size_t n;
};

static char *add(struct writer *w, const char *controller, const char *file)
{
	struct cgroup_write *x = &w->out[w->n++];
	x->controller = controller;
	snprintf(x->file, sizeof(x->file), "%s", file);
	return x->value;
}

static void add_number(struct writer *w, const char *controller, const char *file, int64_t v,
                       const char *none)
{
	char *value = add(w, controller, file);
	if (v < 0)
		snprintf(value, 64, "%s", none);
	else
		snprintf(value, 64, "%lld", (long long)v);
}

static void add_huge(struct writer *w, const struct cgroup_limits *l, const char *suffix)
{
	for (size_t i = 0; i < l->n_huge; i++) {
		char file[48];
		snprintf(file, sizeof(file), "hugetlb.%s.%s", l->huge[i].size, suffix);
		snprintf(add(w, "hugetlb", file), 64, "%llu",
		         (unsigned long long)l->huge[i].limit_bytes);
	}
}

static size_t writes_v1(const struct cgroup_limits *l, struct writer w)
{
	if (l->cpu_shares)
		add_number(&w, "cpu", "cpu.shares", (int64_t)l->cpu_shares, "");
	if (l->cpu_period_us)
		add_number(&w, "cpu", "cpu.cfs_period_us", l->cpu_period_us, "");
	if (l->cpu_quota_us)
		add_number(&w, "cpu", "cpu.cfs_quota_us", l->cpu_quota_us, "-1");
	if (l->memory_bytes)
		add_number(&w, "memory", "memory.limit_in_bytes", l->memory_bytes, "-1");
	if (l->pids)
		add_number(&w, "pids", "pids.max", l->pids, "max");
	add_huge(&w, l, "limit_in_bytes");
	return w.n;
}

static size_t writes_v2(const struct cgroup_limits *l, struct writer w)
{
	if (l->cpu_shares)
		add_number(&w, "cpu", "cpu.weight", (int64_t)cpu_weight_of(l->cpu_shares), "");
	if (l->cpu_quota_us) {
		char *value = add(&w, "cpu", "cpu.max");
		int64_t period = l->cpu_period_us ? l->cpu_period_us : CPU_PERIOD_US;
		if (l->cpu_quota_us < 0)
			snprintf(value, 64, "max %lld", (long long)period);
		else
			snprintf(value, 64, "%lld %lld", (long long)l->cpu_quota_us,
			         (long long)period);
	}
	if (l->memory_bytes)
		add_number(&w, "memory", "memory.max", l->memory_bytes, "max");
	if (l->pids)
		add_number(&w, "pids", "pids.max", l->pids, "max");
	add_huge(&w, l, "max");
	return w.n;
}

size_t cgroup_writes(int version, const struct cgroup_limits *l,
                     struct cgroup_write out[CGROUP_WRITES_MAX])
{
	struct writer w = {out, 0};
	return version == 2 ? writes_v2(l, w) : writes_v1(l, w);
}
