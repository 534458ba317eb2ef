/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cel/regex.h"
#include "common/base/err.h"
#include "common/base/heap.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_LIMIT = 200000, DEPTH_LIMIT = 2000, PATTERN_MAX = 10000 };

struct cel_regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *context;
};

/* What pcre2 knows and RE2 does not. */
static const char *foreign(struct slice p)
{
	bool class = false;

	for (size_t i = 0; i < p.len; i++) {
		int c = p.data[i], next = i + 1 < p.len ? p.data[i + 1] : 0;

		if (c == '\\') {
			if (!class &&
			    ((next >= '1' && next <= '9') || (next && strchr("gkGKRXNZ", next))))
				return "invalid escape sequence";
			i++;
			continue;
		}
		if (class) {
			class = c != ']';
			continue;
		}
		if (c == '[') {
			class = true;
			/* A bracket that comes first belongs to the class. */
			i += next == '^';
			i += i + 1 < p.len && p.data[i + 1] == ']';
			continue;
		}
		if (c == '(' && next == '?') {
			int what = i + 2 < p.len ? p.data[i + 2] : 0,
			    after = i + 3 < p.len ? p.data[i + 3] : 0;
			bool named = what == '<' && after != '=' && after != '!';
			if (!named && !(what == 'P' && after == '<') &&
			    !(what && strchr("imsU:-", what)))
				return "invalid or unsupported Perl syntax";
		}
		if (c == '(' && next == '*')
			return "missing argument to repetition operator: `*`";
		if (strchr("*+?}", c) && next == '+')
			return "invalid nested repetition operator";
	}
	return NULL;
}

int cel_regex_new(struct slice pattern, struct cel_regex **ret, struct arena *a,
                  const char **ret_why)
{
	int code;
	PCRE2_SIZE at;
	PCRE2_UCHAR text[128];
	const char *why =
	    pattern.len > PATTERN_MAX ? "expression nests too deeply" : foreign(pattern);

	if (why) {
		*ret_why = why;
		return -ERR_INVALID;
	}
	pcre2_code *re = pcre2_compile(pattern.data ? pattern.data : (PCRE2_SPTR) "", pattern.len,
	                               PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
	                               &code, &at, NULL);
	if (!re) {
		pcre2_get_error_message(code, text, sizeof(text));
		*ret_why = arena_printf(a, "%s", text);
		return -ERR_INVALID;
	}
	struct cel_regex *r = heap_new(struct cel_regex);
	r->code = re;
	r->match = pcre2_match_data_create_from_pattern(re, NULL);
	r->context = pcre2_match_context_create(NULL);
	if (!r->match || !r->context)
		abort();
	pcre2_set_match_limit(r->context, MATCH_LIMIT);
	pcre2_set_depth_limit(r->context, DEPTH_LIMIT);
	*ret = r;
	return 0;
}

void cel_regex_free(struct cel_regex *re)
{
	pcre2_match_data_free(re->match);
	pcre2_match_context_free(re->context);
	pcre2_code_free(re->code);
	free(re);
}

int cel_regex_find(struct cel_regex *re, struct slice text, size_t from, size_t *ret_begin,
                   size_t *ret_end)
{
	int n = pcre2_match(re->code, text.data ? text.data : (PCRE2_SPTR) "", text.len, from, 0,
	                    re->match, re->context);

	if (n == PCRE2_ERROR_NOMATCH)
		return 0;
	if (n < 0)
		return -ERR_INVALID;
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(re->match);
	if (ret_begin)
		*ret_begin = at[0];
	if (ret_end)
		*ret_end = at[1];
	return 1;
}
