/* SPDX-License-Identifier: Apache-2.0 */
/* TokenReview, SelfSubjectReview and OIDC discovery (registry/authentication), and the place where
 * all reviews are registered. */
#include "apiserver/auth/access_review.h"
#include "apiserver/auth/auth_impl.h"
#include "apiserver/auth/review.h"
#include "common/base/clock.h"
#include "common/codec/json_writer.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/pb_decode.h"

#define GROUP "authentication.k8s.io"

static char **strings_of(struct arena *a, const char *const *list, size_t n)
{
	char **out = arena_array(a, char *, n);

	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, list[i]);
	return out;
}

static void user_write(const struct user_info *u, AuthenticationV1__UserInfo *out, struct arena *a)
{
	out->username = arena_strdup(a, u->name);
	out->uid = arena_strdup(a, u->uid);
	out->groups = strings_of(a, u->groups, u->n_groups);
	out->n_groups = u->n_groups;
	out->extra = arena_array(a, AuthenticationV1__UserInfo__ExtraEntry *, u->n_extra);
	for (size_t i = 0; i < u->n_extra; i++) {
		AuthenticationV1__UserInfo__ExtraEntry *e =
		    (AuthenticationV1__UserInfo__ExtraEntry *)pb_new(
		        schema_of(&authentication_v1__user_info__extra_entry__descriptor), a);

		e->key = arena_strdup(a, u->extra[i].key);
		if (!e->value)
			e->value = (AuthenticationV1__ExtraValue *)pb_new(
			    schema_of(&authentication_v1__extra_value__descriptor), a);
		e->value->items = strings_of(a, u->extra[i].values, u->extra[i].n_values);
		e->value->n_items = u->extra[i].n_values;
		out->extra[out->n_extra++] = e;
	}
}

/* --- SelfSubjectReview
 * --------------------------------------------------------------------------------- */

static void self_review(void *arg, struct pipeline *p, struct request *req,
                        struct response_sink *sink)
{
	const struct schema_message *schema = schema_by_gvk(GROUP, "v1", "SelfSubjectReview");
	struct object obj;
	const struct status *s = review_decode(req, schema, &obj);

	if (s) {
		status_send(s, req, sink);
		return;
	}
	obj = object_of(req->info, schema, pb_new(schema, req->arena));
	AuthenticationV1__SelfSubjectReview *r =
	    OBJECT_MSG(&obj, AuthenticationV1__SelfSubjectReview);

	time_set(r->metadata->creation_timestamp, clock_real_ns() / 1000000000);
	user_write(&req->user, r->status->user_info, req->arena);
	review_reply(req, sink, &obj);
}

/* --- TokenReview
 * ------------------------------------------------------------------------------------------ */

struct token_review {
	struct request *req;
	struct response_sink *sink;
	struct object obj;
};

static void on_token(void *arg, const struct user_info *user, const char *const *audiences,
                     size_t n_audiences, const struct err *err)
{
	struct token_review *t = arg;
	struct arena *a = t->req->arena;
	AuthenticationV1__TokenReviewStatus *st =
	    OBJECT_MSG(&t->obj, AuthenticationV1__TokenReview)->status;

	st->has_authenticated = true;
	st->authenticated = user != NULL;
	if (user) {
		user_write(user, st->user, a);
		st->audiences = strings_of(a, audiences, n_audiences);
		st->n_audiences = n_audiences;
	} else {
		st->error = arena_strdup(a, err ? err->text : "");
	}
	review_reply(t->req, t->sink, &t->obj);
}

static const struct status *token_review_check(struct auth *auth, struct pipeline *p,
                                               struct request *req, struct token_review *t)
{
	const struct status *s =
	    review_decode(req, schema_by_gvk(GROUP, "v1", "TokenReview"), &t->obj);

	if (s)
		return s;
	s = review_manage(p, req, &t->obj);
	if (s)
		return s;
	if (!OBJECT_MSG(&t->obj, AuthenticationV1__TokenReview)->spec->token[0])
		return status_bad_request(req->arena,
		                          "token is required for TokenReview in authentication");
	return NULL;
}

static void token_review(void *arg, struct pipeline *p, struct request *req,
                         struct response_sink *sink)
{
	struct token_review *t = arena_new(req->arena, struct token_review);
	struct auth *auth = arg;
	const struct status *s;

	t->req = req;
	t->sink = sink;
	s = token_review_check(auth, p, req, t);
	if (s) {
		status_send(s, req, sink);
		return;
	}
	const AuthenticationV1__TokenReviewSpec *spec =
	    OBJECT_MSG(&t->obj, AuthenticationV1__TokenReview)->spec;

	if (!auth->tokens) {
		on_token(t, NULL, NULL, 0, NULL);
		return;
	}
	token_authenticate(auth->tokens, slice_str(spec->token),
	                   (const char *const *)spec->audiences, spec->n_audiences, req->loop,
	                   req->arena, on_token, t);
}

void auth_reviews_register(struct auth *a)
{
	static const char AUTHZ[] = "authorization.k8s.io";

	pipeline_handle(a->p, AUTHZ, "subjectaccessreviews", "", access_review, a);
	pipeline_handle(a->p, AUTHZ, "localsubjectaccessreviews", "", local_access_review, a);
	pipeline_handle(a->p, AUTHZ, "selfsubjectaccessreviews", "", self_access_review, a);
	pipeline_handle(a->p, AUTHZ, "selfsubjectrulesreviews", "", self_rules_review, a);
	pipeline_handle(a->p, GROUP, "selfsubjectreviews", "", self_review, a);
	pipeline_handle(a->p, GROUP, "tokenreviews", "", token_review, a);
}

/* --- OIDC discovery
 * ------------------------------------------------------------------------------------------ */

static void algorithms(const struct keys *k, struct buf *out)
{
	buf_byte(out, '[');
	for (size_t i = 0; i < k->at.n; i++) {
		bool seen = false;

		for (size_t before = 0; before < i; before++)
			seen |= !strcmp(k->at.at[before].alg, k->at.at[i].alg);
		if (!seen)
			buf_printf(out, "%s\"%s\"", i ? "," : "", k->at.at[i].alg);
	}
	buf_byte(out, ']');
}

bool auth_other(struct auth *a, struct request *req, struct response_sink *sink)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	bool config = !strcmp(req->path, "/.well-known/openid-configuration");

	if (!a->tokens || (!config && strcmp(req->path, "/openid/v1/jwks") != 0))
		return false;
	if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0) {
		status_send(status_method_not_allowed(req->arena), req, sink);
		return true;
	}
	response_header(sink, "Cache-Control", "public, max-age=3600");
	if (!config) {
		keys_jwks(tokens_keys(a->tokens), &out);
		response_reply(sink, 200, "application/jwk-set+json", buf_view(&out));
		return true;
	}
	buf_str(&out, "{\"issuer\":");
	json_write_cstr(&out, tokens_issuer(a->tokens));
	buf_str(&out, ",\"jwks_uri\":");
	json_write_cstr(&out, a->jwks_uri);
	buf_str(&out, ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":"
	              "[\"public\"],\"id_token_signing_alg_values_supported\":");
	algorithms(tokens_keys(a->tokens), &out);
	buf_byte(&out, '}');
	response_reply(sink, 200, "application/json", buf_view(&out));
	return true;
}
