/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/html_links.h"

#include <strings.h>

enum { TEXT, TAG, COMMENT, RAW, OVERLONG };

/* HTML 5's attributes that hold one URL. */
static const struct {
	const char *element, *attributes; /* separated by spaces */
} links[] = {
    {"a", "href"},
    {"applet", "codebase"},
    {"area", "href"},
    {"audio", "src"},
    {"base", "href"},
    {"blockquote", "cite"},
    {"body", "background"},
    {"button", "formaction"},
    {"command", "icon"},
    {"del", "cite"},
    {"embed", "src"},
    {"form", "action"},
    {"frame", "longdesc src"},
    {"head", "profile"},
    {"html", "manifest"},
    {"iframe", "longdesc src"},
    {"img", "longdesc src usemap"},
    {"input", "src usemap formaction"},
    {"ins", "cite"},
    {"link", "href"},
    {"object", "classid codebase data usemap"},
    {"q", "cite"},
    {"script", "src"},
    {"source", "src"},
    {"video", "poster src"},
};

/* Elements that hold text alone, up to their own end tag. */
static const char *const raw_elements[] = {"script", "style",    "textarea", "title",
                                           "xmp",    "noframes", "noembed",  "iframe"};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_letter(uint8_t c)
{
	c |= 0x20;
	return c >= 'a' && c <= 'z';
}

static bool same_name(struct slice s, const char *name, size_t len)
{
	return s.len == len && !strncasecmp((const char *)s.data, name, len);
}

/* --- tags ------------------------------------------------------------------------------------ */

/* The name behind '<', and where it ends. */
static struct slice name_of(struct slice tag)
{
	size_t n = 1;

	while (n < tag.len && !is_space(tag.data[n]) && tag.data[n] != '>' && tag.data[n] != '/')
		n++;
	return slice_of(tag.data + 1, n - 1);
}

static bool is_link(const char *attributes, struct slice name)
{
	while (*attributes) {
		size_t n = strcspn(attributes, " ");
		if (same_name(name, attributes, n))
			return true;
		attributes += n + (attributes[n] == ' ');
	}
	return false;
}

static size_t skip_spaces(struct slice tag, size_t at)
{
	while (at < tag.len && is_space(tag.data[at]))
		at++;
	return at;
}

/* The value that begins at `at`, without its quotes; *ret_next: behind it. */
static struct slice value_at(struct slice tag, size_t at, size_t *ret_next)
{
	uint8_t quote = at < tag.len ? tag.data[at] : 0;
	size_t begin, end;

	if (quote == '"' || quote == '\'') {
		const uint8_t *p = memchr(tag.data + at + 1, quote, tag.len - at - 1);
		begin = at + 1;
		end = p ? (size_t)(p - tag.data) : tag.len;
		*ret_next = p ? end + 1 : end;
	} else {
		begin = end = at;
		while (end < tag.len && !is_space(tag.data[end]) && tag.data[end] != '>')
			end++;
		*ret_next = end;
	}
	return slice_of(tag.data + begin, end - begin);
}

static void rewrite_tag(struct html_links *h, struct slice tag, const char *attributes,
                        struct buf *out)
{
	size_t at = name_of(tag).len + 1, done = 0;

	while (at < tag.len && tag.data[at] != '>') {
		if (is_space(tag.data[at]) || tag.data[at] == '/' || tag.data[at] == '=') {
			at++;
			continue;
		}
		size_t begin = at;
		while (at < tag.len && !is_space(tag.data[at]) && !memchr("=>/", tag.data[at], 3))
			at++;
		struct slice name = slice_of(tag.data + begin, at - begin);
		size_t equals = skip_spaces(tag, at);
		if (equals >= tag.len || tag.data[equals] != '=')
			continue;
		struct slice value = value_at(tag, skip_spaces(tag, equals + 1), &at);
		if (!is_link(attributes, name) || !value.len)
			continue;
		size_t place = (size_t)(value.data - tag.data);
		buf_add(out, tag.data + done, place - done);
		h->rewrite(h->arg, value, out);
		done = place + value.len;
	}
	buf_add(out, tag.data + done, tag.len - done);
}

/* A whole tag, from '<' to '>'. */
static void end_tag(struct html_links *h, struct buf *out)
{
	struct slice tag = buf_view(&h->tag), name = name_of(tag);
	const char *attributes = NULL;

	h->state = TEXT;
	for (size_t i = 0; i < ARRAY_LEN(links) && !attributes; i++)
		if (same_name(name, links[i].element, strlen(links[i].element)))
			attributes = links[i].attributes;
	if (attributes)
		rewrite_tag(h, tag, attributes, out);
	else
		buf_slice(out, tag);
	for (size_t i = 0; i < ARRAY_LEN(raw_elements); i++) {
		if (!same_name(name, raw_elements[i], strlen(raw_elements[i])))
			continue;
		h->raw_name = slice_str(raw_elements[i]);
		h->state = RAW;
	}
	buf_clear(&h->tag);
}

/* --- the page -------------------------------------------------------------------------------- */

static void pass(struct html_links *h, struct buf *out)
{
	buf_slice(out, buf_view(&h->tag));
	buf_clear(&h->tag);
}

static void tag_byte(struct html_links *h, uint8_t c, struct buf *out)
{
	buf_byte(&h->tag, c);
	if (h->tag.len == 2 && !is_letter(c) && c != '/' && c != '!') {
		pass(h, out); /* a '<' that is text */
		h->state = TEXT;
	} else if (h->tag.len == 4 && !memcmp(h->tag.data, "<!--", 4)) {
		pass(h, out);
		h->state = COMMENT;
	} else if (h->quote) {
		if (c == h->quote)
			h->quote = 0;
	} else if (c == '>') {
		end_tag(h, out);
	} else if ((c == '"' || c == '\'') && h->tag.len > 2) {
		/* A quote opens only behind '='. */
		size_t n = h->tag.len - 1;
		while (n && is_space(h->tag.data[n - 1]))
			n--;
		if (n && h->tag.data[n - 1] == '=')
			h->quote = c;
	}
	if (h->tag.len >= HTML_TAG_BYTES_MAX) {
		pass(h, out);
		h->state = OVERLONG;
		h->quote = 0;
	}
}

/* In text that is passed over: `tag` holds what may be the beginning of its end. */
static void raw_byte(struct html_links *h, uint8_t c, struct buf *out)
{
	size_t n = h->tag.len;

	if (c == '<' && n) {
		pass(h, out);
		n = 0;
	}
	buf_byte(&h->tag, c);
	if (n == 0 ? c == '<' : n == 1 ? c == '/' : false)
		return;
	if (n >= 2 && n < 2 + h->raw_name.len && (c | 0x20) == h->raw_name.data[n - 2])
		return;
	bool ends = n == 2 + h->raw_name.len && (is_space(c) || c == '>' || c == '/');
	pass(h, out);
	if (ends)
		h->state = TEXT;
}

/* Counts the dashes in front of the '>' that ends a comment, in `quote`. */
static void comment_byte(struct html_links *h, uint8_t c, struct buf *out)
{
	buf_byte(out, c);
	if (c == '-') {
		h->quote = h->quote < 2 ? h->quote + 1 : 2;
		return;
	}
	if (c == '>' && h->quote == 2)
		h->state = TEXT;
	h->quote = 0;
}

void html_links_feed(struct html_links *h, struct slice in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.data[i];
		if (h->state == TEXT) {
			const uint8_t *p = memchr(in.data + i, '<', in.len - i);
			size_t n = p ? (size_t)(p - in.data) - i : in.len - i;
			buf_add(out, in.data + i, n);
			i += n;
			if (!p)
				return;
			h->state = TAG;
			buf_byte(&h->tag, '<');
		} else if (h->state == TAG) {
			tag_byte(h, c, out);
		} else if (h->state == COMMENT) {
			comment_byte(h, c, out);
		} else if (h->state == RAW) {
			raw_byte(h, c, out);
		} else {
			buf_byte(out, c);
			if (c == '>')
				h->state = TEXT;
		}
	}
}

void html_links_end(struct html_links *h, struct buf *out)
{
	pass(h, out);
	buf_deinit(&h->tag);
}
