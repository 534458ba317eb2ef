/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "apiserver/patch/patch.h"

static const char *const kind_words[] = {
    [JVALUE_NULL] = "null",     [JVALUE_BOOL] = "bool",     [JVALUE_INT] = "number",
    [JVALUE_DOUBLE] = "number", [JVALUE_STRING] = "string", [JVALUE_ARRAY] = "array",
    [JVALUE_OBJECT] = "object",
};

int patch_read_json(struct slice body, struct arena *a, struct jvalue **ret, struct err *err)
{
	struct jvalue *patch;
	int k = jvalue_parse(body, a, NULL, &patch, err);

	if (k < 0)
		return k;
	if (patch->kind != JVALUE_ARRAY)
		return err_set(err, ERR_BAD_REQUEST,
		               "json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
		               kind_words[patch->kind]);
	for (uint32_t i = 0; i < patch->n; i++)
		if (patch->items[i]->kind != JVALUE_OBJECT)
			return err_set(err, ERR_BAD_REQUEST,
			               "json: cannot unmarshal %s into Go value of type "
			               "jsonpatch.Operation",
			               kind_words[patch->items[i]->kind]);
	if (patch->n > PATCH_OPERATIONS_MAX)
		return err_set(err, ERR_TOO_LARGE,
		               "The allowed maximum operations in a JSON patch is %d, got %u",
		               PATCH_OPERATIONS_MAX, patch->n);
	*ret = patch;
	return 0;
}

struct applier {
	struct jvalue *root;
	struct arena *arena;
	struct err *err;
	size_t copied_bytes;
	size_t copied_nodes;
};

/* The place that a pointer names: a container and the last token, unescaped. */
struct target {
	struct jvalue *in; /* NULL: an earlier part of the path is missing */
	struct slice key;
};

static struct slice unescape(struct arena *a, struct slice token)
{
	if (!memchr(token.data, '~', token.len))
		return token;
	char *out = arena_alloc(a, token.len + 1), *o = out;
	for (size_t i = 0; i < token.len; i++) {
		char c = (char)token.data[i];

		if (c == '~' && i + 1 < token.len && (token.data[i + 1] | 1) == '1')
			c = token.data[++i] == '1' ? '/' : '~';
		*o++ = c;
	}
	return slice_of(out, (size_t)(o - out));
}

/* An index, possibly negative: counted from the end. */
static bool parse_index(struct slice key, int64_t *ret)
{
	bool neg = key.len && key.data[0] == '-';
	int64_t v = 0;

	if (key.len == neg || key.len > 10)
		return false;
	for (size_t i = neg; i < key.len; i++) {
		if (key.data[i] < '0' || key.data[i] > '9')
			return false;
		v = v * 10 + (key.data[i] - '0');
	}
	*ret = neg ? -v : v;
	return true;
}

/* Resolves an index into an array of n places. */
static bool resolve_index(struct slice key, size_t n, size_t *ret)
{
	int64_t i;

	if (!parse_index(key, &i) || i < -(int64_t)n || i >= (int64_t)n)
		return false;
	*ret = (size_t)(i < 0 ? i + (int64_t)n : i);
	return true;
}

static struct jvalue *child(struct jvalue *in, struct slice key)
{
	size_t i;

	if (jvalue_is(in, JVALUE_OBJECT))
		return jvalue_getn(in, key);
	if (jvalue_is(in, JVALUE_ARRAY) && resolve_index(key, in->n, &i))
		return in->items[i];
	return NULL;
}

static bool is_container(const struct jvalue *v)
{
	return jvalue_is(v, JVALUE_OBJECT) || jvalue_is(v, JVALUE_ARRAY);
}

static struct target find(struct applier *p, const char *path)
{
	struct target t = {.in = p->root};

	if (*path != '/')
		return (struct target){0};
	for (path++;;) {
		const char *slash = strchrnul(path, '/');

		t.key = unescape(p->arena, slice_of(path, (size_t)(slash - path)));
		if (!*slash)
			return is_container(t.in) ? t : (struct target){0};
		t.in = child(t.in, t.key);
		if (!is_container(t.in))
			return (struct target){0};
		path = slash + 1;
	}
}

static int bad_index(struct applier *p, struct slice key)
{
	int64_t i;

	if (!parse_index(key, &i))
		return err_set(p->err, ERR_INVALID,
		               "strconv.Atoi: parsing \"%.*s\": invalid syntax", SLICE_FMT(key));
	return err_set(p->err, ERR_INVALID,
	               "Unable to access invalid index: %lld: invalid index referenced",
	               (long long)i);
}

static int missing(struct applier *p, const char *op, const char *path)
{
	return err_set(p->err, ERR_INVALID,
	               "%s operation does not apply: doc is missing path: \"%s\": missing value",
	               op, path);
}

static int put(struct applier *p, const char *op, const char *path, struct jvalue *value)
{
	struct target t = find(p, path);
	size_t i;

	if (!t.in)
		return missing(p, op, path);
	if (t.in->kind == JVALUE_OBJECT) {
		jvalue_setn(p->arena, t.in, t.key, value);
		return 0;
	}
	if (slice_eq_str(t.key, "-")) {
		jvalue_append(p->arena, t.in, value);
		return 0;
	}
	if (!resolve_index(t.key, t.in->n + 1, &i))
		return bad_index(p, t.key);
	jvalue_insert(p->arena, t.in, i, value);
	return 0;
}

static int remove_at(struct applier *p, const char *op, const char *path)
{
	struct target t = find(p, path);
	size_t i;

	if (!t.in)
		return missing(p, op, path);
	if (t.in->kind == JVALUE_OBJECT) {
		if (jvalue_deln(t.in, t.key))
			return 0;
		return err_set(p->err, ERR_INVALID,
		               "error in remove for path: '%s': Unable to remove nonexistent key: "
		               "%.*s: missing value",
		               path, SLICE_FMT(t.key));
	}
	if (!resolve_index(t.key, t.in->n, &i))
		return bad_index(p, t.key);
	jvalue_remove(t.in, i);
	return 0;
}

static int replace(struct applier *p, const char *path, struct jvalue *value)
{
	size_t i;

	if (!*path) {
		if (!is_container(value))
			return err_set(p->err, ERR_INVALID,
			               "replace operation value must be object or array");
		p->root = value;
		return 0;
	}
	struct target t = find(p, path);
	if (!t.in)
		return missing(p, "replace", path);
	/* A member that is not there is added, as upstream's library does. */
	if (t.in->kind == JVALUE_OBJECT) {
		jvalue_setn(p->arena, t.in, t.key, value);
		return 0;
	}
	if (!resolve_index(t.key, t.in->n, &i))
		return bad_index(p, t.key);
	t.in->items[i] = value;
	return 0;
}

static int test(struct applier *p, const char *path, const struct jvalue *value)
{
	struct jvalue *at = p->root;

	if (*path) {
		struct target t = find(p, path);

		if (!t.in)
			return missing(p, "test", path);
		at = child(t.in, t.key);
		if (!at && t.in->kind == JVALUE_ARRAY)
			return bad_index(p, t.key);
	}
	if (at ? jvalue_equal(at, value) : value->kind == JVALUE_NULL)
		return 0;
	return err_set(p->err, ERR_INVALID, "testing value %s failed: test failed", path);
}

static size_t node_count(const struct jvalue *v)
{
	size_t n = 1;

	if (v->kind == JVALUE_ARRAY)
		for (uint32_t i = 0; i < v->n; i++)
			n += node_count(v->items[i]);
	else if (v->kind == JVALUE_OBJECT)
		for (uint32_t i = 0; i < v->n; i++)
			n += node_count(v->members[i].value);
	return n;
}

static int copy_from(struct applier *p, const char *from, const char *path)
{
	struct target t = find(p, from);
	struct jvalue *value = t.in ? child(t.in, t.key) : NULL;

	if (!t.in)
		return err_set(p->err, ERR_INVALID,
		               "copy operation does not apply: doc is missing from path: \"%s\": "
		               "missing value",
		               from);
	if (!value && t.in->kind == JVALUE_ARRAY)
		return bad_index(p, t.key);
	if (!value)
		value = jvalue_null(p->arena);
	/* Copies of copies grow exponentially: bound the sum. */
	_cleanup_buf_ struct buf b = BUF_INIT;
	p->copied_nodes += node_count(value);
	if (p->copied_nodes <= PATCH_COPY_BYTES_MAX)
		jvalue_write(value, &b);
	p->copied_bytes += MAX(b.len, 1u);
	if (p->copied_bytes > PATCH_COPY_BYTES_MAX || p->copied_nodes > PATCH_COPY_BYTES_MAX)
		return err_set(p->err, ERR_INVALID,
		               "Unable to copy, the accumulated size increase of copy is %zu, "
		               "exceeding the limit %d",
		               p->copied_bytes, PATCH_COPY_BYTES_MAX);
	return put(p, "copy", path, jvalue_copy(p->arena, value));
}

static int move_from(struct applier *p, const char *from, const char *path)
{
	struct target t = find(p, from);
	struct jvalue *value = t.in ? child(t.in, t.key) : NULL;
	size_t n = strlen(from);

	if (!t.in)
		return err_set(
		    p->err, ERR_INVALID,
		    "move operation does not apply: doc is missing from path: %s: missing "
		    "value",
		    from);
	/* Into itself: the place would be gone when the value arrives. */
	if (strncmp(path, from, n) == 0 && path[n] == '/')
		return missing(p, "move", path);
	int k = remove_at(p, "move", from);
	return k < 0 ? k : put(p, "move", path, value ? value : jvalue_null(p->arena));
}

static int apply_one(struct applier *p, const struct jvalue *op)
{
	const char *kind = jvalue_get_str(op, "op", NULL), *path = jvalue_get_str(op, "path", NULL);
	const char *from = jvalue_get_str(op, "from", NULL);
	struct jvalue *value = jvalue_get(op, "value");

	if (!kind)
		return err_set(p->err, ERR_INVALID, "Unexpected kind: unknown");
	bool takes_from = strcmp(kind, "move") == 0 || strcmp(kind, "copy") == 0;
	bool known = takes_from || strcmp(kind, "add") == 0 || strcmp(kind, "remove") == 0 ||
	             strcmp(kind, "replace") == 0 || strcmp(kind, "test") == 0;
	if (!known)
		return err_set(p->err, ERR_INVALID, "Unexpected kind: %s", kind);
	if (!path)
		return err_set(p->err, ERR_INVALID,
		               "%s operation failed to decode path: missing value", kind);
	if (takes_from && !from)
		return err_set(p->err, ERR_INVALID,
		               "%s operation failed to decode from: missing value", kind);
	/* The patch stays whole: what becomes part of the document is a copy. */
	value = value ? jvalue_copy(p->arena, value) : jvalue_null(p->arena);
	switch (kind[0]) {
	case 'a':
		return put(p, "add", path, value);
	case 'm':
		return move_from(p, from, path);
	case 'c':
		return copy_from(p, from, path);
	case 't':
		return test(p, path, value);
	}
	return kind[2] == 'm' ? remove_at(p, "remove", path) : replace(p, path, value);
}

int patch_apply_json(struct jvalue *doc, const struct jvalue *patch, struct arena *a,
                     struct jvalue **ret, struct err *err)
{
	struct applier p = {.root = doc, .arena = a, .err = err};

	for (uint32_t i = 0; i < patch->n; i++) {
		int k = apply_one(&p, patch->items[i]);
		if (k < 0)
			return k;
	}
	*ret = p.root;
	return 0;
}
