/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* protobuf-c structs to the bytes that upstream's gogoproto encoders write: fields in ascending
 * order, value fields even when zero, pointers only when set, maps sorted by key. */
#include <protobuf-c/protobuf-c.h>
#include "common/base/buf.h"

struct schema_message;

void pb_encode(const struct schema_message *schema, const ProtobufCMessage *msg, struct buf *out);
size_t pb_size(const struct schema_message *schema, const ProtobufCMessage *msg);
