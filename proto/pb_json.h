/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Protobuf bytes straight to JSON, without the structs between: what a list of thousands of objects
 * is served from. The input must be what pb_encode writes (fields ascending; else the caller's
 * fallback decodes and encodes): pb_json answers 1 without having written anything when it is
 * not, 0 when it wrote the object. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "proto/codec.h"
#include "proto/schema.h"

_must_use_ int pb_json(const struct schema_message *schema, struct slice pb,
                       const struct type_meta *meta, bool nested, struct buf *out, struct err *err);
