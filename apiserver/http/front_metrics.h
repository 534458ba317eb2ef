/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Counts and times requests in upstream's metric families (apiserver pkg/endpoints/metrics). Any
 * thread; a NULL front_metrics does nothing. */
#include "apiserver/request/request.h"
#include "common/daemon/metrics.h"
#include <stdatomic.h>

struct front_metrics;

/* inflight: two counters, reads and writes. m NULL gives NULL. */
struct front_metrics *front_metrics_new(struct metrics *m, atomic_uint *inflight);
void front_metrics_free(struct front_metrics *f);
void front_metrics_begin(struct front_metrics *f, const struct request *r, bool long_running);
/* Once for each begin, also for requests that never began (verb_name ""). */
void front_metrics_end(struct front_metrics *f, const struct request *r,
                       const struct response_sink *s, bool long_running);
