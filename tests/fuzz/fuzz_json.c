/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text: the tree, its writer, and a Pod and a CustomResourceDefinition from the same bytes. */
#include <assert.h>
#include "common/codec/jvalue.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void typed(const char *group, const char *kind, struct slice text, struct arena *a)
{
	const struct schema_message *schema = schema_by_gvk(group, "v1", kind);
	struct json_report rep = {.arena = a};
	_cleanup_buf_ struct buf json = BUF_INIT, pb = BUF_INIT;
	ProtobufCMessage *msg;

	if (json_decode(schema, text, a, &rep, &msg, NULL, NULL) < 0)
		return;
	json_encode(schema, msg, NULL, &json);
	assert(json_check(buf_view(&json), NULL) == 0);
	pb_encode(schema, msg, &pb);
	int k = pb_decode(schema, buf_view(&pb), a, &msg, NULL);
	(void)k; /* deeper than protobuf may nest */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of(data, size);
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf out = BUF_INIT, again = BUF_INIT;
	struct json_report rep = {.arena = &a};
	struct jvalue *v, *w;

	int k = jvalue_parse(text, &a, &rep, &v, NULL);
	assert(k < 0 || json_check(text, NULL) == 0);
	if (k == 0) {
		jvalue_write(v, &out);
		k = jvalue_parse(buf_view(&out), &a, NULL, &w, NULL);
		assert(k == 0);
		jvalue_write(w, &again);
		assert(slice_eq(buf_view(&out), buf_view(&again)));
		assert(jvalue_equal(v, jvalue_copy(&a, v)));
	}
	typed("", "Pod", text, &a);
	typed("apiextensions.k8s.io", "CustomResourceDefinition", text, &a);
	return 0;
}
