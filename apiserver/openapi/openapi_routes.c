/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/openapi/openapi_routes.h"

#include <stdio.h>
#include <string.h>

#include "apiserver/openapi/openapi.h"

static const char v2_protobuf[] = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
static const char v2_protobuf_dots[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

static bool takes_gzip(const struct request *req)
{
	const char *accept = request_header(req, "accept-encoding");
	return accept && strstr(accept, "gzip");
}

static void send_document(const struct openapi_document *d, const char *type, struct request *req,
                          struct response_sink *sink)
{
	char etag[160];
	snprintf(etag, sizeof(etag), "\"%s\"", d->hash);
	response_header(sink, "Etag", etag);
	response_header(sink, "Vary", "Accept");
	response_header(sink, "Vary", "Accept-Encoding");
	const char *known = request_header(req, "if-none-match");
	const char *hash = request_query(req, "hash");
	if (hash && !strcmp(hash, d->hash)) {
		/* The URL names the content: it never changes. */
		response_header(sink, "Cache-Control", "public, immutable");
		response_header(sink, "Expires", "Fri, 31 Dec 2038 23:59:59 GMT");
	}
	if (known && strstr(known, d->hash)) {
		response_status(sink, 304, NULL, 0);
	} else if (takes_gzip(req)) {
		response_header(sink, "Content-Encoding", "gzip");
		response_status(sink, 200, type, (int64_t)d->packed_bytes);
		response_chunk(sink, openapi_packed(d));
	} else {
		_cleanup_buf_ struct buf b = BUF_INIT;
		openapi_text(d, &b);
		response_status(sink, 200, type, (int64_t)b.len);
		response_chunk(sink, buf_view(&b));
	}
	response_end(sink);
}

static bool serve_v2(struct request *req, struct response_sink *sink)
{
	const char *accept = request_header(req, "accept");
	bool protobuf = accept && (strstr(accept, v2_protobuf) || strstr(accept, v2_protobuf_dots));
	const struct openapi_document *d =
	    openapi_find(protobuf ? SLICE_LIT("v2.pb") : SLICE_LIT("v2"));
	send_document(d, protobuf ? v2_protobuf_dots : "application/json", req, sink);
	return true;
}

bool openapi_serve(void *unused, struct request *req, struct response_sink *sink)
{
	static const char v3[] = "/openapi/v3";
	(void)unused;
	if (!strcmp(req->path, "/openapi/v2"))
		return serve_v2(req, sink);
	if (strncmp(req->path, v3, sizeof(v3) - 1))
		return false;
	const char *name = req->path + sizeof(v3) - 1;
	name += *name == '/';
	if (!*name) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		openapi_index(&b);
		response_reply(sink, 200, "text/plain; charset=utf-8", buf_view(&b));
		return true;
	}
	const struct openapi_document *d = openapi_find(slice_str(name));
	if (!d || !strncmp(name, "v2", 2))
		return false;
	send_document(d, "application/json", req, sink);
	return true;
}
