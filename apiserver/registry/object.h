/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A decoded object of a built-in kind: what strategies, admission and endpoints hand around.
 *
 * Everything in it lives in one arena. `msg` is the protobuf-c struct of the kind (a CoreV1__Pod,
 * say) and follows proto/'s rule: value strings and value messages are never NULL, value scalars
 * have has_x = 1, pointer fields are NULL or has_x = 0 when absent. Strategies change the object in
 * place and allocate in ctx->arena; the caller passes an object of its own, never one that is
 * shared. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"

struct resource_info;  /* proto/resource_table.h */
struct schema_message; /* proto/schema.h */
struct ProtobufCMessage;
struct MetaV1__ObjectMeta;

struct object {
	const struct resource_info *res;     /* the resource (never a subresource) */
	const struct schema_message *schema; /* of msg */
	struct ProtobufCMessage *msg;
	struct MetaV1__ObjectMeta *meta; /* inside msg; NULL for kinds without metadata */
};

/* Builds the object around a decoded message: finds the metadata. */
struct object object_of(const struct resource_info *res, const struct schema_message *schema,
                        struct ProtobufCMessage *msg);
/* A deep copy in `a`. */
struct object object_copy(struct arena *a, const struct object *obj);

/* "" where there is none; never NULL. */
const char *object_name(const struct object *obj);
const char *object_namespace(const struct object *obj);
const char *object_uid(const struct object *obj);
int64_t object_generation(const struct object *obj);
void object_set_generation(struct object *obj, int64_t generation);
bool object_terminating(const struct object *obj); /* has a deletionTimestamp */

/* The typed message: `CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);` */
#define OBJECT_MSG(obj, type) ((type *)(obj)->msg)
