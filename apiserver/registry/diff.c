/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/diff.h"

#include "common/codec/json_writer.h"

enum { CONTEXT = 3 };

struct lines {
	const char **at;
	size_t n;
};

/* Upstream's texts, a member a line. */
static struct lines lines_of(errs_t errs, const void *msg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct lines l = {0};
	char *text;

	json_write_indented(&b, slice_str(go_json_of(errs, msg)), "  ");
	text = arena_strndup(errs->arena, b.data, b.len);
	for (const char *c = text; c; c = strchr(c, '\n'), c = c ? c + 1 : NULL)
		l.n++;
	l.at = arena_array(errs->arena, const char *, l.n + 1);
	for (size_t i = 0; i < l.n; i++) {
		char *end = strchr(text, '\n');
		l.at[i] = text;
		if (end) {
			*end = '\0';
			text = end + 1;
		}
	}
	return l;
}

const char *msg_diff(errs_t errs, const void *old, const void *now)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct lines x = lines_of(errs, old), y = lines_of(errs, now);
	size_t head = 0, tail = 0;

	while (head < MIN(x.n, y.n) && !strcmp(x.at[head], y.at[head]))
		head++;
	if (head == x.n && head == y.n)
		return "";
	while (tail < MIN(x.n, y.n) - head && !strcmp(x.at[x.n - 1 - tail], y.at[y.n - 1 - tail]))
		tail++;
	size_t from = head > CONTEXT ? head - CONTEXT : 0;
	size_t after = MIN(tail, CONTEXT), x_end = x.n - tail, y_end = y.n - tail;
	buf_printf(&b, "@@ -%zu,%zu +%zu,%zu @@\n", from + 1, x_end + after - from, from + 1,
	           y_end + after - from);
	for (size_t i = from; i < head; i++)
		buf_printf(&b, " %s\n", x.at[i]);
	for (size_t i = head; i < x_end; i++)
		buf_printf(&b, "-%s\n", x.at[i]);
	for (size_t i = head; i < y_end; i++)
		buf_printf(&b, "+%s\n", y.at[i]);
	for (size_t i = 0; i < after; i++)
		buf_printf(&b, " %s\n", x.at[x_end + i]);
	return arena_strndup(errs->arena, b.data, b.len);
}
