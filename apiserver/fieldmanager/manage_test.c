/* SPDX-License-Identifier: Apache-2.0 */
/* testdata/manage.txt: requests to one object, and who owns what after each. A line is
 * `create|update|apply|force MANAGER[/SUBRESOURCE] BODY`; a block ends with `----` and what came of
 * it; blocks of one object go on until a line `== NAME`. REWRITE=1 writes the results anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "apiserver/fieldmanager/fieldmanager.h"
#include "apiserver/registry/strategy.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"

struct world {
	struct arena *a;
	struct object obj; /* msg NULL: there is none */
	int64_t now_s;
	struct buf out; /* what came of the block's requests */
};

static const struct resource_info *resource_of(const struct jvalue *body)
{
	const char *version = jvalue_get_str(body, "apiVersion", "");
	const char *slash = strchr(version, '/');
	char group[64] = "";

	if (slash)
		snprintf(group, sizeof(group), "%.*s", (int)(slash - version), version);
	return resource_by_kind(group, slash ? slash + 1 : version,
	                        jvalue_get_str(body, "kind", ""));
}

static void print_state(struct world *w)
{
	MetaV1__ObjectMeta *meta = w->obj.meta;
	struct jvalue *tree = json_encode_tree(w->obj.schema, w->obj.msg, NULL, w->a);
	struct jvalue *tree_meta = jvalue_get(tree, "metadata");

	jvalue_del(tree, "kind");
	jvalue_del(tree, "apiVersion");
	jvalue_del(tree_meta, "managedFields");
	jvalue_del(tree_meta, "uid");
	jvalue_del(tree_meta, "name");
	if (!tree_meta->n)
		jvalue_del(tree, "metadata");
	jvalue_write(tree, &w->out);
	for (size_t i = 0; i < meta->n_managed_fields; i++) {
		const MetaV1__ManagedFieldsEntry *e = meta->managed_fields[i];

		buf_printf(&w->out, "\n%s %s %s%s%s", e->manager, e->operation, e->api_version,
		           e->subresource[0] ? "/" : "", e->subresource);
		if (e->time)
			buf_printf(&w->out, " @%lld", (long long)e->time->seconds);
		buf_printf(&w->out, " %.*s", (int)e->fields_v1->raw.len,
		           (const char *)e->fields_v1->raw.data);
	}
	buf_byte(&w->out, '\n');
}

static void set_obj(struct world *w, struct object obj)
{
	struct strategy_ctx ctx = {.arena = w->a};

	registry_defaults(&ctx, registry_strategy(obj.res, ""), &obj);
	if (w->obj.msg)
		fieldmanager_keep_times(&obj, &w->obj, w->a);
	obj.meta->uid = (char *)"u1";
	w->obj = obj;
	print_state(w);
}

static void write_body(struct world *w, const struct fieldmanager_request *req,
                       const struct jvalue *body)
{
	const struct resource_info *res = resource_of(body);
	const struct object *old = w->obj.msg ? &w->obj : NULL;
	struct strategy_ctx ctx = {.arena = w->a};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	struct object obj;

	assert_non_null(res);
	if (json_decode_tree(res->schema, body, w->a, NULL, &msg, NULL, &err) < 0)
		fail_msg("%s", err.text);
	obj = object_of(res, res->schema, msg);
	registry_defaults(&ctx, registry_strategy(res, ""), &obj);
	if (old)
		obj.meta->uid = old->meta->uid;
	fieldmanager_update(req, &obj, old, w->a);
	set_obj(w, obj);
}

static void apply_body(struct world *w, const struct fieldmanager_request *req,
                       const struct jvalue *body)
{
	const struct resource_info *res = w->obj.msg ? w->obj.res : resource_of(body);
	struct fieldmanager_conflicts conflicts = {0};
	struct err err = ERR_INIT;
	struct object obj;
	int r;

	if (strcmp(req->subresource, "scale") == 0)
		r = fieldmanager_apply_scale(
		    req, body,
		    resource_find(res->group, res->version, res->resource, "scale")->schema,
		    &w->obj, w->a, &obj, &conflicts, &err);
	else
		r = fieldmanager_apply(req, body, res, w->obj.msg ? &w->obj : NULL, w->a, &obj,
		                       &conflicts, &err);
	if (r == -ERR_CONFLICT) {
		fieldmanager_conflict_text(&conflicts, &w->out);
		buf_byte(&w->out, '\n');
	} else if (r < 0) {
		buf_printf(&w->out, "%d %s\n", err_http_status(r), err.text);
	} else {
		set_obj(w, obj);
	}
}

static void run_line(struct world *w, char *line)
{
	struct fieldmanager_request req = {.now_s = ++w->now_s};
	struct err err = ERR_INIT;
	struct jvalue *body;
	char *manager = strchr(line, ' '), *text, *sub;

	assert_non_null(manager);
	*manager++ = 0;
	text = strchr(manager, ' ');
	assert_non_null(text);
	*text++ = 0;
	sub = strchr(manager, '/');
	if (sub)
		*sub++ = 0;
	req.manager = manager;
	req.subresource = sub ? sub : "";
	req.force = strcmp(line, "force") == 0;
	if (jvalue_parse(slice_str(text), w->a, NULL, &body, &err) < 0)
		fail_msg("%s: %s", err.text, text);
	if (strcmp(line, "create") == 0)
		w->obj.msg = NULL;
	if (strcmp(line, "create") == 0 || strcmp(line, "update") == 0)
		write_body(w, &req, body);
	else
		apply_body(w, &req, body);
}

/* One block: requests up to "----", then what is expected up to an empty line. Copies the block
 * with what came out. */
static bool run_block(struct world *w, FILE *in, char **line, size_t *cap, struct buf *copy)
{
	_cleanup_buf_ struct buf want = BUF_INIT;

	buf_clear(&w->out);
	do {
		if (strcmp(*line, "----\n") == 0)
			break;
		buf_str(copy, *line);
		(*line)[strcspn(*line, "\n")] = 0;
		if (strncmp(*line, "== ", 3) == 0)
			w->obj.msg = NULL;
		else if (**line && **line != '#')
			run_line(w, arena_strdup(w->a, *line));
	} while (getline(line, cap, in) > 0);
	buf_str(copy, "----\n");
	buf_slice(copy, buf_view(&w->out));
	while (getline(line, cap, in) > 0 && strcmp(*line, "\n") != 0)
		buf_str(&want, *line);
	buf_byte(copy, '\n');
	if (slice_eq(buf_view(&want), buf_view(&w->out)))
		return true;
	print_error("want\n%s\ngot\n%s\n", want.len ? (char *)want.data : "",
	            w->out.len ? (char *)w->out.data : "");
	return false;
}

static void manages(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct world w = {.a = &a};
	const char *path = arena_printf(&a, "%s/manage.txt", getenv("TESTDATA"));
	_cleanup_buf_ struct buf copy = BUF_INIT;
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	int failed = 0, blocks = 0;

	assert_non_null(f);
	for (; getline(&line, &cap, f) > 0; blocks++)
		failed += !run_block(&w, f, &line, &cap, &copy);
	fclose(f);
	free(line);
	buf_deinit(&w.out);
	assert_true(blocks > 10);
	if (failed && getenv("REWRITE")) {
		f = fopen(path, "w");
		fwrite(copy.data, 1, copy.len, f);
		fclose(f);
	}
	assert_int_equal(failed, 0);
}

static void names_managers(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	char longer[200];

	assert_string_equal(fieldmanager_name("me", "kubectl/v1", &a), "me");
	assert_string_equal(fieldmanager_name("", "my-tool/v1.2.3 (linux/amd64) extra", &a),
	                    "my-tool");
	assert_string_equal(fieldmanager_name(NULL,
	                                      "a\x01\x7f"
	                                      "b",
	                                      &a),
	                    "ab");
	assert_string_equal(fieldmanager_name(NULL, NULL, &a), "");
	memset(longer, 'x', sizeof(longer));
	memcpy(longer + 127, "\xc3\xa9", 2);
	longer[199] = 0;
	assert_int_equal(strlen(fieldmanager_name(NULL, longer, &a)), 127);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(manages),
	                                   cmocka_unit_test(names_managers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
