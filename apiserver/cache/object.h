/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One stored object as the watch cache holds it: key, revision, encoded bytes, and the labels and
 * selectable fields that were extracted once when it was written.
 *
 * Immutable once made, shared by any number of tree nodes, events and readers on any thread; the
 * reference count is atomic. All text lies in the object's own
 * allocation, without pointers to it. */
#include <stdatomic.h>
#include "common/base/buf.h"
#include "common/base/slice.h"

struct cache_pair {
	const char *key, *value;
};

struct cache_object {
	atomic_uint refs;
	uint32_t key_len;
	uint32_t n_labels;
	uint32_t labels_at;      /* in `key`: keys and values in turn, each with its NUL */
	uint32_t fields_at;      /* and the values of the fields */
	uint32_t weight;         /* what it was made with */
	int64_t mod_revision;    /* the store's; the object's resourceVersion */
	int64_t create_revision; /* the store revision of its creation */
	struct blob *blob;       /* the value as stored, envelope included */
	const char *const *field_names;
	char key[]; /* below the resource's prefix: "ns/name" or "name"; then the other texts */
};

struct cache_object_spec {
	struct slice key;
	int64_t mod_revision, create_revision;
	const struct cache_pair *labels; /* copied */
	size_t n_labels;
	/* Selectable fields besides metadata.name and metadata.namespace, which the key tells. The
	 * names end with NULL and outlive the object; the values are copied, NULL counts as "". */
	const char *const *field_names;
	const char *const *field_values;
	uint32_t weight; /* whatever the owner wants trees to sum up */
};

/* One reference; takes one of its own on `blob`. */
struct cache_object *cache_object_new(const struct cache_object_spec *spec, struct blob *blob);
struct cache_object *cache_object_ref(const struct cache_object *o); /* NULL gives NULL */
void cache_object_unref(const struct cache_object *o);

static inline struct slice cache_object_key(const struct cache_object *o)
{
	return slice_of(o->key, o->key_len);
}
/* NULL when there is none. */
const char *cache_object_label(const struct cache_object *o, const char *key);
/* Empty when there is none. */
struct slice cache_object_field(const struct cache_object *o, const char *name);
/* The namespace ("" when cluster scoped) and the name, as the key has them. */
struct slice cache_object_namespace(const struct cache_object *o);
struct slice cache_object_name(const struct cache_object *o);
/* What it weighs, for limits in bytes. */
static inline size_t cache_object_bytes(const struct cache_object *o)
{
	return sizeof(*o) + o->fields_at + (o->blob ? o->blob->len : 0);
}
