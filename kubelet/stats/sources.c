/* SPDX-License-Identifier: Apache-2.0 */
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/map.h"
#include "kubelet/stats/stats.h"

enum { TEXT_BYTES = 64 << 10, INTERFACES_MAX = 256, FILES_MAX = 1000000 };

static bool read_text(const char *path, char out[TEXT_BYTES])
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t n = fread(out, 1, TEXT_BYTES - 1, f);
	out[n] = 0;
	fclose(f);
	return true;
}

/* "  eth0: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0": bytes, packets, errors, dropped of either way. */
static bool parse_interface(char *line, struct net_usage *n)
{
	unsigned long long v[16];
	char *colon = strchr(line, ':'), *p = colon ? colon + 1 : NULL;
	if (!colon)
		return false;
	*colon = 0;
	for (int i = 0; i < 16; i++) {
		char *end;
		v[i] = strtoull(p, &end, 10);
		if (end == p)
			return false;
		p = end;
	}
	*n = (struct net_usage){
	    .name = line + strspn(line, " "),
	    .rx_bytes = v[0],
	    .rx_packets = v[1],
	    .rx_errors = v[2],
	    .rx_dropped = v[3],
	    .tx_bytes = v[8],
	    .tx_packets = v[9],
	    .tx_errors = v[10],
	    .tx_dropped = v[11],
	};
	return strcmp(n->name, "lo") != 0;
}

void stats_parse_net(const char *text, struct arena *a, struct net_usage **ret, size_t *ret_n)
{
	char *save = NULL, *copy = arena_strdup(a, text);
	*ret = NULL;
	*ret_n = 0;
	for (char *line; *ret_n < INTERFACES_MAX && (line = strtok_r(copy, "\n", &save));
	     copy = NULL) {
		struct net_usage n;
		if (!parse_interface(line, &n))
			continue;
		*ret = arena_grow(a, *ret, *ret_n * sizeof(n), (*ret_n + 1) * sizeof(n));
		(*ret)[(*ret_n)++] = n;
	}
}

struct net_usage *stats_read_net(const char *path, struct arena *a, size_t *ret_n)
{
	struct net_usage *nets = NULL;
	char *text = arena_alloc(a, TEXT_BYTES);
	*ret_n = 0;
	if (read_text(path, text))
		stats_parse_net(text, a, &nets, ret_n);
	return nets;
}

void stats_fs(const char *path, struct fs_usage *ret)
{
	struct statvfs fs;
	if (statvfs(path, &fs) || !fs.f_blocks)
		return;
	ret->has_fs = true;
	ret->capacity_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	ret->available_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	ret->inodes = fs.f_files;
	ret->inodes_free = fs.f_ffree;
	if (!ret->has_used) {
		ret->has_used = true;
		ret->used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
		ret->inodes_used = fs.f_files - fs.f_ffree;
	}
}

void stats_du(const char *path, uint64_t *bytes, uint64_t *inodes)
{
	char *const paths[] = {(char *)(uintptr_t)path, NULL};
	struct map links;
	size_t n = 0;
	map_init(&links, 0);
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	for (FTSENT *e; fts && n < FILES_MAX && (e = fts_read(fts)); n++) {
		if (e->fts_info == FTS_DP || e->fts_info == FTS_NS || e->fts_info == FTS_ERR)
			continue;
		const struct stat *st = e->fts_statp;
		struct slice id = slice_of(&st->st_ino, sizeof(st->st_ino));
		if (e->fts_info == FTS_F && st->st_nlink > 1 && map_put(&links, id, &links))
			continue; /* counted already */
		*bytes += (uint64_t)st->st_blocks * 512;
		(*inodes)++;
	}
	if (fts)
		fts_close(fts);
	map_deinit(&links);
}

/* The machine: the roots of cgroups do not tell on every machine, /proc does. */

static uint64_t kib_of(const char *meminfo, const char *key)
{
	const char *p = strstr(meminfo, key);
	return p ? strtoull(p + strlen(key), NULL, 10) * 1024 : 0;
}

static uint64_t line_value(const char *text, const char *key)
{
	return (uint64_t)cgroup_text_value(text, key);
}

void stats_node_usage(struct cgroup_usage *u, uint64_t *memory_capacity, uint64_t *swap_capacity,
                      int64_t *ret_boot_ns)
{
	_cleanup_arena_ struct arena a = {0};
	char *text = arena_alloc(&a, TEXT_BYTES);
	long hz = sysconf(_SC_CLK_TCK);
	unsigned long long t[8] = {0};
	*u = (struct cgroup_usage){0};
	if (read_text("/proc/stat", text) &&
	    sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
	           &t[4], &t[5], &t[6], &t[7]) == 8) {
		/* All but idle and waiting for disks. */
		u->has_cpu = true;
		u->cpu_ns = (t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) *
		            (1000000000u / (uint64_t)(hz > 0 ? hz : 100));
		*ret_boot_ns = cgroup_text_value(text, "btime") * 1000000000;
	}
	if (read_text("/proc/meminfo", text)) {
		uint64_t inactive = kib_of(text, "Inactive(file):");
		*memory_capacity = kib_of(text, "MemTotal:");
		*swap_capacity = kib_of(text, "SwapTotal:");
		u->has_memory = u->has_swap = true;
		u->memory_bytes = *memory_capacity - kib_of(text, "MemFree:");
		u->working_set_bytes = u->memory_bytes > inactive ? u->memory_bytes - inactive : 0;
		u->rss_bytes = kib_of(text, "AnonPages:");
		u->swap_bytes = *swap_capacity - kib_of(text, "SwapFree:");
	}
	if (read_text("/proc/vmstat", text)) {
		u->page_faults = line_value(text, "pgfault");
		u->major_faults = line_value(text, "pgmajfault");
		u->oom_kills = line_value(text, "oom_kill");
	}
}

void stats_own_usage(struct cgroup_usage *u)
{
	struct rusage r;
	char *text = malloc(TEXT_BYTES);
	unsigned long long size = 0, resident = 0, shared = 0;
	*u = (struct cgroup_usage){0};
	getrusage(RUSAGE_SELF, &r);
	u->has_cpu = true;
	u->cpu_ns = (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000 +
	            (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
	if (text && read_text("/proc/self/statm", text) &&
	    sscanf(text, "%llu %llu %llu", &size, &resident, &shared) == 3) {
		uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
		u->has_memory = true;
		u->memory_bytes = u->working_set_bytes = resident * page;
		u->rss_bytes = (resident - shared) * page;
		u->page_faults = (uint64_t)r.ru_minflt;
		u->major_faults = (uint64_t)r.ru_majflt;
	}
	free(text);
}
