/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text: what parses is written so that it reads back the same. */
#include <assert.h>
#include "common/codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct json_report rep = {.arena = &a};
	struct jvalue *v, *w;

	if (yaml_parse(slice_of(data, size), &a, &rep, &v, NULL) < 0)
		return 0;
	yaml_write(v, &out);
	/* An alias may make the tree deeper than the limit on texts. */
	if (yaml_parse(buf_view(&out), &a, NULL, &w, NULL) == 0)
		assert(jvalue_equal(v, w));
	return 0;
}
