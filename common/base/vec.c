/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"

void *vec_grow_(void *at, size_t *cap, size_t need, size_t elem_bytes)
{
	size_t n = *cap ? *cap : 8;
	while (n < need)
		n *= 2;
	at = reallocarray(at, n, elem_bytes);
	if (!at)
		abort();
	*cap = n;
	return at;
}
