/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf bytes as a Pod and as an envelope: what decodes encodes to a fixed point. */
#include <assert.h>
#include "proto/codec.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *schema = schema_by_gvk("", "v1", "Pod");
	struct slice in = slice_of(data, size);
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf one = BUF_INIT, two = BUF_INIT, json = BUF_INIT;
	ProtobufCMessage *msg, *again;
	struct unknown u;

	if (unknown_open(in, &a, &u, NULL) == 0)
		in = u.raw;
	if (pb_decode(schema, in, &a, &msg, NULL) < 0)
		return 0;
	assert(pb_check(schema->desc, in, NULL, NULL) == 0 || size > 100000);
	pb_encode(schema, msg, &one);
	int k = pb_decode(schema, buf_view(&one), &a, &again, NULL);
	assert(k == 0);
	pb_encode(schema, again, &two);
	assert(slice_eq(buf_view(&one), buf_view(&two)));
	object_encode(OBJECT_JSON, schema, msg, NULL, &json);
	assert(json_check(buf_view(&json), NULL) == 0);
	assert(msg_copy(schema, msg, &a));
	return 0;
}
