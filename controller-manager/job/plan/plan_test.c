/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as tables: one turn each, with all its calls going well unless "fail" says otherwise.
 * Parameters: now, expecting, failures, lastFailure; released: uids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "controller-manager/base/script.h"
#include "controller-manager/job/plan/indexes.h"
#include "controller-manager/job/plan/plan.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

static void write_events(struct buf *out, const struct job_event *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "event %s %s %s\n", e[i].warning ? "Warning" : "Normal",
		           e[i].reason, e[i].message);
}

static void write_create(struct buf *out, const struct job_plan *p)
{
	if (!p->n_create)
		return;
	buf_printf(out, "create %zu", p->n_create);
	for (size_t i = 0; i < p->n_create && p->create[i].index >= 0; i++) {
		buf_printf(out, " %d", p->create[i].index);
		if (p->create[i].failures >= 0)
			buf_printf(out, "(%d/%d)", p->create[i].failures,
			           p->create[i].ignored_failures);
	}
	buf_str(out, "\n");
}

static void write_pods(struct buf *out, const char *what, const CoreV1__Pod **pods, size_t n)
{
	if (n)
		buf_str(out, what);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, " %s", pods[i]->metadata->name);
	if (n)
		buf_str(out, "\n");
}

static void one_case(struct script_case *c, struct buf *out)
{
	struct map released = {0};
	CoreV1__Pod **pods;
	struct job_plan plan;
	struct job_status_step track, settled;
	struct job_input in = {
	    .job = script_one(c, &batch_v1__job_schema),
	    .released = &released,
	    .now_s = script_int(c, "now", 1000),
	    .expecting = script_int(c, "expecting", 0) != 0,
	    .memory = {(int32_t)script_int(c, "failures", 0), script_int(c, "lastFailure", 0)}};
	in.n_pods = script_all(c, &core_v1__pod_schema, &pods);
	in.pods = pods;
	const char *uid = script_str(c, "released");
	if (*uid)
		map_put_str(&released, uid, c);
	job_plan(&in, &c->a, &plan);
	if (plan.nothing) {
		buf_str(out, "nothing\n");
		map_deinit(&released);
		return;
	}
	write_create(out, &plan);
	write_pods(out, plan.uncounted ? "remove, uncounted:" : "remove", plan.remove,
	           plan.n_remove);
	write_events(out, plan.events, plan.n_events);
	if (plan.memory.failures)
		buf_printf(out, "failures %d last %lld\n", plan.memory.failures,
		           (long long)plan.memory.last_failure_s);
	if (plan.recheck_s)
		buf_printf(out, "recheck %lld\n", (long long)plan.recheck_s);
	job_track(&plan, plan.n_create, plan.n_remove, &c->a, &track);
	if (track.differs)
		script_write(out, "first", &batch_v1__job_status_schema, &track.status->base);
	write_pods(out, "release", track.release, track.n_release);
	bool *gone = arena_array(&c->a, bool, track.n_release);
	memset(gone, strcmp(script_str(c, "fail"), "release") != 0, track.n_release);
	job_settle(&plan, &track, gone, &c->a, &settled);
	if (settled.differs)
		script_write(out, "then", &batch_v1__job_status_schema, &settled.status->base);
	write_events(out, settled.events, settled.n_events);
	map_deinit(&released);
}

static void test_script(void **state)
{
	assert_int_equal(script_run(*state, one_case), 0);
}

static void test_indexes(void **state)
{
	struct arena a = {0};
	int32_t list[] = {7, 3, 5, 4, 3, 1}, missing[4];
	struct indexes s = indexes_of(list, 6, &a), t = indexes_parse("0,2,6-9,50", 9, &a);
	assert_string_equal(indexes_format(&s, &a), "1,3-5,7");
	assert_string_equal(indexes_format(&t, &a), "0,2,6-8");
	assert_int_equal(indexes_total(&s), 5);
	assert_int_equal(indexes_common(&s, &t), 1);
	struct indexes u = indexes_union(&s, &t, &a);
	assert_string_equal(indexes_format(&u, &a), "0-8");
	assert_true(indexes_has(&s, 4) && !indexes_has(&s, 6) && !indexes_has(&s, 8));
	assert_int_equal(indexes_missing(&s, 9, 4, missing), 4);
	assert_int_equal(missing[0], 0);
	assert_int_equal(missing[1], 2);
	assert_int_equal(missing[2], 6);
	assert_int_equal(missing[3], 8);
	assert_int_equal(indexes_missing(&u, 9, 4, missing), 0);
	t = indexes_parse("1,x,3", 9, &a);
	assert_string_equal(indexes_format(&t, &a), "1");
	list[0] = 1, list[1] = 2;
	s = indexes_of(list, 2, &a);
	assert_string_equal(indexes_format(&s, &a), "1,2");
	arena_deinit(&a);
}

static void test_shape(void **state)
{
	struct arena a = {0};
	BatchV1__Job *job = (BatchV1__Job *)pb_new(&batch_v1__job_schema, &a);
	CoreV1__Pod *pod = (CoreV1__Pod *)pb_new(&core_v1__pod_schema, &a);
	CoreV1__Container *c = (CoreV1__Container *)pb_new(&core_v1__container_schema, &a);
	struct job_pod p = {.index = 3, .failures = 2, .ignored_failures = 1};
	job->metadata->name = arena_strdup(&a, "a-job-with-a-name-that-is-as-long-as-it-may-be-"
	                                       "sixty-three-chars");
	pod->spec->containers = &c;
	pod->spec->n_containers = 1;
	job_shape_pod(job, &p, pod, &a);
	assert_int_equal(strlen(pod->metadata->generate_name), 58);
	assert_string_equal(pod->metadata->generate_name + 55, "-3-");
	assert_true(job_pod_has_finalizer(pod));
	assert_int_equal(pod->metadata->n_annotations, 3);
	assert_string_equal(pod->spec->containers[0]->env[0]->name, "JOB_COMPLETION_INDEX");
	assert_int_equal(c->n_env, 0); /* the template's own is as it was */
	arena_deinit(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_indexes),
	    cmocka_unit_test(test_shape),
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/pods.txt"),
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/count.txt"),
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/finish.txt"),
	    cmocka_unit_test_prestate(test_script, (void *)(uintptr_t) "testdata/indexed.txt"),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
