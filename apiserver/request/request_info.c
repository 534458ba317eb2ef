/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/request/request_info.h"
#include "common/codec/fields.h"

enum { PARTS_MAX = 256 };

/* --- query ----------------------------------------------------------------------------------- */

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %xx and +; NULL when an escape is broken (such a parameter is dropped, as Go does). A
 * NUL, which no value may hold, becomes U+FFFD: neither may it cut a selector short. */
static const char *unescape(struct arena *a, struct slice s)
{
	char *out = arena_alloc(a, s.len + 1); /* %00 is as long as U+FFFD */
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			bool whole = i + 2 < s.len;
			int high = whole ? hex(s.data[i + 1]) : -1;
			int low = whole ? hex(s.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return NULL;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (c) {
			out[n++] = (char)c;
		} else {
			memcpy(out + n, "\xef\xbf\xbd", 3);
			n += 3;
		}
	}
	out[n] = 0;
	return out;
}

static struct slice cut(struct slice *rest, char at)
{
	const uint8_t *p = rest->len ? memchr(rest->data, at, rest->len) : NULL;
	struct slice head = {rest->data, p ? (size_t)(p - rest->data) : rest->len};

	*rest = slice_skip(*rest, p ? head.len + 1 : head.len);
	return head;
}

void request_parse_query(struct request *r, struct slice query_text)
{
	size_t n = 1;

	for (size_t i = 0; i < query_text.len; i++)
		n += query_text.data[i] == '&';
	struct request_pair *pairs = arena_array(r->arena, struct request_pair, n);
	r->query = pairs;
	r->n_query = 0;
	while (query_text.len && r->n_query < n) {
		struct slice value = cut(&query_text, '&');
		if (value.len == 0 || memchr(value.data, ';', value.len))
			continue;
		struct slice name = cut(&value, '=');
		const char *k = unescape(r->arena, name), *v = unescape(r->arena, value);
		if (k && v)
			pairs[r->n_query++] = (struct request_pair){k, v};
	}
}

/* --- path ------------------------------------------------------------------------------------ */

static size_t count_parts(const char *path)
{
	size_t n = 1;

	for (const char *p = path; (p = strchr(p, '/')); p++)
		n++;
	return n;
}

/* Path segments with leading and trailing slashes off; inner empty ones stay, as upstream's. */
static const char **split(struct request *r, size_t *ret_n)
{
	const char **parts =
	    arena_array(r->arena, const char *, MIN(count_parts(r->path), (size_t)PARTS_MAX));
	char *at = arena_strdup(r->arena, r->path);
	size_t n = 0;

	*ret_n = 0;
	while (*at == '/')
		at++;
	size_t len = strlen(at);
	while (len && at[len - 1] == '/')
		at[--len] = 0;
	if (!len)
		return parts;
	while (n < PARTS_MAX) {
		parts[n++] = at;
		at = strchr(at, '/');
		if (!at)
			break;
		*at++ = 0;
	}
	*ret_n = n;
	return parts;
}

static enum request_verb verb_of_method(const char *method)
{
	static const struct {
		const char *method;
		enum request_verb verb;
	} table[] = {
	    {"GET", VERB_GET},    {"HEAD", VERB_GET},    {"POST", VERB_CREATE},
	    {"PUT", VERB_UPDATE}, {"PATCH", VERB_PATCH}, {"DELETE", VERB_DELETE},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcmp(method, table[i].method) == 0)
			return table[i].verb;
	}
	return VERB_NONE;
}

bool request_query_bool(const struct request *r, const char *name)
{
	const char *v = request_query(r, name);

	return v && strcasecmp(v, "false") != 0 && strcmp(v, "0") != 0;
}

static bool is_path_segment(const char *name)
{
	return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/%");
}

/* A list or watch of one object by its name counts as naming it, so that rules for names hold. */
static void name_from_selector(struct request *r)
{
	const char *text = request_query(r, "fieldSelector");
	struct field_selector sel;

	if (!text || field_selector_parse(text, r->arena, &sel, NULL) < 0)
		return;
	const char *name = field_selector_exact(&sel, "metadata.name");
	if (name && is_path_segment(name))
		r->name = name;
}

static void refine_verb(struct request *r)
{
	if (r->name[0])
		return;
	if (r->verb == VERB_GET) {
		r->verb = request_query_bool(r, "watch") ? VERB_WATCH : VERB_LIST;
		name_from_selector(r);
	} else if (r->verb == VERB_WATCH) {
		name_from_selector(r);
	} else if (r->verb == VERB_DELETE) {
		r->verb = VERB_DELETECOLLECTION;
	}
}

static bool is_namespace_subresource(const char *part)
{
	return strcmp(part, "status") == 0 || strcmp(part, "finalize") == 0;
}

static void parse_resource(struct request *r, const char **parts, size_t n)
{
	bool proxy = strcmp(r->verb_name, "proxy") == 0;

	if (strcmp(parts[0], "namespaces") == 0 && n > 1) {
		r->ns = parts[1];
		if (n > 2 && !is_namespace_subresource(parts[2])) {
			parts += 2;
			n -= 2;
		}
	}
	r->parts = parts;
	r->n_parts = n;
	r->resource = parts[0];
	if (n >= 2)
		r->name = parts[1];
	if (n >= 3 && !proxy)
		r->subresource = parts[2];
}

static char *lower_case(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s);

	for (char *p = out; *p; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	}
	return out;
}

void request_info_parse(struct request *r)
{
	size_t n;
	const char **parts = split(r, &n);

	r->is_resource = false;
	r->verb = VERB_NONE;
	r->verb_name = lower_case(r->arena, r->method);
	r->prefix = r->group = r->version = r->ns = "";
	r->resource = r->subresource = r->name = "";
	if (n < 3)
		return;
	bool core = strcmp(parts[0], "api") == 0;
	if (!core && strcmp(parts[0], "apis") != 0)
		return;
	r->prefix = parts[0];
	parts++, n--;
	if (!core) {
		if (n < 3)
			return;
		r->group = parts[0];
		parts++, n--;
	}
	r->is_resource = true;
	r->version = parts[0];
	parts++, n--;
	r->verb = verb_of_method(r->method);
	r->verb_name = request_verb_name(r->verb);
	if (strcmp(parts[0], "watch") == 0 || strcmp(parts[0], "proxy") == 0) {
		if (n < 2) {
			r->resource = parts[0];
			return;
		}
		r->verb = strcmp(parts[0], "watch") == 0 ? VERB_WATCH : VERB_NONE;
		r->verb_name = parts[0];
		parts++, n--;
	}
	parse_resource(r, parts, n);
	refine_verb(r);
	if (r->verb != VERB_NONE)
		r->verb_name = request_verb_name(r->verb);
}
