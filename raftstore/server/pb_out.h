/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Protobuf straight into a buffer, for the answers that are worth it: no message structs, no
 * second pass. Zero numbers and empty bytes are left out, as proto3 does. */
#include "common/base/buf.h"
#include "raftstore/mvcc/record.h"

void out_varint(struct buf *b, uint64_t v);
void out_number(struct buf *b, unsigned field, int64_t v);
void out_bool(struct buf *b, unsigned field, bool v);
void out_bytes(struct buf *b, unsigned field, struct slice s);
/* The same, also when it is empty (list elements, messages). */
void out_bytes_always(struct buf *b, unsigned field, struct slice s);
/* A nested message: between the two calls its fields are written. */
size_t out_begin(struct buf *b, unsigned field);
void out_end(struct buf *b, size_t mark);

/* mvccpb.KeyValue as a field. Of a deletion only key and revision are told. */
void out_key_value(struct buf *b, unsigned field, const struct record *rec);
