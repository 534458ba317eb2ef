/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Field management: who owns which fields of an object (metadata.managedFields), and server-side
 * apply, which is built on it.
 *
 * fieldmanager_update is for creates, updates and patches: the object is what the client wants,
 * with defaults, before admission. fieldmanager_apply merges the body of an apply into the object
 * that is there. Both set managedFields of the new object. Pure: time comes in by parameter. */
#include "apiserver/fieldmanager/field_type.h"
#include "apiserver/fieldmanager/managed.h"
#include "apiserver/registry/object.h"

struct fieldmanager_request {
	const char *manager;     /* fieldmanager_name(); "" becomes "unknown" */
	const char *subresource; /* "" none */
	int64_t now_s;
	bool force;                /* apply: take fields from others */
	const char *shown_version; /* what conflicts call the version of updates; NULL: their own */
	/* An object as another version of its kind, NULL when there is no conversion: managers of
	 * other versions are compared in theirs. NULL: the kinds have one version. */
	ProtobufCMessage *(*convert)(const struct schema_message *from,
	                             const struct schema_message *to, const ProtobufCMessage *msg,
	                             struct arena *a);
};

/* The option, or of a User-Agent what stands before the first slash: printable, at most 128 bytes.
 * NULL is "". */
const char *fieldmanager_name(const char *option, const char *user_agent, struct arena *a);

/* `old` NULL: the object is being created. */
void fieldmanager_update(const struct fieldmanager_request *req, struct object *obj,
                         const struct object *old, struct arena *a);

struct fieldmanager_conflict {
	const char *manager; /* as people read it: `"golden" using v1` */
	const char *path;    /* ".data.a" */
};
struct fieldmanager_conflicts {
	struct fieldmanager_conflict *at; /* by manager, then path */
	size_t n;
};

/* Merges `body` (as it was parsed; it is not changed) into `old` (NULL: the object is made, as one
 * of `res`). 0 and *ret, decoded but not defaulted; -ERR_CONFLICT and *ret_conflicts;
 * -ERR_BAD_REQUEST (400); -ERR_UNKNOWN (500). */
_must_use_ int fieldmanager_apply(const struct fieldmanager_request *req, const struct jvalue *body,
                                  const struct resource_info *res, const struct object *old,
                                  struct arena *a, struct object *ret,
                                  struct fieldmanager_conflicts *ret_conflicts, struct err *err);
/* The same for the scale subresource: `body` is a Scale, `old` the workload that it scales. */
_must_use_ int
fieldmanager_apply_scale(const struct fieldmanager_request *req, const struct jvalue *body,
                         const struct schema_message *scale, const struct object *old,
                         struct arena *a, struct object *ret,
                         struct fieldmanager_conflicts *ret_conflicts, struct err *err);
/* "Apply failed with 1 conflict: conflict with "golden" using v1: .data.a" */
void fieldmanager_conflict_text(const struct fieldmanager_conflicts *c, struct buf *out);

/* After mutating admission: an object that is as it was but for the times of its managedFields gets
 * the old ones, so that nothing changes. */
void fieldmanager_keep_times(struct object *obj, const struct object *old, struct arena *a);
