/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of node authorization over the graph. The texts are upstream's. */
#include <string.h>
#include "apiserver/auth/node.h"

struct question {
	const struct node_graph *g;
	const char *node;
	const struct rbac_attributes *a;
	const char *field_selector;
	struct arena *arena;
	const char *reason;
};

static bool verb_in(const struct question *q, const char *verbs)
{
	size_t n = strlen(q->a->verb);

	for (const char *at = verbs; *at; at += strcspn(at, ","), at += *at == ',')
		if (strncmp(at, q->a->verb, n) == 0 && (at[n] == ',' || at[n] == '\0'))
			return true;
	return false;
}

static bool refuse(struct question *q, const char *reason)
{
	q->reason = reason;
	return false;
}

static bool is_subresource(const struct question *q)
{
	return q->a->subresource[0] != '\0';
}

static bool reaches(struct question *q, enum node_object kind)
{
	if (!q->a->name[0])
		return refuse(q, "No Object name found");
	if (node_graph_reaches(q->g, q->node, kind, q->a->ns, q->a->name))
		return true;
	q->reason = arena_printf(
	    q->arena, "no relationship found between node '%s' and this object", q->node);
	return false;
}

/* `spec.nodeName=n1` demands the node, perhaps among other terms. */
static bool selects(const struct question *q, const char *field)
{
	size_t len = strlen(field), node_len = strlen(q->node);
	const char *at = q->field_selector;

	while (*at) {
		size_t n = strcspn(at, ",");
		size_t eq = strncmp(at, field, len) == 0 && at[len] == '=' ? len + 1 : 0;

		if (eq && at[eq] == '=')
			eq++;
		if (eq && n == eq + node_len && memcmp(at + eq, q->node, node_len) == 0)
			return true;
		at += n;
		at += *at == ',';
	}
	return false;
}

/* --- by resource --------------------------------------------------------------------------------
 */

static bool read_named(struct question *q, enum node_object kind)
{
	if (!verb_in(q, "get,list,watch"))
		return refuse(q, "can only read resources of this type");
	if (is_subresource(q))
		return refuse(q, "cannot read subresource");
	if (!q->a->ns[0])
		return refuse(q, "can only read namespaced object of this type");
	return reaches(q, kind);
}

static bool get_only(struct question *q, enum node_object kind)
{
	if (strcmp(q->a->verb, "get") != 0)
		return refuse(q, "can only get individual resources of this type");
	if (is_subresource(q))
		return refuse(q, "cannot get subresource");
	return reaches(q, kind);
}

static bool claims(struct question *q)
{
	if (strcmp(q->a->subresource, "status") != 0)
		return get_only(q, NODE_PVC);
	if (!verb_in(q, "update,patch"))
		return refuse(q, "can only update/patch status of this type");
	return reaches(q, NODE_PVC);
}

static bool service_accounts(struct question *q)
{
	if (!strcmp(q->a->verb, "create") && !strcmp(q->a->subresource, "token"))
		return reaches(q, NODE_SERVICE_ACCOUNT);
	if (!strcmp(q->a->verb, "get") && !is_subresource(q))
		return reaches(q, NODE_SERVICE_ACCOUNT);
	return refuse(q, "can only create tokens for individual service accounts");
}

static bool leases(struct question *q)
{
	if (!verb_in(q, "get,create,update,patch,delete"))
		return refuse(q, "can only get, create, update, patch, or delete a node lease");
	if (strcmp(q->a->ns, "kube-node-lease") != 0)
		return refuse(q,
		              "can only access leases in the \"kube-node-lease\" system namespace");
	if (strcmp(q->a->verb, "create") != 0 && strcmp(q->a->name, q->node) != 0)
		return refuse(
		    q, "can only access node lease with the same name as the requesting node");
	return true;
}

static bool csi_nodes(struct question *q)
{
	if (!verb_in(q, "get,create,update,patch,delete"))
		return refuse(q, "can only get, create, update, patch, or delete a CSINode");
	if (is_subresource(q))
		return refuse(q, "cannot authorize CSINode subresources");
	if (strcmp(q->a->verb, "create") != 0 && strcmp(q->a->name, q->node) != 0)
		return refuse(q,
		              "can only access CSINode with the same name as the requesting node");
	return true;
}

static bool resource_slices(struct question *q)
{
	if (is_subresource(q))
		return refuse(q, "cannot authorize ResourceSlice subresources");
	if (verb_in(q, "create,get,update,patch,delete"))
		return true;
	if (!verb_in(q, "watch,list,deletecollection"))
		return refuse(
		    q, "only the following verbs are allowed for a ResourceSlice: get, watch, "
		       "list, create, update, patch, delete, deletecollection");
	if (!selects(q, "spec.nodeName"))
		return refuse(q,
		              "can only list/watch/deletecollection resourceslices with nodeName "
		              "field selector");
	return true;
}

static bool nodes(struct question *q)
{
	if (!is_subresource(q) && verb_in(q, "create,update,patch"))
		return true;
	if (!strcmp(q->a->subresource, "status"))
		return verb_in(q, "update,patch") ||
		       refuse(q, "can only update/patch the status of a node");
	if (is_subresource(q) || !verb_in(q, "get,list,watch"))
		return refuse(q, "can only create, get, list, watch, update or patch nodes");
	if (strcmp(q->a->name, q->node) != 0 && !selects(q, "metadata.name"))
		return refuse(q, "can only read the node of the same name as the requesting node");
	return true;
}

static bool pods(struct question *q)
{
	if (!strcmp(q->a->subresource, "status"))
		return verb_in(q, "update,patch") ||
		       refuse(q, "can only update/patch the status of a pod");
	if (!strcmp(q->a->subresource, "eviction"))
		return !strcmp(q->a->verb, "create");
	if (is_subresource(q))
		return refuse(q, "cannot authorize pod subresources");
	if (verb_in(q, "create,delete"))
		return true;
	if (!strcmp(q->a->verb, "get"))
		return reaches(q, NODE_POD);
	if (!verb_in(q, "list,watch"))
		return refuse(q,
		              "only the following verbs are allowed for a pod: get, list, watch, "
		              "create, delete");
	if (selects(q, "spec.nodeName"))
		return true;
	return refuse(q, "can only list/watch pods with spec.nodeName field selector");
}

static bool by_rules(struct question *q)
{
	for (size_t i = 0; i < node_n_rules; i++)
		if (rbac_rule_allows(&node_rules[i], q->a))
			return true;
	return false;
}

static bool secrets(struct question *q)
{
	return read_named(q, NODE_SECRET);
}

static bool config_maps(struct question *q)
{
	return read_named(q, NODE_CONFIGMAP);
}

static bool volumes(struct question *q)
{
	return get_only(q, NODE_PV);
}

static bool resource_claims(struct question *q)
{
	return get_only(q, NODE_RESOURCE_CLAIM);
}

static bool attachments(struct question *q)
{
	return get_only(q, NODE_ATTACHMENT);
}

static const struct {
	const char *group, *resource;
	bool (*decide)(struct question *q);
} TABLE[] = {
    {"", "secrets", secrets},
    {"", "configmaps", config_maps},
    {"", "persistentvolumeclaims", claims},
    {"", "persistentvolumes", volumes},
    {"", "serviceaccounts", service_accounts},
    {"", "nodes", nodes},
    {"", "pods", pods},
    {"coordination.k8s.io", "leases", leases},
    {"storage.k8s.io", "volumeattachments", attachments},
    {"storage.k8s.io", "csinodes", csi_nodes},
    {"resource.k8s.io", "resourceclaims", resource_claims},
    {"resource.k8s.io", "resourceslices", resource_slices},
};

bool node_authorize(const struct node_graph *g, const char *node, const struct rbac_attributes *a,
                    const char *field_selector, struct arena *arena, const char **ret_reason)
{
	struct question q = {g, node, a, field_selector ? field_selector : "", arena, ""};
	bool (*decide)(struct question *) = by_rules;

	for (size_t i = 0; a->is_resource && i < sizeof(TABLE) / sizeof(TABLE[0]); i++)
		if (!strcmp(TABLE[i].group, a->api_group) &&
		    !strcmp(TABLE[i].resource, a->resource))
			decide = TABLE[i].decide;
	bool allowed = decide(&q);
	*ret_reason = q.reason;
	return allowed;
}
