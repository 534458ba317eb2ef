/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/labels.h"

#include "common/codec/names.h"

/* Requirements. */

static int str_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends "path: Invalid value: VALUE: detail" to the aggregate. */
static void add_error(struct buf *errs, size_t *n, const char *path, const char *value,
                      const char *detail)
{
	buf_printf(errs, "%s%s: Invalid value: %s: %s", *n ? ", " : "", path, value, detail);
	(*n)++;
}

static char *quoted(struct arena *a, const char *s)
{
	return arena_printf(a, "\"%s\"", s);
}

static char *join_messages(struct arena *a, const char *const *msgs, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "; " : "", msgs[i]);
	return arena_strndup(a, b.data, b.len);
}

/* The values as upstream prints a list of strings: JSON. */
static char *json_list(struct arena *a, const char *const *values, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (n == 0)
		return arena_strdup(a, "[]");
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s\"%s\"", i ? "," : "[", values[i]);
	buf_byte(&b, ']');
	return arena_strndup(a, b.data, b.len);
}

static bool is_integer(const char *s)
{
	char *end;

	if (!*s || (*s != '-' && *s != '+' && (*s < '0' || *s > '9')))
		return false;
	strtoll(s, &end, 10);
	return !*end && end[-1] >= '0';
}

static const char *count_error(enum label_op op, size_t n)
{
	switch (op) {
	case LABEL_IN:
	case LABEL_NOT_IN:
		return n ? NULL : "for 'in', 'notin' operators, values set can't be empty";
	case LABEL_EXISTS:
	case LABEL_NOT_EXISTS:
		return n ? "values set must be empty for exists and does not exist" : NULL;
	case LABEL_GREATER:
	case LABEL_LESS:
		return n == 1 ? NULL : "for 'Gt', 'Lt' operators, exactly one value is required";
	default:
		return n == 1 ? NULL : "exact-match compatibility requires one single value";
	}
}

static size_t check_requirement(const char *key, enum label_op op, const char *const *values,
                                size_t n_values, struct arena *a, struct buf *errs)
{
	const char *msgs[NAMES_MAX];
	size_t n = 0, n_msgs = names_is_qualified(key) ? 0 : names_qualified(key, a, msgs);

	if (n_msgs)
		add_error(errs, &n, "key", quoted(a, key), join_messages(a, msgs, n_msgs));
	const char *count = count_error(op, n_values);
	if (count)
		add_error(errs, &n, "values", json_list(a, values, n_values), count);
	for (size_t i = 0; i < n_values; i++) {
		if ((op == LABEL_GREATER || op == LABEL_LESS) && !is_integer(values[i]))
			add_error(errs, &n, arena_printf(a, "values[%zu]", i), quoted(a, values[i]),
			          "for 'Gt', 'Lt' operators, the value must be an integer");
		n_msgs =
		    names_is_label_value(values[i]) ? 0 : names_label_value(values[i], a, msgs);
		if (n_msgs)
			add_error(errs, &n, arena_printf(a, "values[%zu][%s]", i, key),
			          quoted(a, values[i]), join_messages(a, msgs, n_msgs));
	}
	return n;
}

static struct label_requirement *push(struct label_selector *sel, struct arena *a)
{
	struct label_requirement *at = (struct label_requirement *)sel->at;

	/* Capacities are powers of two. */
	if (sel->n == 0 || (sel->n & (sel->n - 1)) == 0) {
		at = arena_grow(a, at, sel->n * sizeof(*at),
		                (sel->n ? sel->n * 2 : 1) * sizeof(*at));
		sel->at = at;
	}
	return &at[sel->n++];
}

static const char *const *copy_values(struct arena *a, const char *const *values, size_t *n)
{
	const char **copy = arena_array(a, const char *, *n);
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++)
		copy[i] = arena_strdup(a, values[i]);
	if (*n > 1)
		qsort(copy, *n, sizeof(*copy), str_cmp);
	for (size_t i = 0; i < *n; i++)
		if (i == 0 || strcmp(copy[i], copy[kept - 1]) != 0)
			copy[kept++] = copy[i];
	*n = kept;
	return copy;
}

int label_selector_require(struct label_selector *sel, struct arena *a, const char *key,
                           enum label_op op, const char *const *values, size_t n_values,
                           struct err *err)
{
	_cleanup_buf_ struct buf errs = BUF_INIT;
	size_t n = check_requirement(key, op, values, n_values, a, &errs);

	if (n)
		return err_set(err, ERR_BAD_REQUEST, n > 1 ? "[%s]" : "%s", (char *)errs.data);
	values = copy_values(a, values, &n_values);
	*push(sel, a) = (struct label_requirement){
	    .key = arena_strdup(a, key), .op = op, .values = values, .n_values = n_values};
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const struct label_requirement *x = a, *y = b;

	return strcmp(x->key, y->key);
}

void label_selector_sort(struct label_selector *sel)
{
	if (sel->n > 1)
		qsort((void *)sel->at, sel->n, sizeof(*sel->at), by_key);
}

struct label_selector label_selector_from_set(const struct label_set *set, struct arena *a)
{
	struct label_selector sel = {0};

	for (size_t i = 0; i < set->n; i++) {
		const char **value = arena_array(a, const char *, 1);

		*value = arena_strdup(a, set->at[i].value);
		*push(&sel, a) = (struct label_requirement){.key = arena_strdup(a, set->at[i].key),
		                                            .op = LABEL_EQUALS,
		                                            .values = value,
		                                            .n_values = 1};
	}
	label_selector_sort(&sel);
	return sel;
}

/* Matching. */

static bool has_value(const struct label_requirement *r, const char *value)
{
	for (size_t i = 0; i < r->n_values; i++)
		if (strcmp(r->values[i], value) == 0)
			return true;
	return false;
}

static bool compare(const struct label_requirement *r, const char *value)
{
	if (!value || !is_integer(value))
		return false;
	long long v = strtoll(value, NULL, 10), limit = strtoll(r->values[0], NULL, 10);

	return r->op == LABEL_GREATER ? v > limit : v < limit;
}

static bool requirement_match(const struct label_requirement *r, const char *value)
{
	switch (r->op) {
	case LABEL_EQUALS:
	case LABEL_DOUBLE_EQUALS:
	case LABEL_IN:
		return value && has_value(r, value);
	case LABEL_NOT_EQUALS:
	case LABEL_NOT_IN:
		return !value || !has_value(r, value);
	case LABEL_EXISTS:
		return value;
	case LABEL_NOT_EXISTS:
		return !value;
	case LABEL_GREATER:
	case LABEL_LESS:
		return compare(r, value);
	}
	return false;
}

bool label_selector_match(const struct label_selector *sel, label_get_fn get, const void *labels)
{
	if (sel->nothing)
		return false;
	for (size_t i = 0; i < sel->n; i++)
		if (!requirement_match(&sel->at[i], get(labels, sel->at[i].key)))
			return false;
	return true;
}

const char *label_set_get(const void *set, const char *key)
{
	const struct label_set *s = set;

	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->at[i].key, key) == 0)
			return s->at[i].value;
	return NULL;
}

bool label_selector_match_set(const struct label_selector *sel, const struct label_set *set)
{
	return label_selector_match(sel, label_set_get, set);
}

const char *label_selector_exact(const struct label_selector *sel, const char *key)
{
	for (size_t i = 0; i < sel->n; i++) {
		const struct label_requirement *r = &sel->at[i];

		if (r->n_values == 1 &&
		    (r->op == LABEL_EQUALS || r->op == LABEL_DOUBLE_EQUALS || r->op == LABEL_IN) &&
		    strcmp(r->key, key) == 0)
			return r->values[0];
	}
	return NULL;
}

static void format_requirement(const struct label_requirement *r, struct buf *out)
{
	static const char *const signs[] = {
	    [LABEL_EQUALS] = "=", [LABEL_DOUBLE_EQUALS] = "==", [LABEL_NOT_EQUALS] = "!=",
	    [LABEL_IN] = " in ",  [LABEL_NOT_IN] = " notin ",   [LABEL_GREATER] = ">",
	    [LABEL_LESS] = "<",
	};
	bool set = r->op == LABEL_IN || r->op == LABEL_NOT_IN;

	if (r->op == LABEL_NOT_EXISTS)
		buf_byte(out, '!');
	buf_str(out, r->key);
	if (r->op == LABEL_EXISTS || r->op == LABEL_NOT_EXISTS)
		return;
	buf_str(out, signs[r->op]);
	if (set)
		buf_byte(out, '(');
	for (size_t i = 0; i < r->n_values; i++)
		buf_printf(out, "%s%s", i ? "," : "", r->values[i]);
	if (set)
		buf_byte(out, ')');
}

void label_selector_format(const struct label_selector *sel, struct buf *out)
{
	for (size_t i = 0; i < sel->n; i++) {
		if (i)
			buf_byte(out, ',');
		format_requirement(&sel->at[i], out);
	}
}
