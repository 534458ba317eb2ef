/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Who calls the kubelet, and may they? Client certificates that --client-ca-file has signed, bearer
 * tokens by TokenReview, else anonymous; then SubjectAccessReview on nodes/<subresource>, unless
 * everything is allowed. What the apiserver said is believed for upstream's times. */
#include "common/base/arena.h"
#include "common/net/http_server.h"
#include "kubelet/kubelet.h"

struct server_auth;

/* A caller. Strings are never NULL. */
struct caller {
	const char *name, *uid;
	const char *const *groups;
	size_t n_groups;
	const struct caller_extra {
		const char *key;
		char **values;
		size_t n_values;
	} * extra;
	size_t n_extra;
};

/* What a request is for: the subresources of nodes of which one is enough, in the order in which
 * they are asked for. */
struct auth_question {
	const char *verb; /* "get", "create" ... */
	const char *subresources[2];
	size_t n;
};

typedef void (*server_allowed_fn)(struct http_exchange *x, void *arg);

int server_auth_new(struct kubelet *k, struct server_auth **ret, struct err *err);
/* After all connections were closed: ends the exchanges that still wait. */
void server_auth_free(struct server_auth *a);
/* Calls allowed(x, arg), at once or later, or answers 401, 403 or 500 itself. */
void server_auth_check(struct server_auth *a, struct http_exchange *x,
                       const struct auth_question *q, server_allowed_fn allowed, void *arg);

/* The question of a request: nodes/proxy, and before that the finer ones of healthz, pods and
 * configz; alone: stats, metrics, log, checkpoint. Pure. */
struct auth_question auth_question_of(const char *method, const char *path);
