/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/cgroup/cgroups.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/core/status.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"

enum { RETRY_MS = 1000, RETRIES_MAX = 60, CLEAN_AGE_S = 30 };

struct cgroups {
	struct kubelet *k;
	struct arena arena;
	struct cgroup_tree tree;
	enum cgroup_driver driver;
	struct cgroup_policy policy;
	bool active;
	uint64_t burstable_shares; /* as they were written; 0: never */
	/* Cgroups that could not be removed yet: processes still end. */
	struct list doomed;
	struct loop_timer timer;
};

struct doomed {
	struct list link;
	unsigned tries;
	char path[];
};

static void remove_doomed(void *arg);

/* "hugepages-2048kB" -> "2MB" */
static void find_huge_sizes(struct cgroups *c)
{
	DIR *d = opendir("/sys/kernel/mm/hugepages");
	for (struct dirent *e; d && (e = readdir(d));) {
		char resource[64], name[16];
		unsigned long kib;
		if (sscanf(e->d_name, "hugepages-%lukB", &kib) != 1 ||
		    c->policy.n_huge_sizes == HUGE_SIZES_MAX)
			continue;
		snprintf(resource, sizeof(resource), "hugepages-%luKi", kib);
		if (huge_size_name(resource, name))
			c->policy.huge_sizes[c->policy.n_huge_sizes++] =
			    arena_strdup(&c->arena, name);
	}
	if (d)
		closedir(d);
}

struct cgroups *cgroups_new(struct kubelet *k)
{
	const struct kubelet_config *cfg = k->config;
	struct cgroups *c = calloc(1, sizeof(*c));
	struct err err = ERR_INIT;
	if (!c)
		abort();
	c->k = k;
	k->cgroups = c;
	list_init(&c->doomed);
	loop_timer_init(&c->timer, k->loop, remove_doomed, c);
	c->driver = !strcmp(cfg->cgroup_driver, "systemd") ? CGROUP_SYSTEMD : CGROUP_CGROUPFS;
	c->policy = (struct cgroup_policy){
	    .cpu_quota = cfg->cpu_cfs_quota,
	    .cpu_period_us = cfg->cpu_cfs_period_ms * 1000,
	    .pids = cfg->pod_pids_limit,
	};
	if (cgroup_tree_find(&c->tree, &err))
		log_error(&err, "Pods cannot have cgroups");
	if (cgroup_tree_mount(&c->tree, "hugetlb"))
		find_huge_sizes(c);
	return c;
}

bool cgroups_active(const struct cgroups *c)
{
	return c->active;
}

const struct cgroup_tree *cgroups_tree(const struct cgroups *c)
{
	return &c->tree;
}

enum cgroup_driver cgroups_driver(const struct cgroups *c)
{
	return c->driver;
}

void cgroups_set_driver(struct cgroups *c, enum cgroup_driver driver)
{
	if (c->driver != driver)
		log_info("The runtime decides on the cgroup driver",
		         LOG_STR("driver", driver == CGROUP_SYSTEMD ? "systemd" : "cgroupfs"));
	c->driver = driver;
}

const struct cgroup_policy *cgroups_policy(const struct cgroups *c)
{
	return &c->policy;
}

bool cgroups_one_dies(const struct cgroups *c)
{
	return c->k->config->single_process_oom_kill;
}

static const char *path_of(const struct cgroups *c, const char *qos, const char *uid,
                           struct arena *a)
{
	return cgroup_path(c->driver, c->k->config->cgroup_root, qos, uid, a);
}

const char *cgroups_root(const struct cgroups *c, struct arena *a)
{
	return path_of(c, NULL, NULL, a);
}

/* The node's share */

static bool enforces(const struct cgroups *c, const char *what)
{
	const flag_list *l = &c->k->config->enforce_node_allocatable;
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->at[i], what))
			return true;
	return !l->n && !strcmp(what, "pods"); /* the default */
}

static int64_t reserved(const flag_map *m, const char *resource)
{
	struct quantity q = quantity_of(flag_map_get(m, resource));
	return !strcmp(resource, "cpu") ? quantity_milli(&q) : quantity_value(&q);
}

/* All pods together may use what is not set apart for the system and the kubelet. */
static void root_limits(const struct cgroups *c, struct cgroup_limits *l)
{
	const struct kubelet_config *cfg = c->k->config;
	int64_t cpu = node_cpus(c->k->node) * 1000, memory = node_memory_bytes(c->k->node);
	if (enforces(c, "pods")) {
		cpu -=
		    reserved(&cfg->system_reserved, "cpu") + reserved(&cfg->kube_reserved, "cpu");
		memory -= reserved(&cfg->system_reserved, "memory") +
		          reserved(&cfg->kube_reserved, "memory");
	}
	*l = (struct cgroup_limits){.cpu_shares = cpu_shares_of(cpu), .memory_bytes = memory};
	int64_t pids =
	    reserved(&cfg->system_reserved, "pid") + reserved(&cfg->kube_reserved, "pid");
	if (pids > 0 && enforces(c, "pods"))
		l->pids = MAX(node_pids_max() - pids, 1);
}

/* The daemons' own cgroups exist already; only their limits are set. */
static void hold_reserved(const struct cgroups *c, const char *what, const char *path,
                          const flag_map *m)
{
	struct err err = ERR_INIT;
	struct cgroup_limits l = {.memory_bytes = reserved(m, "memory"),
	                          .pids = reserved(m, "pid")};
	if (reserved(m, "cpu"))
		l.cpu_shares = cpu_shares_of(reserved(m, "cpu"));
	if (!*path || !enforces(c, what))
		return;
	if (!cgroup_tree_has(&c->tree, path))
		err_set(&err, ERR_NOT_FOUND, "cgroup %s does not exist", path);
	else
		ERR_IGNORE(cgroup_tree_apply(&c->tree, path, &l, &err)); /* told below */
	if (err.code)
		log_error(&err, "Could not hold a cgroup to its share", LOG_STR("cgroup", path));
}

static void share_burstable(struct cgroups *c)
{
	_cleanup_arena_ struct arena a = {0};
	int64_t milli = 0;
	struct err err;
	if (!c->active)
		return;
	MAP_FOREACH (&c->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		if (p->spec && !p->gone && !pod_is_terminal(p) &&
		    !strcmp(pod_qos_class(p->spec), "Burstable"))
			milli += pod_request_of(p->spec, "cpu");
	}
	struct cgroup_limits l = {.cpu_shares = cpu_shares_of(milli)};
	if (l.cpu_shares == c->burstable_shares)
		return;
	c->burstable_shares = l.cpu_shares;
	if (cgroup_tree_apply(&c->tree, path_of(c, "Burstable", NULL, &a), &l, &err))
		log_error(&err, "Could not set the shares of burstable pods");
}

void cgroups_start(struct cgroups *c)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct cgroup_limits l;
	if (!c->k->config->cgroups_per_qos || !c->tree.version)
		return;
	const char *root = cgroups_root(c, &a);
	root_limits(c, &l);
	int r = cgroup_tree_make(&c->tree, root, &err);
	if (!r)
		r = cgroup_tree_make(&c->tree, path_of(c, "BestEffort", NULL, &a), &err);
	if (!r)
		r = cgroup_tree_make(&c->tree, path_of(c, "Burstable", NULL, &a), &err);
	if (r) {
		log_error(&err, "Could not make cgroups; pods run where the runtime puts them");
		return;
	}
	c->active = true;
	if (cgroup_tree_apply(&c->tree, root, &l, &err))
		log_error(&err, "Could not hold pods to the node's allocatable resources");
	l = (struct cgroup_limits){.cpu_shares = CPU_SHARES_MIN};
	if (cgroup_tree_apply(&c->tree, path_of(c, "BestEffort", NULL, &a), &l, &err))
		log_error(&err, "Could not set the shares of best-effort pods");
	share_burstable(c);
	hold_reserved(c, "kube-reserved", c->k->config->kube_reserved_cgroup,
	              &c->k->config->kube_reserved);
	hold_reserved(c, "system-reserved", c->k->config->system_reserved_cgroup,
	              &c->k->config->system_reserved);
}

/* Pods */

const char *cgroups_pod_parent(const struct cgroups *c, const CoreV1__Pod *pod, struct arena *a)
{
	return c->active ? path_of(c, pod_qos_class(pod), pod->metadata->uid, a) : "";
}

const char *cgroups_container_path(const struct cgroups *c, const CoreV1__Pod *pod,
                                   const char *container_id, struct arena *a)
{
	const char *pod_path = cgroups_pod_parent(c, pod, a);
	if (c->driver == CGROUP_SYSTEMD)
		return arena_printf(a, "%s/cri-containerd-%s.scope", pod_path, container_id);
	return arena_printf(a, "%s/%s", pod_path, container_id);
}

int cgroups_pod_make(struct cgroups *c, const CoreV1__Pod *pod, struct err *err)
{
	_cleanup_arena_ struct arena a = {0};
	struct cgroup_limits l;
	if (!c->active)
		return 0;
	const char *path = cgroups_pod_parent(c, pod, &a);
	/* A pod that comes back by the same uid is not to be removed. */
	LIST_FOREACH (&c->doomed, d, struct doomed, link)
		if (!strcmp(d->path, path)) {
			list_del(&d->link);
			free(d);
		}
	int r = cgroup_tree_make(&c->tree, path, err);
	if (r)
		return r;
	pod_limits(pod, &c->policy, &l);
	struct err bad = ERR_INIT;
	if (cgroup_tree_apply(&c->tree, path, &l, &bad))
		log_error(&bad, "Could not set the limits of a pod",
		          LOG_STR("pod", pod->metadata->name));
	share_burstable(c);
	return 0;
}

static void doom(struct cgroups *c, const char *path)
{
	size_t n = strlen(path) + 1;
	struct doomed *d = calloc(1, sizeof(*d) + n);
	if (!d)
		abort();
	memcpy(d->path, path, n);
	list_add_tail(&c->doomed, &d->link);
	loop_timer_start(&c->timer, RETRY_MS);
}

/* One more try at what could not be removed. */
static void remove_doomed(void *arg)
{
	struct cgroups *c = arg;
	LIST_FOREACH (&c->doomed, d, struct doomed, link) {
		struct err err = ERR_INIT;
		bool gone = !cgroup_tree_remove(&c->tree, d->path, &err);
		if (!gone && ++d->tries < RETRIES_MAX)
			continue;
		if (!gone)
			log_error(&err, "Gave up removing a cgroup", LOG_STR("cgroup", d->path));
		list_del(&d->link);
		free(d);
	}
	if (!list_empty(&c->doomed))
		loop_timer_start(&c->timer, RETRY_MS);
}

static void remove_path(struct cgroups *c, const char *path)
{
	struct err err;
	if (cgroup_tree_remove(&c->tree, path, &err))
		doom(c, path);
}

void cgroups_pod_remove(struct cgroups *c, const char *uid, const CoreV1__Pod *pod)
{
	static const char *const classes[] = {"Guaranteed", "Burstable", "BestEffort"};
	_cleanup_arena_ struct arena a = {0};
	if (!c->active)
		return;
	/* A pod that only the runtime knew has no class: look in each. */
	bool known = pod && pod->spec->n_containers;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (!known || !strcmp(classes[i], pod_qos_class(pod))) {
			const char *path = path_of(c, classes[i], uid, &a);
			if (known || cgroup_tree_has(&c->tree, path))
				remove_path(c, path);
		}
	share_burstable(c);
}

/* Orphans */

struct cleaning {
	struct cgroups *c;
	const char *parent;
	struct arena *a;
};

static void clean_one(const char *name, void *arg)
{
	struct cleaning *x = arg;
	struct err err;
	const char *uid = cgroup_path_uid(x->c->driver, name, x->a);
	if (!uid || pods_find_uid(x->c->k->pods, uid))
		return;
	const char *path = arena_printf(x->a, "%s/%s", x->parent, name);
	/* A young one may belong to a pod that another kubelet of this machine is starting. */
	if (clock_real_ns() / 1000000000 - cgroup_tree_changed(&x->c->tree, path) < CLEAN_AGE_S)
		return;
	if (cgroup_tree_remove(&x->c->tree, path, &err))
		log_warning("The cgroup of an unknown pod holds processes", LOG_STR("cgroup", path),
		            LOG_STR("err", err.text));
	else
		log_v(2, "Removed the cgroup of an unknown pod", LOG_STR("cgroup", path));
}

void cgroups_clean(struct cgroups *c)
{
	static const char *const classes[] = {NULL, "Burstable", "BestEffort"};
	_cleanup_arena_ struct arena a = {0};
	for (size_t i = 0; c->active && i < ARRAY_LEN(classes); i++) {
		struct cleaning x = {c, path_of(c, classes[i], NULL, &a), &a};
		cgroup_tree_children(&c->tree, x.parent, clean_one, &x);
	}
}

void cgroups_free(struct cgroups *c)
{
	if (!c)
		return;
	loop_timer_stop(&c->timer);
	LIST_FOREACH (&c->doomed, d, struct doomed, link) {
		list_del(&d->link);
		free(d);
	}
	arena_deinit(&c->arena);
	free(c);
}
