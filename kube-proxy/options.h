/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What kube-proxy is told: flags, or a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1
 * (--config), in which case the file counts and not the flags of the same settings. */
#include "common/daemon/flags.h"
#include "kube-proxy/core/layout.h"

struct proxy_config {
	const char *config_file, *kubeconfig, *hostname_override, *mode;
	const char *healthz_address, *metrics_address, *bind_address;
	const char *cluster_cidr, *detect_local_mode, *bridge_interface, *interface_prefix;
	flag_list node_port_addresses;
	bool masquerade_all, bind_hard_fail, cleanup, tcp_be_liberal;
	int64_t masquerade_bit;
	int64_t min_sync_ms, sync_ms;
	int64_t conntrack_max_per_core, conntrack_min;
	int64_t tcp_established_ms, tcp_close_wait_ms, udp_ms, udp_stream_ms;
};

extern struct proxy_config proxy_config;
extern const struct flag_group proxy_flag_groups[];
extern const size_t proxy_n_flag_groups;

/* Reads the config file, when there is one, and checks all values. Strings live in the arena. */
int proxy_config_load(struct proxy_config *c, struct arena *a, struct err *err);
/* The text of a file, for tests without one. */
int proxy_config_parse(struct proxy_config *c, struct slice yaml, struct arena *a, struct err *err);
int proxy_config_check(const struct proxy_config *c, struct err *err);
/* What the settings alone say of the rules: not yet the node's addresses and networks. */
void proxy_config_layout(const struct proxy_config *c, struct layout_config *ret);
/* Node ports are served on the node's own addresses only, which is the default. */
bool proxy_config_primary_node_ports(const struct proxy_config *c);
