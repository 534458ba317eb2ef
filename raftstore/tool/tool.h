/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The commands that work on files instead of serving:
 *
 *   raftstore snapshot status FILE        what is in it, as etcdctl tells it
 *   raftstore snapshot restore FILE ...   a data directory from it
 *   raftstore check --data-dir DIR        whether a data directory is sound
 *
 * Each prints to stdout and returns the exit status: 0, 1 when it failed or found damage, 2 when it
 * was called wrongly. */
#include <stdbool.h>
#include "common/daemon/flags.h"

/* Do these arguments name such a command? */
bool tool_wanted(int argc, char **argv);
int tool_main(int argc, char **argv);

/* Parses flags and takes exactly n arguments behind the command. 0, or the exit status + 1 to end
 * with: what there is to say has been said. */
int tool_flags(const struct flag_group *group, const char *usage, int argc, char **argv,
               struct arena *a, size_t n, flag_list *args);
/* "Error: text" to stderr. Returns 1. */
int tool_fail(const struct err *err);
/* "1.2 MB", as etcd's tools write sizes. */
void tool_size(uint64_t bytes, char out[32]);

/* The commands; argv[0] is the last word of the command. */
int snapshot_status(int argc, char **argv);
int snapshot_restore(int argc, char **argv);
int check_data_dir(int argc, char **argv);
