/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/node-lifecycle/plan/zones.h"

enum { FEW = 2 }; /* so many nodes that are not ready do not make a zone unhealthy */

static double rate_of(const struct zone_count *z, const struct zone_rates *r)
{
	size_t all = z->ready + z->not_ready;
	bool partial =
	    z->ready && z->not_ready > FEW && (double)z->not_ready / (double)all >= r->threshold;
	if (!partial)
		return r->normal;
	return all > r->large ? r->secondary : 0;
}

bool zones_plan(const struct zone_count *zones, size_t n, const struct zone_rates *r, double *rates)
{
	bool disrupted = true;
	for (size_t i = 0; i < n; i++)
		disrupted &= !zones[i].ready && zones[i].not_ready;
	for (size_t i = 0; i < n; i++)
		rates[i] = disrupted ? 0 : rate_of(&zones[i], r);
	return disrupted;
}
