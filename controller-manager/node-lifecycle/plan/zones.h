/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How fast nodes of a zone may be given up (kubernetes pkg/controller/nodelifecycle, ZoneState):
 * where many fail at once the fault is rather with the network than with them. Pure. */
#include <stdbool.h>
#include <stddef.h>

struct zone_rates {
	double normal, secondary; /* nodes a second */
	double threshold; /* share of nodes that are not ready from which a zone is unhealthy */
	size_t large;     /* in an unhealthy zone of at most so many nodes nothing is given up */
};

struct zone_count {
	size_t ready, not_ready;
};

/* Fills rates[i] for each zone; true when no zone has a ready node: then nothing is given up, and
 * what was is taken back. */
bool zones_plan(const struct zone_count *zones, size_t n, const struct zone_rates *r,
                double *rates);
