/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kubelet: owns the loop's clients, the node's object, the pods and the server. Everything runs
 * on the daemon's one loop; only the removal of large folders goes to a worker thread. */
#include "common/client/informer.h"
#include "common/client/recorder.h"
#include "common/daemon/daemon.h"
#include "kubelet/cri/cri.h"

struct kubelet_config {
	const char *kubeconfig, *node_name, *node_ip, *root_dir, *logs_dir;
	const char *runtime_endpoint;
	const char *address, *healthz_address, *client_ca_file, *cert_file, *key_file;
	const char *cluster_domain, *pod_cidr, *resolv_conf;
	flag_list cluster_dns, taints;
	flag_map node_labels, system_reserved, kube_reserved;
	int64_t port, healthz_port, max_pods, pods_per_core;
	int64_t status_ms, status_report_ms, lease_s, max_images;
	bool fail_swap_on, register_node;
	const char *provider_id;

	/* server/ */
	const char *authorization_mode;
	bool anonymous_auth, token_webhook;
	int64_t token_cache_ttl_ms, authorized_ttl_ms, unauthorized_ttl_ms;

	/* cgroup/ */
	bool cgroups_per_qos, cpu_cfs_quota, single_process_oom_kill;
	const char *cgroup_driver, *cgroup_root, *kube_reserved_cgroup, *system_reserved_cgroup;
	flag_list enforce_node_allocatable;
	int64_t pod_pids_limit, cpu_cfs_period_ms;

	flag_list allowed_unsafe_sysctls;

	/* image/ */
	int64_t registry_qps, registry_burst, max_parallel_image_pulls;
	bool serialize_image_pulls, seccomp_default;

	/* static/ */
	const char *static_pod_path;
	int64_t file_check_ms;

	/* logs/ and gc/ */
	const char *log_max_size;
	int64_t log_max_files, log_monitor_ms;
	int64_t image_gc_high, image_gc_low, image_min_age_ms, image_max_age_ms;

	/* eviction/ */
	const char *eviction_hard, *eviction_soft, *eviction_soft_grace, *eviction_min_reclaim;
	int64_t eviction_max_pod_grace_s, eviction_transition_ms;
	bool merge_default_eviction;
};

struct pods;
struct node;
struct objects;
struct puller;
struct server;
struct cgroups;
struct eviction;
struct gc;
struct log_rotation;
struct statics;
struct stats;

struct kubelet {
	const struct kubelet_config *config;
	struct daemon *daemon;
	struct loop *loop;
	struct client *client;
	struct informers *informers;
	struct recorder *recorder;
	struct cri *cri;
	struct objects *objects;
	struct puller *puller;
	struct node *node;
	struct pods *pods;
	struct server *server;
	struct cgroups *cgroups;
	struct eviction *eviction;
	struct gc *gc;
	struct log_rotation *log_rotation;
	struct statics *statics;
	struct stats *stats;
	struct worker disk;                         /* removes folders */
	const char *runtime_name, *runtime_version; /* "containerd", "1.6.20" */
};

int kubelet_start(struct kubelet *k, struct daemon *d, const struct kubelet_config *c,
                  const struct kubeconfig *kc, struct err *err);
void kubelet_stop(struct kubelet *k);
