/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/job/plan/indexes.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

struct indexes indexes_parse(const char *text, int32_t limit, struct arena *a)
{
	struct indexes s = {0};
	size_t most = 1;
	for (const char *p = text; p && *p; p++)
		most += *p == ',';
	s.at = arena_array(a, struct interval, most);
	while (text && *text) {
		char *end;
		long long first = strtoll(text, &end, 10), last = first;
		if (end == text)
			break;
		if (*end == '-')
			last = strtoll(end + 1, &end, 10);
		if (first < 0 || first >= limit || last < first)
			break;
		if (last >= limit)
			last = limit - 1;
		s.at[s.n++] = (struct interval){(int32_t)first, (int32_t)last};
		if (*end != ',')
			break;
		text = end + 1;
	}
	return s;
}

static int int_cmp(const void *x, const void *y)
{
	int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
	return (a > b) - (a < b);
}

/* Appends an interval that does not begin before the last one. */
static void append(struct indexes *s, struct interval next)
{
	struct interval *last = s->n ? &s->at[s->n - 1] : NULL;
	if (last && next.first <= last->last + 1)
		last->last = MAX(last->last, next.last);
	else
		s->at[s->n++] = next;
}

struct indexes indexes_of(int32_t *list, size_t n, struct arena *a)
{
	struct indexes s = {.at = arena_array(a, struct interval, n)};
	if (n)
		qsort(list, n, sizeof(*list), int_cmp);
	for (size_t i = 0; i < n; i++)
		append(&s, (struct interval){list[i], list[i]});
	return s;
}

struct indexes indexes_union(const struct indexes *x, const struct indexes *y, struct arena *a)
{
	struct indexes s = {.at = arena_array(a, struct interval, x->n + y->n)};
	for (size_t i = 0, k = 0; i < x->n || k < y->n;) {
		bool left = k == y->n || (i < x->n && x->at[i].first <= y->at[k].first);
		append(&s, left ? x->at[i++] : y->at[k++]);
	}
	return s;
}

bool indexes_has(const struct indexes *s, int32_t index)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->at[mid].last < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->n && s->at[low].first <= index;
}

int64_t indexes_total(const struct indexes *s)
{
	int64_t total = 0;
	for (size_t i = 0; i < s->n; i++)
		total += (int64_t)s->at[i].last - s->at[i].first + 1;
	return total;
}

int64_t indexes_common(const struct indexes *x, const struct indexes *y)
{
	int64_t total = 0;
	for (size_t i = 0, k = 0; i < x->n && k < y->n;) {
		int32_t first = MAX(x->at[i].first, y->at[k].first);
		int32_t last = MIN(x->at[i].last, y->at[k].last);
		if (first <= last)
			total += (int64_t)last - first + 1;
		if (x->at[i].last < y->at[k].last)
			i++;
		else
			k++;
	}
	return total;
}

const char *indexes_format(const struct indexes *s, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	for (size_t i = 0; i < s->n; i++) {
		/* Two neighbours are written as two numbers. */
		char between = s->at[i].last == s->at[i].first + 1 ? ',' : '-';
		buf_printf(&b, "%s%d", i ? "," : "", s->at[i].first);
		if (s->at[i].last > s->at[i].first)
			buf_printf(&b, "%c%d", between, s->at[i].last);
	}
	return arena_strndup(a, b.len ? (const char *)b.data : "", b.len);
}

size_t indexes_missing(const struct indexes *s, int32_t limit, size_t n, int32_t *ret)
{
	size_t found = 0, at = 0;
	for (int32_t i = 0; i < limit && found < n; i++) {
		while (at < s->n && s->at[at].last < i)
			at++;
		if (at < s->n && s->at[at].first <= i)
			i = s->at[at].last;
		else
			ret[found++] = i;
	}
	return found;
}
