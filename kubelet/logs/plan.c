/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/logs/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/codec/rfc3339.h"

static int by_name(const void *a, const void *b)
{
	const struct log_file *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static bool ends_with(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);
	return n >= k && !strcmp(s + n - k, suffix);
}

bool log_file_belongs(const char *log, const char *name)
{
	size_t n = strlen(log);
	return !strncmp(name, log, n) && (!name[n] || name[n] == '.');
}

static bool is_rotated(const char *log, const char *name)
{
	return log_file_belongs(log, name) && name[strlen(log)];
}

/* "x" when "x.gz" is there, too: compressed, but not removed before a crash. */
static bool is_compressed_already(const struct log_file *files, size_t n, size_t i)
{
	size_t len = strlen(files[i].name);
	for (size_t k = 0; k < n; k++)
		if (!strncmp(files[k].name, files[i].name, len) &&
		    !strcmp(files[k].name + len, ".gz"))
			return true;
	return false;
}

void log_files_plan(const char *log, struct log_file *files, size_t n, int64_t max_files)
{
	int64_t stay = 0, room = max_files > 2 ? max_files - 2 : 0;
	qsort(files, n, sizeof(*files), by_name);
	for (size_t i = 0; i < n; i++) {
		files[i].action = LOG_KEEP;
		if (!is_rotated(log, files[i].name))
			continue;
		if (ends_with(files[i].name, ".tmp") || is_compressed_already(files, n, i))
			files[i].action = LOG_REMOVE;
		else
			stay++;
	}
	/* The live log and the one that it becomes stay besides. */
	for (size_t i = 0; i < n; i++) {
		if (files[i].action != LOG_KEEP || !is_rotated(log, files[i].name))
			continue;
		if (stay > room) {
			files[i].action = LOG_REMOVE;
			stay--;
		} else if (!ends_with(files[i].name, ".gz")) {
			files[i].action = LOG_COMPRESS;
		}
	}
}

const char *log_rotated_name(const char *log, int64_t now_s, struct arena *a)
{
	char t[RFC3339_BYTES];
	rfc3339_format(now_s, t); /* 2006-01-02T15:04:05Z */
	return arena_printf(a, "%s.%.4s%.2s%.2s-%.2s%.2s%.2s", log, t, t + 5, t + 8, t + 11, t + 14,
	                    t + 17);
}
