/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/options.h"
#include <stdio.h>
#include "common/base/log.h"
#include "common/codec/duration.h"

enum {
	QUOTA_DEFAULT_MIB = 2048,
	QUOTA_MAX_MIB = 60 * 1024, /* of a map of 64 GiB */
	DEBUG_VERBOSITY = 4,
};

static struct flag flags[80];

struct flag_group *server_flags(struct server_options *o, size_t *ret_n)
{
	*o = (struct server_options){
	    .name = "default",
	    .initial_cluster_state = "new",
	    .initial_cluster_token = "etcd-cluster",
	    .max_request_bytes = 1536 * 1024,
	    .max_txn_ops = 128,
	    .snapshot_count = 10000,
	    .heartbeat_ms = 100,
	    .election_ms = 1000,
	    .compact_hash_check_ms = 60000,
	    .progress_notify_ms = 600000,
	    .auth_token = "simple",
	    .auth_token_ttl_s = 300,
	    .bcrypt_cost = 10,
	    .auto_compaction_mode = "periodic",
	    .auto_compaction_retention = "0",
	    .log_level = "info",
	    .logger = "zap",
	    .strict_reconfig_check = true,
	    .recover_damaged = true,
	    .max_learners = 1,
	};
	const struct flag all[] = {
	    FLAG_STR("name", &o->name, "Human-readable name for this member."),
	    FLAG_STR("data-dir", &o->data_dir, "Path to the data directory."),
	    FLAG_LIST("listen-client-urls", &o->client_urls,
	              "List of URLs to listen on for client traffic."),
	    FLAG_LIST("advertise-client-urls", &o->advertise_client_urls,
	              "List of this member's client URLs to tell clients and members."),
	    FLAG_LIST("listen-peer-urls", &o->peer_urls,
	              "List of URLs to listen on for peer traffic."),
	    FLAG_LIST("initial-advertise-peer-urls", &o->advertise_peer_urls,
	              "List of this member's peer URLs to tell the rest of the cluster."),
	    FLAG_LIST("listen-metrics-urls", &o->metrics_urls,
	              "List of URLs that answer /metrics and /health."),
	    FLAG_STR("initial-cluster", &o->initial_cluster,
	             "Initial cluster configuration: name=peer URL, comma-separated."),
	    FLAG_STR("initial-cluster-state", &o->initial_cluster_state,
	             "Initial cluster state: \"new\" or \"existing\"."),
	    FLAG_STR("initial-cluster-token", &o->initial_cluster_token,
	             "Token that tells clusters apart."),
	    FLAG_STR("cert-file", &o->cert_file, "Certificate of the client server."),
	    FLAG_STR("key-file", &o->key_file, "Key of the client server."),
	    FLAG_STR("trusted-ca-file", &o->trusted_ca_file, "CA that signs client certificates."),
	    FLAG_BOOL("client-cert-auth", &o->client_cert_auth,
	              "Demand a client certificate that the CA has signed."),
	    FLAG_STR("peer-cert-file", &o->peer_cert_file, "Certificate of the peer server."),
	    FLAG_STR("peer-key-file", &o->peer_key_file, "Key of the peer server."),
	    FLAG_STR("peer-trusted-ca-file", &o->peer_trusted_ca_file,
	             "CA that signs peer certificates."),
	    FLAG_BOOL("peer-client-cert-auth", &o->peer_client_cert_auth,
	              "Demand a certificate of peers that the CA has signed."),
	    FLAG_STR("peer-cert-allowed-cn", &o->peer_cert_allowed_cn,
	             "The common name that certificates of peers must have."),
	    FLAG_BOOL("peer-auto-tls", &o->peer_auto_tls,
	              "Refused: certificates that nobody has signed protect nobody."),
	    FLAG_INT("quota-backend-bytes", &o->quota_bytes,
	             "Raise the NOSPACE alarm beyond this size; 0: 2 GiB; negative: no quota."),
	    FLAG_INT("max-request-bytes", &o->max_request_bytes,
	             "Maximum size of a client request."),
	    FLAG_INT("max-txn-ops", &o->max_txn_ops, "Maximum operations of a transaction."),
	    FLAG_INT("snapshot-count", &o->snapshot_count,
	             "How many applied entries of the log are kept for slow members."),
	    FLAG_INT("heartbeat-interval", &o->heartbeat_ms, "Heartbeat interval in ms."),
	    FLAG_INT("election-timeout", &o->election_ms, "Election timeout in ms."),
	    FLAG_STR("auth-token", &o->auth_token,
	             "\"simple\", or \"jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m\"."),
	    FLAG_INT("auth-token-ttl", &o->auth_token_ttl_s,
	             "Seconds after its last use that a simple token is valid."),
	    FLAG_INT("bcrypt-cost", &o->bcrypt_cost,
	             "Strength of the hashes of passwords, from 4 to 31."),
	    FLAG_STR("auto-compaction-mode", &o->auto_compaction_mode,
	             "\"periodic\" or \"revision\"."),
	    FLAG_STR("auto-compaction-retention", &o->auto_compaction_retention,
	             "How much history to keep: hours or a duration, or revisions; 0: off."),
	    FLAG_DURATION("watch-progress-notify-interval", &o->progress_notify_ms,
	                  "How often idle watches are told the revision."),
	    FLAG_DURATION("experimental-watch-progress-notify-interval", &o->progress_notify_old_ms,
	                  "The same under its old name."),
	    FLAG_STR("log-level", &o->log_level,
	             "debug, info, warn, error, dpanic, panic or fatal."),
	    FLAG_STR("logger", &o->logger, "Only \"zap\"."),
	    FLAG_STR("log-format", &o->log_format,
	             "\"json\" or \"console\"; default: what --logging-format says."),
	    FLAG_BOOL("unsafe-no-fsync", &o->unsafe_no_fsync,
	              "Do not wait for the disk; a crash may lose data."),
	    FLAG_BOOL("strict-reconfig-check", &o->strict_reconfig_check,
	              "Refuse membership changes that would cost the quorum."),
	    FLAG_BOOL("force-new-cluster", &o->force_new_cluster,
	              "Make a cluster of one of this member's data: all others are lost."),
	    FLAG_BOOL("recover-damaged", &o->recover_damaged,
	              "A member whose data are damaged puts them aside and joins the others anew, "
	              "with another id."),
	    FLAG_INT("max-learners", &o->max_learners, "How many members may be learners."),
	    FLAG_INT("experimental-max-learners", &o->max_learners_old,
	             "The same under its old name."),
	    FLAG_BOOL("experimental-initial-corrupt-check", &o->initial_corrupt_check,
	              "Compare the data with the other members' before serving."),
	    FLAG_DURATION("experimental-corrupt-check-time", &o->corrupt_check_ms,
	                  "How often the leader compares all members' data; 0: never."),
	    FLAG_DURATION("corrupt-check-time", &o->corrupt_check_ms, "The same."),
	    FLAG_BOOL("experimental-compact-hash-check-enabled", &o->compact_hash_check,
	              "Let the leader compare all members' data as compacted."),
	    FLAG_DURATION("experimental-compact-hash-check-time", &o->compact_hash_check_ms,
	                  "How often it looks whether something was compacted."),
	    FLAG_DURATION("compact-hash-check-time", &o->compact_hash_check_ms, "The same."),
	    FLAG_NO_EFFECT("experimental-enable-lease-checkpoint"),
	    FLAG_NO_EFFECT("experimental-enable-lease-checkpoint-persist"),
	    FLAG_NO_EFFECT("initial-election-tick-advance"),
	    FLAG_NO_EFFECT("wal-dir"),
	    FLAG_NO_EFFECT("max-snapshots"),
	    FLAG_NO_EFFECT("max-wals"),
	    FLAG_NO_EFFECT("metrics"),
	    FLAG_NO_EFFECT("log-outputs"),
	    FLAG_NO_EFFECT("log-rotation-config-json"),
	    FLAG_NO_EFFECT("enable-log-rotation"),
	    FLAG_NO_EFFECT("enable-pprof"),
	    FLAG_NO_EFFECT("enable-v2"),
	    FLAG_NO_EFFECT("cors"),
	    FLAG_NO_EFFECT("host-whitelist"),
	    FLAG_NO_EFFECT("proxy"),
	    FLAG_NO_EFFECT("pre-vote"),
	    FLAG_NO_EFFECT("grpc-keepalive-min-time"),
	    FLAG_NO_EFFECT("grpc-keepalive-interval"),
	    FLAG_NO_EFFECT("grpc-keepalive-timeout"),
	    FLAG_NO_EFFECT("max-concurrent-streams"),
	    FLAG_NO_EFFECT("backend-batch-interval"),
	    FLAG_NO_EFFECT("backend-batch-limit"),
	    FLAG_NO_EFFECT("backend-bbolt-freelist-type"),
	    FLAG_NO_EFFECT("feature-gates"),
	    FLAG_NO_EFFECT("socket-reuse-port"),
	    FLAG_NO_EFFECT("socket-reuse-address"),
	};
	static struct flag_group group;
	_Static_assert(ARRAY_LEN(all) <= ARRAY_LEN(flags), "too many flags");
	memcpy(flags, all, sizeof(all));
	group = (struct flag_group){"Store", flags, ARRAY_LEN(all)};
	*ret_n = 1;
	return &group;
}

int url_split(const char *url, bool *ret_tls, const char **ret_address, struct err *err)
{
	*ret_tls = !strncmp(url, "https://", 8) || !strncmp(url, "unixs://", 8);
	if (!strncmp(url, "http://", 7))
		*ret_address = url + 7;
	else if (*ret_tls && url[0] == 'h')
		*ret_address = url + 8;
	else
		return err_set(err, ERR_INVALID, "URL scheme must be http or https: %s", url);
	return 0;
}

static void list_default(flag_list *l, const char *value)
{
	if (!l->n)
		*vec_push(l) = value;
}

static int parse_retention(struct server_options *o, struct err *err)
{
	const char *s = o->auto_compaction_retention;
	char *end;
	unsigned long long number = strtoull(s, &end, 10);
	o->compact_by_revision = !strcmp(o->auto_compaction_mode, "revision");
	if (!o->compact_by_revision && strcmp(o->auto_compaction_mode, "periodic"))
		return err_set(err, ERR_INVALID, "undefined auto-compaction-mode: %s",
		               o->auto_compaction_mode);
	if (end != s && !*end) {
		o->compact_retention = o->compact_by_revision ? number : number * 3600000;
		return 0;
	}
	int64_t ns;
	if (o->compact_by_revision || duration_parse(slice_str(s), &ns, err) || ns < 0)
		return err_set(err, ERR_INVALID, "failed to parse auto-compaction-retention: %s",
		               s);
	o->compact_retention = (uint64_t)ns / 1000000;
	return 0;
}

/* etcd's levels; what is below the least severity is not written, debug is -v=4. */
static int set_log_level(const char *level, struct err *err)
{
	static const struct {
		const char *name;
		enum log_severity least;
	} levels[] = {
	    {"debug", LOG_INFO},  {"info", LOG_INFO},    {"warn", LOG_WARNING},
	    {"error", LOG_ERROR}, {"dpanic", LOG_FATAL}, {"panic", LOG_FATAL},
	    {"fatal", LOG_FATAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (strcmp(level, levels[i].name))
			continue;
		log_set_least(levels[i].least);
		if (!i && log_level() < DEBUG_VERBOSITY)
			log_set_level(DEBUG_VERBOSITY);
		return 0;
	}
	return err_set(err, ERR_INVALID, "--log-level: unrecognized level: \"%s\"", level);
}

static int set_log(const struct server_options *o, struct err *err)
{
	if (strcmp(o->logger, "zap"))
		return err_set(err, ERR_INVALID, "unknown logger option \"%s\"", o->logger);
	const char *f = o->log_format;
	if (f && strcmp(f, "json") && strcmp(f, "console"))
		return err_set(err, ERR_INVALID, "unknown log format: %s", f);
	if (f)
		log_setup(*f == 'j' ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, log_level());
	return set_log_level(o->log_level, err);
}

static int check_urls(const flag_list *l, bool has_cert, struct err *err)
{
	VEC_FOREACH (l, url) {
		bool tls;
		const char *address;
		int r = url_split(*url, &tls, &address, err);
		if (r)
			return r;
		if (tls && !has_cert)
			return err_set(err, ERR_INVALID,
			               "%s: TLS without --cert-file and --key-file", *url);
	}
	return 0;
}

static int check_cluster(struct server_options *o, struct arena *a, struct err *err)
{
	_cleanup_buf_ struct buf own = BUF_INIT;
	VEC_FOREACH (&o->advertise_peer_urls, url)
		buf_printf(&own, "%s%s=%s", own.len ? "," : "", o->name, *url);
	if (!o->initial_cluster)
		o->initial_cluster = arena_strdup(a, (char *)own.data);
	size_t n = strlen(o->name);
	for (const char *at = o->initial_cluster; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, o->name, n) && at[n] == '=')
			return 0;
	}
	return err_set(err, ERR_INVALID,
	               "couldn't find local name \"%s\" in the initial cluster configuration",
	               o->name);
}

static int check_peers(struct server_options *o, struct arena *a, struct err *err)
{
	const char *state = o->initial_cluster_state;
	if (strcmp(state, "new") && strcmp(state, "existing"))
		return err_set(err, ERR_INVALID,
		               "invalid value \"%s\" for flag -initial-cluster-state: it must be "
		               "new or existing",
		               state);
	if (o->peer_auto_tls)
		return err_set(err, ERR_INVALID,
		               "--peer-auto-tls is not served: give --peer-cert-file, "
		               "--peer-key-file and --peer-trusted-ca-file");
	if (o->peer_client_cert_auth && !o->peer_trusted_ca_file)
		return err_set(err, ERR_INVALID,
		               "--peer-client-cert-auth needs --peer-trusted-ca-file");
	if (o->peer_cert_allowed_cn && !o->peer_trusted_ca_file)
		return err_set(err, ERR_INVALID,
		               "--peer-cert-allowed-cn needs --peer-trusted-ca-file");
	if (o->max_learners < 1)
		return err_set(err, ERR_INVALID, "--max-learners must be greater than 0");
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC_FOREACH (&o->advertise_peer_urls, url)
		buf_printf(&b, "%s%s", b.len ? "," : "", *url);
	o->advertise_peer_text = arena_strdup(a, (char *)b.data);
	return 0;
}

int server_options_finish(struct server_options *o, struct arena *a, struct err *err)
{
	list_default(&o->client_urls, "http://localhost:2379");
	o->peer_urls_given = o->peer_urls.n;
	list_default(&o->peer_urls, "http://localhost:2380");
	list_default(&o->advertise_peer_urls, "http://localhost:2380");
	if (!o->advertise_client_urls.n) {
		VEC_FOREACH (&o->client_urls, url)
			*vec_push(&o->advertise_client_urls) = *url;
	}
	if (!o->data_dir || !*o->data_dir)
		o->data_dir = arena_printf(a, "%s.etcd", o->name);
	o->client_tls = (struct tls_creds_options){
	    .ca_file = o->trusted_ca_file,
	    .cert_file = o->cert_file,
	    .key_file = o->key_file,
	    .client_auth =
	        o->client_cert_auth || o->trusted_ca_file ? TLS_CLIENT_REQUIRED : TLS_CLIENT_NONE,
	};
	o->peer_tls = (struct tls_creds_options){
	    .ca_file = o->peer_trusted_ca_file,
	    .cert_file = o->peer_cert_file,
	    .key_file = o->peer_key_file,
	    .client_auth = o->peer_client_cert_auth || o->peer_trusted_ca_file ? TLS_CLIENT_REQUIRED
	                                                                       : TLS_CLIENT_NONE,
	};
	if (o->max_learners_old)
		o->max_learners = o->max_learners_old;
	if (o->progress_notify_old_ms)
		o->progress_notify_ms = o->progress_notify_old_ms;
	if (o->client_cert_auth && !o->trusted_ca_file)
		return err_set(err, ERR_INVALID, "--client-cert-auth needs --trusted-ca-file");
	uint64_t max = (uint64_t)QUOTA_MAX_MIB << 20;
	o->quota = o->quota_bytes ? (uint64_t)o->quota_bytes : (uint64_t)QUOTA_DEFAULT_MIB << 20;
	if (o->quota_bytes < 0 || o->quota > max)
		o->quota = max;
	if (o->max_request_bytes <= 0 || o->max_request_bytes > 32 << 20)
		return err_set(err, ERR_INVALID, "--max-request-bytes must be in (0, 32 MiB]");
	if (o->corrupt_check_ms < 0 || o->compact_hash_check_ms <= 0)
		return err_set(err, ERR_INVALID,
		               "the times of corruption checks must not be negative");
	if (o->max_txn_ops <= 0 || o->heartbeat_ms <= 0 || o->election_ms < 5 * o->heartbeat_ms)
		return err_set(err, ERR_INVALID,
		               "--election-timeout[%lldms] should be at least as 5 times as "
		               "--heartbeat-interval[%lldms]",
		               (long long)o->election_ms, (long long)o->heartbeat_ms);
	if (o->auth_token_ttl_s <= 0)
		return err_set(err, ERR_INVALID, "--auth-token-ttl must be positive");
	/* As etcd does it: a cost that bcrypt does not have is the usual one. */
	if (o->bcrypt_cost < 4 || o->bcrypt_cost > 31)
		o->bcrypt_cost = 10;
	int r = set_log(o, err);
	if (!r)
		r = parse_retention(o, err);
	if (!r)
		r = check_urls(&o->client_urls, o->cert_file && o->key_file, err);
	if (!r)
		r = check_cluster(o, a, err);
	if (!r)
		r = check_peers(o, a, err);
	return r;
}
