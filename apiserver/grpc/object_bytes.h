/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Work on encoded objects without decoding them. Pure. */
#include "common/base/buf.h"
#include "common/client/meta_peek.h"

/* The header of a length-delimited field at the start of `in`: 1 and its number, its length and the
 * bytes of the header; 0 when `in` ends before; -1 when it is something else. */
int bytes_field_header(struct slice in, uint32_t *ret_number, uint64_t *ret_len,
                       size_t *ret_header);

/* Appends a varint; a length-delimited field; a varint field. */
void add_varint(struct buf *b, uint64_t v);
void add_bytes_field(struct buf *b, uint32_t number, struct slice value);
void add_int_field(struct buf *b, uint32_t number, uint64_t value);

/* Appends an object as length-delimited field `number`, without metadata.managedFields when told
 * so. */
void add_object_field(struct buf *b, uint32_t number, struct slice object,
                      bool omit_managed_fields);

/* The raw message of an enveloped object ("k8s\0" + runtime.Unknown), and its kind (may be NULL);
 * false when it has no envelope. */
bool envelope_open(struct slice in, struct slice *ret_raw, struct slice *ret_kind);
