/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The way from client-side to server-side apply: kubectl keeps what it applied last in an
 * annotation. Internal to fieldmanager/. */
#include "apiserver/fieldmanager/fieldmanager_impl.h"

/* One apply on its way. */
struct apply {
	const struct fieldmanager_request *req;
	const struct resource_info *res;
	const char *version; /* "apps/v1" */
	struct field_type type;
	const struct jvalue *body, *live; /* live without managedFields */
	struct jvalue *result;
	struct managed managed;
	struct managed_entry *mine; /* of the applying manager; valid until entries are dropped */
	bool changed;               /* the result is not as the live object */
	struct arena *a;
};

/* Whether kubectl may take all fields in conflict, because it had applied them client-side, as they
 * still are. Those it may take are struck from the conflicts. */
bool last_applied_allows(const struct apply *ap, struct fieldmanager_conflicts *conflicts);
/* Brings the annotation of an object that has one up to date when kubectl applies. */
void last_applied_update(const struct apply *ap, struct object *obj);
