/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "kubelet/eviction/decide.h"
#include "kubelet/eviction/storage.h"
#include "proto/codec.h"
#include "proto/schema_messages.h"

enum { MIB = 1 << 20, S = 1000 };

static struct arena arena;
static struct thresholds t;
static struct observation obs[SIGNAL_COUNT];
static struct eviction_state state;
static struct eviction_verdict verdict;

static void parse(const char *hard, const char *soft, const char *grace, const char *reclaim)
{
	struct err err;
	memset(&state, 0, sizeof(state));
	memset(obs, 0, sizeof(obs));
	if (thresholds_parse(hard, soft, grace, reclaim, false, &t, &err))
		fail_msg("%s", err.text);
}

static void decide(uint64_t now_ms, int64_t memory_mib)
{
	obs[SIGNAL_MEMORY] = (struct observation){true, memory_mib * MIB, (int64_t)1000 * MIB};
	eviction_decide(&t, obs, 60 * S, now_ms, &state, &verdict);
}

static void defaults(void **st)
{
	parse("", "", "", "");
	assert_int_equal(t.n, 5);
	assert_int_equal(eviction_reserved(&t, "memory", 1 << 30), 100 * MIB);
	assert_int_equal(eviction_reserved(&t, "ephemeral-storage", 1000), 100);
	assert_int_equal(eviction_reserved(&t, "cpu", 1000), 0);
	struct err err;
	assert_int_equal(thresholds_parse("memory.available<1Gi", "", "", "", true, &t, &err), 0);
	assert_int_equal(t.n, 5);
	assert_int_equal(eviction_reserved(&t, "memory", 1 << 30), 1 << 30);
	parse("memory.available<0%", "", "", "");
	assert_int_equal(t.n, 0);
}

static void bad_thresholds(void **st)
{
	static const struct {
		const char *hard, *soft, *grace, *reclaim, *error;
	} cases[] = {
	    {"memory.available", "", "", "",
	     "invalid eviction threshold syntax memory.available, expected "
	     "<signal><operator><value>"},
	    {"disk<1Gi", "", "", "", "unsupported eviction signal disk"},
	    {"memory.available<101%", "", "", "", "eviction percentage threshold 101%"},
	    {"memory.available<-1", "", "", "", "eviction threshold -1 must be positive"},
	    {"memory.available<1Gi,memory.available<2Gi", "", "", "",
	     "duplicate eviction threshold"},
	    {"", "memory.available<1Gi", "", "",
	     "grace period must be specified for the soft eviction threshold memory.available"},
	    {"", "", "memory.available", "", "malformed pair"},
	    {"", "", "", "memory.available=x", "quantities must match"},
	    {"memory.available<x", "", "", "", "quantities must match"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		assert_int_not_equal(thresholds_parse(cases[i].hard, cases[i].soft, cases[i].grace,
		                                      cases[i].reclaim, false, &t, &err),
		                     0);
		if (!strstr(err.text, cases[i].error))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void hard_at_once(void **st)
{
	parse("memory.available<100Mi", "", "", "");
	decide(1 * S, 100);
	assert_false(verdict.pressure[PRESSURE_MEMORY]);
	assert_int_equal(verdict.n_due, 0);
	decide(2 * S, 99);
	assert_true(verdict.pressure[PRESSURE_MEMORY]);
	assert_int_equal(verdict.n_due, 1);
	/* The condition stays for the transition period, without more evictions. */
	decide(3 * S, 500);
	assert_true(verdict.pressure[PRESSURE_MEMORY]);
	assert_int_equal(verdict.n_due, 0);
	decide(63 * S, 500);
	assert_false(verdict.pressure[PRESSURE_MEMORY]);
	assert_false(verdict.pressure[PRESSURE_DISK]);
}

static void soft_after_grace(void **st)
{
	parse("memory.available<1Mi", "memory.available<30%", "memory.available=30s", "");
	decide(1 * S, 200);
	assert_true(verdict.pressure[PRESSURE_MEMORY]);
	assert_int_equal(verdict.n_due, 0);
	decide(20 * S, 400); /* relief: the grace begins anew */
	decide(21 * S, 200);
	decide(50 * S, 200);
	assert_int_equal(verdict.n_due, 0);
	decide(52 * S, 200);
	assert_int_equal(verdict.n_due, 1);
	assert_false(verdict.due[0]->hard);
}

static void minimum_reclaim(void **st)
{
	parse("memory.available<100Mi", "", "", "memory.available=50Mi");
	decide(1 * S, 99);
	assert_int_equal(verdict.n_due, 1);
	decide(2 * S, 149);
	assert_int_equal(verdict.n_due, 1);
	decide(3 * S, 150);
	assert_int_equal(verdict.n_due, 0);
	decide(4 * S, 149);
	assert_int_equal(verdict.n_due, 0);
}

static void memory_before_disk(void **st)
{
	parse("nodefs.available<10%,memory.available<100Mi,pid.available<10", "", "", "");
	obs[SIGNAL_NODEFS] = (struct observation){true, 1, 100};
	obs[SIGNAL_PID] = (struct observation){false, 1, 100}; /* not readable */
	decide(1 * S, 1);
	assert_int_equal(verdict.n_due, 2);
	assert_int_equal(verdict.due[0]->signal, SIGNAL_MEMORY);
	assert_true(verdict.pressure[PRESSURE_DISK]);
	assert_false(verdict.pressure[PRESSURE_PID]);
}

/* Ranking */

static CoreV1__Pod *pod(const char *name, int priority, const char *memory)
{
	ProtobufCMessage *msg = NULL;
	const char *yaml =
	    arena_printf(&arena,
	                 "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  priority: %d\n"
	                 "  containers: [{name: a, resources: {requests: {memory: %s, "
	                 "ephemeral-storage: %s}}}]\n",
	                 name, priority, memory, memory);
	struct err err;
	if (object_decode(OBJECT_YAML, &core_v1__pod_schema, slice_str(yaml), &arena, NULL, &msg,
	                  NULL, &err))
		fail_msg("%s", err.text);
	return (CoreV1__Pod *)msg;
}

static void ranking(void **st)
{
	struct candidate c[] = {
	    {pod("low-within", 0, "100Mi"), true, .memory_bytes = 90 * MIB, .disk_bytes = 1},
	    {pod("high-beyond", 100, "1Mi"), true, .memory_bytes = 2 * MIB, .disk_bytes = 9 * MIB},
	    {pod("low-beyond", 0, "10Mi"), true, .memory_bytes = 20 * MIB, .disk_bytes = 2},
	    {pod("low-beyond-more", 0, "10Mi"), true, .memory_bytes = 99 * MIB, .pids = 7},
	    {pod("unknown", 0, "1Mi"), false},
	    {pod("high-within", 100, "9Mi"), true, .memory_bytes = 1, .pids = 900},
	};
	static const struct {
		enum signal s;
		const char *order;
	} cases[] = {
	    {SIGNAL_MEMORY,
	     "unknown low-beyond-more low-beyond high-beyond low-within high-within "},
	    {SIGNAL_NODEFS,
	     "unknown high-beyond low-beyond low-beyond-more low-within high-within "},
	    {SIGNAL_PID, "unknown low-beyond-more low-beyond low-within high-within high-beyond "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *order = "";
		eviction_rank(cases[i].s, c, ARRAY_LEN(c));
		for (size_t k = 0; k < ARRAY_LEN(c); k++)
			order = arena_printf(&arena, "%s%s ", order, c[k].pod->metadata->name);
		assert_string_equal(order, cases[i].order);
	}
}

static void message(void **st)
{
	struct threshold x = {.signal = SIGNAL_MEMORY, .limit = {.value = 100 * MIB}, .hard = true};
	struct observation o = {true, 51 * MIB, (int64_t)1000 * MIB};
	int64_t use[] = {300 * MIB};
	assert_string_equal(
	    eviction_message(&x, &o, pod("p", 0, "200Mi"), use, &arena),
	    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51Mi. "
	    "Container a was using 300Mi, request is 200Mi, has larger consumption of memory. ");
	x = (struct threshold){.signal = SIGNAL_PID, .limit = {.is_part = true, .part = 0.5}};
	o = (struct observation){true, 5, 1000};
	assert_string_equal(
	    eviction_message(&x, &o, pod("p", 0, "200Mi"), NULL, &arena),
	    "The node was low on resource: pids. Threshold quantity: 500, available: 5. ");
}

/* Limits of storage */

static void storage(void **st)
{
	static const struct {
		const char *spec;
		int64_t container, volume, all;
		const char *text;
	} cases[] = {
	    {"volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]", 0, MIB, MIB, NULL},
	    {"volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]", 0, MIB + 1, 0,
	     "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". "},
	    {"volumes: [{name: v, emptyDir: {}}]", 0, MIB + 1, 0, NULL},
	    {"containers: [{name: a, resources: {limits: {ephemeral-storage: 2Mi}}}]", MIB, 0,
	     2 * MIB, NULL},
	    {"containers: [{name: a, resources: {limits: {ephemeral-storage: 2Mi}}}]", MIB, 0,
	     3 * MIB,
	     "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "},
	    {"containers: [{name: a, resources: {limits: {ephemeral-storage: 2Mi}}}, {name: b}]",
	     3 * MIB, 0, 9 * MIB,
	     "Container a exceeded its local ephemeral storage limit \"2Mi\". "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ProtobufCMessage *msg = NULL;
		struct err err;
		const char *yaml =
		    arena_printf(&arena, "apiVersion: v1\nkind: Pod\nspec:\n  %s\n", cases[i].spec);
		if (object_decode(OBJECT_YAML, &core_v1__pod_schema, slice_str(yaml), &arena, NULL,
		                  &msg, NULL, &err))
			fail_msg("%s", err.text);
		struct storage_use c = {"a", cases[i].container}, v = {"v", cases[i].volume};
		struct pod_storage use = {&c, &v, 1, 1, cases[i].all};
		const char *text = storage_excess((CoreV1__Pod *)msg, &use, &arena);
		if (cases[i].text)
			assert_string_equal(text, cases[i].text);
		else
			assert_null(text);
		assert_int_equal(storage_is_limited((CoreV1__Pod *)msg), i != 2);
	}
}

static int end(void **st)
{
	arena_deinit(&arena);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),        cmocka_unit_test(bad_thresholds),
	    cmocka_unit_test(hard_at_once),    cmocka_unit_test(soft_after_grace),
	    cmocka_unit_test(minimum_reclaim), cmocka_unit_test(memory_before_disk),
	    cmocka_unit_test(ranking),         cmocka_unit_test(message),
	    cmocka_unit_test(storage),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
