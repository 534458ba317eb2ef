/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/store/pages.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	PAGE_HEAD_BYTES = 16,
	NODE_HEAD_BYTES = 8,
	TREE_BYTES = 48,
	META_BYTES = 16 + 2 * TREE_BYTES + 8 + 16,
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_OVERFLOW = 4,
	NODE_BIG = 1,
	NODE_TREE = 2,
};

#define META_MAGIC 0xbeefc0deu
#define META_VERSION 1
#define NO_PAGE UINT64_MAX

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static struct pages_tree tree_read(const uint8_t *p)
{
	return (struct pages_tree){
	    .flags = get16(p + 4),
	    .depth = get16(p + 6),
	    .branch_pages = get64(p + 8),
	    .leaf_pages = get64(p + 16),
	    .overflow_pages = get64(p + 24),
	    .pairs = get64(p + 32),
	    .root = get64(p + 40),
	};
}

int pages_open(struct pages *p, struct slice bytes, size_t page_bytes, const uint8_t *meta,
               struct err *err)
{
	const uint8_t *best = NULL;
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *m = meta + i * page_bytes + PAGE_HEAD_BYTES;
		const uint8_t *tail = m + 24 + 2 * TREE_BYTES;
		if (get32(m) != META_MAGIC || get32(m + 4) != META_VERSION)
			continue;
		if (!best || get64(tail + 8) > get64(best + 24 + 2 * TREE_BYTES + 8))
			best = m;
	}
	if (!best)
		return err_set(err, ERR_CORRUPT, "neither meta page is one");
	const uint8_t *tail = best + 24 + 2 * TREE_BYTES;
	*p = (struct pages){
	    .bytes = bytes,
	    .page_bytes = page_bytes,
	    .free = tree_read(best + 24),
	    .names = tree_read(best + 24 + TREE_BYTES),
	    .last = get64(tail),
	    .transaction = get64(tail + 8),
	};
	if (bytes.len / page_bytes <= p->last)
		return err_set(err, ERR_CORRUPT, "the file has %zu bytes, its pages need %llu",
		               bytes.len, (unsigned long long)(p->last + 1) * page_bytes);
	for (int i = 0; i < KV_TABLES; i++)
		p->tables[i].root = NO_PAGE;
	return 0;
}

/* --- one page --- */

struct page {
	const uint8_t *data;
	unsigned n;
	bool leaf;
};

struct node {
	struct slice key, value; /* value: of a leaf; of big ones the page's number */
	uint16_t flags;
	uint64_t child;
};

static bool page_read(const struct pages *p, uint64_t number, struct page *ret)
{
	if (number < 2 || number > p->last)
		return false;
	const uint8_t *d = p->bytes.data + number * p->page_bytes;
	unsigned flags = get16(d + 10) & 0xff, lower = get16(d + 12), upper = get16(d + 14);
	unsigned kind = flags & (PAGE_BRANCH | PAGE_LEAF | PAGE_OVERFLOW);
	if (get64(d) != number || (kind != PAGE_BRANCH && kind != PAGE_LEAF) || lower & 1 ||
	    lower < PAGE_HEAD_BYTES || lower > upper || upper > p->page_bytes)
		return false;
	*ret = (struct page){d, (lower - PAGE_HEAD_BYTES) / 2, kind == PAGE_LEAF};
	return true;
}

static bool node_read(const struct pages *p, const struct page *page, unsigned i, struct node *ret)
{
	size_t at = get16(page->data + PAGE_HEAD_BYTES + 2 * i);
	size_t upper = get16(page->data + 14);
	if (at < upper || at + NODE_HEAD_BYTES > p->page_bytes)
		return false;
	const uint8_t *d = page->data + at;
	size_t key = get16(d + 6), room = p->page_bytes - at - NODE_HEAD_BYTES;
	uint64_t low = get16(d) | (uint64_t)get16(d + 2) << 16;
	*ret = (struct node){.flags = get16(d + 4)};
	if (key > room)
		return false;
	ret->key = slice_of(d + NODE_HEAD_BYTES, key);
	if (!page->leaf) {
		ret->child = low | (uint64_t)ret->flags << 32;
		return true;
	}
	size_t here = ret->flags & NODE_BIG ? 8 : low;
	if (ret->flags & ~(NODE_BIG | NODE_TREE) || here > room - key)
		return false;
	ret->value = slice_of(d + NODE_HEAD_BYTES + key, here);
	ret->child = low; /* the bytes of a big value */
	return true;
}

/* Where a big value lies, and how many pages it takes. */
static bool big_read(const struct pages *p, const struct node *n, uint64_t *ret_first,
                     uint64_t *ret_pages, struct slice *ret)
{
	uint64_t first = get64(n->value.data);
	if (first < 2 || first > p->last)
		return false;
	const uint8_t *d = p->bytes.data + first * p->page_bytes;
	uint64_t pages = get32(d + 12);
	if (get64(d) != first || !(get16(d + 10) & PAGE_OVERFLOW) || !pages ||
	    pages - 1 > p->last - first || n->child > pages * p->page_bytes - PAGE_HEAD_BYTES)
		return false;
	*ret_first = first;
	*ret_pages = pages;
	*ret = slice_of(d + PAGE_HEAD_BYTES, n->child);
	return true;
}

/* --- all pages --- */

enum tree_kind { TREE_FREE, TREE_NAMES, TREE_TABLE };

struct check {
	struct pages *p;
	const char *const *names;
	struct pages_report *report;
	uint8_t *seen; /* a byte a page: 1 in use, 2 free */
	/* Of the tree that is being walked. */
	enum tree_kind kind;
	enum kv_table table;
	const char *name;
	unsigned depth;
	struct pages_tree found;
	struct slice last_key;
	bool any;
	bool named[KV_TABLES];
};

static _printf_(2, 3) void problem(struct check *c, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->report->problem(c->report->arg, text);
}

static bool use_page(struct check *c, uint64_t number)
{
	if (c->seen[number]) {
		problem(c, "page %" PRIu64 " of %s is used twice", number, c->name);
		return false;
	}
	c->seen[number] = 1;
	c->report->used_pages++;
	return true;
}

static int key_cmp(const struct check *c, struct slice a, struct slice b)
{
	if (c->kind != TREE_FREE || a.len != 8 || b.len != 8)
		return slice_cmp(a, b);
	uint64_t x = get64(a.data), y = get64(b.data);
	return (x > y) - (x < y);
}

static void free_list(struct check *c, struct slice value)
{
	uint64_t n = value.len >= 8 ? get64(value.data) : 0;
	if (value.len < 8 || n > value.len / 8 - 1) {
		problem(c, "a list of free pages is malformed");
		return;
	}
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t number = get64(value.data + 8 * i);
		if (number < 2 || number > c->p->last || c->seen[number] == 2)
			problem(c, "the list of free pages has page %" PRIu64 " wrongly", number);
		else if (c->seen[number])
			problem(c, "page %" PRIu64 " is free and in use", number);
		else
			c->seen[number] = 2;
		c->report->free_pages++;
	}
}

static void name_found(struct check *c, const struct node *n)
{
	for (int i = 0; i < KV_TABLES; i++) {
		if (n->flags & NODE_TREE && n->value.len == TREE_BYTES &&
		    slice_eq_str(n->key, c->names[i])) {
			c->p->tables[i] = tree_read(n->value.data);
			c->named[i] = true;
			return;
		}
	}
	problem(c, "there is an unknown table \"%.*s\"", SLICE_FMT(n->key));
}

static void check_pair(struct check *c, uint64_t number, const struct node *n)
{
	struct slice value = n->value;
	uint64_t first = 0, pages = 0;
	if (c->any && key_cmp(c, n->key, c->last_key) <= 0)
		problem(c, "page %" PRIu64 " of %s: its keys are not in order", number, c->name);
	c->any = true;
	c->last_key = n->key;
	c->found.pairs++;
	if (n->flags & NODE_BIG) {
		if (!big_read(c->p, n, &first, &pages, &value)) {
			problem(c, "page %" PRIu64 " of %s leads to a damaged long value", number,
			        c->name);
			return;
		}
		c->found.overflow_pages += pages;
		for (uint64_t i = 0; i < pages; i++) {
			if (!use_page(c, first + i))
				return;
		}
	}
	if (c->kind == TREE_FREE)
		free_list(c, value);
	else if (c->kind == TREE_NAMES)
		name_found(c, n);
	else
		c->report->pair(c->report->arg, c->table, n->key, value);
}

static void check_page(struct check *c, uint64_t number, unsigned depth, struct slice least)
{
	struct page page;
	if (!page_read(c->p, number, &page) || depth > PAGES_DEPTH_MAX) {
		problem(c, "page %" PRIu64 " of %s is damaged", number, c->name);
		return;
	}
	if (!use_page(c, number))
		return;
	if (page.leaf && depth != c->depth)
		problem(c, "page %" PRIu64 " of %s: a leaf in depth %u of %u", number, c->name,
		        depth, c->depth);
	*(page.leaf ? &c->found.leaf_pages : &c->found.branch_pages) += 1;
	for (unsigned i = 0; i < page.n; i++) {
		struct node n;
		if (!node_read(c->p, &page, i, &n)) {
			problem(c, "page %" PRIu64 " of %s: node %u is damaged", number, c->name,
			        i);
			continue;
		}
		/* A child holds nothing less than the key that leads to it. */
		if (page.leaf && !i && key_cmp(c, n.key, least) < 0)
			problem(c, "page %" PRIu64 " of %s begins before its place", number,
			        c->name);
		if (page.leaf)
			check_pair(c, number, &n);
		else
			check_page(c, n.child, depth + 1, i ? n.key : least);
	}
}

static void check_tree(struct check *c, enum tree_kind kind, const char *name,
                       const struct pages_tree *t)
{
	c->kind = kind;
	c->name = name;
	c->depth = t->depth;
	c->found = (struct pages_tree){.flags = t->flags};
	c->any = false;
	if (t->root != NO_PAGE)
		check_page(c, t->root, 1, SLICE_EMPTY);
	const struct pages_tree *f = &c->found;
	if (f->pairs != t->pairs || f->branch_pages != t->branch_pages ||
	    f->leaf_pages != t->leaf_pages || f->overflow_pages != t->overflow_pages)
		problem(c,
		        "%s has %" PRIu64 " pairs in %" PRIu64 " pages, %" PRIu64 " in %" PRIu64
		        " were written",
		        name, f->pairs, f->branch_pages + f->leaf_pages + f->overflow_pages,
		        t->pairs, t->branch_pages + t->leaf_pages + t->overflow_pages);
}

void pages_check(struct pages *p, const char *const names[KV_TABLES], struct pages_report *r)
{
	struct check c = {.p = p, .names = names, .report = r};
	c.seen = calloc(1, p->last + 1);
	if (!c.seen)
		abort();
	check_tree(&c, TREE_FREE, "the list of free pages", &p->free);
	check_tree(&c, TREE_NAMES, "the list of tables", &p->names);
	for (int i = 0; i < KV_TABLES; i++) {
		c.table = (enum kv_table)i;
		if (!c.named[i])
			problem(&c, "table %s is missing", names[i]);
		check_tree(&c, TREE_TABLE, names[i], &p->tables[i]);
	}
	uint64_t lost = 0;
	for (uint64_t i = 2; i <= p->last; i++)
		lost += !c.seen[i];
	if (lost)
		problem(&c, "%" PRIu64 " pages are neither in use nor free", lost);
	free(c.seen);
}

/* --- reading --- */

/* Goes down from the page at the end of the path to the first pair at or after the key. */
static int descend(struct pages_cursor *c, uint64_t number, struct slice key)
{
	struct page page;
	struct node n;
	for (;;) {
		if (c->depth == PAGES_DEPTH_MAX || !page_read(c->pages, number, &page))
			return -ERR_CORRUPT;
		/* The first node that is not less; in a branch the one before it leads there, and
		 * node 0 has no key. */
		unsigned low = page.leaf ? 0 : 1, high = page.n;
		while (low < high) {
			unsigned mid = low + (high - low) / 2;
			if (!node_read(c->pages, &page, mid, &n))
				return -ERR_CORRUPT;
			int order = slice_cmp(n.key, key);
			if (order < 0 || (!page.leaf && !order))
				low = mid + 1;
			else
				high = mid;
		}
		unsigned at = page.leaf ? low : low - 1;
		c->path[c->depth].page = number;
		c->path[c->depth].at = at;
		c->path[c->depth].n = page.n;
		c->depth++;
		if (page.leaf)
			return 0;
		if (!page.n || !node_read(c->pages, &page, at, &n))
			return -ERR_CORRUPT;
		number = n.child;
	}
}

/* Shows the pair at the end of the path, or goes on to the next leaf. */
static int show(struct pages_cursor *c)
{
	struct page page;
	struct node n;
	uint64_t first, pages;
	while (c->depth && c->path[c->depth - 1].at >= c->path[c->depth - 1].n) {
		if (--c->depth)
			c->path[c->depth - 1].at++;
	}
	if (!c->depth)
		return -ERR_NOT_FOUND;
	if (!page_read(c->pages, c->path[c->depth - 1].page, &page) ||
	    !node_read(c->pages, &page, c->path[c->depth - 1].at, &n))
		return -ERR_CORRUPT;
	if (!page.leaf) {
		int r = descend(c, n.child, SLICE_EMPTY);
		return r ? r : show(c);
	}
	c->key = n.key;
	c->value = n.value;
	if (n.flags & NODE_BIG && !big_read(c->pages, &n, &first, &pages, &c->value))
		return -ERR_CORRUPT;
	return 0;
}

int pages_seek(const struct pages *p, enum kv_table table, struct slice key,
               struct pages_cursor *ret)
{
	*ret = (struct pages_cursor){.pages = p};
	if (p->tables[table].root == NO_PAGE)
		return -ERR_NOT_FOUND;
	int r = descend(ret, p->tables[table].root, key);
	return r ? r : show(ret);
}

int pages_next(struct pages_cursor *c)
{
	if (!c->depth)
		return -ERR_NOT_FOUND;
	c->path[c->depth - 1].at++;
	return show(c);
}
