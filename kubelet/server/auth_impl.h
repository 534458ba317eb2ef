/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What authn.c and authz.c share. */
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/client/client.h"
#include "kubelet/server/auth.h"

enum { AUTH_CACHE_MAX = 4096 };

/* What the apiserver said about a token or a question. */
struct auth_answer {
	uint64_t until_ms;
	bool good;
	struct arena arena; /* holds the caller */
	struct caller caller;
};

/* Answers by key. */
struct auth_cache {
	struct map by_key;
};

struct server_auth {
	struct kubelet *k;
	void *store; /* X509_STORE of --client-ca-file; NULL: no certificates */
	bool webhook;
	struct auth_cache tokens, access;
	struct list waiting; /* auth_call.link */
};

/* One request on its way; in its exchange's arena. */
struct auth_call {
	struct list link;
	struct server_auth *auth;
	struct http_exchange *x;
	struct auth_question q;
	size_t at; /* the subresource that is being asked for */
	server_allowed_fn allowed;
	void *arg;
	struct caller caller;
	struct client_call *review; /* in flight */
	struct slice key;           /* of the review in its cache */
};

/* auth.c */
const struct auth_answer *auth_cache_find(struct auth_cache *c, struct slice key, uint64_t now_ms);
struct auth_answer *auth_cache_put(struct auth_cache *c, struct slice key, bool good,
                                   uint64_t until_ms);
void auth_cache_deinit(struct auth_cache *c);
void auth_refuse(struct auth_call *c, int status, const char *text);
void auth_allow(struct auth_call *c);
/* authn.c: fills c->caller and goes on with authz_start, or refuses. */
void authn_start(struct auth_call *c);
int authn_load_ca(const char *file, void **ret_store, struct err *err);
void authn_free_ca(void *store);
/* authz.c */
void authz_start(struct auth_call *c);
