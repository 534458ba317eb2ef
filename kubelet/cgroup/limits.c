/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/cgroup/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec/quantity.h"
#include "kubelet/core/plan.h"
#include "kubelet/core/resources.h"
#include "kubelet/core/status.h"

enum { PRIORITY_CRITICAL = 2000000000, SCORE_GUARANTEED = -997, SCORE_BEST_EFFORT = 1000 };

uint64_t cpu_shares_of(int64_t milli)
{
	uint64_t shares = milli > 0 ? (uint64_t)milli * 1024 / 1000 : 0;
	return MIN(MAX(shares, (uint64_t)CPU_SHARES_MIN), (uint64_t)CPU_SHARES_MAX);
}

int64_t cpu_quota_of(int64_t milli, int64_t period_us)
{
	if (milli <= 0)
		return 0;
	return MAX(milli * period_us / 1000, (int64_t)CPU_QUOTA_MIN_US);
}

uint64_t cpu_weight_of(uint64_t shares)
{
	shares = MIN(MAX(shares, (uint64_t)CPU_SHARES_MIN), (uint64_t)CPU_SHARES_MAX);
	return 1 + (shares - 2) * 9999 / 262142;
}

bool huge_size_name(const char *resource, char out[16])
{
	if (strncmp(resource, "hugepages-", 10))
		return false;
	struct quantity q = quantity_of(resource + 10);
	int64_t bytes = quantity_value(&q);
	static const char *const units[] = {"KB", "MB", "GB"};
	if (bytes < 1024 || bytes > (int64_t)1 << 40)
		return false;
	bytes /= 1024;
	size_t u = 0;
	for (; u < 2 && bytes >= 1024 && bytes % 1024 == 0; u++)
		bytes /= 1024;
	snprintf(out, 16, "%u%s", (unsigned)bytes, units[u]);
	return true;
}

/* Requests and limits */

static int64_t in_unit(const char *resource, const struct quantity *q)
{
	return !strcmp(resource, "cpu") ? quantity_milli(q) : quantity_value(q);
}

static int64_t of_container(const CoreV1__Container *c, bool limit, const char *resource)
{
	struct quantity q = quantity_of(container_resource(c->resources, limit, resource));
	return in_unit(resource, &q);
}

int64_t container_request_of(const CoreV1__Container *c, const char *resource)
{
	return of_container(c, false, resource);
}

int64_t container_limit_of(const CoreV1__Container *c, const char *resource)
{
	return of_container(c, true, resource);
}

int64_t pod_request_of(const CoreV1__Pod *pod, const char *resource)
{
	struct quantity q;
	return pod_resource(pod, false, resource, &q) ? in_unit(resource, &q) : 0;
}

int64_t pod_limit_of(const CoreV1__Pod *pod, const char *resource)
{
	struct quantity q;
	return pod_resource(pod, true, resource, &q) ? in_unit(resource, &q) : 0;
}

/* Limits */

static int64_t period_of(const struct cgroup_policy *p)
{
	return p->cpu_period_us > 0 ? p->cpu_period_us : CPU_PERIOD_US;
}

static void set_quota(struct cgroup_limits *l, int64_t milli, const struct cgroup_policy *p)
{
	if (milli <= 0)
		return;
	l->cpu_period_us = period_of(p);
	l->cpu_quota_us = p->cpu_quota ? cpu_quota_of(milli, l->cpu_period_us) : -1;
}

/* Each page size of the machine gets its limit, which is nothing for sizes not asked for. */
static void set_huge(struct cgroup_limits *l, const struct cgroup_policy *p)
{
	for (size_t i = 0; i < p->n_huge_sizes; i++) {
		snprintf(l->huge[i].size, sizeof(l->huge[i].size), "%s", p->huge_sizes[i]);
		l->huge[i].limit_bytes = 0;
	}
	l->n_huge = p->n_huge_sizes;
}

static void add_huge(struct cgroup_limits *l, const CoreV1__ResourceRequirements *r)
{
	for (size_t i = 0; r && i < r->n_limits; i++) {
		char name[16];
		if (!huge_size_name(r->limits[i]->key, name) || !r->limits[i]->value)
			continue;
		struct quantity q = quantity_of(r->limits[i]->value->string);
		for (size_t k = 0; k < l->n_huge; k++)
			if (!strcmp(l->huge[k].size, name))
				l->huge[k].limit_bytes += (uint64_t)quantity_value(&q);
	}
}

void pod_limits(const CoreV1__Pod *pod, const struct cgroup_policy *policy,
                struct cgroup_limits *ret)
{
	const char *qos = pod_qos_class(pod);
	*ret = (struct cgroup_limits){.cpu_shares = CPU_SHARES_MIN};
	if (strcmp(qos, "BestEffort")) {
		ret->cpu_shares = cpu_shares_of(pod_request_of(pod, "cpu"));
		set_quota(ret, pod_limit_of(pod, "cpu"), policy);
		ret->memory_bytes = pod_limit_of(pod, "memory");
	}
	if (policy->pids > 0)
		ret->pids = policy->pids;
	set_huge(ret, policy);
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		add_huge(ret, pod->spec->containers[i]->resources);
}

void container_limits(const CoreV1__Container *c, const struct cgroup_policy *policy,
                      struct cgroup_limits *ret)
{
	int64_t request = container_request_of(c, "cpu"), limit = container_limit_of(c, "cpu");
	*ret = (struct cgroup_limits){
	    .cpu_shares = cpu_shares_of(!request && limit ? limit : request),
	    .memory_bytes = container_limit_of(c, "memory"),
	};
	set_quota(ret, limit, policy);
	set_huge(ret, policy);
	add_huge(ret, c->resources);
}

/* Out of memory */

static bool is_static(const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *m = pod->metadata;
	for (size_t i = 0; i < m->n_annotations; i++) {
		const MetaV1__ObjectMeta__AnnotationsEntry *e = m->annotations[i];
		if (!strcmp(e->key, "kubernetes.io/config.mirror") ||
		    (!strcmp(e->key, "kubernetes.io/config.source") && strcmp(e->value, "api")))
			return true;
	}
	return false;
}

bool pod_is_critical(const CoreV1__Pod *pod)
{
	return is_static(pod) ||
	       (pod->spec->has_priority && pod->spec->priority >= PRIORITY_CRITICAL);
}

bool pod_is_node_critical(const CoreV1__Pod *pod)
{
	const char *class = pod->spec->priority_class_name;
	return pod_is_critical(pod) &&
	       (is_static(pod) || (class && !strcmp(class, "system-node-critical")));
}

static bool is_sidecar_of(const CoreV1__PodSpec *s, const CoreV1__Container *c)
{
	for (size_t i = 0; i < s->n_init_containers; i++)
		if (!strcmp(s->init_containers[i]->name, c->name))
			return container_is_sidecar(s->init_containers[i]);
	return false;
}

/* What a container counts with: its request and an equal part of what the pod asks beyond. */
static int64_t burstable_score(const CoreV1__Pod *pod, const CoreV1__Container *c, int64_t capacity)
{
	const CoreV1__PodSpec *s = pod->spec;
	int64_t bytes = container_request_of(c, "memory"), of_all = 0;
	struct quantity own = quantity_of(container_resource(s->resources, false, "memory"));
	for (size_t i = 0; i < s->n_containers; i++)
		of_all += container_request_of(s->containers[i], "memory");
	if (s->n_containers && quantity_value(&own) > of_all)
		bytes += (quantity_value(&own) - of_all) / (int64_t)s->n_containers;
	int64_t score = 1000 - (capacity > 0 ? 1000 * bytes / capacity : 0);
	if (score < 1000 + SCORE_GUARANTEED)
		score = 1000 + SCORE_GUARANTEED;
	return score == SCORE_BEST_EFFORT ? score - 1 : score;
}

int64_t container_oom_score(const CoreV1__Pod *pod, const CoreV1__Container *c,
                            int64_t memory_capacity)
{
	if (pod_is_node_critical(pod))
		return SCORE_GUARANTEED;
	const char *qos = pod_qos_class(pod);
	if (!strcmp(qos, "Guaranteed"))
		return SCORE_GUARANTEED;
	if (!strcmp(qos, "BestEffort"))
		return SCORE_BEST_EFFORT;
	int64_t score = burstable_score(pod, c, memory_capacity);
	if (!is_sidecar_of(pod->spec, c))
		return score;
	/* A sidecar does not go before the containers that it serves. */
	for (size_t i = 0; i < pod->spec->n_containers; i++)
		score = MIN(score, burstable_score(pod, pod->spec->containers[i], memory_capacity));
	return score;
}
