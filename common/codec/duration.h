/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Durations in Go's text form ("1h2m3.5s"), in nanoseconds. */
#include "common/base/err.h"
#include "common/base/slice.h"

enum { DURATION_BYTES = 32 };

/* Error texts as Go's time.ParseDuration. */
_must_use_ int duration_parse(struct slice text, int64_t *ret_ns, struct err *err);
/* As time.Duration.String; the length. */
size_t duration_format(int64_t ns, char out[DURATION_BYTES]);
/* As kubectl prints an age (apimachinery util/duration HumanDuration): "5d3h", "2y". */
size_t duration_format_human(int64_t sec, char out[DURATION_BYTES]);
