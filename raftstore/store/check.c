/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "raftstore/store/internal.h"
#include "raftstore/store/pages.h"

/* --- the tables as a transaction that only reads --- */

struct pages_txn {
	struct kv_txn kv; /* first */
	struct pages *pages;
};

static const struct pages *pages_of(struct kv_txn *kv)
{
	return CONTAINER_OF(kv, struct pages_txn, kv)->pages;
}

static int pages_get(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice *ret)
{
	uint8_t b[SHORT_KEY_BYTES + LONG_HASH_BYTES];
	bool is_long = key.len > SHORT_KEY_BYTES;
	struct slice stored = is_long ? stored_long_key(key, b) : key, full;
	struct pages_cursor c;
	int r = pages_seek(pages_of(kv), table, stored, &c);
	if (r)
		return r;
	if (!slice_eq(c.key, stored))
		return -ERR_NOT_FOUND;
	if (!stored_value(table, c.key, c.value, ret))
		return -ERR_CORRUPT;
	if (!is_long)
		return 0;
	return stored_long(*ret, &full, ret) && slice_eq(full, key) ? 0 : -ERR_CORRUPT;
}

static int no_put(struct kv_txn *kv, enum kv_table table, struct slice key, struct slice value)
{
	return -ERR_NOT_IMPLEMENTED;
}

static int no_del(struct kv_txn *kv, enum kv_table table, struct slice key)
{
	return -ERR_NOT_IMPLEMENTED;
}

static int cursor_open(struct kv_cursor *c)
{
	c->state[0] = calloc(1, sizeof(struct pages_cursor));
	if (!c->state[0])
		abort();
	return 0;
}

static void cursor_close(struct kv_cursor *c)
{
	free(c->state[0]);
}

static int cursor_show(struct kv_cursor *c, int r)
{
	const struct pages_cursor *p = c->state[0];
	if (r)
		return r;
	c->key = p->key;
	if (!stored_value(c->table, p->key, p->value, &c->value))
		return -ERR_CORRUPT;
	if (c->key.len <= SHORT_KEY_BYTES)
		return 0;
	return stored_long(c->value, &c->key, &c->value) ? 0 : -ERR_CORRUPT;
}

static int cursor_seek(struct kv_cursor *c, struct slice key)
{
	struct pages_cursor *p = c->state[0];
	key.len = MIN(key.len, (size_t)SHORT_KEY_BYTES);
	return cursor_show(c, pages_seek(pages_of(c->txn), c->table, key, p));
}

static int cursor_next(struct kv_cursor *c)
{
	return cursor_show(c, pages_next(c->state[0]));
}

static int no_prev(struct kv_cursor *c)
{
	return -ERR_NOT_IMPLEMENTED;
}

static const struct kv_ops pages_ops = {
    .get = pages_get,
    .put = no_put,
    .del = no_del,
    .cursor_open = cursor_open,
    .cursor_close = cursor_close,
    .cursor_seek = cursor_seek,
    .cursor_next = cursor_next,
    .cursor_prev = no_prev,
};

/* --- the check --- */

static void on_problem(void *arg, const char *text)
{
	struct store_check *c = arg;
	c->problems++;
	c->problem(c->arg, text);
}

static void on_pair(void *arg, enum kv_table table, struct slice key, struct slice value)
{
	struct store_check *c = arg;
	struct slice plain, full;
	c->pairs[table]++;
	if (!stored_value(table, key, value, &plain))
		on_problem(c, "a value does not match its checksum");
	else if (key.len > SHORT_KEY_BYTES && !stored_long(plain, &full, &plain))
		on_problem(c, "a pair with a long key is malformed");
}

static int check_pages(struct store_check *c, struct slice bytes, size_t page_bytes,
                       const uint8_t *meta, int (*look)(void *arg, struct kv_txn *kv),
                       struct err *err)
{
	struct pages pages;
	int r = pages_open(&pages, bytes, page_bytes, meta, err);
	if (r)
		return r;
	struct pages_report report = {on_problem, on_pair, c, 0, 0};
	pages_check(&pages, table_names, &report);
	c->used_pages = report.used_pages;
	c->free_pages = report.free_pages;
	if (c->problems)
		return 0;
	struct pages_txn t = {.kv = {&pages_ops}, .pages = &pages};
	r = look(c->arg, &t.kv);
	return r ? err_set(err, (enum err_code) - r, "the tables cannot be read: %s", err_name(r))
	         : 0;
}

static int map_database(struct store *s, const struct pin *p, struct slice *ret, struct err *err)
{
	char name[32];
	db_name(s->generation, name);
	int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_CORRUPT, "%s: %s", name, strerror(errno));
	struct stat st;
	int r = fstat(fd, &st) ? store_err(err, errno, name) : 0;
	if (!r && (uint64_t)st.st_size < p->file_bytes)
		r = err_set(err, ERR_CORRUPT, "%s: has %llu bytes, at its checkpoint it had %llu",
		            name, (unsigned long long)st.st_size,
		            (unsigned long long)p->file_bytes);
	void *map = r ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!r && map == MAP_FAILED)
		r = store_err(err, errno, name);
	close(fd);
	if (!r)
		*ret = slice_of(map, (size_t)st.st_size);
	return r;
}

int store_check(const char *dir, struct store_check *c, int (*look)(void *arg, struct kv_txn *kv),
                struct err *err)
{
	struct store s = {.page_bytes = (size_t)sysconf(_SC_PAGESIZE)};
	struct pin checkpoint = {0};
	struct slice map = SLICE_EMPTY;
	s.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.dir_fd < 0)
		return err_set(err, ERR_NOT_FOUND, "%s: %s", dir, strerror(errno));
	int r = checkpoint_read(&s, &s.generation, &checkpoint, err);
	if (!r)
		r = map_database(&s, &checkpoint, &map, err);
	c->mark = checkpoint.mark;
	c->generation = s.generation;
	c->file_bytes = map.len;
	if (!r)
		r = check_pages(c, map, s.page_bytes, checkpoint.pages, look, err);
	if (map.data)
		munmap((void *)map.data, map.len);
	pin_release(&checkpoint);
	close(s.dir_fd);
	return r;
}
