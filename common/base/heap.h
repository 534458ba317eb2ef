/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Heap memory that is there, or the process ends: malloc, calloc and strdup without a check at each
 * call. Released with free(). */
#include <string.h>
#include "common/base/cleanup.h"

/* Zeroed. */
static inline void *heap_zalloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p)
		abort();
	return p;
}

/* NULL gives NULL. */
static inline char *heap_strdup(const char *s)
{
	char *copy = s ? strdup(s) : NULL;
	if (s && !copy)
		abort();
	return copy;
}

/* At most n bytes of s. */
static inline char *heap_strndup(const char *s, size_t n)
{
	char *copy = strndup(s, n);
	if (!copy)
		abort();
	return copy;
}

#define heap_new(type) ((type *)heap_zalloc(sizeof(type)))
