/* SPDX-License-Identifier: Apache-2.0 */
/* golden_test FOLDER: every object that an upstream API server answered in the recorded scenarios
 * of tests/golden survives JSON -> protobuf -> JSON unchanged, down to the order of its members.
 *
 * Answers that a scenario compares in part are left out: a step with "pick", "ignore" or
 * "decodeJWT", a step whose mode is a subset. Of tables (the descriptions of their columns are not
 * recorded) and of partial lists (their items name their kinds, which protobuf has no place for)
 * the objects inside are checked one by one. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/base/cleanup.h"
#include "common/codec/jvalue.h"
#include "proto/codec.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/pb_encode.h"

enum { BODIES_MIN = 900, KINDS_MIN = 60 };

static const char *folder;

struct tally {
	size_t bodies, failed;
	bool *seen; /* by place in schema_messages */
};

/* What a recorded value stands for, in the types that the schema knows. */
static const struct {
	const char *recorded, *text;
	int64_t number; /* where there is no text */
} placeholders[] = {
    {"<time>", "2026-01-02T03:04:05Z", 0},
    {"<microtime>", "2026-01-02T03:04:05.000006Z", 0},
    {"<nodePort>", NULL, 30001},
    {"<healthCheckNodePort>", NULL, 30002},
};

static struct jvalue *fill_placeholders(struct arena *a, struct jvalue *v)
{
	if (v->kind == JVALUE_OBJECT) {
		for (size_t i = 0; i < v->n; i++)
			v->members[i].value = fill_placeholders(a, v->members[i].value);
	} else if (v->kind == JVALUE_ARRAY) {
		for (size_t i = 0; i < v->n; i++)
			v->items[i] = fill_placeholders(a, v->items[i]);
	} else if (v->kind == JVALUE_STRING) {
		for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
			if (!slice_eq_str(jvalue_slice(v), placeholders[i].recorded))
				continue;
			return placeholders[i].text ? jvalue_str(a, placeholders[i].text)
			                            : jvalue_int(a, placeholders[i].number);
		}
	}
	return v;
}

static const struct schema_message *schema_of_object(struct arena *a, const struct jvalue *v)
{
	const char *api_version = jvalue_get_str(v, "apiVersion", NULL);
	const char *kind = jvalue_get_str(v, "kind", NULL);
	if (!api_version || !kind || !strcmp(kind, "Table") ||
	    !strcmp(kind, "PartialObjectMetadataList"))
		return NULL;
	const char *slash = strchr(api_version, '/');
	const char *group =
	    slash ? arena_strndup(a, api_version, (size_t)(slash - api_version)) : "";
	return schema_by_gvk(group, slash ? slash + 1 : api_version, kind);
}

/* NULL, or what went wrong. */
static const char *roundtrip(const struct schema_message *schema, struct slice json,
                             struct arena *a)
{
	_cleanup_buf_ struct buf pb = BUF_INIT, pb_again = BUF_INIT, out = BUF_INIT;
	_cleanup_buf_ struct buf normal = BUF_INIT;
	struct json_report report = {.arena = a};
	struct type_meta meta;
	struct err err = ERR_INIT;
	ProtobufCMessage *msg, *again;
	struct jvalue *tree;

	if (json_decode(schema, json, a, &report, &msg, &meta, &err) < 0)
		return arena_strdup(a, err.text);
	if (report.n)
		return "it has fields that the schema does not know";
	pb_encode(schema, msg, &pb);
	if (pb_decode(schema, buf_view(&pb), a, &again, &err) < 0)
		return arena_strdup(a, err.text);
	pb_encode(schema, again, &pb_again);
	if (!slice_eq(buf_view(&pb), buf_view(&pb_again)) || !msg_equal(schema, msg, again))
		return "protobuf differs after decoding it";
	json_encode(schema, again, &meta, &out);
	if (jvalue_parse(buf_view(&out), a, NULL, &tree, &err) < 0)
		return arena_strdup(a, err.text);
	/* Both texts are written by the same hand: only members, order and values count. */
	jvalue_write(tree, &normal);
	if (!slice_eq(buf_view(&normal), json))
		return arena_printf(a, "JSON differs, it became\n%.*s",
		                    SLICE_FMT(buf_view(&normal)));
	return NULL;
}

static void check_object(struct tally *t, const char *where, const struct schema_message *schema,
                         const struct jvalue *v)
{
	_cleanup_arena_ struct arena a;
	_cleanup_buf_ struct buf json = BUF_INIT;

	arena_init(&a);
	jvalue_write(v, &json);
	const char *why = roundtrip(schema, buf_view(&json), &a);
	t->bodies++;
	for (size_t i = 0; i < schema_n_messages; i++)
		t->seen[i] |= schema_messages[i] == schema;
	if (!why)
		return;
	t->failed++;
	print_error("%s: %s: %s\n%.*s\n", where, schema->full_name, why,
	            SLICE_FMT(buf_view(&json)));
}

/* Whole objects at any depth: in a watch event, in a document around it. */
static void check_objects(struct tally *t, struct arena *a, const char *where,
                          const struct jvalue *v)
{
	const struct schema_message *schema = schema_of_object(a, v);
	if (schema) {
		check_object(t, where, schema, v);
		return;
	}
	if (v->kind == JVALUE_OBJECT)
		for (size_t i = 0; i < v->n; i++)
			check_objects(t, a, where, v->members[i].value);
	if (v->kind == JVALUE_ARRAY)
		for (size_t i = 0; i < v->n; i++)
			check_objects(t, a, where, v->items[i]);
}

static void check_scenario(struct tally *t, const char *path)
{
	_cleanup_arena_ struct arena a;
	_cleanup_buf_ struct buf text = BUF_INIT;
	FILE *f = fopen(path, "r");
	struct err err = ERR_INIT;
	struct jvalue *doc, *step;
	char chunk[65536];
	size_t n;

	arena_init(&a);
	if (!f)
		fail_msg("cannot read %s", path);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&text, chunk, n);
	fclose(f);
	if (jvalue_parse(buf_view(&text), &a, NULL, &doc, &err) < 0)
		fail_msg("%s: %s", path, err.text);
	for (size_t i = 0; (step = jvalue_at(jvalue_get(doc, "steps"), i)); i++) {
		bool whole = !jvalue_get(step, "pick") && !jvalue_get(step, "ignore") &&
		             !jvalue_get(step, "decodeJWT") &&
		             strcmp(jvalue_get_str(step, "mode", ""), "subset") != 0;
		struct jvalue *expect = jvalue_get(step, "expect");
		if (!whole || !expect)
			continue;
		const char *name = strrchr(path, '/') + 1;
		const char *where =
		    arena_printf(&a, "%s %s", name, jvalue_get_str(step, "id", "?"));
		check_objects(t, &a, where, fill_placeholders(&a, expect));
	}
}

static void test_recorded_objects(void **state)
{
	struct tally t = {.seen = calloc(schema_n_messages, sizeof(bool))};
	struct dirent **names;
	size_t kinds = 0;
	int n = scandir(folder, &names, NULL, alphasort);

	if (n < 0)
		fail_msg("cannot read %s", folder);
	for (int i = 0; i < n; i++) {
		const char *dot = strrchr(names[i]->d_name, '.');
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (dot && !strcmp(dot, ".json"))
			check_scenario(&t, path);
		free(names[i]);
	}
	free(names);
	for (size_t i = 0; i < schema_n_messages; i++)
		kinds += t.seen[i];
	free(t.seen);
	print_message("%zu recorded objects of %zu kinds, %zu changed\n", t.bodies, kinds,
	              t.failed);
	assert_int_equal(t.failed, 0);
	assert_true(t.bodies >= BODIES_MIN && kinds >= KINDS_MIN);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_recorded_objects)};
	if (argc != 2) {
		fprintf(stderr, "usage: golden_test FOLDER\n");
		return 2;
	}
	folder = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
