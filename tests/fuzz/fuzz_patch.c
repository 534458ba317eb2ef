/* SPDX-License-Identifier: Apache-2.0 */
/* A document and a patch in one text, apart by a newline, through all three patch forms. */
#include "apiserver/patch/patch.h"
#include "proto/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = memchr(data, '\n', size);
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct jvalue *doc, *patch, *ret;

	if (!nl)
		return 0;
	struct slice d = slice_of(data, (size_t)(nl - data));
	struct slice p = slice_of(nl + 1, size - d.len - 1);
	if (jvalue_parse(d, &a, NULL, &doc, NULL) < 0 || doc->kind != JVALUE_OBJECT)
		return 0;
	struct jvalue *second = jvalue_copy(&a, doc), *third = jvalue_copy(&a, doc);
	if (patch_read_json(p, &a, &patch, NULL) == 0 &&
	    patch_apply_json(doc, patch, &a, &ret, NULL) == 0)
		jvalue_write(ret, &out);
	if (patch_read_merge(p, &a, NULL, &patch, NULL) < 0)
		return 0;
	if (patch_apply_merge(second, patch, &a, &ret, NULL) == 0)
		jvalue_write(ret, &out);
	if (patch_apply_strategic(schema_by_gvk("", "v1", "Pod"), third, patch, &a, &ret, NULL) ==
	    0)
		jvalue_write(ret, &out);
	return 0;
}
