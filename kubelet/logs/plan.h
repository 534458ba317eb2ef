/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which of a container's rotated logs stay, go, or are compressed (kubelet
 * logs/container_log_manager.go). Pure.
 *
 * Beside "0.log" lie "0.log.20060102-150405" and the same with ".gz"; ".tmp" files are what a
 * crashed compression left. */
#include "common/base/arena.h"

enum log_action { LOG_KEEP, LOG_REMOVE, LOG_COMPRESS };

struct log_file {
	const char *name; /* without the folder */
	enum log_action action;
};

/* Sorts the files by age, oldest first, and sets what happens to each before the log is rotated
 * once more, so that at most max_files stay, the live one included. `log`: "0.log". Files that do
 * not belong to it are kept. */
void log_files_plan(const char *log, struct log_file *files, size_t n, int64_t max_files);
/* "0.log" + ".20060102-150405" of that second, UTC. */
const char *log_rotated_name(const char *log, int64_t now_s, struct arena *a);
/* The file is the log itself or one of its rotated ones. */
bool log_file_belongs(const char *log, const char *name);
