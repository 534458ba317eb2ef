/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/names.h"

#include <string.h>

/* The patterns are matched by hand; their texts appear in messages. */
#define LABEL_FMT "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_FMT LABEL_FMT "(\\." LABEL_FMT ")*"
#define LABEL_UNDERSCORE_FMT "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define QUALIFIED_FMT "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define QUALIFIED_MSG                                                                             \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "  \
	"an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " \
	"validation is '" QUALIFIED_FMT "')"
#define LABEL_VALUE_MSG                                                                          \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' " \
	"or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "    \
	"'my_value',  or '12345', regex used for validation is '(" QUALIFIED_FMT ")?')"
#define LABEL_MSG                                                                                \
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', " \
	"and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', " \
	"regex used for validation is '" LABEL_FMT "')"
#define SUBDOMAIN_MSG                                                                             \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' " \
	"or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "     \
	"regex used for validation is '" SUBDOMAIN_FMT "')"

static bool lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool alnum(char c)
{
	return lower(c) || (c >= 'A' && c <= 'Z');
}

static bool in(char c, const char *set)
{
	return c && strchr(set, c);
}

static const char *too_long(struct arena *a, int max)
{
	return arena_printf(a, "must be no more than %d characters", max);
}

/* What upstream says of label keys and values. */
static const char *too_many_bytes(struct arena *a, int max)
{
	return arena_printf(a, "must be no more than %d bytes", max);
}

/* One label of n bytes; with `underscore` it may start with one and have more inside. */
static bool label_ok(const char *s, size_t n, bool underscore)
{
	if (underscore && n && s[0] == '_') {
		s++;
		n--;
	}
	if (n == 0 || !lower(s[0]) || !lower(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!lower(s[i]) && s[i] != '-' && !(underscore && s[i] == '_'))
			return false;
	return true;
}

static bool subdomain_ok(const char *s, bool underscore)
{
	for (;;) {
		size_t n = strcspn(s, ".");

		if (!label_ok(s, n, underscore))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

static bool qualified_ok(const char *s, size_t n)
{
	if (n == 0 || !alnum(s[0]) || !alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!alnum(s[i]) && !in(s[i], "-_."))
			return false;
	return true;
}

size_t names_dns1123_label(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strlen(s) > 63)
		ret[n++] = too_long(a, 63);
	if (!label_ok(s, strlen(s), false))
		ret[n++] = subdomain_ok(s, false) ? "must not contain dots" : LABEL_MSG;
	return n;
}

size_t names_dns1123_subdomain(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strlen(s) > 253)
		ret[n++] = too_long(a, 253);
	if (!subdomain_ok(s, false))
		ret[n++] = SUBDOMAIN_MSG;
	return n;
}

size_t names_dns1123_subdomain_underscore(const char *s, struct arena *a,
                                          const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strlen(s) > 253)
		ret[n++] = too_long(a, 253);
	if (!subdomain_ok(s, true))
		ret[n++] = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
		           "characters, '_', '-' or '.', and must start and end with an "
		           "alphanumeric character (e.g. 'example.com', regex used for validation "
		           "is '" LABEL_UNDERSCORE_FMT "(\\." LABEL_UNDERSCORE_FMT ")*')";
	return n;
}

size_t names_dns1035_label(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strlen(s) > 63)
		ret[n++] = too_long(a, 63);
	if (!label_ok(s, strlen(s), false) || (s[0] >= '0' && s[0] <= '9'))
		ret[n++] = "a DNS-1035 label must consist of lower case alphanumeric characters or "
		           "'-', start with an alphabetic character, and end with an alphanumeric "
		           "character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
		           "'[a-z]([-a-z0-9]*[a-z0-9])?')";
	return n;
}

size_t names_wildcard_dns1123_subdomain(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strlen(s) > 253)
		ret[n++] = too_long(a, 253);
	if (strncmp(s, "*.", 2) != 0 || !subdomain_ok(s + 2, false))
		ret[n++] =
		    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
		    "subdomain, which must consist of lower case alphanumeric characters, '-' or "
		    "'.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
		    "for validation is '\\*\\." SUBDOMAIN_FMT "')";
	return n;
}

static size_t prefixed(const char *prefix, size_t n, struct arena *a, const char *ret[NAMES_MAX])
{
	for (size_t i = 0; i < n; i++)
		ret[i] = arena_printf(a, "%s%s", prefix, ret[i]);
	return n;
}

size_t names_qualified(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;
	size_t n = 0;

	if (strchr(name, '/')) {
		ret[0] = "a qualified name " QUALIFIED_MSG
		         " with an optional DNS subdomain prefix and '/' (e.g. "
		         "'example.com/MyName')";
		return 1;
	}
	if (slash == s)
		ret[n++] = "prefix part must be non-empty";
	else if (slash)
		n = prefixed(
		    "prefix part ",
		    names_dns1123_subdomain(arena_strndup(a, s, (size_t)(slash - s)), a, ret), a,
		    ret);
	size_t len = strlen(name);
	if (len == 0)
		ret[n++] = "name part must be non-empty";
	else if (len > 63)
		ret[n++] = arena_printf(a, "name part %s", too_many_bytes(a, 63));
	if (!qualified_ok(name, len))
		ret[n++] = "name part " QUALIFIED_MSG;
	return n;
}

size_t names_label_value(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0, len = strlen(s);

	if (len > 63)
		ret[n++] = too_many_bytes(a, 63);
	if (len && !qualified_ok(s, len))
		ret[n++] = LABEL_VALUE_MSG;
	return n;
}

size_t names_c_identifier(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	bool ok = *s && !(s[0] >= '0' && s[0] <= '9');

	for (const char *p = s; *p; p++)
		ok &= alnum(*p) || *p == '_';
	if (ok)
		return 0;
	ret[0] = "a valid C identifier must start with alphabetic character or '_', followed by a "
	         "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
	         "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
	return 1;
}

/* Names that a file system would take for a parent. */
static size_t no_dots(const char *s, size_t n, const char *ret[NAMES_MAX])
{
	if (strcmp(s, ".") == 0)
		ret[n++] = "must not be '.'";
	else if (strcmp(s, "..") == 0)
		ret[n++] = "must not be '..'";
	else if (strncmp(s, "..", 2) == 0)
		ret[n++] = "must not start with '..'";
	return n;
}

size_t names_env_var(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	bool ok = *s && !(s[0] >= '0' && s[0] <= '9');
	size_t n = 0;

	for (const char *p = s; *p; p++)
		ok &= alnum(*p) || in(*p, "-._");
	if (!ok)
		ret[n++] = "a valid environment variable name must consist of alphabetic "
		           "characters, digits, '_', '-', or '.', and must not start with a digit "
		           "(e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used "
		           "for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')";
	return no_dots(s, n, ret);
}

size_t names_relaxed_env_var(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	if (!*s) {
		ret[0] = "environment variable name must be non-empty";
		return 1;
	}
	for (const char *p = s; *p; p++) {
		if (*p < 0x20 || *p > 0x7e || *p == '=') {
			ret[0] = "a valid environment variable name must consist only of printable "
			         "ASCII characters other than '='";
			return 1;
		}
	}
	return 0;
}

size_t names_config_map_key(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	bool ok = *s;
	size_t n = 0;

	if (strlen(s) > 253)
		ret[n++] = too_long(a, 253);
	for (const char *p = s; *p; p++)
		ok &= alnum(*p) || in(*p, "-._");
	if (!ok)
		ret[n++] =
		    "a valid config key must consist of alphanumeric characters, '-', '_' or "
		    "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
		    "validation is '[-._a-zA-Z0-9]+')";
	return no_dots(s, n, ret);
}

size_t names_http_header(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	bool ok = *s;

	for (const char *p = s; *p; p++)
		ok &= alnum(*p) || *p == '-';
	if (ok)
		return 0;
	ret[0] = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. "
	         "'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
	return 1;
}

size_t names_port_name(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	bool ok = *s, letter = false;
	size_t n = 0, len = strlen(s);

	if (len > 15)
		ret[n++] = too_long(a, 15);
	for (const char *p = s; *p; p++) {
		ok &= lower(*p) || *p == '-';
		letter |= *p >= 'a' && *p <= 'z';
	}
	if (!ok)
		ret[n++] = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
	if (!letter)
		ret[n++] = "must contain at least one letter (a-z)";
	if (strstr(s, "--"))
		ret[n++] = "must not contain consecutive hyphens";
	if (len && (s[0] == '-' || s[len - 1] == '-'))
		ret[n++] = "must not begin or end with a hyphen";
	return n;
}

size_t names_port_number(int64_t port, struct arena *a, const char *ret[NAMES_MAX])
{
	if (port >= 1 && port <= 65535)
		return 0;
	ret[0] = "must be between 1 and 65535, inclusive";
	return 1;
}

size_t names_percent(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t digits = strspn(s, "0123456789");

	if (digits && strcmp(s + digits, "%") == 0)
		return 0;
	ret[0] = "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
	         "'1%',  or '93%', regex used for validation is '[0-9]+%')";
	return 1;
}

size_t names_path_segment(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t n = 0;

	if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0) {
		ret[0] = arena_printf(a, "may not be '%s'", s);
		return 1;
	}
	if (strchr(s, '/'))
		ret[n++] = "may not contain '/'";
	if (strchr(s, '%'))
		ret[n++] = "may not contain '%'";
	return n;
}

size_t names_domain_prefixed_path(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	const char *slash = strchr(s, '/');

	if (!slash || slash == s || !slash[1]) {
		ret[0] = "must be a domain-prefixed path (such as \"acme.io/foo\")";
		return 1;
	}
	size_t n = names_dns1123_subdomain(arena_strndup(a, s, (size_t)(slash - s)), a, ret);
	for (const char *p = slash + 1; *p; p++) {
		if (!alnum(*p) && !in(*p, "/-._~%!$&'()*+,;=:")) {
			ret[n++] = "Invalid path (regex used for validation is "
			           "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
			break;
		}
	}
	return n;
}

bool names_is_dns1123_label(const char *s)
{
	size_t n = strlen(s);

	return n <= 63 && label_ok(s, n, false);
}

bool names_is_dns1123_subdomain(const char *s)
{
	return strlen(s) <= 253 && subdomain_ok(s, false);
}

bool names_is_qualified(const char *s)
{
	const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;
	size_t n = strlen(name);

	if (n > 63 || !qualified_ok(name, n))
		return false;
	if (!slash)
		return true;
	size_t len = (size_t)(slash - s);
	char prefix[254];
	if (len >= sizeof(prefix))
		return false;
	memcpy(prefix, s, len);
	prefix[len] = 0;
	return subdomain_ok(prefix, false);
}

bool names_is_label_value(const char *s)
{
	size_t n = strlen(s);

	return n == 0 || (n <= 63 && qualified_ok(s, n));
}

/* A trailing '-' will be followed by more: what stands there does not matter. */
static const char *without_dash(const char *s, struct arena *a)
{
	size_t n = strlen(s);

	if (n < 2 || s[n - 1] != '-')
		return s;
	char *copy = arena_strndup(a, s, n - 1);
	copy[n - 2] = 'a';
	return copy;
}

size_t names_dns1123_label_prefix(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	return names_dns1123_label(without_dash(s, a), a, ret);
}

size_t names_dns1123_subdomain_prefix(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	return names_dns1123_subdomain(without_dash(s, a), a, ret);
}
