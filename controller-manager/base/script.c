/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/heap.h"
#include "common/codec/yaml.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/pb_decode.h"

#define SEPARATOR "\n----\n"

static void die(const char *path, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", path, what, why);
	abort();
}

/* The message of a kind in any group: names of kinds in tables are short. */
static const struct schema_message *schema_of_kind(const char *kind)
{
	static const char *const groups[] = {"", "apps", "batch", "discovery.k8s.io", "policy"};
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		const struct schema_message *m = schema_by_gvk(groups[i], "v1", kind);
		if (m)
			return m;
	}
	return NULL;
}

static void read_case(const char *path, struct slice text, struct script_case *c)
{
	static const struct jvalue empty = {.kind = JVALUE_OBJECT};
	struct jvalue *docs;
	struct err err = ERR_INIT;
	if (yaml_parse_all(text, &c->a, &docs, &err))
		die(path, (const char *)text.data, err.text);
	c->params = &empty;
	c->objects = arena_array(&c->a, struct script_object, docs->n);
	for (size_t i = 0; i < docs->n; i++) {
		const char *kind = jvalue_get_str(docs->items[i], "kind", "");
		struct script_object *o = &c->objects[c->n];
		if (!*kind) {
			c->params = docs->items[i];
			continue;
		}
		struct json_report report = {.arena = &c->a};
		o->schema = schema_of_kind(kind);
		if (!o->schema || json_decode_tree(o->schema, docs->items[i], &c->a, &report,
		                                   &o->msg, NULL, &err))
			die(path, kind, o->schema ? err.text : "no such kind");
		if (report.n)
			die(path, kind, report.at[0]);
		c->n++;
	}
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct buf b = BUF_INIT;
	char chunk[4096];
	size_t n;
	if (!f)
		die(path, "open", "cannot be read");
	while ((n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(&b, chunk, n);
	fclose(f);
	return buf_steal_str(&b);
}

/* One case: from its first line to the end of its answer. */
static int run_case(const char *path, struct slice input, struct slice want, script_fn fn,
                    struct buf *rewritten)
{
	struct script_case c = {0};
	_cleanup_buf_ struct buf got = BUF_INIT;
	read_case(path, input, &c);
	buf_str(&got, "");
	fn(&c, &got);
	arena_deinit(&c.a);
	if (rewritten->len)
		buf_str(rewritten, "\n");
	buf_slice(rewritten, input);
	buf_str(rewritten, SEPARATOR);
	buf_slice(rewritten, buf_view(&got));
	if (slice_eq(buf_view(&got), want))
		return 0;
	size_t line = 0;
	while (line < input.len && input.data[line] != '\n')
		line++;
	fprintf(stderr, "%s: %.*s\nwant:\n%.*sgot:\n%s\n", path, (int)line,
	        (const char *)input.data, (int)want.len, (const char *)want.data,
	        (const char *)got.data);
	return 1;
}

int script_run(const char *path, script_fn fn)
{
	char *text = read_file(path), *at = text;
	_cleanup_buf_ struct buf rewritten = BUF_INIT;
	int failed = 0;
	while (*at) {
		while (*at == '\n')
			at++;
		char *separator = strstr(at, SEPARATOR);
		if (!separator)
			break;
		char *answer = separator + strlen(SEPARATOR), *end = strstr(answer, "\n\n");
		if (*answer == '\n')
			end = answer;
		else
			end = end ? end + 1 : answer + strlen(answer);
		failed += run_case(path, slice_of(at, (size_t)(separator - at)),
		                   slice_of(answer, (size_t)(end - answer)), fn, &rewritten);
		at = end;
	}
	free(text);
	if (failed && getenv("REWRITE")) {
		FILE *f = fopen(path, "we");
		if (!f || fwrite(rewritten.data, 1, rewritten.len, f) != rewritten.len || fclose(f))
			die(path, "write", "failed");
		return 0;
	}
	return failed;
}

void *script_one(const struct script_case *c, const struct schema_message *schema)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->objects[i].schema == schema)
			return c->objects[i].msg;
	return NULL;
}

size_t script_all(struct script_case *c, const struct schema_message *schema, void *ret)
{
	void **list = arena_array(&c->a, void *, c->n);
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++)
		if (c->objects[i].schema == schema)
			list[n++] = c->objects[i].msg;
	*(void ***)ret = list;
	return n;
}

void script_write(struct buf *out, const char *name, const struct schema_message *schema,
                  const ProtobufCMessage *msg)
{
	static const struct type_meta none = {"", ""};
	buf_printf(out, "%s ", name);
	json_encode(schema, msg, &none, out);
	buf_str(out, "\n");
}
