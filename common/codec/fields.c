/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/fields.h"

#include "common/codec/utf8.h"

enum { FIELD_TERMS_MAX = 1000 };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Splits at the commas that no backslash escapes. Parts are sorted, as upstream sorts them. */
static int split(const char *text, struct arena *a, const char **parts, size_t *ret_n,
                 struct err *err)
{
	const char *start = text;
	size_t n = 0;

	for (const char *p = text;; p++) {
		if (*p == '\\' && p[1]) {
			p++;
			continue;
		}
		if (*p && *p != ',')
			continue;
		if (n == FIELD_TERMS_MAX)
			return err_set(err, ERR_BAD_REQUEST, "invalid selector: too many terms");
		if (p > start)
			parts[n++] = arena_strndup(a, start, (size_t)(p - start));
		start = p + 1;
		if (!*p)
			break;
	}
	if (n)
		qsort(parts, n, sizeof(*parts), by_text);
	*ret_n = n;
	return 0;
}

static int unescape(const char *s, struct arena *a, const char **ret, struct err *err)
{
	char *out = arena_alloc(a, strlen(s) + 1), *o = out;

	for (; *s; s++) {
		if (*s == ',' || *s == '=')
			return err_set(err, ERR_BAD_REQUEST,
			               "invalid field selector: unescaped character in value: %d",
			               *s);
		if (*s == '\\') {
			s++;
			if (*s != '\\' && *s != ',' && *s != '=') {
				size_t n = strlen(s), used = 0;
				if (n)
					utf8_decode((const uint8_t *)s, (const uint8_t *)s + n,
					            &used);
				return err_set(
				    err, ERR_BAD_REQUEST,
				    "invalid field selector: invalid escape sequence: \\%.*s",
				    (int)used, s);
			}
		}
		*o++ = *s;
	}
	*o = 0;
	*ret = out;
	return 0;
}

static int parse_term(const char *part, const char *selector, struct arena *a,
                      struct field_requirement *ret, struct err *err)
{
	static const char *const ops[] = {"!=", "==", "="};

	for (const char *p = part; *p; p++) {
		for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
			size_t n = strlen(ops[i]);

			if (strncmp(p, ops[i], n) != 0)
				continue;
			ret->field = arena_strndup(a, part, (size_t)(p - part));
			ret->not_equal = i == 0;
			return unescape(p + n, a, &ret->value, err);
		}
	}
	return err_set(err, ERR_BAD_REQUEST, "invalid selector: '%s'; can't understand '%s'",
	               selector, part);
}

int field_selector_parse(const char *text, struct arena *a, struct field_selector *ret,
                         struct err *err)
{
	const char *parts[FIELD_TERMS_MAX];
	size_t n = 0;
	int k = split(text ? text : "", a, parts, &n, err);

	if (k < 0)
		return k;
	struct field_requirement *at = arena_array(a, struct field_requirement, n);
	for (size_t i = 0; i < n; i++) {
		k = parse_term(parts[i], text, a, &at[i], err);
		if (k < 0)
			return k;
	}
	*ret = (struct field_selector){.at = at, .n = n};
	return 0;
}

bool field_selector_match(const struct field_selector *sel, field_get_fn get, const void *obj)
{
	for (size_t i = 0; i < sel->n; i++) {
		const char *value = get(obj, sel->at[i].field);
		bool equal = strcmp(value ? value : "", sel->at[i].value) == 0;

		if (equal == sel->at[i].not_equal)
			return false;
	}
	return true;
}

const char *field_selector_exact(const struct field_selector *sel, const char *field)
{
	for (size_t i = 0; i < sel->n; i++)
		if (!sel->at[i].not_equal && strcmp(sel->at[i].field, field) == 0)
			return sel->at[i].value;
	return NULL;
}

void field_selector_escape(const char *value, struct buf *out)
{
	for (; *value; value++) {
		if (strchr("\\,=", *value))
			buf_byte(out, '\\');
		buf_byte(out, (uint8_t)*value);
	}
}

void field_selector_format(const struct field_selector *sel, struct buf *out)
{
	for (size_t i = 0; i < sel->n; i++) {
		buf_printf(out, "%s%s%s", i ? "," : "", sel->at[i].field,
		           sel->at[i].not_equal ? "!=" : "=");
		field_selector_escape(sel->at[i].value, out);
	}
}
