/* SPDX-License-Identifier: Apache-2.0 */
/* NodeRestriction: a kubelet changes its own node, lease and CSINode, the status of its own pods,
 * and nothing that would let it pass for another. */
#include "apiserver/admission/pod_refs.h"
#include "apiserver/admission/pods.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/msg.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/schema.h"

/* The node that asks, or NULL. */
static const char *asking_node(const struct user_info *u)
{
	static const char PREFIX[] = "system:node:";

	if (strncmp(u->name, PREFIX, sizeof(PREFIX) - 1) != 0)
		return NULL;
	for (size_t i = 0; i < u->n_groups; i++)
		if (!strcmp(u->groups[i], "system:nodes"))
			return u->name + sizeof(PREFIX) - 1;
	return NULL;
}

/* --- pods
 * ----------------------------------------------------------------------------------------- */

struct found {
	bool secrets, config_maps, claims, resource_claims;
};

static void on_ref(void *arg, enum node_object kind, const char *ns, const char *name)
{
	struct found *f = arg;

	f->secrets |= kind == NODE_SECRET;
	f->config_maps |= kind == NODE_CONFIGMAP;
	f->claims |= kind == NODE_PVC;
	f->resource_claims |= kind == NODE_RESOURCE_CLAIM;
}

static const struct refusal *references(const struct admission *ad, const char *node,
                                        const CoreV1__Pod *pod)
{
	struct found f = {0};
	const char *what = NULL;

	pod_refs(pod, on_ref, &f);
	if (pod->spec->service_account_name[0])
		what = "a service account";
	else if (f.secrets)
		what = "secrets";
	else if (f.config_maps)
		what = "configmaps";
	else if (f.claims)
		what = "persistentvolumeclaims";
	else if (f.resource_claims)
		what = "resourceclaims";
	return what ? admission_forbid(ad, "node \"%s\" can not create pods that reference %s",
	                               node, what)
	            : NULL;
}

static const struct refusal *owner(struct admission *ad, const char *node, const CoreV1__Pod *pod)
{
	const MetaV1__OwnerReference *o;

	if (pod->metadata->n_owner_references != 1)
		return admission_forbid(ad,
		                        "node \"%s\" can only create pods with a single owner "
		                        "reference set to itself",
		                        node);
	o = pod->metadata->owner_references[0];
	if (strcmp(o->api_version, "v1") != 0 || strcmp(o->kind, "Node") != 0 ||
	    strcmp(o->name, node) != 0)
		return admission_forbid(
		    ad, "node \"%s\" can only create pods with an owner reference set to itself",
		    node);
	if (!o->has_controller || !o->controller)
		return admission_forbid(ad,
		                        "node \"%s\" can only create pods with a controller owner "
		                        "reference set to itself",
		                        node);
	if (o->has_block_owner_deletion && o->block_owner_deletion)
		return admission_forbid(
		    ad, "node \"%s\" must not set blockOwnerDeletion on an owner reference", node);
	const struct object *have = admission_get(ad, "", "nodes", "", node);
	if (!have)
		return admission_not_found(ad, "", "nodes", node);
	if (strcmp(object_uid(have), o->uid) != 0)
		return admission_forbid(ad, "node UID mismatch: expected %s got %s", o->uid,
		                        object_uid(have));
	return NULL;
}

static const struct refusal *create_pod(struct admission *ad, const char *node)
{
	const CoreV1__Pod *pod = OBJECT_MSG(ad->at->obj, CoreV1__Pod);
	const struct refusal *r;

	if (!is_mirror(pod))
		return admission_forbid(ad,
		                        "pod does not have \"kubernetes.io/config.mirror\" "
		                        "annotation, node \"%s\" can only create mirror pods",
		                        node);
	if (strcmp(pod->spec->node_name, node) != 0)
		return admission_forbid(
		    ad, "node \"%s\" can only create pods with spec.nodeName set to itself", node);
	r = pod->metadata->n_owner_references ? owner(ad, node, pod) : NULL;
	return r ? r : references(ad, node, pod);
}

static const struct refusal *own_pod(struct admission *ad, const char *node,
                                     const struct object *pod, const char *what)
{
	if (!strcmp(OBJECT_MSG(pod, CoreV1__Pod)->spec->node_name, node))
		return NULL;
	return admission_forbid(ad, "node \"%s\" can only %s with spec.nodeName set to itself",
	                        node, what);
}

static bool labels_equal(const MetaV1__ObjectMeta *a, const MetaV1__ObjectMeta *b)
{
	if (a->n_labels != b->n_labels)
		return false;
	for (size_t i = 0; i < a->n_labels; i++) {
		const char *v = meta_label(b, a->labels[i]->key);

		if (!v || strcmp(v, a->labels[i]->value) != 0)
			return false;
	}
	return true;
}

static const struct refusal *pod_status(struct admission *ad, const char *node)
{
	const struct refusal *r;

	if (ad->at->op != ADMIT_UPDATE)
		return admission_forbid(ad, "unexpected operation for a pod's status");
	r = own_pod(ad, node, ad->at->old, "update pod status for pods");
	if (!r && !labels_equal(ad->at->old->meta, ad->at->obj->meta))
		r = admission_forbid(ad, "node \"%s\" cannot update labels through pod status",
		                     node);
	return r;
}

static const struct refusal *pods(struct admission *ad, const char *node)
{
	const char *sub = ad->at->subresource;

	if (!strcmp(sub, "status"))
		return pod_status(ad, node);
	if (!strcmp(sub, "eviction")) {
		const struct object *pod = admission_get(ad, "", "pods", ad->at->ns, ad->at->name);

		return pod ? own_pod(ad, node, pod, "evict pods") : NULL;
	}
	if (*sub)
		return admission_forbid(ad,
		                        "unexpected pod subresource \"%s\", only 'status' and "
		                        "'eviction' are allowed",
		                        sub);
	if (ad->at->op == ADMIT_CREATE)
		return create_pod(ad, node);
	if (ad->at->op == ADMIT_DELETE)
		return own_pod(ad, node, ad->at->old, "delete pods");
	return admission_forbid(ad,
	                        "unexpected operation, node \"%s\" can only create and delete "
	                        "mirror pods",
	                        node);
}

/* --- nodes
 * ------------------------------------------------------------------------------------------ */

/* True when the part before the slash is the domain or below it. */
static bool in_domain(const char *label, const char *domain)
{
	const char *slash = strchr(label, '/');
	size_t n = slash ? (size_t)(slash - label) : 0, d = strlen(domain);

	return n >= d && !memcmp(label + n - d, domain, d) && (n == d || label[n - d - 1] == '.');
}

static bool is_kubelet_label(const char *label)
{
	static const char *const NAMES[] = {
	    "kubernetes.io/hostname",
	    "kubernetes.io/os",
	    "kubernetes.io/arch",
	    "topology.kubernetes.io/zone",
	    "topology.kubernetes.io/region",
	    "failure-domain.beta.kubernetes.io/zone",
	    "failure-domain.beta.kubernetes.io/region",
	    "beta.kubernetes.io/instance-type",
	    "beta.kubernetes.io/os",
	    "beta.kubernetes.io/arch",
	    "node.kubernetes.io/instance-type",
	};

	for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
		if (!strcmp(label, NAMES[i]))
			return true;
	return in_domain(label, "kubelet.kubernetes.io") || in_domain(label, "node.kubernetes.io");
}

static bool forbidden_label(const char *label)
{
	if (in_domain(label, "node-restriction.kubernetes.io"))
		return true;
	return (in_domain(label, "kubernetes.io") || in_domain(label, "k8s.io")) &&
	       !is_kubelet_label(label);
}

/* The forbidden ones among the labels of `a` that `b` (NULL: none) does not have alike. */
static const char *changed_labels(struct arena *arena, const char *list,
                                  const MetaV1__ObjectMeta *a, const MetaV1__ObjectMeta *b,
                                  bool removed_only)
{
	for (size_t i = 0; i < a->n_labels; i++) {
		const char *key = a->labels[i]->key, *v = b ? meta_label(b, key) : NULL;
		bool changed = removed_only ? !v : !v || strcmp(v, a->labels[i]->value) != 0;

		if (changed && forbidden_label(key))
			list = arena_printf(arena, "%s%s%s", list, *list ? ", " : "", key);
	}
	return list;
}

static bool taints_equal(const CoreV1__NodeSpec *a, const CoreV1__NodeSpec *b)
{
	if (a->n_taints != b->n_taints)
		return false;
	for (size_t i = 0; i < a->n_taints; i++)
		if (!msg_equal(schema_of(&core_v1__taint__descriptor), &a->taints[i]->base,
		               &b->taints[i]->base))
			return false;
	return true;
}

static const struct refusal *update_node(struct admission *ad, const char *node)
{
	const MetaV1__ObjectMeta *old = ad->at->old->meta, *new = ad->at->obj->meta;
	const char *labels;

	if (!taints_equal(OBJECT_MSG(ad->at->old, CoreV1__Node)->spec,
	                  OBJECT_MSG(ad->at->obj, CoreV1__Node)->spec))
		return admission_forbid(ad, "node \"%s\" is not allowed to modify taints", node);
	labels = changed_labels(ad->arena, "", new, old, false);
	labels = changed_labels(ad->arena, labels, old, new, true);
	if (*labels)
		return admission_forbid(ad, "is not allowed to modify labels: %s", labels);
	if (old->n_owner_references != new->n_owner_references)
		return admission_forbid(ad, "node \"%s\" is not allowed to modify ownerReferences",
		                        node);
	return NULL;
}

static const struct refusal *nodes(struct admission *ad, const char *node)
{
	const char *labels;

	if (strcmp(ad->at->name, node) != 0)
		return admission_forbid(ad, "node \"%s\" is not allowed to modify node \"%s\"",
		                        node, ad->at->name);
	if (ad->at->op == ADMIT_UPDATE)
		return update_node(ad, node);
	if (ad->at->op != ADMIT_CREATE)
		return NULL;
	labels = changed_labels(ad->arena, "", ad->at->obj->meta, NULL, false);
	if (*labels)
		return admission_forbid(
		    ad, "node \"%s\" is not allowed to set the following labels: %s", node, labels);
	return ad->at->obj->meta->n_owner_references
	           ? admission_forbid(ad,
	                              "node \"%s\" is not allowed to create a node with "
	                              "ownerReferences",
	                              node)
	           : NULL;
}

/* --- what a node has besides
 * ----------------------------------------------------------------------------- */

static const struct refusal *leases(struct admission *ad, const char *node)
{
	if (strcmp(ad->at->ns, "kube-node-lease") != 0)
		return admission_forbid(
		    ad, "can only access leases in the \"kube-node-lease\" system namespace");
	if (strcmp(ad->at->name, node) != 0)
		return admission_forbid(
		    ad, "can only access node lease with the same name as the requesting node");
	return NULL;
}

static const struct refusal *csi_nodes(struct admission *ad, const char *node)
{
	return strcmp(ad->at->name, node) != 0
	           ? admission_forbid(ad, "can only access CSINode with the same name as the "
	                                  "requesting node")
	           : NULL;
}

static const struct refusal *tokens(struct admission *ad, const char *node)
{
	const AuthenticationV1__BoundObjectReference *ref;
	const struct object *pod;

	if (strcmp(ad->at->subresource, "token") != 0)
		return NULL;
	ref = OBJECT_MSG(ad->at->obj, AuthenticationV1__TokenRequest)->spec->bound_object_ref;
	if (!ref || strcmp(ref->api_version, "v1") != 0 || strcmp(ref->kind, "Pod") != 0 ||
	    !ref->name[0])
		return admission_forbid(ad, "node requested token not bound to a pod");
	if (!ref->uid[0])
		return admission_forbid(ad,
		                        "node requested token with a pod binding without a uid");
	pod = admission_get(ad, "", "pods", ad->at->ns, ref->name);
	if (!pod)
		return admission_not_found(ad, "", "pods", ref->name);
	if (strcmp(object_uid(pod), ref->uid) != 0)
		return admission_forbid(ad,
		                        "the UID in the bound object reference (%s) does not match "
		                        "the UID in record. The object might have been deleted and "
		                        "then recreated",
		                        ref->uid);
	if (strcmp(OBJECT_MSG(pod, CoreV1__Pod)->spec->node_name, node) != 0)
		return admission_forbid(
		    ad, "node requested token bound to a pod scheduled on a different node");
	return NULL;
}

static const struct refusal *slices(struct admission *ad, const char *node)
{
	const struct object *o = ad->at->op == ADMIT_DELETE ? ad->at->old : ad->at->obj;
	const char *name = o ? OBJECT_MSG(o, ResourceV1__ResourceSlice)->spec->node_name : NULL;

	if (!o || ad->at->op == ADMIT_UPDATE || (name && !strcmp(name, node)))
		return NULL;
	return admission_forbid(
	    ad, "can only %s ResourceSlice with the same NodeName as the requesting node",
	    ad->at->op == ADMIT_DELETE ? "delete" : "create");
}

static const struct refusal *claims(struct admission *ad, const char *node)
{
	if (!strcmp(ad->at->subresource, "status"))
		return NULL;
	return admission_forbid(ad, "may only update PVC status");
}

static const struct {
	const char *group, *resource;
	const struct refusal *(*check)(struct admission *ad, const char *node);
} TABLE[] = {
    {"", "pods", pods},
    {"", "nodes", nodes},
    {"", "persistentvolumeclaims", claims},
    {"", "serviceaccounts", tokens},
    {"coordination.k8s.io", "leases", leases},
    {"storage.k8s.io", "csinodes", csi_nodes},
    {"resource.k8s.io", "resourceslices", slices},
};

const struct refusal *node_restriction(struct admission *ad)
{
	const char *node = asking_node(&ad->at->req->user);

	if (!node)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++)
		if (!strcmp(TABLE[i].resource, ad->at->res->resource) &&
		    !strcmp(TABLE[i].group, ad->at->res->group))
			return TABLE[i].check(ad, node);
	return NULL;
}
