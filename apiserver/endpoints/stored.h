/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Stored values: what the store holds of an object, and back. A built-in kind is stored as the
 * envelope of its storage version's protobuf message, some kinds as JSON; the resourceVersion is
 * not in it but is the store's revision. */
#include "apiserver/registry/object.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "proto/resource_table.h"

/* Decodes into the version of `res`, with `revision` (0: none) as its resourceVersion. */
_must_use_ int stored_decode(const struct resource_info *res, struct slice value, int64_t revision,
                             struct arena *a, struct object *ret, struct err *err);
/* Appends what the store is to hold of the object. */
_must_use_ int stored_encode(const struct resource_info *res, const struct object *obj,
                             struct arena *a, struct buf *out, struct err *err);

/* True when the protobuf message in a stored value is that of `res`, so that stored_raw works. */
static inline bool stored_is_plain(const struct resource_info *res)
{
	return !res->storage_json && res->schema == res->storage_schema;
}
/* Appends the bare protobuf message with `revision` in it, without decoding the object. */
_must_use_ int stored_raw(struct slice value, int64_t revision, struct buf *out, struct err *err);
/* The same with nothing but the metadata: a PartialObjectMetadata. */
_must_use_ int stored_raw_metadata(struct slice value, int64_t revision, struct buf *out,
                                   struct err *err);
/* The bytes that stored_raw appends; 0 when it would fail. */
size_t stored_raw_bytes(struct slice value, int64_t revision);

struct cache_pair;
/* The labels of a stored value, allocated in `a`, without decoding the object. */
_must_use_ int stored_labels(struct slice value, struct arena *a, const struct cache_pair **ret,
                             size_t *ret_n);
