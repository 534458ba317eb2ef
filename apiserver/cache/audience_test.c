/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/audience.h"
#include "common/codec/fields.h"

#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

enum { MEMBERS = 9 };

struct member {
	struct audience_member m;
	struct field_selector fields;
	struct cache_selection sel;
	char letter;
};

struct fixture {
	struct arena a;
	struct member at[MEMBERS];
	size_t n;
	struct audience audience;
};

/* ns: "" or "ns/"; key: "" or the key; fields: a selector. Letters a, b, c... in order. */
static struct member *join(struct fixture *f, const char *ns, const char *key, const char *fields)
{
	struct member *m = &f->at[f->n];

	*m = (struct member){.letter = (char)('a' + f->n++)};
	assert_int_equal(field_selector_parse(fields, &f->a, &m->fields, NULL), 0);
	m->sel = (struct cache_selection){.key_prefix = slice_str(ns), .key = slice_str(key)};
	m->sel.fields = m->fields.n ? &m->fields : NULL;
	audience_join(&f->audience, &m->m, &m->sel);
	return m;
}

static struct cache_object *object(const char *key, const char *node)
{
	static const char *const names[] = {"spec.nodeName", NULL};

	return node ? cache_object_new(&(struct cache_object_spec){.key = slice_str(key),
	                                                           .field_names = names,
	                                                           .field_values = &node},
	                               NULL)
	            : NULL;
}

static struct cache_event *event(const char *key, const char *was, const char *is)
{
	struct cache_object *prev = object(key, was), *obj = object(key, is);
	struct cache_event *e = cache_event_new(!was  ? CACHE_ADDED
	                                        : !is ? CACHE_DELETED
	                                              : CACHE_MODIFIED,
	                                        7, obj, prev, 0);

	cache_object_unref(prev);
	cache_object_unref(obj);
	return e;
}

/* Who is met by an event; the member `leaves`, when met or not, goes after the first one. */
static const char *met(struct fixture *f, const char *key, const char *was, const char *is,
                       struct member *leaves)
{
	static char text[MEMBERS + 1];
	struct cache_event *e = event(key, was, is);
	struct audience_walk w;
	struct audience_member *m;
	size_t n = 0;

	audience_walk_begin(&w, &f->audience, e);
	while ((m = audience_walk_next(&w))) {
		text[n++] = CONTAINER_OF(m, struct member, m)->letter;
		if (leaves)
			audience_leave(&f->audience, &TAKE(leaves)->m);
	}
	text[n] = '\0';
	cache_event_unref(e);
	return text;
}

static void begin(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	arena_init(&f->a);
	audience_init(&f->audience);
}

static void end(struct fixture *f)
{
	struct audience_member *m;

	while ((m = audience_any(&f->audience)))
		audience_leave(&f->audience, m);
	assert_int_equal(f->audience.named.n, 0);
	assert_int_equal(f->audience.n_keys, 0);
	assert_int_equal(f->audience.n_namespaces, 0);
	audience_deinit(&f->audience);
	arena_deinit(&f->a);
}

static void test_groups(void **state)
{
	struct fixture f;

	begin(&f);
	join(&f, "", "", "");                    /* a: everything */
	join(&f, "x/", "", "");                  /* b: a namespace */
	join(&f, "x/", "x/1", "");               /* c: a key */
	join(&f, "", "", "spec.nodeName=n1");    /* d */
	join(&f, "x/", "", "spec.nodeName=n1");  /* e: may be met outside its namespace */
	join(&f, "", "", "spec.nodeName!=n1");   /* f: everything */
	join(&f, "", "", "spec.nodeName=");      /* g: unset */
	join(&f, "", "", "status.absent=");      /* h: absent reads as unset */
	join(&f, "y/", "", "status.absent=yes"); /* i */

	assert_string_equal(met(&f, "x/1", NULL, "", NULL), "afcbgh");
	assert_string_equal(met(&f, "x/2", NULL, "n1", NULL), "afbdeh");
	assert_string_equal(met(&f, "y/1", "", "n1", NULL), "afdegh");
	assert_string_equal(met(&f, "y/1", "n1", "n1", NULL), "afdeh");
	assert_string_equal(met(&f, "y/1", "n1", "n2", NULL), "afdeh");
	assert_string_equal(met(&f, "y/1", "n2", NULL, NULL), "afh");
	assert_string_equal(met(&f, "x", NULL, "n2", NULL), "afh"); /* cluster scoped */
	end(&f);
}

/* More fields than are told apart: the members are met by everything. */
static void test_many_fields(void **state)
{
	struct fixture f;

	begin(&f);
	join(&f, "", "", "a=1");
	join(&f, "", "", "b=1");
	join(&f, "", "", "c=1");
	join(&f, "", "", "d=1");
	join(&f, "", "", "e=1");
	assert_string_equal(met(&f, "x/1", NULL, "", NULL), "e");
	audience_leave(&f.audience, &f.at[1].m);
	join(&f, "", "", "spec.nodeName=n1"); /* f takes the place of b */
	assert_string_equal(met(&f, "x/1", NULL, "n1", NULL), "ef");
	end(&f);
}

static void test_leaving(void **state)
{
	struct fixture f;
	struct member *a, *b, *c, *d;

	begin(&f);
	a = join(&f, "x/", "", "");
	b = join(&f, "x/", "", "");
	c = join(&f, "", "", "spec.nodeName=n1");
	d = join(&f, "", "", "spec.nodeName=n1");
	assert_string_equal(met(&f, "x/1", NULL, "n1", a), "abcd"); /* the one that is met */
	assert_string_equal(met(&f, "x/1", NULL, "n1", c), "bd");   /* one of a later group */
	assert_string_equal(met(&f, "x/1", NULL, "n1", b), "bd");   /* the last of its group */
	assert_string_equal(met(&f, "x/1", NULL, "n1", NULL), "d");
	assert_ptr_equal(audience_any(&f.audience), &d->m);
	audience_leave(&f.audience, &d->m);
	audience_leave(&f.audience, &d->m);
	assert_null(audience_any(&f.audience));
	assert_string_equal(met(&f, "x/1", NULL, "n1", NULL), "");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_groups),
	    cmocka_unit_test(test_many_fields),
	    cmocka_unit_test(test_leaving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
