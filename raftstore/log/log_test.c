/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "raftstore/log/internal.h"
#include "tests/lib/simdisk.h"

/* What the log thread has reported. */
struct reports {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct simdisk *disk;
	uint64_t durable, stalled_seq, failed_seq;
	VEC(struct {
		uint64_t seq;
		size_t ops;
	})
	acks;
};

static void on_report(void *arg, const struct raftlog_report *r)
{
	struct reports *reports = arg;
	pthread_mutex_lock(&reports->lock);
	if (r->result == 0) {
		reports->durable = r->seq;
		vec_reserve(&reports->acks, 1);
		reports->acks.at[reports->acks.n].seq = r->seq;
		reports->acks.at[reports->acks.n++].ops =
		    reports->disk ? simdisk_op_count(reports->disk) : 0;
	} else if (r->result == -ERR_NO_SPACE) {
		reports->stalled_seq = r->seq;
	} else {
		reports->failed_seq = r->seq;
	}
	pthread_cond_broadcast(&reports->changed);
	pthread_mutex_unlock(&reports->lock);
}

static void reports_init(struct reports *r, struct simdisk *disk)
{
	*r = (struct reports){.disk = disk};
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
}

static void reports_deinit(struct reports *r)
{
	vec_deinit(&r->acks);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->changed);
}

/* Waits at most ten seconds until *value is at least want. */
static void wait_for(struct reports *r, const uint64_t *value, uint64_t want)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&r->lock);
	while (*value < want)
		if (pthread_cond_timedwait(&r->changed, &r->lock, &until))
			break;
	bool reached = *value >= want;
	pthread_mutex_unlock(&r->lock);
	assert_true(reached);
}

static size_t data_len(uint64_t index, uint64_t term)
{
	return (index * 37 + term * 11) % 300;
}

static struct blob *data_of(uint64_t index, uint64_t term)
{
	size_t n = data_len(index, term);
	struct blob *b = n ? blob_new(n) : NULL;
	for (size_t i = 0; i < n; i++)
		b->data[i] = (uint8_t)(index + term * 7 + i);
	return b;
}

static void assert_entry(const struct raft_entry *e, uint64_t index, uint64_t term)
{
	struct blob *want = data_of(index, term);
	assert_int_equal(e->index, index);
	assert_int_equal(e->term, term);
	assert_true(slice_eq(blob_view(e->data), blob_view(want)));
	blob_unref(want);
}

static const struct raftlog_identity identity = {11, 22};

static int open_log(struct simdisk *d, struct reports *r, struct raftlog **l,
                    struct raftlog_boot *boot, struct err *err)
{
	struct raftlog_options opt = {
	    .dir = "x",
	    .identity = identity,
	    .segment_bytes = 8192,
	    .window_bytes = 2000,
	    .io = &d->io,
	    .report = on_report,
	    .arg = r,
	};
	return raftlog_open(&opt, l, boot, err);
}

static void append(struct raftlog *l, uint64_t seq, uint64_t term, uint64_t from, uint64_t to)
{
	_cleanup_raft_entries_ struct raft_entries list = {0};
	for (uint64_t i = from; i < to; i++)
		*vec_push(&list) =
		    (struct raft_entry){i, term, RAFT_ENTRY_COMMAND, data_of(i, term)};
	struct raftlog_batch b = {seq, true, {term, 22}, list.at, list.n};
	assert_int_equal(raftlog_append(l, &b), 0);
}

struct fixture {
	struct simdisk disk;
	struct reports reports;
	struct raftlog *log;
	struct raftlog_boot boot;
};

static void setup(struct fixture *f)
{
	*f = (struct fixture){.log = NULL};
	simdisk_init(&f->disk);
	reports_init(&f->reports, &f->disk);
	struct err err = ERR_INIT;
	assert_int_equal(open_log(&f->disk, &f->reports, &f->log, &f->boot, &err), 0);
}

static void shut(struct fixture *f)
{
	raftlog_close(TAKE(f->log));
	raft_entries_deinit(&f->boot.entries);
}

static void reopen(struct fixture *f)
{
	shut(f);
	f->reports.durable = 0;
	struct err err = ERR_INIT;
	int r = open_log(&f->disk, &f->reports, &f->log, &f->boot, &err);
	assert_string_equal(err.text, "");
	assert_int_equal(r, 0);
}

static void teardown(struct fixture *f)
{
	shut(f);
	simdisk_deinit(&f->disk);
	reports_deinit(&f->reports);
}

static void test_reopen(void **state)
{
	struct fixture f;
	setup(&f);
	assert_int_equal(f.boot.entries.n, 0);
	append(f.log, 1, 3, 1, 11);
	append(f.log, 2, 3, 11, 12);
	wait_for(&f.reports, &f.reports.durable, 2);
	reopen(&f);
	assert_int_equal(f.boot.entries.n, 11);
	assert_int_equal(f.boot.hard_state.term, 3);
	assert_int_equal(f.boot.hard_state.vote, 22);
	for (size_t i = 0; i < 11; i++)
		assert_entry(&f.boot.entries.at[i], i + 1, 3);
	teardown(&f);
}

static void test_group_commit(void **state)
{
	struct fixture f;
	setup(&f);
	uint64_t before = f.disk.syncs;
	pthread_mutex_lock(&f.disk.lock); /* the first write waits here, all others queue */
	for (uint64_t i = 1; i <= 64; i++)
		append(f.log, i, 1, i, i + 1);
	pthread_mutex_unlock(&f.disk.lock);
	wait_for(&f.reports, &f.reports.durable, 64);
	struct raftlog_stats stats;
	raftlog_stats(f.log, &stats);
	assert_int_equal(stats.entries, 64);
	/* 64 entries of 150 bytes fill three segments of 8 KiB; each begins with its own sync. */
	assert_true(stats.syncs <= 2 + stats.segments);
	assert_true(f.disk.syncs > before);
	teardown(&f);
}

static void test_truncate(void **state)
{
	struct fixture f;
	setup(&f);
	append(f.log, 1, 1, 1, 11);
	append(f.log, 2, 2, 6, 8); /* replaces 6 to 10 */
	wait_for(&f.reports, &f.reports.durable, 2);
	for (int round = 0; round < 2; round++) {
		_cleanup_raft_entries_ struct raft_entries list = {0};
		struct err err = ERR_INIT;
		assert_int_equal(raftlog_entries(f.log, 5, 20, 1 << 20, &list, &err), 0);
		assert_int_equal(list.n, 3);
		assert_entry(&list.at[0], 5, 1);
		assert_entry(&list.at[1], 6, 2);
		assert_entry(&list.at[2], 7, 2);
		reopen(&f);
		assert_int_equal(f.boot.entries.n, 7);
	}
	teardown(&f);
}

static void test_roll_compact_and_read(void **state)
{
	struct fixture f;
	setup(&f);
	for (uint64_t i = 1; i <= 40; i++)
		append(f.log, i, 1, i * 10 - 9, i * 10 + 1);
	wait_for(&f.reports, &f.reports.durable, 40);
	struct raftlog_stats stats;
	raftlog_stats(f.log, &stats);
	assert_true(stats.segments > 5);
	{ /* the window of 2000 bytes has long forgotten these */
		_cleanup_raft_entries_ struct raft_entries list = {0};
		struct err err = ERR_INIT;
		assert_int_equal(raftlog_entries(f.log, 1, 401, 1 << 30, &list, &err), 0);
		assert_int_equal(list.n, 400);
		for (uint64_t i = 1; i <= 400; i++)
			assert_entry(&list.at[i - 1], i, 1);
		raft_entries_clear(&list);
		assert_int_equal(raftlog_entries(f.log, 1, 401, 1000, &list, &err), 0);
		assert_in_range(list.n, 1, 30);
		assert_int_equal(raftlog_entries(f.log, 401, 402, 1, &list, &err), -ERR_NOT_FOUND);
	}
	raftlog_compact(f.log, 300);
	append(f.log, 41, 1, 401, 402); /* the compaction runs on the same thread */
	wait_for(&f.reports, &f.reports.durable, 41);
	reopen(&f); /* closing waits for it */
	assert_true(f.boot.mark.index > 200 && f.boot.mark.index <= 300);
	assert_int_equal(f.boot.mark.term, 1);
	assert_int_equal(f.boot.entries.at[0].index, f.boot.mark.index + 1);
	assert_int_equal(vec_last(&f.boot.entries)->index, 401);
	assert_null(simdisk_file(&f.disk, "0000000000000001.seg"));
	teardown(&f);
}

struct reset {
	int result;
	unsigned calls;
};

static void on_reset(void *arg, int result, const struct err *err)
{
	struct reset *r = arg;
	r->result = result;
	r->calls++;
}

static void test_reset(void **state)
{
	struct fixture f;
	struct reset reset = {.result = -1};
	setup(&f);
	append(f.log, 1, 1, 1, 100);
	raftlog_reset(f.log, (struct raft_mark){5000, 7}, on_reset, &reset);
	append(f.log, 2, 8, 5001, 5003);
	wait_for(&f.reports, &f.reports.durable, 2);
	assert_int_equal(reset.result, 0);
	assert_int_equal(reset.calls, 1);
	reopen(&f);
	assert_int_equal(f.boot.mark.index, 5000);
	assert_int_equal(f.boot.mark.term, 7);
	assert_int_equal(f.boot.entries.n, 2);
	assert_entry(&f.boot.entries.at[0], 5001, 8);
	teardown(&f);
}

static void test_refuses_gaps(void **state)
{
	struct fixture f;
	setup(&f);
	append(f.log, 1, 1, 1, 3);
	struct raft_entry e = {5, 1, RAFT_ENTRY_NOOP, NULL};
	struct raftlog_batch b = {.seq = 2, .entries = &e, .n = 1};
	assert_int_equal(raftlog_append(f.log, &b), -ERR_INVALID);
	e.index = 3;
	b.seq = 1;
	assert_int_equal(raftlog_append(f.log, &b), -ERR_INVALID);
	b.seq = 2;
	assert_int_equal(raftlog_append(f.log, &b), 0);
	teardown(&f);
}

static void test_identity_and_lock(void **state)
{
	struct fixture f;
	setup(&f);
	struct err err = ERR_INIT;
	struct raftlog *other = NULL;
	struct raftlog_boot boot;
	assert_int_equal(open_log(&f.disk, &f.reports, &other, &boot, &err), -ERR_CONFLICT);
	assert_string_equal(err.text, "x is in use by another process");
	shut(&f);
	struct raftlog_options opt = {.dir = "x", .identity = {11, 23}, .io = &f.disk.io};
	assert_int_equal(raftlog_open(&opt, &other, &boot, &err), -ERR_CONFLICT);
	assert_non_null(strstr(err.text, "belongs to member 0000000000000016 of cluster"));
	teardown(&f);
}

static void test_no_space(void **state)
{
	struct fixture f;
	setup(&f);
	f.disk.capacity_bytes = 20000; /* the first segment, one more, not two */
	uint64_t seq = 0;
	while (raftlog_state(f.log, NULL) == 0 && seq < 200) {
		seq++;
		append(f.log, seq, 1, seq, seq + 1);
		pthread_mutex_lock(&f.reports.lock);
		while (f.reports.durable < seq && !f.reports.stalled_seq)
			pthread_cond_wait(&f.reports.changed, &f.reports.lock);
		pthread_mutex_unlock(&f.reports.lock);
	}
	struct err err = ERR_INIT;
	assert_int_equal(raftlog_state(f.log, &err), -ERR_NO_SPACE);
	assert_non_null(strstr(err.text, "No space left on device"));
	assert_int_equal(f.reports.stalled_seq, seq);
	assert_int_equal(f.reports.durable, seq - 1);
	append(f.log, seq + 1, 1, seq + 1, seq + 2); /* waits behind it */

	/* A power cut at this moment loses nothing acknowledged and keeps nothing half-written. */
	struct fixture cut = {.log = NULL};
	struct rng rng;
	rng_init(&rng, 1);
	simdisk_cut(&f.disk, simdisk_op_count(&f.disk), &rng, &cut.disk);
	reports_init(&cut.reports, NULL);
	assert_int_equal(open_log(&cut.disk, &cut.reports, &cut.log, &cut.boot, &err), 0);
	assert_int_equal(cut.boot.entries.n, seq - 1);
	teardown(&cut);

	pthread_mutex_lock(&f.disk.lock);
	f.disk.capacity_bytes = 0;
	pthread_mutex_unlock(&f.disk.lock);
	raftlog_retry(f.log);
	wait_for(&f.reports, &f.reports.durable, seq + 1);
	assert_int_equal(raftlog_state(f.log, NULL), 0);
	reopen(&f);
	assert_int_equal(f.boot.entries.n, seq + 1);
	teardown(&f);
}

static void test_no_space_ends_by_compaction(void **state)
{
	struct fixture f;
	setup(&f);
	f.disk.capacity_bytes = 30000;
	uint64_t seq = 0;
	while (raftlog_state(f.log, NULL) == 0 && seq < 500) {
		seq++;
		append(f.log, seq, 1, seq, seq + 1);
		pthread_mutex_lock(&f.reports.lock);
		while (f.reports.durable < seq && !f.reports.stalled_seq)
			pthread_cond_wait(&f.reports.changed, &f.reports.lock);
		pthread_mutex_unlock(&f.reports.lock);
	}
	assert_int_equal(f.reports.stalled_seq, seq);
	raftlog_compact(f.log, seq - 1);
	wait_for(&f.reports, &f.reports.durable, seq);
	reopen(&f);
	assert_int_equal(vec_last(&f.boot.entries)->index, seq);
	teardown(&f);
}

static void test_failed_sync_is_final(void **state)
{
	struct fixture f;
	setup(&f);
	append(f.log, 1, 1, 1, 2);
	wait_for(&f.reports, &f.reports.durable, 1);
	pthread_mutex_lock(&f.disk.lock);
	f.disk.fail_sync = true;
	pthread_mutex_unlock(&f.disk.lock);
	append(f.log, 2, 1, 2, 3);
	wait_for(&f.reports, &f.reports.failed_seq, 2);
	pthread_mutex_lock(&f.disk.lock);
	f.disk.fail_sync = false;
	pthread_mutex_unlock(&f.disk.lock);
	struct err err = ERR_INIT;
	assert_int_equal(raftlog_state(f.log, &err), -ERR_IO);
	assert_string_equal(err.text, "cannot sync 0000000000000001.seg: Input/output error");
	struct raft_entry e = {3, 1, RAFT_ENTRY_NOOP, NULL};
	struct raftlog_batch b = {.seq = 3, .entries = &e, .n = 1};
	assert_int_equal(raftlog_append(f.log, &b), -ERR_IO);
	assert_int_equal(f.reports.durable, 1);
	teardown(&f);
}

/* Every byte of every record of a log is damaged in turn. */
static void test_damage(void **state)
{
	struct fixture f;
	setup(&f);
	for (uint64_t i = 1; i <= 8; i++) {
		append(f.log, i, 1, i * 5 - 4, i * 5 + 1);
		wait_for(&f.reports, &f.reports.durable, i);
	}
	struct raftlog_stats stats;
	raftlog_stats(f.log, &stats);
	assert_true(stats.segments >= 2);
	char last_name[SEGMENT_NAME_BYTES];
	segment_name(last_name, stats.segments);
	uint64_t last_at = f.log->at, last_batch_bytes = 0;
	for (uint64_t i = 36; i <= 40; i++)
		last_batch_bytes += record_size(24 + data_len(i, 1));
	last_batch_bytes += record_size(16);
	shut(&f);

	size_t detected = 0, cut = 0;
	for (uint64_t number = 1; number <= stats.segments; number++) {
		char name[SEGMENT_NAME_BYTES];
		segment_name(name, number);
		bool is_last = strcmp(name, last_name) == 0;
		struct buf *file = simdisk_file(&f.disk, name);
		uint64_t end = is_last ? last_at : file->len;
		for (uint64_t at = 0; at < end; at++) {
			if (file->data[at] == 0 && !is_last)
				continue; /* the unused end of a segment is not checked */
			_cleanup_buf_ struct buf saved = BUF_INIT;
			buf_add(&saved, file->data, file->len);
			file->data[at] ^= 0x40;
			struct raftlog *l = NULL;
			struct raftlog_boot boot = {0};
			struct err err = ERR_INIT;
			int r = open_log(&f.disk, &f.reports, &l, &boot, &err);
			bool in_last_batch = is_last && at >= last_at - last_batch_bytes;
			if (r == 0) {
				/* Only the last batch may go, as a torn tail. The padding behind a
				 * record carries nothing. */
				bool padding = boot.entries.n == 40;
				assert_true(in_last_batch || padding);
				assert_true(boot.entries.n >= 35);
				cut++;
			} else {
				assert_int_equal(r, -ERR_CORRUPT);
				assert_non_null(strstr(err.text, name));
				detected++;
			}
			raftlog_close(l);
			raft_entries_deinit(&boot.entries);
			file = simdisk_file(&f.disk, name);
			memcpy(file->data, saved.data, saved.len);
		}
	}
	assert_true(detected > 1000 && cut > 10);
	simdisk_deinit(&f.disk);
	reports_deinit(&f.reports);
}

static void test_missing_segment(void **state)
{
	struct fixture f;
	setup(&f);
	for (uint64_t i = 1; i <= 40; i++)
		append(f.log, i, 1, i * 10 - 9, i * 10 + 1);
	wait_for(&f.reports, &f.reports.durable, 40);
	shut(&f);
	f.disk.io.unlink(&f.disk, 1, "0000000000000003.seg");
	struct err err = ERR_INIT;
	assert_int_equal(open_log(&f.disk, &f.reports, &f.log, &f.boot, &err), -ERR_CORRUPT);
	assert_string_equal(err.text, "log segment 0000000000000003.seg is missing");
	f.log = NULL;
	f.boot = (struct raftlog_boot){0};
	teardown(&f);
}

/* On the real file system: modes, lock and speed of opening. */
static void test_real_files(void **state)
{
	char dir[] = "/tmp/raftlog-test-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	struct reports reports;
	reports_init(&reports, NULL);
	struct raftlog_options opt = {
	    .dir = path, .identity = identity, .report = on_report, .arg = &reports};
	struct raftlog *l = NULL, *other = NULL;
	struct raftlog_boot boot;
	struct err err = ERR_INIT;
	assert_int_equal(raftlog_open(&opt, &l, &boot, &err), 0);
	assert_int_equal(raftlog_open(&opt, &other, &boot, &err), -ERR_CONFLICT);
	append(l, 1, 1, 1, 100);
	wait_for(&reports, &reports.durable, 1);
	raftlog_close(l);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	char file[128];
	snprintf(file, sizeof(file), "%s/0000000000000001.seg", path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(raftlog_open(&opt, &l, &boot, &err), 0);
	assert_int_equal(boot.entries.n, 99);
	raft_entries_deinit(&boot.entries);
	raftlog_close(l);
	unlink(file);
	snprintf(file, sizeof(file), "%s/lock", path);
	unlink(file);
	rmdir(path);
	rmdir(dir);
	reports_deinit(&reports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reopen),
	    cmocka_unit_test(test_group_commit),
	    cmocka_unit_test(test_truncate),
	    cmocka_unit_test(test_roll_compact_and_read),
	    cmocka_unit_test(test_reset),
	    cmocka_unit_test(test_refuses_gaps),
	    cmocka_unit_test(test_identity_and_lock),
	    cmocka_unit_test(test_no_space),
	    cmocka_unit_test(test_no_space_ends_by_compaction),
	    cmocka_unit_test(test_failed_sync_is_final),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_missing_segment),
	    cmocka_unit_test(test_real_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
