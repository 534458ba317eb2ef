/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/cache/audience.h"

#include <assert.h>
#include <stdlib.h>
#include "common/codec/fields.h"

/* The first byte of a group's name. A field's is followed by its index. */
enum { NAME_KEY = 'k', NAME_NAMESPACE = 'n', NAME_FIELD = 'f' };

/* What a walk looks at, in this order; fields twice, after and before the event. */
enum { AT_EVERYONE, AT_KEY, AT_NAMESPACE, AT_FIELDS, AT_END = AT_FIELDS + 2 * AUDIENCE_FIELDS_MAX };

void audience_init(struct audience *a)
{
	*a = (struct audience){0};
	map_init(&a->named, 0);
	list_init(&a->groups);
	list_init(&a->everyone.members);
}

static void group_free(struct audience *a, struct audience_group *g)
{
	map_del(&a->named, slice_of(g->name, g->name_len));
	list_del(&g->node);
	--*g->population;
	free(g);
}

void audience_deinit(struct audience *a)
{
	LIST_FOREACH (&a->groups, g, struct audience_group, node)
		group_free(a, g);
	map_deinit(&a->named);
	for (size_t i = 0; i < AUDIENCE_FIELDS_MAX; i++)
		free(a->fields[i].name);
	buf_deinit(&a->name);
}

static struct slice name_of(struct audience *a, char sort, struct slice value)
{
	buf_clear(&a->name);
	buf_byte(&a->name, (uint8_t)sort);
	buf_slice(&a->name, value);
	return buf_view(&a->name);
}

static struct slice field_name_of(struct audience *a, size_t field, struct slice value)
{
	buf_clear(&a->name);
	buf_byte(&a->name, NAME_FIELD);
	buf_byte(&a->name, (uint8_t)field);
	buf_slice(&a->name, value);
	return buf_view(&a->name);
}

static struct audience_group *group_get(struct audience *a, struct slice name, size_t *population)
{
	struct audience_group *g = map_get(&a->named, name);

	if (g)
		return g;
	g = calloc(1, sizeof(*g) + name.len);
	if (!g)
		abort();
	memcpy(g->name, name.data, name.len);
	g->name_len = name.len;
	g->population = population;
	++*population;
	list_init(&g->members);
	list_add_tail(&a->groups, &g->node);
	map_put(&a->named, name, g);
	return g;
}

/* The place of a field among those that are told apart, or -1 when all places are taken. */
static int field_place(struct audience *a, const char *name)
{
	int free_place = -1;

	for (int i = AUDIENCE_FIELDS_MAX - 1; i >= 0; i--) {
		if (!a->fields[i].n)
			free_place = i;
		else if (strcmp(a->fields[i].name, name) == 0)
			return i;
	}
	if (free_place >= 0) {
		free(a->fields[free_place].name);
		a->fields[free_place].name = strdup(name);
		if (!a->fields[free_place].name)
			abort();
	}
	return free_place;
}

/* By the first field of which a value is demanded; an absent field reads as "". */
static struct audience_group *group_of_fields(struct audience *a, const struct field_selector *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		int place = s->at[i].not_equal ? -1 : field_place(a, s->at[i].field);

		if (place >= 0)
			return group_get(a,
			                 field_name_of(a, (size_t)place, slice_str(s->at[i].value)),
			                 &a->fields[place].n);
	}
	return NULL;
}

void audience_join(struct audience *a, struct audience_member *m, const struct cache_selection *s)
{
	struct audience_group *g = NULL;

	assert(!a->walk && !m->group);
	if (s->key.len)
		g = group_get(a, name_of(a, NAME_KEY, s->key), &a->n_keys);
	if (!g)
		g = group_of_fields(a, s->fields);
	if (!g && s->key_prefix.len)
		g = group_get(a, name_of(a, NAME_NAMESPACE, s->key_prefix), &a->n_namespaces);
	m->group = g ? g : &a->everyone;
	list_add_tail(&m->group->members, &m->node);
}

static void group_drop_empty(struct audience *a, struct audience_group *g)
{
	if (g && g != &a->everyone && list_empty(&g->members))
		group_free(a, g);
}

void audience_leave(struct audience *a, struct audience_member *m)
{
	struct audience_group *g = m->group;

	if (!g)
		return;
	if (a->walk && a->walk->next == &m->node)
		a->walk->next = m->node.next;
	list_del(&m->node);
	m->group = NULL;
	/* A walk lets go of its group itself. */
	if (!a->walk || a->walk->group != g)
		group_drop_empty(a, g);
}

struct audience_member *audience_any(const struct audience *a)
{
	const struct audience_group *g = &a->everyone;

	if (list_empty(&g->members)) {
		if (list_empty(&a->groups))
			return NULL;
		g = list_first(&a->groups, struct audience_group, node);
	}
	return list_first(&g->members, struct audience_member, node);
}

/* --- walking --------------------------------------------------------------------------------- */

void audience_walk_begin(struct audience_walk *w, struct audience *a, const struct cache_event *e)
{
	assert(!a->walk);
	*w = (struct audience_walk){.a = a, .e = e};
	a->walk = w;
}

static struct audience_group *find_namespace(struct audience *a, const struct cache_object *o)
{
	struct slice ns = cache_object_namespace(o);

	/* With its slash, as prefixes have it. */
	return ns.len ? map_get(&a->named, name_of(a, NAME_NAMESPACE, slice_of(o->key, ns.len + 1)))
	              : NULL;
}

/* `before`: of the state before the event, unless it has the same value as the one after. */
static struct audience_group *find_field(struct audience *a, const struct cache_event *e, size_t i,
                                         bool before)
{
	const struct cache_object *o = before ? e->prev : e->object;
	const char *field = a->fields[i].name;
	struct slice value = o ? cache_object_field(o, field) : SLICE_EMPTY;

	if (!o || (before && e->object && slice_eq(value, cache_object_field(e->object, field))))
		return NULL;
	return map_get(&a->named, field_name_of(a, i, value));
}

static struct audience_group *find(struct audience *a, const struct cache_event *e, unsigned at)
{
	const struct cache_object *o = e->object ? e->object : e->prev;
	size_t field = (at - AT_FIELDS) / 2;

	switch (at) {
	case AT_EVERYONE:
		return &a->everyone;
	case AT_KEY:
		return a->n_keys ? map_get(&a->named, name_of(a, NAME_KEY, cache_object_key(o)))
		                 : NULL;
	case AT_NAMESPACE:
		return a->n_namespaces ? find_namespace(a, o) : NULL;
	default:
		return a->fields[field].n ? find_field(a, e, field, (at - AT_FIELDS) % 2) : NULL;
	}
}

struct audience_member *audience_walk_next(struct audience_walk *w)
{
	struct list *at;

	while (!w->group || w->next == &w->group->members) {
		struct audience_group *left = TAKE(w->group);

		group_drop_empty(w->a, left);
		if (w->at == AT_END) {
			w->a->walk = NULL;
			return NULL;
		}
		w->group = find(w->a, w->e, w->at++);
		w->next = w->group ? w->group->members.next : NULL;
	}
	at = w->next;
	w->next = at->next;
	return list_entry(at, struct audience_member, node);
}
