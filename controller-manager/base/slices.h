/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* EndpointSlices as both controllers that make them write them. */
#include "controller-manager/base/expect.h"
#include "controller-manager/base/work.h"
#include "proto/discovery_v1.pb-c.h"

extern const struct client_resource slices_resource;

/* Makes the slice for an owner (a Service, an Endpoints); it is expected until the informer shows
 * it or the call has failed. Holds the work. `e` outlives the client's calls. */
void slice_make(struct client *client, struct expectations *e, struct work *w,
                const char *owner_uid, const DiscoveryV1__EndpointSlice *slice, uint64_t now_ms);
