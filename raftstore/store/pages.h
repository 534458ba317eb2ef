/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* LMDB's pages without LMDB, which trusts what it maps: looks at every page of a database that lies
 * in memory, and reads pairs of it. The bytes may be damaged in any way.
 *
 * Bytes (version 1, 64 bits, this machine's order):
 *   page      number u64, pad u16, flags u16, lower u16, upper u16 (overflow: pages u32), then an
 *             offset u16 for each node
 *   node      low u16, high u16, flags u16, key bytes u16, key; a leaf's: low and high are the
 * bytes of the value, which follows or (flag) lies in pages from a u64 on; a branch's: low, high,
 * flags are the child tree      pad u32, flags u16, depth u16, branch, leaf and overflow pages u64,
 * pairs u64, root u64 meta      pages 0 and 1: magic u32, version u32, address, map bytes u64, tree
 * of free pages, tree of names, last page u64, transaction u64 */
#include "raftstore/mvcc/kv.h"

struct pages_tree {
	uint16_t flags, depth;
	uint64_t branch_pages, leaf_pages, overflow_pages, pairs, root;
};

struct pages {
	struct slice bytes; /* the file */
	size_t page_bytes;
	uint64_t last, transaction;
	struct pages_tree free, names;
	struct pages_tree tables[KV_TABLES];
};

struct pages_report {
	void (*problem)(void *arg, const char *text);
	/* Each pair of a table, as it is stored. */
	void (*pair)(void *arg, enum kv_table table, struct slice key, struct slice value);
	void *arg;
	uint64_t free_pages, used_pages;
};

/* The newer of two meta pages, which the file need not hold. */
_must_use_ int pages_open(struct pages *p, struct slice bytes, size_t page_bytes,
                          const uint8_t *meta, struct err *err);
/* Looks at everything, and finds the tables by their names. */
void pages_check(struct pages *p, const char *const names[KV_TABLES], struct pages_report *r);

enum { PAGES_DEPTH_MAX = 32 };

/* A place in a tree. */
struct pages_cursor {
	const struct pages *pages;
	struct {
		uint64_t page;
		unsigned at, n;
	} path[PAGES_DEPTH_MAX];
	unsigned depth;
	struct slice key, value;
};

/* The first pair at or after the key, as it is stored. -ERR_NOT_FOUND, -ERR_CORRUPT. */
_must_use_ int pages_seek(const struct pages *p, enum kv_table table, struct slice key,
                          struct pages_cursor *ret);
_must_use_ int pages_next(struct pages_cursor *c);
