/* SPDX-License-Identifier: Apache-2.0 */
/* SPDY/3.1 frames, cut as the first byte says: they are the same whatever the pieces, and what is
 * read of a header block is bounded. */
#include <assert.h>
#include "common/net/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_in_steps(struct slice in, size_t step, struct buf *out)
{
	struct spdy_reader r = {0};
	struct spdy_frame f;
	int code = 0;

	while (in.len && code >= 0) {
		struct slice part = slice_of(in.data, MIN(step, in.len));
		in = slice_skip(in, part.len);
		while ((code = spdy_next(&r, &part, &f, NULL)) > 0) {
			size_t block = 0;
			if (f.type != SPDY_DATA)
				buf_byte(out, (uint8_t)f.type);
			buf_slice(out, f.data);
			for (size_t i = 0; i < f.n_headers; i++) {
				buf_slice(out, f.headers[i].name);
				buf_slice(out, f.headers[i].value);
				block += f.headers[i].name.len + f.headers[i].value.len;
			}
			assert(block <= SPDY_BLOCK_BYTES_MAX);
			if (f.fin)
				buf_byte(out, 0xff);
		}
		assert(code < 0 || !part.len);
		assert(r.body.len <= SPDY_CONTROL_BYTES_MAX);
	}
	spdy_reader_deinit(&r);
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf whole = BUF_INIT, pieces = BUF_INIT;

	if (!size)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	int a = read_in_steps(in, MAX(in.len, 1), &whole);
	int b = read_in_steps(in, 1 + data[0], &pieces);
	assert(a == b);
	assert(slice_eq(buf_view(&whole), buf_view(&pieces)));
	return 0;
}
