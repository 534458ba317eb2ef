/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/symbols.h"

#include <assert.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/vec.h"

struct symbol {
	char *text;
	uint32_t id, refs;
	bool is_number;
	int64_t number;
};

struct symbols {
	struct map by_text;
	VEC(struct symbol *) at; /* by number; NULL: free */
	VEC(uint32_t) unused;
};

struct symbols *symbols_new(void)
{
	struct symbols *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	*vec_push(&s->at) = NULL;
	return s;
}

static void symbol_free(struct symbol *y)
{
	if (y)
		free(y->text);
	free(y);
}

void symbols_free(struct symbols *s)
{
	if (!s)
		return;
	VEC_FOREACH (&s->at, y)
		symbol_free(*y);
	vec_deinit(&s->at);
	vec_deinit(&s->unused);
	map_deinit(&s->by_text);
	free(s);
}

static bool parse_number(const char *text, int64_t *ret)
{
	bool minus = *text == '-';
	const char *p = text + (minus || *text == '+');
	int64_t n = 0;
	if (!*p)
		return false;
	for (; *p; p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_sub_overflow(n, *p - '0', &n))
			return false;
	return !__builtin_mul_overflow(n, minus ? 1 : -1, ret);
}

static struct symbol *symbol_new(struct symbols *s, const char *text)
{
	struct symbol *y = calloc(1, sizeof(*y));
	if (!y || !(y->text = strdup(text)))
		abort();
	y->is_number = parse_number(text, &y->number);
	if (s->unused.n) {
		y->id = vec_pop(&s->unused);
		s->at.at[y->id] = y;
	} else {
		y->id = (uint32_t)s->at.n;
		*vec_push(&s->at) = y;
	}
	map_put_str(&s->by_text, text, y);
	return y;
}

uint32_t symbols_get(struct symbols *s, const char *text)
{
	text = text ? text : "";
	struct symbol *y = map_get_str(&s->by_text, text);
	if (!y)
		y = symbol_new(s, text);
	y->refs++;
	return y->id;
}

uint32_t symbols_find(const struct symbols *s, const char *text)
{
	const struct symbol *y = map_get_str(&s->by_text, text ? text : "");
	return y ? y->id : 0;
}

void symbols_ref(struct symbols *s, uint32_t symbol)
{
	if (symbol)
		s->at.at[symbol]->refs++;
}

void symbols_unref(struct symbols *s, uint32_t symbol)
{
	if (!symbol)
		return;
	struct symbol *y = s->at.at[symbol];
	assert(y && y->refs);
	if (--y->refs)
		return;
	map_del_str(&s->by_text, y->text);
	s->at.at[symbol] = NULL;
	*vec_push(&s->unused) = symbol;
	symbol_free(y);
}

const char *symbols_text(const struct symbols *s, uint32_t symbol)
{
	return symbol ? s->at.at[symbol]->text : "";
}

bool symbols_number(const struct symbols *s, uint32_t symbol, int64_t *ret)
{
	if (!symbol || !s->at.at[symbol]->is_number)
		return false;
	*ret = s->at.at[symbol]->number;
	return true;
}

size_t symbols_count(const struct symbols *s)
{
	return s->at.n - 1 - s->unused.n;
}
