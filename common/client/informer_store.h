/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The objects of one informer, with their indexes. Knows no transport and no handlers. */
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/client/informer.h"

struct informer_index {
	const char *name;
	informer_index_fn fn;
	struct map buckets; /* value -> struct bucket */
};

typedef VEC(const struct informer_object *) informer_objects;

struct informer_store {
	struct map objects; /* key -> struct object */
	VEC(struct informer_index) indexes;
};

void informer_store_init(struct informer_store *s);
void informer_store_deinit(struct informer_store *s);
/* Puts an object. *ret_old is what it replaced (the caller unrefs) or NULL, *ret_new the new one,
 * or NULL when the store has that very revision already. The object counts as seen in `generation`.
 * Fails on bytes without a name. */
_must_use_ int informer_store_put(struct informer_store *s, struct slice bytes, uint64_t generation,
                                  const struct informer_object **ret_old,
                                  const struct informer_object **ret_new);
/* Removes the object with the key of these bytes; the caller unrefs it. NULL when absent. */
const struct informer_object *informer_store_delete(struct informer_store *s, struct slice bytes);
/* Removes all objects that were not seen in `generation`; the caller unrefs them and frees *ret. */
void informer_store_take_stale(struct informer_store *s, uint64_t generation,
                               informer_objects *ret);
const struct informer_object *informer_store_get(const struct informer_store *s, const char *key);
void informer_store_each(const struct informer_store *s,
                         void (*fn)(const struct informer_object *o, void *arg), void *arg);
unsigned informer_store_add_index(struct informer_store *s, const char *name, informer_index_fn fn);
const struct informer_object *const *informer_store_lookup(const struct informer_store *s,
                                                           unsigned index, const char *value,
                                                           size_t *ret_n);
