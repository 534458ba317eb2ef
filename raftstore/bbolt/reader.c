/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/bbolt/reader.h"
#include <stdbool.h>

enum { DEPTH_MAX = 32, PAGE_BYTES_MIN = 512, PAGE_BYTES_MAX = 65536 };

/* --- pages --- */

struct page {
	struct slice bytes; /* with those that overflow */
	uint16_t flags, count;
};

static bool page_of(struct slice bytes, struct page *ret)
{
	if (bytes.len < BBOLT_PAGE_HEAD_BYTES)
		return false;
	*ret = (struct page){bytes, bbolt_get16(bytes.data + 8), bbolt_get16(bytes.data + 10)};
	size_t elements = (size_t)ret->count * BBOLT_ELEMENT_BYTES;
	return elements <= bytes.len - BBOLT_PAGE_HEAD_BYTES &&
	       (ret->flags == BBOLT_BRANCH || ret->flags == BBOLT_LEAF);
}

static bool page_read(const struct bbolt *db, uint64_t id, struct page *ret)
{
	if (id < 2 || id >= db->pages)
		return false;
	const uint8_t *p = db->bytes.data + id * db->page_bytes;
	uint64_t more = bbolt_get32(p + 12);
	if (bbolt_get64(p) != id || more >= db->pages - id)
		return false;
	return page_of(slice_of(p, (more + 1) * db->page_bytes), ret);
}

struct element {
	struct slice key, value;
	uint32_t flags;
	uint64_t child;
};

static bool element_read(const struct page *p, unsigned i, struct element *ret)
{
	size_t at = BBOLT_PAGE_HEAD_BYTES + (size_t)i * BBOLT_ELEMENT_BYTES;
	const uint8_t *e = p->bytes.data + at;
	bool leaf = p->flags == BBOLT_LEAF;
	uint64_t pos = at + bbolt_get32(e + 4 * leaf);
	uint64_t key = bbolt_get32(e + 4 + 4 * leaf), value = leaf ? bbolt_get32(e + 12) : 0;
	if (pos + key + value > p->bytes.len)
		return false;
	ret->key = slice_of(p->bytes.data + pos, key);
	ret->value = slice_of(p->bytes.data + pos + key, value);
	ret->flags = leaf ? bbolt_get32(e) : 0;
	ret->child = leaf ? 0 : bbolt_get64(e + 8);
	return true;
}

/* --- meta --- */

static bool meta_read(struct slice bytes, uint64_t at, struct bbolt *ret)
{
	if (bytes.len < BBOLT_PAGE_HEAD_BYTES + BBOLT_META_BYTES ||
	    at > bytes.len - BBOLT_PAGE_HEAD_BYTES - BBOLT_META_BYTES)
		return false;
	const uint8_t *m = bytes.data + at + BBOLT_PAGE_HEAD_BYTES;
	uint32_t page = bbolt_get32(m + 8);
	if (bbolt_get32(m) != BBOLT_MAGIC || bbolt_get32(m + 4) != BBOLT_VERSION ||
	    bbolt_get64(m + BBOLT_META_SUM_AT) != bbolt_fnv1a(m, BBOLT_META_SUM_AT) ||
	    page < PAGE_BYTES_MIN || page > PAGE_BYTES_MAX || (page & (page - 1)))
		return false;
	*ret = (struct bbolt){
	    .bytes = bytes,
	    .page_bytes = page,
	    .root = bbolt_get64(m + 16),
	    .pages = bbolt_get64(m + 40),
	    .transaction = bbolt_get64(m + 48),
	};
	return true;
}

int bbolt_open(struct bbolt *db, struct slice bytes, struct err *err)
{
	struct bbolt first, second;
	bool has_first = meta_read(bytes, 0, &first), has_second = false;
	if (has_first)
		has_second = meta_read(bytes, first.page_bytes, &second);
	/* Where the second one stands is then written in itself alone. */
	for (size_t n = PAGE_BYTES_MIN; !has_first && !has_second && n <= PAGE_BYTES_MAX; n *= 2)
		has_second = meta_read(bytes, n, &second) && second.page_bytes == n;
	if (!has_first && !has_second)
		return err_set(err, ERR_CORRUPT, "not a bbolt database: no valid meta page");
	bool take_second = has_second && (!has_first || second.transaction > first.transaction);
	*db = take_second ? second : first;
	if (db->pages > bytes.len / db->page_bytes)
		return err_set(err, ERR_CORRUPT,
		               "the bbolt database has %zu bytes, its pages need %llu", bytes.len,
		               (unsigned long long)db->pages * db->page_bytes);
	return 0;
}

/* --- walks --- */

struct walk {
	const struct bbolt *db;
	uint64_t budget; /* pages */
	struct slice last;
	bool any;
	int (*each)(void *arg, const struct element *e);
	void *arg;
};

static int walk_page(struct walk *w, const struct page *p, unsigned depth);

static int walk_child(struct walk *w, uint64_t id, unsigned depth)
{
	struct page p;
	if (depth > DEPTH_MAX || !w->budget || !page_read(w->db, id, &p))
		return -ERR_CORRUPT;
	w->budget--;
	return walk_page(w, &p, depth);
}

static int walk_page(struct walk *w, const struct page *p, unsigned depth)
{
	int r = 0;
	for (unsigned i = 0; !r && i < p->count; i++) {
		struct element e;
		if (!element_read(p, i, &e))
			return -ERR_CORRUPT;
		if (p->flags == BBOLT_BRANCH) {
			r = walk_child(w, e.child, depth + 1);
			continue;
		}
		if (w->any && slice_cmp(e.key, w->last) <= 0)
			return -ERR_CORRUPT;
		w->any = true;
		w->last = e.key;
		r = w->each(w->arg, &e);
	}
	return r;
}

static int walk(const struct bbolt_bucket *b, int (*each)(void *arg, const struct element *e),
                void *arg)
{
	struct walk w = {.db = b->db, .budget = b->db->pages, .each = each, .arg = arg};
	struct page p;
	if (b->root)
		return walk_child(&w, b->root, 0);
	if (!page_of(b->inlined, &p) || p.flags != BBOLT_LEAF)
		return -ERR_CORRUPT;
	return walk_page(&w, &p, 0);
}

struct each_pair {
	bbolt_pair each;
	void *arg;
};

static int on_pair(void *arg, const struct element *e)
{
	struct each_pair *p = arg;
	return e->flags & BBOLT_ELEMENT_BUCKET ? 0 : p->each(p->arg, e->key, e->value);
}

int bbolt_each(const struct bbolt_bucket *b, bbolt_pair each, void *arg)
{
	struct each_pair p = {each, arg};
	return walk(b, on_pair, &p);
}

struct each_bucket {
	const struct bbolt *db;
	bbolt_named each;
	void *arg;
};

static int on_bucket(void *arg, const struct element *e)
{
	struct each_bucket *x = arg;
	if (!(e->flags & BBOLT_ELEMENT_BUCKET))
		return 0;
	if (e->value.len < BBOLT_BUCKET_BYTES)
		return -ERR_CORRUPT;
	struct bbolt_bucket b = {.db = x->db, .root = bbolt_get64(e->value.data)};
	if (!b.root)
		b.inlined = slice_skip(e->value, BBOLT_BUCKET_BYTES);
	return x->each(x->arg, e->key, &b);
}

int bbolt_each_bucket(const struct bbolt *db, bbolt_named each, void *arg)
{
	struct each_bucket x = {db, each, arg};
	struct bbolt_bucket root = {.db = db, .root = db->root};
	return db->root ? walk(&root, on_bucket, &x) : -ERR_CORRUPT;
}

struct find {
	struct slice name;
	struct bbolt_bucket *ret;
	bool found;
};

static int on_find(void *arg, struct slice name, const struct bbolt_bucket *b)
{
	struct find *f = arg;
	if (slice_eq(name, f->name)) {
		*f->ret = *b;
		f->found = true;
	}
	return 0;
}

int bbolt_find(const struct bbolt *db, const char *name, struct bbolt_bucket *ret)
{
	struct find f = {.name = slice_str(name), .ret = ret};
	int r = bbolt_each_bucket(db, on_find, &f);
	return r ? r : f.found ? 0 : -ERR_NOT_FOUND;
}
