/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The identities under which controllers write: service accounts of kube-system, each bound by the
 * bootstrap policy to what its controller may do. Tokens come from TokenRequest, live an hour and
 * are renewed after four fifths of it; an account that is missing is made. */
#include "common/client/client.h"
#include "common/net/rpc_core.h"

struct accounts;

/* owner: the client that may make accounts and ask for their tokens. */
struct accounts *accounts_new(struct client *owner, struct rpc_core *core,
                              const struct kubeconfig *kubeconfig);
void accounts_free(struct accounts *a);
/* The client of an account, the same one for the same name; lives as long as the accounts. It has
 * no token before accounts_login has called back. */
struct client *accounts_client(struct accounts *a, const char *name);
/* Gets the first tokens and keeps them fresh; done(arg) comes once when all are there. */
void accounts_login(struct accounts *a, loop_fn done, void *arg);
