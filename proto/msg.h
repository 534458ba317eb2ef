/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Deep copy, semantic equality and dropping of disabled fields, over the schema tables. */
#include <stdbool.h>
#include <protobuf-c/protobuf-c.h>
#include "common/base/arena.h"

struct schema_message;
struct schema_field;

/* Shares nothing with msg. */
ProtobufCMessage *msg_copy(const struct schema_message *schema, const ProtobufCMessage *msg,
                           struct arena *a);

/* Deep equality as apimachinery's equality.Semantic: absent and empty lists and maps are equal,
 * quantities by value, times by instant, maps in any order. NULL equals NULL only. */
bool msg_equal(const struct schema_message *schema, const ProtobufCMessage *a,
               const ProtobufCMessage *b);
/* The same for one field of two messages of its parent type. */
bool msg_field_equal(const struct schema_field *field, const ProtobufCMessage *a,
                     const ProtobufCMessage *b);

/* Nothing is set, or only zeros (Go's IsZero). NULL is zero. */
bool msg_is_zero(const struct schema_message *schema, const ProtobufCMessage *msg);

/* Takes a field back to what it is in a new message. */
void msg_clear_field(const struct schema_field *field, ProtobufCMessage *msg, struct arena *a);

/* Clears fields whose feature gate is off; a field that `old` (NULL allowed) has set at the same
 * place stays. Lists are matched by index, map values by key. */
void msg_drop_disabled(const struct schema_message *schema, ProtobufCMessage *msg,
                       const ProtobufCMessage *old, struct arena *a);
