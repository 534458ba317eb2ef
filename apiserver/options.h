/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The flags of kube-apiserver, under upstream's names and with its defaults. */
#include "common/daemon/flags.h"

struct apiserver_options {
	/* store */
	flag_list etcd_servers;
	const char *etcd_ca_file, *etcd_cert_file, *etcd_key_file, *etcd_prefix;
	/* serving */
	const char *bind_address, *advertise_address, *external_hostname;
	int64_t secure_port, grpc_port;
	const char *tls_cert_file, *tls_key_file, *cert_dir, *tls_min_version;
	flag_list tls_cipher_suites;
	int64_t max_inflight, max_mutating_inflight, http2_max_streams;
	int64_t front_loops;
	/* authentication */
	const char *client_ca_file;
	bool anonymous_auth;
	flag_list sa_issuers, sa_key_files, api_audiences;
	const char *sa_signing_key_file, *sa_jwks_uri;
	int64_t sa_max_expiration_ms;
	bool sa_extend_expiration;
	const char *proxy_ca_file;
	flag_list proxy_allowed_names;
	const char *proxy_client_cert_file, *proxy_client_key_file;
	/* authorization and admission */
	flag_list authorization_modes, admission_enable, admission_disable;
	const char *admission_config_file;
	/* the API */
	const char *service_range, *node_port_range;
	bool allow_privileged;
	int64_t event_ttl_ms;
	flag_map feature_gates, runtime_config;
	/* kubelets */
	const char *kubelet_ca_file, *kubelet_cert_file, *kubelet_key_file;
	flag_list kubelet_address_types;
	int64_t kubelet_timeout_ms;
};

extern struct apiserver_options apiserver_options;
extern const struct flag_group apiserver_flag_groups[];
extern const size_t apiserver_n_flag_groups;

/* Puts in defaults that depend on other flags or on the machine, and checks what is left; strings
 * are allocated in the arena. */
int apiserver_options_complete(struct apiserver_options *o, struct arena *a, struct err *err);
