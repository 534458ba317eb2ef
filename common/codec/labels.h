/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Label selectors (apimachinery pkg/labels): "a=b,c!=d,e in (x,y),!f,g>5".
 *
 * A selector is immutable, lives in the arena it was made in, and may be shared by threads. The
 * empty selector matches everything; `nothing` matches nothing. proto/meta_labels.h binds this to
 * API objects and to metav1.LabelSelector. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

enum label_op {
	LABEL_EQUALS,        /* = */
	LABEL_DOUBLE_EQUALS, /* == */
	LABEL_NOT_EQUALS,    /* != */
	LABEL_IN,
	LABEL_NOT_IN,
	LABEL_EXISTS,
	LABEL_NOT_EXISTS,
	LABEL_GREATER,
	LABEL_LESS,
};

struct label_requirement {
	const char *key;
	enum label_op op;
	const char *const *values; /* sorted */
	size_t n_values;
};

struct label_selector {
	const struct label_requirement *at; /* sorted by key */
	size_t n;
	bool nothing;
};

/* Looks a label up: its value, or NULL. */
typedef const char *(*label_get_fn)(const void *labels, const char *key);

/* Labels as an array of pairs. */
struct label_pair {
	const char *key, *value;
};
struct label_set {
	const struct label_pair *at;
	size_t n;
};

/* Error texts as upstream's labels.Parse. "" gives the empty selector. */
_must_use_ int label_selector_parse(const char *text, struct arena *a, struct label_selector *ret,
                                    struct err *err);
/* Checks and appends one requirement (upstream's labels.NewRequirement): for
 * metav1.LabelSelector. Copies key and values to the arena. `sel` keeps its order until
 * label_selector_sort. */
_must_use_ int label_selector_require(struct label_selector *sel, struct arena *a, const char *key,
                                      enum label_op op, const char *const *values, size_t n_values,
                                      struct err *err);
void label_selector_sort(struct label_selector *sel);
/* Every pair must be equal; values are not validated (labels.SelectorFromSet of trusted labels). */
struct label_selector label_selector_from_set(const struct label_set *set, struct arena *a);

bool label_selector_match(const struct label_selector *sel, label_get_fn get, const void *labels);
bool label_selector_match_set(const struct label_selector *sel, const struct label_set *set);
static inline bool label_selector_empty(const struct label_selector *sel)
{
	return sel->n == 0 && !sel->nothing;
}
/* The value that a requirement `key = value` demands, or NULL: for indexes. */
const char *label_selector_exact(const struct label_selector *sel, const char *key);
/* As upstream prints it: "a=b,e in (x,y)". */
void label_selector_format(const struct label_selector *sel, struct buf *out);

/* `label_get_fn` over a struct label_set. */
const char *label_set_get(const void *set, const char *key);
