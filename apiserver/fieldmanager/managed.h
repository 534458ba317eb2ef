/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* metadata.managedFields as field sets by manager. An entry is one manager: its name, operation and
 * subresource, and for updates the version too. Sets are decoded when somebody asks for them:
 * entries that nobody touches keep the bytes that they came with. */
#include "apiserver/fieldmanager/field_set.h"
#include "proto/meta_v1.pb-c.h"

enum { MANAGED_UPDATERS_MAX = 10, MANAGER_NAME_MAX = 128 };

struct managed_entry {
	const char *manager, *api_version, *subresource;
	bool apply;                               /* else an update */
	const MetaV1__Time *time;                 /* NULL: none */
	const MetaV1__ManagedFieldsEntry *source; /* what it was read from; NULL: made anew */
	bool decoded, changed; /* `set` is there; and is not what `source` says */
	struct field_set set;
};

struct managed {
	struct arena *a;
	struct managed_entry *at;
	size_t n, cap;
};

/* -ERR_BAD_REQUEST when an entry says no or a wrong operation, version or format. `decode`: at
 * once, to see that they can be. */
_must_use_ int managed_read(MetaV1__ManagedFieldsEntry *const *entries, size_t n, bool decode,
                            struct arena *a, struct managed *ret, struct err *err);
/* Sorted; entries whose set is empty are left out. */
void managed_write(const struct managed *m, MetaV1__ObjectMeta *meta);

/* The set of an entry, decoded. */
struct field_set managed_set(const struct managed *m, struct managed_entry *e);
void managed_put_set(struct managed_entry *e, struct field_set set);
/* Whether the entry may have members below any of the first elements of `s`: a quick look. */
bool managed_may_touch(const struct managed_entry *e, const struct field_set *s);

/* The entry of the same manager; NULL: none. */
struct managed_entry *managed_find(const struct managed *m, const struct managed_entry *id);
struct managed_entry *managed_add(struct managed *m, const struct managed_entry *e);
void managed_drop_empty(struct managed *m);
/* Joins the oldest updaters when there are more than MANAGED_UPDATERS_MAX. */
void managed_cap(struct managed *m);
/* The same managers with the same fields, whenever they were set. */
bool managed_fields_equal(const MetaV1__ObjectMeta *x, const MetaV1__ObjectMeta *y);
