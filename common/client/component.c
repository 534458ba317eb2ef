/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/component.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/ops_server.h"

/* A leader that lost its lease may not go on: it exits, and starts again as a candidate. */
enum { EXIT_LOST_LEASE = 1 };

static struct {
	const char *kubeconfig, *master, *bind_address, *cert_file, *key_file;
	const char *lease_name, *lease_namespace;
	int64_t secure_port, lease_ms, renew_ms, retry_ms;
	bool leader_elect;
} o = {
    .kubeconfig = "",
    .master = "",
    .bind_address = "0.0.0.0",
    .cert_file = "",
    .key_file = "",
    .lease_name = "",
    .lease_namespace = "kube-system",
    .lease_ms = 15000,
    .renew_ms = 10000,
    .retry_ms = 2000,
    .leader_elect = true,
};

static struct flag flags[] = {
    FLAG_STR("kubeconfig", &o.kubeconfig, "Path to the kubeconfig file of the apiserver."),
    FLAG_STR("bind-address", &o.bind_address, "The address of the secure port."),
    FLAG_INT("secure-port", &o.secure_port, "The port of health checks and metrics; 0 for none."),
    FLAG_STR("tls-cert-file", &o.cert_file, "Certificate of the secure port; self-signed without."),
    FLAG_STR("tls-private-key-file", &o.key_file, "Key of that certificate."),
    FLAG_BOOL("leader-elect", &o.leader_elect, "Lead by election, so that several can run."),
    FLAG_DURATION("leader-elect-lease-duration", &o.lease_ms,
                  "How long others wait for a leader that does not renew."),
    FLAG_DURATION("leader-elect-renew-deadline", &o.renew_ms,
                  "How long a leader tries to renew before it gives up."),
    FLAG_DURATION("leader-elect-retry-period", &o.retry_ms, "The time between two tries."),
    FLAG_STR("leader-elect-resource-name", &o.lease_name, "Name of the Lease."),
    FLAG_STR("leader-elect-resource-namespace", &o.lease_namespace, "Namespace of the Lease."),
    FLAG_NO_EFFECT("leader-elect-resource-lock"),
    FLAG_NO_EFFECT("authentication-kubeconfig"),
    FLAG_NO_EFFECT("authorization-kubeconfig"),
    FLAG_NO_EFFECT("client-ca-file"),
    FLAG_NO_EFFECT("requestheader-client-ca-file"),
    FLAG_NO_EFFECT("profiling"),
    FLAG_NO_EFFECT("kube-api-qps"),
    FLAG_NO_EFFECT("kube-api-burst"),
    FLAG_NO_EFFECT("kube-api-content-type"),
    FLAG_NO_EFFECT("feature-gates"),
};

struct running {
	struct component *c;
	struct leader *leader;
	struct metric *master_status;
	bool lost;
};

static void on_started_leading(void *arg)
{
	struct running *r = arg;
	log_info("Became the leader", LOG_STR("identity", leader_identity(r->leader)));
	metric_set(r->master_status, 1);
	r->c->o->lead(r->c);
}

static void on_stopped_leading(void *arg)
{
	struct running *r = arg;
	log_error(NULL, "Leader election lost");
	r->lost = true;
	daemon_quit(&r->c->daemon);
}

static void on_new_leader(const char *identity, void *arg)
{
	(void)arg;
	log_info("New leader elected", LOG_STR("identity", identity));
}

static void quit(void *arg)
{
	daemon_quit(arg);
}

static struct running *running_now;

static void on_stop(struct daemon *d, void *arg)
{
	(void)arg;
	if (running_now && running_now->leader)
		leader_stop(running_now->leader, quit, d);
	else
		daemon_quit(d);
}

static int secure_port(struct component *c, struct ops_server **ret, struct err *err)
{
	char address[160];
	struct tls_context *tls = NULL;
	_cleanup_buf_ struct buf cert = BUF_INIT;
	_cleanup_buf_ struct buf key = BUF_INIT;
	if (!o.secure_port)
		return 0;
	struct tls_options t = {.server = true, .cert_file = o.cert_file, .key_file = o.key_file};
	int r = 0;
	if (!*o.cert_file) {
		char host[256] = "localhost";
		gethostname(host, sizeof(host) - 1);
		const char *const hosts[] = {host, "localhost", "127.0.0.1"};
		r = tls_self_signed(hosts, ARRAY_LEN(hosts), clock_real_ns() / 1000000000, &cert,
		                    &key, err);
		t = (struct tls_options){
		    .server = true, .cert_pem = buf_view(&cert), .key_pem = buf_view(&key)};
	}
	if (!r)
		r = tls_context_new(&t, &tls, err);
	if (!r) {
		snprintf(address, sizeof(address), "%s:%lld", o.bind_address,
		         (long long)o.secure_port);
		r = ops_server_start(&(struct ops_server_options){.daemon = &c->daemon,
		                                                  .address = address,
		                                                  .tls = tls},
		                     ret, err);
	}
	tls_context_unref(tls);
	return r;
}

static void elect(struct running *run)
{
	struct component *c = run->c;
	if (!o.leader_elect) {
		c->o->lead(c);
		return;
	}
	static const char help[] =
	    "Gauge of if the reporting system is master of the relevant lease";
	run->master_status = metric_labels(
	    metrics_gauge(c->daemon.metrics, "leader_election_master_status", help, "name"),
	    c->o->name);
	run->leader = leader_new(&(struct leader_options){
	    .client = c->client,
	    .ns = o.lease_namespace,
	    .name = *o.lease_name ? o.lease_name : c->o->name,
	    .lease_duration_ms = (uint32_t)o.lease_ms,
	    .renew_deadline_ms = (uint32_t)o.renew_ms,
	    .retry_period_ms = (uint32_t)o.retry_ms,
	    .on_started = on_started_leading,
	    .on_stopped = on_stopped_leading,
	    .on_new_leader = on_new_leader,
	    .arg = run,
	});
	leader_start(run->leader);
}

static int run(struct component *c)
{
	struct err err = ERR_INIT;
	struct kubeconfig kc = {0};
	struct ops_server *ops = NULL;
	struct running run = {.c = c};
	bool made = false;
	int r = kubeconfig_load(o.kubeconfig, NULL, &kc, &err);
	c->kubeconfig = &kc;
	if (!r)
		r = client_new(
		    &(struct client_options){c->daemon.rpc, &c->daemon.loop, &kc, c->o->name, 0},
		    &c->client, &err);
	if (!r)
		r = secure_port(c, &ops, &err);
	if (!r) {
		r = c->o->start(c, &err);
		made = !r;
	}
	if (r) {
		log_error(&err, "Could not start");
	} else {
		running_now = &run;
		elect(&run);
		daemon_ready(&c->daemon);
		daemon_run(&c->daemon);
		running_now = NULL;
	}
	ops_server_free(ops);
	leader_free(run.leader);
	if (made)
		c->o->stop(c);
	client_free(c->client);
	kubeconfig_deinit(&kc);
	return r ? 1 : run.lost ? EXIT_LOST_LEASE : 0;
}

enum { GROUPS_MAX = 8 };

int component_main(const struct component_options *options, int argc, char **argv)
{
	struct component c = {.o = options};
	struct flag_group groups[GROUPS_MAX] = {FLAG_GROUP("Generic", flags)};
	size_t n = 1;
	for (size_t i = 0; i < options->n_groups && n < GROUPS_MAX; i++)
		groups[n++] = options->groups[i];
	o.secure_port = strtol(options->secure_port, NULL, 10);
	const struct daemon_options d = {.name = options->name,
	                                 .description = options->description,
	                                 .groups = groups,
	                                 .n_groups = n,
	                                 .on_stop = on_stop};
	int r = daemon_init(&c.daemon, &d, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = run(&c);
	daemon_deinit(&c.daemon);
	return r;
}
