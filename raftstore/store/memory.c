/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/vec.h"
#include "raftstore/store/store.h"

/* Sorted arrays, for tests: small and obviously right. Items are allocated one by one, so that
 * slices handed out stay until their item is replaced or deleted; replaced ones are kept until the
 * store is freed. */

struct memory_item {
	struct slice key, value;
	uint8_t bytes[];
};

struct memory_store {
	struct kv_txn kv;
	struct {
		struct memory_item **at;
		size_t n, cap;
	} tables[KV_TABLES];
	VEC(struct memory_item *) dead;
};

static struct memory_store *memory_of(struct kv_txn *t)
{
	return CONTAINER_OF(t, struct memory_store, kv);
}

static size_t lower_bound(struct memory_store *s, enum kv_table table, struct slice key)
{
	size_t from = 0, to = s->tables[table].n;
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (slice_cmp(s->tables[table].at[mid]->key, key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static bool is_at(struct memory_store *s, enum kv_table table, size_t i, struct slice key)
{
	return i < s->tables[table].n && slice_eq(s->tables[table].at[i]->key, key);
}

static int memory_get(struct kv_txn *t, enum kv_table table, struct slice key, struct slice *ret)
{
	struct memory_store *s = memory_of(t);
	size_t i = lower_bound(s, table, key);
	if (!is_at(s, table, i, key))
		return -ERR_NOT_FOUND;
	*ret = s->tables[table].at[i]->value;
	return 0;
}

static int memory_put(struct kv_txn *t, enum kv_table table, struct slice key, struct slice value)
{
	struct memory_store *s = memory_of(t);
	struct memory_item *item = malloc(sizeof(*item) + key.len + value.len);
	if (!item)
		abort();
	item->key = slice_of(item->bytes, key.len);
	item->value = slice_of(item->bytes + key.len, value.len);
	memcpy(item->bytes, key.data, key.len);
	if (value.len)
		memcpy(item->bytes + key.len, value.data, value.len);
	size_t i = lower_bound(s, table, key);
	if (is_at(s, table, i, key)) {
		*vec_push(&s->dead) = s->tables[table].at[i];
	} else {
		vec_reserve(&s->tables[table], 1);
		memmove(s->tables[table].at + i + 1, s->tables[table].at + i,
		        (s->tables[table].n - i) * sizeof(item));
		s->tables[table].n++;
	}
	s->tables[table].at[i] = item;
	return 0;
}

static int memory_del(struct kv_txn *t, enum kv_table table, struct slice key)
{
	struct memory_store *s = memory_of(t);
	size_t i = lower_bound(s, table, key);
	if (!is_at(s, table, i, key))
		return -ERR_NOT_FOUND;
	*vec_push(&s->dead) = s->tables[table].at[i];
	vec_remove(&s->tables[table], i);
	return 0;
}

static int memory_show(struct kv_cursor *c, size_t i)
{
	struct memory_store *s = memory_of(c->txn);
	c->state[0] = (void *)(uintptr_t)i;
	if (i >= s->tables[c->table].n)
		return -ERR_NOT_FOUND;
	c->key = s->tables[c->table].at[i]->key;
	c->value = s->tables[c->table].at[i]->value;
	return 0;
}

static int memory_cursor_open(struct kv_cursor *c)
{
	c->state[0] = (void *)(uintptr_t)memory_of(c->txn)->tables[c->table].n;
	return 0;
}

static void memory_cursor_close(struct kv_cursor *c)
{
	c->state[0] = NULL;
}

static int memory_cursor_seek(struct kv_cursor *c, struct slice key)
{
	return memory_show(c, lower_bound(memory_of(c->txn), c->table, key));
}

static int memory_cursor_next(struct kv_cursor *c)
{
	size_t i = (uintptr_t)c->state[0], n = memory_of(c->txn)->tables[c->table].n;
	return memory_show(c, MIN(i + 1, n));
}

static int memory_cursor_prev(struct kv_cursor *c)
{
	size_t i = (uintptr_t)c->state[0];
	return i ? memory_show(c, i - 1) : -ERR_NOT_FOUND;
}

static const struct kv_ops memory_ops = {
    .get = memory_get,
    .put = memory_put,
    .del = memory_del,
    .cursor_open = memory_cursor_open,
    .cursor_close = memory_cursor_close,
    .cursor_seek = memory_cursor_seek,
    .cursor_next = memory_cursor_next,
    .cursor_prev = memory_cursor_prev,
};

struct kv_txn *memory_store_new(void)
{
	struct memory_store *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->kv.ops = &memory_ops;
	return &s->kv;
}

void memory_store_free(struct kv_txn *t)
{
	struct memory_store *s = memory_of(t);
	for (int i = 0; i < KV_TABLES; i++) {
		VEC_FOREACH (&s->tables[i], item)
			free(*item);
		vec_deinit(&s->tables[i]);
	}
	VEC_FOREACH (&s->dead, item)
		free(*item);
	vec_deinit(&s->dead);
	free(s);
}
