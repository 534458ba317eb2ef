/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Walks over typed values: the fields of a value, what differs between two, merging, removing and
 * checking (structured-merge-diff typed). */
#include "apiserver/fieldmanager/field_set.h"
#include "apiserver/fieldmanager/field_type.h"

/* Fields that are of no interest: "status", "metadata.labels". Ends in NULL; NULL: none. */
typedef const char *const *field_paths;

/* The fields that a value sets, as an applier owns them. */
struct field_set field_set_of(struct value v, struct field_type t, field_paths skip,
                              struct arena *a);

struct field_diff {
	struct field_set added, modified, removed;
};
/* What `now` has that `old` has not, has otherwise, and has no more. */
struct field_diff field_diff_of(struct value old, struct value now, struct field_type t,
                                field_paths skip, struct arena *a);

/* `patch` laid over `live`: members and items of both, values of the patch where both have them.
 * The result shares nodes with both. Either may be NULL. */
struct jvalue *field_merge(const struct jvalue *live, const struct jvalue *patch,
                           struct field_type t, struct arena *a);
/* The value without the members of `gone`; NULL when nothing is left. Shares nodes. */
struct jvalue *field_remove(const struct jvalue *v, const struct field_set *gone,
                            struct field_type t, struct arena *a);
/* The set with the declared fields that lead to its members. */
struct field_set field_set_with_parents(const struct field_set *s, struct field_type t,
                                        struct arena *a);

/* Appends what does not fit the type, in upstream's words: undeclared fields, values of another
 * type, items that share a key. Returns how many faults there are. */
size_t field_check(const struct jvalue *v, struct field_type t, struct arena *a, struct buf *out);

/* The element of an item of a list that is not atomic, or false with a text (NULL allowed). */
bool field_item_elem(struct value item, struct field_type list, struct arena *a,
                     struct field_elem *ret, const char **ret_fault);
