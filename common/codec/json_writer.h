/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Appends JSON to a buffer with the escapes and number forms of Go's encoding/json: <, >, & as
 * \u003c \u003e \u0026, U+2028 and U+2029 escaped, invalid UTF-8 as \ufffd.
 *
 * The functions write values only; the caller puts commas and braces: that keeps descriptor-driven
 * encoders to one memcpy a field name. */
#include "common/base/buf.h"

void json_write_string(struct buf *b, struct slice s); /* with quotes */
void json_write_cstr(struct buf *b, const char *s);    /* NULL writes "" */
void json_write_i64(struct buf *b, int64_t v);
void json_write_u64(struct buf *b, uint64_t v);
void json_write_bool(struct buf *b, bool v);
/* The shortest text that reads back the same, as Go formats a float64; NaN and infinity (which JSON
 * lacks) as null. */
void json_write_double(struct buf *b, double v);
/* The same for float32. */
void json_write_float(struct buf *b, float v);
/* Appends JSON text without white space between tokens (Go's json.Compact with HTML escapes, as
 * RawMessage is marshalled). The text must be valid JSON. */
void json_write_compact(struct buf *b, struct slice text);
/* Indents JSON text by `indent` a level (json.Indent), for ?pretty. */
void json_write_indented(struct buf *b, struct slice text, const char *indent);
