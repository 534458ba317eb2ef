/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The two kinds that keep so many pods alike: what differs between them (kubernetes
 * pkg/controller/replication, which sees ReplicationControllers as ReplicaSets, too). */
#include "common/base/arena.h"
#include "common/client/client.h"
#include "proto/apps_v1.pb-c.h"

struct set_kind {
	const char *api_version, *kind;
	const char *account, *component; /* who writes, and who speaks in events */
	const char *queue;               /* its name in metrics */
	struct client_resource resource;
	const struct schema_message *schema;
	/* The object as a ReplicaSet; shares with it. */
	const AppsV1__ReplicaSet *(*view)(const ProtobufCMessage *msg, struct arena *a);
	/* The object with another status; shares with both. */
	const ProtobufCMessage *(*with_status)(const ProtobufCMessage *msg,
	                                       AppsV1__ReplicaSetStatus *status, struct arena *a);
};

extern const struct set_kind set_kind_replicaset, set_kind_replicationcontroller;
