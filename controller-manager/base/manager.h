/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the controllers of one process share, and what a controller is.
 *
 * Every controller asks for its informers in `make` and fills its queue from their events at any
 * time; `run` comes once this process leads and all informers are synced: from then on it writes.
 */
#include "common/client/component.h"
#include "common/client/informer.h"
#include "common/client/recorder.h"
#include "common/client/workqueue.h"

struct accounts;

struct manager_options {
	const char *root_ca_file;     /* "" : no root CA is published */
	const char *account_key_file; /* signs the tokens of Secrets; "": they are not filled */
	bool use_accounts;            /* each controller writes as a service account of its own */
	int64_t node_grace_ms;        /* without a sign of life a node is Unknown after this */
	/* How fast nodes are given up; see node-lifecycle/plan/zones.h. */
	double eviction_rate, secondary_eviction_rate, unhealthy_threshold;
	int64_t large_cluster;
	int64_t terminated_pods; /* as many that have ended are kept; <= 0: all */
};

struct manager {
	struct component *component;
	struct loop *loop;
	struct client *client; /* reads all, writes events */
	struct informers *informers;
	struct accounts *accounts;
	struct manager_options o;
};

/* The client that writes as the service account kube-system/<account>. For `make`; it may be used
 * from `run` on. */
struct client *manager_client(struct manager *m, const char *account);

/* A queue with upstream's name in metrics; --concurrent-*-syncs goes before the number given. */
struct workqueue *manager_queue(struct manager *m, const char *name, unsigned workers,
                                workqueue_fn process, void *arg);

struct controller {
	const char *name; /* "replicaset-controller": for --controllers, events and logs */
	void *(*make)(struct manager *m);
	void (*run)(void *self);
	void (*free)(void *self);
};

extern const struct controller controller_clusterrole_aggregation;
extern const struct controller controller_cronjob;
extern const struct controller controller_daemonset;
extern const struct controller controller_deployment;
extern const struct controller controller_disruption;
extern const struct controller controller_endpoints;
extern const struct controller controller_endpointslice;
extern const struct controller controller_endpointslice_mirroring;
extern const struct controller controller_garbage_collector;
extern const struct controller controller_job;
extern const struct controller controller_namespace;
extern const struct controller controller_node_lifecycle;
extern const struct controller controller_pod_gc;
extern const struct controller controller_replicaset;
extern const struct controller controller_replicationcontroller;
extern const struct controller controller_resourcequota;
extern const struct controller controller_root_ca;
extern const struct controller controller_serviceaccount;
extern const struct controller controller_serviceaccount_token;
extern const struct controller controller_statefulset;
extern const struct controller controller_taint_eviction;
extern const struct controller controller_ttl_after_finished;
extern const struct controller controller_claim_protection, controller_volume_protection;
