/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The rules of a kind: defaults, what a client may set, validation, update rules, field selectors
 * and the row that `kubectl get` shows (apiserver pkg/registry/rest; kubernetes pkg/registry).
 *
 * All functions are pure: what they need of the world comes in by struct strategy_ctx. Every
 * resource of the resource table has a strategy; hooks that a kind does not need are NULL, so
 * callers use the registry_* functions below, which add the rules that hold for all kinds. */
#include <stdbool.h>
#include <stdint.h>
#include "apiserver/registry/field_error.h"
#include "apiserver/registry/object.h"

struct service_alloc; /* registry/core/service_alloc.h */

struct strategy_user {
	const char *name, *uid;
	const char *const *groups;
	size_t n_groups;
	struct strategy_user_extra {
		const char *key;
		const char *const *values;
		size_t n_values;
	} * extra;
	size_t n_extra;
};

/* What the server was started with. */
struct strategy_options {
	bool allow_privileged;
	/* Families of the service ranges, "IPv4" or "IPv6"; the first is the default. */
	const char *ip_families[2];
	size_t n_ip_families;
};

struct strategy_ctx {
	struct arena *arena;
	int64_t now_sec;
	int32_t now_nsec;
	const struct strategy_options *options; /* NULL: the defaults (privileged, IPv4) */
	const struct strategy_user *user;       /* NULL: nobody */
	struct service_alloc *services;         /* NULL: nothing is allocated */
	bool dry_run;
	bool metadata_ready; /* registry_begin_create was called: create keeps uid and name */
	/* New random texts for metadata: a UUID of 36 characters + NUL, and the suffix of five
	 * characters that generateName gets (alphabet bcdfghjklmnpqrstvwxz2456789). */
	void (*new_uid)(void *arg, char ret[37]);
	void (*name_suffix)(void *arg, char ret[6]);
	void *arg;
};

/* Texts for Warning headers. */
struct strategy_warnings {
	struct arena *arena;
	const char **at;
	size_t n, cap;
};
enum { STRATEGY_WARNINGS_MAX = 100 }; /* further ones are dropped */
void strategy_warn(struct strategy_warnings *w, const char *fmt, ...) _printf_(2, 3);

enum { STRATEGY_FIELDS_MAX = 16, TABLE_CELLS_MAX = 24 };

struct table_cell {
	enum table_cell_type { CELL_NULL, CELL_STRING, CELL_INT, CELL_BOOL } type;
	const char *str;
	int64_t num;
};

struct table_row {
	struct table_cell cells[TABLE_CELLS_MAX];
	size_t n_cells;
	/* The one condition that upstream gives a row: a finished pod's "Completed". NULL: none. */
	const char *completed_reason, *completed_message;
};

enum strategy_delete {
	DELETE_BACKGROUND, /* dependents are collected when a delete does not say */
	DELETE_ORPHAN,     /* dependents are orphaned when a delete does not say */
};

/* When the generation of an object goes up. */
enum strategy_generation {
	GENERATION_NONE,             /* the kind has none */
	GENERATION_SPEC,             /* 1 on create, +1 when the spec changes */
	GENERATION_SPEC_ANNOTATIONS, /* or the annotations */
};

struct strategy {
	const char *kind; /* for messages: "Pod" */

	/* Syntax of metadata.name; NULL: an RFC 1123 subdomain. */
	size_t (*name_syntax)(const char *s, struct arena *a, const char *ret[4]);
	enum strategy_generation generation;
	bool has_status;   /* create drops the status, update keeps the old one */
	bool is_status;    /* the strategy of the status subresource: update keeps all but status */
	bool keeps_labels; /* of the status subresource: labels stay as they are */
	bool keeps_metadata; /* of the status subresource: all metadata but managedFields stays */
	bool lax_update;     /* update does not run `validate` again, only validate_update */

	/* Sets what the version's defaults set. Idempotent; on every decoded object. */
	void (*defaults)(const struct strategy_ctx *ctx, struct object *obj);
	/* Normalises before validation: drops what the client may not set (status), and the
	 * generation. */
	void (*prepare_create)(const struct strategy_ctx *ctx, struct object *obj);
	void (*prepare_update)(const struct strategy_ctx *ctx, struct object *obj,
	                       const struct object *old);
	void (*validate)(const struct strategy_ctx *ctx, const struct object *obj,
	                 struct field_errors *errs);
	void (*validate_create)(const struct strategy_ctx *ctx, const struct object *obj,
	                        struct field_errors *errs); /* besides validate */
	void (*validate_update)(const struct strategy_ctx *ctx, const struct object *obj,
	                        const struct object *old, struct field_errors *errs);
	/* Warnings on create (old NULL) and update. */
	void (*warnings)(const struct strategy_ctx *ctx, const struct object *obj,
	                 const struct object *old, struct strategy_warnings *w);
	void (*canonicalize)(const struct strategy_ctx *ctx, struct object *obj);

	/* Takes cluster IPs and node ports, after validation and before the store transaction. Any
	 * loop. `release` gives back what obj holds and `keep` (NULL: nothing) does not:
	 * release(obj, old) when the transaction fails, release(old, obj) when an update is stored,
	 * release(obj, NULL) after a delete. */
	void (*allocate)(const struct strategy_ctx *ctx, struct object *obj,
	                 const struct object *old, struct field_errors *errs);
	void (*release)(const struct strategy_ctx *ctx, const struct object *obj,
	                const struct object *keep);

	/* Checks a graceful delete: true when the object stays until its grace period is over, with
	 * *grace_s set (in: what the client asked, -1 nothing). NULL: never graceful. */
	bool (*graceful)(const struct strategy_ctx *ctx, const struct object *obj,
	                 int64_t *grace_s);
	enum strategy_delete delete_default;
	/* A warning for deletes that leave propagation to the default; NULL: none. */
	const char *delete_warning;

	bool allow_create_on_update;
	bool allow_unconditional_update;

	/* The names that field selectors may use besides metadata.name (and metadata.namespace):
	 * NULL-terminated, or NULL; and their values for an object, in the same order. */
	const char *const *field_names;
	void (*field_values)(const struct object *obj, struct arena *a, const char **ret);
	/* What the stored version calls them, in the same order; NULL when there is no difference.
	 */
	const char *const *stored_field_names;
	/* Text of the 400 for another name: printf format with one %s; NULL: the generic text. */
	const char *field_error_fmt;

	/* An annotation that is a field in other versions of the kind: tables do not show it. */
	const char *hidden_annotation;
	/* The cells that `kubectl get` shows, in the order of table_columns. NULL: Name and Created
	 * At. */
	void (*table_row)(const struct strategy_ctx *ctx, const struct object *obj,
	                  struct table_row *ret);
};

/* The strategy of a resource; of "status" and other subresources that write the object ("status",
 * "ephemeralcontainers", "resize", "finalize", "approval"). "" or NULL: the resource itself. Never
 * NULL for a resource of the table; NULL for a subresource that has none. */
const struct strategy *registry_strategy(const struct resource_info *res, const char *subresource);

/* defaults + the strategy's own checks, in upstream's order (rest.BeforeCreate, BeforeUpdate). */
void registry_defaults(const struct strategy_ctx *ctx, const struct strategy *st,
                       struct object *obj);
/* System metadata alone: for callers whose admission must see uid and generated name. Then
 * ctx->metadata_ready tells registry_before_create to leave them. */
void registry_begin_create(const struct strategy_ctx *ctx, struct object *obj);
/* System metadata (uid, creationTimestamp, generated name, deletion fields cleared), prepare,
 * validation, canonical form. Namespaced objects must have their namespace already. The object may
 * be stored when errs is empty. */
void registry_before_create(const struct strategy_ctx *ctx, const struct strategy *st,
                            struct object *obj, struct field_errors *errs);
/* Carries over the immutable metadata from `old`, prepare, validation. Conflicts on uid and
 * resourceVersion are the caller's, who also fills in an empty resourceVersion when the strategy
 * allows unconditional updates: it is an error here. */
void registry_before_update(const struct strategy_ctx *ctx, const struct strategy *st,
                            struct object *obj, const struct object *old,
                            struct field_errors *errs);
void registry_warnings(const struct strategy_ctx *ctx, const struct strategy *st,
                       const struct object *obj, const struct object *old,
                       struct strategy_warnings *w);

/* The values of st->field_names, in that order; NULL is an empty one. */
void registry_fields(const struct strategy *st, const struct object *obj, struct arena *a,
                     const char *ret[STRATEGY_FIELDS_MAX]);
/* NULL when the name may be used in a field selector, else the text of the 400. */
const char *registry_field_error(const struct strategy *st, const struct resource_info *res,
                                 const char *name, struct arena *a);

/* What the stored version calls a selectable field. */
const char *registry_stored_field(const struct strategy *st, const char *name);

/* The row's cells; the generic Name and Created At when the kind has no printer. */
void registry_table_row(const struct strategy_ctx *ctx, const struct strategy *st,
                        const struct object *obj, struct table_row *ret);
/* The metadata that stands beside the row. */
const struct MetaV1__ObjectMeta *registry_table_metadata(const struct strategy *st,
                                                         const struct object *obj, struct arena *a);
