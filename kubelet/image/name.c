/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/image/name.h"

#include <ctype.h>
#include <string.h>

enum { NAME_BYTES_MAX = 255, TAG_BYTES_MAX = 128 };

static bool is_plain(char c)
{
	return islower((unsigned char)c) || isdigit((unsigned char)c);
}

/* A part of the path: lower-case letters and digits, with "." "_" "__" or dashes between them. */
static bool part_is_valid(const char *s, const char *end)
{
	if (s == end || !is_plain(*s) || !is_plain(end[-1]))
		return false;
	for (const char *c = s; c < end;) {
		if (is_plain(*c)) {
			c++;
			continue;
		}
		size_t n = strspn(c, *c == '-' ? "-" : *c == '_' ? "_" : ".");
		if (!n || (*c == '.' && n > 1) || (*c == '_' && n > 2) || !is_plain(c[n]))
			return false;
		c += n;
	}
	return true;
}

/* The first part is a host when it has a dot, a port, an upper-case letter, or is localhost. */
static size_t host_len(const char *name)
{
	const char *slash = strchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;
	bool upper = false;
	for (size_t i = 0; i < n; i++)
		upper |= isupper((unsigned char)name[i]) != 0;
	return n && (upper || memchr(name, '.', n) || memchr(name, ':', n) ||
	             !strncmp(name, "localhost/", 10))
	           ? n
	           : 0;
}

static bool host_is_valid(const char *s, size_t n)
{
	const char *colon = memrchr(s, ':', n);
	size_t len = colon ? (size_t)(colon - s) : n;
	for (size_t i = len + 1; colon && i < n; i++)
		if (!isdigit((unsigned char)s[i]))
			return false;
	if (s[0] == '[')
		return len > 2 && s[len - 1] == ']';
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '.' && s[i] != '-')
			return false;
	return len && isalnum((unsigned char)s[0]) && isalnum((unsigned char)s[len - 1]) &&
	       (!colon || len + 1 < n);
}

static bool digest_is_valid(const char *d)
{
	const char *hex = strchr(d, ':');
	size_t n = hex ? strlen(hex + 1) : 0;
	return n >= 32 && strspn(hex + 1, "0123456789abcdefABCDEF") == n;
}

static bool tag_is_valid(const char *s, const char *end)
{
	if (s == end || end - s > TAG_BYTES_MAX || *s == '.' || *s == '-')
		return false;
	for (; s < end; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	return true;
}

struct name {
	const char *path, *path_end, *tag, *tag_end, *digest; /* tag, digest: NULL without */
	size_t host;
};

static struct name split(const char *text)
{
	struct name n = {.host = host_len(text)};
	n.path = text + n.host + (n.host > 0);
	const char *at = strchr(n.path, '@'), *end = at ? at : n.path + strlen(n.path);
	const char *colon = memrchr(n.path, ':', (size_t)(end - n.path));
	n.digest = at ? at + 1 : NULL;
	n.path_end = colon ? colon : end;
	n.tag = colon ? colon + 1 : NULL;
	n.tag_end = end;
	return n;
}

static int invalid(struct err *err, const char *name, const char *why)
{
	return err_set(err, ERR_INVALID,
	               "Failed to apply default image tag \"%s\": couldn't parse image name "
	               "\"%s\": invalid reference format%s",
	               name, name, why);
}

static int check(const char *text, const struct name *n, struct arena *a, struct err *err)
{
	size_t len = (size_t)(n->path_end - n->path);
	const char *path = arena_strndup(a, n->path, len);
	for (const char *c = path; *c; c++)
		if (isupper((unsigned char)*c))
			return invalid(err, text,
			               arena_printf(a, ": repository name (%s%s) must be lowercase",
			                            n->host || strchr(path, '/') ? "" : "library/",
			                            path));
	bool good = !n->host || host_is_valid(text, n->host);
	for (const char *s = path; good;) {
		const char *end = s + strcspn(s, "/");
		good = part_is_valid(s, end);
		if (!*end)
			break;
		s = end + 1;
	}
	good = good && len <= NAME_BYTES_MAX && (!n->tag || tag_is_valid(n->tag, n->tag_end)) &&
	       (!n->digest || digest_is_valid(n->digest));
	return good ? 0 : invalid(err, text, "");
}

const char *image_name_complete(const char *text, struct arena *a, struct err *err)
{
	struct name n = split(text);
	if (check(text, &n, a, err))
		return NULL;
	return n.tag || n.digest ? text : arena_printf(a, "%s:latest", text);
}

const char *image_repository(const char *text, struct arena *a)
{
	struct name n = split(text);
	const char *path = arena_strndup(a, n.path, (size_t)(n.path_end - n.path));
	const char *host = n.host ? arena_strndup(a, text, n.host) : "docker.io";
	if (!strcmp(host, "index.docker.io"))
		host = "docker.io";
	bool official = !strcmp(host, "docker.io") && !strchr(path, '/');
	return arena_printf(a, "%s/%s%s", host, official ? "library/" : "", path);
}

bool image_name_is_latest(const char *text)
{
	struct name n = split(text);
	if (n.digest)
		return false;
	return !n.tag || ((size_t)(n.tag_end - n.tag) == 6 && !memcmp(n.tag, "latest", 6));
}
