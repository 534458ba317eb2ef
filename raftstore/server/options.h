/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Flags and ETCD_* variables, with etcd's names and defaults. */
#include "common/daemon/flags.h"
#include "common/net/tls_creds.h"

struct server_options {
	const char *name, *data_dir;
	flag_list client_urls, advertise_client_urls, peer_urls, advertise_peer_urls, metrics_urls;
	const char *initial_cluster, *initial_cluster_state, *initial_cluster_token;
	const char *cert_file, *key_file, *trusted_ca_file;
	const char *peer_cert_file, *peer_key_file, *peer_trusted_ca_file;
	bool client_cert_auth, peer_client_cert_auth, peer_auto_tls;
	int64_t quota_bytes, max_request_bytes, max_txn_ops, snapshot_count;
	int64_t heartbeat_ms, election_ms, progress_notify_ms, progress_notify_old_ms;
	const char *auth_token;
	int64_t auth_token_ttl_s, bcrypt_cost;
	int64_t corrupt_check_ms, compact_hash_check_ms;
	bool initial_corrupt_check, compact_hash_check;
	const char *auto_compaction_mode, *auto_compaction_retention;
	const char *log_level, *logger, *log_format;
	bool unsafe_no_fsync;
	bool strict_reconfig_check, force_new_cluster, recover_damaged;
	int64_t max_learners, max_learners_old;
	const char *peer_cert_allowed_cn;

	/* Derived. */
	struct tls_creds_options client_tls, peer_tls;
	bool peer_urls_given;
	const char *advertise_peer_text; /* comma-separated */
	uint64_t quota;                  /* bytes that are in force */
	uint64_t compact_retention;      /* milliseconds (periodic) or revisions; 0: off */
	bool compact_by_revision;
};

struct flag_group *server_flags(struct server_options *o, size_t *ret_n);
/* Checks what was given and fills what is derived. */
int server_options_finish(struct server_options *o, struct arena *a, struct err *err);
/* "http://127.0.0.1:2379" -> whether it is TLS, and "127.0.0.1:2379" (unix: "unix:/path"). */
int url_split(const char *url, bool *ret_tls, const char **ret_address, struct err *err);
