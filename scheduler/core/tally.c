/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/tally.h"

#include "common/base/buf.h"

void tallies_init(struct tallies *t, struct symbols *s)
{
	*t = (struct tallies){.symbols = s};
	t->scratch = calloc(1, sizeof(*t->scratch));
	if (!t->scratch)
		abort();
}

static void tally_free(struct tally *one)
{
	vec_deinit(&one->count);
	symbol_refs_deinit(&one->symbols);
	arena_deinit(&one->arena);
	free(one);
}

void tallies_deinit(struct tallies *t)
{
	VEC_FOREACH (&t->matching, one)
		tally_free(*one);
	VEC_FOREACH (&t->having, one)
		tally_free(*one);
	vec_deinit(&t->matching);
	vec_deinit(&t->having);
	map_deinit(&t->by_canonical);
	buf_deinit(t->scratch);
	free(t->scratch);
}

static void put(struct buf *b, uint32_t x)
{
	buf_add(b, &x, sizeof(x));
}

static void put_selector(struct buf *b, const struct selector *sel)
{
	put(b, sel->nothing);
	put(b, sel->n);
	for (uint32_t i = 0; i < sel->n; i++) {
		const struct requirement *r = &sel->at[i];
		put(b, r->key);
		put(b, r->op);
		put(b, r->n);
		for (uint32_t k = 0; k < r->n; k++)
			put(b, r->values[k]);
	}
}

/* Equal terms give equal bytes. */
static struct slice canonical(struct buf *b, enum tally_kind kind, const struct pod_term *terms,
                              uint32_t n, bool skip_terminating)
{
	buf_clear(b);
	put(b, kind);
	put(b, skip_terminating);
	put(b, n);
	for (uint32_t i = 0; i < n; i++) {
		const struct pod_term *t = &terms[i];
		if (kind != TALLY_MATCHING) {
			put(b, t->topology_key);
			put(b, (uint32_t)t->weight);
		}
		put(b, t->n_namespaces);
		for (uint32_t k = 0; k < t->n_namespaces; k++)
			put(b, t->namespaces[k]);
		put(b, t->namespaced != NULL);
		if (t->namespaced)
			put_selector(b, t->namespaced);
		put_selector(b, &t->selector);
	}
	return buf_view(b);
}

static uint32_t keep(struct symbol_refs *r, uint32_t symbol)
{
	symbols_ref(r->symbols, symbol);
	*vec_push(&r->at) = symbol;
	return symbol;
}

static void copy_selector(struct symbol_refs *r, const struct selector *from, struct selector *to)
{
	*to = (struct selector){.n = from->n, .nothing = from->nothing};
	to->at = arena_array(r->arena, struct requirement, from->n);
	for (uint32_t i = 0; i < from->n; i++) {
		to->at[i] = from->at[i];
		(void)keep(r, from->at[i].key);
		to->at[i].values = arena_array(r->arena, uint32_t, from->at[i].n);
		for (uint32_t k = 0; k < from->at[i].n; k++)
			to->at[i].values[k] = keep(r, from->at[i].values[k]);
	}
}

static void copy_term(struct symbol_refs *r, const struct pod_term *from, struct pod_term *to)
{
	*to = *from;
	(void)keep(r, from->topology_key);
	to->namespaces = arena_array(r->arena, uint32_t, from->n_namespaces);
	for (uint32_t i = 0; i < from->n_namespaces; i++)
		to->namespaces[i] = keep(r, from->namespaces[i]);
	if (from->namespaced) {
		to->namespaced = arena_new(r->arena, struct selector);
		copy_selector(r, from->namespaced, to->namespaced);
	}
	copy_selector(r, &from->selector, &to->selector);
}

struct tally *tallies_get(struct tallies *t, enum tally_kind kind, const struct pod_term *terms,
                          uint32_t n_terms, bool skip_terminating, bool *ret_new)
{
	struct slice key = canonical(t->scratch, kind, terms, n_terms, skip_terminating);
	struct tally *one = map_get(&t->by_canonical, key);
	*ret_new = !one;
	if (one)
		return one;
	one = calloc(1, sizeof(*one));
	if (!one)
		abort();
	one->kind = kind;
	one->skip_terminating = skip_terminating;
	one->symbols = (struct symbol_refs){.symbols = t->symbols, .arena = &one->arena};
	one->canonical = slice_of(arena_memdup(&one->arena, key.data, key.len), key.len);
	one->n_terms = n_terms;
	one->weight = n_terms ? terms[0].weight : 0;
	one->terms = arena_array(&one->arena, struct pod_term, n_terms);
	for (uint32_t i = 0; i < n_terms; i++) {
		copy_term(&one->symbols, &terms[i], &one->terms[i]);
		one->by_namespace_labels |= terms[i].namespaced != NULL;
	}
	map_put(&t->by_canonical, one->canonical, one);
	if (kind == TALLY_MATCHING) {
		one->place = t->matching.n;
		*vec_push(&t->matching) = one;
	} else {
		one->place = t->having.n;
		*vec_push(&t->having) = one;
	}
	return one;
}

void tallies_drop(struct tallies *t, struct tally *one)
{
	size_t place = one->place;
	map_del(&t->by_canonical, one->canonical);
	if (one->kind == TALLY_MATCHING) {
		vec_swap_remove(&t->matching, place);
		if (place < t->matching.n)
			t->matching.at[place]->place = place;
	} else {
		vec_swap_remove(&t->having, place);
		if (place < t->having.n)
			t->having.at[place]->place = place;
	}
	tally_free(one);
}

void tally_count(struct tally *t, uint32_t node_id, int delta)
{
	while (t->count.n <= node_id)
		*vec_push(&t->count) = 0;
	t->count.at[node_id] += delta;
	t->total += delta;
}
