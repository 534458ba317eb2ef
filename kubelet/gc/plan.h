/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which images go when the disk fills up (kubelet images/image_gc_manager.go). Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gc_image {
	const char *id;
	uint64_t size_bytes;
	bool in_use, pinned;
	uint64_t detected_ms;  /* when it was first seen */
	uint64_t last_used_ms; /* when a container had it last; 0: never seen in use */
};

struct image_policy {
	int64_t high_percent, low_percent;
	uint64_t min_age_ms;
	uint64_t max_age_ms; /* unused for longer goes whatever the disk says; 0: off */
};

/* How many bytes must be freed: 0 below the high threshold, else down to the low one. */
uint64_t image_bytes_to_free(const struct image_policy *p, uint64_t capacity_bytes,
                             uint64_t available_bytes);
/* Sorts images so that those to remove come first, least recently used before others, and returns
 * how many of them free `bytes` (UINT64_MAX: all that may go). *ret_freed: what they free. */
size_t images_to_remove(const struct image_policy *p, struct gc_image *images, size_t n,
                        uint64_t bytes, uint64_t now_ms, uint64_t *ret_freed);
