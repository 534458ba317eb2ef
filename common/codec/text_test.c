/* SPDX-License-Identifier: Apache-2.0 */
/* Table-driven: testdata/NAME.txt has one case a block, "input" and the expected answer around
 * "----". Strings are written as JSON where they need escapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include "common/codec/base64.h"
#include "common/codec/crc32c.h"
#include "common/codec/cron.h"
#include "common/codec/duration.h"
#include "common/codec/fields.h"
#include "common/codec/json_writer.h"
#include "common/codec/jvalue.h"
#include "common/codec/labels.h"
#include "common/codec/names.h"
#include "common/codec/quantity.h"
#include "common/codec/rfc3339.h"
#include "common/codec/yaml.h"

typedef void (*case_fn)(struct slice in, struct arena *a, struct buf *out);

static void error_out(struct buf *out, const struct err *err)
{
	buf_printf(out, "error: %s", err->text);
}

static void do_json(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	struct jvalue *v;
	struct json_report rep = {.arena = a};

	if (jvalue_parse(in, a, &rep, &v, &err) < 0) {
		error_out(out, &err);
		return;
	}
	jvalue_write(v, out);
	for (size_t i = 0; i < rep.n; i++)
		buf_printf(out, "\n%s", rep.at[i]);
}

static void do_yaml(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	struct jvalue *v, *again;
	struct json_report rep = {.arena = a};
	struct buf text = BUF_INIT;

	if (yaml_parse(in, a, &rep, &v, &err) < 0) {
		error_out(out, &err);
		return;
	}
	jvalue_write(v, out);
	for (size_t i = 0; i < rep.n; i++)
		buf_printf(out, "\n%s", rep.at[i]);
	/* What we write reads back the same. */
	yaml_write(v, &text);
	if (yaml_parse(buf_view(&text), a, NULL, &again, &err) < 0 || !jvalue_equal(v, again))
		buf_printf(out, "\nwritten as:\n%s", (char *)text.data);
	buf_deinit(&text);
}

static void do_yaml_write(struct slice in, struct arena *a, struct buf *out)
{
	struct jvalue *v;

	assert_int_equal(jvalue_parse(in, a, NULL, &v, NULL), 0);
	yaml_write(v, out);
	out->len--;
}

static void do_quantity(struct slice in, struct arena *a, struct buf *out)
{
	struct quantity q;
	struct err err = ERR_INIT;
	char text[QUANTITY_BYTES];

	if (quantity_parse(in, &q, &err) < 0) {
		error_out(out, &err);
		return;
	}
	quantity_format_text(&q, text);
	buf_printf(out, "%s value %lld milli %lld%s", text, (long long)quantity_value(&q),
	           (long long)quantity_milli(&q), q.reformat ? " reformat" : "");
}

static void do_label(struct slice in, struct arena *a, struct buf *out)
{
	static const struct label_pair pairs[] = {
	    {"app", "web"}, {"tier", "front"}, {"n", "7"}, {"empty", ""}};
	static const struct label_set set = {pairs, ARRAY_LEN(pairs)};
	struct err err = ERR_INIT;
	struct label_selector sel;

	if (label_selector_parse(arena_strndup(a, in.data, in.len), a, &sel, &err) < 0) {
		error_out(out, &err);
		return;
	}
	label_selector_format(&sel, out);
	buf_str(out, label_selector_match_set(&sel, &set) ? " matches" : " does not match");
}

static void do_field(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	struct field_selector sel;

	if (field_selector_parse(arena_strndup(a, in.data, in.len), a, &sel, &err) < 0)
		error_out(out, &err);
	else
		field_selector_format(&sel, out);
}

static void do_time(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	struct time_spec t;
	char text[RFC3339_BYTES];

	if (rfc3339_parse(in, &t, &err) < 0) {
		error_out(out, &err);
		return;
	}
	rfc3339_format(t.sec, text);
	buf_printf(out, "%s %lld ", text, (long long)t.sec);
	rfc3339_format_micro(t.sec, t.nsec, text);
	buf_printf(out, "%s ", text);
	rfc3339_format_nano(t.sec, t.nsec, text);
	buf_str(out, text);
	buf_str(out, rfc3339_parse_micro(in, &t, NULL) == 0 ? " micro" : "");
}

/* Central Europe in 2026. */
static int64_t cet(int64_t unix_s, void *arg)
{
	return unix_s >= 1774746000 && unix_s < 1792890000 ? 7200 : 3600;
}

/* "schedule; a time [; CET]": the next three times. */
static void do_cron(struct slice in, struct arena *a, struct buf *out)
{
	char *text = arena_strndup(a, in.data, in.len), *at = strchr(text, ';');
	struct time_spec t;
	struct cron c;
	char next[RFC3339_BYTES];

	assert_non_null(at);
	*at = 0;
	char *zone = strchr(at + 1, ';');
	size_t n = zone ? (size_t)(zone - at - 2) : strlen(at + 2);
	assert_int_equal(rfc3339_parse(slice_of(at + 2, n), &t, NULL), 0);
	const char *error = cron_parse(text, a, &c);
	if (error)
		buf_str(out, error);
	for (int i = 0; i < 3 && !error; i++) {
		t.sec = cron_next(&c, t.sec, zone ? cet : NULL, NULL);
		if (t.sec < 0) {
			buf_str(out, i ? " never" : "never");
			break;
		}
		rfc3339_format(t.sec, next);
		buf_printf(out, "%s%s", i ? " " : "", next);
	}
}

static void do_duration(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	int64_t ns;
	char text[DURATION_BYTES];

	if (duration_parse(in, &ns, &err) < 0) {
		error_out(out, &err);
		return;
	}
	duration_format(ns, text);
	buf_printf(out, "%s %lld", text, (long long)ns);
}

static void do_base64(struct slice in, struct arena *a, struct buf *out)
{
	struct err err = ERR_INIT;
	struct slice bytes;

	if (base64_decode(in, a, &bytes, &err) < 0) {
		error_out(out, &err);
		return;
	}
	json_write_string(out, bytes);
	buf_byte(out, ' ');
	base64_encode(bytes, out);
}

static void do_name(struct slice in, struct arena *a, struct buf *out)
{
	static const struct {
		const char *name;
		size_t (*fn)(const char *, struct arena *, const char *ret[NAMES_MAX]);
	} checks[] = {
	    {"label", names_dns1123_label},         {"subdomain", names_dns1123_subdomain},
	    {"dns1035", names_dns1035_label},       {"qualified", names_qualified},
	    {"value", names_label_value},           {"env", names_env_var},
	    {"key", names_config_map_key},          {"port", names_port_name},
	    {"segment", names_path_segment},        {"wildcard", names_wildcard_dns1123_subdomain},
	    {"prefix", names_dns1123_label_prefix}, {"percent", names_percent}};
	const char *msgs[NAMES_MAX];
	const uint8_t *space = memchr(in.data, ' ', in.len);

	assert_non_null(space);
	struct slice kind = slice_of(in.data, (size_t)(space - in.data));
	const char *s = arena_strndup(a, space + 1, in.len - kind.len - 1);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (!slice_eq_str(kind, checks[i].name))
			continue;
		size_t n = checks[i].fn(s, a, msgs);
		for (size_t j = 0; j < n; j++)
			buf_printf(out, "%s%s", j ? "\n" : "", msgs[j]);
		if (n == 0)
			buf_str(out, "valid");
		return;
	}
	fail_msg("no check %.*s", SLICE_FMT(kind));
}

static char *read_file(const char *path)
{
	struct buf b = BUF_INIT;
	char chunk[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(&b, chunk, n);
	fclose(f);
	return buf_steal_str(&b);
}

/* Runs every block "input\n----\nexpected\n\n"; with REWRITE=1 the file is written anew. */
static void run_cases(const char *name, case_fn fn)
{
	char path[512];
	struct buf anew = BUF_INIT;
	int bad = 0;

	snprintf(path, sizeof(path), "%s/%s.txt", getenv("TESTDATA"), name);
	char *text = read_file(path);
	for (char *p = text; *p;) {
		char *sep = strstr(p, "\n----\n"), *end = sep ? strstr(sep + 6, "\n\n\n") : NULL;

		assert_non_null(sep);
		struct slice in = slice_of(p, (size_t)(sep - p));
		struct slice want =
		    end ? slice_of(sep + 6, (size_t)(end - sep - 6)) : slice_str(sep + 6);
		while (!end && want.len && want.data[want.len - 1] == '\n')
			want.len--;
		_cleanup_arena_ struct arena a = {0};
		_cleanup_buf_ struct buf out = BUF_INIT;
		fn(in, &a, &out);
		if (!slice_eq(buf_view(&out), want)) {
			print_error("%s: %.*s\n  want %.*s\n  got  %.*s\n", name, SLICE_FMT(in),
			            SLICE_FMT(want), SLICE_FMT(buf_view(&out)));
			bad++;
		}
		buf_printf(&anew, "%.*s\n----\n%.*s\n%s", SLICE_FMT(in), SLICE_FMT(buf_view(&out)),
		           end ? "\n\n" : "");
		p = end ? end + 3 : p + strlen(p);
	}
	if (getenv("REWRITE")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fwrite(anew.data, 1, anew.len, f);
		fclose(f);
	}
	free(text);
	buf_deinit(&anew);
	assert_int_equal(bad, 0);
}

#define CASES(name)                           \
	static void test_##name(void **state) \
	{                                     \
		run_cases(#name, do_##name);  \
	}
CASES(json)
CASES(yaml)
CASES(yaml_write)
CASES(quantity)
CASES(label)
CASES(field)
CASES(time)
CASES(cron)
CASES(duration)
CASES(base64)
CASES(name)

static void test_crc32c(void **state)
{
	char zeros[32] = {0};

	/* RFC 3720 B.4 */
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_json_limits(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	_cleanup_buf_ struct buf deep = BUF_INIT;
	struct jvalue *v;
	struct err err = ERR_INIT;

	for (int i = 0; i < 100000; i++)
		buf_byte(&deep, '[');
	assert_int_equal(jvalue_parse(buf_view(&deep), &a, NULL, &v, &err), -ERR_BAD_REQUEST);
	assert_string_equal(err.text, "exceeded max depth");
	assert_int_equal(json_check(buf_view(&deep), &err), -ERR_BAD_REQUEST);
	assert_int_equal(yaml_parse(buf_view(&deep), &a, NULL, &v, &err), -ERR_BAD_REQUEST);
}

static void test_large_object(void **state)
{
	_cleanup_arena_ struct arena a = {0};
	struct jvalue *obj = jvalue_object(&a);
	char key[16];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		jvalue_set(&a, obj, key, jvalue_int(&a, i));
	}
	for (int i = 0; i < 1000; i += 3) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_true(jvalue_del(obj, key));
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(jvalue_get_int(obj, key, -1), i % 3 ? i : -1);
	}
	assert_true(jvalue_equal(obj, jvalue_copy(&a, obj)));
}

static void test_quantity_math(void **state)
{
	struct quantity a = quantity_of("1500m"), b = quantity_of("0.5");

	quantity_add(&a, &b);
	assert_int_equal(quantity_value(&a), 2);
	quantity_sub(&a, &(struct quantity){.value = 3});
	assert_int_equal(quantity_milli(&a), -1000);
	assert_int_equal(quantity_cmp_text("1Gi", "1024Mi"), 0);
	assert_true(quantity_cmp_text("1G", "1Gi") < 0);
	assert_true(quantity_cmp_text("999999999999999999E", "1n") > 0);
	assert_int_equal(quantity_cmp_text("100m", "0.1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json),          cmocka_unit_test(test_yaml),
	    cmocka_unit_test(test_yaml_write),    cmocka_unit_test(test_quantity),
	    cmocka_unit_test(test_label),         cmocka_unit_test(test_field),
	    cmocka_unit_test(test_time),          cmocka_unit_test(test_duration),
	    cmocka_unit_test(test_cron),          cmocka_unit_test(test_base64),
	    cmocka_unit_test(test_name),          cmocka_unit_test(test_crc32c),
	    cmocka_unit_test(test_json_limits),   cmocka_unit_test(test_large_object),
	    cmocka_unit_test(test_quantity_math),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
