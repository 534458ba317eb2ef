/* SPDX-License-Identifier: Apache-2.0 */
/* The plan against a model of the ReplicaSet controller: sets follow their spec pod by pod, and
 * pods become available one at a time. */
#include "controller-manager/deployment/plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "controller-manager/deployment/plan/internal.h"
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

enum { SETS_MAX = 64, TURNS_MAX = 500 };

struct world {
	struct arena a;
	AppsV1__Deployment *d;
	AppsV1__ReplicaSet *sets[SETS_MAX];
	size_t n;
	int64_t now_s;
	int32_t surge, unavailable;
	struct deployment_plan plan;
};

static Intstr__IntOrString *number(struct world *w, int32_t value)
{
	Intstr__IntOrString *v = arena_new(&w->a, Intstr__IntOrString);
	*v = (Intstr__IntOrString)INTSTR__INT_OR_STRING__INIT;
	v->has_type = v->has_int_val = 1;
	v->int_val = value;
	return v;
}

static void set_image(struct world *w, const char *image)
{
	CoreV1__Container *c = (CoreV1__Container *)pb_new(&core_v1__container_schema, &w->a);
	c->name = arena_strdup(&w->a, "main");
	c->image = arena_strdup(&w->a, image);
	CoreV1__PodTemplateSpec *t =
	    (CoreV1__PodTemplateSpec *)pb_new(&core_v1__pod_template_spec_schema, &w->a);
	t->spec->n_containers = 1;
	t->spec->containers = arena_memdup(&w->a, &c, sizeof(c));
	w->d->spec->template_ = t;
	w->d->metadata->generation++;
}

static void set_replicas(struct world *w, int32_t replicas)
{
	w->d->spec->has_replicas = 1;
	w->d->spec->replicas = replicas;
	w->d->metadata->generation++;
}

static void set_strategy(struct world *w, const char *type, int32_t surge, int32_t unavailable)
{
	w->surge = surge;
	w->unavailable = unavailable;
	w->d->spec->strategy->type = arena_strdup(&w->a, type);
	AppsV1__RollingUpdateDeployment *r = (AppsV1__RollingUpdateDeployment *)pb_new(
	    &apps_v1__rolling_update_deployment_schema, &w->a);
	r->max_surge = number(w, surge);
	r->max_unavailable = number(w, unavailable);
	w->d->spec->strategy->rolling_update = strcmp(type, "Recreate") ? r : NULL;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->d = (AppsV1__Deployment *)pb_new(&apps_v1__deployment_schema, &w->a);
	w->d->metadata->name = arena_strdup(&w->a, "web");
	w->d->metadata->uid = arena_strdup(&w->a, "u");
	w->d->spec->has_revision_history_limit = 1;
	w->d->spec->revision_history_limit = 2;
	w->d->spec->has_progress_deadline_seconds = 1;
	w->d->spec->progress_deadline_seconds = 600;
	w->now_s = 1000;
	set_image(w, "one");
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	arena_deinit(&w->a);
	free(w);
	return 0;
}

static void annotate(struct world *w, AppsV1__ReplicaSet *rs, const char *key, const char *value)
{
	MetaV1__ObjectMeta *m = rs->metadata;
	for (size_t i = 0; i < m->n_annotations; i++)
		if (!strcmp(m->annotations[i]->key, key)) {
			m->annotations[i]->value = arena_strdup(&w->a, value);
			return;
		}
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    arena_new(&w->a, MetaV1__ObjectMeta__AnnotationsEntry);
	*e = (MetaV1__ObjectMeta__AnnotationsEntry)META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	e->key = arena_strdup(&w->a, key);
	e->value = arena_strdup(&w->a, value);
	m->annotations = arena_grow(&w->a, m->annotations, m->n_annotations * sizeof(e),
	                            (m->n_annotations + 1) * sizeof(e));
	m->annotations[m->n_annotations++] = e;
}

#define D "deployment.kubernetes.io/"

static void annotate_numbers(struct world *w, AppsV1__ReplicaSet *rs)
{
	int32_t surge, unavailable;
	deployment_limits(w->d, &surge, &unavailable);
	annotate(w, rs, D "desired-replicas", arena_printf(&w->a, "%d", w->d->spec->replicas));
	annotate(w, rs, D "max-replicas", arena_printf(&w->a, "%d", w->d->spec->replicas + surge));
}

static void create(struct world *w)
{
	AppsV1__ReplicaSet *rs = (AppsV1__ReplicaSet *)pb_new(&apps_v1__replica_set_schema, &w->a);
	rs->metadata->name = arena_strdup(&w->a, w->plan.name);
	rs->metadata->uid = rs->metadata->name;
	rs->metadata->creation_timestamp = arena_new(&w->a, MetaV1__Time);
	*rs->metadata->creation_timestamp = (MetaV1__Time)META_V1__TIME__INIT;
	rs->metadata->creation_timestamp->seconds = w->now_s;
	rs->spec->has_replicas = 1;
	rs->spec->replicas = w->plan.create_replicas;
	rs->spec->template_ = w->d->spec->template_;
	annotate(w, rs, D "revision", w->plan.revision);
	annotate_numbers(w, rs);
	w->sets[w->n++] = rs;
}

/* One turn of the Deployment controller. False: nothing was left to do. */
static bool turn(struct world *w)
{
	struct deployment_input in = {
	    .d = w->d, .sets = w->sets, .n_sets = w->n, .now_s = w->now_s};
	const AppsV1__ReplicaSet *newest = deployment_new_set(&in);
	for (size_t i = 0; i < w->n; i++)
		if (w->sets[i] != newest)
			in.old_pods += (size_t)w->sets[i]->status->replicas;
	deployment_plan(&in, &w->a, &w->plan);
	bool acted = w->plan.create || w->plan.n_remove;
	if (w->plan.create)
		create(w);
	for (size_t i = 0; i < w->plan.n_scale; i++) {
		AppsV1__ReplicaSet *rs = (AppsV1__ReplicaSet *)(uintptr_t)w->plan.scale[i].set;
		const char *was = meta_annotation(rs->metadata, D "desired-replicas");
		acted |= rs->spec->replicas != w->plan.scale[i].replicas ||
		         w->plan.scale[i].revision ||
		         strtol(was ? was : "-1", NULL, 10) != w->d->spec->replicas;
		rs->spec->replicas = w->plan.scale[i].replicas;
		annotate_numbers(w, rs);
		if (w->plan.scale[i].revision)
			annotate(w, rs, D "revision", w->plan.scale[i].revision);
	}
	for (size_t i = 0; i < w->plan.n_remove; i++)
		for (size_t k = 0; k < w->n; k++)
			if (w->sets[k] == w->plan.remove[i])
				w->sets[k--] = w->sets[--w->n];
	w->d->status = w->plan.status;
	return acted;
}

/* The ReplicaSets take one step each. False: they are where they should be. */
static bool pods_move(struct world *w)
{
	bool moved = false;
	for (size_t i = 0; i < w->n; i++) {
		AppsV1__ReplicaSetStatus *s = w->sets[i]->status;
		int32_t want = w->sets[i]->spec->replicas;
		moved |= s->replicas != want || s->available_replicas != want;
		if (s->available_replicas < s->replicas && s->replicas <= want)
			s->available_replicas++;
		s->replicas = want;
		if (s->available_replicas > want)
			s->available_replicas = want;
		s->ready_replicas = s->available_replicas;
	}
	return moved;
}

static struct totals totals(const struct world *w)
{
	struct deployment_input in = {
	    .d = w->d, .sets = (AppsV1__ReplicaSet *const *)w->sets, .n_sets = w->n};
	return totals_of(&in);
}

/* Runs until nothing moves; `least` available and at most `most` wanted all the way. */
static void settle(struct world *w, int32_t least, int32_t most)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		w->now_s++;
		bool acted = turn(w), moved = pods_move(w);
		struct totals t = totals(w);
		assert_true(t.available >= least);
		assert_true(t.desired <= most);
		if (!acted && !moved && !turn(w))
			return;
	}
	fail_msg("it does not come to rest");
}

static const AppsV1__ReplicaSet *newest_of(const struct world *w)
{
	struct deployment_input in = {
	    .d = w->d, .sets = (AppsV1__ReplicaSet *const *)w->sets, .n_sets = w->n};
	return deployment_new_set(&in);
}

static const char *condition(const struct world *w, const char *type)
{
	for (size_t i = 0; i < w->d->status->n_conditions; i++)
		if (!strcmp(w->d->status->conditions[i]->type, type))
			return w->d->status->conditions[i]->reason;
	return "";
}

static void test_rolling(void **state)
{
	static const int32_t limits[][3] = {/* replicas, surge, unavailable */
	                                    {3, 1, 0},   {3, 0, 1}, {10, 3, 2}, {1, 1, 0},
	                                    {10, 10, 0}, {5, 0, 5}, {7, 2, 3},  {4, 0, 0}};
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		int32_t n = limits[i][0];
		set_strategy(w, "RollingUpdate", limits[i][1], limits[i][2]);
		deployment_limits(w->d, &w->surge, &w->unavailable);
		set_replicas(w, n);
		settle(w, 0, 1000);
		set_image(w, arena_printf(&w->a, "image-%zu", i));
		settle(w, n - w->unavailable, n + w->surge);
		assert_int_equal(newest_of(w)->spec->replicas, n);
		assert_int_equal(totals(w).desired, n);
		assert_in_range(w->n, 1, 3); /* the newest and the history */
		assert_string_equal(condition(w, "Available"), "MinimumReplicasAvailable");
		assert_string_equal(condition(w, "Progressing"), "NewReplicaSetAvailable");
	}
}

static void test_scaling_amid_a_rollout(void **state)
{
	struct world *w = *state;
	for (int32_t to = 0; to <= 20; to++)
		for (int turns = 0; turns < 6; turns++) {
			set_strategy(w, "RollingUpdate", 3, 2);
			set_replicas(w, 10);
			settle(w, 0, 1000);
			set_image(w, arena_printf(&w->a, "%d-%d", to, turns));
			for (int i = 0; i < turns; i++) {
				turn(w);
				pods_move(w);
			}
			set_replicas(w, to);
			settle(w, 0, 13 > to + 3 ? 13 : to + 3);
			assert_int_equal(newest_of(w)->spec->replicas, to);
			assert_int_equal(totals(w).desired, to);
		}
}

static void test_rollback(void **state)
{
	struct world *w = *state;
	set_strategy(w, "RollingUpdate", 1, 0);
	set_replicas(w, 3);
	settle(w, 0, 4);
	const AppsV1__ReplicaSet *first = newest_of(w);
	assert_string_equal(meta_annotation(first->metadata, D "revision"), "1");
	set_image(w, "two");
	settle(w, 3, 4);
	assert_string_equal(meta_annotation(newest_of(w)->metadata, D "revision"), "2");
	set_image(w, "one");
	settle(w, 3, 4);
	assert_ptr_equal(newest_of(w), first);
	assert_string_equal(meta_annotation(first->metadata, D "revision"), "3");
}

static void test_recreate(void **state)
{
	struct world *w = *state;
	set_strategy(w, "Recreate", 0, 0);
	set_replicas(w, 4);
	settle(w, 0, 4);
	set_image(w, "two");
	for (int i = 0; i < 50; i++) {
		turn(w);
		pods_move(w);
		unsigned running = 0;
		for (size_t k = 0; k < w->n; k++)
			running += w->sets[k]->status->replicas > 0;
		assert_in_range(running, 0, 1); /* never two versions at once */
	}
	assert_int_equal(newest_of(w)->status->available_replicas, 4);
}

static void test_paused(void **state)
{
	struct world *w = *state;
	set_strategy(w, "RollingUpdate", 1, 1);
	set_replicas(w, 3);
	settle(w, 0, 4);
	w->d->spec->paused = 1;
	set_image(w, "two");
	settle(w, 3, 3);
	assert_int_equal(w->n, 1);
	assert_string_equal(condition(w, "Progressing"), "DeploymentPaused");
	set_replicas(w, 5);
	settle(w, 3, 5);
	assert_int_equal(totals(w).desired, 5);
	w->d->spec->paused = 0;
	settle(w, 4, 6);
	assert_int_equal(newest_of(w)->spec->replicas, 5);
	assert_string_equal(condition(w, "Progressing"), "NewReplicaSetAvailable");
}

/* Pods that never become available: the rollout stops before availability suffers, and is called
 * failed after its deadline. */
static void test_stuck(void **state)
{
	struct world *w = *state;
	set_strategy(w, "RollingUpdate", 1, 1);
	set_replicas(w, 4);
	settle(w, 0, 5);
	set_image(w, "broken");
	for (int i = 0; i < 20; i++) {
		turn(w);
		const AppsV1__ReplicaSet *newest = newest_of(w);
		pods_move(w);
		newest->status->available_replicas = newest->status->ready_replicas = 0;
		assert_true(totals(w).available >= 3);
		w->now_s++;
	}
	assert_string_equal(condition(w, "Progressing"), "ReplicaSetUpdated");
	assert_true(w->plan.recheck_s > w->now_s);
	w->now_s = w->plan.recheck_s;
	turn(w);
	assert_string_equal(condition(w, "Progressing"), "ProgressDeadlineExceeded");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_rolling, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_scaling_amid_a_rollout, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_rollback, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_recreate, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_paused, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_stuck, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
