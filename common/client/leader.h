/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Leader election on a Lease (client-go tools/leaderelection).
 *
 * Guarantees, as long as clocks run at about the same speed (they need not agree):
 *   - At most one candidate leads: a candidate takes the lease when it is free or was not renewed
 * for lease_duration, counted on its own clock since it saw it change; a leader that could not
 * renew for renew_deadline, which is shorter, stops leading. Writes carry the resourceVersion.
 *   - A clean stop gives the lease back, and candidates, which watch it, take it at once.
 *   - A deleted Lease is made again by whoever comes first. */
#include "common/client/client.h"

struct leader;

struct leader_options {
	struct client *client;
	const char *ns, *name;         /* of the Lease: "kube-system", "kube-scheduler" */
	const char *identity;          /* NULL: hostname_uuid, as upstream */
	uint32_t lease_duration_ms;    /* 0: 15 s */
	uint32_t renew_deadline_ms;    /* 0: 10 s */
	uint32_t retry_period_ms;      /* 0: 2 s */
	void (*on_started)(void *arg); /* this process leads */
	/* It does not lead any more. Daemons exit, as upstream's do. */
	void (*on_stopped)(void *arg);
	void (*on_new_leader)(const char *identity, void *arg); /* may be NULL */
	void *arg;
};

/* Strings are copied. */
struct leader *leader_new(const struct leader_options *o);
void leader_start(struct leader *l);
bool leader_is_leading(const struct leader *l);
const char *leader_identity(const struct leader *l);
/* Releases the lease when it is held, so that others need not wait; then done(arg). on_stopped does
 * not come. */
void leader_stop(struct leader *l, loop_fn done, void *arg);
void leader_free(struct leader *l);
