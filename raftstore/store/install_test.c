/* SPDX-License-Identifier: Apache-2.0 */
/* A store takes another one's tables. The process dies before or after each step that reaches the
 * disk, one after the other; the store that is opened then is wholly as before or wholly as after.
 * The linker puts the test between the store and those calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "raftstore/store/store.h"

enum { KEYS = 2000, DIED = 7 };

/* --- dying --- */

static int steps_left = -1; /* -1: lives */
/* What must have reached the disk before the checkpoint may name the new tables. */
static bool fail_folder_sync; /* the one that makes the switch durable */
static bool tables_synced, folder_synced, checkpoint_synced, switched;

static void step(void)
{
	if (steps_left > 0 && --steps_left == 0)
		_exit(DIED);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_mdb_env_sync(MDB_env *env, int force);
int __wrap_mdb_env_sync(MDB_env *env, int force);
int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	step();
	if (!strcmp(to, "checkpoint")) {
		switched = true;
		assert_true(checkpoint_synced);
	} else {
		tables_synced = folder_synced = checkpoint_synced = false;
	}
	int r = __real_renameat(from_fd, from, to_fd, to);
	step();
	return r;
}

int __wrap_fsync(int fd)
{
	struct stat st;
	step();
	int r = __real_fsync(fd);
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		folder_synced = true;
		if (fail_folder_sync && switched) {
			errno = EIO;
			return -1;
		}
	} else {
		checkpoint_synced = true;
	}
	step();
	return r;
}

int __wrap_mdb_env_sync(MDB_env *env, int force)
{
	step();
	int r = __real_mdb_env_sync(env, force);
	tables_synced = true;
	step();
	return r;
}

int __wrap_mdb_txn_commit(MDB_txn *txn)
{
	step();
	tables_synced = false;
	int r = __real_mdb_txn_commit(txn);
	step();
	return r;
}

int __wrap_unlinkat(int fd, const char *name, int flags)
{
	step();
	return __real_unlinkat(fd, name, flags);
}

/* --- stores --- */

static struct store *open_at(const char *dir)
{
	struct err err = ERR_INIT;
	struct store *s;
	struct store_options o = {.dir = dir, .map_bytes = 1 << 28};
	if (store_open(&o, &s, &err))
		fail_msg("%s", err.text);
	return s;
}

static void put(struct kv_txn *kv, const char *key, const char *value)
{
	assert_int_equal(kv_put(kv, KV_META, slice_str(key), slice_str(value)), 0);
}

static void fill(struct store *s, const char *what, uint64_t index)
{
	struct kv_txn *kv;
	struct err err = ERR_INIT;
	assert_int_equal(store_begin(s, true, &kv), 0);
	for (uint32_t i = 0; i < KEYS; i++) {
		char value[200] = {0};
		snprintf(value, sizeof(value), "%s-%u", what, i);
		assert_int_equal(
		    kv_put(kv, KV_REV, slice_of(&i, sizeof(i)), slice_of(value, sizeof(value))), 0);
	}
	put(kv, "what", what);
	put(kv, "member", what);
	assert_int_equal(store_commit(kv, &err), 0);
	assert_int_equal(store_checkpoint_begin(s, (struct store_mark){index, 1}), 0);
	assert_int_equal(store_checkpoint_finish(s, &err), 0);
}

static bool has(struct store *s, const char *key, const char *value)
{
	struct kv_txn *kv;
	struct slice got;
	assert_int_equal(store_begin(s, false, &kv), 0);
	int r = kv_get(kv, KV_META, slice_str(key), &got);
	bool same = !r && slice_eq_str(got, value);
	store_end(kv);
	return same;
}

static void check(struct store *s, const char *what, uint64_t index)
{
	struct kv_txn *kv;
	assert_int_equal(store_durable(s).index, index);
	assert_true(has(s, "what", what));
	assert_true(has(s, "member", "old")); /* the receiver's own stays */
	assert_int_equal(store_begin(s, false, &kv), 0);
	for (uint32_t i = 0; i < KEYS; i++) {
		struct slice got;
		char value[200] = {0};
		snprintf(value, sizeof(value), "%s-%u", what, i);
		assert_int_equal(kv_get(kv, KV_REV, slice_of(&i, sizeof(i)), &got), 0);
		assert_true(slice_eq(got, slice_of(value, sizeof(value))));
	}
	store_end(kv);
}

static int look(void *arg, struct kv_txn *kv)
{
	struct slice got;
	assert_int_equal(kv_get(kv, KV_META, SLICE_LIT("what"), &got), 0);
	*(bool *)arg = slice_eq_str(got, "new");
	return 0;
}

static int adopt(void *arg, struct kv_txn *kv)
{
	put(kv, "member", "old");
	return 0;
}

static void receive(struct store *s, const struct store_copy *c)
{
	struct err err = ERR_INIT;
	uint8_t bytes[5000];
	assert_int_equal(store_receive_begin(s, &err), 0);
	for (uint64_t at = 0; at < store_copy_bytes(c);) {
		size_t n = MIN(sizeof(bytes), store_copy_bytes(c) - at);
		assert_int_equal(store_copy_read(c, at, bytes, n, &err), 0);
		assert_int_equal(store_receive_write(s, at, slice_of(bytes, n), &err), 0);
		at += n;
	}
}

static int install(struct store *s, uint64_t index)
{
	struct err err = ERR_INIT;
	return store_install(s, (struct store_mark){index, 2}, adopt, NULL, &err);
}

/* --- folders --- */

static void empty_dir(const char *dir)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

/* Without what the next checkpoint replaces. */
static unsigned files_in(const char *dir)
{
	unsigned n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.' && strcmp(e->d_name, "checkpoint.tmp");
	closedir(d);
	return n;
}

struct world {
	char from[64], to[64];
	struct store *source;
	struct store_copy *copy;
};

static void world_start(struct world *w)
{
	struct err err = ERR_INIT;
	bool seen = false;
	snprintf(w->from, sizeof(w->from), "/tmp/install_test.XXXXXX");
	snprintf(w->to, sizeof(w->to), "/tmp/install_test.XXXXXX");
	assert_non_null(mkdtemp(w->from));
	assert_non_null(mkdtemp(w->to));
	w->source = open_at(w->from);
	fill(w->source, "new", 50);
	if (store_copy_new(w->source, look, &seen, &w->copy, &err))
		fail_msg("%s", err.text);
	assert_true(seen);
	/* The copy is of its own moment. */
	fill(w->source, "newer", 60);
}

static void world_end(struct world *w)
{
	store_copy_free(w->copy);
	store_close(w->source);
	empty_dir(w->from);
	empty_dir(w->to);
	rmdir(w->from);
	rmdir(w->to);
}

/* --- tests --- */

static void test_install(void **state)
{
	struct world w;
	world_start(&w);
	struct store *s = open_at(w.to);
	fill(s, "old", 10);
	receive(s, w.copy);
	check(s, "old", 10);
	assert_int_equal(install(s, 50), 0);
	check(s, "new", 50);
	fill(s, "on", 51); /* it goes on from there */
	assert_int_equal(install(s, 70), -ERR_NOT_FOUND);
	store_close(s);
	s = open_at(w.to);
	assert_true(has(s, "what", "on"));
	assert_int_equal(files_in(w.to), 3);
	store_close(s);
	world_end(&w);
}

static void die_after(struct world *w, int steps)
{
	pid_t pid = fork();
	if (pid == 0) {
		struct store *s = open_at(w->to);
		receive(s, w->copy);
		steps_left = steps;
		int r = install(s, 50);
		assert_true(!switched || (tables_synced && folder_synced));
		_exit(r ? 1 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	steps_left = WEXITSTATUS(status) == DIED ? 1 : WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void test_crashes(void **state)
{
	struct world w;
	world_start(&w);
	unsigned as_before = 0, as_after = 0;
	for (int steps = 1;; steps++) {
		empty_dir(w.to);
		struct store *s = open_at(w.to);
		fill(s, "old", 10);
		store_close(s);
		die_after(&w, steps);
		int died = steps_left;
		steps_left = -1;
		assert_true(died >= 0);
		s = open_at(w.to);
		bool is_new = has(s, "what", "new");
		check(s, is_new ? "new" : "old", is_new ? 50 : 10);
		*(is_new ? &as_after : &as_before) += 1;
		assert_true(died || is_new);
		assert_true(as_after == 0 || is_new); /* never back again */
		assert_int_equal(files_in(w.to), 3);  /* nothing is left over */
		store_close(s);
		if (!died)
			break;
	}
	assert_true(as_before >= 8);
	assert_true(as_after >= 3);
	world_end(&w);
}

/* Hard links of all files. */
static void link_all(const char *from, const char *to)
{
	DIR *d = opendir(from);
	for (struct dirent *e; (e = readdir(d));) {
		char a[400], b[400];
		snprintf(a, sizeof(a), "%s/%s", from, e->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, e->d_name);
		if (e->d_name[0] != '.')
			assert_int_equal(link(a, b), 0);
	}
	closedir(d);
}

/* Nobody knows which checkpoint the disk holds: with either the store is good. */
static void test_switch_that_fails(void **state)
{
	struct world w;
	char kept[] = "/tmp/install_test.XXXXXX", path[400];
	assert_non_null(mkdtemp(kept));
	world_start(&w);
	struct store *s = open_at(w.to);
	fill(s, "old", 10);
	store_close(s);
	link_all(w.to, kept);
	s = open_at(w.to);
	receive(s, w.copy);
	switched = false;
	fail_folder_sync = true;
	assert_int_equal(install(s, 50), -ERR_UNKNOWN);
	fail_folder_sync = false;
	store_close(s);
	/* The folder with the checkpoint before. */
	snprintf(path, sizeof(path), "%s/db-0000000000000001.mdb", w.to);
	assert_int_equal(access(path, F_OK), 0);
	s = open_at(kept);
	check(s, "old", 10);
	store_close(s);
	s = open_at(w.to);
	check(s, "new", 50);
	store_close(s);
	empty_dir(kept);
	rmdir(kept);
	world_end(&w);
}

static void test_what_is_no_snapshot(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	world_start(&w);
	struct store *s = open_at(w.to);
	fill(s, "old", 10);
	assert_int_equal(store_receive_begin(s, &err), 0);
	assert_int_equal(install(s, 50), -ERR_CORRUPT); /* empty */
	uint8_t bytes[8192];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31);
	assert_int_equal(store_receive_begin(s, &err), 0);
	assert_int_equal(store_receive_write(s, 0, slice_of(bytes, sizeof(bytes)), &err), 0);
	assert_int_equal(install(s, 50), -ERR_CORRUPT);
	/* The first pages are right, and those behind them are missing. */
	assert_int_equal(store_copy_read(w.copy, 0, bytes, sizeof(bytes), &err), 0);
	assert_int_equal(store_receive_begin(s, &err), 0);
	assert_int_equal(store_receive_write(s, 0, slice_of(bytes, sizeof(bytes)), &err), 0);
	assert_int_equal(install(s, 50), -ERR_CORRUPT);
	check(s, "old", 10);
	receive(s, w.copy);
	assert_int_equal(install(s, 50), 0);
	check(s, "new", 50);
	store_close(s);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_install),
	    cmocka_unit_test(test_crashes),
	    cmocka_unit_test(test_switch_that_fails),
	    cmocka_unit_test(test_what_is_no_snapshot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
