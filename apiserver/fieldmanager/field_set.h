/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sets of field paths: what a field manager owns of an object (structured-merge-diff fieldpath).
 *
 * A path element names a struct field or map key ("f:replicas"), an item of a keyed list
 * (`k:{"name":"a"}`), an item of a set (`v:"x"`) or an index ("i:0"). A set is a trie: a node is a
 * member, or leads to members below, or both. Nodes are sorted; a node that is neither is never
 * there, so that two sets are equal exactly when their nodes are.
 *
 * Sets live in arenas and are immutable once built: the operations share what they can. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

enum field_elem_kind { ELEM_FIELD, ELEM_KEY, ELEM_VALUE, ELEM_INDEX };

struct field_elem {
	uint8_t kind;      /* enum field_elem_kind */
	struct slice text; /* without "f:"; of keys and values compact JSON, keys sorted by name */
};

struct field_node;

struct field_set {
	struct field_node *at;
	uint32_t n, cap;
};

struct field_node {
	struct field_elem elem;
	bool member;
	struct field_set below;
};

#define FIELD_SET_EMPTY ((struct field_set){0})

enum { FIELD_SET_DEPTH_MAX = 128, FIELD_SET_NODES_MAX = 1000000 };

/* Upstream's order: fields, keys, values, indexes; each by content, numbers as numbers. */
int field_elem_cmp(const struct field_elem *a, const struct field_elem *b);

/* Building: nodes in any order, each element at most once, then sort. A node that is neither a
 * member nor has any below is left out. */
void field_set_add(struct field_set *s, struct field_elem elem, bool member, struct field_set below,
                   struct arena *a);
void field_set_sort(struct field_set *s);

const struct field_node *field_set_find(const struct field_set *s, const struct field_elem *elem);
struct field_set field_set_union(struct field_set x, struct field_set y, struct arena *a);
struct field_set field_set_difference(struct field_set x, struct field_set y, struct arena *a);
struct field_set field_set_intersection(struct field_set x, struct field_set y, struct arena *a);
bool field_set_equal(const struct field_set *x, const struct field_set *y);
size_t field_set_size(const struct field_set *s); /* members */
static inline bool field_set_empty(const struct field_set *s)
{
	return s->n == 0;
}
/* Whether a path of plain fields ("spec.replicas") is a member. */
bool field_set_has(const struct field_set *s, const char *path);

/* FieldsV1: {"f:metadata":{"f:labels":{".":{},"f:a":{}}}}, in the order of the set. */
void field_set_write(const struct field_set *s, struct buf *out);
/* Strict JSON with limits on depth and number of nodes; elements of unknown kinds are dropped as
 * upstream does. Texts may borrow from `json`. */
_must_use_ int field_set_read(struct slice json, struct arena *a, struct field_set *ret,
                              struct err *err);

/* An element as people read it: `.replicas`, `[name="a"]`, `[="x"]`, `[0]`. */
void field_elem_print(const struct field_elem *e, struct buf *out);
/* Calls fn with the printed path of each member, in upstream's order (the members of a level before
 * what lies below it). */
void field_set_each(const struct field_set *s, void (*fn)(void *arg, const char *path), void *arg);
