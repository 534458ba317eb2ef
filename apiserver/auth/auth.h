/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who asks, and may they: the authenticate and authorize hooks of the pipeline, and the handlers of
 * token requests, token reviews and access reviews.
 *
 * What decides lives on the state loop (followers of the caches) behind read-write locks; the hooks
 * run on the front loops and only read. auth_new plugs itself into the pipeline. */
#include <stdbool.h>
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/request/request.h"
#include "common/base/err.h"

struct auth;
struct health;

struct auth_options {
	const char *client_ca_file; /* --client-ca-file; NULL: no client certificates */
	/* --service-account-key-file: PEM of public or private keys; none: the signing key's. */
	const char *const *sa_key_files;
	size_t n_sa_key_files;
	const char *sa_signing_key_file; /* NULL: no tokens are issued */
	const char *const *sa_issuers;   /* the first one signs */
	size_t n_sa_issuers;
	const char *const *api_audiences; /* none: the issuers */
	size_t n_api_audiences;
	const char *sa_jwks_uri;        /* NULL: made of the external address */
	const char *external_address;   /* "host:port" for the JWKS URI */
	int64_t sa_max_expiration_s;    /* 0: no limit */
	bool sa_no_extended_expiration; /* --service-account-extend-token-expiration=false */
	bool anonymous;                 /* --anonymous-auth */
	/* --authorization-mode in its order: "Node", "RBAC", "AlwaysAllow", "AlwaysDeny"; none:
	 * AlwaysAllow. */
	const char *const *modes;
	size_t n_modes;
	/* Front proxies: --requestheader-client-ca-file and the names it may show (none: any). */
	const char *proxy_ca_file;
	const char *const *proxy_allowed_names;
	size_t n_proxy_allowed_names;
};

/* Reads keys and CAs, follows what it needs on the state loop (not running yet, or the caller is on
 * it), and sets the hooks and handlers of the pipeline. */
int auth_new(const struct auth_options *o, struct pipeline *p, struct loop *state_loop,
             struct auth **ret, struct err *err);
/* After the last request, on the state loop or when it no longer runs. */
void auth_free(struct auth *a);

/* Answers /.well-known/openid-configuration and /openid/v1/jwks; false: another path. For the
 * pipeline's `other` hook; the request is authorized already. */
bool auth_other(struct auth *a, struct request *req, struct response_sink *sink);

/* What an authorizer is asked. Strings are never NULL. */
struct authz_attributes {
	const struct user_info *user;
	const char *verb;
	bool is_resource;
	const char *group, *resource, *subresource, *name, *ns;
	const char *path;           /* when it is not for a resource */
	const char *field_selector; /* of lists and watches: node authorization looks at it */
};

enum authz_decision { AUTHZ_NO_OPINION, AUTHZ_ALLOW, AUTHZ_DENY };

/* Asks the authorizers in their order; any thread. *ret_reason (NULL allowed) is "" or a text in
 * the arena. */
enum authz_decision auth_authorize(struct auth *a, const struct authz_attributes *at,
                                   struct arena *arena, const char **ret_reason);
/* `User "alice" cannot list resource "pods" in API group "" in the namespace "x"` */
const char *auth_forbidden_text(const struct authz_attributes *at, struct arena *arena);
/* The node that a user is, or NULL: system:node:NAME in the group system:nodes. */
const char *auth_node_name(const struct user_info *u);
bool user_in_group(const struct user_info *u, const char *group);

/* The check against escalation of a Role, ClusterRole, RoleBinding or ClusterRoleBinding that is
 * about to be written (old NULL on create): NULL, or the 403. */
const struct status *auth_check_escalation(struct auth *a, const struct request *req,
                                           const struct object *obj, const struct object *old,
                                           struct arena *arena);
