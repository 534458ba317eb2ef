/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/pod/env_file.h"

#include <string.h>

static size_t skip_blank(struct slice s, size_t at)
{
	while (at < s.len && (s.data[at] == ' ' || s.data[at] == '\t' || s.data[at] == '\r'))
		at++;
	return at;
}

static size_t end_of_line(struct slice s, size_t at)
{
	while (at < s.len && s.data[at] != '\n')
		at++;
	return at;
}

static const char *malformed(struct err *err, unsigned line, const char *why)
{
	err_set(err, ERR_INVALID, "invalid environment variable format at line %u: %s", line, why);
	return NULL;
}

const char *env_file_value(struct slice s, const char *key, struct arena *a, struct err *err)
{
	const char *found = NULL;
	unsigned line = 1;
	err->code = ERR_OK;
	for (size_t at = 0; at < s.len; line++) {
		at = skip_blank(s, at);
		if (at == s.len || s.data[at] == '\n' || s.data[at] == '#') {
			at = end_of_line(s, at) + 1;
			continue;
		}
		size_t name = at, stop = end_of_line(s, at);
		const uint8_t *equals = memchr(s.data + at, '=', stop - at);
		if (!equals)
			return malformed(err, line, "there is no \"=\"");
		size_t name_len = (size_t)(equals - s.data) - name;
		at = name + name_len + 1;
		if (at >= s.len || s.data[at] != '\'')
			return malformed(err, line, "the value is not in single quotes");
		const uint8_t *quote = memchr(s.data + at + 1, '\'', s.len - at - 1);
		if (!quote)
			return malformed(err, line, "a single quote is missing");
		size_t value = at + 1, value_len = (size_t)(quote - s.data) - value;
		if (slice_eq_str(slice_of(s.data + name, name_len), key))
			found = arena_strndup(a, s.data + value, value_len);
		for (size_t i = value; i < value + value_len; i++)
			line += s.data[i] == '\n';
		at = skip_blank(s, value + value_len + 1);
		if (at < s.len && s.data[at] != '\n' && s.data[at] != '#')
			return malformed(err, line, "there is text after the value");
		at = end_of_line(s, at) + 1;
	}
	return found;
}
