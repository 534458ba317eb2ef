/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of struct bootstrap. Internal to bootstrap/; all on the state loop. */
#include <stdatomic.h>
#include "apiserver/bootstrap/bootstrap.h"
#include "apiserver/storage/cacher.h"
#include "common/net/loop.h"

/* One object that is to be there. */
struct wanted {
	const struct resource_info *res;
	const char *ns, *name;
	const char *json;
};

struct wanted_list {
	struct wanted *at;
	size_t n, cap;
	struct arena *arena;
};
void wanted_add(struct wanted_list *l, const char *group, const char *resource, const char *ns,
                const char *name, const char *json);

struct bootstrap {
	struct bootstrap_options o;
	struct pipeline *p;
	struct loop *loop;
	struct arena arena; /* as long as it lives */
	atomic_bool ready;
	bool stopping;
	struct loop_timer retry;

	/* A round in flight. */
	struct wanted_list wanted;
	size_t pending;
	bool again; /* a write met a conflict or an error */

	/* masterleases */
	struct loop_timer renew;
	int64_t lease_revision; /* of our key; 0: not written yet */
	char *lease_key;

	/* the identity */
	char *identity, *holder;
	struct loop_timer identity_renew;

	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* write.c */

/* Writes the object where it is missing or differs; done(arg, true) when it is as wanted, false to
 * try again. Calls back later, on the loop, or at once when nothing is to be done. */
typedef void (*write_done)(void *arg, bool ok);
void bootstrap_write(struct bootstrap *b, const struct wanted *w, write_done done, void *arg);

/* cluster.c: the objects that depend on this cluster's options. */
void bootstrap_cluster_objects(struct bootstrap *b, struct wanted_list *l);
void bootstrap_api_services(struct wanted_list *l);
/* The Endpoints and EndpointSlice of `kubernetes` for these addresses. */
void bootstrap_endpoints(struct bootstrap *b, const char *const *addresses, size_t n,
                         struct wanted_list *l);

/* endpoints.c: keeps this server's key in masterleases, and the endpoints after all keys. */
void bootstrap_endpoints_start(struct bootstrap *b);
void bootstrap_endpoints_stop(struct bootstrap *b, void (*done)(struct bootstrap *b));

/* identity.c: the Lease that names this server. */
void bootstrap_identity_start(struct bootstrap *b);
