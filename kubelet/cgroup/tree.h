/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The machine's cgroup hierarchies as folders and files: version 1 (one a controller) or version 2
 * (one for all). All paths come from a mountinfo text, so that tests work on plain folders. Paths
 * of cgroups begin with '/' and are relative to the mount points. */
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "kubelet/cgroup/limits.h"

enum { CGROUP_MOUNTS_MAX = 20 };

struct cgroup_mount {
	char controllers[64]; /* "cpu,cpuacct"; "name=systemd"; "" for version 2, also beside
	                         version 1 */
	char path[256];       /* where it is mounted */
};

struct cgroup_tree {
	int version; /* 1 or 2; 0: none was found */
	struct cgroup_mount mounts[CGROUP_MOUNTS_MAX];
	size_t n;
};

/* Reads /proc/self/mountinfo (or such a text). A machine with hierarchies of version 1 that carry
 * controllers is version 1, also when a bare one of version 2 lies beside them; that one is then a
 * hierarchy without controllers. */
void cgroup_tree_parse(struct cgroup_tree *t, const char *mountinfo);
int cgroup_tree_find(struct cgroup_tree *t, struct err *err);
/* Where the controller's hierarchy is mounted; NULL: it is not there. */
const char *cgroup_tree_mount(const struct cgroup_tree *t, const char *controller);

/* Makes the cgroup with its parents in every hierarchy. */
int cgroup_tree_make(const struct cgroup_tree *t, const char *path, struct err *err);
/* When the cgroup, or one below it, was made or removed last: seconds since 1970, 0: not there. */
int64_t cgroup_tree_changed(const struct cgroup_tree *t, const char *path);
bool cgroup_tree_has(const struct cgroup_tree *t, const char *path);
/* Writes the limits; what a machine has no controller for is left out. Goes on after a failure and
 * tells the first. */
int cgroup_tree_apply(const struct cgroup_tree *t, const char *path, const struct cgroup_limits *l,
                      struct err *err);
/* Removes the cgroup and those below it; one with processes stays (-ERR_CONFLICT). */
int cgroup_tree_remove(const struct cgroup_tree *t, const char *path, struct err *err);
/* Calls fn with the name of each child of the cgroup in any hierarchy, each once. */
void cgroup_tree_children(const struct cgroup_tree *t, const char *path,
                          void (*fn)(const char *name, void *arg), void *arg);
/* The file's text in out; false: cannot be read. */
bool cgroup_tree_read(const struct cgroup_tree *t, const char *controller, const char *path,
                      const char *file, struct buf *out);
/* A file of one number ("max": INT64_MAX); fallback when it cannot be read. */
int64_t cgroup_tree_number(const struct cgroup_tree *t, const char *controller, const char *path,
                           const char *file, int64_t fallback);
/* The line "key value" of a file such as memory.stat; 0 when there is none. */
int64_t cgroup_text_value(const char *text, const char *key);

/* What a cgroup has used. has_x false: not readable. */
struct cgroup_usage {
	bool has_cpu, has_memory, has_pids, has_swap;
	uint64_t cpu_ns;
	uint64_t memory_bytes, working_set_bytes, rss_bytes, page_faults, major_faults;
	uint64_t memory_limit_bytes; /* 0: none */
	uint64_t swap_bytes;
	uint64_t pids;
	uint64_t oom_kills;
};
void cgroup_tree_usage(const struct cgroup_tree *t, const char *path, struct cgroup_usage *ret);
