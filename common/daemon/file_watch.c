/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/file_watch.h"

#include <string.h>

/* Only what says that the contents may be others. */
static struct stat look(const char *path)
{
	struct stat st, out;
	memset(&out, 0, sizeof out);
	if (path && !stat(path, &st)) {
		out.st_dev = st.st_dev;
		out.st_ino = st.st_ino;
		out.st_size = st.st_size;
		out.st_mtim = st.st_mtim;
	}
	return out;
}

static bool take_stamps(struct file_watch *w)
{
	bool changed = false;
	for (size_t i = 0; i < FILE_WATCH_MAX; i++) {
		struct stat fresh = look(w->paths[i]);
		changed |= memcmp(&fresh, &w->seen[i], sizeof fresh) != 0;
		w->seen[i] = fresh;
	}
	return changed;
}

static void on_timer(void *arg)
{
	struct file_watch *w = arg;
	loop_timer_start(&w->timer, w->interval_ms);
	if (take_stamps(w))
		w->on_change(w->arg);
}

void file_watch_start(struct file_watch *w, struct loop *loop, const char *const *paths,
                      size_t n_paths, uint32_t interval_ms, loop_fn on_change, void *arg)
{
	memset(w, 0, sizeof *w);
	w->interval_ms = interval_ms;
	w->on_change = on_change;
	w->arg = arg;
	for (size_t i = 0; i < n_paths && i < FILE_WATCH_MAX; i++)
		w->paths[i] = paths[i];
	(void)take_stamps(w); /* what differs from here on is a change */
	loop_timer_init(&w->timer, loop, on_timer, w);
	loop_timer_start(&w->timer, interval_ms);
}

void file_watch_stop(struct file_watch *w)
{
	loop_timer_stop(&w->timer);
}
