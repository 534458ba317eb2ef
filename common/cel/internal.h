/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the parts of CEL share: the tree of an expression, and the table of functions. */
#include "common/base/vec.h"
#include "common/cel/cel.h"

enum cel_node_kind {
	NODE_CONST,
	NODE_IDENT,
	NODE_SELECT,
	NODE_CALL,
	NODE_LIST,
	NODE_MAP,
	NODE_STRUCT, /* Name{...}: always an error, for no such type is declared */
	NODE_FOLD,   /* a macro over a list or a map */
};

struct cel_candidate;

enum cel_fold {
	FOLD_ALL,
	FOLD_EXISTS,
	FOLD_EXISTS_ONE,
	FOLD_MAP,
	FOLD_FILTER,
	FOLD_MAP_LIST,
	FOLD_MAP_ENTRY
};

struct cel_node {
	enum cel_node_kind kind;
	uint32_t pos; /* in characters from the beginning, of what an error points at */
	uint32_t depth;
	const struct cel_type *type;
	union {
		struct cel_value constant;
		const char *name; /* NODE_IDENT, and the type of NODE_STRUCT */
		struct {
			struct cel_node *operand;
			const char *field;
			bool test;             /* has() */
			bool optional;         /* .? */
			const char *qualified; /* the whole chain is the name of a type or variable,
			                          or NULL */
		} select;
		struct {
			const char *function;
			struct cel_node **args; /* the receiver first */
			size_t n;
			bool member;
			const struct cel_candidate *candidates; /* that fit the types known */
			size_t n_candidates;
		} call;
		struct {
			struct cel_node **items; /* of a map: key, value, key, value */
			bool *optional;
			size_t n; /* elements or entries */
		} list;
		struct {
			enum cel_fold fold;
			struct cel_node *range, *filter,
			    *body;              /* filter: of the map macro with three arguments */
			const char *var, *var2; /* var2: NULL but for two-variable macros */
		} fold;
	};
};

struct cel_program {
	const struct cel_node *root;
	struct arena *arena;
};

/* --- problems ------------------------------------------------------------------------------------
 */

struct cel_problem {
	uint32_t pos;
	const char *text;
};
struct cel_source {
	const char *text;
	struct arena *arena;
	struct cel_problem *problems;
	size_t n_problems;
	const struct cel_env *env;
};

enum {
	CEL_PROBLEMS_MAX = 100,
	CEL_DEPTH_MAX = 200,
	CEL_TREE_MAX = 1000,
	CEL_TEXT_MAX = 100000,
	CEL_ARGS_MAX = 8
};

void cel_report(struct cel_source *src, uint32_t pos, const char *fmt, ...) _printf_(3, 4);
/* All problems as cel-go prints them. */
const char *cel_problems_text(const struct cel_source *src);

struct cel_node *cel_parse(struct cel_source *src);            /* NULL: see the problems */
void cel_check(struct cel_source *src, struct cel_node *root); /* sets types and overloads */

/* --- lexer ---------------------------------------------------------------------------------------
 */

enum cel_token_kind {
	TOKEN_END,
	TOKEN_IDENT,
	TOKEN_INT,
	TOKEN_UINT,
	TOKEN_DOUBLE,
	TOKEN_STRING,
	TOKEN_BYTES,
	TOKEN_PUNCT,
	TOKEN_BAD, /* reported */
};

struct cel_token {
	enum cel_token_kind kind;
	uint32_t pos;
	struct slice text;      /* as it was written; a quoted identifier without its quotes */
	struct cel_value value; /* of literals */
	bool quoted;            /* an identifier in backquotes */
};

struct cel_lexer {
	struct cel_source *src;
	const uint8_t *at, *end;
	uint32_t pos;
};

void cel_lex_init(struct cel_lexer *l, struct cel_source *src);
struct cel_token cel_lex(struct cel_lexer *l);

/* --- lists and maps ------------------------------------------------------------------------------
 */

struct cel_list {
	size_t n;
	const struct cel_value *items; /* NULL: elements of `view` */
	struct value view;
};

struct cel_entry {
	struct cel_value key, value;
};
struct cel_map {
	size_t n;
	const struct cel_entry *entries; /* NULL: members of `view`, or what `find` knows */
	struct value view;
	bool (*find)(void *arg, struct slice name, struct cel_value *ret);
	void *arg;
};

struct cel_value cel_list_of(struct arena *a, const struct cel_value *items,
                             size_t n); /* borrowed items */
struct cel_value cel_list_at(const struct cel_list *l, size_t i, struct arena *a);
struct cel_value cel_map_of(struct arena *a, const struct cel_entry *entries, size_t n);
bool cel_map_find(const struct cel_map *m, struct cel_value key, struct arena *a,
                  struct cel_value *ret);
/* All entries; n of them. */
const struct cel_entry *cel_map_entries(const struct cel_map *m, struct arena *a, size_t *ret_n);

/* --- functions -----------------------------------------------------------------------------------
 */

typedef struct cel_value (*cel_fn)(struct cel_run *run, const struct cel_value *args, size_t n);

/* One signature of a function. `signature`: argument types and result, "string,int:string"; A and B
 * are type parameters, list<A>, map<A,B>, optional<A>, type<A>; other names are those of libraries.
 */
struct cel_overload {
	const char *function;
	bool member;
	const char *signature;
	cel_fn fn;
};

/* An overload in a call: its arguments are of the types known, or it is left to the values. */
struct cel_candidate {
	cel_fn fn;
	const struct cel_type *args[CEL_ARGS_MAX];
};

struct cel_library {
	const struct cel_overload *overloads;
	size_t n;
};

extern const struct cel_library cel_lib_standard, cel_lib_time, cel_lib_convert, cel_lib_optional,
    cel_lib_strings, cel_lib_lists, cel_lib_sets, cel_lib_regex, cel_lib_net, cel_lib_quantity,
    cel_lib_authz;
extern const struct cel_library *const cel_libraries[];
extern const size_t cel_n_libraries;

/* The type that a name of a signature or of an expression ("int", "google.protobuf.Timestamp")
 * says, or NULL. */
const struct cel_type *cel_type_named(struct slice name);
/* Parsed signature: argument types into `ret` (CEL_ARGS_MAX), their number, the result. */
size_t cel_signature(const char *text, struct arena *a, const struct cel_type **ret,
                     const struct cel_type **ret_result);
const struct cel_type *cel_type_of(struct cel_value v); /* its runtime type */

void cel_charge(struct cel_run *run, uint64_t cost);
/* A tenth of a unit a byte, as upstream charges for looking at texts. */
void cel_charge_text(struct cel_run *run, size_t bytes);
/* A string on the run's arena. */
struct cel_value cel_string_of(struct cel_run *run, const void *data, size_t n);
/* <0, 0, >0; *ret_ok false: not comparable. Across numeric kinds. */
int cel_compare(struct cel_value a, struct cel_value b, bool *ret_ok);
struct cel_value cel_no_overload(struct cel_run *run);
