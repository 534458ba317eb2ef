/* SPDX-License-Identifier: Apache-2.0 */
/* Limits in the runtime's words. */
#include <string.h>

#include "kubelet/cgroup/cgroups.h"

static CriV1__LinuxContainerResources *new_resources(struct arena *a)
{
	return CRI_NEW(a, CriV1__LinuxContainerResources, CRI_V1__LINUX_CONTAINER_RESOURCES__INIT);
}

static CriV1__LinuxContainerResources *in_cri(const struct cgroup_limits *l, struct arena *a)
{
	CriV1__LinuxContainerResources *r = new_resources(a);
	r->cpu_shares = (int64_t)l->cpu_shares;
	r->cpu_period = l->cpu_period_us;
	r->cpu_quota = l->cpu_quota_us;
	r->memory_limit_in_bytes = l->memory_bytes;
	return r;
}

static void set_huge(CriV1__LinuxContainerResources *r, const struct cgroup_limits *l,
                     struct arena *a)
{
	r->hugepage_limits = arena_array(a, CriV1__HugepageLimit *, l->n_huge + 1);
	for (size_t i = 0; i < l->n_huge; i++) {
		CriV1__HugepageLimit *h =
		    CRI_NEW(a, CriV1__HugepageLimit, CRI_V1__HUGEPAGE_LIMIT__INIT);
		h->page_size = arena_strdup(a, l->huge[i].size);
		h->limit = l->huge[i].limit_bytes;
		r->hugepage_limits[r->n_hugepage_limits++] = h;
	}
}

CriV1__LinuxContainerResources *
cgroups_container_resources(const struct cgroups *c, const CoreV1__Pod *pod,
                            const CoreV1__Container *k, int64_t memory_capacity, struct arena *a)
{
	struct cgroup_limits l;
	container_limits(k, cgroups_policy(c), &l);
	CriV1__LinuxContainerResources *r = in_cri(&l, a);
	r->oom_score_adj = container_oom_score(pod, k, memory_capacity);
	set_huge(r, &l, a);
	/* All processes of a container end together when its memory runs out. */
	if (cgroups_tree(c)->version == 2 && !cgroups_one_dies(c))
		cri_pair_add(a, &cri_v1__linux_container_resources__unified_entry__descriptor,
		             &r->unified, &r->n_unified, "memory.oom.group", "1");
	return r;
}

CriV1__LinuxContainerResources *cgroups_sandbox_resources(const struct cgroups *c,
                                                          const CoreV1__Pod *pod, struct arena *a)
{
	struct cgroup_limits l;
	pod_limits(pod, cgroups_policy(c), &l);
	return in_cri(&l, a);
}
