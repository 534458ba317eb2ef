/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of kubelet/stats. */
#include "common/base/list.h"
#include "common/base/map.h"
#include "kubelet/stats/stats.h"

struct rate {
	uint64_t cpu_ns, nano_cores;
	int64_t time_ns;
	bool has_rate;
	uint64_t mark;
};

struct stats {
	struct kubelet *k;
	const char *logs_dir;
	int64_t started_ns;
	struct map rates; /* container id, pod uid, "/" -> struct rate */
	uint64_t mark;
	struct list collects;
	struct metrics *probes; /* /metrics/probes */
	struct metric_family *probe_total;
	struct metric_family *operations, *operation_errors, *operation_seconds;
	struct metric_family *turn_seconds;
	struct metric *start_seconds, *started_pods;
	struct metric_family *running_pods, *running_containers, *evictions;
	struct metric *relist_seconds, *relisted_at, *desired_pods;
};

/* Nobody is answered any more. */
void collects_drop(struct stats *s);
