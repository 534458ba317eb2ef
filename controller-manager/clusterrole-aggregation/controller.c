/* SPDX-License-Identifier: Apache-2.0 */
/* Aggregated ClusterRoles (admin, edit, view) have the rules of all roles that their selectors
 * match, in the order of those roles' names, each rule once. */
#include "controller-manager/base/manager.h"
#include "controller-manager/base/work.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/rbac_v1.pb-c.h"
#include "proto/schema_messages.h"

enum { WORKERS = 5 };

struct aggregation {
	struct client *client;
	struct informer *roles;
	unsigned aggregated; /* all aggregated ones are under "yes" */
	struct workqueue *queue;
};

static const struct client_resource roles_resource = {"rbac.authorization.k8s.io", "v1",
                                                      "clusterroles"};

struct gathering {
	struct arena *arena;
	RbacV1__ClusterRole **roles;
	size_t n, most;
};

static void gather(const struct informer_object *o, void *arg)
{
	struct gathering *g = arg;
	RbacV1__ClusterRole *role = (RbacV1__ClusterRole *)informer_object_decode(
	    o, &rbac_v1__cluster_role_schema, g->arena);
	if (role && g->n < g->most)
		g->roles[g->n++] = role;
}

static int name_cmp(const void *x, const void *y)
{
	const RbacV1__ClusterRole *a = *(RbacV1__ClusterRole *const *)x;
	const RbacV1__ClusterRole *b = *(RbacV1__ClusterRole *const *)y;
	return strcmp(a->metadata->name, b->metadata->name);
}

static bool has_rule(const RbacV1__ClusterRole *role, const RbacV1__PolicyRule *rule)
{
	for (size_t i = 0; i < role->n_rules; i++)
		if (msg_equal(&rbac_v1__policy_rule_schema, &role->rules[i]->base, &rule->base))
			return true;
	return false;
}

static void add_rules(RbacV1__ClusterRole *to, const RbacV1__ClusterRole *from, struct arena *a)
{
	RbacV1__PolicyRule **rules =
	    arena_array(a, RbacV1__PolicyRule *, to->n_rules + from->n_rules);
	for (size_t i = 0; i < to->n_rules; i++)
		rules[i] = to->rules[i];
	to->rules = rules;
	for (size_t i = 0; i < from->n_rules; i++)
		if (!has_rule(to, from->rules[i]))
			to->rules[to->n_rules++] = from->rules[i];
}

/* The role with the rules that it should have. */
static RbacV1__ClusterRole aggregate(const RbacV1__ClusterRole *role, struct gathering *g)
{
	RbacV1__ClusterRole want = *role;
	want.n_rules = 0;
	want.rules = NULL;
	for (size_t k = 0; k < role->aggregation_rule->n_cluster_role_selectors; k++) {
		struct label_selector sel;
		if (meta_label_selector(role->aggregation_rule->cluster_role_selectors[k], g->arena,
		                        &sel, NULL))
			continue;
		for (size_t i = 0; i < g->n; i++)
			if (strcmp(g->roles[i]->metadata->name, role->metadata->name) &&
			    meta_labels_match(&sel, g->roles[i]->metadata))
				add_rules(&want, g->roles[i], g->arena);
	}
	return want;
}

static void process(struct workqueue *q, const char *key, void *arg)
{
	struct aggregation *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const struct informer_object *o = informer_get_key(s->roles, key);
	RbacV1__ClusterRole *role =
	    o ? (RbacV1__ClusterRole *)informer_object_decode(o, &rbac_v1__cluster_role_schema, &a)
	      : NULL;
	if (!role || !role->aggregation_rule) {
		workqueue_done(q, key);
		return;
	}
	struct gathering g = {.arena = &a, .most = informer_count(s->roles)};
	g.roles = arena_array(&a, RbacV1__ClusterRole *, g.most);
	informer_each(s->roles, gather, &g);
	qsort(g.roles, g.n, sizeof(*g.roles), name_cmp);
	RbacV1__ClusterRole want = aggregate(role, &g);
	if (msg_equal(&rbac_v1__cluster_role_schema, &want.base, &role->base)) {
		workqueue_done(q, key);
		return;
	}
	struct client_target t = {.resource = roles_resource, .name = key};
	client_write_msg(s->client, false, &t, &rbac_v1__cluster_role_schema, &want.base, work_done,
	                 work_begin(q, key));
}

/* Any change may change what is aggregated. */
static void on_role(const struct informer_object *o, void *arg)
{
	struct aggregation *s = arg;
	size_t n;
	const struct informer_object *const *list =
	    informer_lookup(s->roles, s->aggregated, "yes", &n);
	for (size_t i = 0; i < n; i++)
		workqueue_add(s->queue, list[i]->key);
}

static void on_role_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	on_role(o, arg);
}

static void index_aggregated(const struct informer_object *o, void (*emit)(void *, struct slice),
                             void *arg)
{
	enum { AGGREGATION_RULE = 3 };
	if (pb_peek_path(o->bytes, AGGREGATION_RULE).data)
		emit(arg, slice_str("yes"));
}

static void *make(struct manager *m)
{
	struct aggregation *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->client = manager_client(m, "clusterrole-aggregation-controller");
	s->queue = manager_queue(m, "ClusterRoleAggregator", WORKERS, process, s);
	s->roles = informers_get(m->informers, &roles_resource, NULL, NULL, NULL);
	s->aggregated = informer_add_index(s->roles, "aggregated", index_aggregated);
	informer_add_handler(s->roles,
	                     &(struct informer_handler){on_role, on_role_update, on_role, s});
	return s;
}

static void run(void *self)
{
	workqueue_start(((struct aggregation *)self)->queue);
}

static void free_self(void *self)
{
	struct aggregation *s = self;
	workqueue_free(s->queue);
	free(s);
}

const struct controller controller_clusterrole_aggregation = {
    .name = "clusterrole-aggregation-controller", .make = make, .run = run, .free = free_self};
