/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of a proxied request's address: "scheme:name:port", the path behind it, and which
 * addresses may be gone to. Pure. */
#include <stdbool.h>
#include "apiserver/request/request.h"

struct proxy_target {
	const char *scheme; /* "http", "https"; "": none was said */
	const char *name;
	const char *port; /* a number or a name; "": none was said */
};

/* "name", "name:port" or "scheme:name:port", in the arena. False: it is none of them. */
bool proxy_target_parse(const char *id, struct arena *a, struct proxy_target *ret);
/* What follows the subresource of a request's path: "" or "/...", without dots. */
const char *proxy_target_path(const struct request *req);
/* The same, percent-encoded for a URL. */
const char *proxy_target_encode(const char *path, struct arena *a);
/* An address that pods may have: neither loopback, link-local, multicast nor unspecified. */
bool proxy_target_allowed(const char *ip);
