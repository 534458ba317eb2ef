/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "apiserver/proxy/log_request.h"
#include "apiserver/proxy/proxy_impl.h"

static struct arena arena;

static const struct status *parse(const struct request_pair *query, size_t n,
                                  struct log_request *ret)
{
	struct request req = {.arena = &arena, .name = "p", .query = query, .n_query = n};
	return log_request_parse(&req, ret);
}

#define PARSE(ret, ...)                                                                         \
	parse((const struct request_pair[]){__VA_ARGS__},                                       \
	      sizeof((const struct request_pair[]){__VA_ARGS__}) / sizeof(struct request_pair), \
	      ret)

static void test_options(void **state)
{
	(void)state;
	struct log_request l;
	assert_null(PARSE(&l, {"follow", "true"}, {"tailLines", "3"}, {"container", "a"},
	                  {"sinceTime", "2026-01-02T03:04:05+01:00"}, {"previous", "false"}));
	assert_string_equal(l.container, "a");
	assert_string_equal(l.query,
	                    "follow=true&sinceTime=2026-01-02T03:04:05%2B01:00&tailLines=3");
	assert_false(l.insecure);
	assert_null(PARSE(&l, {"insecureSkipTLSVerifyBackend", "1"}));
	assert_true(l.insecure);
	assert_string_equal(l.query, "");
}

static void test_refusals(void **state)
{
	(void)state;
	struct log_request l;
	const struct status *s = PARSE(&l, {"tailLines", "-1"});
	assert_non_null(s);
	assert_int_equal(s->code, 422);
	assert_string_equal(s->message,
	                    "PodLogOptions \"p\" is invalid: tailLines: Invalid value: -1: must be "
	                    "greater than or equal to 0");
	s = PARSE(&l, {"limitBytes", "0"}, {"sinceSeconds", "0"});
	assert_int_equal(s->details.n_causes, 2);
	s = PARSE(&l, {"sinceSeconds", "5"}, {"sinceTime", "2026-01-02T03:04:05Z"});
	assert_int_equal(s->code, 422);
	assert_string_equal(s->details.causes[0].reason, "FieldValueForbidden");
	s = PARSE(&l, {"tailLines", "many"});
	assert_int_equal(s->code, 400);
}

static CoreV1__Container *make_container(const char *name)
{
	CoreV1__Container *c = arena_new(&arena, CoreV1__Container);
	*c = (CoreV1__Container)CORE_V1__CONTAINER__INIT;
	c->name = arena_strdup(&arena, name);
	return c;
}

static void test_container(void **state)
{
	(void)state;
	CoreV1__Container *regular[] = {make_container("a"), make_container("b")};
	CoreV1__Container *init[] = {make_container("i")};
	MetaV1__ObjectMeta meta = META_V1__OBJECT_META__INIT;
	CoreV1__PodSpec spec = CORE_V1__POD_SPEC__INIT;
	CoreV1__Pod pod = CORE_V1__POD__INIT;
	meta.name = (char *)"p";
	pod.metadata = &meta;
	pod.spec = &spec;
	spec.containers = regular;
	spec.n_containers = 1;
	spec.init_containers = init;
	spec.n_init_containers = 1;
	const struct status *s = NULL;
	struct log_request l = {.container = ""};
	assert_string_equal(proxy_container(&pod, l.container, &arena, &s), "a");
	spec.n_containers = 2;
	assert_null(proxy_container(&pod, l.container, &arena, &s));
	assert_int_equal(s->code, 400);
	assert_string_equal(s->message,
	                    "a container name must be specified for pod p, choose one of: [a b] or "
	                    "one of the init containers: [i]");
	l.container = "i";
	assert_string_equal(proxy_container(&pod, l.container, &arena, &s), "i");
	l.container = "x";
	assert_null(proxy_container(&pod, l.container, &arena, &s));
	assert_string_equal(s->message, "container x is not valid for pod p");
}

static int tear_down(void **state)
{
	(void)state;
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_container),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
