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
	int64_t port, healthz_port, max_pods;
	int64_t status_ms, status_report_ms, lease_s;
	bool fail_swap_on, register_node;
};

struct pods;
struct node;
struct objects;
struct server;

struct kubelet {
	const struct kubelet_config *config;
	struct daemon *daemon;
	struct loop *loop;
	struct client *client;
	struct informers *informers;
	struct recorder *recorder;
	struct cri *cri;
	struct objects *objects;
	struct node *node;
	struct pods *pods;
	struct server *server;
	struct worker disk;                         /* removes folders */
	const char *runtime_name, *runtime_version; /* "containerd", "1.6.20" */
};

int kubelet_start(struct kubelet *k, struct daemon *d, const struct kubelet_config *c,
                  const struct kubeconfig *kc, struct err *err);
void kubelet_stop(struct kubelet *k);
