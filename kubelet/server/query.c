/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/query.h"

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *decode(struct slice s, struct arena *a)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++, n++) {
		uint8_t c = s.data[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < s.len ? hex(s.data[i + 1]) : -1;
			int low = i + 2 < s.len ? hex(s.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return NULL;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (!c)
			return NULL;
		out[n] = (char)c;
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

struct query query_parse(struct slice text, struct arena *a)
{
	struct query q = {0};
	size_t max = 1;
	for (size_t i = 0; i < text.len; i++)
		max += text.data[i] == '&';
	q.pairs = arena_array(a, struct query_pair, max);
	while (text.len) {
		struct slice value = cut(&text, '&');
		struct slice name = cut(&value, '=');
		const char *n = decode(name, a), *v = decode(value, a);
		if (n && v && *n)
			q.pairs[q.n++] = (struct query_pair){n, v};
	}
	return q;
}

const char *query_get(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->pairs[i].name, name))
			return q->pairs[i].value;
	return NULL;
}

bool query_is_on(const struct query *q, const char *name)
{
	const char *v = query_get(q, name);
	return v && !strcmp(v, "1");
}

size_t query_all(const struct query *q, const char *name, struct arena *a, char ***ret)
{
	size_t n = 0;
	*ret = arena_array(a, char *, q->n + 1);
	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->pairs[i].name, name))
			(*ret)[n++] = (char *)(uintptr_t)q->pairs[i].value;
	return n;
}
