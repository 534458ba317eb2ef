/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/bbolt/writer.h"
#include "common/base/err.h"

enum { FREELIST_PAGE = 2, BRANCH_MIN_ITEMS = 3 };

static void page_deinit(struct bbolt_page *p)
{
	vec_deinit(&p->items);
	buf_deinit(&p->data);
}

static void tree_deinit(struct bbolt_tree *t)
{
	for (unsigned i = 0; i < BBOLT_LEVELS_MAX; i++)
		page_deinit(&t->levels[i]);
	buf_deinit(&t->last_key);
	t->n = 0;
}

static size_t page_bytes(const struct bbolt_page *p)
{
	return BBOLT_PAGE_HEAD_BYTES + p->items.n * BBOLT_ELEMENT_BYTES + p->data.len;
}

static void page_add(struct bbolt_page *p, uint32_t flags, struct slice key, struct slice value,
                     uint64_t child)
{
	*vec_push(&p->items) = (struct bbolt_item){flags, p->data.len, key.len, value.len, child};
	buf_slice(&p->data, key);
	buf_slice(&p->data, value);
}

static struct slice item_key(const struct bbolt_page *p, size_t i)
{
	return slice_of(p->data.data + p->items.at[i].key_at, p->items.at[i].key_len);
}

static void put_element(uint8_t *e, const struct bbolt_item *it, bool leaf, uint32_t pos)
{
	if (leaf) {
		bbolt_put32(e, it->flags);
		bbolt_put32(e + 4, pos);
		bbolt_put32(e + 8, (uint32_t)it->key_len);
		bbolt_put32(e + 12, (uint32_t)it->value_len);
	} else {
		bbolt_put32(e, pos);
		bbolt_put32(e + 4, (uint32_t)it->key_len);
		bbolt_put64(e + 8, it->child);
	}
}

/* Writes one page of `flags` whose elements and data the caller appends. */
static uint8_t *page_begin(struct bbolt_writer *w, uint16_t flags, size_t count, size_t bytes)
{
	size_t pages = (bytes + BBOLT_PAGE_BYTES - 1) / BBOLT_PAGE_BYTES;
	buf_clear(&w->page);
	buf_reserve(&w->page, pages * BBOLT_PAGE_BYTES);
	uint8_t *p = w->page.data;
	w->page.len = pages * BBOLT_PAGE_BYTES;
	memset(p, 0, BBOLT_PAGE_HEAD_BYTES);
	memset(p + bytes, 0, w->page.len - bytes);
	bbolt_put64(p, w->next);
	bbolt_put16(p + 8, flags);
	bbolt_put16(p + 10, (uint16_t)count);
	bbolt_put32(p + 12, (uint32_t)(pages - 1));
	return p;
}

static int page_end(struct bbolt_writer *w, uint64_t *ret_id)
{
	if (ret_id)
		*ret_id = w->next;
	w->next += w->page.len / BBOLT_PAGE_BYTES;
	return w->sink.write(w->sink.arg, buf_view(&w->page));
}

/* Writes the first `count` items and forgets them. */
static int page_write(struct bbolt_writer *w, struct bbolt_page *p, bool leaf, size_t count,
                      uint64_t *ret_id)
{
	size_t data = count < p->items.n ? p->items.at[count].key_at : p->data.len;
	size_t elements = BBOLT_PAGE_HEAD_BYTES + count * BBOLT_ELEMENT_BYTES;
	uint8_t *at = page_begin(w, leaf ? BBOLT_LEAF : BBOLT_BRANCH, count, elements + data);
	for (size_t i = 0; i < count; i++) {
		size_t element = BBOLT_PAGE_HEAD_BYTES + i * BBOLT_ELEMENT_BYTES;
		size_t pos = elements + p->items.at[i].key_at - element;
		put_element(at + element, &p->items.at[i], leaf, (uint32_t)pos);
	}
	if (data)
		memcpy(at + elements, p->data.data, data);
	p->items.n -= count;
	p->data.len -= data;
	if (p->data.len)
		memmove(p->data.data, p->data.data + data, p->data.len);
	for (size_t i = 0; i < p->items.n; i++) {
		p->items.at[i] = p->items.at[count + i];
		p->items.at[i].key_at -= data;
	}
	return page_end(w, ret_id);
}

static int tree_add(struct bbolt_writer *w, struct bbolt_tree *t, unsigned level, uint32_t flags,
                    struct slice key, struct slice value, uint64_t child);

/* Writes the first items of a level's page and tells the level above of it. */
static int level_flush(struct bbolt_writer *w, struct bbolt_tree *t, unsigned level, size_t count)
{
	struct bbolt_page *p = &t->levels[level];
	struct slice first = item_key(p, 0);
	_cleanup_buf_ struct buf key = BUF_INIT;
	buf_slice(&key, first);
	uint64_t id;
	int r = page_write(w, p, !level, count, &id);
	return r ? r : tree_add(w, t, level + 1, 0, buf_view(&key), SLICE_EMPTY, id);
}

static int tree_add(struct bbolt_writer *w, struct bbolt_tree *t, unsigned level, uint32_t flags,
                    struct slice key, struct slice value, uint64_t child)
{
	if (level == BBOLT_LEVELS_MAX)
		return -ERR_LIMIT;
	struct bbolt_page *p = &t->levels[level];
	bool full = page_bytes(p) + BBOLT_ELEMENT_BYTES + key.len + value.len > BBOLT_PAGE_BYTES;
	int r = 0;
	t->n = MAX(t->n, level + 1);
	/* A branch must have two children at least: the last one stays for the next page. */
	if (full && !level && p->items.n)
		r = level_flush(w, t, level, p->items.n);
	else if (full && level && p->items.n >= BRANCH_MIN_ITEMS)
		r = level_flush(w, t, level, p->items.n - 1);
	if (!r)
		page_add(p, flags, key, value, child);
	return r;
}

static int tree_put(struct bbolt_writer *w, struct bbolt_tree *t, uint32_t flags, struct slice key,
                    struct slice value)
{
	if (key.len > BBOLT_KEY_MAX_BYTES)
		return -ERR_LIMIT;
	if (!key.len || (t->n && slice_cmp(key, buf_view(&t->last_key)) <= 0))
		return -ERR_INVALID;
	buf_clear(&t->last_key);
	buf_slice(&t->last_key, key);
	return tree_add(w, t, 0, flags, key, value, 0);
}

static int tree_end(struct bbolt_writer *w, struct bbolt_tree *t, uint64_t *ret_root)
{
	unsigned level = 0;
	int r = 0;
	for (; !r && level + 1 < t->n; level++)
		r = level_flush(w, t, level, t->levels[level].items.n);
	if (!r)
		r = page_write(w, &t->levels[level], !level, t->levels[level].items.n, ret_root);
	t->n = 0;
	return r;
}

int bbolt_writer_init(struct bbolt_writer *w, struct bbolt_sink sink)
{
	*w = (struct bbolt_writer){.sink = sink, .next = FREELIST_PAGE};
	page_begin(w, BBOLT_FREELIST, 0, BBOLT_PAGE_HEAD_BYTES);
	return page_end(w, NULL);
}

void bbolt_writer_deinit(struct bbolt_writer *w)
{
	tree_deinit(&w->root);
	tree_deinit(&w->bucket);
	buf_deinit(&w->name);
	buf_deinit(&w->page);
}

int bbolt_bucket_begin(struct bbolt_writer *w, struct slice name)
{
	buf_clear(&w->name);
	buf_slice(&w->name, name);
	return 0;
}

int bbolt_bucket_put(struct bbolt_writer *w, struct slice key, struct slice value)
{
	return tree_put(w, &w->bucket, 0, key, value);
}

int bbolt_bucket_end(struct bbolt_writer *w)
{
	uint64_t root = 0;
	uint8_t value[BBOLT_BUCKET_BYTES] = {0};
	int r = tree_end(w, &w->bucket, &root);
	bbolt_put64(value, root);
	return r ? r
	         : tree_put(w, &w->root, BBOLT_ELEMENT_BUCKET, buf_view(&w->name),
	                    slice_of(value, sizeof(value)));
}

int bbolt_writer_finish(struct bbolt_writer *w, uint8_t meta[2 * BBOLT_PAGE_BYTES])
{
	uint64_t root = 0;
	int r = tree_end(w, &w->root, &root);
	memset(meta, 0, 2 * BBOLT_PAGE_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *page = meta + i * BBOLT_PAGE_BYTES, *m = page + BBOLT_PAGE_HEAD_BYTES;
		bbolt_put64(page, i);
		bbolt_put16(page + 8, BBOLT_META);
		bbolt_put32(m, BBOLT_MAGIC);
		bbolt_put32(m + 4, BBOLT_VERSION);
		bbolt_put32(m + 8, BBOLT_PAGE_BYTES);
		bbolt_put64(m + 16, root);
		bbolt_put64(m + 32, FREELIST_PAGE);
		bbolt_put64(m + 40, w->next);
		bbolt_put64(m + 48, i);
		bbolt_put64(m + BBOLT_META_SUM_AT, bbolt_fnv1a(m, BBOLT_META_SUM_AT));
	}
	return r;
}
