/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* resource.Quantity: fixed-point numbers with SI suffixes (apimachinery pkg/api/resource).
 *
 * A quantity is value * 10^scale with a 128-bit value. Parsing keeps at most nine digits after the
 * point (rounded away from zero) and caps what is larger than 2^63-1 as upstream does. A struct
 * without pointers: copy it freely. The zero struct is 0 in DecimalSI. */
#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/slice.h"

enum quantity_format { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT };

struct quantity {
	__int128 value;
	int32_t scale;
	enum quantity_format format;
	bool reformat; /* upstream does not keep the text that was parsed, but writes the canonical
	                  one */
};

/* Enough for any canonical form that quantity_format_text writes. */
enum { QUANTITY_BYTES = 64 };

/* Error texts as upstream's ErrFormatWrong and ErrSuffix. */
_must_use_ int quantity_parse(struct slice text, struct quantity *ret, struct err *err);
/* 0 for NULL, "" and malformed text: for objects that were validated. */
struct quantity quantity_of(const char *text);
struct quantity quantity_from_int(int64_t value, enum quantity_format format);
struct quantity quantity_from_milli(int64_t milli, enum quantity_format format);

/* The canonical text ("1500m", "1Gi", "12e6"), NUL-terminated; the length. */
size_t quantity_format_text(const struct quantity *q, char out[QUANTITY_BYTES]);

/* Rounded away from zero, saturating at the ends of int64. */
int64_t quantity_value(const struct quantity *q);
int64_t quantity_milli(const struct quantity *q);
/* Rounds away from zero to a multiple of 10^scale (resource lists are kept in milli units). */
void quantity_round_up(struct quantity *q, int32_t scale);
/* In units of 10^scale: quantity_scaled(q, -3) is quantity_milli(q). */
int64_t quantity_scaled(const struct quantity *q, int32_t scale);
double quantity_double(const struct quantity *q);

int quantity_sign(const struct quantity *q);
bool quantity_is_zero(const struct quantity *q);
bool quantity_is_integer(const struct quantity *q); /* no fraction is lost by quantity_value */
int quantity_cmp(const struct quantity *a, const struct quantity *b);
int quantity_cmp_int(const struct quantity *a, int64_t b);

/* a += b, a -= b; saturating. The format stays a's unless a is zero. */
void quantity_add(struct quantity *a, const struct quantity *b);
void quantity_sub(struct quantity *a, const struct quantity *b);
void quantity_neg(struct quantity *q);

/* On the texts that API objects hold: <0, 0, >0; a malformed text counts as 0. */
int quantity_cmp_text(const char *a, const char *b);
