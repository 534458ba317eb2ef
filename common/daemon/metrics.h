/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Counters, gauges and histograms with labels, and their Prometheus text form (0.0.4).
 *
 * Updating a series is lock-free from any thread; finding one by its label values takes a lock, so
 * that hot paths keep the pointer. A family has at most METRIC_SERIES_MAX series; what comes beyond
 * is counted in one series whose label values are all "overflow". */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"

enum { METRIC_LABELS_MAX = 10, METRIC_SERIES_MAX = 5000 };

struct metrics;
struct metric_family;
struct metric;

/* process: with process_* (CPU, resident memory, fds, start time), read when written. */
struct metrics *metrics_new(bool process);
void metrics_free(struct metrics *m);

/* labels: "verb,code", or NULL for none. All strings must outlive the registry. A family that
 * exists already is returned again. */
struct metric_family *metrics_counter(struct metrics *m, const char *name, const char *help,
                                      const char *labels);
struct metric_family *metrics_gauge(struct metrics *m, const char *name, const char *help,
                                    const char *labels);
/* bounds: upper bounds in rising order, without +Inf. */
struct metric_family *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                        const char *labels, const double *bounds, size_t n_bounds);
/* The series with these label values (as many as the family has labels); never NULL, lives as long
 * as the registry. */
struct metric *metric_with(struct metric_family *f, const char *const *values);
#define metric_labels(f, ...) metric_with(f, (const char *const[]){__VA_ARGS__})
/* The one series of a family without labels. */
static inline struct metric *metric_of(struct metric_family *f)
{
	return metric_with(f, NULL);
}

/* All accept NULL and then do nothing. */
void metric_add(struct metric *m, double v);     /* counters, gauges */
void metric_set(struct metric *m, double v);     /* gauges */
void metric_observe(struct metric *m, double v); /* histograms */
static inline void metric_inc(struct metric *m)
{
	metric_add(m, 1);
}
double metric_value(const struct metric *m); /* a histogram's: its count */

/* Called before each write, on the writer's thread, to set gauges. */
void metrics_on_write(struct metrics *m, void (*fn)(void *arg), void *arg);
void metrics_write(struct metrics *m, struct buf *out);
