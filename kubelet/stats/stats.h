/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the node, its pods and their containers use: read when somebody asks, from cgroups, /proc,
 * file systems and the runtime. Served as /stats/summary (kubelet apis/stats/v1alpha1),
 * /metrics/resource, /metrics/cadvisor and /metrics/probes; and the kubelet's own metrics.
 *
 * On the loop; the sizes of folders are taken on the disk worker. */
#include "kubelet/cgroup/cgroups.h"
#include "kubelet/core/probe.h"

struct pod;
struct stats;

struct fs_usage {
	bool has_fs; /* capacity to inodes_free are known */
	uint64_t capacity_bytes, available_bytes, inodes, inodes_free;
	bool has_used;
	uint64_t used_bytes, inodes_used;
};

struct net_usage {
	const char *name;
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

struct usage {
	int64_t started_ns; /* 0: not known */
	struct cgroup_usage u;
	bool has_rate;
	uint64_t nano_cores;
};

struct container_usage {
	const char *id, *name, *image, *cgroup;
	bool is_sandbox;
	struct usage use;
	struct fs_usage root, logs;
};

struct volume_usage {
	const char *name, *path;
	bool is_memory;    /* not on the disk */
	bool is_ephemeral; /* counts as the pod's ephemeral storage */
	struct fs_usage fs;
};

struct pod_usage {
	const char *ns, *name, *uid, *cgroup;
	struct usage use;
	struct container_usage *containers; /* that run, without the sandbox */
	size_t n_containers;
	struct volume_usage *volumes;
	size_t n_volumes;
	struct net_usage *nets; /* of its own network */
	size_t n_nets;
	struct fs_usage ephemeral;
};

struct system_usage {
	const char *name, *cgroup; /* "kubelet", "pods" */
	struct usage use;
};

struct stats_snapshot {
	struct arena arena;
	int64_t time_ns;
	const char *node_name;
	struct usage node;
	uint64_t memory_capacity, swap_capacity;
	int64_t cpus;
	struct fs_usage node_fs, image_fs;
	struct net_usage *nets;
	size_t n_nets;
	int64_t pids_max, pids;
	struct system_usage systems[2];
	size_t n_systems;
	struct pod_usage *pods;
	size_t n_pods;
};

enum {
	STATS_RUNTIME = 1, /* asks the runtime: writable layers, the images' file system */
	STATS_DISK = 2,    /* sizes of volumes and logs */
	STATS_LIMITED = 4, /* only pods whose local storage is limited */
};

struct stats *stats_new(struct kubelet *k);
/* Registers routes and metrics; the server is there. */
void stats_start(struct stats *s);
void stats_free(struct stats *s);

typedef void (*stats_fn)(const struct stats_snapshot *x, void *arg);
/* Exactly one fn, later; the snapshot is freed afterwards. stats_free drops what is open. */
void stats_collect(struct stats *s, unsigned what, stats_fn fn, void *arg);

/* A probe has ended. */
void stats_probe(struct stats *s, const struct pod *p, const char *container, enum probe_kind kind,
                 enum probe_result result);
/* A turn of the pod's worker has ended. */
void stats_turn(struct stats *s, const struct pod *p);
/* The pod was observed: counts how long it took until it ran, once. */
void stats_observed(struct stats *s, struct pod *p);
/* A pod was evicted for want of this signal. */
void stats_evicted(struct stats *s, const char *signal);
/* The runtime was looked at. */
void stats_relisted(struct stats *s, double seconds);

/* documents.c: append a document (pure). */
void stats_summary_write(const struct stats_snapshot *x, bool only_cpu_and_memory, struct buf *out);
void stats_resource_write(const struct stats_snapshot *x, struct buf *out);
void stats_cadvisor_write(const struct stats_snapshot *x, struct buf *out);

/* sources.c: what files say. */
struct net_usage *stats_read_net(const char *path, struct arena *a, size_t *ret_n);
void stats_parse_net(const char *text, struct arena *a, struct net_usage **ret, size_t *ret_n);
void stats_fs(const char *path, struct fs_usage *ret);
/* The sizes of all below (hard links once, other file systems not). */
void stats_du(const char *path, uint64_t *bytes, uint64_t *inodes);
void stats_node_usage(struct cgroup_usage *u, uint64_t *memory_capacity, uint64_t *swap_capacity,
                      int64_t *ret_boot_ns);
void stats_own_usage(struct cgroup_usage *u);
