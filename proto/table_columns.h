/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The columns that a server-side table (what `kubectl get` shows) has, kind by kind. */
#include <stddef.h>
#include <stdint.h>

struct table_column {
	const char *name;
	const char *type;   /* "string", "integer", "number", "boolean", "date" */
	const char *format; /* "name" for the column that names the object, else "" */
	const char *description;
	int32_t priority; /* 0 is always shown, 1 only in wide output */
};

struct table_columns {
	const char *kind;
	const struct table_column *columns;
	size_t n_columns;
};

/* Of a kind; kinds without a table of their own have the name and the time of creation. Never NULL.
 */
const struct table_columns *table_columns_of(const char *kind);

/* All kinds with a table of their own, sorted by kind. */
extern const struct table_columns table_columns_all[];
extern const size_t table_columns_n;
extern const struct table_columns table_columns_default;
