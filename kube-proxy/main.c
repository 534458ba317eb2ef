/* SPDX-License-Identifier: Apache-2.0 */
/* kube-proxy: makes Services reachable on this node. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/ops_server.h"
#include "kube-proxy/proxy.h"

/* A change that waits longer than this makes /healthz fail (kube-proxy healthcheck). */
enum { HEALTH_TIMEOUT_S = 60 };

static struct {
	const char *kubeconfig, *hostname_override, *cluster_cidr, *proxy_mode;
	const char *healthz_address, *metrics_address;
	bool masquerade_all, cleanup;
	int64_t masquerade_bit, min_sync_ms;
} o = {
    .kubeconfig = "",
    .hostname_override = "",
    .cluster_cidr = "",
    .proxy_mode = "nftables",
    .healthz_address = "0.0.0.0:10256",
    .metrics_address = "127.0.0.1:10249",
    .masquerade_bit = 14,
    .min_sync_ms = 10,
};

static struct flag flags[] = {
    FLAG_STR("kubeconfig", &o.kubeconfig, "Path to the kubeconfig file of the apiserver."),
    FLAG_STR("hostname-override", &o.hostname_override,
             "The node's name, when it is not the host's."),
    FLAG_STR("cluster-cidr", &o.cluster_cidr,
             "The network of the pods: traffic to cluster IPs from outside it is masqueraded."),
    FLAG_STR("proxy-mode", &o.proxy_mode, "How rules are made: nftables is the only one."),
    FLAG_BOOL("masquerade-all", &o.masquerade_all, "Masquerade all traffic to cluster IPs."),
    FLAG_INT("iptables-masquerade-bit", &o.masquerade_bit,
             "The bit of the packet mark for traffic to masquerade, 0 to 31."),
    FLAG_DURATION("iptables-min-sync-period", &o.min_sync_ms,
                  "Changes that come within this time share a transaction."),
    FLAG_STR("healthz-bind-address", &o.healthz_address,
             "Address and port of /healthz and /livez; empty for none."),
    FLAG_STR("metrics-bind-address", &o.metrics_address,
             "Address and port of /metrics; empty for none."),
    FLAG_BOOL("cleanup", &o.cleanup, "Remove the rules from the kernel and exit."),
    FLAG_NO_EFFECT("bind-address"),
    FLAG_NO_EFFECT("config-sync-period"),
    FLAG_NO_EFFECT("conntrack-max-per-core"),
    FLAG_NO_EFFECT("conntrack-min"),
    FLAG_NO_EFFECT("iptables-sync-period"),
    FLAG_NO_EFFECT("oom-score-adj"),
    FLAG_NO_EFFECT("profiling"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Misc", flags)};

static struct proxy *proxy;

/* Healthy while no change waits for long; /livez does not look at the node. */
static bool handle_health(struct http_exchange *x, struct slice path, void *arg)
{
	(void)arg;
	if (!slice_eq_str(path, "/healthz") && !slice_eq_str(path, "/livez"))
		return false;
	int64_t now = clock_real_ns(), pending = proxy_pending_since_ns(proxy);
	bool healthy = proxy_synced(proxy) &&
	               (!pending || now - pending < (int64_t)HEALTH_TIMEOUT_S * 1000000000);
	int64_t updated = pending ? proxy_last_sync_ns(proxy) : now;
	char text[2][64];
	int64_t times[2] = {updated, now};
	for (int i = 0; i < 2; i++) {
		time_t s = (time_t)(times[i] / 1000000000);
		struct tm tm;
		gmtime_r(&s, &tm);
		strftime(text[i], sizeof(text[i]), "%Y-%m-%dT%H:%M:%SZ", &tm);
	}
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "{\"lastUpdated\": \"%s\",\"currentTime\": \"%s\", \"nodeEligible\": true}",
	           text[0], text[1]);
	http_reply(x, healthy ? 200 : 503, "application/json", buf_view(&b));
	return true;
}

static int parse_cidr(struct nft_config *k, struct err *err)
{
	char text[64];
	if (!*o.cluster_cidr)
		return 0;
	/* Of two families, the first IPv4 network counts. */
	for (const char *at = o.cluster_cidr; at;
	     at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(at, ","), at);
		char *slash = strchr(text, '/'), *end = NULL;
		long bits = slash ? strtol(slash + 1, &end, 10) : -1;
		if (slash)
			*slash = 0;
		if (!slash || *end || bits < 1 || bits > 32 || !ipv4_parse(text, &k->cluster_ip))
			continue;
		k->cluster_prefix_bits = (unsigned)bits;
		return 0;
	}
	return err_set(err, ERR_BAD_REQUEST, "invalid argument \"%s\" for --cluster-cidr",
	               o.cluster_cidr);
}

static int clean_up(const struct nft_config *kernel)
{
	struct nft *n;
	struct err err = ERR_INIT;
	int r = nft_open(kernel, &n, &err);
	if (!r) {
		r = nft_cleanup(n, &err);
		nft_close(n);
	}
	if (r)
		log_error(&err, "Could not remove the rules");
	return r ? 1 : 0;
}

static int fail(const struct err *err, const char *what)
{
	log_error(err, "Could not start", LOG_STR("step", what));
	return 1;
}

static int run(struct daemon *d)
{
	struct err err = ERR_INIT;
	struct nft_config kernel = {.masquerade_all = o.masquerade_all,
	                            .masquerade_bit = (unsigned)o.masquerade_bit & 31};
	char host[256] = "";
	if (parse_cidr(&kernel, &err))
		return fail(&err, "flags");
	if (o.cleanup)
		return clean_up(&kernel);
	if (strcmp(o.proxy_mode, "nftables"))
		log_warning("Only the nftables mode exists; it is used",
		            LOG_STR("mode", o.proxy_mode));
	gethostname(host, sizeof(host) - 1);
	struct kubeconfig kc;
	if (kubeconfig_load(o.kubeconfig, NULL, &kc, &err))
		return fail(&err, "kubeconfig");
	struct client *client = NULL;
	struct ops_server *health = NULL, *metrics = NULL;
	int r = client_new(&(struct client_options){d->rpc, &d->loop, &kc, "kube-proxy", 0},
	                   &client, &err);
	if (!r)
		r = proxy_new(&(struct proxy_options){.daemon = d,
		                                      .client = client,
		                                      .node_name = *o.hostname_override
		                                                       ? o.hostname_override
		                                                       : host,
		                                      .kernel = kernel,
		                                      .min_sync_ms = (uint32_t)o.min_sync_ms},
		              &proxy, &err);
	if (!r)
		r = ops_server_start(&(struct ops_server_options){.daemon = d,
		                                                  .address = o.healthz_address,
		                                                  .handle = handle_health},
		                     &health, &err);
	if (!r)
		r = ops_server_start(
		    &(struct ops_server_options){.daemon = d, .address = o.metrics_address},
		    &metrics, &err);
	if (!r) {
		proxy_start(proxy);
		daemon_ready(d);
		daemon_run(d);
	} else {
		fail(&err, "setup");
	}
	/* The rules stay: traffic goes on while kube-proxy is away. */
	ops_server_free(health);
	ops_server_free(metrics);
	proxy_free(proxy);
	client_free(client);
	kubeconfig_deinit(&kc);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct daemon_options options = {
	    .name = "kube-proxy",
	    .description = "kube-proxy makes the Services of the cluster reachable on this node.",
	    .groups = groups,
	    .n_groups = ARRAY_LEN(groups),
	};
	struct daemon d;
	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = run(&d);
	daemon_deinit(&d);
	return r;
}
