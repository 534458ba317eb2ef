/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The order of merged lists in a strategic merge patch: what the patch names stands in the patch's
 * order, what only the server has keeps its place among it. Internal to apiserver/patch. */
#include "common/codec/jvalue.h"

/* Same element: equal merge keys, or equal values when merge_key is NULL. */
bool order_same(const struct jvalue *a, const struct jvalue *b, const char *merge_key);
/* The index of an element in a list, or -1. */
int64_t order_index(const struct jvalue *list, const struct jvalue *el, const char *merge_key);
/* Arranges `merged`: its elements that are in `patch_order`, in that order, and the others in the
 * order of `server_order`, merged with the former where both have a place there. */
struct jvalue *order_arrange(struct jvalue *merged, const struct jvalue *patch_order,
                             const struct jvalue *server_order, const char *merge_key,
                             struct arena *a);
