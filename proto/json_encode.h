/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* protobuf-c structs to JSON, byte for byte as Go's encoding/json writes upstream's types: kind and
 * apiVersion first, fields in struct order, omitempty as Go understands it, maps sorted. */
#include <protobuf-c/protobuf-c.h>
#include "common/base/buf.h"
#include "common/codec/jvalue.h"
#include "proto/codec.h"
#include "proto/schema.h"

/* `meta`: apiVersion and kind; NULL: those of the schema; empty strings leave them out. */
void json_encode(const struct schema_message *schema, const ProtobufCMessage *msg,
                 const struct type_meta *meta, struct buf *out);

/* The document tree of an object: for patches, server-side apply, YAML. */
struct jvalue *json_encode_tree(const struct schema_message *schema, const ProtobufCMessage *msg,
                                const struct type_meta *meta, struct arena *a);
