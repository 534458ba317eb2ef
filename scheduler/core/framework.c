/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/framework.h"

void scores_normalize(int64_t *scores, size_t n, bool reverse)
{
	int64_t max = 0;
	for (size_t i = 0; i < n; i++)
		max = MAX(max, scores[i]);
	for (size_t i = 0; i < n; i++) {
		int64_t score = max ? scores[i] * SCORE_MAX / max : 0;
		scores[i] = reverse ? SCORE_MAX - score : score;
	}
}

bool plugin_has_point(const struct plugin *p, enum extension_point point)
{
	switch (point) {
	case POINT_PRE_ENQUEUE:
		return p->pre_enqueue;
	case POINT_QUEUE_SORT:
		return p->queue_sort;
	case POINT_PRE_FILTER:
		return p->pre_filter;
	case POINT_FILTER:
		return p->filter;
	case POINT_POST_FILTER:
		return p->post_filter;
	case POINT_PRE_SCORE:
		return p->pre_score;
	case POINT_SCORE:
		return p->score;
	case POINT_RESERVE:
		return p->reserve || p->unreserve;
	case POINT_PERMIT:
		return p->permit;
	case POINT_PRE_BIND:
		return p->pre_bind;
	case POINT_BIND:
		return p->bind;
	case POINT_POST_BIND:
		return p->post_bind;
	case POINT_COUNT:
		break;
	}
	return false;
}

enum status_code framework_pre_enqueue(const struct framework *f, const struct pod_info *pod,
                                       const char **ret_plugin)
{
	const struct plugin_uses *u = &f->points[POINT_PRE_ENQUEUE];
	for (size_t i = 0; i < u->n; i++) {
		enum status_code code = u->at[i].plugin->pre_enqueue(pod, NULL);
		if (code == STATUS_SUCCESS)
			continue;
		*ret_plugin = u->at[i].plugin->name;
		return code;
	}
	return STATUS_SUCCESS;
}
