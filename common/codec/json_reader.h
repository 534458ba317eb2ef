/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A pull tokenizer for JSON (RFC 8259) that accepts and refuses what Go's encoding/json does, with
 * the same error texts.
 *
 * Usage: json_peek tells the type of the next value; then exactly one of the json_read_*
 * functions, or json_object_begin / json_array_begin and their loops, consumes it. Every failure
 * is sticky: the reader then answers JSON_ERROR and -ERR_BAD_REQUEST, and r->err has the text.
 *
 *     json_object_begin(r);
 *     while (json_object_next(r, &key))
 *             ... consume one value ...
 *
 * Invalid UTF-8 and lone surrogates in strings become U+FFFD. Nesting is limited to
 * JSON_DEPTH_MAX. Nothing is allocated but strings with escapes, in the arena. */
#include "common/base/arena.h"
#include "common/base/err.h"

enum { JSON_DEPTH_MAX = 512 };

enum json_type {
	JSON_ERROR,
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_reader {
	const uint8_t *p, *start, *end;
	struct arena *arena;
	int depth;
	bool first;  /* no element of the current array or object was read */
	bool failed; /* err is set */
	struct err err;
};

/* A number's text, and its value where it is integral. */
struct json_number {
	struct slice text;
	bool integer;  /* no fraction, no exponent */
	bool fits_i64; /* and i64 is exact */
	bool fits_u64;
	int64_t i64;
	uint64_t u64;
};

void json_reader_init(struct json_reader *r, struct slice text, struct arena *a);

enum json_type json_peek(struct json_reader *r);
bool json_read_null(struct json_reader *r);
bool json_read_bool(struct json_reader *r, bool *ret);
bool json_read_number(struct json_reader *r, struct json_number *ret);
/* Borrowed from the text, or decoded into the arena. May hold NUL. */
bool json_read_string(struct json_reader *r, struct slice *ret);
/* Steps over any value, checking it; its text. */
bool json_read_raw(struct json_reader *r, struct slice *ret);

bool json_object_begin(struct json_reader *r);
/* The next key (its ':' consumed), or false at the end (consumed) and on failure. */
bool json_object_next(struct json_reader *r, struct slice *ret_key);
bool json_array_begin(struct json_reader *r);
bool json_array_next(struct json_reader *r);

/* Demands that only white space is left. */
bool json_end(struct json_reader *r);
/* 0, or -code with the text copied to err. */
_must_use_ int json_reader_status(const struct json_reader *r, struct err *err);
/* Byte offset of what is read next. */
static inline size_t json_offset(const struct json_reader *r)
{
	return (size_t)(r->p - r->start);
}

/* Checks a whole text. */
_must_use_ int json_check(struct slice text, struct err *err);
double json_number_double(const struct json_number *n); /* infinite when out of range */

/* The strict errors of one decode: `unknown field "spec.x"`, `duplicate field "spec.y"`, in the
 * order they were seen, each once, at most 100. */
struct json_report {
	struct arena *arena;
	const char **at;
	size_t n, cap;
};
enum { JSON_REPORT_MAX = 100 };
void json_report_add(struct json_report *rep, const char *fmt, ...) _printf_(2, 3);
