/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One view of objects, typed or not: what CEL, field management and pruning are written over.
 *
 * A value is a small struct passed by copy: a node of a document tree (jvalue), or a place in a
 * typed message (the message, or a field of it). It sees a typed object as its JSON: members by
 * JSON name, inlined messages flattened, absent where JSON would leave the field out, times and
 * quantities as strings, IntOrString as either, raw extensions as trees. apiVersion and kind are
 * not members of typed values.
 *
 * `schema` of an object and `field` of a list or map tell what the schema knows (list type, map
 * keys, patch strategy); both are NULL in trees without one. Texts that have to be made (times) and
 * trees of raw extensions come from the arena. Reading changes nothing: values of shared objects
 * may be read by several threads, each with its own arena. */
#include "common/codec/jvalue.h"
#include "proto/schema.h"

enum value_kind {
	VALUE_NONE, /* no such member */
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_DOUBLE,
	VALUE_STRING,
	VALUE_LIST,
	VALUE_OBJECT, /* a message, a map, or an object of a tree */
};

enum value_impl { VALUE_TREE, VALUE_MESSAGE, VALUE_REPEATED };

struct value {
	uint8_t kind; /* enum value_kind */
	uint8_t impl; /* enum value_impl: of lists and objects */
	struct arena *arena;
	const struct schema_message *schema; /* of a message, else NULL */
	const struct schema_field *field;    /* of a list, a map, or what a member was read from */
	const void *node; /* struct jvalue, ProtobufCMessage; for VALUE_REPEATED the parent */
	union {
		bool b;
		int64_t i;
		double d;
		struct slice s; /* NUL-terminated */
	};
};

struct value value_of_message(const struct schema_message *schema, const ProtobufCMessage *msg,
                              struct arena *a);
struct value value_of_tree(const struct jvalue *tree, struct arena *a); /* NULL: VALUE_NONE */

static inline bool value_exists(struct value v)
{
	return v.kind != VALUE_NONE;
}
static inline bool value_is(struct value v, enum value_kind kind)
{
	return v.kind == kind;
}

/* A member of an object; VALUE_NONE when it is absent or v is no object. */
struct value value_get(struct value v, struct slice name);
struct value value_get_str(struct value v, const char *name);
/* By a path "spec.containers[0].name", "metadata.labels[app.kubernetes.io/name]". */
struct value value_path(struct value v, const char *path);
size_t value_len(struct value v); /* of a list, a map or an object; bytes of a string */
struct value value_at(struct value v, size_t i); /* of a list */

/* Members in order: `struct value_iter it = value_members(v); while (value_next(&it)) ...`. Absent
 * ones are left out. */
struct value_iter {
	struct value of, value;
	struct slice name;
	size_t i;
};
struct value_iter value_members(struct value v);
bool value_next(struct value_iter *it);

/* By content: numbers by value, members in any order. */
bool value_equal(struct value a, struct value b);
/* The value as a tree of its own. */
struct jvalue *value_to_tree(struct value v, struct arena *a);

/* Changes. `v` must be an object that the caller owns: a tree, or a typed message (then the value
 * is converted and -ERR_BAD_REQUEST says that it does not fit). Lists are changed by setting the
 * whole list as a member of its parent. */
_must_use_ int value_set(struct value v, struct slice name, struct value to, struct err *err);
void value_delete(struct value v, struct slice name);
