/* SPDX-License-Identifier: Apache-2.0 */
/* Frames between members of the store. The first byte says whether the frame comes as it is or
 * gets a right checksum first. What is accepted is written again as the same bytes. */
#include <assert.h>
#include "raftstore/peer/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_again(struct buf *out, const struct wire_message *m)
{
	switch (m->kind) {
	case WIRE_ASK:
		wire_put_ask(out, m->ask.id, m->ask.kind, m->ask.body);
		break;
	case WIRE_ANSWER:
		wire_put_answer(out, m->answer.id, m->answer.result, m->answer.body);
		break;
	case WIRE_PING:
	case WIRE_PONG:
		wire_put_ping(out, m->kind, m->ping);
		break;
	default:
		wire_put_raft(out, &m->raft);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
	struct wire_reader r;
	struct wire_message m;
	int result;

	if (!size)
		return 0;
	buf_add(&in, data + 1, size - 1);
	if (data[0] & 1 && in.len >= WIRE_HEAD_BYTES)
		wire_end(&in);
	if (wire_open(&r, buf_view(&in), 1, 2, NULL))
		return 0;
	wire_begin(&out);
	while ((result = wire_next(&r, &m, NULL)) == 1) {
		put_again(&out, &m);
		wire_message_clear(&m);
	}
	/* All that was read before an error is the same, too. */
	assert(out.len <= in.len);
	assert(!memcmp(out.data + WIRE_HEAD_BYTES, in.data + WIRE_HEAD_BYTES,
	               out.len - WIRE_HEAD_BYTES));
	if (result)
		return 0;
	wire_end(&out);
	assert(slice_eq(buf_view(&in), buf_view(&out)));
	return 0;
}
