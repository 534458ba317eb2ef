/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What gen_tables.py defines beside the public tables, for schema.c alone. */
#include "proto/schema.h"

/* schema_name_slots has 1 << schema_name_bits entries: index into schema_messages + 1, or 0; linear
 * probing. */
extern const unsigned schema_name_bits;
extern const uint16_t schema_name_slots[];

/* Top-level kinds, sorted by kind, group, version. */
extern const struct schema_message *const schema_kinds[];
extern const size_t schema_n_kinds;
