/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins against a world of a few objects. testdata/admission.txt: blocks of
 *
 *     world RESOURCE[.GROUP] JSON          an object that is there
 *     user NAME [GROUP...]
 *     create|update|delete PLUGIN RESOURCE[.GROUP][/SUB] JSON     (update: the old object first)
 *     ----
 *     ok | the refusal's text; warnings as "warning: ..."; "write NAME" for writes
 *     = JSON                               what the object holds after mutation, when it says so
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "apiserver/admission/admission.h"
#include "common/codec/jvalue.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/meta_v1.pb-c.h"

enum { WORLD_MAX = 16, GROUPS_MAX = 4 };

static struct arena arena;
static struct object world[WORLD_MAX];
static size_t n_world;
static struct object sought[WORLD_MAX];
static bool may_all;

static const struct resource_info *resource_of(char *text, const char **ret_sub)
{
	char *slash = strchr(text, '/'), *dot;

	*ret_sub = slash ? slash + 1 : "";
	if (slash)
		*slash = '\0';
	dot = strchr(text, '.');
	if (dot)
		*dot = '\0';
	const struct resource_info *r = resource_find(dot ? dot + 1 : "", "v1", text, "");
	if (!r)
		fail_msg("no resource %s", text);
	return r;
}

static struct object decode(const struct resource_info *res, const char *json)
{
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;

	if (json_decode(res->schema, slice_str(json), &arena, NULL, &msg, NULL, &err) < 0)
		fail_msg("%s: %s", json, err.text);
	return object_of(res, res->schema, msg);
}

static const struct object *world_get(void *arg, const struct resource_info *res, const char *ns,
                                      const char *name)
{
	for (size_t i = 0; i < n_world; i++)
		if (world[i].res == res && !strcmp(object_namespace(&world[i]), ns) &&
		    !strcmp(object_name(&world[i]), name))
			return &world[i];
	return NULL;
}

static size_t world_list(void *arg, const struct resource_info *res, const char *ns,
                         const struct object **ret)
{
	size_t n = 0;

	for (size_t i = 0; i < n_world; i++)
		if (world[i].res == res && (!*ns || !strcmp(object_namespace(&world[i]), ns)))
			sought[n++] = world[i];
	*ret = sought;
	return n;
}

static bool world_may(void *arg, const char *verb, const char *group, const char *resource,
                      const char *name)
{
	return may_all;
}

static void world_suffix(void *arg, char ret[6])
{
	memcpy(ret, "abcde", 6);
}

/* --- one request -------------------------------------------------------------------------------
 */

static struct request req;
static struct strategy_warnings warnings;

static const struct admission_plugin *plugin_of(const char *name)
{
	for (size_t i = 0; i < admission_n_plugins; i++)
		if (!strcmp(admission_plugins[i].name, name))
			return &admission_plugins[i];
	fail_msg("no plugin %s", name);
	return NULL;
}

static void report(struct buf *out, const struct refusal *r, const struct admission *ad)
{
	if (r)
		buf_printf(out, "%s%s\n", ad->stale ? "stale: " : "", r->why);
	else
		buf_str(out, "ok\n");
	for (size_t i = 0; i < warnings.n; i++)
		buf_printf(out, "warning: %s\n", warnings.at[i]);
	for (const struct admission_write *w = ad->writes; w; w = w->next)
		buf_printf(out, "write %s\n", object_name(w->obj));
}

static void admit(const char *op, char *line, struct buf *out, struct object *obj)
{
	static const struct admission_world w = {world_get, world_list,   world_may, NULL,
	                                         NULL,      world_suffix, NULL};
	char *plugin = strtok(line, " "), *resource = strtok(NULL, " "), *json = strtok(NULL, "\n");
	const char *sub;
	const struct resource_info *res = resource_of(resource, &sub);
	struct object old;

	char *second = !strcmp(op, "update") ? strstr(json, " => ") : NULL;
	if (second) {
		*second = '\0';
		old = decode(res, json);
		json = second + 4;
	}
	*obj = decode(res, json);
	warnings = (struct strategy_warnings){.arena = &arena};
	struct admission_attrs at = {
	    .req = &req,
	    .op = !strcmp(op, "create")   ? ADMIT_CREATE
	          : !strcmp(op, "update") ? ADMIT_UPDATE
	                                  : ADMIT_DELETE,
	    .res = res,
	    .subresource = sub,
	    .ns = object_namespace(obj),
	    .name = object_name(obj),
	    .obj = !strcmp(op, "delete") ? NULL : obj,
	    .old = second                  ? &old
	           : !strcmp(op, "delete") ? obj
	                                   : NULL,
	    .arena = &arena,
	    .warnings = &warnings,
	};
	struct admission ad = {.at = &at, .world = &w, .arena = &arena, .fresh = true};
	const struct admission_plugin *p = plugin_of(plugin);
	const struct refusal *r = p->mutate ? p->mutate(&ad) : NULL;

	if (!r && p->validate)
		r = p->validate(&ad);
	report(out, r, &ad);
}

/* --- the script
 * ------------------------------------------------------------------------------------ */

/* True when everything in `want` is in `have` alike; lists must be equal in length. */
static bool holds(const struct jvalue *have, const struct jvalue *want)
{
	if (want->kind == JVALUE_OBJECT) {
		for (size_t i = 0; i < want->n; i++) {
			const struct jvalue *h = jvalue_get(have, want->members[i].key);

			if (!h || !holds(h, want->members[i].value))
				return false;
		}
		return have->kind == JVALUE_OBJECT;
	}
	if (want->kind != JVALUE_ARRAY)
		return jvalue_equal(have, want);
	if (have->kind != JVALUE_ARRAY || have->n != want->n)
		return false;
	for (size_t i = 0; i < want->n; i++)
		if (!holds(have->items[i], want->items[i]))
			return false;
	return true;
}

static void check_object(const struct object *obj, const char *json, int line)
{
	struct jvalue *want = NULL;
	const struct jvalue *have = json_encode_tree(obj->schema, obj->msg, NULL, &arena);
	_cleanup_buf_ struct buf text = BUF_INIT;

	assert_int_equal(jvalue_parse(slice_str(json), &arena, NULL, &want, NULL), 0);
	jvalue_write(have, &text);
	if (!holds(have, want))
		fail_msg("line %d: %s", line, (char *)text.data);
}

static void set_user(char *line)
{
	const char **groups = arena_array(&arena, const char *, GROUPS_MAX);

	req.user = (struct user_info){.name = strtok(line, " \n"), .uid = "", .groups = groups};
	for (char *g; req.user.n_groups < GROUPS_MAX && (g = strtok(NULL, " \n"));)
		groups[req.user.n_groups++] = g;
}

static void add_world(char *line)
{
	char *resource = strtok(line, " "), *json = strtok(NULL, "\n");
	const char *sub;

	assert_true(n_world < WORLD_MAX);
	const struct resource_info *res = resource_of(resource, &sub);
	world[n_world++] = decode(res, json);
}

static void runs_the_script(void **state)
{
	FILE *f = fopen(getenv("TESTDATA"), "re");
	struct buf out = BUF_INIT, want = BUF_INIT;
	struct object obj = {0};
	bool expecting = false;
	char *line = NULL;
	size_t cap = 0, cases = 0;
	int n = 0;

	assert_non_null(f);
	arena_init(&arena);
	while (getline(&line, &cap, f) > 0) {
		char *word = arena_strdup(&arena, line), *rest = strchr(word, ' ');

		n++;
		if (rest)
			*rest++ = '\0';
		if (line[0] == '#')
			continue;
		if (!strcmp(line, "----\n")) {
			expecting = true;
		} else if (!strcmp(line, "\n") && expecting) {
			buf_byte(&out, '\0');
			buf_byte(&want, '\0');
			if (strcmp((char *)out.data, (char *)want.data) != 0)
				fail_msg("line %d: got\n%swant\n%s", n, out.data, want.data);
			buf_clear(&out);
			buf_clear(&want);
			n_world = 0;
			may_all = expecting = false;
			req.user = (struct user_info){.name = "admin", .uid = ""};
			cases++;
		} else if (expecting && line[0] == '=') {
			check_object(&obj, line + 2, n);
		} else if (expecting) {
			buf_str(&want, line);
		} else if (!strcmp(word, "world")) {
			add_world(rest);
		} else if (!strcmp(word, "user")) {
			set_user(rest);
		} else if (!strcmp(line, "may\n")) {
			may_all = true;
		} else if (rest) {
			admit(word, rest, &out, &obj);
		}
	}
	assert_true(cases > 30);
	free(line);
	fclose(f);
	buf_deinit(&out);
	buf_deinit(&want);
	arena_deinit(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(runs_the_script)};

	req.user = (struct user_info){.name = "admin", .uid = ""};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
