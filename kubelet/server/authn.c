/* SPDX-License-Identifier: Apache-2.0 */
/* Who is it: a certificate, a token, or nobody. What is shown and not good refuses, even where
 * nobody would be let in. */
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "common/base/heap.h"
#include "common/base/log.h"
#include "kubelet/server/auth_impl.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/schema_messages.h"

enum { NAME_BYTES_MAX = 256, GROUPS_MAX = 256 };

/* --- certificates ---------------------------------------------------------------------------- */

int authn_load_ca(const char *file, void **ret_store, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	if (!store || X509_STORE_load_file(store, file) != 1) {
		X509_STORE_free(store);
		return err_set(err, ERR_INVALID, "cannot read certificates from %s", file);
	}
	*ret_store = store;
	return 0;
}

void authn_free_ca(void *store)
{
	X509_STORE_free(store);
}

/* What a connection's certificate says; kept with the connection. */
struct identity {
	struct arena arena;
	struct caller caller;
	bool good;
};

static void identity_free(void *data)
{
	struct identity *id = data;
	arena_deinit(&id->arena);
	free(id);
}

static X509 *parse(struct slice der)
{
	const unsigned char *p = der.data;
	return d2i_X509(NULL, &p, (long)der.len);
}

static bool is_signed(X509_STORE *store, X509 *leaf, const struct http_peer *peer)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = sk_X509_new_null();
	bool good = false;
	for (size_t i = 1; chain && i < peer->n_certs; i++) {
		X509 *c = parse(peer->certs[i]);
		if (c)
			sk_X509_push(chain, c);
	}
	if (ctx && chain && X509_STORE_CTX_init(ctx, store, leaf, chain) == 1) {
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT);
		good = X509_verify_cert(ctx) == 1;
	}
	X509_STORE_CTX_free(ctx);
	sk_X509_pop_free(chain, X509_free);
	return good;
}

/* A part of the subject; NULL when it is not text without a NUL. */
static const char *entry_text(X509_NAME *subject, int at, struct arena *a)
{
	ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	size_t n = (size_t)ASN1_STRING_length(s);
	const uint8_t *data = ASN1_STRING_get0_data(s);
	return n && n < NAME_BYTES_MAX && !memchr(data, 0, n) ? arena_strndup(a, data, n) : NULL;
}

static void read_subject(struct identity *id, X509_NAME *subject)
{
	struct arena *a = &id->arena;
	const char **groups = arena_array(a, const char *, GROUPS_MAX + 1);
	struct caller *c = &id->caller;
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const char *name = at >= 0 ? entry_text(subject, at, a) : NULL;
	id->good = name != NULL;
	c->name = name ? name : "";
	c->uid = "";
	c->groups = groups;
	for (at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at)) >= 0;) {
		const char *group = entry_text(subject, at, a);
		if (group && c->n_groups < GROUPS_MAX)
			groups[c->n_groups++] = group;
	}
	groups[c->n_groups++] = "system:authenticated";
}

static const struct identity *identify(struct server_auth *a, struct http_peer *peer)
{
	if (peer->data)
		return peer->data;
	struct identity *id = heap_new(struct identity);
	X509 *leaf = parse(peer->certs[0]);
	if (leaf && is_signed(a->store, leaf, peer))
		read_subject(id, X509_get_subject_name(leaf));
	X509_free(leaf);
	peer->data = id;
	peer->data_free = identity_free;
	return id;
}

/* --- tokens ---------------------------------------------------------------------------------- */

/* The bearer token of a request; NULL: none. */
static const char *bearer(const struct http_exchange *x)
{
	struct slice h = http_header_get(x, "authorization");
	if (h.len < 7 || strncasecmp((const char *)h.data, "bearer ", 7))
		return NULL;
	h = slice_skip(h, 7);
	while (h.len && *h.data == ' ')
		h = slice_skip(h, 1);
	return h.len && !memchr(h.data, 0, h.len) ? arena_strndup(x->arena, h.data, h.len) : NULL;
}

static void copy_user(struct auth_answer *e, const AuthenticationV1__UserInfo *u)
{
	struct arena *a = &e->arena;
	const char **groups = arena_array(a, const char *, u->n_groups + 1);
	struct caller_extra *extra = arena_array(a, struct caller_extra, u->n_extra + 1);
	e->caller.name = arena_strdup(a, u->username);
	e->caller.uid = arena_strdup(a, u->uid);
	for (size_t i = 0; i < u->n_groups; i++)
		groups[i] = arena_strdup(a, u->groups[i]);
	groups[u->n_groups] = "system:authenticated";
	for (size_t i = 0; i < u->n_extra; i++) {
		const AuthenticationV1__ExtraValue *v = u->extra[i]->value;
		extra[i].key = arena_strdup(a, u->extra[i]->key);
		extra[i].n_values = v ? v->n_items : 0;
		extra[i].values = arena_array(a, char *, extra[i].n_values + 1);
		for (size_t k = 0; k < extra[i].n_values; k++)
			extra[i].values[k] = arena_strdup(a, v->items[k]);
	}
	e->caller.groups = groups;
	e->caller.n_groups = u->n_groups + 1;
	e->caller.extra = extra;
	e->caller.n_extra = u->n_extra;
}

static void refuse(struct auth_call *c)
{
	auth_refuse(c, 401, "Unauthorized");
}

/* The cache may forget an answer while the request goes on: it gets a copy of the head, whose
 * strings are copied too. */
static void use_answer(struct auth_call *c, const struct auth_answer *e)
{
	struct arena *a = c->x->arena;
	if (!e->good) {
		refuse(c);
		return;
	}
	const struct caller *from = &e->caller;
	const char **groups = arena_array(a, const char *, from->n_groups);
	struct caller_extra *extra = arena_array(a, struct caller_extra, from->n_extra + 1);
	for (size_t i = 0; i < from->n_groups; i++)
		groups[i] = arena_strdup(a, from->groups[i]);
	for (size_t i = 0; i < from->n_extra; i++) {
		extra[i] = from->extra[i];
		extra[i].key = arena_strdup(a, from->extra[i].key);
		extra[i].values = arena_array(a, char *, extra[i].n_values + 1);
		for (size_t k = 0; k < extra[i].n_values; k++)
			extra[i].values[k] = arena_strdup(a, from->extra[i].values[k]);
	}
	c->caller = (struct caller){.name = arena_strdup(a, from->name),
	                            .uid = arena_strdup(a, from->uid),
	                            .groups = groups,
	                            .n_groups = from->n_groups,
	                            .extra = extra,
	                            .n_extra = from->n_extra};
	authz_start(c);
}

static void on_review(const struct client_result *r, void *arg)
{
	struct auth_call *c = arg;
	_cleanup_arena_ struct arena a = {0};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg = NULL;
	c->review = NULL;
	int code = client_result_err(r, &err);
	if (!code)
		code =
		    pb_decode(&authentication_v1__token_review_schema, r->object, &a, &msg, &err);
	if (code) {
		log_error(&err, "Unable to authenticate the request due to an error");
		refuse(c);
		return;
	}
	const AuthenticationV1__TokenReviewStatus *s =
	    ((const AuthenticationV1__TokenReview *)(const void *)msg)->status;
	bool good = s && s->authenticated && s->user;
	uint64_t until = loop_now_ms(c->x->loop) + (uint64_t)c->auth->k->config->token_cache_ttl_ms;
	struct auth_answer *e = auth_cache_put(&c->auth->tokens, c->key, good, until);
	if (good)
		copy_user(e, s->user);
	use_answer(c, e);
}

static void review(struct auth_call *c, const char *token)
{
	_cleanup_arena_ struct arena a = {0};
	uint8_t *digest = arena_alloc(c->x->arena, EVP_MAX_MD_SIZE);
	unsigned n = 0;
	if (EVP_Digest(token, strlen(token), digest, &n, EVP_sha256(), NULL) != 1)
		abort();
	c->key = slice_of(digest, n);
	const struct auth_answer *e =
	    auth_cache_find(&c->auth->tokens, c->key, loop_now_ms(c->x->loop));
	if (e) {
		use_answer(c, e);
		return;
	}
	AuthenticationV1__TokenReview *q =
	    (void *)pb_new(&authentication_v1__token_review_schema, &a);
	q->spec->token = (char *)(uintptr_t)token;
	const struct client_target t = {
	    {"authentication.k8s.io", "v1", "tokenreviews"}, NULL, NULL, NULL};
	c->review =
	    client_write_msg(c->auth->k->client, true, &t, &authentication_v1__token_review_schema,
	                     &q->base, on_review, c);
}

/* --- together -------------------------------------------------------------------------------- */

void authn_start(struct auth_call *c)
{
	static const char *const nobody[] = {"system:unauthenticated"};
	const struct kubelet_config *o = c->auth->k->config;
	struct http_peer *peer = c->x->peer;
	bool shown = c->auth->store && peer->n_certs;
	const struct identity *id = shown ? identify(c->auth, peer) : NULL;
	const char *token = bearer(c->x);
	if (id && id->good) {
		c->caller = id->caller;
		authz_start(c);
	} else if (token && o->token_webhook) {
		review(c, token);
	} else if (shown || !o->anonymous_auth) {
		refuse(c);
	} else {
		c->caller = (struct caller){
		    .name = "system:anonymous", .uid = "", .groups = nobody, .n_groups = 1};
		authz_start(c);
	}
}
