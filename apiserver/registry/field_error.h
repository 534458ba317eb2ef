/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What validation finds: a list of (type, field path, bad value, detail), and its rendering as the
 * causes and the message of a Status 422 (apimachinery pkg/util/validation/field).
 *
 * Paths are chains of nodes on the stack, built by FIELD(parent, "spec.template"),
 * FIELD_INDEX(parent, i) and FIELD_KEY(parent, "key"); NULL is the root. A node lives until the
 * end of the block it is written in; the text is made only when an error is added. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/buf.h"

enum field_error_type {
	FIELD_NOT_FOUND,
	FIELD_REQUIRED,
	FIELD_DUPLICATE,
	FIELD_INVALID,
	FIELD_NOT_SUPPORTED,
	FIELD_FORBIDDEN,
	FIELD_TOO_LONG,
	FIELD_TOO_MANY,
	FIELD_INTERNAL,
	FIELD_TYPE_INVALID,
};

struct field_path {
	const struct field_path *parent;
	const char *name; /* a member, or several joined by dots */
	const char *key;  /* or a map key */
	int64_t index;    /* or an index */
};

#define FIELD(parent_, name_) (&(const struct field_path){(parent_), (name_), NULL, 0})
#define FIELD_KEY(parent_, key_) (&(const struct field_path){(parent_), NULL, (key_), 0})
#define FIELD_INDEX(parent_, i_) (&(const struct field_path){(parent_), NULL, NULL, (int64_t)(i_)})

/* "spec.containers[0].name"; "<nil>" for the root, as upstream prints it. */
char *field_path_str(struct arena *a, const struct field_path *path);

struct field_error {
	enum field_error_type type;
	const char *field;
	const char *value;  /* as printed: a quoted string, a number, JSON; NULL: not shown */
	const char *detail; /* "" when there is nothing to add */
};

struct field_errors {
	struct arena *arena; /* owns all texts and the list */
	struct field_error *at;
	size_t n, cap;
};

enum { FIELD_ERRORS_MAX = 1000 }; /* beyond it errors are dropped: hostile objects stay bounded */

static inline struct field_errors field_errors_in(struct arena *a)
{
	return (struct field_errors){.arena = a};
}

/* Adds one error. `value` is the printed value (see below) or NULL. */
void field_add(struct field_errors *errs, enum field_error_type type, const struct field_path *path,
               const char *value, const char *fmt, ...) _printf_(5, 6);

void field_required(struct field_errors *errs, const struct field_path *path, const char *detail);
void field_forbidden(struct field_errors *errs, const struct field_path *path, const char *detail);
void field_invalid(struct field_errors *errs, const struct field_path *path, const char *str,
                   const char *detail); /* a string, printed quoted; NULL prints "null" */
void field_invalid_int(struct field_errors *errs, const struct field_path *path, int64_t n,
                       const char *detail);
void field_invalid_json(struct field_errors *errs, const struct field_path *path, const char *json,
                        const char *detail); /* shown as it is */
void field_duplicate(struct field_errors *errs, const struct field_path *path, const char *str);
void field_not_found(struct field_errors *errs, const struct field_path *path, const char *str);
/* `supported` is NULL-terminated and listed in its order. */
void field_not_supported(struct field_errors *errs, const struct field_path *path, const char *str,
                         const char *const *supported);
void field_too_long(struct field_errors *errs, const struct field_path *path, int64_t max_bytes);
void field_too_many(struct field_errors *errs, const struct field_path *path, int64_t n,
                    int64_t max);

/* A string as Go prints it with %q. */
char *field_quote(struct arena *a, const char *str);

/* One error: "Invalid value: \"x\": detail" (the message of a cause), the same with the field in
 * front (as in the Status message), and the reason of a cause ("FieldValueInvalid"). */
void field_error_body(const struct field_error *e, struct buf *ret);
void field_error_text(const struct field_error *e, struct buf *ret);
const char *field_error_reason(enum field_error_type type);

/* The message of the 422 Status: `Pod "x" is invalid: [a, b]`, one error without brackets, equal
 * texts once. `kind` is the kind, or kind.group for groups other than core
 * ("Deployment.apps"). */
void field_errors_message(const struct field_errors *errs, const char *kind, const char *name,
                          struct buf *ret);
