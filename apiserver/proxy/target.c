/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { SUBRESOURCE_PARTS = 3 }; /* pods, NAME, proxy */

bool proxy_target_parse(const char *id, struct arena *a, struct proxy_target *ret)
{
	char *parts[3] = {0}, *rest = arena_strdup(a, id);
	size_t n = 0;

	for (char *at = rest; at; n++) {
		char *colon = strchr(at, ':');
		if (n == ARRAY_LEN(parts))
			return false;
		if (colon)
			*colon++ = 0;
		parts[n] = at;
		at = colon;
	}
	*ret = (struct proxy_target){
	    .scheme = n == 3 ? parts[0] : "",
	    .name = parts[n == 3],
	    .port = n == 1 ? "" : parts[n - 1],
	};
	return *ret->name &&
	       (!*ret->scheme || !strcmp(ret->scheme, "http") || !strcmp(ret->scheme, "https"));
}

/* --- paths ----------------------------------------------------------------------------------- */

/* Appends a part of a path; ".." takes the last one off. */
static size_t add_part(char *out, size_t n, const char *part, size_t len)
{
	if (!len || (len == 1 && part[0] == '.'))
		return n;
	if (len == 2 && part[0] == '.' && part[1] == '.') {
		while (n && out[--n] != '/')
			;
		return n;
	}
	out[n++] = '/';
	memcpy(out + n, part, len);
	return n + len;
}

const char *proxy_target_path(const struct request *req)
{
	size_t len = strlen(req->path), n = 0;
	char *out = arena_alloc(req->arena, len + 3);
	bool any = false;

	for (size_t i = SUBRESOURCE_PARTS; i < req->n_parts; i++) {
		n = add_part(out, n, req->parts[i], strlen(req->parts[i]));
		any = true;
	}
	bool slash = len && req->path[len - 1] == '/';
	if (slash || (any && !n))
		out[n++] = '/';
	out[n] = 0;
	return out;
}

const char *proxy_target_encode(const char *path, struct arena *a)
{
	static const char plain[] = "-_.~$&+,/:;=@";
	static const char digits[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * strlen(path) + 1);
	size_t n = 0;

	for (; *path; path++) {
		uint8_t c = (uint8_t)*path;
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
		if ((alnum && c < 0x80) || strchr(plain, c)) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	out[n] = 0;
	return out;
}

/* --- addresses ------------------------------------------------------------------------------- */

bool proxy_target_allowed(const char *ip)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET6, ip, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6))
		return !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6) &&
		       !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6);
	if (inet_pton(AF_INET6, ip, &v6) == 1)
		memcpy(&v4, &v6.s6_addr[12], 4);
	else if (inet_pton(AF_INET, ip, &v4) != 1)
		return false;
	uint32_t a = ntohl(v4.s_addr);
	return a && a != UINT32_MAX && a >> 24 != 127 && a >> 28 != 14 && a >> 16 != 0xa9fe;
}
