/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Logs in klog's text format or as JSON (component-base logs/api/v1): a constant message and
 * key/value pairs.
 *
 *     log_info("Pod was bound", LOG_STR("pod", name), LOG_INT("attempts", n));
 *     log_v(4, "Watch resumed", LOG_STR("resource", r));
 *     log_error(&err, "Could not bind", LOG_STR("pod", name));
 *
 * One line is one write(2) to stderr; any thread may log. Values are quoted and escaped as klog
 * does. Libraries do not log: whoever handles an error logs it, once. */
#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/slice.h"

enum log_severity { LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_FATAL };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_pair {
	const char *key;
	enum { LOG_PAIR_STR, LOG_PAIR_INT, LOG_PAIR_BOOL, LOG_PAIR_SLICE } kind;
	const char *str;
	int64_t num;
	struct slice slice;
};

#define LOG_STR(k, v) ((struct log_pair){.key = (k), .kind = LOG_PAIR_STR, .str = (v)})
#define LOG_INT(k, v) ((struct log_pair){.key = (k), .kind = LOG_PAIR_INT, .num = (int64_t)(v)})
#define LOG_BOOL(k, v) ((struct log_pair){.key = (k), .kind = LOG_PAIR_BOOL, .num = (v)})
#define LOG_SLICE(k, v) ((struct log_pair){.key = (k), .kind = LOG_PAIR_SLICE, .slice = (v)})

void log_setup(enum log_format format, int verbosity);
/* The -v level; a message of log_v(n, ...) is written when n <= level. */
int log_level(void);
void log_set_level(int verbosity);
/* Messages below this severity are not written; LOG_INFO at first. */
void log_set_least(enum log_severity least);

void log_write(enum log_severity sev, const char *file, int line, const struct err *err,
	       const char *msg, const struct log_pair *pairs, size_t n_pairs);

#define LOG_AT_(sev, err, msg, ...)                                                                \
	do {                                                                                       \
		const struct log_pair pairs_[] = {__VA_ARGS__ __VA_OPT__(, ) {0}};                 \
		log_write(sev, __FILE__, __LINE__, err, "" msg, pairs_, ARRAY_LEN(pairs_) - 1);    \
	} while (0)
#define log_info(msg, ...) LOG_AT_(LOG_INFO, NULL, msg, __VA_ARGS__)
#define log_warning(msg, ...) LOG_AT_(LOG_WARNING, NULL, msg, __VA_ARGS__)
/* err may be NULL. */
#define log_error(err, msg, ...) LOG_AT_(LOG_ERROR, err, msg, __VA_ARGS__)
#define log_v(level, msg, ...)                                                                     \
	do {                                                                                       \
		if ((level) <= log_level())                                                        \
			LOG_AT_(LOG_INFO, NULL, msg, __VA_ARGS__);                                 \
	} while (0)
