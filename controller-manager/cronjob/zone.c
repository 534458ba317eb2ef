/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/cronjob/zone.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/heap.h"

enum { HEADER_BYTES = 44, FILE_LIMIT_BYTES = 1 << 20, TYPE_BYTES = 6, CHANGES_MAX = 1 << 16 };

struct zone {
	size_t n;
	int64_t first; /* before the first change */
	struct change {
		int64_t at_s, offset_s;
	} changes[];
};

/* Counts of a header, in the order of the file. */
struct counts {
	uint32_t utc, std, leaps, times, types, chars;
};

static uint32_t be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static int64_t be64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return (int64_t)be64toh(v);
}

static bool read_header(struct slice s, struct counts *ret)
{
	if (s.len < HEADER_BYTES || memcmp(s.data, "TZif", 4))
		return false;
	const uint8_t *p = s.data + 20;
	*ret = (struct counts){be32(p),      be32(p + 4),  be32(p + 8),
	                       be32(p + 12), be32(p + 16), be32(p + 20)};
	return ret->times <= CHANGES_MAX && ret->types && ret->types <= 256 && ret->utc <= 256 &&
	       ret->std <= 256 && ret->leaps <= CHANGES_MAX && ret->chars <= CHANGES_MAX;
}

static size_t body_bytes(const struct counts *c, size_t time_bytes)
{
	return (size_t)c->times * (time_bytes + 1) + (size_t)c->types * TYPE_BYTES + c->chars +
	       (size_t)c->leaps * (time_bytes + 4) + c->std + c->utc;
}

/* The second part has 64-bit times; it follows one of the old form. */
static struct zone *parse(struct slice s)
{
	struct counts c;
	if (!read_header(s, &c) || s.data[4] < '2')
		return NULL;
	size_t skip = HEADER_BYTES + body_bytes(&c, 4);
	if (skip > s.len)
		return NULL;
	s = slice_of(s.data + skip, s.len - skip);
	if (!read_header(s, &c) || s.len < HEADER_BYTES + body_bytes(&c, 8))
		return NULL;
	const uint8_t *times = s.data + HEADER_BYTES, *which = times + (size_t)c.times * 8;
	const uint8_t *types = which + c.times;
	struct zone *z = heap_zalloc(sizeof(*z) + c.times * sizeof(struct change));
	z->first = (int32_t)be32(types);
	for (; z->n < c.times; z->n++) {
		uint8_t type = which[z->n] < c.types ? which[z->n] : 0;
		z->changes[z->n] = (struct change){be64(times + z->n * 8),
		                                   (int32_t)be32(types + type * TYPE_BYTES)};
	}
	return z;
}

struct zone *zone_load(const char *name)
{
	_cleanup_buf_ struct buf path = BUF_INIT, bytes = BUF_INIT;
	struct zone *z = NULL;
	if (name && (*name == '/' || strstr(name, "..")))
		return NULL;
	if (name)
		buf_printf(&path, "/usr/share/zoneinfo/%s", name);
	else
		buf_str(&path, "/etc/localtime");
	FILE *f = fopen((const char *)path.data, "re");
	if (f) {
		buf_reserve(&bytes, FILE_LIMIT_BYTES);
		bytes.len = fread(bytes.data, 1, FILE_LIMIT_BYTES, f);
		fclose(f);
		z = parse(buf_view(&bytes));
	}
	/* UTC needs no database. */
	bool utc = !name || !strcmp(name, "UTC") || !strcmp(name, "Etc/UTC");
	return z || !utc ? z : heap_new(struct zone);
}

void zone_free(struct zone *z)
{
	free(z);
}

int64_t zone_offset(int64_t unix_s, void *zone)
{
	const struct zone *z = zone;
	size_t low = 0, high = z->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (z->changes[mid].at_s <= unix_s)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? z->changes[low - 1].offset_s : z->first;
}
