/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot in three steps: what is read at once, what the runtime answers, what the disk worker
 * counts. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/base/clock.h"
#include "kubelet/eviction/storage.h"
#include "kubelet/node/machine.h"
#include "kubelet/node/node.h"
#include "kubelet/pod/pod.h"
#include "kubelet/stats/internal.h"

enum { TMPFS = 0x01021994, VOLUMES_MAX = 256 };

struct collect {
	struct list link;
	struct stats *s;
	struct stats_snapshot x;
	unsigned what, pending;
	stats_fn fn;
	void *arg;
	struct cri_call *calls[2];
};

static void finish(struct collect *c)
{
	if (c->s) {
		list_del(&c->link);
		c->fn(&c->x, c->arg);
	}
	arena_deinit(&c->x.arena);
	free(c);
}

void collects_drop(struct stats *s)
{
	LIST_FOREACH (&s->collects, c, struct collect, link) {
		list_del(&c->link);
		c->s = NULL;
		bool in_calls = c->calls[0] || c->calls[1];
		for (size_t i = 0; i < 2; i++)
			if (c->calls[i])
				cri_call_drop(c->calls[i]);
		if (in_calls)
			finish(c); /* otherwise the disk worker has it, which ends later */
	}
}

/* Rates: the growth since the last look at least a second ago */

static void set_rate(struct stats *s, const char *key, struct usage *u, int64_t now_ns)
{
	if (!u->u.has_cpu)
		return;
	struct rate *r = map_get_str(&s->rates, key);
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r)
			abort();
		map_put_str(&s->rates, key, r);
		*r = (struct rate){.cpu_ns = u->u.cpu_ns, .time_ns = now_ns};
	}
	r->mark = s->mark;
	int64_t elapsed = now_ns - r->time_ns;
	if (u->u.cpu_ns < r->cpu_ns) {
		*r = (struct rate){.cpu_ns = u->u.cpu_ns, .time_ns = now_ns, .mark = s->mark};
	} else if (elapsed >= 1000000000) {
		r->nano_cores =
		    (uint64_t)((double)(u->u.cpu_ns - r->cpu_ns) * 1e9 / (double)elapsed);
		r->has_rate = true;
		r->cpu_ns = u->u.cpu_ns;
		r->time_ns = now_ns;
	}
	u->has_rate = r->has_rate;
	u->nano_cores = r->nano_cores;
}

static void forget_rates(struct stats *s)
{
	MAP_FOREACH (&s->rates, it) {
		struct rate *r = it->value;
		if (r->mark == s->mark)
			continue;
		char key[512];
		snprintf(key, sizeof(key), "%s", it->key);
		free(map_del_str(&s->rates, key));
	}
}

/* Pods */

/* The process that holds the pod's network. */
static void read_network(struct stats *s, const struct pod *p, struct pod_usage *u, struct arena *a)
{
	_cleanup_buf_ struct buf procs = BUF_INIT;
	if (!p->rt.n_sandboxes || !p->rt.sandboxes[0].ready || p->spec->spec->host_network)
		return;
	const char *path = cgroups_container_path(s->k->cgroups, p->spec, p->rt.sandboxes[0].id, a);
	if (!cgroup_tree_read(cgroups_tree(s->k->cgroups), "memory", path, "cgroup.procs", &procs))
		return;
	long pid = strtol((const char *)procs.data, NULL, 10);
	if (pid > 0)
		u->nets = stats_read_net(arena_printf(a, "/proc/%ld/net/dev", pid), a, &u->n_nets);
}

static void add_volumes(const struct pod *p, struct pod_usage *u, struct arena *a)
{
	const char *root = pod_dir(p, a, "volumes");
	DIR *plugins = opendir(root);
	for (struct dirent *e; plugins && (e = readdir(plugins));) {
		if (*e->d_name == '.')
			continue;
		const char *folder = arena_printf(a, "%s/%s", root, e->d_name);
		bool empty_dir = !strcmp(e->d_name, "kubernetes.io~empty-dir");
		DIR *d = opendir(folder);
		for (struct dirent *v; d && u->n_volumes < VOLUMES_MAX && (v = readdir(d));) {
			struct statfs fs;
			if (*v->d_name == '.')
				continue;
			struct volume_usage x = {
			    .name = arena_strdup(a, v->d_name),
			    .path = arena_printf(a, "%s/%s", folder, v->d_name),
			};
			x.is_memory = !statfs(x.path, &fs) && fs.f_type == TMPFS;
			x.is_ephemeral =
			    !x.is_memory && (empty_dir || strstr(folder, "config-map"));
			u->volumes = arena_grow(a, u->volumes, u->n_volumes * sizeof(x),
			                        (u->n_volumes + 1) * sizeof(x));
			u->volumes[u->n_volumes++] = x;
		}
		if (d)
			closedir(d);
	}
	if (plugins)
		closedir(plugins);
}

static void add_containers(struct stats *s, const struct pod *p, struct pod_usage *u,
                           struct stats_snapshot *x)
{
	struct arena *a = &x->arena;
	u->containers = arena_array(a, struct container_usage, p->rt.n_containers + 1);
	for (size_t i = 0; i < p->rt.n_containers; i++) {
		const struct runtime_container *c = &p->rt.containers[i];
		if (c->state != CONTAINER_RUNNING)
			continue;
		struct container_usage *y = &u->containers[u->n_containers++];
		*y = (struct container_usage){
		    .id = arena_strdup(a, c->id),
		    .name = arena_strdup(a, c->name),
		    .image = arena_strdup(a, c->image ? c->image : ""),
		    .cgroup = cgroups_container_path(s->k->cgroups, p->spec, c->id, a),
		};
		y->use.started_ns = c->started_ns ? c->started_ns : c->created_ns;
		if (cgroups_active(s->k->cgroups))
			cgroup_tree_usage(cgroups_tree(s->k->cgroups), y->cgroup, &y->use.u);
		set_rate(s, y->id, &y->use, x->time_ns);
	}
}

static void add_pod(struct stats *s, const struct pod *p, struct stats_snapshot *x, unsigned what)
{
	struct arena *a = &x->arena;
	struct pod_usage *u = &x->pods[x->n_pods];
	*u = (struct pod_usage){
	    .ns = arena_strdup(a, p->ns),
	    .name = arena_strdup(a, p->name),
	    .uid = arena_strdup(a, p->uid),
	    .cgroup = cgroups_pod_parent(s->k->cgroups, p->spec, a),
	};
	add_containers(s, p, u, x);
	if (!u->n_containers)
		return;
	x->n_pods++;
	u->use.started_ns = p->seen_seconds * 1000000000;
	if (*u->cgroup)
		cgroup_tree_usage(cgroups_tree(s->k->cgroups), u->cgroup, &u->use.u);
	set_rate(s, u->uid, &u->use, x->time_ns);
	read_network(s, p, u, a);
	if (what & STATS_DISK)
		add_volumes(p, u, a);
}

/* The node */

static void add_system(struct stats *s, struct stats_snapshot *x, const char *name,
                       const char *cgroup, const struct cgroup_usage *u)
{
	struct system_usage *y = &x->systems[x->n_systems++];
	*y = (struct system_usage){.name = name, .cgroup = cgroup};
	y->use.u = *u;
	y->use.started_ns = s->started_ns;
	set_rate(s, name, &y->use, x->time_ns);
}

static void add_node(struct stats *s, struct stats_snapshot *x)
{
	struct cgroup_usage u;
	x->node_name = s->k->config->node_name;
	x->cpus = node_cpus(s->k->node);
	stats_node_usage(&x->node.u, &x->memory_capacity, &x->swap_capacity, &x->node.started_ns);
	set_rate(s, "/", &x->node, x->time_ns);
	stats_fs(s->k->config->root_dir, &x->node_fs);
	x->nets = stats_read_net("/proc/net/dev", &x->arena, &x->n_nets);
	x->pids_max = machine_pids_max();
	x->pids = machine_pids();
	stats_own_usage(&u);
	add_system(s, x, "kubelet", "/kubelet", &u);
	if (cgroups_active(s->k->cgroups)) {
		const char *root = cgroups_root(s->k->cgroups, &x->arena);
		cgroup_tree_usage(cgroups_tree(s->k->cgroups), root, &u);
		add_system(s, x, "pods", root, &u);
	}
}

/* The disk worker's part */

static void count_logs(const struct stats *s, struct stats_snapshot *x, struct pod_usage *p)
{
	for (size_t i = 0; i < p->n_containers; i++) {
		struct container_usage *c = &p->containers[i];
		const char *path = arena_printf(&x->arena, "%s/%s_%s_%s/%s", s->logs_dir, p->ns,
		                                p->name, p->uid, c->name);
		c->logs.has_used = true;
		stats_du(path, &c->logs.used_bytes, &c->logs.inodes_used);
		stats_fs(path, &c->logs);
	}
}

static void count_volumes(struct pod_usage *p)
{
	for (size_t i = 0; i < p->n_volumes; i++) {
		struct volume_usage *v = &p->volumes[i];
		v->fs.has_used = true;
		stats_du(v->path, &v->fs.used_bytes, &v->fs.inodes_used);
		stats_fs(v->path, &v->fs);
	}
}

static void sum_ephemeral(const struct stats_snapshot *x, struct pod_usage *p)
{
	p->ephemeral = x->node_fs;
	p->ephemeral.has_used = true;
	p->ephemeral.used_bytes = p->ephemeral.inodes_used = 0;
	for (size_t i = 0; i < p->n_containers; i++) {
		const struct fs_usage *both[] = {&p->containers[i].root, &p->containers[i].logs};
		for (size_t k = 0; k < 2; k++) {
			p->ephemeral.used_bytes += both[k]->used_bytes;
			p->ephemeral.inodes_used += both[k]->inodes_used;
		}
	}
	for (size_t i = 0; i < p->n_volumes; i++)
		if (p->volumes[i].is_ephemeral) {
			p->ephemeral.used_bytes += p->volumes[i].fs.used_bytes;
			p->ephemeral.inodes_used += p->volumes[i].fs.inodes_used;
		}
}

struct disk_job {
	struct collect *c;
	struct stats view; /* of what the worker may read */
	struct loop *loop;
};

static void on_counted(void *arg)
{
	struct disk_job *j = arg;
	finish(j->c);
	free(j);
}

static void count_on_disk(void *arg)
{
	struct disk_job *j = arg;
	struct stats_snapshot *x = &j->c->x;
	for (size_t i = 0; i < x->n_pods; i++) {
		count_logs(&j->view, x, &x->pods[i]);
		count_volumes(&x->pods[i]);
		sum_ephemeral(x, &x->pods[i]);
	}
	loop_post(j->loop, on_counted, j);
}

static void gathered(struct collect *c)
{
	struct stats *s = c->s;
	if (!(c->what & STATS_DISK)) {
		finish(c);
		return;
	}
	struct disk_job *j = calloc(1, sizeof(*j));
	if (!j)
		abort();
	*j = (struct disk_job){.c = c, .loop = s->k->loop};
	j->view.logs_dir = s->logs_dir;
	worker_post(&s->k->disk, count_on_disk, j);
}

/* The runtime's part */

static struct container_usage *container_by_id(struct stats_snapshot *x, const char *id)
{
	for (size_t i = 0; i < x->n_pods; i++)
		for (size_t k = 0; k < x->pods[i].n_containers; k++)
			if (!strcmp(x->pods[i].containers[k].id, id))
				return &x->pods[i].containers[k];
	return NULL;
}

static uint64_t value_of(const CriV1__UInt64Value *v)
{
	return v ? v->value : 0;
}

/* What the cgroups have not told. */
static void take_cri(struct container_usage *c, const CriV1__ContainerStats *s)
{
	struct cgroup_usage *u = &c->use.u;
	if (!u->has_cpu && s->cpu && s->cpu->usage_core_nano_seconds) {
		u->has_cpu = true;
		u->cpu_ns = s->cpu->usage_core_nano_seconds->value;
	}
	if (!u->has_memory && s->memory && s->memory->working_set_bytes) {
		u->has_memory = true;
		u->working_set_bytes = s->memory->working_set_bytes->value;
		u->memory_bytes = value_of(s->memory->usage_bytes);
		u->rss_bytes = value_of(s->memory->rss_bytes);
	}
	if (s->writable_layer) {
		c->root.has_used = true;
		c->root.used_bytes = value_of(s->writable_layer->used_bytes);
		c->root.inodes_used = value_of(s->writable_layer->inodes_used);
	}
}

static void answered(struct collect *c)
{
	if (--c->pending)
		return;
	for (size_t i = 0; i < c->x.n_pods; i++)
		for (size_t k = 0; k < c->x.pods[i].n_containers; k++) {
			struct fs_usage *f = &c->x.pods[i].containers[k].root, used = *f;
			*f = c->x.image_fs;
			f->has_used = used.has_used;
			f->used_bytes = used.used_bytes;
			f->inodes_used = used.inodes_used;
		}
	gathered(c);
}

static void on_container_stats(const struct cri_result *r, void *arg)
{
	struct collect *c = arg;
	const CriV1__ListContainerStatsResponse *m = (const void *)r->body;
	c->calls[0] = NULL;
	for (size_t i = 0; m && i < m->n_stats; i++) {
		const CriV1__ContainerStats *s = m->stats[i];
		struct container_usage *u =
		    s->attributes ? container_by_id(&c->x, s->attributes->id) : NULL;
		if (u)
			take_cri(u, s);
	}
	answered(c);
}

static void on_image_fs(const struct cri_result *r, void *arg)
{
	struct collect *c = arg;
	const CriV1__ImageFsInfoResponse *m = (const void *)r->body;
	c->calls[1] = NULL;
	if (m && m->n_image_filesystems) {
		const CriV1__FilesystemUsage *f = m->image_filesystems[0];
		c->x.image_fs.has_used = true;
		c->x.image_fs.used_bytes = value_of(f->used_bytes);
		c->x.image_fs.inodes_used = value_of(f->inodes_used);
		if (f->fs_id)
			stats_fs(f->fs_id->mountpoint, &c->x.image_fs);
	}
	answered(c);
}

static void later(void *arg)
{
	gathered(arg);
}

void stats_collect(struct stats *s, unsigned what, stats_fn fn, void *arg)
{
	struct collect *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	*c = (struct collect){.s = s, .what = what, .fn = fn, .arg = arg};
	list_add_tail(&s->collects, &c->link);
	c->x.time_ns = clock_real_ns();
	s->mark++;
	add_node(s, &c->x);
	c->x.pods = arena_array(&c->x.arena, struct pod_usage, s->k->pods->by_uid.n + 1);
	MAP_FOREACH (&s->k->pods->by_uid, it) {
		const struct pod *p = it->value;
		if (p->spec && p->rt_seen &&
		    (!(what & STATS_LIMITED) || storage_is_limited(p->spec)))
			add_pod(s, p, &c->x, what);
	}
	if (!(what & STATS_LIMITED))
		forget_rates(s);
	if (!(what & STATS_RUNTIME)) {
		loop_post(s->k->loop, later, c);
		return;
	}
	CriV1__ListContainerStatsRequest q = CRI_V1__LIST_CONTAINER_STATS_REQUEST__INIT;
	CriV1__ImageFsInfoRequest f = CRI_V1__IMAGE_FS_INFO_REQUEST__INIT;
	c->pending = 2;
	c->calls[0] =
	    cri_call(s->k->cri, CRI_LIST_CONTAINER_STATS, &q, 10000, on_container_stats, c);
	c->calls[1] = cri_call(s->k->cri, CRI_IMAGE_FS_INFO, &f, 10000, on_image_fs, c);
}
