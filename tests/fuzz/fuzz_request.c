/* SPDX-License-Identifier: Apache-2.0 */
/* Request targets: "GET /api/v1/pods?limit=5" through path, query, options and continue token. A
 * second line is what a continue token holds. */
#include <assert.h>
#include "apiserver/endpoints/list_options.h"
#include "apiserver/request/request_info.h"
#include "common/codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const char *line, struct arena *a)
{
	const char *space = strchr(line, ' ');

	if (!space)
		return;
	const char *path = space + 1, *mark = strchr(path, '?');
	struct request r = {.arena = a,
	                    .method = arena_strndup(a, line, (size_t)(space - line)),
	                    .path = mark ? arena_strndup(a, path, (size_t)(mark - path)) : path,
	                    .uri = path};
	struct list_plan plan;

	request_parse_query(&r, slice_str(mark ? mark + 1 : ""));
	request_info_parse(&r);
	assert(r.verb_name && r.prefix && r.group && r.version && r.ns && r.resource);
	assert(r.subresource && r.name);
	assert(!r.is_resource || *r.prefix);
	for (size_t i = 0; i < r.n_parts; i++)
		assert(strlen(r.parts[i]) <= strlen(path));
	if (!request_options_parse(&r) && !list_plan_of(&r, &plan))
		assert(plan.limit >= 0 && (plan.continued || plan.revision >= 0));
	const struct status *bad =
	    request_options_check(&r, "DeleteOptions", &path, 1, r.verb_name);
	assert(!bad || bad->code == 422 || bad->code == 400);
}

/* A token that is taken names a place to go on from, and comes out the same when made again. */
static void check_continue(const char *text, struct arena *a)
{
	_cleanup_buf_ struct buf token = BUF_INIT;
	struct slice start, again;
	int64_t revision, same;

	base64url_encode(slice_str(text), &token);
	buf_byte(&token, 0);
	if (continue_decode(a, (const char *)token.data, &revision, &start))
		return;
	assert(revision && start.len);
	const char *made = continue_encode(a, revision, start);
	const char *why = continue_decode(a, made, &same, &again);
	assert(!why && same == revision && again.len == start.len + 1);
	assert(memcmp(start.data, again.data, start.len) == 0 && !again.data[start.len]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	char *text = arena_strndup(&a, data, size), *second = strchr(text, '\n');

	if (second) {
		*second++ = 0;
		check_continue(second, &a);
	}
	check_request(text, &a);
	return 0;
}
