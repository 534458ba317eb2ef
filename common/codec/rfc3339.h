/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* RFC 3339 times, as metav1.Time (seconds) and metav1.MicroTime (six digits) have them. */
#include "common/base/err.h"
#include "common/base/slice.h"

struct time_spec {
	int64_t sec; /* since 1970, UTC */
	int32_t nsec;
};

enum { RFC3339_BYTES = 40 };

/* Any offset and up to nine digits of fraction (more are cut), as Go's time.RFC3339. */
_must_use_ int rfc3339_parse(struct slice text, struct time_spec *ret, struct err *err);
/* metav1.MicroTime's layout: exactly six digits. */
_must_use_ int rfc3339_parse_micro(struct slice text, struct time_spec *ret, struct err *err);
/* "2006-01-02T15:04:05Z"; the length. */
size_t rfc3339_format(int64_t sec, char out[RFC3339_BYTES]);
/* "2006-01-02T15:04:05.000000Z" */
size_t rfc3339_format_micro(int64_t sec, int32_t nsec, char out[RFC3339_BYTES]);
/* Fraction without trailing zeros, none when 0 (Go's RFC3339Nano). */
size_t rfc3339_format_nano(int64_t sec, int32_t nsec, char out[RFC3339_BYTES]);
