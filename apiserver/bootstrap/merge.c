/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/bootstrap/merge.h"
#include "apiserver/auth/rbac/rbac.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/meta_labels.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/msg.h"
#include "proto/resource_table.h"

#define RBAC_AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"
#define APF_AUTOUPDATE "apf.kubernetes.io/autoupdate-spec"

/* --- metadata: what is wanted and missing is added, what is there stays
 * ---------------------------- */

static bool add_labels(MetaV1__ObjectMeta *have, const MetaV1__ObjectMeta *want, struct arena *a)
{
	bool changed = false;

	for (size_t i = 0; i < want->n_labels; i++) {
		if (meta_label(have, want->labels[i]->key))
			continue;
		have->labels = arena_grow(a, have->labels, have->n_labels * sizeof(void *),
		                          (have->n_labels + 1) * sizeof(void *));
		have->labels[have->n_labels++] = want->labels[i];
		changed = true;
	}
	return changed;
}

static bool add_annotations(MetaV1__ObjectMeta *have, const MetaV1__ObjectMeta *want,
                            struct arena *a)
{
	bool changed = false;

	for (size_t i = 0; i < want->n_annotations; i++) {
		if (meta_annotation(have, want->annotations[i]->key))
			continue;
		have->annotations =
		    arena_grow(a, have->annotations, have->n_annotations * sizeof(void *),
		               (have->n_annotations + 1) * sizeof(void *));
		have->annotations[have->n_annotations++] = want->annotations[i];
		changed = true;
	}
	return changed;
}

/* --- RBAC
 * ------------------------------------------------------------------------------------------ */

static bool add_rules(RbacV1__PolicyRule ***rules, size_t *n, RbacV1__PolicyRule *const *want,
                      size_t n_want, struct arena *a)
{
	struct rbac_rules owned = {.at = (const RbacV1__PolicyRule **)*rules, .n = *n};
	bool changed = false;

	for (size_t i = 0; i < n_want; i++) {
		if (rbac_covers(&owned, want[i]))
			continue;
		*rules = arena_grow(a, *rules, *n * sizeof(void *), (*n + 1) * sizeof(void *));
		(*rules)[(*n)++] = want[i];
		owned = (struct rbac_rules){(const RbacV1__PolicyRule **)*rules, *n};
		changed = true;
	}
	return changed;
}

static bool merge_role(struct object *have, const struct object *want, struct arena *a)
{
	RbacV1__Role *h = OBJECT_MSG(have, RbacV1__Role), *w = OBJECT_MSG(want, RbacV1__Role);

	return add_rules(&h->rules, &h->n_rules, w->rules, w->n_rules, a);
}

static bool merge_cluster_role(struct object *have, const struct object *want, struct arena *a)
{
	RbacV1__ClusterRole *h = OBJECT_MSG(have, RbacV1__ClusterRole);
	RbacV1__ClusterRole *w = OBJECT_MSG(want, RbacV1__ClusterRole);

	/* Rules of an aggregated role are the aggregation controller's. */
	if (w->aggregation_rule) {
		bool changed = !h->aggregation_rule;

		if (changed)
			h->aggregation_rule = w->aggregation_rule;
		return changed;
	}
	return add_rules(&h->rules, &h->n_rules, w->rules, w->n_rules, a);
}

static bool has_subject(RbacV1__Subject *const *s, size_t n, const RbacV1__Subject *want)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s[i]->kind, want->kind) && !strcmp(s[i]->name, want->name) &&
		    !strcmp(s[i]->namespace_, want->namespace_))
			return true;
	return false;
}

static bool merge_binding(struct object *have, const struct object *want, struct arena *a)
{
	/* ClusterRoleBinding has the same members in the same order. */
	RbacV1__RoleBinding *h = OBJECT_MSG(have, RbacV1__RoleBinding);
	RbacV1__RoleBinding *w = OBJECT_MSG(want, RbacV1__RoleBinding);
	bool changed = false;

	if (strcmp(h->role_ref->kind, w->role_ref->kind) != 0 ||
	    strcmp(h->role_ref->name, w->role_ref->name) != 0) {
		h->role_ref = w->role_ref;
		changed = true;
	}
	for (size_t i = 0; i < w->n_subjects; i++) {
		if (has_subject(h->subjects, h->n_subjects, w->subjects[i]))
			continue;
		h->subjects = arena_grow(a, h->subjects, h->n_subjects * sizeof(void *),
		                         (h->n_subjects + 1) * sizeof(void *));
		h->subjects[h->n_subjects++] = w->subjects[i];
		changed = true;
	}
	return changed;
}
_Static_assert(offsetof(RbacV1__RoleBinding, role_ref) ==
                       offsetof(RbacV1__ClusterRoleBinding, role_ref) &&
                   offsetof(RbacV1__RoleBinding, subjects) ==
                       offsetof(RbacV1__ClusterRoleBinding, subjects),
               "one function merges both kinds of binding");

/* --- whole fields
 * ------------------------------------------------------------------------------------ */

/* Takes one field over when it differs. */
static bool take_field(struct object *have, const struct object *want, const char *name)
{
	for (size_t i = 0; i < have->schema->n_fields; i++) {
		const struct schema_field *f = &have->schema->fields[i];
		char *h = (char *)have->msg, *w = (char *)want->msg;

		if (strcmp(f->name, name) != 0)
			continue;
		if (msg_field_equal(f, have->msg, want->msg))
			return false;
		memcpy(h + f->offset, w + f->offset, sizeof(void *));
		if (f->quantifier_offset && (f->flags & SCHEMA_REPEATED))
			memcpy(h + f->quantifier_offset, w + f->quantifier_offset, sizeof(size_t));
		return true;
	}
	return false;
}

static bool merge_flow_control(struct object *have, const struct object *want, struct arena *a)
{
	const char *name = object_name(want);
	bool mandatory = !strcmp(name, "exempt") || !strcmp(name, "catch-all");

	const char *autoupdate = meta_annotation(have->meta, APF_AUTOUPDATE);
	if (!mandatory && !(autoupdate && !strcmp(autoupdate, "true")))
		return false;
	bool changed = take_field(have, want, "spec");
	changed |= add_annotations(have->meta, want->meta, a);
	return changed;
}

static bool merge_rbac(struct object *have, const struct object *want, struct arena *a)
{
	const char *resource = have->res->resource;
	bool changed;

	const char *autoupdate = meta_annotation(have->meta, RBAC_AUTOUPDATE);
	if (autoupdate && !strcmp(autoupdate, "false"))
		return false;
	if (!strcmp(resource, "clusterroles"))
		changed = merge_cluster_role(have, want, a);
	else if (!strcmp(resource, "roles"))
		changed = merge_role(have, want, a);
	else
		changed = merge_binding(have, want, a);
	changed |= add_labels(have->meta, want->meta, a);
	changed |= add_annotations(have->meta, want->meta, a);
	return changed;
}

static bool merge_endpoints(struct object *have, const struct object *want, struct arena *a)
{
	bool changed = take_field(have, want, "subsets");
	changed |= add_labels(have->meta, want->meta, a);
	return changed;
}

static bool merge_slice(struct object *have, const struct object *want, struct arena *a)
{
	bool changed = take_field(have, want, "endpoints");
	changed |= take_field(have, want, "ports");
	changed |= add_labels(have->meta, want->meta, a);
	return changed;
}

/* Only what clients reach the API server by. */
static bool merge_service(struct object *have, const struct object *want)
{
	CoreV1__ServiceSpec *h = OBJECT_MSG(have, CoreV1__Service)->spec;
	CoreV1__ServiceSpec *w = OBJECT_MSG(want, CoreV1__Service)->spec;

	if (h->n_ports == 1 && h->ports[0]->port == w->ports[0]->port &&
	    h->ports[0]->target_port->int_val == w->ports[0]->target_port->int_val)
		return false;
	h->n_ports = w->n_ports;
	h->ports = w->ports;
	return true;
}

bool bootstrap_merge(struct object *have, const struct object *want, struct arena *a)
{
	const char *group = have->res->group, *resource = have->res->resource;

	if (!strcmp(group, "rbac.authorization.k8s.io"))
		return merge_rbac(have, want, a);
	if (!strcmp(group, "flowcontrol.apiserver.k8s.io"))
		return merge_flow_control(have, want, a);
	if (!strcmp(resource, "services"))
		return merge_service(have, want);
	if (!strcmp(resource, "endpoints"))
		return merge_endpoints(have, want, a);
	if (!strcmp(resource, "endpointslices"))
		return merge_slice(have, want, a);
	if (!strcmp(resource, "configmaps") &&
	    !strcmp(object_name(have), "extension-apiserver-authentication"))
		return take_field(have, want, "data");
	return false;
}
