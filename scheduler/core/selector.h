/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Labels and selectors over interned texts (symbols.h). They borrow their symbols: who holds a
 * selector holds the references, by the `symbol_refs` that was filled when it was compiled. */
#include "common/base/arena.h"
#include "common/base/vec.h"
#include "proto/core_v1.pb-c.h"
#include "scheduler/core/symbols.h"

struct label {
	uint32_t key, value;
};

struct label_list {
	uint32_t n;
	struct label *at;
};

/* The value of a label; 0 when there is none. */
static inline uint32_t label_value(const struct label_list *l, uint32_t key)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->at[i].key == key)
			return l->at[i].value;
	return 0;
}

enum selector_op {
	SELECTOR_IN,
	SELECTOR_NOT_IN,
	SELECTOR_EXISTS,
	SELECTOR_NOT_EXISTS,
	SELECTOR_GREATER,
	SELECTOR_LESS,
	SELECTOR_INVALID, /* matches nothing */
};

struct requirement {
	uint32_t key;
	uint32_t op; /* enum selector_op */
	uint32_t n;
	uint32_t *values; /* sorted */
};

/* All requirements must hold; none at all matches everything unless `nothing`. */
struct selector {
	uint32_t n;
	bool nothing;
	struct requirement *at;
};

bool requirement_holds(const struct requirement *r, uint32_t value, const struct symbols *s);
bool selector_matches(const struct selector *sel, const struct label_list *labels,
                      const struct symbols *s);

/* Where compiled things live and which references they took. */
struct symbol_refs {
	struct symbols *symbols;
	struct arena *arena;
	VEC(uint32_t) at;
};

/* Interns a text for as long as the holder lives. */
uint32_t symbol_refs_get(struct symbol_refs *r, const char *text);
/* Gives all references back. */
void symbol_refs_deinit(struct symbol_refs *r);

/* metav1.LabelSelector; NULL matches nothing. */
void selector_compile(struct symbol_refs *r, const MetaV1__LabelSelector *from,
                      struct selector *ret);
/* Appends `key in (value)` or, with op SELECTOR_NOT_IN, `key notin (value)`. */
void selector_require(struct symbol_refs *r, struct selector *sel, uint32_t key,
                      enum selector_op op, uint32_t value);
/* A requirement from its texts; operators as in the API. */
void requirement_compile(struct symbol_refs *r, const char *key, const char *op,
                         char *const *values, size_t n, struct requirement *ret);
