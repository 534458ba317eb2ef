/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of struct auth. Internal to auth/. */
#include <pthread.h>
#include "apiserver/auth/auth.h"
#include "apiserver/auth/follow.h"
#include "apiserver/auth/node.h"
#include "apiserver/auth/rbac/rbac.h"
#include "apiserver/auth/token.h"
#include "apiserver/auth/x509.h"
#include "common/net/loop.h"

enum auth_mode { MODE_ALWAYS_ALLOW, MODE_ALWAYS_DENY, MODE_RBAC, MODE_NODE, MODE_COUNT };

enum {
	FOLLOW_ROLES,
	FOLLOW_CLUSTER_ROLES,
	FOLLOW_ROLE_BINDINGS,
	FOLLOW_CLUSTER_ROLE_BINDINGS,
	FOLLOW_RBAC_COUNT
};
enum { FOLLOW_PODS, FOLLOW_PVS, FOLLOW_ATTACHMENTS, FOLLOW_NODE_COUNT };

struct auth_follow {
	struct follow f;
	struct auth *auth;
	int what; /* FOLLOW_ */
};

struct auth {
	struct pipeline *p;
	struct loop *state_loop;
	bool anonymous;
	enum auth_mode modes[MODE_COUNT];
	size_t n_modes;

	struct x509_verifier *clients; /* NULL: none */
	struct x509_verifier *proxies; /* NULL: no front proxies */
	const char *const *proxy_names;
	size_t n_proxy_names;
	struct loop_timer reload;
	struct tokens *tokens;

	/* Readers are the front loops, the writer is the state loop. */
	pthread_rwlock_t rbac_lock;
	struct rbac *rbac;
	struct auth_follow rbac_follow[FOLLOW_RBAC_COUNT];
	pthread_rwlock_t node_lock;
	struct node_graph *graph;
	struct auth_follow node_follow[FOLLOW_NODE_COUNT];

	const char *jwks_uri;
	struct arena arena; /* what lives as long as it */
};

/* authn.c */
void auth_authenticate_hook(void *arg, struct request *req, hook_done done, void *done_arg);
/* A copy with system:authenticated among the groups. */
struct user_info user_authenticated(struct user_info u, struct arena *a);
/* authz.c */
void auth_authorize_hook(void *arg, struct request *req, hook_done done, void *done_arg);
struct authz_attributes auth_attributes_of(const struct request *req);
/* The 403 of a request that the attributes describe. */
const struct status *auth_forbidden(const struct authz_attributes *at, const char *reason,
                                    struct arena *a);
void auth_rbac_start(struct auth *a);
void auth_node_start(struct auth *a);
struct node_graph *auth_node_graph(struct auth *a);
/* impersonate.c: replaces req->user by whom the headers name; NULL, or the refusal. */
const struct status *auth_impersonate(struct auth *a, struct request *req);
/* reviews.c */
void auth_reviews_register(struct auth *a);
