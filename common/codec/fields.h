/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Field selectors (apimachinery pkg/fields): "metadata.name=x,spec.nodeName!=y", with the escapes
 * `\\`, `\,` and `\=` in values. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

struct field_requirement {
	const char *field, *value;
	bool not_equal;
};

struct field_selector {
	const struct field_requirement *at;
	size_t n;
};

/* The value of a field; NULL counts as "". */
typedef const char *(*field_get_fn)(const void *obj, const char *field);

_must_use_ int field_selector_parse(const char *text, struct arena *a, struct field_selector *ret,
                                    struct err *err);
bool field_selector_match(const struct field_selector *sel, field_get_fn get, const void *obj);
/* The value that `field = value` demands, or NULL. */
const char *field_selector_exact(const struct field_selector *sel, const char *field);
void field_selector_format(const struct field_selector *sel, struct buf *out);
/* A value with the three characters escaped. */
void field_selector_escape(const char *value, struct buf *out);
