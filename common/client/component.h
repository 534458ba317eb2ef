/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* main() of a control-plane component that follows the apiserver and leads by election:
 * kube-scheduler, kube-controller-manager. Gives it the flags, kubeconfig, client, secure port
 * (health checks and metrics), leader election and a clean stop that hands the lease over. */
#include "common/client/leader.h"
#include "common/daemon/daemon.h"

struct component;

struct component_options {
	const char *name;                /* "kube-scheduler": user agent, lease, --help */
	const char *description;         /* of --help */
	const char *secure_port;         /* default of --secure-port: "10259" */
	const struct flag_group *groups; /* the component's own flags; may be NULL */
	size_t n_groups;
	/* Makes what the component is and starts its informers. 0, or fills err. */
	int (*start)(struct component *c, struct err *err);
	/* This process leads from now on: the component may write. Called once at most. */
	void (*lead)(struct component *c);
	/* Frees what start made; the loop does not run any more. */
	void (*stop)(struct component *c);
};

struct component {
	const struct component_options *o;
	struct daemon daemon;
	const struct kubeconfig *kubeconfig;
	struct client *client;
	void *self; /* the component's own */
};

int component_main(const struct component_options *o, int argc, char **argv);
