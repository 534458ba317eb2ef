/* SPDX-License-Identifier: Apache-2.0 */
/* The Raft log beside a bare append and fdatasync: latency and throughput by number of writers. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/vec.h"
#include "raftstore/log/log.h"

enum { ENTRY_BYTES = 1024, RUN_MS = 1000, WRITERS_MAX = 64, BARE_BYTES = 4 << 20 };

struct bench {
	struct raftlog *log;
	pthread_mutex_t lock;
	pthread_cond_t durable_changed;
	uint64_t next, durable; /* seq and index run together */
	uint64_t end_ns;
	struct blob *data;
};

struct writer {
	struct bench *bench;
	pthread_t thread;
	VEC(uint64_t) took_ns;
};

static void on_report(void *arg, const struct raftlog_report *r)
{
	struct bench *b = arg;
	if (r->result < 0) {
		fprintf(stderr, "%s\n", r->err->text);
		exit(1);
	}
	pthread_mutex_lock(&b->lock);
	b->durable = r->seq;
	pthread_cond_broadcast(&b->durable_changed);
	pthread_mutex_unlock(&b->lock);
}

static void *write_entries(void *arg)
{
	struct writer *w = arg;
	struct bench *b = w->bench;
	uint64_t now = clock_mono_ns();
	while (now < b->end_ns) {
		uint64_t start = now;
		pthread_mutex_lock(&b->lock);
		uint64_t seq = ++b->next;
		struct raft_entry e = {seq, 1, RAFT_ENTRY_COMMAND, b->data};
		struct raftlog_batch batch = {.seq = seq, .entries = &e, .n = 1};
		if (raftlog_append(b->log, &batch) < 0)
			abort();
		while (b->durable < seq)
			pthread_cond_wait(&b->durable_changed, &b->lock);
		pthread_mutex_unlock(&b->lock);
		now = clock_mono_ns();
		*vec_push(&w->took_ns) = now - start;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void print_row(const char *name, uint64_t *took_ns, size_t n, uint64_t syncs, double s)
{
	qsort(took_ns, n, sizeof(*took_ns), by_value);
	printf("%-14s %8.0f syncs/s %8.0f entries/s   p50 %6.0f us   p99 %6.0f us\n", name,
	       (double)syncs / s, (double)n / s, n ? (double)took_ns[n / 2] / 1e3 : 0,
	       n ? (double)took_ns[n * 99 / 100] / 1e3 : 0);
}

static void run(struct bench *b, size_t n)
{
	struct writer writers[WRITERS_MAX] = {0};
	VEC(uint64_t) all = {0};
	struct raftlog_stats before, after;
	raftlog_stats(b->log, &before);
	uint64_t start = clock_mono_ns();
	b->end_ns = start + RUN_MS * 1000000ull;
	for (size_t i = 0; i < n; i++) {
		writers[i].bench = b;
		if (pthread_create(&writers[i].thread, NULL, write_entries, &writers[i]))
			abort();
	}
	for (size_t i = 0; i < n; i++) {
		pthread_join(writers[i].thread, NULL);
		VEC_FOREACH (&writers[i].took_ns, t)
			*vec_push(&all) = *t;
		vec_deinit(&writers[i].took_ns);
	}
	double s = (double)(clock_mono_ns() - start) / 1e9;
	raftlog_stats(b->log, &after);
	char name[32];
	snprintf(name, sizeof(name), "log, %zu", n);
	print_row(name, all.at, all.n, after.syncs - before.syncs, s);
	vec_deinit(&all);
}

/* One writer without any log: the floor. `filled`: into zeros, else at the end of the file. */
static void run_bare(const char *dir, bool filled)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/bare", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t *zeros = calloc(1, BARE_BYTES);
	if (fd < 0 || !zeros || (filled && pwrite(fd, zeros, BARE_BYTES, 0) != BARE_BYTES) ||
	    fdatasync(fd) < 0)
		abort();
	VEC(uint64_t) took = {0};
	uint64_t at = 0, start = clock_mono_ns(), now = start;
	while (now < start + RUN_MS * 1000000ull) {
		if (pwrite(fd, zeros, ENTRY_BYTES, (off_t)at) != ENTRY_BYTES || fdatasync(fd) < 0)
			abort();
		at = filled ? (at + ENTRY_BYTES) % BARE_BYTES : at + ENTRY_BYTES;
		uint64_t before = now;
		now = clock_mono_ns();
		*vec_push(&took) = now - before;
	}
	print_row(filled ? "bare, filled" : "bare, append", took.at, took.n, took.n,
	          (double)(now - start) / 1e9);
	vec_deinit(&took);
	free(zeros);
	close(fd);
	unlink(path);
}

static void remove_log(const char *dir, uint64_t segments)
{
	char path[4096];
	for (uint64_t i = 1; i <= segments; i++) {
		snprintf(path, sizeof(path), "%s/log/%016llx.seg", dir, (unsigned long long)i);
		unlink(path);
	}
	const char *others[] = {"log/spare.tmp", "log/lock", "log", ""};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, others[i]);
		if (unlink(path) < 0)
			rmdir(path);
	}
}

static void time_open(const struct raftlog_options *opt)
{
	struct raftlog *l = NULL;
	struct raftlog_boot boot;
	struct err err = ERR_INIT;
	uint64_t start = clock_mono_ns();
	if (raftlog_open(opt, &l, &boot, &err) < 0)
		abort();
	double ms = (double)(clock_mono_ns() - start) / 1e6;
	printf("open %zu entries, %.0f MB: %.0f ms\n", boot.entries.n,
	       (double)boot.entries.n * ENTRY_BYTES / 1e6, ms);
	raft_entries_deinit(&boot.entries);
	raftlog_close(l);
}

int main(int argc, char **argv)
{
	char own[] = "raft_log_bench_XXXXXX", path[4096];
	const char *dir = argc > 1 ? argv[1] : mkdtemp(own);
	if (!dir)
		return 1;
	snprintf(path, sizeof(path), "%s/log", dir);
	struct bench b = {.data = blob_new(ENTRY_BYTES)};
	memset(b.data->data, 'x', ENTRY_BYTES);
	pthread_mutex_init(&b.lock, NULL);
	pthread_cond_init(&b.durable_changed, NULL);
	struct raftlog_options opt = {
	    .dir = path, .identity = {1, 1}, .report = on_report, .arg = &b};
	struct raftlog_boot boot;
	struct err err = ERR_INIT;
	run_bare(dir, false);
	run_bare(dir, true);
	if (raftlog_open(&opt, &b.log, &boot, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	const size_t writers[] = {1, 8, 64};
	for (size_t i = 0; i < ARRAY_LEN(writers); i++)
		run(&b, writers[i]);
	struct raftlog_stats stats;
	raftlog_stats(b.log, &stats);
	raftlog_close(b.log);
	time_open(&opt);
	remove_log(dir, stats.segments + 1);
	blob_unref(b.data);
	return 0;
}
