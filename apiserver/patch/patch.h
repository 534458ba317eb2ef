/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The three patch forms that PATCH takes, on document trees: JSON patch (RFC 6902), JSON merge
 * patch (RFC 7386) and strategic merge patch (merge keys and directives by the schema of a kind).
 *
 * All take the object as a tree of the caller's own, change it in place and answer it (or a new
 * root) in *ret; nodes come from the arena. After an error the tree is in an unspecified state.
 *
 * Errors: ERR_BAD_REQUEST when the patch cannot be read, ERR_INVALID (422) when it does not apply,
 * ERR_TOO_LARGE for too many operations, ERR_INTERNAL where upstream answers 500 (a missing merge
 * key, an unknown directive). */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/codec/jvalue.h"

struct schema_message;

enum {
	PATCH_OPERATIONS_MAX = 10000,
	PATCH_COPY_BYTES_MAX = 3 * 1024 * 1024,
	PATCH_LIST_MAX = 10000, /* elements of a list that is merged strategically */
};

/* Reads a patch; a merge or strategic patch must be an object, a JSON patch an array. What stands
 * twice in a merge or strategic patch goes to the report (NULL allowed). */
_must_use_ int patch_read_json(struct slice body, struct arena *a, struct jvalue **ret,
                               struct err *err);
_must_use_ int patch_read_merge(struct slice body, struct arena *a, struct json_report *report,
                                struct jvalue **ret, struct err *err);

_must_use_ int patch_apply_json(struct jvalue *doc, const struct jvalue *patch, struct arena *a,
                                struct jvalue **ret, struct err *err);
_must_use_ int patch_apply_merge(struct jvalue *doc, const struct jvalue *patch, struct arena *a,
                                 struct jvalue **ret, struct err *err);
/* The patch is consumed: its nodes become part of the result. */
_must_use_ int patch_apply_strategic(const struct schema_message *schema, struct jvalue *doc,
                                     struct jvalue *patch, struct arena *a, struct jvalue **ret,
                                     struct err *err);
