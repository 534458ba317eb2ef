/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/auth.h"
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "raftstore/server/jwt.h"

enum { TOKEN_LETTERS = 16 };

struct auth {
	struct jwt_keys *jwt; /* NULL: simple tokens */
	pthread_mutex_t lock;
	/* --- under lock --- */
	struct auth_view *view;
	struct tokens tokens;
};

/* --- the state in force --- */

struct auth_view *auth_now(struct server *s)
{
	pthread_mutex_lock(&s->auth->lock);
	struct auth_view *v = auth_view_ref(s->auth->view);
	pthread_mutex_unlock(&s->auth->lock);
	return v;
}

static void view_set(struct server *s, struct auth_view *v)
{
	struct auth *a = s->auth;
	pthread_mutex_lock(&a->lock);
	struct auth_view *old = a->view;
	a->view = v;
	if (!auth_enabled(v))
		tokens_clear(&a->tokens);
	s->auth_on = auth_enabled(v);
	pthread_mutex_unlock(&a->lock);
	auth_view_unref(old);
}

void auth_publish(struct applier *ap)
{
	struct server *s = ap->server;
	struct auth *a = s->auth;
	if (ap->auth != a->view) /* this thread alone changes it */
		view_set(s, auth_view_ref(ap->auth));
	if (!ap->tokens.n)
		return;
	pthread_mutex_lock(&a->lock);
	VEC_FOREACH (&ap->tokens, n) {
		if (!tokens_add(&a->tokens, n->hash, blob_view(n->user), n->stamp, s->applied,
		                clock_mono_ms()))
			log_warning("Too many tokens are in use; one more is not taken");
	}
	pthread_mutex_unlock(&a->lock);
}

int auth_reload(struct server *s)
{
	struct kv_txn *kv;
	struct auth_view *v;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	r = auth_load(kv, &v);
	store_end(kv);
	if (!r)
		view_set(s, v);
	return r;
}

int auth_start(struct server *s, struct err *err)
{
	struct auth *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	s->auth = a;
	pthread_mutex_init(&a->lock, NULL);
	tokens_init(&a->tokens, (uint64_t)s->options->auth_token_ttl_s * 1000, server_random(s));
	const char *kind = s->options->auth_token;
	if (!strncmp(kind, "jwt,", 4)) {
		int r = jwt_keys_load(kind + 4, &a->jwt, err);
		if (r)
			return r;
	} else if (strcmp(kind, "simple")) {
		return err_set(err, ERR_INVALID, "--auth-token: unknown token type: %s", kind);
	}
	int r = auth_reload(s);
	return r ? err_set(err, (enum err_code) - r, "cannot read users and roles") : 0;
}

void auth_stop(struct server *s)
{
	struct auth *a = TAKE(s->auth);
	if (!a)
		return;
	jwt_keys_free(a->jwt);
	tokens_deinit(&a->tokens);
	auth_view_unref(a->view);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* --- tokens --- */

void token_hash(struct slice name, uint8_t out[TOKEN_HASH_BYTES])
{
	SHA256(name.data, name.len, out);
}

/* NAME.INDEX. False: it cannot be one of ours. */
static bool token_split(struct slice token, struct slice *ret_name, uint64_t *ret_index)
{
	enum { INDEX_DIGITS = 20 };
	if (token.len <= TOKEN_LETTERS + 1 || token.len > TOKEN_LETTERS + 1 + INDEX_DIGITS ||
	    token.data[TOKEN_LETTERS] != '.')
		return false;
	*ret_index = 0;
	for (size_t i = TOKEN_LETTERS + 1; i < token.len; i++) {
		unsigned digit = token.data[i] - (unsigned)'0';
		if (digit > 9)
			return false;
		*ret_index = *ret_index * 10 + digit;
	}
	*ret_name = slice_of(token.data, TOKEN_LETTERS);
	return true;
}

static struct slice token_of(const struct rpc_call *call)
{
	struct slice token = rpc_call_metadata(call, "token");
	return token.data ? token : rpc_call_metadata(call, "authorization");
}

bool auth_token_is_early(struct server *s, struct rpc_call *call)
{
	struct slice name;
	uint64_t index;
	/* It may be that auth has been switched on elsewhere, and not here. */
	if (s->auth->jwt)
		return false;
	struct slice token = token_of(call);
	return token.data && token_split(token, &name, &index) && index > s->applied;
}

int auth_make_token(struct server *s, const struct auth_user *u, uint64_t revision, struct buf *out,
                    bool *ret_simple)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const struct jwt_keys *k = s->auth->jwt;
	*ret_simple = !k;
	if (k) {
		struct jwt_claims c = {
		    .user = u->name,
		    .revision = revision,
		    .expires_s = clock_real_ns() / 1000000000 + jwt_ttl_s(k),
		};
		int r = jwt_sign(k, &c, out);
		return r == -ERR_FORBIDDEN ? OUTCOME_TOKEN_VERIFY_ONLY : r;
	}
	for (size_t i = 0; i < TOKEN_LETTERS;) {
		uint8_t b;
		rng_system(&b, 1);
		b &= 63;
		if (b >= sizeof(letters) - 1)
			continue;
		buf_byte(out, (uint8_t)letters[b]);
		i++;
	}
	return 0;
}

/* A token stands for the user whose password it was given for: it dies with the password. */
static bool simple_identify(struct server *s, struct slice token, struct arena *arena,
                            struct identity *ret)
{
	struct auth *a = s->auth;
	struct slice name;
	uint64_t index;
	uint8_t hash[TOKEN_HASH_BYTES];
	if (!token_split(token, &name, &index))
		return false;
	token_hash(name, hash);
	pthread_mutex_lock(&a->lock);
	const struct token *t = tokens_use(&a->tokens, hash, clock_mono_ms());
	const struct auth_user *u =
	    t ? auth_find_user(a->view, slice_of(t->user, t->user_len)) : NULL;
	bool ok = u && u->stamp == t->stamp;
	if (ok) {
		ret->user = slice_of(arena_memdup(arena, u->name.data, u->name.len), u->name.len);
		ret->revision = auth_revision(a->view);
	}
	pthread_mutex_unlock(&a->lock);
	return ok;
}

static bool jwt_identify(struct server *s, struct slice token, struct arena *arena,
                         struct identity *ret)
{
	struct jwt_claims c;
	if (!jwt_verify(s->auth->jwt, token, clock_real_ns() / 1000000000, arena, &c))
		return false;
	ret->user = c.user;
	ret->revision = c.revision;
	return true;
}

/* --- callers --- */

static void certificate_identify(struct server *s, struct rpc_call *call, struct arena *arena,
                                 struct identity *ret)
{
	const char *name = rpc_call_peer(call)->common_name;
	/* A gateway's certificate says nothing of who is behind it. */
	if (!s->options->client_cert_auth || !name || !*name ||
	    rpc_call_metadata(call, "grpcgateway-accept").data)
		return;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
	ret->user = slice_str(arena_strdup(arena, name));
	ret->revision = auth_revision(v);
}

int auth_identify(struct server *s, struct rpc_call *call, struct arena *a, struct identity *ret)
{
	*ret = (struct identity){0};
	if (!s->auth_on)
		return 0;
	struct slice token = token_of(call);
	if (!token.data) {
		certificate_identify(s, call, a, ret);
		return 0;
	}
	bool ok = s->auth->jwt ? jwt_identify(s, token, a, ret) : simple_identify(s, token, a, ret);
	return ok ? 0 : OUTCOME_INVALID_AUTH_TOKEN;
}

int request_identify(struct server *s, struct request *q)
{
	return q->call ? auth_identify(s, q->call, &q->arena, &q->who) : 0;
}

int auth_check_call(struct server *s, struct rpc_call *call, enum auth_level level)
{
	if (!s->auth_on)
		return 0;
	_cleanup_arena_ struct arena a;
	struct identity who;
	arena_init(&a);
	int r = auth_identify(s, call, &a, &who);
	if (r)
		return r;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
	return level == AUTH_ADMIN ? auth_check_admin(v, &who) : auth_check_known(v, &who);
}

bool auth_refuses(struct server *s, struct rpc_call *call, enum auth_level level)
{
	int r = auth_check_call(s, call, level);
	if (r)
		call_fail(call, r);
	return r;
}

int auth_check_read(struct server *s, struct rpc_call *call, struct slice key,
                    struct slice range_end)
{
	if (!s->auth_on)
		return 0;
	_cleanup_arena_ struct arena a;
	struct identity who;
	arena_init(&a);
	int r = auth_identify(s, call, &a, &who);
	if (r)
		return r;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
	return auth_check_keys(v, &who, AUTH_READ, key, range_end);
}

int auth_check_read_lease(struct server *s, struct rpc_call *call, int64_t lease)
{
	if (!s->auth_on)
		return 0;
	_cleanup_arena_ struct arena a;
	struct identity who;
	struct kv_txn *kv;
	arena_init(&a);
	int r = auth_identify(s, call, &a, &who);
	if (!r)
		r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
	r = auth_check_known(v, &who);
	if (!r)
		r = auth_check_lease(v, &who, kv, AUTH_READ, lease);
	store_end(kv);
	return r;
}
