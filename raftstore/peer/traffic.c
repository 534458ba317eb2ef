/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/peer/traffic.h"
#include <stdio.h>

static const double round_trip_bounds[] = {0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032,
                                           0.0064, 0.0128, 0.0256, 0.0512, 0.1024, 0.2048,
                                           0.4096, 0.8192, 1.6384, 3.2768};

void traffic_init(struct traffic *t, struct metrics *m, uint64_t local_id)
{
	snprintf(t->local, sizeof(t->local), "%llx", (unsigned long long)local_id);
	if (!m)
		return;
	t->sent = metrics_counter(m, "etcd_network_peer_sent_bytes_total",
	                          "The total number of bytes sent to peers.", "To");
	t->received = metrics_counter(m, "etcd_network_peer_received_bytes_total",
	                              "The total number of bytes received from peers.", "From");
	t->sent_failures = metrics_counter(m, "etcd_network_peer_sent_failures_total",
	                                   "The total number of send failures from peers.", "To");
	t->received_failures =
	    metrics_counter(m, "etcd_network_peer_received_failures_total",
	                    "The total number of receive failures from peers.", "From");
	t->round_trip =
	    metrics_histogram(m, "etcd_network_peer_round_trip_time_seconds",
	                      "Round-Trip-Time histogram between peers", "To", round_trip_bounds,
	                      sizeof(round_trip_bounds) / sizeof(round_trip_bounds[0]));
	t->active = metrics_gauge(m, "etcd_network_active_peers",
	                          "The current number of active peer connections.", "Local,Remote");
	t->disconnected =
	    metrics_counter(m, "etcd_network_disconnected_peers_total",
	                    "The total number of disconnected peers.", "Local,Remote");
}

void peer_traffic_init(struct peer_traffic *pt, struct traffic *t, uint64_t id)
{
	*pt = (struct peer_traffic){0};
	snprintf(pt->id, sizeof(pt->id), "%llx", (unsigned long long)id);
	if (!t->sent)
		return;
	pt->sent = metric_labels(t->sent, pt->id);
	pt->received = metric_labels(t->received, pt->id);
	pt->sent_failures = metric_labels(t->sent_failures, pt->id);
	pt->received_failures = metric_labels(t->received_failures, pt->id);
	pt->round_trip = metric_labels(t->round_trip, pt->id);
	pt->active = metric_labels(t->active, t->local, pt->id);
	pt->disconnected = metric_labels(t->disconnected, t->local, pt->id);
}
