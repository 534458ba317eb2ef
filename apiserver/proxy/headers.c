/* SPDX-License-Identifier: Apache-2.0 */
#include <strings.h>

#include "apiserver/http/front.h"
#include "apiserver/proxy/proxy_impl.h"
#include "common/net/websocket.h"

static const char bearer_protocol[] = "base64url.bearer.authorization.k8s.io.";

struct slice proxy_header(const struct request *req, const char *name)
{
	const char *v = request_header(req, name);

	return v ? slice_str(v) : SLICE_EMPTY;
}

struct slice proxy_host(const struct request *req)
{
	const struct http_exchange *x = http_front_exchange(req);

	return x ? x->host : SLICE_EMPTY;
}

bool proxy_is_hop(struct slice name)
{
	static const char *const names[] = {"connection",
	                                    "keep-alive",
	                                    "proxy-connection",
	                                    "proxy-authenticate",
	                                    "proxy-authorization",
	                                    "te",
	                                    "trailer",
	                                    "transfer-encoding",
	                                    "upgrade"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i]))
			return true;
	return false;
}

/* What says who the client is was for us: the backend is asked in our name. */
static bool is_ours(struct slice name)
{
	static const char *const names[] = {"authorization", "content-length", "expect", "host",
	                                    "audit-id"};
	static const char *const prefixes[] = {"impersonate-", "x-remote-"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_str(name, names[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (slice_has_prefix(name, slice_str(prefixes[i])))
			return true;
	return false;
}

/* A browser's token among the protocols stays here, too. */
static struct slice without_token(const char *protocols, struct arena *a)
{
	struct slice rest = slice_str(protocols), token;
	const char *text = "";

	while (ws_next_token(&rest, &token))
		if (!slice_has_prefix(token, slice_str(bearer_protocol)))
			text =
			    arena_printf(a, "%s%s%.*s", text, *text ? "," : "", SLICE_FMT(token));
	return slice_str(text);
}

struct http_header *proxy_headers(const struct proxy_call *c, size_t extra, size_t *ret_n)
{
	const struct request *req = c->req;
	struct http_header *h = arena_array(c->a, struct http_header, req->n_headers + extra);
	struct slice connection = proxy_header(req, "connection");
	size_t n = 0;

	for (size_t i = 0; i < req->n_headers; i++) {
		struct slice name = slice_str(req->headers[i].name);
		if (proxy_is_hop(name) || is_ours(name) ||
		    ws_has_token(connection, req->headers[i].name))
			continue;
		struct slice value = slice_str(req->headers[i].value);
		if (slice_eq_str(name, "sec-websocket-protocol"))
			value = without_token(req->headers[i].value, c->a);
		h[n++] = (struct http_header){name, value};
	}
	*ret_n = n;
	return h;
}

bool proxy_wants_upgrade(const struct request *req)
{
	const struct http_exchange *x = http_front_exchange(req);

	return x && x->upgrade && !x->peer->http2 && !x->closed && request_header(req, "upgrade") &&
	       ws_has_token(proxy_header(req, "connection"), "upgrade");
}

bool proxy_is_websocket(const struct request *req)
{
	return proxy_wants_upgrade(req) && ws_has_token(proxy_header(req, "upgrade"), "websocket");
}
