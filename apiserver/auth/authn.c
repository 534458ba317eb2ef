/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication: front proxy headers, client certificates, bearer tokens, anonymous, in that
 * order. The first that answers wins; one that fails is an error only when nobody else answers. */
#include <strings.h>
#include <ctype.h>
#include "apiserver/auth/auth_impl.h"
#include "common/base/clock.h"

#define CREDENTIAL_ID "authentication.kubernetes.io/credential-id"

static struct user_info anonymous_user(void)
{
	static const char *const groups[] = {"system:unauthenticated"};

	return (struct user_info){
	    .name = "system:anonymous", .uid = "", .groups = groups, .n_groups = 1};
}

/* --- client certificates -----------------------------------------------------------------------
 */

/* What is kept with the connection. Its arena keeps what earlier requests still point to. */
struct peer_auth {
	struct arena arena;
	struct x509_identity id;
	struct user_info user;
	uint64_t generation; /* that verified or refused it */
	bool good;
};

static void peer_auth_free(void *p)
{
	struct peer_auth *pa = p;

	arena_deinit(&pa->arena);
	free(pa);
}

static struct user_info user_of(const struct x509_identity *id, struct arena *a)
{
	const char **value = arena_alloc(a, sizeof(*value));
	struct user_extra *extra = arena_new(a, struct user_extra);

	*value = id->credential_id;
	*extra = (struct user_extra){CREDENTIAL_ID, value, 1};
	struct user_info u = {.name = id->name,
	                      .uid = id->uid,
	                      .groups = id->groups,
	                      .n_groups = id->n_groups,
	                      .extra = extra,
	                      .n_extra = 1};
	return user_authenticated(u, a);
}

static struct peer_auth *peer_auth_of(struct request_peer *peer)
{
	if (!peer->auth) {
		struct peer_auth *pa = calloc(1, sizeof(*pa));

		if (!pa)
			abort();
		arena_init(&pa->arena);
		peer->auth = pa;
		peer->auth_free = peer_auth_free;
	}
	return peer->auth;
}

/* 1: req->user is set. 0: no certificate of ours. Negative: a bad one. */
static int by_certificate(struct auth *a, struct request *req, int64_t now_s, struct err *err)
{
	if (!a->clients || !req->peer->n_certs)
		return 0;
	struct peer_auth *pa = peer_auth_of(req->peer);
	uint64_t generation = x509_verifier_generation(a->clients);

	if (pa->generation != generation) {
		int r = x509_verify(a->clients, req->peer->certs, req->peer->n_certs, now_s,
		                    &pa->arena, &pa->id, err);
		pa->generation = generation;
		pa->good = r == 0;
		if (pa->good)
			pa->user = user_of(&pa->id, &pa->arena);
	}
	if (!pa->good || now_s < pa->id.not_before_s || now_s > pa->id.not_after_s)
		return err_set(err, ERR_UNAUTHORIZED, "the client certificate is not valid");
	if (!pa->user.name[0])
		return 0;
	req->user = pa->user;
	return 1;
}

/* --- front proxies ------------------------------------------------------------------------------
 */

static bool name_allowed(const struct auth *a, const char *name)
{
	for (size_t i = 0; i < a->n_proxy_names; i++)
		if (strcmp(a->proxy_names[i], name) == 0)
			return true;
	return a->n_proxy_names == 0;
}

/* "%2f" and the like in the key of an extra header. */
static const char *unescape_key(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s), *w = out;

	for (; *s; s++) {
		char hex[3] = {s[0] == '%' ? s[1] : 0, s[0] == '%' && s[1] ? s[2] : 0, 0};

		if (isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1])) {
			*w++ = (char)strtol(hex, NULL, 16);
			s += 2;
		} else {
			*w++ = *s;
		}
	}
	*w = '\0';
	return out;
}

/* Extras from headers that start with `prefix`; values of one key are joined in their order. */
static void headers_extra(const struct request *req, const char *prefix, struct arena *a,
                          struct user_info *u)
{
	struct user_extra *extra = arena_array(a, struct user_extra, req->n_headers);
	size_t n = 0, len = strlen(prefix);

	for (size_t i = 0; i < req->n_headers; i++) {
		if (strncmp(req->headers[i].name, prefix, len) != 0 || !req->headers[i].name[len])
			continue;
		const char *key = unescape_key(a, req->headers[i].name + len);
		size_t at = 0;

		while (at < n && strcmp(extra[at].key, key) != 0)
			at++;
		if (at == n)
			extra[n++] = (struct user_extra){.key = key};
		const char **values = arena_array(a, const char *, extra[at].n_values + 1);
		for (size_t v = 0; v < extra[at].n_values; v++)
			values[v] = extra[at].values[v];
		values[extra[at].n_values++] = req->headers[i].value;
		extra[at].values = values;
	}
	u->extra = extra;
	u->n_extra = n;
}

static void headers_groups(const struct request *req, const char *name, struct arena *a,
                           struct user_info *u)
{
	const char **groups = arena_array(a, const char *, req->n_headers);

	for (size_t i = 0; i < req->n_headers; i++)
		if (strcmp(req->headers[i].name, name) == 0)
			groups[u->n_groups++] = req->headers[i].value;
	u->groups = groups;
}

static int by_front_proxy(struct auth *a, struct request *req, int64_t now_s)
{
	const char *user = a->proxies ? request_header(req, "x-remote-user") : NULL;
	struct x509_identity id;

	if (!user || !*user || !req->peer->n_certs)
		return 0;
	if (x509_verify(a->proxies, req->peer->certs, req->peer->n_certs, now_s, req->arena, &id,
	                NULL) < 0 ||
	    !name_allowed(a, id.name))
		return 0;
	struct user_info u = {.name = user, .uid = ""};
	const char *uid = request_header(req, "x-remote-uid");

	if (uid)
		u.uid = uid;
	headers_groups(req, "x-remote-group", req->arena, &u);
	headers_extra(req, "x-remote-extra-", req->arena, &u);
	req->user = user_authenticated(u, req->arena);
	return 1;
}

/* --- the hook ------------------------------------------------------------------------------------
 */

struct authentication {
	struct auth *auth;
	struct request *req;
	hook_done done;
	void *done_arg;
};

static void by_token(void *arg, const struct user_info *user, const char *const *audiences,
                     size_t n_audiences, const struct err *err)
{
	struct authentication *t = arg;

	if (user)
		t->req->user = *user;
	t->done(t->done_arg, user ? NULL : status_unauthorized(t->req->arena));
}

/* The token of "Authorization: Bearer x"; empty when there is none. */
static struct slice bearer(const struct request *req)
{
	const char *h = request_header(req, "authorization");

	if (!h)
		return SLICE_EMPTY;
	while (*h == ' ')
		h++;
	if (strncasecmp(h, "bearer ", 7) != 0)
		return SLICE_EMPTY;
	h += 7;
	return slice_of(h, strcspn(h, " "));
}

void auth_authenticate_hook(void *arg, struct request *req, hook_done done, void *done_arg)
{
	struct auth *a = arg;
	int64_t now_s = clock_real_ns() / 1000000000;
	int r = by_front_proxy(a, req, now_s);
	struct slice token;

	if (r == 0)
		r = by_certificate(a, req, now_s, NULL);
	if (r == 1) {
		done(done_arg, NULL);
		return;
	}
	token = bearer(req);
	if (token.len && a->tokens) {
		struct authentication *t = arena_new(req->arena, struct authentication);

		*t = (struct authentication){a, req, done, done_arg};
		token_authenticate(a->tokens, token, NULL, 0, req->loop, req->arena, by_token, t);
		return;
	}
	if (r < 0 || token.len || !a->anonymous) {
		done(done_arg, status_unauthorized(req->arena));
		return;
	}
	req->user = anonymous_user();
	done(done_arg, NULL);
}
