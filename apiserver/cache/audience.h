/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who may want to hear of an event: watchers' selections, grouped by the narrowest thing that each
 * asks for (one key; the exact value of a field; a namespace; everything), so that an event costs
 * what is interested in it and not what is there.
 *
 * A member sits in one group. A walk gives each member once whose group the event touches, in its
 * state before or after; whether the selection matches is still to be asked. */
#include "apiserver/cache/select.h"
#include "common/base/list.h"
#include "common/base/map.h"

enum { AUDIENCE_FIELDS_MAX = 4 };

struct audience_group {
	struct list node; /* in audience.groups */
	struct list members;
	size_t *population; /* of the groups of its sort, NULL: of those who want everything */
	size_t name_len;
	char name[];
};

struct audience_member {
	struct list node;
	struct audience_group *group; /* NULL: in no audience */
};

struct audience {
	struct map named;   /* groups by name */
	struct list groups; /* all but `everyone` */
	size_t n_keys, n_namespaces;
	/* Fields that some member selects by; others than the first few are not told apart. */
	struct audience_field {
		char *name;
		size_t n; /* groups */
	} fields[AUDIENCE_FIELDS_MAX];
	struct buf name; /* for making names */
	struct audience_walk *walk;
	struct audience_group everyone;
};

void audience_init(struct audience *a);
/* Members are the caller's. */
void audience_deinit(struct audience *a);
/* The selection is read now and not kept. */
void audience_join(struct audience *a, struct audience_member *m, const struct cache_selection *s);
/* Leaving twice does nothing. */
void audience_leave(struct audience *a, struct audience_member *m);
/* Some member, NULL when there is none. */
struct audience_member *audience_any(const struct audience *a);

/* One walk at a time. Members may leave meanwhile, and will not be met; nobody joins. */
struct audience_walk {
	struct audience *a;
	const struct cache_event *e;
	unsigned at; /* what is looked at next */
	struct audience_group *group;
	struct list *next;
};
void audience_walk_begin(struct audience_walk *w, struct audience *a, const struct cache_event *e);
/* NULL ends the walk, which is always walked to its end. */
struct audience_member *audience_walk_next(struct audience_walk *w);
