/* SPDX-License-Identifier: Apache-2.0 */
/* kube-proxy: makes Services reachable on this node. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/ops_server.h"
#include "kube-proxy/kernel/nft.h"
#include "kube-proxy/proxy.h"
#include "kube-proxy/sysctl.h"

static struct proxy *proxy;
static struct metric_family *healthz_total, *livez_total;

/* As Go prints a time; 0 is its zero time. */
static void format_time(int64_t ns, char out[64])
{
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;
	gmtime_r(&s, &tm);
	size_t n = strftime(out, 64, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + n, 64 - n, ".%09d +0000 UTC", (int)(ns % 1000000000));
	if (!ns)
		snprintf(out, 64, "0001-01-01 00:00:00 +0000 UTC");
}

/* /livez does not look at the node. The time of the last update is that of the answer while all is
 * well, as it was when rules were made over and over. */
static bool handle_health(struct http_exchange *x, struct slice path, void *arg)
{
	bool healthz = slice_eq_str(path, "/healthz"), eligible = proxy_node_eligible(proxy);
	(void)arg;
	if (!healthz && !slice_eq_str(path, "/livez"))
		return false;
	char text[2][64];
	int64_t now = clock_real_ns(), updated;
	bool healthy = proxy_healthy(proxy, &updated) && (!healthz || eligible);
	format_time(healthy ? now : updated, text[0]);
	format_time(now, text[1]);
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "{\"lastUpdated\": \"%s\",\"currentTime\": \"%s\"", text[0], text[1]);
	if (healthz)
		buf_printf(&b, ", \"nodeEligible\": %s", eligible ? "true" : "false");
	buf_byte(&b, '}');
	metric_inc(metric_labels(healthz ? healthz_total : livez_total, healthy ? "200" : "503"));
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	http_reply(x, healthy ? 200 : 503, "application/json", buf_view(&b));
	return true;
}

static bool handle_metrics(struct http_exchange *x, struct slice path, void *arg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	(void)arg;
	if (slice_eq_str(path, "/proxyMode"))
		buf_str(&b, "nftables");
	else if (slice_eq_str(path, "/rules"))
		proxy_rules_text(proxy, &b);
	else
		return false;
	http_set_header(x, "X-Content-Type-Options", "nosniff");
	http_reply(x, 200, "text/plain; charset=utf-8", buf_view(&b));
	return true;
}

static int fail(const struct err *err, const char *what)
{
	log_error(err, "Could not start", LOG_STR("step", what));
	return 1;
}

static int clean_up(void)
{
	struct netlink nl;
	struct err err = ERR_INIT;
	int r = netlink_open(&nl, &err);
	for (enum family f = 0; f < FAMILIES && !r; f++)
		if (f == FAMILY_IPV4 || access("/proc/net/if_inet6", F_OK) == 0)
			r = nft_cleanup(&nl, f, &err);
	if (r)
		log_error(&err, "Could not remove the rules");
	netlink_close(&nl);
	return r ? 1 : 0;
}

/* An address that is taken is fatal only when asked for (--bind-address-hard-fail). */
static int serve(const struct ops_server_options *o, struct ops_server **ret, struct err *err)
{
	int r = ops_server_start(o, ret, err);
	if (!r || proxy_config.bind_hard_fail)
		return r;
	log_error(err, "Could not listen", LOG_STR("address", o->address));
	return 0;
}

static int run_with(struct daemon *d, struct client *client, const char *node_name)
{
	struct ops_server *health = NULL, *metrics = NULL;
	struct err err = ERR_INIT;
	int r = proxy_new(
	    &(struct proxy_options){
	        .daemon = d, .client = client, .node_name = node_name, .config = &proxy_config},
	    &proxy, &err);
	healthz_total = metrics_counter(d->metrics, "kubeproxy_proxy_healthz_total", "", "code");
	livez_total = metrics_counter(d->metrics, "kubeproxy_proxy_livez_total", "", "code");
	if (!r)
		r = serve(&(struct ops_server_options){.daemon = d,
		                                       .address = proxy_config.healthz_address,
		                                       .handle = handle_health},
		          &health, &err);
	if (!r)
		r = serve(&(struct ops_server_options){.daemon = d,
		                                       .address = proxy_config.metrics_address,
		                                       .handle = handle_metrics},
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
	return r ? 1 : 0;
}

static int run(struct daemon *d)
{
	struct err err = ERR_INIT;
	char host[256] = "";
	if (proxy_config_load(&proxy_config, &d->arena, &err))
		return fail(&err, "configuration");
	if (proxy_config.cleanup)
		return clean_up();
	gethostname(host, sizeof(host) - 1);
	sysctl_conntrack(&proxy_config);
	struct kubeconfig kc;
	struct client *client = NULL;
	if (kubeconfig_load(proxy_config.kubeconfig, NULL, &kc, &err))
		return fail(&err, "kubeconfig");
	int r = client_new(&(struct client_options){d->rpc, &d->loop, &kc, "kube-proxy", 0},
	                   &client, &err);
	const char *name = proxy_config.hostname_override;
	r = r ? fail(&err, "client") : run_with(d, client, *name ? name : host);
	client_free(client);
	kubeconfig_deinit(&kc);
	return r;
}

int main(int argc, char **argv)
{
	const struct daemon_options options = {
	    .name = "kube-proxy",
	    .description = "kube-proxy makes the Services of the cluster reachable on this node.",
	    .groups = proxy_flag_groups,
	    .n_groups = proxy_n_flag_groups,
	};
	struct daemon d;
	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = run(&d);
	daemon_deinit(&d);
	return r;
}
