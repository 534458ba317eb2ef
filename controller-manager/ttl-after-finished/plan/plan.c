/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/ttl-after-finished/plan/plan.h"

#include <string.h>

bool ttl_expiry(const BatchV1__Job *job, int64_t *ret_s)
{
	const BatchV1__JobStatus *st = job->status;
	if (!job->spec->has_ttl_seconds_after_finished || job->metadata->deletion_timestamp)
		return false;
	for (size_t i = 0; i < st->n_conditions; i++) {
		const BatchV1__JobCondition *c = st->conditions[i];
		if ((strcmp(c->type, "Complete") && strcmp(c->type, "Failed")) ||
		    strcmp(c->status, "True") || !c->last_transition_time)
			continue;
		*ret_s = c->last_transition_time->seconds + job->spec->ttl_seconds_after_finished;
		return true;
	}
	return false;
}
