/* SPDX-License-Identifier: Apache-2.0 */
/* FieldsV1 texts: what is read is written the same ever after, and sets keep their algebra. With a
 * second line, the two documents are applied one after the other. */
#include <assert.h>
#include "apiserver/fieldmanager/field_walk.h"
#include "apiserver/fieldmanager/fieldmanager.h"
#include "proto/resource_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_set(struct slice text, struct arena *a)
{
	_cleanup_buf_ struct buf once = BUF_INIT, twice = BUF_INIT;
	struct field_set s, again, none, all;

	if (field_set_read(text, a, &s, NULL) < 0)
		return;
	field_set_write(&s, &once);
	if (field_set_read(buf_view(&once), a, &again, NULL) < 0)
		assert(!"what was written cannot be read");
	assert(field_set_equal(&s, &again));
	field_set_write(&again, &twice);
	assert(slice_eq(buf_view(&once), buf_view(&twice)));
	none = field_set_difference(s, again, a);
	all = field_set_union(s, again, a);
	assert(field_set_empty(&none) && field_set_equal(&all, &s));
}

static void apply_both(struct slice first, struct slice second, struct arena *a)
{
	const struct resource_info *res = resource_find("", "v1", "pods", "");
	struct fieldmanager_request req = {
	    .manager = "kubectl", .subresource = "", .now_s = 1, .force = true};
	struct fieldmanager_conflicts conflicts;
	struct object x, y, z;
	struct jvalue *body;

	if (jvalue_parse(first, a, NULL, &body, NULL) < 0 ||
	    fieldmanager_apply(&req, body, res, NULL, a, &x, &conflicts, NULL) < 0)
		return;
	x.meta->uid = (char *)"u";
	req.manager = "other";
	if (jvalue_parse(second, a, NULL, &body, NULL) == 0 &&
	    fieldmanager_apply(&req, body, res, &x, a, &y, &conflicts, NULL) == 0) {
		z = object_copy(a, &y);
		fieldmanager_update(&req, &z, &x, a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = memchr(data, '\n', size);
	_cleanup_arena_ struct arena a = {0};

	if (!nl)
		check_set(slice_of(data, size), &a);
	else
		apply_both(slice_of(data, (size_t)(nl - data)),
		           slice_of(nl + 1, size - (size_t)(nl - data) - 1), &a);
	return 0;
}
