/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/codec/cron.h"
#include "apiserver/registry/check.h"
#include "apiserver/registry/core/service_alloc.h"
#include "apiserver/registry/metadata.h"
#include "proto/json_decode.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_deinit(&arena);
	return 0;
}

/* --- field errors ----------------------------------------------------------------------------- */

static const char *message(const struct field_errors *errs, const char *kind, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	field_errors_message(errs, kind, name, &b);
	return arena_strndup(&arena, b.data, b.len);
}

static void test_field_error_messages(void **state)
{
	struct field_errors errs = field_errors_in(&arena);
	path_t c = FIELD_INDEX(FIELD(NULL, "spec.containers"), 1);

	assert_string_equal(message(&errs, "Pod", "p"), "Pod \"p\" is invalid");
	field_required(&errs, FIELD(c, "image"), "");
	assert_string_equal(message(&errs, "Pod", "p"),
	                    "Pod \"p\" is invalid: spec.containers[1].image: Required value");
	field_required(&errs, FIELD(c, "image"), "");
	field_invalid(&errs, FIELD_KEY(FIELD(NULL, "data"), "a b"), "x\"\n\x01é", "no");
	field_too_many(&errs, NULL, 5, 4);
	field_not_supported(&errs, FIELD(NULL, "t"), "z", LIST("a", "b"));
	assert_string_equal(
	    message(&errs, "Deployment.apps", "d"),
	    "Deployment.apps \"d\" is invalid: [spec.containers[1].image: Required "
	    "value, data[a b]: Invalid value: \"x\\\"\\n\\x01é\": no, <nil>: Too many: "
	    "5: must have at most 4 items, t: Unsupported value: \"z\": supported "
	    "values: \"a\", \"b\"]");
	assert_int_equal(errs.n, 5);
	assert_string_equal(field_error_reason(errs.at[2].type), "FieldValueInvalid");
}

static void test_field_errors_are_bounded(void **state)
{
	struct field_errors errs = field_errors_in(&arena);

	for (int i = 0; i < 2 * FIELD_ERRORS_MAX; i++)
		field_forbidden(&errs, FIELD_INDEX(FIELD(NULL, "a"), i), "no");
	assert_int_equal(errs.n, FIELD_ERRORS_MAX);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void test_ip_text(void **state)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
	    {"10.0.0.1", "10.0.0.1"},
	    {"010.0.0.1", NULL},
	    {"1.2.3", NULL},
	    {"1.2.3.4.5", NULL},
	    {"256.1.1.1", NULL},
	    {"", NULL},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
	    {"2001:db8::", "2001:db8::"},
	    {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
	    {"1::2::3", NULL},
	    {"1:2:3:4:5:6:7", NULL},
	    {"12345::", NULL},
	    {":1", NULL},
	    {"1:", NULL},
	    {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
	    {"fe80::1%eth0", NULL},
	};
	char text[IP_TEXT_BYTES];
	struct ip ip;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool ok = ip_parse(cases[i].in, &ip);
		assert_int_equal(ok, cases[i].out != NULL);
		if (ok)
			assert_string_equal(ip_format(&ip, text), cases[i].out);
	}
	assert_true(ip_parse_sloppy("010.0.0.1", &ip));
}

static void test_ip_prefixes(void **state)
{
	struct ip_prefix p;
	struct ip ip;

	assert_true(ip_prefix_parse("10.1.2.3/16", &p));
	assert_false(ip_prefix_is_masked(&p));
	assert_true(ip_parse("10.1.255.255", &ip) && ip_prefix_contains(&p, &ip));
	assert_true(ip_parse("10.2.0.0", &ip) && !ip_prefix_contains(&p, &ip));
	assert_false(ip_prefix_parse("10.0.0.0/33", &p));
	assert_false(ip_prefix_parse("10.0.0.0/", &p));
	assert_false(ip_prefix_parse("10.0.0.0/08", &p));
	assert_true(ip_prefix_parse("fd00::/108", &p) && ip_prefix_is_masked(&p));
}

/* --- schedules -------------------------------------------------------------------------------- */

static void test_cron(void **state)
{
	static const char *const good[] = {"* * * * *",   "*/5 0-6 1,15 JAN-mar sun",
	                                   "@daily",      "@every 1h30m",
	                                   "0 0 ? * MON", "5/10 * * * *"};
	static const struct {
		const char *schedule, *error;
	} bad[] = {
	    {"", "empty spec string"},
	    {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
	    {"61 * * * *", "end of range (61) above maximum (59): 61"},
	    {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
	    {"5-2 * * * *", "beginning of range (5) beyond end of range (2): 5-2"},
	    {"*/0 * * * *", "step of range should be a positive number: */0"},
	    {"@sometimes", "unrecognized descriptor: @sometimes"},
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(cron_error(good[i], &arena));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_string_equal(cron_error(bad[i].schedule, &arena), bad[i].error);
}

/* --- cluster IPs and node ports --------------------------------------------------------------- */

static struct service_alloc *alloc_of(const char *range, uint16_t first, uint16_t last)
{
	struct service_alloc_options o = {.n_ranges = 1, .first_port = first, .last_port = last};

	assert_true(ip_prefix_parse(range, &o.ranges[0]));
	return service_alloc_new(&o);
}

static void test_alloc_places_in_the_upper_band(void **state)
{
	struct service_alloc *a = alloc_of("10.96.0.0/16", 0, 0);
	struct ip ip;

	for (uint64_t seed = 0; seed < 2000; seed += 7) {
		assert_true(service_alloc_next_ip(a, 4, seed * 2654435761u, &ip));
		assert_true(ip.bytes[2] > 1 || (ip.bytes[2] == 1 && ip.bytes[3] >= 1));
		int32_t port = service_alloc_next_port(a, seed * 2654435761u);
		assert_in_range(port, 30000 + 86, 32767);
	}
	assert_false(service_alloc_next_ip(a, 16, 0, &ip));
	service_alloc_free(a);
}

static void test_alloc_fills_a_range(void **state)
{
	struct service_alloc *a = alloc_of("10.0.0.0/28", 40000, 40003);
	struct ip ip, first;

	/* 16 addresses without the first and the last. */
	for (int i = 0; i < 14; i++)
		assert_true(service_alloc_next_ip(a, 4, 5, &ip));
	assert_false(service_alloc_next_ip(a, 4, 5, &ip));
	assert_true(ip_parse("10.0.0.7", &first));
	assert_int_equal(service_alloc_ip(a, &first), SERVICE_TAKEN_BUSY);
	service_alloc_ip_release(a, &first);
	assert_false(service_alloc_ip_is_taken(a, &first));
	assert_true(service_alloc_next_ip(a, 4, 1, &ip) && ip_equal(&ip, &first));
	assert_true(ip_parse("10.0.0.0", &ip));
	assert_int_equal(service_alloc_ip(a, &ip), SERVICE_TAKEN_OUT_OF_RANGE);
	assert_true(ip_parse("10.0.0.15", &ip));
	assert_int_equal(service_alloc_ip(a, &ip), SERVICE_TAKEN_OUT_OF_RANGE);

	for (int i = 0; i < 4; i++)
		assert_in_range(service_alloc_next_port(a, 9), 40000, 40003);
	assert_int_equal(service_alloc_next_port(a, 9), 0);
	assert_int_equal(service_alloc_port(a, 40004), SERVICE_TAKEN_OUT_OF_RANGE);
	service_alloc_port_release(a, 40002);
	assert_int_equal(service_alloc_port(a, 40002), SERVICE_TAKEN_OK);
	service_alloc_free(a);
}

static void test_alloc_ipv6(void **state)
{
	struct service_alloc *a = alloc_of("fd00:10:96::/64", 0, 0);
	struct ip_prefix range;
	struct ip ip;

	assert_true(ip_prefix_parse("fd00:10:96::/64", &range));
	for (uint64_t seed = 1; seed < 100; seed++) {
		assert_true(service_alloc_next_ip(a, 16, seed * 999983, &ip));
		assert_true(ip_prefix_contains(&range, &ip));
		assert_int_equal(service_alloc_ip(a, &ip), SERVICE_TAKEN_BUSY);
	}
	service_alloc_free(a);
}

/* --- objects ---------------------------------------------------------------------------------- */

static struct object decode(const char *group, const char *resource, const char *json)
{
	const struct resource_info *res = resource_find(group, "v1", resource, "");
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	assert_non_null(res);
	if (json_decode(res->schema, slice_str(json), &arena, NULL, &msg, NULL, &err))
		fail_msg("%s", err.text);
	return object_of(res, res->schema, msg);
}

static struct strategy_ctx context(void)
{
	return (struct strategy_ctx){.arena = &arena, .now_sec = 1000000};
}

static void test_every_resource_has_a_strategy(void **state)
{
	size_t generic = 0;

	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		if (*r->subresource)
			continue;
		const struct strategy *st = registry_strategy(r, "");
		assert_non_null(st);
		if (!*st->kind)
			generic++;
		else
			assert_string_equal(st->kind, r->kind);
		if (resource_find(r->group, r->version, r->resource, "status")) {
			const struct strategy *status = registry_strategy(r, "status");
			assert_non_null(status);
			assert_true(status->is_status);
		}
		assert_null(registry_strategy(r, "no-such-subresource"));
	}
	/* What is not stored, and component statuses. */
	assert_in_range(generic, 1, 10);
}

static void test_generate_name(void **state)
{
	struct object obj = decode("", "configmaps",
	                           "{\"metadata\":{\"generateName\":\"a-\",\"namespace\":\"n\"}}");
	struct field_errors errs = field_errors_in(&arena);

	metadata_check(&errs, FIELD(NULL, "metadata"), obj.meta, true, NULL);
	assert_int_equal(errs.n, 1); /* the name, which was not generated */
	assert_string_equal(errs.at[0].detail, "name or generateName is required");
	errs.n = 0;
	obj.meta->generate_name = arena_strdup(&arena, "A-");
	obj.meta->name = arena_strdup(&arena, "a");
	metadata_check(&errs, FIELD(NULL, "metadata"), obj.meta, true, NULL);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.at[0].field, "metadata.generateName");
	assert_string_equal(errs.at[0].value, "\"A-\"");
}

static void test_fields(void **state)
{
	struct object obj = decode("", "pods",
	                           "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},"
	                           "\"spec\":{\"nodeName\":\"w\"}}");
	const struct strategy *st = registry_strategy(obj.res, "");
	const char *values[STRATEGY_FIELDS_MAX];

	registry_fields(st, &obj, &arena, values);
	assert_string_equal(st->field_names[0], "spec.nodeName");
	assert_string_equal(values[0], "w");
	assert_null(st->field_names[8]);
	assert_null(registry_field_error(st, obj.res, "status.phase", &arena));
	assert_string_equal(registry_field_error(st, obj.res, "spec.x", &arena),
	                    "field label not supported: spec.x");
}

static const char *cells(const struct object *obj)
{
	struct strategy_ctx ctx = context();
	struct table_row row;
	const char *text = "";

	registry_table_row(&ctx, registry_strategy(obj->res, ""), obj, &row);
	assert_int_equal(row.n_cells, obj->res->columns->n_columns);
	for (size_t i = 0; i < row.n_cells; i++) {
		const struct table_cell *c = &row.cells[i];
		const char *one = c->type == CELL_STRING ? c->str
		                  : c->type == CELL_INT
		                      ? arena_printf(&arena, "%lld", (long long)c->num)
		                  : c->num ? "true"
		                           : "false";
		text = arena_printf(&arena, "%s%s%s", text, i ? "|" : "", one);
	}
	return text;
}

/* Rows of empty objects: no kind has more or fewer cells than its table has columns, and nothing
 * that is absent is looked into. */
static void test_every_row_fits_its_table(void **state)
{
	struct strategy_ctx ctx = context();

	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		const struct strategy *st = registry_strategy(r, "");
		struct table_row row = {0};
		if (*r->subresource || !st->table_row)
			continue;
		struct object obj = object_of(r, r->schema, pb_new(r->schema, &arena));
		registry_defaults(&ctx, st, &obj);
		st->table_row(&ctx, &obj, &row);
		if (row.n_cells != r->columns->n_columns)
			print_error("%s: %zu cells, %zu columns\n", r->kind, row.n_cells,
			            r->columns->n_columns);
		assert_int_equal(row.n_cells, r->columns->n_columns);
	}
}

/* Validation of empty objects finds what is missing and looks into nothing that is absent. */
static void test_every_kind_refuses_nothing_gracefully(void **state)
{
	struct strategy_ctx ctx = context();

	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		const struct strategy *st = registry_strategy(r, "");
		struct field_errors errs = field_errors_in(&arena);
		if (*r->subresource || !r->storage_prefix)
			continue;
		struct object obj = object_of(r, r->schema, pb_new(r->schema, &arena));
		struct object old = object_of(r, r->schema, pb_new(r->schema, &arena));
		registry_defaults(&ctx, st, &obj);
		registry_before_create(&ctx, st, &obj, &errs);
		assert_true(errs.n > 0); /* a name is missing at least */
		registry_before_update(&ctx, st, &obj, &old, &errs);
		st = registry_strategy(r, "status");
		if (st)
			registry_before_update(&ctx, st, &obj, &old, &errs);
	}
}

#define POD_(spec, status)                                                                        \
	"{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"1970-01-12T13:41:40Z\"},\"spec\":" \
	"{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]" spec "},\"status\":{" status "}}"

static void test_pod_rows(void **state)
{
	static const struct {
		const char *pod, *row;
	} cases[] = {
	    {POD_("", "\"phase\":\"Pending\""), "0/2|Pending|0|5m"},
	    {POD_("", "\"phase\":\"Failed\",\"reason\":\"Evicted\""), "0/2|Evicted|0|5m"},
	    {POD_("", "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"containerStatuses\":["
	              "{\"name\":\"a\",\"ready\":true,\"state\":{\"running\":{}}},"
	              "{\"name\":\"b\",\"restartCount\":3,\"state\":{\"waiting\":{\"reason\":"
	              "\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"exitCode\":1,"
	              "\"finishedAt\":\"1970-01-12T13:44:40Z\"}}}]"),
	     "1/2|CrashLoopBackOff|3 (2m ago)|5m"},
	    {POD_("", "\"phase\":\"Succeeded\",\"containerStatuses\":[{\"name\":\"a\",\"state\":"
	              "{\"terminated\":{\"reason\":\"Completed\"}}}]"),
	     "0/2|Completed|0|5m"},
	    {POD_(
	         ",\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}]",
	         "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":"
	         "{\"terminated\":{\"exitCode\":0}}},{\"name\":\"j\",\"state\":{\"running\":{}}}]"),
	     "0/2|Init:1/2|0|5m"},
	    {POD_(",\"initContainers\":[{\"name\":\"i\"}]",
	          "\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":"
	          "{\"terminated\":{\"exitCode\":2}}}]"),
	     "0/2|Init:ExitCode:2|0|5m"},
	    {POD_(",\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}]",
	          "\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"s\",\"started\":"
	          "true,"
	          "\"ready\":true,\"state\":{\"running\":{}}}],\"containerStatuses\":[{\"name\":"
	          "\"a\","
	          "\"ready\":true,\"state\":{\"running\":{}}}]"),
	     "2/3|Running|0|5m"},
	    {POD_("", "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":"
	              "\"False\",\"reason\":\"SchedulingGated\"}]"),
	     "0/2|SchedulingGated|0|5m"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct object obj = decode("", "pods", cases[i].pod);
		const char *text = cells(&obj), *name = strchr(text, '|');
		const char *want = arena_printf(&arena, "p|%s|", cases[i].row);
		if (strncmp(text, want, strlen(want)))
			fail_msg("case %zu: %s, want %s", i, text, want);
		assert_non_null(name);
	}
}

static void test_terminating_pod_row(void **state)
{
	struct object obj =
	    decode("", "pods",
	           "{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"1970-01-12T13:46:40Z\"},"
	           "\"spec\":{\"containers\":[{}],\"nodeName\":\"n\"},\"status\":{\"phase\":"
	           "\"Running\"}}");

	assert_string_equal(cells(&obj), "p|0/1|Terminating|0|<unknown>|<none>|n|<none>|<none>");
}

static void test_node_and_service_rows(void **state)
{
	struct object node = decode(
	    "", "nodes",
	    "{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"1970-01-12T13:46:30Z\","
	    "\"labels\":"
	    "{\"node-role.kubernetes.io/b\":\"\",\"node-role.kubernetes.io/a\":\"\"}},\"status\":"
	    "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	struct object service = decode(
	    "", "services",
	    "{\"metadata\":{\"name\":\"s\",\"creationTimestamp\":\"1970-01-12T13:46:30Z\"},"
	    "\"spec\":"
	    "{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.0.0.1\",\"clusterIPs\":[\"10.0.0.1\"],"
	    "\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"}]}}");

	assert_string_equal(cells(&node), "n|NotReady|a,b|10s||<none>|<none>|<unknown>|<unknown>|"
	                                  "<unknown>");
	assert_string_equal(cells(&service), "s|LoadBalancer|10.0.0.1|<pending>|80:30080/TCP|10s|"
	                                     "<none>");
}

static void test_pod_grace(void **state)
{
	struct strategy_ctx ctx = context();
	struct object obj =
	    decode("", "pods",
	           "{\"spec\":{\"nodeName\":\"n\",\"terminationGracePeriodSeconds\":"
	           "30},\"status\":{\"phase\":\"Running\"}}");
	const struct strategy *st = registry_strategy(obj.res, "");
	CoreV1__Pod *pod = OBJECT_MSG(&obj, CoreV1__Pod);
	int64_t grace = -1;

	assert_true(st->graceful(&ctx, &obj, &grace));
	assert_int_equal(grace, 30);
	grace = 5;
	st->graceful(&ctx, &obj, &grace);
	assert_int_equal(grace, 5);
	pod->spec->node_name = arena_strdup(&arena, "");
	st->graceful(&ctx, &obj, &grace);
	assert_int_equal(grace, 0);
}

/* A status update changes nothing else; generation follows the spec. */
static void test_update_keeps_what_is_not_its_own(void **state)
{
	static const char text[] = "{\"metadata\":{\"name\":\"r\",\"namespace\":\"n\",\"uid\":"
	                           "\"u\",\"resourceVersion\":\"1\","
	                           "\"generation\":4},\"spec\":{\"replicas\":1,\"selector\":{"
	                           "\"matchLabels\":{\"a\":\"b\"}},"
	                           "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":"
	                           "{\"containers\":[{\"name\":"
	                           "\"c\",\"image\":\"i\"}]}}}}";
	struct object old = decode("apps", "replicasets", text), obj;
	const struct strategy *st = registry_strategy(old.res, "");
	const struct strategy *status = registry_strategy(old.res, "status");
	struct field_errors errs = field_errors_in(&arena);
	struct strategy_ctx ctx = context();
	AppsV1__ReplicaSet *rs;

	registry_defaults(&ctx, st, &old);
	obj = object_copy(&arena, &old);
	rs = OBJECT_MSG(&obj, AppsV1__ReplicaSet);
	SET(rs->spec, replicas, 7);
	SET(rs->status, replicas, 3);
	registry_before_update(&ctx, status, &obj, &old, &errs);
	assert_int_equal(errs.n, 0);
	assert_int_equal(rs->spec->replicas, 1);
	assert_int_equal(rs->status->replicas, 3);
	assert_int_equal(object_generation(&obj), 4);

	obj = object_copy(&arena, &old);
	rs = OBJECT_MSG(&obj, AppsV1__ReplicaSet);
	SET(rs->spec, replicas, 7);
	SET(rs->status, replicas, 3);
	SET(rs->metadata, generation, 99);
	registry_before_update(&ctx, st, &obj, &old, &errs);
	assert_int_equal(errs.n, 0);
	assert_int_equal(rs->spec->replicas, 7);
	assert_int_equal(rs->status->replicas, 0);
	assert_int_equal(object_generation(&obj), 5);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_field_error_messages),
	    TEST(test_field_errors_are_bounded),
	    TEST(test_ip_text),
	    TEST(test_ip_prefixes),
	    TEST(test_cron),
	    TEST(test_alloc_places_in_the_upper_band),
	    TEST(test_alloc_fills_a_range),
	    TEST(test_alloc_ipv6),
	    TEST(test_every_resource_has_a_strategy),
	    TEST(test_generate_name),
	    TEST(test_fields),
	    TEST(test_every_row_fits_its_table),
	    TEST(test_every_kind_refuses_nothing_gracefully),
	    TEST(test_pod_rows),
	    TEST(test_terminating_pod_row),
	    TEST(test_node_and_service_rows),
	    TEST(test_pod_grace),
	    TEST(test_update_keeps_what_is_not_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
