/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by updates and applies. Internal to fieldmanager/. */
#include "apiserver/fieldmanager/field_versions.h"
#include "apiserver/fieldmanager/field_walk.h"
#include "apiserver/fieldmanager/fieldmanager.h"

/* "v1", "apps/v1" */
const char *fieldmanager_version(const struct resource_info *res, struct arena *a);
struct field_skip {
	field_paths unwritten; /* what the endpoint does not write */
	field_paths unowned;   /* and the system's metadata */
};
struct field_skip fieldmanager_skip(const struct resource_info *res, const char *subresource,
                                    struct arena *a);
struct managed_entry fieldmanager_self(const struct fieldmanager_request *req, bool apply,
                                       const struct resource_info *res, struct arena *a);
const MetaV1__Time *fieldmanager_time(int64_t seconds, struct arena *a);
/* Nobody owns the metadata as such. */
struct field_set fieldmanager_strip(struct field_set set, struct arena *a);
/* What was added, modified or removed. */
struct field_set fieldmanager_touched(const struct field_diff *d, struct arena *a);
/* The request's manager takes what it added and modified; all others lose what changed. */
void fieldmanager_take(struct managed *m, const struct managed_entry *self,
                       struct field_versions *v);
/* Takes what changed from an entry of another manager. */
void fieldmanager_disown(const struct managed *m, struct managed_entry *e,
                         struct field_versions *v);
/* The object without its managed fields; borrows from it. */
struct object fieldmanager_bare(const struct object *obj, struct arena *a);
