/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization: the modes in their order; the first opinion counts (apiserver
 * pkg/authorization/union). system:masters may do everything before any mode is asked. */
#include "apiserver/auth/auth_impl.h"
#include "proto/codec.h"
#include "proto/pb_decode.h"
#include "proto/resource_table.h"

/* --- deciding ------------------------------------------------------------------------------------
 */

static struct rbac_attributes rbac_attributes_of(const struct authz_attributes *at)
{
	return (struct rbac_attributes){
	    .user = at->user->name,
	    .groups = at->user->groups,
	    .n_groups = at->user->n_groups,
	    .is_resource = at->is_resource,
	    .verb = at->verb,
	    .api_group = at->group,
	    .resource = at->resource,
	    .subresource = at->subresource,
	    .name = at->name,
	    .ns = at->ns,
	    .path = at->path,
	};
}

static enum authz_decision by_rbac(struct auth *a, const struct authz_attributes *at,
                                   struct arena *arena, const char **ret_reason)
{
	struct rbac_attributes ra = rbac_attributes_of(at);
	bool allowed;

	pthread_rwlock_rdlock(&a->rbac_lock);
	allowed = rbac_allows(a->rbac, &ra, arena, ret_reason);
	pthread_rwlock_unlock(&a->rbac_lock);
	return allowed ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
}

static enum authz_decision by_node(struct auth *a, const struct authz_attributes *at,
                                   struct arena *arena, const char **ret_reason)
{
	const char *node = auth_node_name(at->user);
	struct rbac_attributes ra = rbac_attributes_of(at);
	bool allowed;

	if (!node)
		return AUTHZ_NO_OPINION;
	pthread_rwlock_rdlock(&a->node_lock);
	allowed = node_authorize(a->graph, node, &ra, at->field_selector, arena, ret_reason);
	pthread_rwlock_unlock(&a->node_lock);
	return allowed ? AUTHZ_ALLOW : AUTHZ_NO_OPINION;
}

static enum authz_decision by_mode(struct auth *a, enum auth_mode mode,
                                   const struct authz_attributes *at, struct arena *arena,
                                   const char **ret_reason)
{
	switch (mode) {
	case MODE_ALWAYS_ALLOW:
		return AUTHZ_ALLOW;
	case MODE_ALWAYS_DENY:
		*ret_reason = "Everything is forbidden.";
		return AUTHZ_NO_OPINION;
	case MODE_NODE:
		return by_node(a, at, arena, ret_reason);
	case MODE_RBAC:
		return by_rbac(a, at, arena, ret_reason);
	case MODE_COUNT:
		break;
	}
	return AUTHZ_NO_OPINION;
}

enum authz_decision auth_authorize(struct auth *a, const struct authz_attributes *at,
                                   struct arena *arena, const char **ret_reason)
{
	const char *reasons = "";

	if (ret_reason)
		*ret_reason = "";
	if (user_in_group(at->user, "system:masters"))
		return AUTHZ_ALLOW;
	for (size_t i = 0; i < a->n_modes; i++) {
		const char *reason = "";
		enum authz_decision d = by_mode(a, a->modes[i], at, arena, &reason);

		if (d != AUTHZ_NO_OPINION) {
			if (ret_reason && reason)
				*ret_reason = reason;
			return d;
		}
		if (reason && *reason)
			reasons =
			    *reasons ? arena_printf(arena, "%s\n%s", reasons, reason) : reason;
	}
	if (ret_reason)
		*ret_reason = reasons;
	return AUTHZ_NO_OPINION;
}

/* --- the hook
 * ------------------------------------------------------------------------------------- */

struct authz_attributes auth_attributes_of(const struct request *req)
{
	return (struct authz_attributes){
	    .user = &req->user,
	    .verb = req->verb_name,
	    .is_resource = req->is_resource,
	    .group = req->group,
	    .resource = req->resource,
	    .subresource = req->subresource,
	    .name = req->name,
	    .ns = req->ns,
	    .path = req->path,
	    .field_selector = req->options.field_selector,
	};
}

void auth_authorize_hook(void *arg, struct request *req, hook_done done, void *done_arg)
{
	struct auth *a = arg;
	const struct status *refusal = auth_impersonate(a, req);
	struct authz_attributes at = auth_attributes_of(req);
	const char *reason;

	if (!refusal && auth_authorize(a, &at, req->arena, &reason) != AUTHZ_ALLOW)
		refusal = auth_forbidden(&at, reason, req->arena);
	done(done_arg, refusal);
}

/* --- following the caches
 * -------------------------------------------------------------------------- */

static ProtobufCMessage *decode(const struct cache_object *o, const char *kind, const char *group,
                                struct arena *a)
{
	const struct schema_message *schema = schema_by_gvk(group, "v1", kind);
	struct unknown u;
	ProtobufCMessage *msg;

	if (unknown_open(blob_view(o->blob), a, &u, NULL) < 0 ||
	    pb_decode(schema, u.raw, a, &msg, NULL) < 0)
		return NULL;
	return msg;
}

/* The two parts of a key as strings in the arena. */
static void key_parts(const struct cache_object *o, struct arena *a, const char **ret_ns,
                      const char **ret_name)
{
	struct slice ns = cache_object_namespace(o), name = cache_object_name(o);

	*ret_ns = arena_strndup(a, ns.data ? (const void *)ns.data : "", ns.len);
	*ret_name = arena_strndup(a, name.data, name.len);
}

static void rbac_put(void *arg, const struct cache_object *o)
{
	static const char *const KINDS[] = {"Role", "ClusterRole", "RoleBinding",
	                                    "ClusterRoleBinding"};
	struct auth_follow *f = arg;
	struct rbac *r = f->auth->rbac;
	struct arena a;

	arena_init(&a);
	ProtobufCMessage *msg = decode(o, KINDS[f->what], "rbac.authorization.k8s.io", &a);
	const char *ns, *name;
	key_parts(o, &a, &ns, &name);
	if (msg && f->what == FOLLOW_ROLES) {
		RbacV1__Role *role = (RbacV1__Role *)msg;
		rbac_set_role(r, ns, name, role->rules, role->n_rules);
	} else if (msg && f->what == FOLLOW_CLUSTER_ROLES) {
		RbacV1__ClusterRole *role = (RbacV1__ClusterRole *)msg;
		rbac_set_role(r, "", name, role->rules, role->n_rules);
	} else if (msg && f->what == FOLLOW_ROLE_BINDINGS) {
		RbacV1__RoleBinding *b = (RbacV1__RoleBinding *)msg;
		rbac_set_binding(r, ns, name, b->subjects, b->n_subjects, b->role_ref);
	} else if (msg) {
		RbacV1__ClusterRoleBinding *b = (RbacV1__ClusterRoleBinding *)msg;
		rbac_set_binding(r, "", name, b->subjects, b->n_subjects, b->role_ref);
	}
	arena_deinit(&a);
}

static void rbac_del(void *arg, const struct cache_object *o)
{
	struct auth_follow *f = arg;
	const char *ns, *name;
	struct arena a;

	arena_init(&a);
	key_parts(o, &a, &ns, &name);
	if (f->what == FOLLOW_ROLES || f->what == FOLLOW_CLUSTER_ROLES)
		rbac_remove_role(f->auth->rbac, ns, name);
	else
		rbac_remove_binding(f->auth->rbac, ns, name);
	arena_deinit(&a);
}

/* The evaluator cannot forget one kind alone: it is made anew, and what the other followers know is
 * told to it again. Each of them may then hear of an object twice, which changes nothing. */
static void rbac_clear(void *arg)
{
	struct auth_follow *f = arg;
	struct auth *a = f->auth;

	rbac_free(a->rbac);
	a->rbac = rbac_new();
	for (size_t i = 0; i < FOLLOW_RBAC_COUNT; i++) {
		if (&a->rbac_follow[i] == f)
			continue;
		struct cacher_snapshot snap = cacher_snapshot(a->rbac_follow[i].f.r);
		struct cache_cursor cur;
		struct cache_object *o;

		cache_cursor_seek(&cur, &snap.tree, SLICE_EMPTY);
		while ((o = cache_cursor_next(&cur)))
			rbac_put(&a->rbac_follow[i], o);
		cacher_snapshot_deinit(&snap);
	}
}

static void node_put(void *arg, const struct cache_object *o)
{
	struct auth_follow *f = arg;
	struct node_graph *g = f->auth->graph;
	struct arena a;
	ProtobufCMessage *msg;

	arena_init(&a);
	if (f->what == FOLLOW_PODS && (msg = decode(o, "Pod", "", &a)))
		node_graph_add_pod(g, (CoreV1__Pod *)msg);
	else if (f->what == FOLLOW_PVS && (msg = decode(o, "PersistentVolume", "", &a)))
		node_graph_set_pv(g, (CoreV1__PersistentVolume *)msg);
	else if (f->what == FOLLOW_ATTACHMENTS &&
	         (msg = decode(o, "VolumeAttachment", "storage.k8s.io", &a)))
		node_graph_set_attachment(g, (StorageV1__VolumeAttachment *)msg);
	arena_deinit(&a);
}

static void node_del(void *arg, const struct cache_object *o)
{
	struct auth_follow *f = arg;
	const char *ns, *name;
	struct arena a;
	ProtobufCMessage *msg;

	arena_init(&a);
	key_parts(o, &a, &ns, &name);
	if (f->what == FOLLOW_PVS)
		node_graph_remove_pv(f->auth->graph, name);
	else if (f->what == FOLLOW_ATTACHMENTS)
		node_graph_remove_attachment(f->auth->graph, name);
	else if ((msg = decode(o, "Pod", "", &a)))
		node_graph_remove_pod(f->auth->graph, (CoreV1__Pod *)msg);
	arena_deinit(&a);
}

/* A pod's references are counted: those of its former state go. Volumes are simply replaced. */
static void node_change(void *arg, const struct cache_object *prev, const struct cache_object *o)
{
	struct auth_follow *f = arg;

	if (f->what == FOLLOW_PODS)
		node_del(f, prev);
	node_put(f, o);
}

static bool pod_is_on(void *arg, const char *ns, const char *name, const char *node)
{
	struct auth *a = arg;
	struct cacher_snapshot snap = cacher_snapshot(a->node_follow[FOLLOW_PODS].f.r);
	_cleanup_buf_ struct buf key = BUF_INIT;
	const struct cache_object *o;
	bool is;

	buf_printf(&key, "%s/%s", ns, name);
	o = cache_tree_get(&snap.tree, buf_view(&key));
	is = o && slice_eq_str(cache_object_field(o, "spec.nodeName"), node);
	cacher_snapshot_deinit(&snap);
	return is;
}

struct node_graph *auth_node_graph(struct auth *a)
{
	return node_graph_new(pod_is_on, a);
}

static void node_clear(void *arg)
{
	struct auth_follow *f = arg;

	if (f->what == FOLLOW_PODS)
		node_graph_clear_pods(f->auth->graph);
	else if (f->what == FOLLOW_PVS)
		node_graph_clear_pvs(f->auth->graph);
	else
		node_graph_clear_attachments(f->auth->graph);
}

static struct cacher_resource *cache_of(struct auth *a, const char *group, const char *resource)
{
	return pipeline_cache(a->p, resource_find(group, "v1", resource, ""));
}

void auth_rbac_start(struct auth *a)
{
	static const char *const RESOURCES[FOLLOW_RBAC_COUNT] = {
	    [FOLLOW_ROLES] = "roles",
	    [FOLLOW_CLUSTER_ROLES] = "clusterroles",
	    [FOLLOW_ROLE_BINDINGS] = "rolebindings",
	    [FOLLOW_CLUSTER_ROLE_BINDINGS] = "clusterrolebindings",
	};

	for (int i = 0; i < FOLLOW_RBAC_COUNT; i++) {
		struct auth_follow *f = &a->rbac_follow[i];

		*f = (struct auth_follow){.auth = a, .what = i};
		f->f = (struct follow){
		    .r = cache_of(a, "rbac.authorization.k8s.io", RESOURCES[i]),
		    .lock = &a->rbac_lock,
		    .clear = rbac_clear,
		    .put = rbac_put,
		    .del = rbac_del,
		    .arg = f,
		};
	}
	for (int i = 0; i < FOLLOW_RBAC_COUNT; i++)
		follow_start(&a->rbac_follow[i].f, a->state_loop);
}

void auth_node_start(struct auth *a)
{
	static const char *const RESOURCES[FOLLOW_NODE_COUNT][2] = {
	    [FOLLOW_PODS] = {"", "pods"},
	    [FOLLOW_PVS] = {"", "persistentvolumes"},
	    [FOLLOW_ATTACHMENTS] = {"storage.k8s.io", "volumeattachments"},
	};

	for (int i = 0; i < FOLLOW_NODE_COUNT; i++) {
		struct auth_follow *f = &a->node_follow[i];

		*f = (struct auth_follow){.auth = a, .what = i};
		f->f = (struct follow){
		    .r = cache_of(a, RESOURCES[i][0], RESOURCES[i][1]),
		    .lock = &a->node_lock,
		    .clear = node_clear,
		    .put = node_put,
		    .del = node_del,
		    .change = node_change,
		    .arg = f,
		};
		follow_start(&f->f, a->state_loop);
	}
}
