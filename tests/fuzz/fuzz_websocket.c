/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames; the first byte says which side we are and how the bytes are cut: the messages
 * are the same whatever the pieces, and none is longer than allowed. */
#include <assert.h>
#include <stdlib.h>
#include "common/net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_BYTES = 1000 };

static int read_in_steps(bool server, struct slice in, size_t step, struct buf *out)
{
	static struct ws_parser p;
	struct ws_piece piece;
	size_t message = 0;
	int r = 0;

	p = (struct ws_parser){.server = server, .message_bytes = MESSAGE_BYTES};
	while (in.len && r >= 0) {
		struct slice part = slice_of(in.data, MIN(step, in.len));
		in = slice_skip(in, part.len);
		while ((r = ws_next(&p, &part, &piece)) > 0) {
			bool control = piece.opcode & 8;
			if (control || piece.first)
				buf_byte(out, piece.opcode);
			buf_slice(out, piece.data);
			if (piece.last)
				buf_byte(out, 0xff);
			if (control) {
				assert(piece.first && piece.last);
				assert(piece.data.len <= WS_CONTROL_BYTES_MAX);
				continue;
			}
			message = (piece.first ? 0 : message) + piece.data.len;
			assert(message <= MESSAGE_BYTES);
		}
		assert(r < 0 || !part.len);
	}
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf whole = BUF_INIT, pieces = BUF_INIT;

	if (!size)
		return 0;
	struct slice in = slice_of(data + 1, size - 1);
	bool server = data[0] & 1;
	int a = read_in_steps(server, in, MAX(in.len, 1), &whole);
	int b = read_in_steps(server, in, 1 + data[0] / 2, &pieces);
	assert(a == b);
	assert(slice_eq(buf_view(&whole), buf_view(&pieces)));
	return 0;
}
