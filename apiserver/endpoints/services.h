/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Cluster IPs and node ports of Services, between the allocator (registry/core/service_alloc,
 * bitmaps of this server) and the store. Internal to endpoints/.
 *
 * A follower on the state loop marks what stored Services hold and gives back what they let go of.
 * A Service that is about to be written takes what it needs from the bitmaps and then claims each
 * address by making the IPAddress object of that name, which only one server can do. */
#include "apiserver/endpoints/call.h"

struct services;

/* ranges: "10.96.0.0/16[,fd00::/108]"; ports: "30000-32767", "" for that. */
int services_new(struct pipeline *p, const char *ranges, const char *ports, struct services **ret,
                 struct err *err);
/* When the state loop no longer runs. */
void services_free(struct services *s);

bool services_is(const struct call *c); /* a call that writes whole Services, with an allocator */

/* Allocates and claims for `obj`, which replaces `old` (NULL: new). Then done(c, refusal). */
void services_allocate(struct call *c, struct object *obj, const struct object *old,
                       void (*done)(struct call *c, const struct status *refusal));
/* Gives back what `obj` took and `old` (NULL: nothing) did not have, since it was not stored; then
 * done(arg). */
void services_undo(struct call *c, const struct object *obj, const struct object *old,
                   void (*done)(void *arg), void *arg);
/* Deletes the claims of what `old` held and `now` (NULL: nothing) does not; then done(arg). */
void services_forget(struct call *c, const struct object *old, const struct object *now,
                     void (*done)(void *arg), void *arg);
