/* SPDX-License-Identifier: Apache-2.0 */
/* Random objects of every kind survive JSON -> protobuf -> JSON, copying and comparing; SEED=n
 * repeats a run. And the walkers' rules, one by one, on chosen texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/base/rng.h"
#include "proto/codec.h"
#include "proto/core_v1.pb-c.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"
#include "proto/value.h"

/* Random JSON by schema. */

struct gen {
	struct rng rng;
	struct buf out;
	int depth;
};

static uint64_t below(struct gen *g, uint64_t n)
{
	return rng_below(&g->rng, n);
}

static void gen_string(struct gen *g)
{
	static const char *const words[] = {"\"\"",
	                                    "\"a\"",
	                                    "\"web-1\"",
	                                    "\"\\u003cx\\u003e\"",
	                                    "\"\xc3\xa9\xe2\x82\xac\"",
	                                    "\"\\n\\t\\\"\"",
	                                    "\"UTF \xf0\x9f\x98\x80\""};

	buf_str(&g->out, words[below(g, ARRAY_LEN(words))]);
}

static void gen_message(struct gen *g, const struct schema_message *schema);

static void gen_scalar(struct gen *g, const struct schema_field *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		gen_message(g, f->message);
		break;
	case PROTOBUF_C_TYPE_STRING:
		gen_string(g);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		buf_str(&g->out, below(g, 2) ? "\"aGk=\"" : "\"AAECAw==\"");
		break;
	case PROTOBUF_C_TYPE_BOOL:
		buf_str(&g->out, below(g, 2) ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_FLOAT:
		buf_str(&g->out, below(g, 2) ? "1.5" : "-3");
		break;
	case PROTOBUF_C_TYPE_INT64:
		buf_printf(&g->out, "%lld", (long long)rng_next(&g->rng) >> below(g, 64));
		break;
	default:
		buf_printf(&g->out, "%d", (int)(below(g, 2) ? below(g, 100) : below(g, 1u << 31)));
	}
}

static void gen_field(struct gen *g, const struct schema_field *f)
{
	size_t n = below(g, 3);

	if (!(f->flags & SCHEMA_REPEATED)) {
		gen_scalar(g, f);
		return;
	}
	bool map = f->flags & SCHEMA_MAP;
	buf_byte(&g->out, map ? '{' : '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_byte(&g->out, ',');
		/* Not in key order: the walkers must sort. */
		if (map)
			buf_printf(&g->out, "\"k%zu\":", n - i);
		gen_scalar(g, map ? &f->message->fields[1] : f);
	}
	buf_byte(&g->out, map ? '}' : ']');
}

static bool gen_special(struct gen *g, const struct schema_message *schema)
{
	static const char *const texts[][2] = {
	    [SCHEMA_TIME] = {"\"2026-01-02T03:04:05Z\"", "null"},
	    [SCHEMA_MICRO_TIME] = {"\"2026-01-02T03:04:05.123456Z\"", "null"},
	    [SCHEMA_DURATION] = {"\"1m30s\"", "\"0s\""},
	    [SCHEMA_QUANTITY] = {"\"100m\"", "\"2Gi\""},
	    [SCHEMA_INT_OR_STRING] = {"80", "\"http\""},
	    [SCHEMA_RAW_EXTENSION] = {"{\"a\":[1,\"x\"]}", "{}"},
	    [SCHEMA_FIELDS_V1] = {"{\"f:a\":{\".\":{}}}", "{}"},
	    [SCHEMA_JSON] = {"[1,{\"a\":null}]", "\"x\""},
	    [SCHEMA_JSON_SCHEMA_OR_BOOL] = {"true", "{\"type\":\"string\"}"},
	    [SCHEMA_JSON_SCHEMA_OR_ARRAY] = {"{\"type\":\"string\"}", "[{\"type\":\"object\"}]"},
	    [SCHEMA_JSON_SCHEMA_OR_STRING_ARRAY] = {"{\"type\":\"string\"}", "[\"a\",\"b\"]"},
	    [SCHEMA_STRING_LIST] = {"[\"x\",\"y\"]", "[\"\"]"},
	};

	if (schema->special <= SCHEMA_MAP_ENTRY)
		return false;
	buf_str(&g->out, texts[schema->special][below(g, 2)]);
	return true;
}

static void gen_message(struct gen *g, const struct schema_message *schema)
{
	bool first = true;

	if (gen_special(g, schema))
		return;
	buf_byte(&g->out, '{');
	g->depth++;
	for (size_t i = 0; i < schema->n_json; i++) {
		const struct schema_json *j = &schema->json[i];

		/* Fewer members the deeper: objects stay small. */
		if (below(g, (uint64_t)g->depth * 2 + 1) > 1 || g->depth > 8)
			continue;
		if (!first)
			buf_byte(&g->out, ',');
		first = false;
		buf_printf(&g->out, "\"%s\":", j->name);
		gen_field(g, j->field);
	}
	g->depth--;
	buf_byte(&g->out, '}');
}

/* Values have no apiVersion and kind; nor have the claims inside stateful sets. */
static void drop_type_meta(struct jvalue *obj)
{
	struct jvalue *items = jvalue_get(obj, "items");
	struct jvalue *claims = jvalue_path(obj, "spec.volumeClaimTemplates");

	jvalue_del(obj, "apiVersion");
	jvalue_del(obj, "kind");
	for (size_t i = 0; jvalue_at(claims, i); i++)
		drop_type_meta(jvalue_at(claims, i));
	for (size_t i = 0; jvalue_at(items, i); i++)
		if (jvalue_path(jvalue_at(items, i), "spec.volumeClaimTemplates"))
			drop_type_meta(jvalue_at(items, i));
}

static void check_roundtrip(const struct schema_message *schema, struct slice json)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf first = BUF_INIT, pb = BUF_INIT, again = BUF_INIT, pb2 = BUF_INIT;
	struct err err = ERR_INIT;
	struct json_report rep = {.arena = &a};
	ProtobufCMessage *msg, *msg2, *copy;

	if (json_decode(schema, json, &a, &rep, &msg, NULL, &err) < 0)
		fail_msg("%s: %s\n%.*s", schema->full_name, err.text, SLICE_FMT(json));
	assert_int_equal(rep.n, 0);
	pb_encode(schema, msg, &pb);
	if (pb_decode(schema, buf_view(&pb), &a, &msg2, &err) < 0)
		fail_msg("%s: %s", schema->full_name, err.text);
	assert_int_equal(pb_check(schema->desc, buf_view(&pb), NULL, &err), 0);
	pb_encode(schema, msg2, &pb2);
	if (!slice_eq(buf_view(&pb), buf_view(&pb2)) || !msg_equal(schema, msg, msg2))
		fail_msg("%s: protobuf differs: %.*s", schema->full_name, SLICE_FMT(json));
	copy = msg_copy(schema, msg2, &a);
	assert_true(msg_equal(schema, copy, msg));
	/* Empty lists become absent in protobuf: compare what JSON says after one round. */
	json_encode(schema, msg2, NULL, &first);
	assert_int_equal(json_decode(schema, buf_view(&first), &a, NULL, &msg, NULL, &err), 0);
	json_encode(schema, msg, NULL, &again);
	if (!slice_eq(buf_view(&first), buf_view(&again)))
		fail_msg("%s: JSON differs:\n%s\n%s", schema->full_name, (char *)first.data,
		         (char *)again.data);
	struct jvalue *tree = json_encode_tree(schema, msg, NULL, &a);
	drop_type_meta(tree);
	struct value v = value_of_message(schema, msg, &a);
	if (!value_equal(v, value_of_tree(tree, &a)) || !jvalue_equal(value_to_tree(v, &a), tree))
		fail_msg("%s: value differs: %s", schema->full_name, (char *)first.data);
}

static void test_random(void **state)
{
	const char *seed_text = getenv("SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
	struct gen g = {0};

	print_message("SEED=%llu\n", (unsigned long long)seed);
	rng_init(&g.rng, seed);
	for (size_t i = 0; i < schema_n_messages; i++) {
		if (!schema_messages[i]->kind)
			continue;
		for (int round = 0; round < 5; round++) {
			buf_clear(&g.out);
			gen_message(&g, schema_messages[i]);
			check_roundtrip(schema_messages[i], buf_view(&g.out));
		}
	}
	buf_deinit(&g.out);
}

/* Rules. */

static const struct schema_message *kind_of(const char *kind)
{
	const struct schema_message *m = schema_by_gvk("", "v1", kind);

	assert_non_null(m);
	return m;
}

static void check_error(const char *kind, const char *json, const char *want)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	assert_int_equal(json_decode(kind_of(kind), slice_str(json), &a, NULL, &msg, NULL, &err),
	                 -ERR_BAD_REQUEST);
	assert_string_equal(err.text, want);
}

static void test_errors(void **state)
{
	check_error("ConfigMap", "{\"data\":\"x\"}",
	            "json: cannot unmarshal string into Go struct field ConfigMap.data of type "
	            "map[string]string");
	check_error("ConfigMap", "{\"data\":{\"n\":5}}",
	            "json: cannot unmarshal number into Go struct field ConfigMap.data of type "
	            "string");
	check_error("Pod", "{\"spec\":{\"containers\":[{\"image\":1}]}}",
	            "json: cannot unmarshal number into Go struct field "
	            "Container.spec.containers.image of type string");
	check_error("Pod", "{\"spec\":{\"containers\":{}}}",
	            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of "
	            "type []v1.Container");
	check_error("Pod", "{\"spec\":{\"priority\":3000000000}}",
	            "json: cannot unmarshal number 3000000000 into Go struct field "
	            "PodSpec.spec.priority of type int32");
	check_error("Secret", "{\"data\":{\"a\":\"!\"}}", "illegal base64 data at input byte 0");
	check_error("Pod", "{\"metadata\":{\"creationTimestamp\":\"x\"}}",
	            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as "
	            "\"2006\"");
	/* Syntax comes first. */
	check_error("ConfigMap", "{\"data\":\"x\",}",
	            "invalid character '}' looking for beginning of object key string");
	check_error("ConfigMap", "[]",
	            "json: cannot unmarshal array into Go value of type v1.ConfigMap");
}

static void test_report(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct json_report rep = {.arena = &a};
	struct type_meta meta;
	ProtobufCMessage *msg;
	const char *json =
	    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"bogus\":1,\"metadata\":{\"nope\":{\"x\":[1]}"
	    ","
	    "\"labels\":{\"a\":\"1\",\"a\":\"2\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
	    "\"Image\":"
	    "\"x\",\"ports\":[{\"containerPort\":80,\"containerPort\":81}]}]},\"kind\":\"Pod\"}";

	assert_int_equal(json_decode(kind_of("Pod"), slice_str(json), &a, &rep, &msg, &meta, &err),
	                 0);
	assert_int_equal(rep.n, 6);
	assert_string_equal(rep.at[0], "unknown field \"bogus\"");
	assert_string_equal(rep.at[1], "unknown field \"metadata.nope\"");
	assert_string_equal(rep.at[2], "duplicate field \"metadata.labels.a\"");
	assert_string_equal(rep.at[3], "unknown field \"spec.containers[0].Image\"");
	assert_string_equal(rep.at[4],
	                    "duplicate field \"spec.containers[0].ports[0].containerPort\"");
	assert_string_equal(rep.at[5], "duplicate field \"kind\"");
	assert_string_equal(meta.kind, "Pod");
	CoreV1__Pod *pod = (CoreV1__Pod *)msg;
	assert_int_equal(pod->metadata->n_labels, 1);
	assert_string_equal(meta_label(pod->metadata, "a"), "2");
	assert_int_equal(pod->spec->containers[0]->ports[0]->container_port, 81);
}

static void test_values(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf out = BUF_INIT, pb = BUF_INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	/* What is a value is there; null changes nothing; an empty list is not an absent one. */
	assert_int_equal(json_decode(kind_of("Pod"),
	                             SLICE_LIT("{\"metadata\":null,\"spec\":{\"containers\":[]}}"),
	                             &a, NULL, &msg, NULL, &err),
	                 0);
	CoreV1__Pod *pod = (CoreV1__Pod *)msg;
	assert_non_null(pod->metadata);
	assert_string_equal(pod->metadata->name, "");
	assert_non_null(pod->status);
	assert_null(pod->spec->security_context);
	json_encode(kind_of("Pod"), msg, NULL, &out);
	assert_string_equal((char *)out.data,
	                    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{"
	                    "\"containers\":[]},\"status\":{}}");
	/* A Namespace as upstream's encoder writes it: value fields are there though empty. */
	ProtobufCMessage *ns = pb_new(schema_by_gvk("", "v1", "Namespace"), &a);
	pb_encode(kind_of("Namespace"), ns, &pb);
	static const uint8_t want[] = {0x0a, 0x10, 0x0a, 0, 0x12, 0, 0x1a, 0, 0x22, 0, 0x2a, 0,
	                               0x32, 0,    0x38, 0, 0x42, 0, 0x12, 0, 0x1a, 2, 0x0a, 0};
	assert_int_equal(pb.len, sizeof(want));
	assert_memory_equal(pb.data, want, sizeof(want));
}

static void test_hostile_protobuf(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf deep = BUF_INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	const struct schema_message *crd =
	    schema_find("k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");

	/* `not` (28) nested beyond the limit, lengths from the inside out. */
	assert_non_null(crd);
	for (int i = 0; i < 3000; i++) {
		struct buf next = BUF_INIT;

		buf_add(&next, "\xe2\x01", 2);
		for (size_t n = deep.len;; n >>= 7) {
			buf_byte(&next, (uint8_t)(n >= 0x80 ? n | 0x80 : n));
			if (n < 0x80)
				break;
		}
		buf_slice(&next, buf_view(&deep));
		buf_deinit(&deep);
		deep = next;
	}
	assert_int_equal(pb_decode(crd, buf_view(&deep), &a, &msg, &err), -ERR_BAD_REQUEST);
	assert_int_equal(pb_check(crd->desc, buf_view(&deep), NULL, &err), -ERR_BAD_REQUEST);
	/* name: "a\0" and invalid UTF-8 in metadata. */
	assert_int_equal(pb_decode(kind_of("ConfigMap"),
	                           SLICE_LIT("\x0a\x04\x0a\x02"
	                                     "a\0"),
	                           &a, &msg, &err),
	                 -ERR_BAD_REQUEST);
	assert_int_equal(
	    pb_decode(kind_of("ConfigMap"), SLICE_LIT("\x0a\x03\x0a\x01\xff"), &a, &msg, &err),
	    -ERR_BAD_REQUEST);
	assert_int_equal(pb_decode(kind_of("ConfigMap"), SLICE_LIT("\x0a\x7f"), &a, &msg, &err),
	                 -ERR_BAD_REQUEST);
}

static void test_envelope(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf pb = BUF_INIT, yaml = BUF_INIT, json = BUF_INIT, json2 = BUF_INIT;
	struct err err = ERR_INIT;
	struct type_meta meta;
	ProtobufCMessage *msg;
	const struct schema_message *cm = kind_of("ConfigMap");
	struct slice text =
	    SLICE_LIT("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n"
	              "  b: \"1\"\n  a: |\n    l1\n    l2\n");

	assert_int_equal(object_type_meta(OBJECT_YAML, text, &a, &meta, &err), 0);
	assert_string_equal(meta.kind, "ConfigMap");
	assert_int_equal(object_decode(OBJECT_YAML, cm, text, &a, NULL, &msg, &meta, &err), 0);
	object_encode(OBJECT_PROTOBUF, cm, msg, NULL, &pb);
	assert_true(unknown_is(buf_view(&pb)));
	assert_int_equal(object_type_meta(OBJECT_PROTOBUF, buf_view(&pb), &a, &meta, &err), 0);
	assert_string_equal(meta.api_version, "v1");
	assert_int_equal(
	    object_decode(OBJECT_PROTOBUF, cm, buf_view(&pb), &a, NULL, &msg, &meta, &err), 0);
	object_encode(OBJECT_YAML, cm, msg, NULL, &yaml);
	assert_string_equal(
	    (char *)yaml.data,
	    "apiVersion: v1\ndata:\n  a: |\n    l1\n    l2\n  b: \"1\"\nkind: ConfigMap\n"
	    "metadata:\n  name: x\n");
	object_encode(OBJECT_JSON, cm, msg, NULL, &json);
	struct unknown u;
	assert_int_equal(unknown_open(buf_view(&pb), &a, &u, &err), 0);
	assert_int_equal(object_transcode(OBJECT_JSON, cm, u.raw, NULL, false, &json2, &err), 0);
	assert_string_equal((char *)json.data, (char *)json2.data);
	assert_int_equal(object_type_meta(OBJECT_JSON, SLICE_LIT("zzz"), &a, &meta, &err),
	                 -ERR_BAD_REQUEST);
	assert_string_equal(err.text, "couldn't get version/kind; json parse error: invalid "
	                              "character 'z' looking for beginning of value");
}

static void test_value_changes(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	const char *json =
	    "{\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"b\"},\"creationTimestamp\":"
	    "\"2026-01-02T03:04:05Z\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":"
	    "{\"limits\":{\"cpu\":\"1\"}}}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}";

	assert_int_equal(json_decode(kind_of("Pod"), slice_str(json), &a, NULL, &msg, NULL, &err),
	                 0);
	struct value v = value_of_message(kind_of("Pod"), msg, &a);
	struct value cpu = value_path(v, "spec.containers[0].resources.limits[cpu]");
	assert_int_equal(cpu.kind, VALUE_STRING);
	assert_string_equal((const char *)cpu.s.data, "1");
	struct value created = value_path(v, "metadata.creationTimestamp");
	assert_string_equal((const char *)created.s.data, "2026-01-02T03:04:05Z");
	assert_true(value_is(value_path(v, "spec.volumes[0].emptyDir"), VALUE_OBJECT));
	assert_false(value_exists(value_path(v, "spec.volumes[0].hostPath")));
	assert_false(value_exists(value_path(v, "spec.nodeName")));

	struct value spec = value_get_str(v, "spec");
	assert_int_equal(
	    value_set(spec, SLICE_LIT("nodeName"), value_of_tree(jvalue_str(&a, "n1"), &a), &err),
	    0);
	assert_string_equal(((CoreV1__Pod *)msg)->spec->node_name, "n1");
	assert_int_equal(value_set(value_path(v, "metadata.labels"), SLICE_LIT("x"),
	                           value_of_tree(jvalue_str(&a, "y"), &a), &err),
	                 0);
	assert_int_equal(value_len(value_path(v, "metadata.labels")), 2);
	value_delete(value_path(v, "metadata.labels"), SLICE_LIT("a"));
	assert_int_equal(value_len(value_path(v, "metadata.labels")), 1);
	value_delete(spec, SLICE_LIT("nodeName"));
	assert_false(value_exists(value_path(v, "spec.nodeName")));
	assert_int_equal(
	    value_set(spec, SLICE_LIT("priority"), value_of_tree(jvalue_str(&a, "x"), &a), &err),
	    -ERR_BAD_REQUEST);
}

static void test_label_selector(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	struct label_selector sel;
	MetaV1__LabelSelectorRequirement r = META_V1__LABEL_SELECTOR_REQUIREMENT__INIT;
	MetaV1__LabelSelectorRequirement *rs[] = {&r};
	MetaV1__LabelSelector ls = META_V1__LABEL_SELECTOR__INIT;
	char web[] = "web", db[] = "db", app[] = "app", cache[] = "cache", in[] = "In",
	     near[] = "Near";
	char *values[] = {web, db};

	r.key = app;
	r.operator_ = in;
	r.values = values;
	r.n_values = 2;
	ls.match_expressions = rs;
	ls.n_match_expressions = 1;
	assert_int_equal(meta_label_selector(&ls, &a, &sel, &err), 0);
	MetaV1__ObjectMeta__LabelsEntry e = META_V1__OBJECT_META__LABELS_ENTRY__INIT;
	MetaV1__ObjectMeta__LabelsEntry *es[] = {&e};
	MetaV1__ObjectMeta meta = META_V1__OBJECT_META__INIT;
	e.key = app;
	e.value = db;
	meta.labels = es;
	meta.n_labels = 1;
	assert_true(meta_labels_match(&sel, &meta));
	e.value = cache;
	assert_false(meta_labels_match(&sel, &meta));
	r.operator_ = near;
	assert_int_equal(meta_label_selector(&ls, &a, &sel, &err), -ERR_INVALID);
	assert_string_equal(err.text, "\"Near\" is not a valid label selector operator");
	assert_int_equal(meta_label_selector(NULL, &a, &sel, &err), 0);
	assert_false(meta_labels_match(&sel, &meta));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_random),           cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_report),           cmocka_unit_test(test_values),
	    cmocka_unit_test(test_hostile_protobuf), cmocka_unit_test(test_envelope),
	    cmocka_unit_test(test_value_changes),    cmocka_unit_test(test_label_selector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
