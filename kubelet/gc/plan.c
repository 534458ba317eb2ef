/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/gc/plan.h"

#include <stdlib.h>

uint64_t image_bytes_to_free(const struct image_policy *p, uint64_t capacity_bytes,
                             uint64_t available_bytes)
{
	if (!capacity_bytes || available_bytes > capacity_bytes || p->high_percent >= 100)
		return 0;
	int64_t percent = 100 - (int64_t)(available_bytes * 100 / capacity_bytes);
	if (percent < p->high_percent)
		return 0;
	uint64_t want = capacity_bytes / 100 * (uint64_t)(100 - p->low_percent);
	return want > available_bytes ? want - available_bytes : 0;
}

static int by_last_use(const void *a, const void *b)
{
	const struct gc_image *x = a, *y = b;
	if (x->last_used_ms != y->last_used_ms)
		return (x->last_used_ms > y->last_used_ms) - (x->last_used_ms < y->last_used_ms);
	return (x->detected_ms > y->detected_ms) - (x->detected_ms < y->detected_ms);
}

static bool may_go(const struct image_policy *p, const struct gc_image *i, uint64_t now_ms)
{
	return !i->in_use && !i->pinned && now_ms - i->detected_ms >= p->min_age_ms;
}

static bool is_too_old(const struct image_policy *p, const struct gc_image *i, uint64_t now_ms)
{
	uint64_t last = i->last_used_ms ? i->last_used_ms : i->detected_ms;
	return p->max_age_ms && now_ms - last > p->max_age_ms;
}

size_t images_to_remove(const struct image_policy *p, struct gc_image *images, size_t n,
                        uint64_t bytes, uint64_t now_ms, uint64_t *ret_freed)
{
	size_t chosen = 0;
	uint64_t freed = 0;
	qsort(images, n, sizeof(*images), by_last_use);
	for (size_t i = 0; i < n; i++) {
		struct gc_image x = images[i];
		if (!may_go(p, &x, now_ms) || (freed >= bytes && !is_too_old(p, &x, now_ms)))
			continue;
		freed += x.size_bytes;
		images[i] = images[chosen];
		images[chosen++] = x;
	}
	*ret_freed = freed;
	return chosen;
}
