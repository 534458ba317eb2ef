/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What field management knows of the type of a place in an object: scalar, list, map or struct, and
 * who may own what of it (structured-merge-diff schema). Made from the schema tables of proto/ or
 * from the openAPIV3Schema of a custom resource; a small value passed by copy. */
#include "common/codec/jvalue.h"
#include "proto/schema.h"
#include "proto/value.h"

enum field_class {
	CLASS_SCALAR,
	CLASS_LIST,
	CLASS_MAP, /* also structs */
	CLASS_ANY, /* undeclared: as the value is; its lists are atomic, its maps are not */
};

enum field_scalar { SCALAR_UNTYPED, SCALAR_STRING, SCALAR_NUMERIC, SCALAR_BOOL };

struct field_type {
	uint8_t klass;     /* enum field_class */
	uint8_t scalar;    /* enum field_scalar */
	bool atomic;       /* of lists and maps: owned as a whole */
	bool set;          /* of lists that are not atomic: items are scalars, not keyed */
	bool free_members; /* of maps: members need not be declared */
	const struct schema_message *message; /* of a struct, or of what the list holds */
	const struct schema_field *field;     /* of a list or a map */
	const struct jvalue *crd;             /* schema of a custom resource, at this place */
};

struct field_type field_type_root(const struct schema_message *schema);
struct field_type field_type_crd(const struct jvalue *openapi);

/* The type of a value that has no class of its own; else `t`. */
struct field_type field_type_deduce(struct field_type t, struct value v);
/* The type of a member; false: a map does not know it. */
bool field_type_member(struct field_type t, struct slice name, struct field_type *ret);
/* Whether `name` is a declared member, not a key of a map. */
bool field_type_declares(struct field_type t, struct slice name);
struct field_type field_type_item(struct field_type list);

enum { FIELD_TYPE_KEYS_MAX = 8 };
/* The keys of a keyed list, sorted; their number. */
size_t field_type_keys(struct field_type list, const char *ret[FIELD_TYPE_KEYS_MAX]);
/* The default of a key, in `ret` as JSON text; false when it has none. */
bool field_type_key_default(struct field_type list, const char *key, struct arena *a,
                            struct slice *ret);
