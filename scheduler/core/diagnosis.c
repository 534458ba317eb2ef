/* SPDX-License-Identifier: Apache-2.0 */
/* Why no node fits, in upstream's words (framework.FitError). */
#include <string.h>

#include "common/base/buf.h"
#include "scheduler/core/cycle.h"

void histogram_add(struct histogram *h, const char *text, size_t n)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->at[i].text == text || !strcmp(h->at[i].text, text)) {
			h->at[i].n += n;
			return;
		}
	if (h->n == h->cap) {
		size_t cap = h->cap ? h->cap * 2 : 8;
		h->at = arena_grow(h->arena, h->at, h->cap * sizeof(*h->at), cap * sizeof(*h->at));
		h->cap = cap;
	}
	h->at[h->n++] = (struct reason_count){text, n};
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *histogram_fit_error(const struct histogram *h, size_t n_nodes)
{
	const char **lines = arena_array(h->arena, const char *, h->n);
	for (size_t i = 0; i < h->n; i++)
		lines[i] = arena_printf(h->arena, "%zu %s", h->at[i].n, h->at[i].text);
	if (h->n > 1)
		qsort(lines, h->n, sizeof(*lines), text_cmp);
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_printf(&b, "0/%zu nodes are available", n_nodes);
	for (size_t i = 0; i < h->n; i++)
		buf_printf(&b, "%s %s", i ? "," : ":", lines[i]);
	if (h->n)
		buf_str(&b, ".");
	return arena_strndup(h->arena, b.data, b.len);
}
