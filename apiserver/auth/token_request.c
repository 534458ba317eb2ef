/* SPDX-License-Identifier: Apache-2.0 */
/* POST serviceaccounts/NAME/token: a token for a service account, perhaps bound to an object that
 * must outlive it (kubernetes pkg/registry/core/serviceaccount/storage/token.go). */
#include "apiserver/auth/lookup.h"
#include "apiserver/auth/review.h"
#include "apiserver/auth/token_impl.h"
#include "apiserver/storage/cacher.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/resource_table.h"

enum {
	DEFAULT_S = 3600,
	MIN_S = 600,
	/* A projected token asks for this many seconds; it is then good for a year, and using it
	 * after the time that it asked for is counted. */
	WARN_ONLY_S = 3607,
	EXTENDED_S = 365 * 24 * 3600,
	FRESH_TIMEOUT_MS = 5000,
};

struct token_call {
	struct tokens *t;
	struct pipeline *p;
	struct request *req;
	struct response_sink *sink;
	struct object obj; /* the TokenRequest */
	bool fresh;        /* the caches have what the store had */
	bool missing;      /* something was not in the cache */
	int64_t now_s;
	struct token_claims claims;
	struct admission_attrs admission;
};

static AuthenticationV1__TokenRequest *body_of(struct token_call *c)
{
	return OBJECT_MSG(&c->obj, AuthenticationV1__TokenRequest);
}

static const struct status *find(struct token_call *c, const char *resource, const char *ns,
                                 const char *name, struct object *ret)
{
	if (lookup_object(c->p, resource_find("", "v1", resource, ""), ns, name, c->req->arena,
	                  ret))
		return NULL;
	c->missing = true;
	return status_not_found(c->req->arena, "", resource, name);
}

/* --- the bound object
 * ------------------------------------------------------------------------------------ */

static const struct status *bind_pod(struct token_call *c, const char *name, const char **ret_uid)
{
	struct object obj, node;
	const struct status *s = find(c, "pods", c->req->ns, name, &obj);

	if (s)
		return s;
	const CoreV1__PodSpec *spec = OBJECT_MSG(&obj, CoreV1__Pod)->spec;

	if (strcmp(spec->service_account_name, c->claims.sa_name) != 0)
		return status_bad_request(c->req->arena,
		                          "cannot bind token for serviceaccount \"%s\" to pod "
		                          "running with different serviceaccount name.",
		                          c->claims.sa_name);
	c->claims.pod_name = object_name(&obj);
	c->claims.pod_uid = *ret_uid = object_uid(&obj);
	if (spec->node_name[0]) {
		c->claims.node_name = spec->node_name;
		if (lookup_object(c->p, resource_find("", "v1", "nodes", ""), "", spec->node_name,
		                  c->req->arena, &node))
			c->claims.node_uid = object_uid(&node);
	}
	return NULL;
}

static const struct status *bind_secret(struct token_call *c, const char *name,
                                        const char **ret_uid)
{
	struct object obj;
	const struct status *s = find(c, "secrets", c->req->ns, name, &obj);

	if (s)
		return s;
	c->claims.secret_name = object_name(&obj);
	c->claims.secret_uid = *ret_uid = object_uid(&obj);
	return NULL;
}

static const struct status *bind_node(struct token_call *c, const char *name, const char **ret_uid)
{
	struct object obj;
	const struct status *s = find(c, "nodes", "", name, &obj);

	if (s)
		return s;
	c->claims.node_name = object_name(&obj);
	c->claims.node_uid = *ret_uid = object_uid(&obj);
	return NULL;
}

static const struct status *bind(struct token_call *c)
{
	const AuthenticationV1__BoundObjectReference *ref = body_of(c)->spec->bound_object_ref;
	const struct status *s;
	const char *uid = "";

	if (!ref)
		return NULL;
	bool core = !strcmp(ref->api_version, "v1") || !ref->api_version[0];
	if (core && !strcmp(ref->kind, "Pod"))
		s = bind_pod(c, ref->name, &uid);
	else if (core && !strcmp(ref->kind, "Secret"))
		s = bind_secret(c, ref->name, &uid);
	else if (core && !strcmp(ref->kind, "Node"))
		s = bind_node(c, ref->name, &uid);
	else
		s = status_bad_request(
		    c->req->arena, "cannot bind token to object of type %s%s, Kind=%s",
		    strchr(ref->api_version, '/') ? "" : "/", ref->api_version, ref->kind);
	if (!s && ref->uid[0] && strcmp(ref->uid, uid) != 0)
		s = status_conflict(
		    c->req->arena, "", ref->kind, ref->name,
		    arena_printf(
		        c->req->arena,
		        "the UID in the bound object reference (%s) does not match the UID "
		        "in record. The object might have been deleted and then recreated",
		        ref->uid));
	return s;
}

/* --- the request
 * ------------------------------------------------------------------------------------------ */

static void defaults(struct token_call *c)
{
	AuthenticationV1__TokenRequest *r = body_of(c);

	if (!r->spec->n_audiences) {
		r->spec->n_audiences = c->t->n_audiences;
		r->spec->audiences = (char **)c->t->audiences;
	}
	if (!r->metadata->name[0])
		r->metadata->name = (char *)c->req->name;
}

static const struct status *validate(struct token_call *c)
{
	struct field_errors errs = field_errors_in(c->req->arena);
	int64_t s = body_of(c)->spec->expiration_seconds;
	const struct field_path *path = FIELD(NULL, "spec.expirationSeconds");

	if (s < MIN_S)
		field_invalid_int(&errs, path, s,
		                  "may not specify a duration less than 10 minutes");
	if (s > INT64_C(1) << 32)
		field_invalid_int(&errs, path, s,
		                  "may not specify a duration larger than 2^32 seconds");
	return errs.n ? review_invalid(c->req, "authentication.k8s.io", "TokenRequest", &errs)
	              : NULL;
}

static bool for_api_server(const struct token_call *c)
{
	const AuthenticationV1__TokenRequestSpec *spec =
	    OBJECT_MSG(&c->obj, AuthenticationV1__TokenRequest)->spec;

	for (size_t i = 0; i < spec->n_audiences; i++) {
		bool known = false;

		for (size_t k = 0; k < c->t->n_audiences; k++)
			known |= !strcmp(spec->audiences[i], c->t->audiences[k]);
		if (!known)
			return false;
	}
	return true;
}

static void limit_expiration(struct token_call *c)
{
	AuthenticationV1__TokenRequestSpec *spec = body_of(c)->spec;
	int64_t max = c->t->max_expiration_s;

	if (max <= 0 || spec->expiration_seconds <= max)
		return;
	response_warning(c->sink,
	                 arena_printf(c->req->arena,
	                              "requested expiration of %lld seconds shortened to "
	                              "%lld seconds",
	                              (long long)spec->expiration_seconds, (long long)max));
	spec->expiration_seconds = max;
}

static void issue(struct token_call *c)
{
	AuthenticationV1__TokenRequest *r = body_of(c);
	struct err err = ERR_INIT;
	const char *token;
	char id[37];

	limit_expiration(c);
	int64_t seconds = r->spec->expiration_seconds;
	if (c->t->extend && c->claims.pod_name && seconds == WARN_ONLY_S && for_api_server(c)) {
		c->claims.warn_after_s = c->now_s + seconds;
		seconds = EXTENDED_S;
	}
	rng_uuid(id);
	c->claims.id = id;
	c->claims.audiences = (const char *const *)r->spec->audiences;
	c->claims.n_audiences = r->spec->n_audiences;
	c->claims.now_s = c->now_s;
	c->claims.expires_s = c->now_s + seconds;
	int code = token_issue(c->t, &c->claims, c->req->arena, &token, &err);
	if (code < 0) {
		status_send(status_of_err(c->req->arena, code, &err), c->req, c->sink);
		return;
	}
	r->status->token = (char *)token;
	time_set(r->status->expiration_timestamp, c->now_s + r->spec->expiration_seconds);
	review_reply(c->req, c->sink, &c->obj);
}

static void on_admitted(void *arg, const struct status *refusal)
{
	struct token_call *c = arg;

	if (refusal)
		status_send(refusal, c->req, c->sink);
	else
		issue(c);
}

static void admit(struct token_call *c)
{
	struct pipeline_hooks *h = pipeline_hooks(c->p);

	c->admission = (struct admission_attrs){
	    .pipeline = c->p,
	    .req = c->req,
	    .op = ADMIT_CREATE,
	    .res = c->req->info->parent,
	    .subresource = "token",
	    .ns = c->req->ns,
	    .name = c->req->name,
	    .obj = &c->obj,
	    .dry_run = c->req->options.dry_run,
	    .arena = c->req->arena,
	    .loop = c->req->loop,
	};
	if (h->admit_validate)
		h->admit_validate(h->admit_arg, &c->admission, on_admitted, c);
	else
		issue(c);
}

static const struct status *attempt(struct token_call *c)
{
	AuthenticationV1__TokenRequest *r = body_of(c);
	struct object sa;

	c->missing = false;
	c->claims = (struct token_claims){.ns = c->req->ns, .sa_name = c->req->name};
	const struct status *s = find(c, "serviceaccounts", c->req->ns, c->req->name, &sa);
	if (s)
		return s;
	c->claims.sa_uid = object_uid(&sa);
	r->metadata->uid = (char *)object_uid(&sa);
	c->now_s = clock_real_ns() / 1000000000;
	time_set(r->metadata->creation_timestamp, c->now_s);
	s = validate(c);
	return s ? s : bind(c);
}

static void run(struct token_call *c);

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct token_call *c = arg;

	c->fresh = true;
	if (code < 0)
		status_send(status_of_err(c->req->arena, code, err), c->req, c->sink);
	else
		run(c);
}

static void run(struct token_call *c)
{
	const struct status *s = attempt(c);

	if (s && c->missing && !c->fresh)
		cacher_fresh(pipeline_cacher(c->p), c->req->loop, 0, FRESH_TIMEOUT_MS, on_fresh, c);
	else if (s)
		status_send(s, c->req, c->sink);
	else
		admit(c);
}

void token_request(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink)
{
	struct token_call *c = arena_new(req->arena, struct token_call);
	const struct schema_message *schema =
	    schema_by_gvk("authentication.k8s.io", "v1", "TokenRequest");
	const struct status *s;

	*c = (struct token_call){.t = arg, .p = p, .req = req, .sink = sink};
	s = review_decode(req, schema, &c->obj);
	if (!s)
		s = review_namespace(req, &c->obj);
	if (!s) {
		AuthenticationV1__TokenRequest *r = body_of(c);

		/* The default of the version is a field of the client's; audiences are not. */
		if (!r->spec->has_expiration_seconds) {
			r->spec->has_expiration_seconds = true;
			r->spec->expiration_seconds = DEFAULT_S;
		}
		s = review_manage(p, req, &c->obj);
	}
	if (s) {
		status_send(s, req, sink);
		return;
	}
	defaults(c);
	run(c);
}
