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

struct manager_options {
	const char *root_ca_file; /* "" : no root CA is published */
};

struct manager {
	struct component *component;
	struct loop *loop;
	struct client *client;
	struct informers *informers;
	struct manager_options o;
};

struct controller {
	const char *name; /* "replicaset-controller": for --controllers, events and logs */
	void *(*make)(struct manager *m);
	void (*run)(void *self);
	void (*free)(void *self);
};

extern const struct controller controller_replicaset;
extern const struct controller controller_deployment;
