/* SPDX-License-Identifier: Apache-2.0 */
/* Files of LMDB, as the offline check reads them: pages of 512 bytes, the first two of which are
 * the meta pages. A table in which nothing is wrong shows all its pairs, in order, to a cursor. */
#include <assert.h>
#include <stdlib.h>
#include "common/base/err.h"
#include "raftstore/store/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAGE_BYTES = 512 };

static const char *const names[KV_TABLES] = {"meta", "rev", "idx", "lease", "lease_keys"};

struct seen {
	uint64_t problems, pairs[KV_TABLES];
};

static void on_problem(void *arg, const char *text)
{
	struct seen *s = arg;
	s->problems++;
}

static void on_pair(void *arg, enum kv_table table, struct slice key, struct slice value)
{
	struct seen *s = arg;
	static volatile uint8_t last;
	if (value.len)
		last = value.data[value.len - 1];
	(void)last;
	s->pairs[table]++;
}

static void read_table(const struct pages *p, enum kv_table table, const struct seen *s)
{
	struct pages_cursor c;
	uint64_t n = 0, limit = 100000;
	struct slice before = SLICE_EMPTY;
	int r = pages_seek(p, table, SLICE_EMPTY, &c);
	for (; !r && n < limit; r = pages_next(&c)) {
		if (!s->problems && n)
			assert(slice_cmp(before, c.key) < 0);
		before = c.key;
		n++;
	}
	assert(n == limit || r == -ERR_NOT_FOUND || r == -ERR_CORRUPT);
	if (!s->problems)
		assert(r == -ERR_NOT_FOUND && n == s->pairs[table]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pages p;
	struct seen s = {0};
	struct pages_report report = {.problem = on_problem, .pair = on_pair, .arg = &s};
	if (size < 2 * PAGE_BYTES || pages_open(&p, slice_of(data, size), PAGE_BYTES, data, NULL))
		return 0;
	pages_check(&p, names, &report);
	for (int i = 0; i < KV_TABLES; i++)
		read_table(&p, (enum kv_table)i, &s);
	return 0;
}
