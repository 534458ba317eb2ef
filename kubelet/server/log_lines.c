/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/server/log_lines.h"

#include <string.h>

/* Query values */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %xx and + into out; false when it does not fit. */
static bool unescape(struct slice in, char *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < in.len; i++, n++) {
		if (n + 1 >= cap)
			return false;
		out[n] = (char)in.data[i];
		if (in.data[i] == '+')
			out[n] = ' ';
		if (in.data[i] == '%' && i + 2 < in.len && hex_value((char)in.data[i + 1]) >= 0 &&
		    hex_value((char)in.data[i + 2]) >= 0) {
			out[n] = (char)(hex_value((char)in.data[i + 1]) * 16 +
			                hex_value((char)in.data[i + 2]));
			i += 2;
		}
	}
	out[n] = 0;
	return true;
}

static bool is_true(const char *s)
{
	return !strcmp(s, "true") || !strcmp(s, "1") || !strcmp(s, "True") || !strcmp(s, "t");
}

static int number(const char *name, const char *text, int64_t min, int64_t *ret, struct err *err)
{
	char *end;
	long long v = strtoll(text, &end, 10);
	if (!*text || *end || v < min)
		return err_set(err, ERR_INVALID, "%s: Invalid value: \"%s\"", name, text);
	*ret = v;
	return 0;
}

static int option(const char *name, const char *value, int64_t now_s, struct log_options *o,
                  struct err *err)
{
	int64_t seconds = 0;
	if (!strcmp(name, "follow"))
		o->follow = is_true(value);
	else if (!strcmp(name, "previous"))
		o->previous = is_true(value);
	else if (!strcmp(name, "timestamps"))
		o->timestamps = is_true(value);
	else if (!strcmp(name, "tailLines"))
		return number(name, value, 0, &o->tail_lines, err);
	else if (!strcmp(name, "limitBytes"))
		return number(name, value, 1, &o->limit_bytes, err);
	else if (!strcmp(name, "sinceSeconds")) {
		if (number(name, value, 1, &seconds, err))
			return -err->code;
		o->has_since = true;
		o->since = (struct time_spec){now_s - seconds, 0};
	} else if (!strcmp(name, "sinceTime")) {
		if (rfc3339_parse(slice_str(value), &o->since, err))
			return -err->code;
		o->has_since = true;
	}
	return 0;
}

int log_options_parse(const char *query, int64_t now_s, struct log_options *ret, struct err *err)
{
	struct err own = ERR_INIT;
	err = err ? err : &own;
	*ret = (struct log_options){.tail_lines = -1, .limit_bytes = -1};
	for (const char *p = query; *p;) {
		char name[64], value[256];
		size_t n = strcspn(p, "&"), eq = strcspn(p, "=&");
		struct slice v = eq < n ? slice_of(p + eq + 1, n - eq - 1) : SLICE_EMPTY;
		if (unescape(slice_of(p, eq), name, sizeof(name)) &&
		    unescape(v, value, sizeof(value))) {
			int r = option(name, value, now_s, ret, err);
			if (r)
				return r;
		}
		p += n + (p[n] == '&');
	}
	return 0;
}

/* Lines */

static bool is_before(const struct log_options *o, struct slice stamp)
{
	struct time_spec t;
	if (!o->has_since || rfc3339_parse(stamp, &t, NULL))
		return false;
	return t.sec < o->since.sec || (t.sec == o->since.sec && t.nsec < o->since.nsec);
}

static void put(struct buf *out, const void *data, size_t n, int64_t *left)
{
	if (*left >= 0 && (int64_t)n > *left)
		n = (size_t)*left;
	buf_add(out, data, n);
	if (*left >= 0)
		*left -= (int64_t)n;
}

/* One line without its '\n'. */
static void write_line(const struct log_options *o, struct slice line, int64_t *left,
                       struct buf *out)
{
	const uint8_t *at = line.data, *end = line.data + line.len;
	const uint8_t *parts[3];
	for (int i = 0; i < 3; i++) {
		parts[i] = at;
		at = memchr(at, ' ', (size_t)(end - at));
		if (!at)
			return; /* not a line of CRI's */
		at++;
	}
	struct slice stamp = slice_of(parts[0], (size_t)(parts[1] - parts[0]) - 1);
	bool piece = parts[2][0] == 'P';
	if (is_before(o, stamp))
		return;
	if (o->timestamps)
		put(out, stamp.data, stamp.len + 1, left);
	put(out, at, (size_t)(end - at), left);
	if (!piece)
		put(out, "\n", 1, left);
}

size_t log_lines_write(const struct log_options *o, struct slice in, int64_t *left, struct buf *out)
{
	size_t used = 0;
	while (used < in.len && *left) {
		const uint8_t *start = in.data + used;
		const uint8_t *end = memchr(start, '\n', in.len - used);
		if (!end)
			break;
		write_line(o, slice_of(start, (size_t)(end - start)), left, out);
		used = (size_t)(end - in.data) + 1;
	}
	return used;
}
