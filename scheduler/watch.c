/* SPDX-License-Identifier: Apache-2.0 */
/* From the apiserver's events to the cluster and the queue. */
#include "common/base/log.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/schema_messages.h"
#include "scheduler/scheduler_internal.h"

static void happened(struct scheduler *s, const struct event *e)
{
	queue_event(s->queue, e, scheduler_now_ms(s));
	scheduler_wake(s);
}

/* Pods */

/* A pod with a node: on add, on update, or the confirmation of what was assumed. */
static void pod_assigned(struct scheduler *s, struct pod_info *p)
{
	const struct placed_pod *placed = cluster_pod(s->cluster, p->key);
	struct pod_info *old = NULL;
	if (placed && !placed->assumed && !strcmp(placed->node->name, p->node_name))
		old = pod_info_ref(placed->pod);
	cluster_set_pod(s->cluster, p);
	cluster_unnominate(s->cluster, p->key);
	queue_remove(s->queue, p->key);
	struct event e = {.kinds = EVENT_POD_ADD, .old_pod = old, .pod = p};
	if (old)
		e.kinds = pod_info_changes(old, p) & (EVENT_POD_LABEL | EVENT_POD_SCALE_DOWN);
	happened(s, &e);
	pod_info_unref(old);
}

/* A waiting pod gives up what it was nominated to: others may have it. */
static void waiting_gone(struct scheduler *s, const char *key)
{
	const struct queue_item *it = queue_find(s->queue, key);
	struct pod_info *p = it ? pod_info_ref(it->pod) : NULL;
	queue_remove(s->queue, key);
	if (cluster_unnominate(s->cluster, key) && p)
		happened(s, &(struct event){.kinds = EVENT_POD_DELETE, .old_pod = p});
	pod_info_unref(p);
}

static void pod_gone(struct scheduler *s, const char *key)
{
	waiting_gone(s, key);
	bind_reject(s, key, "pod is being deleted");
	struct pod_info *was = cluster_remove_pod(s->cluster, key);
	if (was)
		happened(s, &(struct event){.kinds = EVENT_POD_DELETE, .old_pod = was});
	pod_info_unref(was);
}

static void pod_waiting(struct scheduler *s, struct pod_info *p)
{
	const struct framework *f = profile_of(&s->config, p->scheduler_name);
	if (!f || p->terminating) {
		waiting_gone(s, p->key);
		return;
	}
	if (cluster_pod(s->cluster, p->key)) /* assumed: its event is on its way */
		return;
	const struct queue_item *it = queue_find(s->queue, p->key);
	if (*p->nominated_node)
		cluster_nominate(s->cluster, p, p->nominated_node);
	else if (it && *it->pod->nominated_node)
		cluster_unnominate(s->cluster, p->key);
	queue_add(s->queue, p, f, scheduler_now_ms(s));
	scheduler_wake(s);
}

static void on_pod(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Pod *pod = (void *)informer_object_decode(o, &core_v1__pod_schema, &a);
	if (!pod)
		return;
	struct pod_info *p = pod_info_new(cluster_symbols(s->cluster), pod);
	if (p->final)
		pod_gone(s, p->key);
	else if (*p->node_name)
		pod_assigned(s, p);
	else
		pod_waiting(s, p);
	pod_info_unref(p);
}

static void on_pod_update(const struct informer_object *old, const struct informer_object *o,
                          void *arg)
{
	/* One that was deleted and made anew between two looks. */
	if (strcmp(old->uid, o->uid) != 0)
		pod_gone(arg, old->key);
	on_pod(o, arg);
}

static void on_pod_delete(const struct informer_object *old, void *arg)
{
	pod_gone(arg, old->key);
	scheduler_wake(arg);
}

/* Nodes */

static void on_node(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Node *node = (void *)informer_object_decode(o, &core_v1__node_schema, &a);
	if (!node)
		return;
	struct node_spec *n = node_spec_new(cluster_symbols(s->cluster), node), *old;
	struct event e = {.kinds = cluster_set_node(s->cluster, n, &old), .node = n};
	e.old_node = old;
	happened(s, &e);
	node_spec_unref(old);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	(void)old;
	on_node(o, arg);
}

static void on_node_delete(const struct informer_object *old, void *arg)
{
	struct scheduler *s = arg;
	struct node_spec *was = cluster_remove_node(s->cluster, old->name);
	if (was)
		happened(s, &(struct event){.kinds = EVENT_NODE_DELETE, .old_node = was});
	node_spec_unref(was);
}

/* Namespaces */

static void on_namespace(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Namespace *ns =
	    (void *)informer_object_decode(o, &core_v1__namespace_schema, &a);
	if (ns && cluster_set_namespace(s->cluster, o->name, ns->metadata))
		happened(s, &(struct event){.kinds = EVENT_NAMESPACE});
}

static void on_namespace_update(const struct informer_object *old, const struct informer_object *o,
                                void *arg)
{
	(void)old;
	on_namespace(o, arg);
}

static void on_namespace_delete(const struct informer_object *old, void *arg)
{
	struct scheduler *s = arg;
	cluster_remove_namespace(s->cluster, old->name);
}

/* What owns pods */

/* A map of labels as a selector. */
#define SELECTOR_OF_MAP(arena, n, entries)                                                  \
	__extension__({                                                                     \
		MetaV1__LabelSelector *sel_ = arena_new(arena, MetaV1__LabelSelector);      \
		sel_->n_match_labels = (n);                                                 \
		sel_->match_labels = (MetaV1__LabelSelector__MatchLabelsEntry **)(entries); \
		sel_;                                                                       \
	})

static void on_service(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Service *svc =
	    (void *)informer_object_decode(o, &core_v1__service_schema, &a);
	/* Entries of all maps from text to text have one layout. */
	if (svc)
		cluster_set_owner(s->cluster, "Service", o->ns, o->name,
		                  SELECTOR_OF_MAP(&a, svc->spec->n_selector, svc->spec->selector));
}

static void on_replication_controller(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__ReplicationController *rc =
	    (void *)informer_object_decode(o, &core_v1__replication_controller_schema, &a);
	if (rc)
		cluster_set_owner(s->cluster, "ReplicationController", o->ns, o->name,
		                  SELECTOR_OF_MAP(&a, rc->spec->n_selector, rc->spec->selector));
}

static void on_replica_set(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const AppsV1__ReplicaSet *rs =
	    (void *)informer_object_decode(o, &apps_v1__replica_set_schema, &a);
	if (rs)
		cluster_set_owner(s->cluster, "ReplicaSet", o->ns, o->name, rs->spec->selector);
}

static void on_stateful_set(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const AppsV1__StatefulSet *ss =
	    (void *)informer_object_decode(o, &apps_v1__stateful_set_schema, &a);
	if (ss)
		cluster_set_owner(s->cluster, "StatefulSet", o->ns, o->name, ss->spec->selector);
}

#define OWNER_HANDLERS(what, kind)                                                   \
	static void on_##what##_update(const struct informer_object *old,            \
	                               const struct informer_object *o, void *arg)   \
	{                                                                            \
		(void)old;                                                           \
		on_##what(o, arg);                                                   \
	}                                                                            \
	static void on_##what##_delete(const struct informer_object *old, void *arg) \
	{                                                                            \
		struct scheduler *s = arg;                                           \
		cluster_remove_owner(s->cluster, kind, old->ns, old->name);          \
	}

OWNER_HANDLERS(service, "Service")
OWNER_HANDLERS(replication_controller, "ReplicationController")
OWNER_HANDLERS(replica_set, "ReplicaSet")
OWNER_HANDLERS(stateful_set, "StatefulSet")

/* Disruption budgets */

static void on_budget(const struct informer_object *o, void *arg)
{
	struct scheduler *s = arg;
	_cleanup_arena_ struct arena a = {0};
	const PolicyV1__PodDisruptionBudget *b =
	    (void *)informer_object_decode(o, &policy_v1__pod_disruption_budget_schema, &a);
	if (b)
		cluster_set_budget(s->cluster, b);
}

static void on_budget_update(const struct informer_object *old, const struct informer_object *o,
                             void *arg)
{
	(void)old;
	on_budget(o, arg);
}

static void on_budget_delete(const struct informer_object *old, void *arg)
{
	struct scheduler *s = arg;
	cluster_remove_budget(s->cluster, old->key);
}

static struct informer *follow(struct scheduler *s, const char *group, const char *version,
                               const char *resource, struct informer_handler h)
{
	const struct client_resource r = {group, version, resource};
	struct informer *inf = informers_get(s->informers, &r, NULL, NULL, NULL);
	h.arg = s;
	informer_add_handler(inf, &h);
	return inf;
}

#define HANDLERS(name)                                              \
	((struct informer_handler){.on_add = on_##name,             \
	                           .on_update = on_##name##_update, \
	                           .on_delete = on_##name##_delete})

void watch_init(struct scheduler *s)
{
	s->informers = informers_new(s->o.client);
	follow(s, "", "v1", "nodes", HANDLERS(node));
	follow(s, "", "v1", "namespaces", HANDLERS(namespace));
	follow(s, "", "v1", "services", HANDLERS(service));
	follow(s, "", "v1", "replicationcontrollers", HANDLERS(replication_controller));
	follow(s, "apps", "v1", "replicasets", HANDLERS(replica_set));
	follow(s, "apps", "v1", "statefulsets", HANDLERS(stateful_set));
	follow(s, "policy", "v1", "poddisruptionbudgets", HANDLERS(budget));
	s->pods = follow(s, "", "v1", "pods", HANDLERS(pod));
}
