/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random documents for tests of properties; all from the generator that the test seeds. */
#include "common/base/rng.h"
#include "common/codec/jvalue.h"
#include "proto/schema.h"

/* Any JSON value, at most `depth` levels deep. */
struct jvalue *random_json(struct rng *r, unsigned depth, struct arena *a);

/* A document of a top-level kind, named "x", without status and the system's metadata. Only what
 * survives a typed object and back: no null, nothing that JSON leaves out for being zero or empty.
 * Items of keyed lists have keys of their own, sets hold nothing twice. `share`: how many percent
 * of the members there are to be. */
struct jvalue *random_document(struct rng *r, const struct schema_message *kind, unsigned share,
                               struct arena *a);
