/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/tree.h"
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

enum { KEYS = 3000 };

/* The naive model: revision by key number, 0 absent. */
struct model {
	int64_t rev[KEYS];
	size_t n;
};

static struct cache_object *object_of_key(unsigned k, int64_t rev)
{
	char key[32];
	int n = snprintf(key, sizeof(key), "ns%u/%05u", k % 7, k);
	struct cache_object *o =
	    cache_object_new(&(struct cache_object_spec){.key = slice_of(key, (size_t)n),
	                                                 .mod_revision = rev,
	                                                 .weight = (uint32_t)rev % 1000},
	                     NULL);

	return o;
}

static struct slice key_text(char buf[32], unsigned k)
{
	return slice_of(buf, (size_t)snprintf(buf, 32, "ns%u/%05u", k % 7, k));
}

static int order[KEYS]; /* key numbers in key order */

static int by_key(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x % 7 != y % 7 ? x % 7 - y % 7 : x - y;
}

static void same(const struct cache_tree *t, const struct model *m)
{
	struct cache_cursor c;
	size_t seen = 0;

	assert_true(cache_tree_valid(t));
	assert_int_equal(cache_tree_count(t), m->n);
	cache_cursor_seek(&c, t, SLICE_EMPTY);
	for (unsigned i = 0; i < KEYS; i++) {
		int k = order[i];

		if (!m->rev[k])
			continue;
		struct cache_object *o = cache_cursor_next(&c);
		char text[32];
		struct slice want = key_text(text, (unsigned)k);

		assert_non_null(o);
		assert_true(slice_eq(cache_object_key(o), want));
		assert_int_equal(o->mod_revision, m->rev[k]);
		if (i % 64 == 0) {
			struct cache_cursor s;

			assert_int_equal(cache_tree_rank(t, want), seen);
			cache_cursor_seek(&s, t, want);
			assert_ptr_equal(cache_cursor_next(&s), o);
		}
		seen++;
	}
	assert_null(cache_cursor_next(&c));
}

static void step(struct cache_tree *t, struct model *m, unsigned k, bool del, int64_t rev)
{
	char text[32];
	struct cache_object *old;

	if (del) {
		old = cache_tree_del(t, key_text(text, k));
	} else {
		struct cache_object *o = object_of_key(k, rev);

		old = cache_tree_put(t, o);
		cache_object_unref(o);
	}
	assert_int_equal(old ? old->mod_revision : 0, m->rev[k]);
	cache_object_unref(old);
	m->n += (size_t)(!del) - (m->rev[k] != 0);
	m->rev[k] = del ? 0 : rev;
}

enum { SNAPSHOTS = 6 };

/* Random puts and deletes against the model, with snapshots that must stay as they were. The
 * share of deletes swings, so that the tree grows, shrinks to nothing, and grows again. */
static void random_walk(uint64_t seed)
{
	struct cache_tree t = {0}, snap[SNAPSHOTS] = {0};
	static struct model m, kept[SNAPSHOTS];
	struct rng rng;

	print_message("seed %llu\n", (unsigned long long)seed);
	memset(&m, 0, sizeof(m));
	memset(kept, 0, sizeof(kept));
	rng_init(&rng, seed);
	for (int64_t i = 1; i <= 30000; i++) {
		unsigned deletes = (i / 5000) % 2 ? 80 : 20;

		step(&t, &m, (unsigned)rng_below(&rng, KEYS), rng_below(&rng, 100) < deletes, i);
		if (rng_below(&rng, 500) == 0) {
			size_t s = rng_below(&rng, SNAPSHOTS);

			same(&snap[s], &kept[s]);
			cache_tree_deinit(&snap[s]);
			snap[s] = cache_tree_snapshot(&t);
			kept[s] = m;
		}
		if (i % 2500 == 0)
			same(&t, &m);
	}
	for (unsigned k = 0; k < KEYS; k++)
		step(&t, &m, k, true, 0);
	same(&t, &m);
	assert_null(t.root);
	for (unsigned s = 0; s < SNAPSHOTS; s++) {
		same(&snap[s], &kept[s]);
		cache_tree_deinit(&snap[s]);
	}
}

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++)
		random_walk(seed);
}

static void test_in_order(void **state)
{
	struct cache_tree t = {0};
	static struct model m;

	memset(&m, 0, sizeof(m));
	for (unsigned i = 0; i < KEYS; i++)
		step(&t, &m, (unsigned)order[i], false, i + 1);
	same(&t, &m);
	for (unsigned i = KEYS; i-- > 0;)
		step(&t, &m, (unsigned)order[i], true, 0);
	assert_null(t.root);
}

static void test_empty(void **state)
{
	struct cache_tree t = {0};
	struct cache_cursor c;

	assert_null(cache_tree_get(&t, SLICE_LIT("a")));
	assert_null(cache_tree_del(&t, SLICE_LIT("a")));
	assert_int_equal(cache_tree_rank(&t, SLICE_LIT("a")), 0);
	cache_cursor_seek(&c, &t, SLICE_EMPTY);
	assert_null(cache_cursor_next(&c));
}

static void test_object(void **state)
{
	static const struct cache_pair labels[] = {{"app", "web"}, {"tier", ""}};
	static const char *const names[] = {"spec.nodeName", "spec.hostNetwork", "status.phase",
	                                    NULL};
	static const char *const values[] = {"n1", NULL, "Running"};
	struct blob *b = blob_dup(SLICE_LIT("bytes"));
	struct cache_object *o =
	    cache_object_new(&(struct cache_object_spec){.key = SLICE_LIT("a/b"),
	                                                 .mod_revision = 7,
	                                                 .labels = labels,
	                                                 .n_labels = 2,
	                                                 .field_names = names,
	                                                 .field_values = values},
	                     b);

	blob_unref(b);
	assert_string_equal(cache_object_label(o, "app"), "web");
	assert_string_equal(cache_object_label(o, "tier"), "");
	assert_null(cache_object_label(o, "spec.nodeName"));
	assert_true(slice_eq_str(cache_object_field(o, "spec.nodeName"), "n1"));
	assert_true(slice_eq_str(cache_object_field(o, "spec.hostNetwork"), ""));
	assert_true(slice_eq_str(cache_object_field(o, "status.phase"), "Running"));
	assert_true(slice_eq_str(cache_object_field(o, "app"), ""));
	assert_true(slice_eq_str(cache_object_field(o, "metadata.namespace"), "a"));
	assert_true(slice_eq_str(cache_object_field(o, "metadata.name"), "b"));
	assert_true(slice_eq_str(cache_object_namespace(o), "a"));
	assert_true(slice_eq_str(cache_object_name(o), "b"));
	assert_true(slice_eq_str(blob_view(o->blob), "bytes"));
	cache_object_unref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_object),
	    cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_random),
	};

	for (int i = 0; i < KEYS; i++)
		order[i] = i;
	qsort(order, KEYS, sizeof(order[0]), by_key);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
