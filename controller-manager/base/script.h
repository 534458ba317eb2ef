/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tables for tests of plans. A file testdata/NAME.txt holds cases:
 *
 *     # what it shows
 *     now: 100              a first document without kind: parameters
 *     ---
 *     kind: Job             objects, as YAML; nothing is defaulted
 *     spec: ...
 *     ----
 *     create 3              what the plan says, to an empty line or the end
 *
 * REWRITE=1 writes the answers anew; the difference is what a reviewer reads. */
#include "common/base/buf.h"
#include "common/codec/jvalue.h"
#include "proto/schema.h"

struct script_object {
	const struct schema_message *schema;
	ProtobufCMessage *msg;
};

struct script_case {
	struct arena a;
	const struct jvalue *params; /* never NULL */
	struct script_object *objects;
	size_t n;
};

typedef void (*script_fn)(struct script_case *c, struct buf *out);

/* Runs all cases of a file; the number that fail, each printed. */
int script_run(const char *path, script_fn fn);

static inline int64_t script_int(const struct script_case *c, const char *key, int64_t dflt)
{
	return jvalue_get_int(c->params, key, dflt);
}
static inline const char *script_str(const struct script_case *c, const char *key)
{
	return jvalue_get_str(c->params, key, "");
}
/* The first object of a kind, or NULL. */
void *script_one(const struct script_case *c, const struct schema_message *schema);
/* All of them; the array is the case's. */
size_t script_all(struct script_case *c, const struct schema_message *schema, void *ret);
/* "name {json}" and an end of line. */
void script_write(struct buf *out, const char *name, const struct schema_message *schema,
                  const ProtobufCMessage *msg);
