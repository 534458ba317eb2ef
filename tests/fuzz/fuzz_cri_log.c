/* SPDX-License-Identifier: Apache-2.0 */
/* Log files of a CRI runtime under the options of the first line ("tailLines=10&timestamps=true"):
 * a client sees the same whatever the pieces in which the file is read. */
#include <assert.h>
#include "common/base/arena.h"
#include "kubelet/server/log_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_in_steps(const struct log_options *o, struct slice file, size_t step,
                          struct buf *out)
{
	int64_t left = o->limit_bytes;
	size_t from = 0;

	for (size_t to = MIN(step, file.len); left; to = MIN(to + step, file.len)) {
		size_t used = log_lines_write(o, slice_of(file.data + from, to - from), &left, out);
		assert(used <= to - from);
		from += used;
		if (to == file.len)
			break;
	}
	assert(o->limit_bytes < 0 || out->len <= (size_t)o->limit_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf whole = BUF_INIT, pieces = BUF_INIT;
	const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
	struct log_options o;

	if (!nl)
		return 0;
	size_t n = (size_t)(nl - data);
	struct slice file = slice_of(nl + 1, size - n - 1);
	if (log_options_parse(arena_strndup(&a, data, n), 1767323050, &o, NULL) < 0)
		return 0;
	read_in_steps(&o, file, MAX(file.len, 1), &whole);
	read_in_steps(&o, file, 1 + n % 7, &pieces);
	assert(whole.len == pieces.len);
	assert(!whole.len || memcmp(whole.data, pieces.data, whole.len) == 0);
	return 0;
}
