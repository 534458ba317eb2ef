/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/token.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include "apiserver/auth/jwt.h"
#include "apiserver/auth/lookup.h"
#include "apiserver/auth/token_impl.h"
#include "apiserver/storage/cacher.h"
#include "common/base/clock.h"
#include "common/codec/base64.h"
#include "common/codec/json_writer.h"
#include "proto/core_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/resource_table.h"

enum { LEEWAY_S = 60, FRESH_TIMEOUT_MS = 5000 };

/* --- life cycle
 * ------------------------------------------------------------------------------------ */

static const char *const *copy_list(struct arena *a, const char *const *list, size_t n)
{
	const char **out = arena_array(a, const char *, n);

	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, list[i]);
	return out;
}

int tokens_new(const struct tokens_options *o, struct pipeline *p, struct tokens **ret,
               struct err *err)
{
	struct tokens *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		abort();
	t->p = p;
	t->keys.signer = -1;
	t->max_expiration_s = o->max_expiration_s;
	t->extend = !o->no_extended_expiration;
	arena_init(&t->arena);
	pthread_mutex_init(&t->lock, NULL);
	t->issuers = copy_list(&t->arena, o->issuers, o->n_issuers);
	t->n_issuers = o->n_issuers;
	bool own = o->n_api_audiences > 0;
	t->n_audiences = own ? o->n_api_audiences : o->n_issuers;
	t->audiences = copy_list(&t->arena, own ? o->api_audiences : o->issuers, t->n_audiences);
	for (size_t i = 0; i < o->n_key_files && r == 0; i++)
		r = keys_add_file(&t->keys, o->key_files[i], err);
	/* A signing key verifies by itself only when no other keys were named. */
	if (r == 0 && o->signing_key_file)
		r = keys_set_signer(&t->keys, o->signing_key_file, err);
	if (r < 0) {
		tokens_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	keys_deinit(&t->keys);
	pthread_mutex_destroy(&t->lock);
	arena_deinit(&t->arena);
	free(t);
}

const char *tokens_issuer(const struct tokens *t)
{
	return t->n_issuers ? t->issuers[0] : "";
}

const struct keys *tokens_keys(const struct tokens *t)
{
	return &t->keys;
}

void tokens_audiences(const struct tokens *t, const char *const **ret, size_t *ret_n)
{
	*ret = t->audiences;
	*ret_n = t->n_audiences;
}

/* --- signatures: what was verified is remembered by its hash
 * ----------------------------------------- */

static size_t slot_of(const uint8_t hash[TOKEN_HASH_BYTES])
{
	size_t n;

	memcpy(&n, hash, sizeof(n));
	return n % TOKEN_SLOTS;
}

static bool remembered(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES])
{
	bool hit;

	pthread_mutex_lock(&t->lock);
	hit = memcmp(t->verified[slot_of(hash)], hash, TOKEN_HASH_BYTES) == 0;
	pthread_mutex_unlock(&t->lock);
	return hit;
}

static void remember(struct tokens *t, const uint8_t hash[TOKEN_HASH_BYTES])
{
	pthread_mutex_lock(&t->lock);
	memcpy(t->verified[slot_of(hash)], hash, TOKEN_HASH_BYTES);
	pthread_mutex_unlock(&t->lock);
}

static bool has_key_id(const struct keys *k, const char *id)
{
	for (size_t i = 0; i < k->at.n; i++)
		if (!strcmp(k->at.at[i].id, id))
			return true;
	return false;
}

static bool signature_holds(struct tokens *t, struct slice token, const struct jwt *j)
{
	uint8_t hash[TOKEN_HASH_BYTES];
	bool by_id = j->kid[0] && has_key_id(&t->keys, j->kid);

	SHA256(token.data, token.len, hash);
	if (remembered(t, hash))
		return true;
	for (size_t i = 0; i < t->keys.at.n; i++) {
		const struct key *k = &t->keys.at.at[i];

		if (by_id && strcmp(k->id, j->kid) != 0)
			continue;
		if (key_verify(k, j->alg, j->input, j->signature)) {
			remember(t, hash);
			return true;
		}
	}
	return false;
}

/* --- claims
 * ------------------------------------------------------------------------------------------- */

struct verification {
	struct tokens *t;
	struct loop *loop;
	struct arena *a;
	token_done done;
	void *done_arg;
	struct jwt jwt;
	struct token_claims claims;
	const char **audiences;
	size_t n_audiences;
	struct slice legacy; /* the token itself when it is one of a Secret, without expiry */
};

#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define LEGACY_CLAIM "kubernetes.io/serviceaccount/"

static bool list_has(const char *const *list, size_t n, const char *want)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], want))
			return true;
	return false;
}

static int check_audiences(struct verification *v, const char *const *wanted, size_t n,
                           struct err *err)
{
	const struct jwt *j = &v->jwt;
	const char *const *have = j->audiences;
	size_t n_have = j->n_audiences;

	if (!n) {
		wanted = v->t->audiences;
		n = v->t->n_audiences;
	}
	if (!n_have) {
		have = v->t->audiences;
		n_have = v->t->n_audiences;
	}
	v->audiences = arena_array(v->a, const char *, n);
	for (size_t i = 0; i < n; i++)
		if (list_has(have, n_have, wanted[i]))
			v->audiences[v->n_audiences++] = wanted[i];
	return v->n_audiences ? 0
	                      : err_set(err, ERR_UNAUTHORIZED,
	                                "token audiences are invalid for the target audiences");
}

static int check_times(const struct jwt *j, int64_t now_s, struct err *err)
{
	if (j->expires_s && now_s - LEEWAY_S > j->expires_s)
		return err_set(err, ERR_UNAUTHORIZED, "service account token has expired");
	if (j->not_before_s && now_s + LEEWAY_S < j->not_before_s)
		return err_set(err, ERR_UNAUTHORIZED, "service account token is not valid yet");
	if (j->issued_s && now_s + LEEWAY_S < j->issued_s)
		return err_set(err, ERR_UNAUTHORIZED,
		               "service account token is issued in the future");
	return 0;
}

static void reference(const struct jvalue *k, const char *kind, const char **ret_name,
                      const char **ret_uid)
{
	const struct jvalue *v = jvalue_get(k, kind);

	if (jvalue_is(v, JVALUE_OBJECT)) {
		*ret_name = jvalue_get_str(v, "name", "");
		*ret_uid = jvalue_get_str(v, "uid", "");
	}
}

/* Tokens of Secrets have their claims side by side. */
static void read_legacy(const struct jvalue *claims, struct token_claims *c)
{
	c->ns = jvalue_get_str(claims, LEGACY_CLAIM "namespace", "");
	c->sa_name = jvalue_get_str(claims, LEGACY_CLAIM "service-account.name", "");
	c->sa_uid = jvalue_get_str(claims, LEGACY_CLAIM "service-account.uid", "");
	c->secret_name = jvalue_get_str(claims, LEGACY_CLAIM "secret.name", "");
}

static int read_private(struct verification *v, struct err *err)
{
	const struct jvalue *k = jvalue_get(v->jwt.claims, "kubernetes.io");
	struct token_claims *c = &v->claims;

	*c = (struct token_claims){.sa_name = "", .sa_uid = ""};
	if (v->legacy.len) {
		read_legacy(v->jwt.claims, c);
	} else {
		c->ns = jvalue_get_str(k, "namespace", "");
		reference(k, "serviceaccount", &c->sa_name, &c->sa_uid);
	}
	reference(k, "pod", &c->pod_name, &c->pod_uid);
	reference(k, "secret", &c->secret_name, &c->secret_uid);
	reference(k, "node", &c->node_name, &c->node_uid);
	const char *subject = arena_printf(v->a, "system:serviceaccount:%s:%s", c->ns, c->sa_name);
	if (!c->ns[0] || !c->sa_name[0] || strcmp(subject, v->jwt.subject) != 0)
		return err_set(err, ERR_UNAUTHORIZED,
		               "service account claims do not fit the subject");
	return 0;
}

/* --- what it is bound to
 * -------------------------------------------------------------------------------- */

/* 0, 1 when it is not in the cache, or an error. */
static int check_object(struct verification *v, const char *resource, const char *ns,
                        const char *name, const char *uid, int64_t now_s, struct err *err)
{
	struct object obj;

	if (!lookup_object(v->t->p, resource_find("", "v1", resource, ""), ns, name, v->a, &obj)) {
		err_set(err, ERR_UNAUTHORIZED, "%s \"%s\" not found", resource, name);
		return 1;
	}
	if (strcmp(object_uid(&obj), uid) != 0)
		return err_set(err, ERR_UNAUTHORIZED,
		               "%s \"%s\" UID does not match the token's claim", resource, name);
	if (object_terminating(&obj) && obj.meta->deletion_timestamp->seconds < now_s - LEEWAY_S)
		return err_set(err, ERR_UNAUTHORIZED, "%s \"%s\" has been deleted", resource, name);
	return 0;
}

/* A token of a Secret holds as long as the Secret has it. As check_object, 1: not in the cache. */
static int check_legacy(struct verification *v, struct err *err)
{
	const char *name = v->claims.secret_name;
	struct object obj;

	if (!lookup_object(v->t->p, resource_find("", "v1", "secrets", ""), v->claims.ns, name,
	                   v->a, &obj)) {
		err_set(err, ERR_UNAUTHORIZED, "secrets \"%s\" not found", name);
		return 1;
	}
	const CoreV1__Secret *secret = (const CoreV1__Secret *)obj.msg;
	for (size_t i = 0; i < secret->n_data && !object_terminating(&obj); i++) {
		const ProtobufCBinaryData *d = &secret->data[i]->value;
		if (!strcmp(secret->data[i]->key, "token") && d->len == v->legacy.len &&
		    !CRYPTO_memcmp(d->data, v->legacy.data, d->len))
			return 0;
	}
	err_set(err, ERR_UNAUTHORIZED, "service account token has been invalidated");
	return 1;
}

static int check_bound(struct verification *v, int64_t now_s, struct err *err)
{
	const struct token_claims *c = &v->claims;
	int r = check_object(v, "serviceaccounts", c->ns, c->sa_name, c->sa_uid, now_s, err);

	if (r == 0 && v->legacy.len)
		r = check_legacy(v, err);
	else if (r == 0 && c->secret_name)
		r = check_object(v, "secrets", c->ns, c->secret_name, c->secret_uid, now_s, err);
	if (r == 0 && c->pod_name)
		r = check_object(v, "pods", c->ns, c->pod_name, c->pod_uid, now_s, err);
	if (r == 0 && c->node_name && !c->pod_name)
		r = check_object(v, "nodes", "", c->node_name, c->node_uid, now_s, err);
	return r;
}

static void add_extra(struct arena *a, struct user_extra *extra, size_t *n, const char *key,
                      const char *value)
{
	const char **values;

	if (!value)
		return;
	values = arena_array(a, const char *, 1);
	values[0] = value;
	extra[(*n)++] = (struct user_extra){key, values, 1};
}

static struct user_info user_of(const struct verification *v)
{
	const struct token_claims *c = &v->claims;
	struct arena *a = v->a;
	const char **groups = arena_array(a, const char *, 3);
	struct user_extra *extra = arena_array(a, struct user_extra, 5);
	size_t n = 0;

	groups[0] = "system:serviceaccounts";
	groups[1] = arena_printf(a, "system:serviceaccounts:%s", c->ns);
	groups[2] = "system:authenticated";
	add_extra(a, extra, &n, "authentication.kubernetes.io/credential-id",
	          v->jwt.id[0] ? arena_printf(a, "JTI=%s", v->jwt.id) : NULL);
	add_extra(a, extra, &n, "authentication.kubernetes.io/node-name", c->node_name);
	add_extra(a, extra, &n, "authentication.kubernetes.io/node-uid", c->node_uid);
	add_extra(a, extra, &n, "authentication.kubernetes.io/pod-name", c->pod_name);
	add_extra(a, extra, &n, "authentication.kubernetes.io/pod-uid", c->pod_uid);
	return (struct user_info){.name = v->jwt.subject,
	                          .uid = c->sa_uid,
	                          .groups = groups,
	                          .n_groups = 3,
	                          .extra = extra,
	                          .n_extra = n};
}

static void answer(struct verification *v, const struct err *err)
{
	struct user_info user;

	if (!err)
		user = user_of(v);
	v->done(v->done_arg, err ? NULL : &user, v->audiences, v->n_audiences, err);
}

/* The caches have what the store had: what is still missing is gone. */
static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct verification *v = arg;
	struct err why = ERR_INIT;

	if (check_bound(v, clock_real_ns() / 1000000000, &why) != 0)
		answer(v, &why);
	else
		answer(v, NULL);
}

static int check(struct verification *v, struct slice token, const char *const *audiences,
                 size_t n_audiences, int64_t now_s, struct err *err)
{
	int r = jwt_parse(token, v->a, &v->jwt, err);

	if (r < 0)
		return r;
	if (!strcmp(v->jwt.issuer, LEGACY_ISSUER))
		v->legacy = slice_of(arena_memdup(v->a, token.data, token.len), token.len);
	else if (!list_has(v->t->issuers, v->t->n_issuers, v->jwt.issuer))
		return err_set(err, ERR_UNAUTHORIZED, "the token is not of this cluster's issuer");
	if (!signature_holds(v->t, token, &v->jwt))
		return err_set(err, ERR_UNAUTHORIZED, "invalid signature");
	r = check_times(&v->jwt, now_s, err);
	if (r == 0)
		r = check_audiences(v, audiences, n_audiences, err);
	if (r == 0)
		r = read_private(v, err);
	return r < 0 ? r : check_bound(v, now_s, err);
}

void token_authenticate(struct tokens *t, struct slice token, const char *const *audiences,
                        size_t n_audiences, struct loop *loop, struct arena *a, token_done done,
                        void *done_arg)
{
	struct verification *v = arena_new(a, struct verification);
	struct err err = ERR_INIT;

	*v =
	    (struct verification){.t = t, .loop = loop, .a = a, .done = done, .done_arg = done_arg};
	int r = check(v, token, audiences, n_audiences, clock_real_ns() / 1000000000, &err);

	if (r == 1)
		cacher_fresh(pipeline_cacher(t->p), loop, 0, FRESH_TIMEOUT_MS, on_fresh, v);
	else
		answer(v, r < 0 ? &err : NULL);
}

/* --- issuing
 * --------------------------------------------------------------------------------------------- */

static void member(struct buf *b, const char *key, const char *name, const char *uid)
{
	buf_printf(b, ",\"%s\":{\"name\":", key);
	json_write_cstr(b, name);
	if (uid && *uid) {
		buf_str(b, ",\"uid\":");
		json_write_cstr(b, uid);
	}
	buf_byte(b, '}');
}

static void write_claims(const struct tokens *t, const struct token_claims *c, struct buf *b)
{
	buf_str(b, "{\"aud\":[");
	for (size_t i = 0; i < c->n_audiences; i++) {
		if (i)
			buf_byte(b, ',');
		json_write_cstr(b, c->audiences[i]);
	}
	buf_printf(b, "],\"exp\":%lld,\"iat\":%lld,\"iss\":", (long long)c->expires_s,
	           (long long)c->now_s);
	json_write_cstr(b, tokens_issuer(t));
	buf_str(b, ",\"jti\":");
	json_write_cstr(b, c->id);
	buf_str(b, ",\"kubernetes.io\":{\"namespace\":");
	json_write_cstr(b, c->ns);
	if (c->node_name)
		member(b, "node", c->node_name, c->node_uid);
	if (c->pod_name)
		member(b, "pod", c->pod_name, c->pod_uid);
	if (c->secret_name)
		member(b, "secret", c->secret_name, c->secret_uid);
	member(b, "serviceaccount", c->sa_name, c->sa_uid);
	if (c->warn_after_s)
		buf_printf(b, ",\"warnafter\":%lld", (long long)c->warn_after_s);
	buf_printf(b, "},\"nbf\":%lld,\"sub\":\"system:serviceaccount:%s:%s\"}",
	           (long long)c->now_s, c->ns, c->sa_name);
}

int token_issue(struct tokens *t, const struct token_claims *c, struct arena *a, const char **ret,
                struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_buf_ struct buf part = BUF_INIT;
	const struct key *k;
	int r;

	if (t->keys.signer < 0)
		return err_set(err, ERR_NOT_IMPLEMENTED, "this server issues no tokens");
	k = &t->keys.at.at[t->keys.signer];
	buf_printf(&part, "{\"alg\":\"%s\",\"kid\":\"%s\"}", k->alg, k->id);
	base64url_encode(buf_view(&part), &out);
	buf_byte(&out, '.');
	buf_clear(&part);
	write_claims(t, c, &part);
	base64url_encode(buf_view(&part), &out);
	buf_clear(&part);
	r = key_sign(k, buf_view(&out), &part, err);
	if (r < 0)
		return r;
	buf_byte(&out, '.');
	base64url_encode(buf_view(&part), &out);
	*ret = arena_strndup(a, out.data, out.len);
	return 0;
}
