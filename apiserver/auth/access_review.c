/* SPDX-License-Identifier: Apache-2.0 */
/* SubjectAccessReview and its kin: may this user do that? (registry/authorization) */
#include "apiserver/auth/access_review.h"
#include "apiserver/auth/auth_impl.h"
#include "apiserver/auth/review.h"
#include "common/codec/json_writer.h"
#include "proto/authorization_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/pb_decode.h"

#define GROUP "authorization.k8s.io"

typedef AuthorizationV1__SubjectAccessReviewSpec spec_t;

/* --- validation
 * ------------------------------------------------------------------------------------- */

static const char *non_resource_json(const AuthorizationV1__NonResourceAttributes *n,
                                     struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_str(&b, "{\"Path\":");
	json_write_cstr(&b, n->path);
	buf_str(&b, ",\"Verb\":");
	json_write_cstr(&b, n->verb);
	buf_byte(&b, '}');
	return arena_strndup(a, b.data, b.len);
}

static void check_selectors(const AuthorizationV1__ResourceAttributes *r, struct field_errors *errs)
{
	const struct field_path *path = FIELD(NULL, "spec.resourceAttributes");

	if (r->field_selector && r->field_selector->raw_selector[0] &&
	    r->field_selector->n_requirements)
		field_invalid(errs, FIELD(path, "fieldSelector.rawSelector"),
		              r->field_selector->raw_selector,
		              "may not specified at the same time as requirements");
	if (r->field_selector && !r->field_selector->raw_selector[0] &&
	    !r->field_selector->n_requirements)
		field_required(
		    errs, FIELD(path, "fieldSelector.requirements"),
		    "when spec.resourceAttributes.fieldSelector is specified, requirements "
		    "or rawSelector is required");
	if (r->label_selector && r->label_selector->raw_selector[0] &&
	    r->label_selector->n_requirements)
		field_invalid(errs, FIELD(path, "labelSelector.rawSelector"),
		              r->label_selector->raw_selector,
		              "may not specified at the same time as requirements");
	if (r->label_selector && !r->label_selector->raw_selector[0] &&
	    !r->label_selector->n_requirements)
		field_required(
		    errs, FIELD(path, "labelSelector.requirements"),
		    "when spec.resourceAttributes.labelSelector is specified, requirements "
		    "or rawSelector is required");
}

static void check_attributes(const AuthorizationV1__ResourceAttributes *r,
                             const AuthorizationV1__NonResourceAttributes *n,
                             struct field_errors *errs)
{
	if (r && n)
		field_invalid_json(errs, FIELD(NULL, "spec.nonResourceAttributes"),
		                   non_resource_json(n, errs->arena),
		                   "cannot be specified in combination with resourceAttributes");
	if (!r && !n)
		field_invalid_json(
		    errs, FIELD(NULL, "spec.resourceAttributes"), "null",
		    "exactly one of nonResourceAttributes or resourceAttributes must "
		    "be specified");
	if (r)
		check_selectors(r, errs);
}

static void check_spec(const spec_t *spec, struct field_errors *errs)
{
	check_attributes(spec->resource_attributes, spec->non_resource_attributes, errs);
	if (!spec->user[0] && !spec->n_groups)
		field_invalid(errs, FIELD(NULL, "spec.user"), "",
		              "at least one of user or group must be specified");
}

static void check_local(const struct object *obj, const spec_t *spec, struct field_errors *errs)
{
	const AuthorizationV1__ResourceAttributes *r = spec->resource_attributes;

	check_spec(spec, errs);
	if (r && strcmp(r->namespace_, obj->meta->namespace_) != 0)
		field_invalid(errs, FIELD(NULL, "spec.resourceAttributes.namespace"), r->namespace_,
		              "must match metadata.namespace");
	if (spec->non_resource_attributes)
		field_invalid_json(errs, FIELD(NULL, "spec.nonResourceAttributes"),
		                   non_resource_json(spec->non_resource_attributes, errs->arena),
		                   "disallowed on this kind of request");
}

/* --- the answer
 * --------------------------------------------------------------------------------------- */

static struct user_info subject_of(const spec_t *spec, struct arena *a)
{
	struct user_extra *extra = arena_array(a, struct user_extra, spec->n_extra);

	for (size_t i = 0; i < spec->n_extra; i++)
		extra[i] = (struct user_extra){
		    spec->extra[i]->key,
		    (const char *const *)spec->extra[i]->value->items,
		    spec->extra[i]->value->n_items,
		};
	return (struct user_info){.name = spec->user,
	                          .uid = spec->uid,
	                          .groups = (const char *const *)spec->groups,
	                          .n_groups = spec->n_groups,
	                          .extra = extra,
	                          .n_extra = spec->n_extra};
}

/* The field selector as text: node authorization looks for one equality. */
static const char *selector_text(const AuthorizationV1__FieldSelectorAttributes *f, struct arena *a)
{
	const char *text = f ? f->raw_selector : "";

	for (size_t i = 0; f && i < f->n_requirements; i++) {
		const MetaV1__FieldSelectorRequirement *q = f->requirements[i];

		if (!strcmp(q->operator_, "In") && q->n_values == 1)
			text = arena_printf(a, "%s%s%s=%s", text, *text ? "," : "", q->key,
			                    q->values[0]);
	}
	return text;
}

static struct authz_attributes attributes_of(const struct user_info *user,
                                             const AuthorizationV1__ResourceAttributes *r,
                                             const AuthorizationV1__NonResourceAttributes *n,
                                             struct arena *a)
{
	if (!r)
		return (struct authz_attributes){.user = user,
		                                 .verb = n->verb,
		                                 .group = "",
		                                 .resource = "",
		                                 .subresource = "",
		                                 .name = "",
		                                 .ns = "",
		                                 .path = n->path,
		                                 .field_selector = ""};
	return (struct authz_attributes){.user = user,
	                                 .verb = r->verb,
	                                 .is_resource = true,
	                                 .group = r->group,
	                                 .resource = r->resource,
	                                 .subresource = r->subresource,
	                                 .name = r->name,
	                                 .ns = r->namespace_,
	                                 .path = "",
	                                 .field_selector = selector_text(r->field_selector, a)};
}

static void decide(struct auth *auth, const struct authz_attributes *at,
                   AuthorizationV1__SubjectAccessReviewStatus *st, struct arena *a)
{
	const char *reason;
	enum authz_decision d = auth_authorize(auth, at, a, &reason);

	st->has_allowed = true;
	st->allowed = d == AUTHZ_ALLOW;
	st->has_denied = true;
	st->denied = d == AUTHZ_DENY;
	st->reason = arena_strdup(a, reason);
}

static void answer(struct auth *auth, struct pipeline *p, struct request *req,
                   struct response_sink *sink, struct object *obj, const struct field_errors *errs,
                   const struct authz_attributes *at,
                   AuthorizationV1__SubjectAccessReviewStatus *st)
{
	const struct status *s = review_manage(p, req, obj);

	if (!s && errs->n)
		s = review_invalid(req, GROUP, "", errs);
	if (s) {
		status_send(s, req, sink);
		return;
	}
	decide(auth, at, st, req->arena);
	review_reply(req, sink, obj);
}

static const struct schema_message *schema_for(const char *kind)
{
	return schema_by_gvk(GROUP, "v1", kind);
}

void access_review(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink)
{
	struct field_errors errs = field_errors_in(req->arena);
	struct object obj;
	const struct status *s = review_decode(req, schema_for("SubjectAccessReview"), &obj);

	if (s) {
		status_send(s, req, sink);
		return;
	}
	AuthorizationV1__SubjectAccessReview *r =
	    OBJECT_MSG(&obj, AuthorizationV1__SubjectAccessReview);
	struct user_info user = subject_of(r->spec, req->arena);
	struct authz_attributes at = {0};

	check_spec(r->spec, &errs);
	if (!errs.n)
		at = attributes_of(&user, r->spec->resource_attributes,
		                   r->spec->non_resource_attributes, req->arena);
	answer(arg, p, req, sink, &obj, &errs, &at, r->status);
}

void local_access_review(void *arg, struct pipeline *p, struct request *req,
                         struct response_sink *sink)
{
	struct field_errors errs = field_errors_in(req->arena);
	struct object obj;
	const struct status *s = review_decode(req, schema_for("LocalSubjectAccessReview"), &obj);

	if (!s)
		s = review_namespace(req, &obj);
	if (s) {
		status_send(s, req, sink);
		return;
	}
	AuthorizationV1__LocalSubjectAccessReview *r =
	    OBJECT_MSG(&obj, AuthorizationV1__LocalSubjectAccessReview);
	struct user_info user = subject_of(r->spec, req->arena);
	struct authz_attributes at = {0};

	check_local(&obj, r->spec, &errs);
	if (!errs.n)
		at = attributes_of(&user, r->spec->resource_attributes, NULL, req->arena);
	answer(arg, p, req, sink, &obj, &errs, &at, r->status);
}

void self_access_review(void *arg, struct pipeline *p, struct request *req,
                        struct response_sink *sink)
{
	struct field_errors errs = field_errors_in(req->arena);
	struct object obj;
	const struct status *s = review_decode(req, schema_for("SelfSubjectAccessReview"), &obj);

	if (s) {
		status_send(s, req, sink);
		return;
	}
	AuthorizationV1__SelfSubjectAccessReview *r =
	    OBJECT_MSG(&obj, AuthorizationV1__SelfSubjectAccessReview);
	struct authz_attributes at = {0};

	check_attributes(r->spec->resource_attributes, r->spec->non_resource_attributes, &errs);
	if (!errs.n)
		at = attributes_of(&req->user, r->spec->resource_attributes,
		                   r->spec->non_resource_attributes, req->arena);
	answer(arg, p, req, sink, &obj, &errs, &at, r->status);
}

/* --- the rules of a user
 * -------------------------------------------------------------------------------- */

static char **strings_copy(struct arena *a, char *const *list, size_t n)
{
	char **out = arena_array(a, char *, n);

	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, list[i]);
	return out;
}

static AuthorizationV1__ResourceRule *resource_rule(const RbacV1__PolicyRule *r, struct arena *a)
{
	AuthorizationV1__ResourceRule *o = (AuthorizationV1__ResourceRule *)pb_new(
	    schema_of(&authorization_v1__resource_rule__descriptor), a);

	o->n_verbs = r->n_verbs;
	o->verbs = strings_copy(a, r->verbs, r->n_verbs);
	o->n_api_groups = r->n_api_groups;
	o->api_groups = strings_copy(a, r->api_groups, r->n_api_groups);
	o->n_resources = r->n_resources;
	o->resources = strings_copy(a, r->resources, r->n_resources);
	o->n_resource_names = r->n_resource_names;
	o->resource_names = strings_copy(a, r->resource_names, r->n_resource_names);
	return o;
}

static AuthorizationV1__NonResourceRule *non_resource_rule(const RbacV1__PolicyRule *r,
                                                           struct arena *a)
{
	AuthorizationV1__NonResourceRule *o = (AuthorizationV1__NonResourceRule *)pb_new(
	    schema_of(&authorization_v1__non_resource_rule__descriptor), a);

	o->n_verbs = r->n_verbs;
	o->verbs = strings_copy(a, r->verbs, r->n_verbs);
	o->n_non_resource_urls = r->n_non_resource_urls;
	o->non_resource_urls = strings_copy(a, r->non_resource_urls, r->n_non_resource_urls);
	return o;
}

static void collect(struct auth *auth, const struct request *req, const char *ns,
                    AuthorizationV1__SubjectRulesReviewStatus *st)
{
	struct arena *a = req->arena;
	struct rbac_rules rules;

	pthread_rwlock_rdlock(&auth->rbac_lock);
	rbac_rules_for(auth->rbac, req->user.name, req->user.groups, req->user.n_groups, ns, a,
	               &rules);
	st->resource_rules = arena_array(a, AuthorizationV1__ResourceRule *, rules.n);
	st->non_resource_rules = arena_array(a, AuthorizationV1__NonResourceRule *, rules.n);
	for (size_t i = 0; i < rules.n; i++) {
		if (rules.at[i]->n_resources)
			st->resource_rules[st->n_resource_rules++] = resource_rule(rules.at[i], a);
		if (rules.at[i]->n_non_resource_urls)
			st->non_resource_rules[st->n_non_resource_rules++] =
			    non_resource_rule(rules.at[i], a);
	}
	pthread_rwlock_unlock(&auth->rbac_lock);
	st->has_incomplete = true;
	if (auth_node_name(&req->user)) {
		st->incomplete = true;
		st->evaluation_error =
		    (char *)"node authorizer does not support user rule resolution";
	}
}

void self_rules_review(void *arg, struct pipeline *p, struct request *req,
                       struct response_sink *sink)
{
	struct object obj;
	const struct status *s = review_decode(req, schema_for("SelfSubjectRulesReview"), &obj);

	if (!s) {
		AuthorizationV1__SelfSubjectRulesReview *r =
		    OBJECT_MSG(&obj, AuthorizationV1__SelfSubjectRulesReview);
		const char *ns = r->spec->namespace_;

		if (*ns) {
			ProtobufCMessage *fresh = pb_new(obj.schema, req->arena);

			obj = object_of(req->info, obj.schema, fresh);
			collect(arg, req, ns,
			        OBJECT_MSG(&obj, AuthorizationV1__SelfSubjectRulesReview)->status);
			review_reply(req, sink, &obj);
			return;
		}
		s = status_bad_request(req->arena, "no namespace on request");
	}
	status_send(s, req, sink);
}
