/* SPDX-License-Identifier: Apache-2.0 */
/* What a cgroup has used, by the files of either version. */
#include <string.h>

#include "kubelet/cgroup/tree.h"

/* From here on a limit of version 1 means "none". */
static const int64_t unlimited_bytes = INT64_MAX / 2;

static void working_set(struct cgroup_usage *u, int64_t inactive_file)
{
	u->working_set_bytes = u->memory_bytes > (uint64_t)inactive_file
	                           ? u->memory_bytes - (uint64_t)inactive_file
	                           : 0;
}

static void memory_v1(const struct cgroup_tree *t, const char *path, struct cgroup_usage *u)
{
	_cleanup_buf_ struct buf stat = BUF_INIT;
	int64_t used = cgroup_tree_number(t, "memory", path, "memory.usage_in_bytes", -1);
	if (used < 0 || !cgroup_tree_read(t, "memory", path, "memory.stat", &stat))
		return;
	const char *text = (const char *)stat.data;
	u->has_memory = true;
	u->memory_bytes = (uint64_t)used;
	u->rss_bytes = (uint64_t)cgroup_text_value(text, "total_rss");
	u->page_faults = (uint64_t)cgroup_text_value(text, "total_pgfault");
	u->major_faults = (uint64_t)cgroup_text_value(text, "total_pgmajfault");
	working_set(u, cgroup_text_value(text, "total_inactive_file"));
	int64_t limit = cgroup_tree_number(t, "memory", path, "memory.limit_in_bytes", 0);
	u->memory_limit_bytes = limit < unlimited_bytes ? (uint64_t)limit : 0;
	int64_t with_swap =
	    cgroup_tree_number(t, "memory", path, "memory.memsw.usage_in_bytes", -1);
	u->has_swap = with_swap >= 0;
	u->swap_bytes = with_swap > used ? (uint64_t)(with_swap - used) : 0;
	if (cgroup_tree_read(t, "memory", path, "memory.oom_control", &stat))
		u->oom_kills = (uint64_t)cgroup_text_value((const char *)stat.data, "oom_kill");
}

static void memory_v2(const struct cgroup_tree *t, const char *path, struct cgroup_usage *u)
{
	_cleanup_buf_ struct buf stat = BUF_INIT;
	int64_t used = cgroup_tree_number(t, "memory", path, "memory.current", -1);
	if (!cgroup_tree_read(t, "memory", path, "memory.stat", &stat))
		return;
	const char *text = (const char *)stat.data;
	u->has_memory = true;
	u->rss_bytes = (uint64_t)cgroup_text_value(text, "anon");
	/* The root has no memory.current. */
	u->memory_bytes =
	    used >= 0 ? (uint64_t)used : u->rss_bytes + (uint64_t)cgroup_text_value(text, "file");
	u->page_faults = (uint64_t)cgroup_text_value(text, "pgfault");
	u->major_faults = (uint64_t)cgroup_text_value(text, "pgmajfault");
	working_set(u, cgroup_text_value(text, "inactive_file"));
	int64_t limit = cgroup_tree_number(t, "memory", path, "memory.max", INT64_MAX);
	u->memory_limit_bytes = limit < unlimited_bytes ? (uint64_t)limit : 0;
	int64_t swap = cgroup_tree_number(t, "memory", path, "memory.swap.current", -1);
	u->has_swap = swap >= 0;
	u->swap_bytes = swap > 0 ? (uint64_t)swap : 0;
	if (cgroup_tree_read(t, "memory", path, "memory.events", &stat))
		u->oom_kills = (uint64_t)cgroup_text_value((const char *)stat.data, "oom_kill");
}

void cgroup_tree_usage(const struct cgroup_tree *t, const char *path, struct cgroup_usage *ret)
{
	*ret = (struct cgroup_usage){0};
	if (t->version == 2) {
		_cleanup_buf_ struct buf stat = BUF_INIT;
		memory_v2(t, path, ret);
		if (cgroup_tree_read(t, "cpu", path, "cpu.stat", &stat)) {
			ret->has_cpu = true;
			ret->cpu_ns =
			    (uint64_t)cgroup_text_value((const char *)stat.data, "usage_usec") *
			    1000;
		}
	} else {
		memory_v1(t, path, ret);
		int64_t ns = cgroup_tree_number(t, "cpuacct", path, "cpuacct.usage", -1);
		ret->has_cpu = ns >= 0;
		ret->cpu_ns = ns > 0 ? (uint64_t)ns : 0;
	}
	int64_t pids = cgroup_tree_number(t, "pids", path, "pids.current", -1);
	ret->has_pids = pids >= 0;
	ret->pids = pids > 0 ? (uint64_t)pids : 0;
}
