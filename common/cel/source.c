/* SPDX-License-Identifier: Apache-2.0 */
/* The text of an expression and what is wrong with it. */
#include "common/cel/internal.h"
#include "common/codec/utf8.h"

void cel_report(struct cel_source *src, uint32_t pos, const char *fmt, ...)
{
	va_list ap;

	if (src->n_problems >= CEL_PROBLEMS_MAX)
		return;
	if (!src->problems)
		src->problems = arena_array(src->arena, struct cel_problem, CEL_PROBLEMS_MAX);
	va_start(ap, fmt);
	src->problems[src->n_problems++] =
	    (struct cel_problem){pos, arena_vprintf(src->arena, fmt, ap)};
	va_end(ap);
}

/* The line of a position: its number, its text, and the column, all from 0. */
static struct slice line_of(const char *text, uint32_t pos, size_t *ret_line, size_t *ret_column)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text), *begin = p;
	size_t line = 0, column = 0;

	for (uint32_t i = 0; i < pos && p < end; i++) {
		size_t n;
		uint32_t rune = utf8_decode(p, end, &n);
		p += n;
		column++;
		if (rune == '\n') {
			line++;
			column = 0;
			begin = p;
		}
	}
	const uint8_t *stop = memchr(begin, '\n', (size_t)(end - begin));
	*ret_line = line;
	*ret_column = column;
	return slice_of(begin, (size_t)((stop ? stop : end) - begin));
}

static int by_place(const void *a, const void *b)
{
	const struct cel_problem *x = a, *y = b;
	return (x->pos > y->pos) - (x->pos < y->pos);
}

const char *cel_problems_text(const struct cel_source *src)
{
	const char *out = "";

	if (src->n_problems > 1)
		qsort(src->problems, src->n_problems, sizeof(*src->problems), by_place);
	for (size_t i = 0; i < src->n_problems; i++) {
		size_t line, column;
		struct slice text = line_of(src->text, src->problems[i].pos, &line, &column);
		char *dots = arena_alloc(src->arena, column + 1);

		memset(dots, '.', column);
		dots[column] = '\0';
		out = arena_printf(src->arena, "%s%sERROR: <input>:%zu:%zu: %s\n | %.*s\n | %s^",
		                   out, i ? "\n" : "", line + 1, column + 1, src->problems[i].text,
		                   SLICE_FMT(text), dots);
	}
	return out;
}
