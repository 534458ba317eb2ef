/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Query parameters of a request, decoded as a form. Pure. */
#include <stdbool.h>
#include "common/base/arena.h"
#include "common/base/slice.h"

struct query {
	struct query_pair {
		const char *name, *value;
	} * pairs;
	size_t n;
};

/* "a=b&c=d", in the arena; what is not decodable or holds a NUL is left out. */
struct query query_parse(struct slice text, struct arena *a);
/* The first value; NULL: absent. */
const char *query_get(const struct query *q, const char *name);
/* "1": how the apiserver spells a switch. */
bool query_is_on(const struct query *q, const char *name);
/* All values of a name, in their order. */
size_t query_all(const struct query *q, const char *name, struct arena *a, char ***ret);
