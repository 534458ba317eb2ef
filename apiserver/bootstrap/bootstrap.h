/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The objects that an API server makes by itself, and the loops that keep them: RBAC roles and
 * bindings, priority classes, flow control, system namespaces, the `kubernetes` service with its
 * endpoints, the default ServiceCIDR, the authentication ConfigMap, and the identity Lease
 * (kubernetes pkg/controlplane, plugin/pkg/auth/authorizer/rbac/bootstrappolicy).
 *
 * Everything runs on the state loop. Once the caches are filled, what is missing or has to be
 * reconciled is written in two rounds of parallel transactions (namespaces first); when nothing is
 * missing, nothing is written. Conflicts with other API servers are read again and tried again. */
#include <stdbool.h>
#include "apiserver/endpoints/pipeline.h"
#include "common/base/err.h"

struct bootstrap;

struct bootstrap_options {
	const char *service_range;     /* "10.96.0.0/16[,fd00::/108]" */
	const char *advertise_address; /* an IP address; NULL: endpoints are not kept */
	int secure_port;
	const char *hostname;       /* names the identity Lease */
	struct slice client_ca_pem; /* for the authentication ConfigMap; may be empty */
	struct slice proxy_ca_pem;
	const char *const *proxy_allowed_names;
	size_t n_proxy_allowed_names;
	bool rbac; /* RBAC is among the authorization modes */
};

/* Starts at once when the state loop is running (the caller is on it), else with its first turn. */
struct bootstrap *bootstrap_new(const struct bootstrap_options *o, struct pipeline *p,
                                struct loop *state_loop);
/* Withdraws this server from the endpoints and releases the identity, then calls done on the state
 * loop; at most 2 s. */
void bootstrap_stop(struct bootstrap *b, void (*done)(void *arg), void *arg);
/* On the state loop, or when it no longer runs. */
void bootstrap_free(struct bootstrap *b);

/* Everything is there. Any thread. */
bool bootstrap_ready(const struct bootstrap *b);
/* The health checks of the post-start hooks, for health_add: names such as
 * "poststarthook/rbac/bootstrap-roles", NULL-terminated; the check's arg is the bootstrap. */
const char *const *bootstrap_check_names(void);
int bootstrap_check(void *arg, struct err *err);
