/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* kube-proxy's metrics, by upstream's names. */
#include "common/daemon/metrics.h"
#include "kube-proxy/core/state.h"

struct proxy_metrics {
	/* By family. */
	struct metric *sync_seconds[FAMILIES], *full_seconds[FAMILIES], *partial_seconds[FAMILIES];
	struct metric *programming_seconds[FAMILIES], *last_sync[FAMILIES];
	struct metric *failures[FAMILIES], *flows_seconds[FAMILIES], *flows_deleted[FAMILIES];
	struct metric *last_queued, *service_changes, *endpoint_changes;
	struct metric *service_pending, *endpoint_pending;
	struct metric_family *healthz, *livez;
	/* Set when metrics are written. */
	struct metric *backends, *frontends, *no_local_internal, *no_local_external;
	const struct proxy_state *state;
};

void proxy_metrics_init(struct proxy_metrics *pm, struct metrics *m, const struct proxy_state *s);
