/* SPDX-License-Identifier: Apache-2.0 */
/* kube-controller-manager: the loops that make the cluster what its objects say. */
#include <string.h>

#include "common/base/log.h"
#include "controller-manager/base/accounts.h"
#include "controller-manager/base/manager.h"

static const struct controller *const all[] = {
    &controller_clusterrole_aggregation,
    &controller_cronjob,
    &controller_daemonset,
    &controller_deployment,
    &controller_disruption,
    &controller_endpoints,
    &controller_endpointslice,
    &controller_endpointslice_mirroring,
    &controller_garbage_collector,
    &controller_job,
    &controller_namespace,
    &controller_node_lifecycle,
    &controller_pod_gc,
    &controller_replicaset,
    &controller_replicationcontroller,
    &controller_resourcequota,
    &controller_root_ca,
    &controller_serviceaccount,
    &controller_serviceaccount_token,
    &controller_statefulset,
    &controller_taint_eviction,
    &controller_ttl_after_finished,
    &controller_claim_protection,
    &controller_volume_protection,
};

static struct manager manager = {.o = {.root_ca_file = "",
                                       .account_key_file = "",
                                       .use_accounts = true,
                                       .node_grace_ms = 50000,
                                       .eviction_rate = 0.1,
                                       .secondary_eviction_rate = 0.01,
                                       .unhealthy_threshold = 0.55,
                                       .large_cluster = 50,
                                       .terminated_pods = 12500}};
/* Queues whose number of workers has a flag. */
static struct {
	const char *queue;
	int64_t syncs;
} concurrent[] = {
    {"deployment"},
    {"replicaset"},
    {"endpoint"},
    {"endpoint_slice"},
    {"job"},
    {"cronjob"},
    {"daemonset"},
    {"statefulset"},
    {"namespace"},
    {"serviceaccount_tokens_secret"},
    {"garbage_collector_attempt_to_delete"},
    {"ttl_jobs_to_delete"},
    {"resourcequota_primary"},
};

#define SYNCS(what, i)                                              \
	FLAG_INT("concurrent-" what "-syncs", &concurrent[i].syncs, \
	         "How many are worked on at a time; 0 for the default.")

static flag_list wanted;
static struct {
	void *self;
} made[ARRAY_LEN(all)];
static bool ready, synced;

static struct flag flags[] = {
    FLAG_LIST("controllers", &wanted,
              "Which controllers run: * for those that are on by default, name, or -name."),
    FLAG_STR("root-ca-file", &manager.o.root_ca_file,
             "The certificate authority that is published to every namespace."),
    FLAG_STR("service-account-private-key-file", &manager.o.account_key_file,
             "The key that signs the tokens of Secrets of service accounts."),
    FLAG_BOOL("use-service-account-credentials", &manager.o.use_accounts,
              "Let each controller write as a service account of its own."),
    FLAG_DURATION("node-monitor-grace-period", &manager.o.node_grace_ms,
                  "How long a node may give no sign of life before it counts as unknown."),
    FLAG_FLOAT("node-eviction-rate", &manager.o.eviction_rate,
               "Nodes a second whose pods may be evicted in a zone that is healthy."),
    FLAG_FLOAT("secondary-node-eviction-rate", &manager.o.secondary_eviction_rate,
               "The same in a large zone that is unhealthy."),
    FLAG_FLOAT("unhealthy-zone-threshold", &manager.o.unhealthy_threshold,
               "The share of nodes that are not ready from which a zone is unhealthy."),
    FLAG_INT("large-cluster-size-threshold", &manager.o.large_cluster,
             "With at most so many nodes an unhealthy zone is left alone."),
    FLAG_INT("terminated-pod-gc-threshold", &manager.o.terminated_pods,
             "How many pods that have ended are kept; 0 or less for all."),
    SYNCS("deployment", 0),
    SYNCS("replicaset", 1),
    SYNCS("endpoint", 2),
    SYNCS("service-endpoint", 3),
    SYNCS("job", 4),
    SYNCS("cron-job", 5),
    SYNCS("daemonset", 6),
    SYNCS("statefulset", 7),
    SYNCS("namespace", 8),
    SYNCS("serviceaccount-token", 9),
    SYNCS("gc", 10),
    SYNCS("ttl-after-finished", 11),
    SYNCS("resource-quota", 12),
    FLAG_NO_EFFECT("concurrent-rc-syncs"),
    FLAG_NO_EFFECT("concurrent-service-syncs"),
    FLAG_NO_EFFECT("concurrent-horizontal-pod-autoscaler-syncs"),
    FLAG_NO_EFFECT("concurrent-ephemeralvolume-syncs"),
    FLAG_NO_EFFECT("concurrent-validating-admission-policy-status-syncs"),
    FLAG_NO_EFFECT("mirroring-concurrent-service-endpoint-syncs"),
    FLAG_NO_EFFECT("allocate-node-cidrs"),
    FLAG_NO_EFFECT("cluster-cidr"),
    FLAG_NO_EFFECT("cluster-name"),
    FLAG_NO_EFFECT("cluster-signing-cert-file"),
    FLAG_NO_EFFECT("cluster-signing-key-file"),
    FLAG_NO_EFFECT("service-cluster-ip-range"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Controllers", flags)};

/* Upstream's rule: a name or its negation decides, else whether "*" is there. */
static bool is_wanted(const char *name)
{
	bool star = wanted.n == 0;
	for (size_t i = 0; i < wanted.n; i++) {
		const char *w = wanted.at[i];
		if (!strcmp(w, name))
			return true;
		if (*w == '-' && !strcmp(w + 1, name))
			return false;
		star |= !strcmp(w, "*");
	}
	return star;
}

static void run_all(void)
{
	if (!ready || !synced)
		return;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (made[i].self) {
			all[i]->run(made[i].self);
			log_info("Started controller", LOG_STR("controller", all[i]->name));
		}
}

static void on_synced(void *arg)
{
	(void)arg;
	synced = true;
	run_all();
}

struct client *manager_client(struct manager *m, const char *account)
{
	return m->accounts ? accounts_client(m->accounts, account) : m->client;
}

struct workqueue *manager_queue(struct manager *m, const char *name, unsigned workers,
                                workqueue_fn process, void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(concurrent); i++)
		if (!strcmp(concurrent[i].queue, name) && concurrent[i].syncs > 0)
			workers = (unsigned)MIN(concurrent[i].syncs, 1000);
	struct workqueue *q = workqueue_new(m->loop, workers, process, arg);
	workqueue_measure(q, m->component->daemon.metrics, name);
	return q;
}

static int start(struct component *c, struct err *err)
{
	(void)err;
	manager.component = c;
	manager.loop = &c->daemon.loop;
	manager.client = c->client;
	manager.informers = informers_new(c->client);
	if (manager.o.use_accounts)
		manager.accounts = accounts_new(c->client, c->daemon.rpc, c->kubeconfig);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (is_wanted(all[i]->name))
			made[i].self = all[i]->make(&manager);
	informers_on_synced(manager.informers, on_synced, NULL);
	informers_start(manager.informers);
	return 0;
}

static void on_ready(void *arg)
{
	(void)arg;
	ready = true;
	run_all();
}

static void lead(struct component *c)
{
	if (manager.accounts)
		accounts_login(manager.accounts, on_ready, c);
	else
		on_ready(c);
}

static void stop(struct component *c)
{
	(void)c;
	accounts_free(manager.accounts);
	informers_free(manager.informers);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (made[i].self)
			all[i]->free(made[i].self);
}

int main(int argc, char **argv)
{
	static const struct component_options options = {
	    .name = "kube-controller-manager",
	    .description = "kube-controller-manager runs the control loops of the cluster.",
	    .secure_port = "10257",
	    .groups = groups,
	    .n_groups = ARRAY_LEN(groups),
	    .start = start,
	    .lead = lead,
	    .stop = stop,
	};
	return component_main(&options, argc, argv);
}
