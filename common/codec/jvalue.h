/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A JSON document as a tree in an arena: custom resources, patches, configuration files.
 *
 * Objects keep the order of insertion; lookup is linear for small and hashed for large ones.
 * Strings may hold NUL and are NUL-terminated after their length. Nodes are mutable by their owner;
 * a node may be shared by several parents as long as nobody changes it. Numbers without fraction
 * and exponent that fit are JVALUE_INT, others JVALUE_DOUBLE with their text kept. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/codec/json_reader.h"

enum jvalue_kind {
	JVALUE_NULL,
	JVALUE_BOOL,
	JVALUE_INT,
	JVALUE_DOUBLE,
	JVALUE_STRING,
	JVALUE_ARRAY,
	JVALUE_OBJECT,
};

struct jvalue;

struct jmember {
	const char *key; /* NUL-terminated */
	uint32_t key_len;
	uint32_t hash;
	struct jvalue *value;
};

struct jvalue {
	uint8_t kind; /* enum jvalue_kind */
	bool b;
	uint32_t n;   /* bytes of the string, elements, or members */
	uint32_t cap; /* of items or members */
	union {
		int64_t i;
		double d;
		const char *str;
		struct jvalue **items;
		struct jmember *members;
	};
	union {
		const char *text; /* JVALUE_DOUBLE: as it was written, or NULL */
		uint32_t *index;  /* JVALUE_OBJECT: hash table of large ones, or NULL */
	};
};

/* Parses one JSON text. Duplicate keys: the last wins, and goes to `report` (NULL allowed) as
 * `duplicate field "path"`. */
_must_use_ int jvalue_parse(struct slice json, struct arena *a, struct json_report *report,
                            struct jvalue **ret, struct err *err);
/* Parses the value that the reader stands at; NULL on failure (see the reader's error). */
struct jvalue *jvalue_read(struct json_reader *r, struct json_report *report);
/* Writes JSON; members in their order. */
void jvalue_write(const struct jvalue *v, struct buf *out);
/* Writes JSON with members sorted by key, as Go marshals maps: custom resources. */
void jvalue_write_sorted(const struct jvalue *v, struct buf *out);

struct jvalue *jvalue_null(struct arena *a);
struct jvalue *jvalue_bool(struct arena *a, bool b);
struct jvalue *jvalue_int(struct arena *a, int64_t i);
struct jvalue *jvalue_double(struct arena *a, double d);
struct jvalue *jvalue_str(struct arena *a, const char *s); /* copies */
struct jvalue *jvalue_strn(struct arena *a, struct slice s);
struct jvalue *jvalue_array(struct arena *a);
struct jvalue *jvalue_object(struct arena *a);
struct jvalue *jvalue_copy(struct arena *a, const struct jvalue *v); /* deep */

static inline struct slice jvalue_slice(const struct jvalue *v)
{
	return v->kind == JVALUE_STRING ? slice_of(v->str, v->n) : SLICE_EMPTY;
}
static inline bool jvalue_is(const struct jvalue *v, enum jvalue_kind kind)
{
	return v && v->kind == kind;
}

/* All accept NULL and any kind: NULL or `dflt` when v is not an object or has no such member. */
struct jvalue *jvalue_get(const struct jvalue *v, const char *key);
struct jvalue *jvalue_getn(const struct jvalue *v, struct slice key);
/* By members joined with dots: "metadata.name". */
struct jvalue *jvalue_path(const struct jvalue *v, const char *path);
const char *jvalue_get_str(const struct jvalue *v, const char *key, const char *dflt);
int64_t jvalue_get_int(const struct jvalue *v, const char *key, int64_t dflt);
bool jvalue_get_bool(const struct jvalue *v, const char *key, bool dflt);
struct jvalue *jvalue_at(const struct jvalue *v, size_t i); /* of an array, or NULL */

/* Sets or appends a member; keeps the place of one that is there. The key is copied. */
void jvalue_set(struct arena *a, struct jvalue *obj, const char *key, struct jvalue *value);
void jvalue_setn(struct arena *a, struct jvalue *obj, struct slice key, struct jvalue *value);
bool jvalue_del(struct jvalue *obj, const char *key); /* false: was not there */
bool jvalue_deln(struct jvalue *obj, struct slice key);
void jvalue_append(struct arena *a, struct jvalue *arr, struct jvalue *value);
void jvalue_insert(struct arena *a, struct jvalue *arr, size_t i, struct jvalue *value);
void jvalue_remove(struct jvalue *arr, size_t i);
/* Sorts the members of all objects by key. */
void jvalue_sort(struct jvalue *v);

/* Deep equality; members in any order; 1 and 1.0 are equal. */
bool jvalue_equal(const struct jvalue *a, const struct jvalue *b);
