/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Service account tokens: JWTs that this cluster's keys signed, bound to a service account and
 * perhaps to a pod, secret or node that must still be there (kubernetes pkg/serviceaccount).
 *
 * Tokens that were verified are remembered by their hash; what they are bound to is looked up anew
 * at every request, in the watch caches. Any front loop. */
#include <stdbool.h>
#include "common/net/keys.h"
#include "apiserver/endpoints/pipeline.h"

struct tokens;

struct tokens_options {
	const char *const *key_files;
	size_t n_key_files;
	const char *signing_key_file; /* NULL: none are issued */
	const char *const *issuers;
	size_t n_issuers;
	const char *const *api_audiences;
	size_t n_api_audiences;
	int64_t max_expiration_s;
	bool no_extended_expiration;
};

int tokens_new(const struct tokens_options *o, struct pipeline *p, struct tokens **ret,
               struct err *err);
void tokens_free(struct tokens *t);

/* `user` NULL: the token is not good, and `err` tells why, for logs and reviews; else `audiences`
 * are those of the token that were asked for. At once or later, on the loop. */
typedef void (*token_done)(void *arg, const struct user_info *user, const char *const *audiences,
                           size_t n_audiences, const struct err *err);
/* audiences: one of them must be in the token; none: the API server's. Results are in the arena. */
void token_authenticate(struct tokens *t, struct slice token, const char *const *audiences,
                        size_t n_audiences, struct loop *loop, struct arena *a, token_done done,
                        void *done_arg);

/* What a new token is to say. */
struct token_claims {
	const char *const *audiences;
	size_t n_audiences;
	int64_t now_s, expires_s;
	int64_t warn_after_s; /* 0: none */
	const char *ns, *sa_name, *sa_uid;
	const char *pod_name, *pod_uid;       /* NULL: not bound to a pod */
	const char *secret_name, *secret_uid; /* NULL: not bound to a secret */
	const char *node_name, *node_uid;     /* NULL: unknown */
	const char *id;                       /* a UUID */
};
/* Signs; the compact form in the arena. -ERR_NOT_IMPLEMENTED without a signing key. */
int token_issue(struct tokens *t, const struct token_claims *c, struct arena *a, const char **ret,
                struct err *err);

/* The POST of serviceaccounts/token: an endpoint_handler, `arg` is the tokens. */
void token_request(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink);

/* Facts for discovery and reviews. */
const char *tokens_issuer(const struct tokens *t); /* "" when there is none */
const struct keys *tokens_keys(const struct tokens *t);
void tokens_audiences(const struct tokens *t, const char *const **ret, size_t *ret_n);
