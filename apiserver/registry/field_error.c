/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/field_error.h"

#include <stdio.h>

#include "common/base/cleanup.h"

enum { PATH_DEPTH_MAX = 64 };

static const struct {
	const char *text, *reason;
	bool shows_value;
} types[] = {
    [FIELD_NOT_FOUND] = {"Not found", "FieldValueNotFound", true},
    [FIELD_REQUIRED] = {"Required value", "FieldValueRequired", false},
    [FIELD_DUPLICATE] = {"Duplicate value", "FieldValueDuplicate", true},
    [FIELD_INVALID] = {"Invalid value", "FieldValueInvalid", true},
    [FIELD_NOT_SUPPORTED] = {"Unsupported value", "FieldValueNotSupported", true},
    [FIELD_FORBIDDEN] = {"Forbidden", "FieldValueForbidden", false},
    [FIELD_TOO_LONG] = {"Too long", "FieldValueTooLong", false},
    [FIELD_TOO_MANY] = {"Too many", "FieldValueTooMany", true},
    [FIELD_INTERNAL] = {"Internal error", "InternalError", false},
    [FIELD_TYPE_INVALID] = {"Invalid value", "FieldValueTypeInvalid", true},
};

char *field_path_str(struct arena *a, const struct field_path *path)
{
	const struct field_path *nodes[PATH_DEPTH_MAX];
	size_t n = 0;
	char *s = NULL;

	for (const struct field_path *p = path; p && n < PATH_DEPTH_MAX; p = p->parent)
		nodes[n++] = p;
	while (n--) {
		const struct field_path *p = nodes[n];
		if (p->name)
			s = s ? arena_printf(a, "%s.%s", s, p->name) : arena_strdup(a, p->name);
		else if (p->key)
			s = arena_printf(a, "%s[%s]", s ? s : "", p->key);
		else
			s = arena_printf(a, "%s[%lld]", s ? s : "", (long long)p->index);
	}
	return s ? s : arena_strdup(a, "<nil>");
}

/* Length of the UTF-8 sequence at s when it is well formed, else 0. */
static size_t utf8_sequence(const unsigned char *s)
{
	size_t n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

char *field_quote(struct arena *a, const char *str)
{
	static const char escapes[] = "abtnvfr"; /* of 7 to 13 */
	size_t len = strlen(str);
	char *out = arena_alloc(a, len * 4 + 3), *o = out;

	*o++ = '"';
	for (const unsigned char *s = (const unsigned char *)str; *s; s++) {
		size_t n = *s >= 0x80 ? utf8_sequence(s) : 0;
		if (*s == '"' || *s == '\\') {
			*o++ = '\\';
			*o++ = (char)*s;
		} else if (*s >= 7 && *s <= 13) {
			*o++ = '\\';
			*o++ = escapes[*s - 7];
		} else if (n) {
			memcpy(o, s, n);
			o += n;
			s += n - 1;
		} else if (*s < 0x20 || *s >= 0x7f) {
			o += snprintf(o, 5, "\\x%02x", *s);
		} else {
			*o++ = (char)*s;
		}
	}
	*o++ = '"';
	*o = '\0';
	return out;
}

static void add(struct field_errors *errs, enum field_error_type type,
                const struct field_path *path, const char *value, const char *detail)
{
	if (errs->n == FIELD_ERRORS_MAX)
		return;
	if (errs->n == errs->cap) {
		size_t cap = errs->cap ? errs->cap * 2 : 8;
		errs->at = arena_grow(errs->arena, errs->at, errs->cap * sizeof(*errs->at),
		                      cap * sizeof(*errs->at));
		errs->cap = cap;
	}
	errs->at[errs->n++] = (struct field_error){
	    .type = type,
	    .field = field_path_str(errs->arena, path),
	    .value = value,
	    .detail = detail ? detail : "",
	};
}

void field_add(struct field_errors *errs, enum field_error_type type, const struct field_path *path,
               const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(errs, type, path, value, arena_vprintf(errs->arena, fmt, ap));
	va_end(ap);
}

void field_required(struct field_errors *errs, const struct field_path *path, const char *detail)
{
	add(errs, FIELD_REQUIRED, path, NULL, detail);
}

void field_forbidden(struct field_errors *errs, const struct field_path *path, const char *detail)
{
	add(errs, FIELD_FORBIDDEN, path, NULL, detail);
}

void field_invalid(struct field_errors *errs, const struct field_path *path, const char *str,
                   const char *detail)
{
	add(errs, FIELD_INVALID, path, str ? field_quote(errs->arena, str) : "null", detail);
}

void field_invalid_int(struct field_errors *errs, const struct field_path *path, int64_t n,
                       const char *detail)
{
	add(errs, FIELD_INVALID, path, arena_printf(errs->arena, "%lld", (long long)n), detail);
}

void field_invalid_json(struct field_errors *errs, const struct field_path *path, const char *json,
                        const char *detail)
{
	add(errs, FIELD_INVALID, path, json, detail);
}

void field_duplicate(struct field_errors *errs, const struct field_path *path, const char *str)
{
	add(errs, FIELD_DUPLICATE, path, field_quote(errs->arena, str), NULL);
}

void field_not_found(struct field_errors *errs, const struct field_path *path, const char *str)
{
	add(errs, FIELD_NOT_FOUND, path, field_quote(errs->arena, str), NULL);
}

void field_not_supported(struct field_errors *errs, const struct field_path *path, const char *str,
                         const char *const *supported)
{
	const char *list = "";

	for (size_t i = 0; supported && supported[i]; i++)
		list = arena_printf(errs->arena, "%s%s\"%s\"", list, i ? ", " : "", supported[i]);
	add(errs, FIELD_NOT_SUPPORTED, path, str ? field_quote(errs->arena, str) : "null",
	    *list ? arena_printf(errs->arena, "supported values: %s", list) : "");
}

void field_too_long(struct field_errors *errs, const struct field_path *path, int64_t max_bytes)
{
	add(errs, FIELD_TOO_LONG, path, NULL,
	    arena_printf(errs->arena, "may not be more than %lld bytes", (long long)max_bytes));
}

void field_too_many(struct field_errors *errs, const struct field_path *path, int64_t n,
                    int64_t max)
{
	add(errs, FIELD_TOO_MANY, path, arena_printf(errs->arena, "%lld", (long long)n),
	    arena_printf(errs->arena, "must have at most %lld items", (long long)max));
}

void field_error_body(const struct field_error *e, struct buf *ret)
{
	buf_str(ret, types[e->type].text);
	if (e->value && types[e->type].shows_value) {
		buf_str(ret, ": ");
		buf_str(ret, e->value);
	}
	if (*e->detail) {
		buf_str(ret, ": ");
		buf_str(ret, e->detail);
	}
}

void field_error_text(const struct field_error *e, struct buf *ret)
{
	buf_str(ret, e->field);
	buf_str(ret, ": ");
	field_error_body(e, ret);
}

const char *field_error_reason(enum field_error_type type)
{
	return types[type].reason;
}

static bool same_error(const struct field_error *x, const struct field_error *y)
{
	const char *xv = types[x->type].shows_value && x->value ? x->value : "";
	const char *yv = types[y->type].shows_value && y->value ? y->value : "";

	return x->type == y->type && !strcmp(x->field, y->field) && !strcmp(xv, yv) &&
	       !strcmp(x->detail, y->detail);
}

static bool seen_before(const struct field_errors *errs, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (same_error(&errs->at[i], &errs->at[j]))
			return true;
	return false;
}

void field_errors_message(const struct field_errors *errs, const char *kind, const char *name,
                          struct buf *ret)
{
	size_t distinct = 0, written = 0;

	for (size_t i = 0; i < errs->n; i++)
		distinct += !seen_before(errs, i);
	buf_printf(ret, "%s %s is invalid", kind, field_quote(errs->arena, name));
	if (!distinct)
		return;
	buf_str(ret, distinct > 1 ? ": [" : ": ");
	for (size_t i = 0; i < errs->n; i++) {
		if (seen_before(errs, i))
			continue;
		buf_str(ret, written++ ? ", " : "");
		field_error_text(&errs->at[i], ret);
	}
	if (distinct > 1)
		buf_byte(ret, ']');
}
