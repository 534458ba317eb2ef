/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tells when one of a few files has changed, by looking at them now and then (certificates,
 * tokens, manifests): works on every file system and with the symbolic links of projected volumes.
 */
#include <sys/stat.h>
#include "common/net/loop.h"

enum { FILE_WATCH_MAX = 8 };

struct file_watch {
	struct loop_timer timer;
	uint32_t interval_ms;
	const char *paths[FILE_WATCH_MAX]; /* NULL ones are left out; must outlive the watch */
	struct stat seen[FILE_WATCH_MAX];
	loop_fn on_change;
	void *arg;
};

/* on_change runs on the loop, once a look that finds a difference (also in appearing and going). */
void file_watch_start(struct file_watch *w, struct loop *loop, const char *const *paths,
                      size_t n_paths, uint32_t interval_ms, loop_fn on_change, void *arg);
void file_watch_stop(struct file_watch *w);
