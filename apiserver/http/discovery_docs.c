/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/http/discovery_docs.h"
#include "apiserver/http/negotiate.h"
#include "apiserver/http/routes_internal.h"
#include "apiserver/request/status.h"
#include "common/codec/json_writer.h"
#include "proto/codec.h"
#include <openssl/evp.h>

static const char aggregated_suffix[] = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/* --- negotiation ----------------------------------------------------------------------------- */

struct choice {
	enum media_type format;
	bool aggregated;
};

static bool take(const struct accept_clause *c, bool may_aggregate, struct choice *ret)
{
	static const enum media_type formats[] = {MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF};
	bool transformed = *c->as || *c->group || *c->version;

	if (*c->stream)
		return false;
	if (transformed &&
	    (!may_aggregate || strcmp(c->as, "APIGroupDiscoveryList") != 0 ||
	     strcmp(c->group, "apidiscovery.k8s.io") != 0 || strcmp(c->version, "v2") != 0))
		return false;
	/* Clients that ask for a profile want what one server says of itself: the same here. */
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const char *subtype = media_type_name(formats[i]) + strlen("application/");
		if (transformed && formats[i] == MEDIA_YAML)
			continue;
		if (accept_clause_takes(c, "application", subtype)) {
			*ret = (struct choice){formats[i], transformed};
			return true;
		}
	}
	return false;
}

static bool choose(struct request *req, bool may_aggregate, struct choice *ret)
{
	const char *header = request_header(req, "accept");
	struct accept_clause clauses[ACCEPT_CLAUSES_MAX];

	*ret = (struct choice){MEDIA_JSON, false};
	if (!header || !*header)
		return true;
	size_t n = accept_parse(req->arena, header, clauses);
	for (size_t i = 0; i < n; i++) {
		if (take(&clauses[i], may_aggregate, ret))
			return true;
	}
	return false;
}

/* --- encoding -------------------------------------------------------------------------------- */

static enum object_format object_format(enum media_type t)
{
	return t == MEDIA_YAML ? OBJECT_YAML : t == MEDIA_PROTOBUF ? OBJECT_PROTOBUF : OBJECT_JSON;
}

static void send_message(struct request *req, struct response_sink *sink, enum media_type format,
                         const ProtobufCMessage *msg, const char *api_version, const char *kind)
{
	_cleanup_buf_ struct buf body = BUF_INIT, flat = BUF_INIT;
	const struct type_meta meta = {api_version, kind};
	const struct schema_message *schema = schema_of(msg->descriptor);

	if (format == MEDIA_JSON && req->accept.pretty) {
		object_encode(OBJECT_JSON, schema, msg, &meta, &flat);
		json_write_indented(&body, buf_view(&flat), "  ");
	} else {
		object_encode(object_format(format), schema, msg, &meta, &body);
		if (format == MEDIA_JSON)
			buf_byte(&body, '\n');
	}
	response_reply(sink, 200, media_type_name(format), buf_view(&body));
}

static void make_etag(struct slice body, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	EVP_Digest(body.data, body.len, hash, &n, EVP_sha512(), NULL);
	*out++ = '"';
	for (unsigned int i = 0; i < n; i++) {
		*out++ = digits[hash[i] >> 4];
		*out++ = digits[hash[i] & 15];
	}
	*out++ = '"';
	*out = 0;
}

/* The document, made when there is none; the caller owns a reference to its body. */
static struct discovery_doc get_doc(struct http_routes *r, bool core, enum media_type format)
{
	static const struct type_meta meta = {"apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"};
	struct discovery_doc *doc = &r->docs[core][object_format(format)];

	pthread_mutex_lock(&r->lock);
	if (!doc->body) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		_cleanup_arena_ struct arena a;
		struct discovery_extra extra = {0};

		arena_init(&a);
		if (r->groups)
			r->groups(r->resources_arg, &a, &extra);
		const ProtobufCMessage *msg = &discovery_aggregated(&a, core, &extra)->base;
		object_encode(object_format(format), schema_of(msg->descriptor), msg, &meta, &b);
		doc->body = blob_dup(buf_view(&b));
		make_etag(buf_view(&b), doc->etag);
	}
	struct discovery_doc copy = *doc;
	blob_ref(copy.body);
	pthread_mutex_unlock(&r->lock);
	return copy;
}

void discovery_docs_drop(struct http_routes *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < ARRAY_LEN(r->docs); i++) {
		for (size_t f = 0; f < ARRAY_LEN(r->docs[i]); f++)
			r->docs[i][f].body = blob_unref(r->docs[i][f].body);
	}
	pthread_mutex_unlock(&r->lock);
}

static void send_aggregated(struct http_routes *r, struct request *req, struct response_sink *sink,
                            bool core, enum media_type format)
{
	struct discovery_doc doc = get_doc(r, core, format);
	const char *type =
	    arena_printf(req->arena, "%s%s", media_type_name(format), aggregated_suffix);
	const char *known = request_header(req, "if-none-match");

	response_header(sink, "ETag", doc.etag);
	response_header(sink, "Vary", "Accept");
	if (known && strcmp(known, doc.etag) == 0) {
		response_status(sink, 304, NULL, 0);
	} else {
		response_status(sink, 200, type, (int64_t)doc.body->len);
		ERR_IGNORE(response_chunk_blob(sink, doc.body)); /* the only one */
	}
	response_end(sink);
	blob_unref(doc.body);
}

/* --- paths ----------------------------------------------------------------------------------- */

static void send_groups(struct http_routes *r, struct request *req, struct response_sink *sink,
                        enum media_type format)
{
	struct discovery_extra extra = {0};

	if (r->groups)
		r->groups(r->resources_arg, req->arena, &extra);
	send_message(req, sink, format, &discovery_groups(req->arena, &extra)->base, "v1",
	             "APIGroupList");
}

/* Splits "apps/v1"; false when there are more parts. */
static bool split_group_version(struct arena *a, const char *path, const char **ret_group,
                                const char **ret_version)
{
	char *group = arena_strdup(a, path);
	size_t n = strlen(group);

	if (n && group[n - 1] == '/')
		group[n - 1] = 0;
	char *slash = strchr(group, '/');
	*ret_group = group;
	*ret_version = NULL;
	if (slash) {
		*slash = 0;
		*ret_version = slash + 1;
		return !strchr(slash + 1, '/');
	}
	return true;
}

static bool send_below_apis(struct request *req, struct response_sink *sink, enum media_type format,
                            const char *rest)
{
	const char *group, *version;

	if (!split_group_version(req->arena, rest, &group, &version) || !*group)
		return false;
	if (version) {
		MetaV1__APIResourceList *list = discovery_resources(req->arena, group, version);
		if (!list)
			return false;
		send_message(req, sink, format, &list->base, "v1", "APIResourceList");
		return true;
	}
	MetaV1__APIGroup *g = discovery_group(req->arena, group);
	if (!g)
		return false;
	send_message(req, sink, format, &g->base, "v1", "APIGroup");
	return true;
}

static bool is_path(const char *path, const char *name)
{
	size_t n = strlen(name);

	return strncmp(path, name, n) == 0 &&
	       (path[n] == 0 || (path[n] == '/' && path[n + 1] == 0));
}

bool discovery_serve(struct http_routes *r, struct request *req, struct response_sink *sink)
{
	bool api = is_path(req->path, "/api"), apis = is_path(req->path, "/apis");
	struct choice choice;

	if (!choose(req, api || apis, &choice)) {
		status_send(status_not_acceptable(req->arena,
		                                  "application/json, application/yaml, "
		                                  "application/vnd.kubernetes.protobuf"),
		            req, sink);
		return true;
	}
	if (choice.aggregated) {
		send_aggregated(r, req, sink, api, choice.format);
	} else if (api) {
		send_message(req, sink, choice.format,
		             &discovery_versions(req->arena, r->options.server_address)->base, "",
		             "APIVersions");
	} else if (apis) {
		send_groups(r, req, sink, choice.format);
	} else if (is_path(req->path, "/api/v1")) {
		send_message(req, sink, choice.format,
		             &discovery_resources(req->arena, "", "v1")->base, "",
		             "APIResourceList");
	} else if (strncmp(req->path, "/apis/", 6) == 0) {
		return send_below_apis(req, sink, choice.format, req->path + 6);
	} else {
		return false;
	}
	return true;
}
