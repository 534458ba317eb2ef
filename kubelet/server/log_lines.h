/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The log files that a CRI runtime writes, line by line, and what `kubectl logs` may ask of them:
 *
 *     2016-10-06T00:17:09.669794202Z stdout F text
 *
 * F ends a line, P is a piece of one. Pure: bytes to bytes. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/codec/rfc3339.h"

struct log_options {
	bool follow, previous, timestamps;
	bool has_since;
	struct time_spec since; /* lines before it are left out */
	int64_t tail_lines;     /* -1: all */
	int64_t limit_bytes;    /* -1: none */
};

/* From a query string ("follow=true&tailLines=10"); now_s is for sinceSeconds. */
int log_options_parse(const char *query, int64_t now_s, struct log_options *ret, struct err *err);

/* Appends what the client is to see of the whole lines in `in`; returns how many bytes of `in` were
 * used. *left (of limit_bytes) is counted down; 0: no more. */
size_t log_lines_write(const struct log_options *o, struct slice in, int64_t *left,
                       struct buf *out);
