/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The Common Expression Language (cel-spec, langdef.md) with the libraries that Kubernetes gives it
 * (apiserver pkg/cel/library): parsed, type-checked, then evaluated with a metered cost.
 *
 * An expression is compiled once against an environment (the variables it may name and their types)
 * and evaluated many times, by several threads, each with its own run. Pure: time comes in as a
 * value, patterns are matched with bounded work. Errors of evaluation are values (CEL_ERROR), as
 * the language wants it: `false && error` is false. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "proto/value.h"

/* --- types ---------------------------------------------------------------------------------------
 */

enum cel_kind {
	CEL_DYN, /* as a type: anything; no value has it */
	CEL_NULL,
	CEL_BOOL,
	CEL_INT,
	CEL_UINT,
	CEL_DOUBLE,
	CEL_STRING,
	CEL_BYTES,
	CEL_DURATION,
	CEL_TIMESTAMP,
	CEL_LIST,
	CEL_MAP, /* objects too, as values */
	CEL_TYPE,
	CEL_OPTIONAL,
	CEL_OPAQUE, /* of a library: quantity, IP address, ... */
	CEL_OBJECT, /* as a type: a message with declared fields */
	CEL_PARAM,  /* as a type: a parameter of an overload */
	CEL_ERROR,
};

struct cel_type;

struct cel_field {
	const char *name;
	const struct cel_type *type;
};

struct cel_type {
	enum cel_kind kind;
	const char *name; /* CEL_OPAQUE, CEL_OBJECT, CEL_PARAM */
	const struct cel_type *of,
	    *to; /* elements; keys and values of a map; content of an optional */
	const struct cel_field *fields; /* CEL_OBJECT, in any order */
	size_t n_fields;
};

extern const struct cel_type cel_dyn, cel_null, cel_bool, cel_int, cel_uint, cel_double, cel_string,
    cel_bytes, cel_duration, cel_timestamp, cel_any_type, cel_list_dyn, cel_map_dyn,
    cel_list_string;

/* As cel-go prints it: "list(int)", "map(string, dyn)", "kubernetes.Quantity". */
const char *cel_type_text(const struct cel_type *t, struct arena *a);

/* --- values --------------------------------------------------------------------------------------
 */

struct cel_list;
struct cel_map;
struct cel_opaque;

struct cel_value {
	uint8_t kind; /* enum cel_kind */
	union {
		bool b;
		int64_t i; /* CEL_INT, CEL_DURATION in nanoseconds */
		uint64_t u;
		double d;
		struct slice s; /* CEL_STRING, CEL_BYTES, text of CEL_ERROR */
		struct {
			int64_t sec;
			int32_t nsec;
		} time;
		const struct cel_list *list;
		const struct cel_map *map;
		const struct cel_type *type;
		const struct cel_value *optional; /* NULL: none */
		const struct cel_opaque *opaque;
	};
};

/* What a library's value can do. */
struct cel_opaque_class {
	const char *name; /* of its type */
	bool (*equal)(const struct cel_opaque *a, const struct cel_opaque *b);
};
/* First member of every library's value. */
struct cel_opaque {
	const struct cel_opaque_class *class;
};

struct cel_value cel_of_value(struct value v, struct arena *a); /* VALUE_NONE gives CEL_NULL */
struct cel_value cel_of_slice(struct slice s);
struct cel_value cel_of_str(const char *s); /* borrowed */
struct cel_value cel_of_bool(bool b);
struct cel_value cel_of_int(int64_t i);
struct cel_value cel_of_opaque(const struct cel_opaque *o);
/* The variable "authorizer": asks for the request's user. */
struct cel_value cel_authorizer_value(struct arena *a);
/* The variable "authorizer.requestResource": a check of this resource is begun. Texts are borrowed.
 */
struct cel_value cel_authorizer_resource(struct arena *a, const char *group, const char *resource,
                                         const char *subresource, const char *ns, const char *name);
/* A map of n names and values, all borrowed. */
struct cel_value cel_of_members(const char *const *names, const struct cel_value *values, size_t n,
                                struct arena *a);
/* A map whose members are asked for when they are needed (the variables of a policy). */
struct cel_value cel_of_lookup(bool (*find)(void *arg, struct slice name, struct cel_value *ret),
                               void *arg, struct arena *a);
struct cel_value cel_error(struct arena *a, const char *fmt, ...) _printf_(2, 3);
/* Equality across numeric kinds; other kinds differ. */
bool cel_equal(struct cel_value a, struct cel_value b);
/* The value as JSON has it; NULL for what JSON cannot hold. */
struct jvalue *cel_to_tree(struct cel_value v, struct arena *a);

/* --- programs ------------------------------------------------------------------------------------
 */

struct cel_variable {
	const char *name;
	const struct cel_type *type;
};

struct cel_env {
	const struct cel_variable *variables;
	size_t n_variables;
};

struct cel_program;

/* In the arena, which must outlive the program. -ERR_INVALID with the text that cel-go would give
 * ("ERROR: <input>:1:5: ..." and a marked line for each problem; *ret_text is not cut as err is).
 */
_must_use_ int cel_compile(const struct cel_env *env, const char *text, struct arena *a,
                           const struct cel_program **ret, const char **ret_text);
const struct cel_type *cel_program_type(const struct cel_program *p);
/* Whether the program names this variable. */
bool cel_program_uses(const struct cel_program *p, const char *variable);

/* Answers what the authorizer's checks ask; false: no decision. */
struct cel_authorizer {
	bool (*allowed)(void *arg, const struct cel_value *service_account, const char *group,
	                const char *resource, const char *subresource, const char *ns,
	                const char *name, const char *path, const char *verb,
	                const char *field_selector, const char *label_selector,
	                const char **ret_reason);
	void *arg;
};

/* One evaluation. */
struct cel_run {
	struct arena *arena; /* of what it makes; must outlive the result */
	/* The value of a variable; false: there is none. */
	bool (*find)(void *arg, const char *name, struct cel_value *ret);
	void *arg;
	const struct cel_authorizer *authorizer;
	uint64_t cost, cost_limit; /* in upstream's units; 0: no limit */
	struct cel_scope *scope;   /* variables of macros; begin with NULL */
};

/* Upstream's limits: of one expression, and of all of a request. */
enum { CEL_CALL_LIMIT = 10000000, CEL_REQUEST_LIMIT = 100000000 };

struct cel_value cel_eval(const struct cel_program *p, struct cel_run *run);
