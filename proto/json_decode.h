/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* JSON to protobuf-c structs in an arena, as upstream's strict, case-sensitive decoder
 * (sigs.k8s.io/json): field names match exactly, null leaves a field at its zero, of equal keys the
 * last wins, the first type error is answered after the whole text proved to be JSON. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/codec/json_reader.h"
#include "common/codec/jvalue.h"
#include "proto/codec.h"
#include "proto/schema.h"

/* `report` (NULL: not wanted) gets `unknown field "spec.x"` and `duplicate field "spec.y"`.
 * *ret_meta (NULL allowed) gets apiVersion and kind. Error texts as Go's: "json: cannot unmarshal
 * string into Go struct field ConfigMap.data of type map[string]string". */
_must_use_ int json_decode(const struct schema_message *schema, struct slice json, struct arena *a,
                           struct json_report *report, ProtobufCMessage **ret,
                           struct type_meta *ret_meta, struct err *err);

/* The same from a document tree. */
_must_use_ int json_decode_tree(const struct schema_message *schema, const struct jvalue *tree,
                                struct arena *a, struct json_report *report, ProtobufCMessage **ret,
                                struct type_meta *ret_meta, struct err *err);

/* Decodes the members of an object into a message that is there; others stay as they are. */
_must_use_ int json_decode_into(const struct schema_message *schema, const struct jvalue *tree,
                                struct arena *a, ProtobufCMessage *msg, struct err *err);
