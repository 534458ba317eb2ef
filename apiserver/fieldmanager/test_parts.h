/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For tests of properties: documents dealt out to two managers. */
#include "apiserver/fieldmanager/field_type.h"
#include "common/base/rng.h"

struct halves {
	struct jvalue *left, *right; /* NULL: nothing of it */
};

/* A document in two, at random, that have no field in common but those that say which object and
 * which items of keyed lists they mean. */
struct halves test_halves(const struct jvalue *doc, struct field_type root, struct rng *rng,
                          struct arena *a);
