/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/request/request.h"
#include "common/base/err.h"

const char *request_verb_name(enum request_verb verb)
{
	static const char *const names[VERB_COUNT] = {
	    [VERB_NONE] = "",
	    [VERB_GET] = "get",
	    [VERB_LIST] = "list",
	    [VERB_WATCH] = "watch",
	    [VERB_CREATE] = "create",
	    [VERB_UPDATE] = "update",
	    [VERB_PATCH] = "patch",
	    [VERB_DELETE] = "delete",
	    [VERB_DELETECOLLECTION] = "deletecollection",
	};

	return names[verb];
}

const char *media_type_name(enum media_type t)
{
	switch (t) {
	case MEDIA_JSON:
		return "application/json";
	case MEDIA_YAML:
		return "application/yaml";
	case MEDIA_PROTOBUF:
		return "application/vnd.kubernetes.protobuf";
	case MEDIA_JSON_PATCH:
		return "application/json-patch+json";
	case MEDIA_MERGE_PATCH:
		return "application/merge-patch+json";
	case MEDIA_STRATEGIC_PATCH:
		return "application/strategic-merge-patch+json";
	case MEDIA_APPLY_YAML:
		return "application/apply-patch+yaml";
	case MEDIA_NONE:
	case MEDIA_UNKNOWN:
		break;
	}
	return "";
}

static const char *pair_find(const struct request_pair *pairs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(pairs[i].name, name) == 0)
			return pairs[i].value;
	}
	return NULL;
}

const char *request_header(const struct request *r, const char *name)
{
	return pair_find(r->headers, r->n_headers, name);
}

const char *request_query(const struct request *r, const char *name)
{
	return pair_find(r->query, r->n_query, name);
}

const char *request_group_resource(const struct request *r)
{
	return r->group[0] ? arena_printf(r->arena, "%s.%s", r->resource, r->group) : r->resource;
}

void response_warning(struct response_sink *s, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_str(&b, "299 - \"");
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_byte(&b, '\\');
		if ((unsigned char)*p >= ' ' && *p != 0x7f)
			buf_byte(&b, (uint8_t)*p);
	}
	buf_byte(&b, '"');
	response_header(s, "Warning", (const char *)b.data);
}

void response_reply(struct response_sink *s, int http_status, const char *content_type,
                    struct slice body)
{
	response_status(s, http_status, content_type, (int64_t)body.len);
	ERR_IGNORE(response_chunk(s, body)); /* the last one: nothing waits for the queue */
	response_end(s);
}
