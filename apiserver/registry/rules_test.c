/* SPDX-License-Identifier: Apache-2.0 */
/* Plays recorded exchanges against the strategies: what a client sent, and the object or the causes
 * that it got back. One case a line of testdata/cases.jsonl:
 *
 *   {name, group, version, resource, sub, ns, op: "create" | "update", body, old, raw,
 *    ignore: [paths], expect: object | causes: ["field|reason|first 80 characters of the message"],
 * warnings}
 *
 * `raw` marks an `old` that is what the client sent, not what the server made of it. In expected
 * objects "<ip>", "<nodePort>" and "<healthCheckNodePort>" stand for whatever was chosen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "apiserver/registry/check.h"
#include "apiserver/registry/core/service_alloc.h"
#include "common/codec/jvalue.h"
#include "common/codec/rfc3339.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"
#include "proto/resource_table.h"

enum { TEXT_MAX = 80 };

static const char *cases_path;
static const char uid[] = "11111111-2222-4333-8444-555555555555";
static const char time_text[] = "2026-01-02T03:04:05Z";

static void fixed_uid(void *arg, char ret[37])
{
	memcpy(ret, uid, sizeof(uid));
}

static void fixed_suffix(void *arg, char ret[6])
{
	memcpy(ret, "abcde", 6);
}

struct play {
	struct arena a;
	struct strategy_ctx ctx;
	struct field_errors errs;
	struct strategy_warnings warnings;
	const struct resource_info *res;
	const struct strategy *st;
	struct object obj, old;
	const char *name;
	struct buf diff;
	bool admitted; /* the pod was given the account that admission gives */
};

static struct object decode(struct play *p, const struct jvalue *body)
{
	ProtobufCMessage *msg = NULL;
	struct err err = ERR_INIT;

	if (json_decode_tree(p->res->schema, body, &p->a, NULL, &msg, NULL, &err))
		fail_msg("%s: %s", p->name, err.text);
	return object_of(p->res, p->res->schema, msg);
}

/* Says where two trees differ. */
static void compare(struct play *p, const char *path, const struct jvalue *want,
                    const struct jvalue *got)
{
	if (jvalue_is(want, JVALUE_STRING) && got && want->n && want->str[0] == '<')
		return;
	if (!want || !got || want->kind != got->kind ||
	    (want->kind != JVALUE_OBJECT && want->kind != JVALUE_ARRAY)) {
		if (want && got && jvalue_equal(want, got))
			return;
		buf_printf(&p->diff, "\n    %s: want ", path);
		if (want)
			jvalue_write(want, &p->diff);
		buf_str(&p->diff, ", got ");
		if (got)
			jvalue_write(got, &p->diff);
		return;
	}
	if (want->kind == JVALUE_ARRAY) {
		for (size_t i = 0; i < MAX(want->n, got->n); i++)
			compare(p, arena_printf(&p->a, "%s[%zu]", path, i), jvalue_at(want, i),
			        jvalue_at(got, i));
		return;
	}
	for (size_t i = 0; i < want->n; i++)
		compare(p, arena_printf(&p->a, "%s.%s", path, want->members[i].key),
		        want->members[i].value, jvalue_get(got, want->members[i].key));
	for (size_t i = 0; i < got->n; i++)
		if (!jvalue_get(want, got->members[i].key))
			compare(p, arena_printf(&p->a, "%s.%s", path, got->members[i].key), NULL,
			        got->members[i].value);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void compare_causes(struct play *p, const struct jvalue *want)
{
	const char **got = arena_array(&p->a, const char *, p->errs.n + 1);
	const char **expected = arena_array(&p->a, const char *, want->n + 1);
	bool same = p->errs.n == want->n;

	for (size_t i = 0; i < p->errs.n; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		field_error_body(&p->errs.at[i], &b);
		got[i] = arena_printf(&p->a, "%s|%s|%.*s", p->errs.at[i].field,
		                      field_error_reason(p->errs.at[i].type), TEXT_MAX,
		                      (const char *)b.data);
	}
	for (size_t i = 0; i < want->n; i++)
		expected[i] = jvalue_at(want, i)->str;
	qsort(got, p->errs.n, sizeof(*got), by_text);
	qsort(expected, want->n, sizeof(*expected), by_text);
	/* Texts with a uid were cut before it was put in: they are longer than what is compared. */
	for (size_t i = 0; same && i < want->n; i++)
		same = strstr(expected[i], uid) ? !strncmp(got[i], expected[i], strlen(got[i]))
		                                : !strcmp(got[i], expected[i]);
	if (same)
		return;
	for (size_t i = 0; i < want->n; i++)
		buf_printf(&p->diff, "\n    want %s", expected[i]);
	for (size_t i = 0; i < p->errs.n; i++)
		buf_printf(&p->diff, "\n    got  %s", got[i]);
}

/* Deletes a member by its dotted path. */
static void forget(struct jvalue *obj, const char *path, struct arena *a)
{
	const char *dot = strrchr(path, '.');
	struct jvalue *parent =
	    dot ? jvalue_path(obj, arena_strndup(a, path, (size_t)(dot - path))) : obj;

	if (parent)
		jvalue_del(parent, dot ? dot + 1 : path);
}

static void compare_object(struct play *p, struct jvalue *want, const struct jvalue *ignore)
{
	struct jvalue *got, *meta;

	for (size_t i = 0; i < p->errs.n; i++) {
		buf_str(&p->diff, "\n    error ");
		field_error_text(&p->errs.at[i], &p->diff);
	}
	got = json_encode_tree(p->res->schema, p->obj.msg, NULL, &p->a);
	meta = jvalue_get(got, "metadata");
	if (p->admitted) {
		forget(got, "spec.serviceAccountName", &p->a);
		forget(got, "spec.serviceAccount", &p->a);
	}
	jvalue_del(meta, "managedFields");
	jvalue_del(meta, "resourceVersion");
	for (size_t i = 0; ignore && i < ignore->n; i++) {
		forget(want, jvalue_at(ignore, i)->str, &p->a);
		forget(got, jvalue_at(ignore, i)->str, &p->a);
	}
	compare(p, "", want, got);
}

static void compare_warnings(struct play *p, const struct jvalue *want)
{
	for (size_t i = 0; i < MAX(want ? want->n : 0, p->warnings.n); i++) {
		const char *w = want && i < want->n ? jvalue_at(want, i)->str : "";
		_cleanup_buf_ struct buf b = BUF_INIT;
		if (i < p->warnings.n) {
			buf_str(&b, "299 - ");
			buf_str(&b, field_quote(&p->a, p->warnings.at[i]));
		}
		size_t n = MIN(strlen(w), b.len);
		if (n && !strncmp(w, (char *)b.data, n))
			continue;
		buf_printf(&p->diff, "\n    warning: want %s, got %.*s", w, (int)b.len,
		           (const char *)b.data);
	}
}

static bool carries_over(const struct play *p, const char *name)
{
	(void)p;
	return strcmp(name, "endpoints"); /* the deprecation of v1 Endpoints is the endpoints' */
}

static void create(struct play *p, const struct jvalue *body, bool allocate)
{
	p->obj = decode(p, body);
	if (p->res->namespaced && !*p->obj.meta->namespace_)
		p->obj.meta->namespace_ = arena_strdup(&p->a, "nsns");
	if (!strcmp(p->res->resource, "pods") &&
	    !*OBJECT_MSG(&p->obj, CoreV1__Pod)->spec->service_account_name) {
		OBJECT_MSG(&p->obj, CoreV1__Pod)->spec->service_account_name = (char *)"default";
		p->admitted = true;
	}
	registry_defaults(&p->ctx, p->st, &p->obj);
	registry_before_create(&p->ctx, p->st, &p->obj, &p->errs);
	if (allocate && !p->errs.n && p->st->allocate)
		p->st->allocate(&p->ctx, &p->obj, NULL, &p->errs);
}

/* What the loop that serves definitions has done to one that exists. */
static void establish(struct play *p)
{
	ApiextensionsV1__CustomResourceDefinition *crd =
	    OBJECT_MSG(&p->old, ApiextensionsV1__CustomResourceDefinition);
	ApiextensionsV1__CustomResourceDefinitionCondition *c =
	    arena_new(&p->a, ApiextensionsV1__CustomResourceDefinitionCondition);

	protobuf_c_message_init(&apiextensions_v1__custom_resource_definition_condition__descriptor,
	                        c);
	c->type = arena_strdup(&p->a, "Established");
	c->status = arena_strdup(&p->a, "True");
	crd->status->conditions = arena_memdup(&p->a, &c, sizeof(c));
	crd->status->n_conditions = 1;
}

/* Does to `tree` what makes `now` of `was`. */
static void overlay(struct arena *a, struct jvalue *tree, const struct jvalue *was,
                    const struct jvalue *now)
{
	for (size_t i = 0; i < now->n; i++) {
		const char *key = now->members[i].key;
		struct jvalue *value = now->members[i].value, *old = jvalue_get(was, key);
		struct jvalue *in = jvalue_get(tree, key);
		if (old && jvalue_equal(old, value))
			continue;
		if (jvalue_is(old, JVALUE_OBJECT) && jvalue_is(value, JVALUE_OBJECT) && in)
			overlay(a, in, old, value);
		else if (jvalue_is(in, JVALUE_ARRAY) && jvalue_is(old, JVALUE_ARRAY) &&
		         in->n == 1 && jvalue_is(jvalue_at(in, 0), JVALUE_OBJECT) && value->n == 1)
			overlay(a, jvalue_at(in, 0), jvalue_at(old, 0), jvalue_at(value, 0));
		else
			jvalue_set(a, tree, key, value);
	}
	for (size_t i = 0; i < was->n; i++)
		if (!jvalue_get(now, was->members[i].key))
			jvalue_del(tree, was->members[i].key);
}

static void update(struct play *p, const struct jvalue *c)
{
	const struct strategy *st = p->st;
	const struct jvalue *old = jvalue_get(c, "old"), *body = jvalue_get(c, "body");

	p->st = registry_strategy(p->res, "");
	if (jvalue_get_bool(c, "raw", false)) {
		create(p, old, true);
		p->old = p->obj;
		if (!strcmp(p->res->resource, "customresourcedefinitions"))
			establish(p);
		struct jvalue *tree = json_encode_tree(p->res->schema, p->old.msg, NULL, &p->a);
		overlay(&p->a, tree, old, body);
		body = tree;
	} else {
		p->old = decode(p, old);
		registry_defaults(&p->ctx, p->st, &p->old);
	}
	p->errs.n = 0;
	p->st = st;
	p->obj = decode(p, body);
	if (p->res->namespaced)
		p->obj.meta->namespace_ = p->old.meta->namespace_;
	p->old.meta->resource_version = arena_strdup(&p->a, "1");
	p->obj.meta->resource_version = p->old.meta->resource_version;
	registry_defaults(&p->ctx, p->st, &p->obj);
	registry_before_update(&p->ctx, p->st, &p->obj, &p->old, &p->errs);
}

static void run(struct play *p, const struct jvalue *c)
{
	const char *sub = jvalue_get_str(c, "sub", "");
	struct jvalue *want = jvalue_get(c, "expect"), *causes = jvalue_get(c, "causes");

	p->res = resource_find(jvalue_get_str(c, "group", ""), jvalue_get_str(c, "version", ""),
	                       jvalue_get_str(c, "resource", ""), "");
	if (!p->res)
		fail_msg("%s: no such resource", p->name);
	p->st = registry_strategy(p->res, sub);
	if (!p->st)
		fail_msg("%s: no strategy", p->name);
	bool is_create = !strcmp(jvalue_get_str(c, "op", ""), "create");
	if (is_create)
		create(p, jvalue_get(c, "body"), true);
	else
		update(p, c);
	if (causes)
		compare_causes(p, causes);
	if (want)
		compare_object(p, want, jvalue_get(c, "ignore"));
	if (!causes && carries_over(p, p->res->resource)) {
		registry_warnings(&p->ctx, p->st, &p->obj, is_create ? NULL : &p->old,
		                  &p->warnings);
		compare_warnings(p, jvalue_get(c, "warnings"));
	}
}

/* Cluster IPs that other cases of the same scenario hold when these run. */
static void occupy(struct service_alloc *services)
{
	struct ip ip;

	ip_parse("10.96.200.10", &ip);
	service_alloc_ip(services, &ip);
	service_alloc_port(services, 32456);
}

static bool is_taken_case(const char *name)
{
	return list_has(LIST("b-service-more/ip-taken", "b-service-more/nodeport-taken"), name);
}

static bool play(const struct jvalue *c)
{
	struct play p = {.name = jvalue_get_str(c, "name", "")};
	struct strategy_options options = {
	    .allow_privileged = true, .ip_families = {"IPv4"}, .n_ip_families = 1};
	struct service_alloc_options ranges = {.n_ranges = 1};
	struct time_spec now;
	bool ok;

	arena_init(&p.a);
	assert_true(ip_prefix_parse("10.96.0.0/16", &ranges.ranges[0]));
	assert_int_equal(rfc3339_parse(slice_str(time_text), &now, NULL), 0);
	p.ctx = (struct strategy_ctx){.arena = &p.a,
	                              .now_sec = now.sec,
	                              .options = &options,
	                              .services = service_alloc_new(&ranges),
	                              .new_uid = fixed_uid,
	                              .name_suffix = fixed_suffix};
	if (is_taken_case(p.name))
		occupy(p.ctx.services);
	p.errs = field_errors_in(&p.a);
	p.warnings.arena = &p.a;
	run(&p, c);
	ok = !p.diff.len;
	if (!ok)
		print_error("%s%.*s\n", p.name, (int)p.diff.len, (const char *)p.diff.data);
	buf_deinit(&p.diff);
	service_alloc_free(p.ctx.services);
	arena_deinit(&p.a);
	return ok;
}

static void test_cases(void **state)
{
	FILE *f = fopen(cases_path, "re");
	size_t cap = 0, n = 0, bad = 0;
	char *line = NULL;
	ssize_t len;

	assert_non_null(f);
	while ((len = getline(&line, &cap, f)) > 0) {
		struct err err = ERR_INIT;
		struct jvalue *c = NULL;
		struct arena a;
		arena_init(&a);
		if (jvalue_parse(slice_of(line, (size_t)len), &a, NULL, &c, &err))
			fail_msg("line %zu: %s", n + 1, err.text);
		n++;
		bad += !play(c);
		arena_deinit(&a);
	}
	free(line);
	fclose(f);
	print_message("%zu cases, %zu differ\n", n, bad);
	assert_true(n > 0);
	assert_int_equal(bad, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};

	cases_path = argc > 1 ? argv[1] : "testdata/cases.jsonl";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
