/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/list_options.h"

#include "common/codec/base64.h"
#include "common/codec/json_writer.h"
#include "common/codec/jvalue.h"

bool resource_version_parse(const char *s, struct arena *a, int64_t *ret, const char **ret_text)
{
	const char *why = s[0] ? NULL : "invalid syntax";
	uint64_t v = 0;

	for (const char *p = s; *p && !why; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (digit > 9)
			why = "invalid syntax";
		else if (v > ((uint64_t)INT64_MAX - digit) / 10)
			why = "value out of range";
		else
			v = v * 10 + digit;
	}
	if (why) {
		*ret_text = arena_printf(a, "strconv.ParseUint: parsing \"%s\": %s", s, why);
		return false;
	}
	*ret = (int64_t)v;
	return true;
}

char *continue_encode_from(struct arena *a, int64_t revision, struct slice start)
{
	_cleanup_buf_ struct buf json = BUF_INIT, out = BUF_INIT;

	buf_printf(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":%lld,\"start\":", (long long)revision);
	json_write_string(&json, start);
	buf_byte(&json, '}');
	base64url_encode(buf_view(&json), &out);
	return arena_strndup(a, out.data, out.len);
}

char *continue_encode(struct arena *a, int64_t revision, struct slice last_key)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	buf_slice(&key, last_key);
	buf_byte(&key, 0);
	return continue_encode_from(a, revision, buf_view(&key));
}

static const char *not_valid(struct arena *a, const char *why)
{
	return arena_printf(a, "invalid continue token: continue key is not valid: %s", why);
}

/* A key must stay below the prefix of the list. */
static bool climbs(struct slice start)
{
	size_t at = 0;

	while (at < start.len) {
		const uint8_t *slash = memchr(start.data + at, '/', start.len - at);
		size_t end = slash ? (size_t)(slash - start.data) : start.len;

		if (end - at == 2 && memcmp(start.data + at, "..", 2) == 0)
			return true;
		at = end + 1;
	}
	return false;
}

const char *continue_decode(struct arena *a, const char *token, int64_t *ret_revision,
                            struct slice *ret_start)
{
	struct err err = ERR_INIT;
	struct slice json;
	struct jvalue *v;

	if (base64url_decode(slice_str(token), a, &json, &err) < 0 ||
	    jvalue_parse(json, a, NULL, &v, &err) < 0)
		return not_valid(a, err.text);
	if (strcmp(jvalue_get_str(v, "v", ""), "meta.k8s.io/v1") != 0)
		return not_valid(a, arena_printf(a,
		                                 "server does not recognize this encoded "
		                                 "version \"%s\"",
		                                 jvalue_get_str(v, "v", "")));
	*ret_revision = jvalue_get_int(v, "rv", 0);
	*ret_start = jvalue_slice(jvalue_get(v, "start") ? jvalue_get(v, "start") : v);
	if (*ret_revision == 0)
		return not_valid(a, "incorrect encoded start resourceVersion (version "
		                    "meta.k8s.io/v1)");
	if (!ret_start->len)
		return not_valid(a, "encoded start key empty (version meta.k8s.io/v1)");
	if (climbs(*ret_start))
		return not_valid(a, arena_printf(a, "%.*s", SLICE_FMT(*ret_start)));
	return NULL;
}

static const struct status *plan_continue(const struct request *req, struct list_plan *ret)
{
	const struct request_options *o = &req->options;
	const char *why;

	if (o->resource_version[0] && strcmp(o->resource_version, "0") != 0)
		return status_bad_request(
		    req->arena, "specifying resource version is not allowed when using continue");
	why = continue_decode(req->arena, o->continue_token, &ret->revision, &ret->start);
	if (why)
		return status_bad_request(req->arena, "%s", why);
	ret->continued = true;
	ret->mode = ret->revision < 0 ? LIST_FRESH : LIST_EXACT;
	return NULL;
}

const struct status *list_plan_of(const struct request *req, struct list_plan *ret)
{
	const struct request_options *o = &req->options;
	const char *why;

	*ret = (struct list_plan){.mode = LIST_FRESH, .limit = MAX(o->limit, 0)};
	if (o->continue_token[0])
		return plan_continue(req, ret);
	if (!o->resource_version[0])
		return NULL;
	if (!resource_version_parse(o->resource_version, req->arena, &ret->revision, &why))
		return status_bad_request(req->arena, "invalid resource version: %s", why);
	if (ret->revision == 0) {
		ret->mode = LIST_ANY;
		ret->limit = 0;
	} else if (strcmp(o->resource_version_match, "Exact") == 0 ||
	           (!o->resource_version_match[0] && ret->limit > 0)) {
		ret->mode = LIST_EXACT;
	} else {
		ret->mode = LIST_NOT_OLDER;
	}
	return NULL;
}
