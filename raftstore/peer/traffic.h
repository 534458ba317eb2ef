/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The families etcd_network_*, with etcd's names and labels. */
#include "common/daemon/metrics.h"

struct traffic {
	char local[24];
	struct metric_family *sent, *received, *sent_failures, *received_failures, *round_trip;
	struct metric_family *active, *disconnected;
};

/* Of one peer. */
struct peer_traffic {
	char id[24];
	struct metric *sent, *received, *sent_failures, *received_failures, *round_trip;
	struct metric *active, *disconnected;
};

/* metrics NULL: nothing is counted. */
void traffic_init(struct traffic *t, struct metrics *metrics, uint64_t local_id);
void peer_traffic_init(struct peer_traffic *pt, struct traffic *t, uint64_t id);
