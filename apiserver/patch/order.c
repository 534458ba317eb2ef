/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/patch/order.h"

bool order_same(const struct jvalue *a, const struct jvalue *b, const char *merge_key)
{
	if (!merge_key)
		return jvalue_equal(a, b);
	const struct jvalue *x = jvalue_get(a, merge_key), *y = jvalue_get(b, merge_key);
	return x && y && jvalue_equal(x, y);
}

int64_t order_index(const struct jvalue *list, const struct jvalue *el, const char *merge_key)
{
	for (uint32_t i = 0; list && i < list->n; i++)
		if (order_same(list->items[i], el, merge_key))
			return i;
	return -1;
}

struct ranked {
	struct jvalue *el;
	int64_t rank, at; /* place in the order; place before sorting */
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

static void sort(struct ranked *r, size_t n)
{
	if (n > 1)
		qsort(r, n, sizeof(*r), by_rank);
}

/* The server's element goes first only when the server had both and had it before. */
static bool server_first(const struct ranked *server, const struct ranked *patched,
                         const struct jvalue *server_order, const char *merge_key)
{
	int64_t i = order_index(server_order, server->el, merge_key);
	int64_t j = order_index(server_order, patched->el, merge_key);

	return i >= 0 && j >= 0 && i < j;
}

struct jvalue *order_arrange(struct jvalue *merged, const struct jvalue *patch_order,
                             const struct jvalue *server_order, const char *merge_key,
                             struct arena *a)
{
	struct jvalue *out = jvalue_array(a);
	struct ranked *patched = arena_array(a, struct ranked, merged->n);
	struct ranked *server = arena_array(a, struct ranked, merged->n);
	size_t n_patched = 0, n_server = 0, i = 0, j = 0;

	for (uint32_t k = 0; k < merged->n; k++) {
		struct jvalue *el = merged->items[k];
		int64_t rank = order_index(patch_order, el, merge_key);

		if (rank >= 0)
			patched[n_patched++] = (struct ranked){el, rank, k};
		else
			server[n_server++] =
			    (struct ranked){el, order_index(server_order, el, merge_key), k};
	}
	sort(patched, n_patched);
	sort(server, n_server);
	while (i < n_server || j < n_patched) {
		bool left = j >= n_patched ||
		            (i < n_server &&
		             server_first(&server[i], &patched[j], server_order, merge_key));
		jvalue_append(a, out, left ? server[i++].el : patched[j++].el);
	}
	return out;
}
