/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/select.h"
#include "common/codec/fields.h"
#include "common/codec/labels.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

static struct cache_object *object(const char *key, const char *on, const char *node)
{
	static const char *const names[] = {"spec.nodeName", NULL};
	struct cache_pair label = {"on", on};

	return cache_object_new(&(struct cache_object_spec){.key = slice_str(key),
	                                                    .labels = &label,
	                                                    .n_labels = on ? 1 : 0,
	                                                    .field_names = names,
	                                                    .field_values = &node},
	                        NULL);
}

struct fixture {
	struct arena a;
	struct label_selector labels;
	struct field_selector fields;
	struct cache_selection sel;
};

static void fixture_init(struct fixture *f, const char *labels, const char *fields)
{
	memset(f, 0, sizeof(*f));
	arena_init(&f->a);
	assert_int_equal(label_selector_parse(labels, &f->a, &f->labels, NULL), 0);
	assert_int_equal(field_selector_parse(fields, &f->a, &f->fields, NULL), 0);
	f->sel.labels = &f->labels;
	f->sel.fields = &f->fields;
}

/* What a watcher of on=yes sees when an object goes from `was` to `is` (NULL: not there):
 * the type and which state, or "-". */
static const char *seen(struct fixture *f, const char *was, const char *is)
{
	struct cache_object *prev = strcmp(was, "none") ? object("ns/a", was, NULL) : NULL;
	struct cache_object *obj = strcmp(is, "none") ? object("ns/a", is, NULL) : NULL;
	struct cache_event *e = cache_event_new(!prev  ? CACHE_ADDED
	                                        : !obj ? CACHE_DELETED
	                                               : CACHE_MODIFIED,
	                                        7, obj, prev, 0);
	static const char *const names[3][2] = {
	    {"ADDED", "?"}, {"MODIFIED", "?"}, {"?", "DELETED prev"}};
	enum cache_event_type type;
	bool show_prev;
	const char *text = "-";

	if (cache_selection_event(&f->sel, e, &type, &show_prev))
		text = names[type][show_prev];
	cache_event_unref(e);
	cache_object_unref(prev);
	cache_object_unref(obj);
	return text;
}

static void test_transitions(void **state)
{
	struct fixture f;

	fixture_init(&f, "on=yes", "");
	assert_string_equal(seen(&f, "none", "no"), "-");
	assert_string_equal(seen(&f, "none", "yes"), "ADDED");
	assert_string_equal(seen(&f, "no", "yes"), "ADDED");
	assert_string_equal(seen(&f, "yes", "yes"), "MODIFIED");
	assert_string_equal(seen(&f, "yes", "no"), "DELETED prev");
	assert_string_equal(seen(&f, "no", "no"), "-");
	assert_string_equal(seen(&f, "yes", "none"), "DELETED prev");
	assert_string_equal(seen(&f, "no", "none"), "-");
	arena_deinit(&f.a);
}

static bool matches(struct fixture *f, const char *key, const char *on, const char *node)
{
	struct cache_object *o = object(key, on, node);
	bool yes = cache_selection_matches(&f->sel, o);

	cache_object_unref(o);
	return yes;
}

static void test_matches(void **state)
{
	struct fixture f;

	fixture_init(&f, "on", "spec.nodeName=n1");
	assert_true(matches(&f, "ns/a", "yes", "n1"));
	assert_false(matches(&f, "ns/a", "yes", "n2"));
	assert_false(matches(&f, "ns/a", NULL, "n1"));
	f.sel.key_prefix = SLICE_LIT("ns/");
	assert_true(matches(&f, "ns/a", "yes", "n1"));
	assert_false(matches(&f, "nsx/a", "yes", "n1"));
	f.sel.key = SLICE_LIT("ns/a");
	assert_true(matches(&f, "ns/a", "yes", "n1"));
	assert_false(matches(&f, "ns/b", "yes", "n1"));
	arena_deinit(&f.a);
}

static void test_range(void **state)
{
	struct cache_selection s = {.key_prefix = SLICE_LIT("ns/")};
	struct label_selector all = {0}, nothing = {.nothing = true};

	assert_true(cache_selection_is_range(&s));
	s.labels = &all;
	assert_true(cache_selection_is_range(&s));
	s.labels = &nothing;
	assert_false(cache_selection_is_range(&s));
	s.labels = NULL;
	s.key = SLICE_LIT("ns/a");
	assert_false(cache_selection_is_range(&s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_transitions),
	    cmocka_unit_test(test_matches),
	    cmocka_unit_test(test_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
