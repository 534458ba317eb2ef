/* SPDX-License-Identifier: Apache-2.0 */
/* ImageLocality: nodes that have the pod's images already are better, by the size of what need not
 * be pulled; an image counts less the fewer nodes have it, so that pods do not pile up there. */
#include "scheduler/plugins/plugins.h"

enum { MB = 1024 * 1024, LEAST = 23 * MB, MOST_A_CONTAINER = 1000 * MB };

static int64_t bytes_of(const struct node_spec *n, uint32_t image)
{
	size_t low = 0, high = n->n_images;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (n->images[mid].name < image)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n->n_images && n->images[low].name == image ? n->images[low].bytes : 0;
}

static enum status_code pre_score(const struct plugin_call *c, struct node_info *const *nodes,
                                  size_t n)
{
	(void)nodes;
	(void)n;
	for (uint32_t i = 0; i < c->pod->n_images; i++)
		if (cluster_image_nodes(c->cluster, c->pod->images[i]))
			return STATUS_SUCCESS;
	return STATUS_SKIP;
}

static int64_t score(const struct plugin_call *c, const struct node_info *n)
{
	int64_t sum = 0, all = (int64_t)cluster_n_nodes(c->cluster);
	for (uint32_t i = 0; i < c->pod->n_images; i++) {
		int64_t bytes = bytes_of(n->spec, c->pod->images[i]);
		int64_t have = cluster_image_nodes(c->cluster, c->pod->images[i]);
		sum += (int64_t)((double)bytes * ((double)have / (double)all));
	}
	int64_t most = (int64_t)MOST_A_CONTAINER * c->pod->n_containers;
	sum = MIN(MAX(sum, (int64_t)LEAST), most);
	return SCORE_MAX * (sum - LEAST) / (most - LEAST);
}

const struct plugin plugin_image_locality = {
    .name = "ImageLocality", .weight = 1, .pre_score = pre_score, .score = score};
