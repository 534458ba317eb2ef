/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A local copy of a collection, kept by a reflector: one a resource (and selector) and process,
 * shared by all who ask for it (struct informers).
 *
 * Guarantees (client-go tools/cache):
 *   - The store is what the collection was at some resourceVersion, never a mixture: it changes
 *     before handlers hear of it, event by event in the server's order; versions do not go back.
 *   - Every handler hears of every object that is in the store: those that are there when it is
 *     added at once, later ones once each. What an update brings is different from what was there.
 *   - After a list anew (410, a broken list) what has gone meanwhile is told as deleted with its
 *     last known state, and only when the whole list has come; an object that was deleted and made
 *     again under its name is told as both.
 *   - Synced means that the first list has been told in full.
 *   - It is eventual: who acts on it must expect its own writes to show later (resourceVersion on
 *     updates, uid on deletes, expectations on creates).
 *
 * Objects are kept encoded: bytes, key, revision, and the values of indexes; who needs one decodes
 * it into an arena of its own. An object is immutable and reference-counted; a borrowed pointer is
 * good until the loop's next turn, informer_object_ref keeps it longer. Handlers run on the loop.
 */
#include "common/client/client.h"
#include "common/client/meta_peek.h"

struct informers;
struct informer;

struct informer_object {
	const char *key;       /* "namespace/name", or "name" */
	const char *ns, *name; /* ns "" for cluster-scoped kinds */
	const char *uid;
	const char *owner_uid; /* of the controlling owner; "" without */
	int64_t revision;      /* resourceVersion */
	bool deleting;
	struct slice bytes; /* bare protobuf */
};

const struct informer_object *informer_object_ref(const struct informer_object *o);
void informer_object_unref(const struct informer_object *o);
/* Decodes it; NULL (logged) when the bytes are not of that kind. */
ProtobufCMessage *informer_object_decode(const struct informer_object *o,
                                         const struct schema_message *schema, struct arena *a);

struct informers *informers_new(struct client *c);
/* Stops and frees all informers. */
void informers_free(struct informers *f);
/* The informer of a resource; ns, label_selector and field_selector may be NULL. Asking again for
 * the same gives the same one. It begins to work at informers_start (or at once, after that). */
struct informer *informers_get(struct informers *f, const struct client_resource *r, const char *ns,
                               const char *label_selector, const char *field_selector);
void informers_start(struct informers *f);
/* Has every informer finished its first list? */
bool informers_synced(const struct informers *f);
/* Calls fn once, when all are synced (later than this call). */
void informers_on_synced(struct informers *f, loop_fn fn, void *arg);

struct informer_handler {
	void (*on_add)(const struct informer_object *o, void *arg);
	/* Not called when the revision is the same. */
	void (*on_update)(const struct informer_object *old, const struct informer_object *o,
	                  void *arg);
	void (*on_delete)(const struct informer_object *old, void *arg);
	void *arg;
};
/* Any may be NULL. Objects that are there already come as on_add before this returns. */
void informer_add_handler(struct informer *inf, const struct informer_handler *h);
bool informer_synced(const struct informer *inf);

/* NULL when absent. ns NULL or "": cluster-scoped. */
const struct informer_object *informer_get(const struct informer *inf, const char *ns,
                                           const char *name);
const struct informer_object *informer_get_key(const struct informer *inf, const char *key);
size_t informer_count(const struct informer *inf);
/* Every object, in no order. The store does not change meanwhile. */
void informer_each(const struct informer *inf,
                   void (*fn)(const struct informer_object *o, void *arg), void *arg);

/* --- indexes --- */

/* The values under which an object is found; calls emit(emit_arg, value) for each. */
typedef void (*informer_index_fn)(const struct informer_object *o,
                                  void (*emit)(void *emit_arg, struct slice value), void *emit_arg);

/* An index's number; before objects are there. The same name again gives the same number. */
unsigned informer_add_index(struct informer *inf, const char *name, informer_index_fn fn);
/* Ready-made: by namespace, by uid of the controlling owner, and (pods) by spec.nodeName. */
void informer_index_ns(const struct informer_object *o, void (*emit)(void *, struct slice),
                       void *emit_arg);
void informer_index_owner(const struct informer_object *o, void (*emit)(void *, struct slice),
                          void *emit_arg);
void informer_index_pod_node(const struct informer_object *o, void (*emit)(void *, struct slice),
                             void *emit_arg);

/* The objects under one value, in no order; valid until the store changes. */
const struct informer_object *const *informer_lookup(const struct informer *inf, unsigned index,
                                                     const char *value, size_t *ret_n);
