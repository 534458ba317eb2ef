/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/convert.h"
#include "apiserver/endpoints/stored.h"
#include "proto/codec.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static struct arena A;

static struct object object_from(const char *group, const char *version, const char *resource,
                                 const char *json)
{
	const struct resource_info *res = resource_find(group, version, resource, "");
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	assert_non_null(res);
	if (object_decode(OBJECT_JSON, res->schema, slice_str(json), &A, NULL, &msg, NULL, &err) <
	    0)
		fail_msg("%s", err.text);
	return object_of(res, res->schema, msg);
}

static struct slice stored(const struct object *obj)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(stored_encode(obj->res, obj, &A, &out, NULL), 0);
	return slice_of(arena_memdup(&A, out.data, out.len), out.len);
}

static const char POD[] =
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"uid\":\"u\",\"generation\":3,"
    "\"resourceVersion\":\"77\",\"labels\":{\"a\":\"b\"}},"
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";

/* The revision is not in the value; it comes back with whatever revision is read, by decoding and
 * by splicing alike, whatever length it has. */
static void test_revision(void **state)
{
	static const int64_t revisions[] = {1, 77, 123456789, INT64_MAX};
	struct object obj = object_from("", "v1", "pods", POD), back;
	struct slice value = stored(&obj);

	assert_true(unknown_is(value));
	assert_null(memmem(value.data, value.len, "77", 2));
	assert_string_equal(obj.meta->resource_version, "77");
	for (size_t i = 0; i < ARRAY_LEN(revisions); i++) {
		_cleanup_buf_ struct buf raw = BUF_INIT;
		ProtobufCMessage *spliced;

		assert_int_equal(stored_decode(obj.res, value, revisions[i], &A, &back, NULL), 0);
		assert_int_equal(strtoll(back.meta->resource_version, NULL, 10), revisions[i]);
		assert_int_equal(stored_raw(value, revisions[i], &raw, NULL), 0);
		assert_int_equal(pb_decode(obj.schema, buf_view(&raw), &A, &spliced, NULL), 0);
		assert_true(msg_equal(obj.schema, spliced, back.msg));
	}
	assert_int_equal(stored_decode(obj.res, value, 0, &A, &back, NULL), 0);
	assert_string_equal(back.meta->resource_version, "");
}

static void test_metadata(void **state)
{
	struct object obj = object_from("", "v1", "pods", POD);
	const struct schema_message *partial =
	    schema_by_gvk("meta.k8s.io", "v1", "PartialObjectMetadata");
	_cleanup_buf_ struct buf raw = BUF_INIT;
	ProtobufCMessage *msg;
	MetaV1__ObjectMeta *meta;

	assert_int_equal(stored_raw_metadata(stored(&obj), 5, &raw, NULL), 0);
	assert_int_equal(pb_decode(partial, buf_view(&raw), &A, &msg, NULL), 0);
	meta = ((MetaV1__PartialObjectMetadata *)msg)->metadata;
	assert_string_equal(meta->name, "p");
	assert_string_equal(meta->resource_version, "5");
	assert_int_equal(meta->n_labels, 1);
}

static void test_malformed(void **state)
{
	static const char *const bad[] = {"", "k8s", "{}", "k8s\1"};
	_cleanup_buf_ struct buf raw = BUF_INIT;
	struct object obj = object_from("", "v1", "pods", POD);
	struct slice value = stored(&obj);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(stored_raw(slice_str(bad[i]), 1, &raw, NULL), -ERR_CORRUPT);
	/* Cut anywhere: an error or a shorter object, never a read beyond the end. */
	for (size_t n = 0; n < value.len; n++) {
		struct slice cut = slice_of(arena_memdup(&A, value.data, n), n);
		struct object back;

		ERR_IGNORE(stored_raw(cut, 1, &raw, NULL)); /* must only not crash */
		ERR_IGNORE(stored_decode(obj.res, cut, 1, &A, &back, NULL));
	}
}

static const char HPA[] =
    "{\"metadata\":{\"name\":\"h\",\"annotations\":{\"x\":\"y\"}},\"spec\":{\"scaleTargetRef\":{"
    "\"kind\":\"Deployment\",\"name\":\"d\",\"apiVersion\":\"apps/v1\"},\"minReplicas\":2,"
    "\"maxReplicas\":5,\"metrics\":["
    "{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"qps\",\"selector\":{\"matchLabels\":{"
    "\"a\":"
    "\"b\"}}},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"10\"}}},"
    "{\"type\":\"Object\",\"object\":{\"metric\":{\"name\":\"m\"},\"describedObject\":{\"kind\":"
    "\"Ingress\",\"name\":\"i\",\"apiVersion\":\"networking.k8s.io/v1\"},\"target\":{\"type\":"
    "\"Value\",\"value\":\"2k\"}}},"
    "{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"q\"},\"target\":{\"type\":"
    "\"Value\",\"value\":\"3\"}}},"
    "{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"memory\",\"container\":"
    "\"c\","
    "\"target\":{\"type\":\"Utilization\",\"averageUtilization\":50}}},"
    "{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","
    "\"averageUtilization\":60}}}],"
    "\"behavior\":{\"scaleDown\":{\"stabilizationWindowSeconds\":60,\"selectPolicy\":\"Max\","
    "\"policies\":[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}}},"
    "\"status\":{\"currentReplicas\":1,\"desiredReplicas\":2,\"currentMetrics\":[{\"type\":"
    "\"Resource\",\"resource\":{\"name\":\"cpu\",\"current\":{\"averageUtilization\":40,"
    "\"averageValue\":\"400m\"}}}],\"conditions\":[{\"type\":\"AbleToScale\",\"status\":\"True\","
    "\"reason\":\"r\",\"message\":\"m\"}]}}";

/* A v2 autoscaler survives the way through v1 and back. */
static void test_hpa(void **state)
{
	struct object obj = object_from("autoscaling", "v2", "horizontalpodautoscalers", HPA), v1;
	const struct resource_info *res =
	    resource_find("autoscaling", "v1", "horizontalpodautoscalers", "");
	struct object back;

	assert_int_equal(stored_decode(res, stored(&obj), 9, &A, &v1, NULL), 0);
	assert_int_equal(v1.meta->n_annotations, 5);
	assert_int_equal(stored_decode(obj.res, stored(&v1), 9, &A, &back, NULL), 0);
	obj.meta->resource_version = (char *)"9";
	assert_true(msg_equal(obj.schema, obj.msg, back.msg));
}

static void test_event(void **state)
{
	struct object obj = object_from(
	    "events.k8s.io", "v1", "events",
	    "{\"metadata\":{\"name\":\"e\"},\"eventTime\":\"2020-01-01T00:00:00.123456Z\",\"note\":"
	    "\"n\",\"reason\":\"r\",\"type\":\"Normal\",\"regarding\":{\"kind\":\"Pod\",\"name\":"
	    "\"p\"},\"series\":{\"count\":3,\"lastObservedTime\":\"2020-01-01T00:00:09.000001Z\"},"
	    "\"reportingController\":\"c\",\"reportingInstance\":\"i\",\"deprecatedCount\":4}");
	struct object back;

	assert_int_equal(stored_decode(obj.res, stored(&obj), 9, &A, &back, NULL), 0);
	obj.meta->resource_version = (char *)"9";
	assert_true(msg_equal(obj.schema, obj.msg, back.msg));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_revision),  cmocka_unit_test(test_metadata),
	    cmocka_unit_test(test_malformed), cmocka_unit_test(test_hpa),
	    cmocka_unit_test(test_event),
	};
	int r;

	arena_init(&A);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	arena_deinit(&A);
	return r;
}
