/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a pod or a container may use, as numbers of the kernel: functions from the pod's spec to
 * cgroup limits, names of cgroups and out-of-memory scores (kubelet cm/helpers_linux.go,
 * cm/pod_container_manager_linux.go, qos/policy.go; component-helpers/resource). Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/vec.h"
#include "proto/core_v1.pb-c.h"

enum {
	CPU_SHARES_MIN = 2,
	CPU_SHARES_MAX = 262144,
	CPU_PERIOD_US = 100000,
	CPU_QUOTA_MIN_US = 1000,
	HUGE_SIZES_MAX = 8
};

/* Zero fields are left alone; -1 lifts the limit. */
struct cgroup_limits {
	uint64_t cpu_shares;
	int64_t cpu_quota_us, cpu_period_us;
	int64_t memory_bytes;
	int64_t pids;
	/* Page sizes as the kernel names them ("2MB") with their limits. */
	struct {
		char size[16];
		uint64_t limit_bytes;
	} huge[HUGE_SIZES_MAX];
	size_t n_huge;
};

/* What of the kubelet's configuration counts. */
struct cgroup_policy {
	bool cpu_quota;                         /* --cpu-cfs-quota */
	int64_t cpu_period_us;                  /* 0: CPU_PERIOD_US */
	int64_t pids;                           /* --pod-max-pids; <= 0: no limit */
	const char *huge_sizes[HUGE_SIZES_MAX]; /* of this machine, as the kernel names them */
	size_t n_huge_sizes;
};

uint64_t cpu_shares_of(int64_t milli);
int64_t cpu_quota_of(int64_t milli, int64_t period_us);
/* cpu.weight of cgroup v2: [2, 262144] to [1, 10000]. */
uint64_t cpu_weight_of(uint64_t shares);
/* "hugepages-2Mi" as the kernel names it: "2MB"; false when it is no such resource. */
bool huge_size_name(const char *resource, char out[16]);

/* Of a whole pod (core/resources.h); cpu in thousandths, others in units. A limit is 0 when a
 * container has none. */
int64_t pod_request_of(const CoreV1__Pod *pod, const char *resource);
int64_t pod_limit_of(const CoreV1__Pod *pod, const char *resource);
int64_t container_request_of(const CoreV1__Container *c, const char *resource);
int64_t container_limit_of(const CoreV1__Container *c, const char *resource);

/* Of the pod's own cgroup. */
void pod_limits(const CoreV1__Pod *pod, const struct cgroup_policy *policy,
                struct cgroup_limits *ret);
/* Of one container; cpu shares follow the limit when no request is made. */
void container_limits(const CoreV1__Container *c, const struct cgroup_policy *policy,
                      struct cgroup_limits *ret);
/* How early the kernel may choose its processes when memory runs out. */
int64_t container_oom_score(const CoreV1__Pod *pod, const CoreV1__Container *c,
                            int64_t memory_capacity);
/* Static and mirror pods, and those of priority class system-node-critical. */
bool pod_is_node_critical(const CoreV1__Pod *pod);
/* The same with system-cluster-critical: priority of 2,000,000,000 and up. */
bool pod_is_critical(const CoreV1__Pod *pod);

/* --- names --- */

enum cgroup_driver { CGROUP_CGROUPFS, CGROUP_SYSTEMD };

/* The path below the hierarchy's root; qos NULL: of all pods, uid NULL: of the class.
 * "/kubepods/burstable/pod<uid>", "/kubepods.slice/kubepods-burstable.slice/
 * kubepods-burstable-pod<uid with underscores>.slice". Guaranteed pods have no folder of a class.
 * root: --cgroup-root. */
const char *cgroup_path(enum cgroup_driver driver, const char *root, const char *qos,
                        const char *uid, struct arena *a);
/* The uid in the last part of such a path, or NULL. */
const char *cgroup_path_uid(enum cgroup_driver driver, const char *name, struct arena *a);

/* --- files --- */

struct cgroup_write {
	const char *controller; /* "cpu"; of version 1 its hierarchy */
	char file[48];
	char value[64];
};
enum { CGROUP_WRITES_MAX = 8 + HUGE_SIZES_MAX };
/* What to write into the files of a cgroup of version 1 or 2, in order; how many. */
size_t cgroup_writes(int version, const struct cgroup_limits *l,
                     struct cgroup_write out[CGROUP_WRITES_MAX]);
