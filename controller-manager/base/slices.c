/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/slices.h"

#include "common/base/heap.h"
#include "proto/schema_messages.h"

const struct client_resource slices_resource = {"discovery.k8s.io", "v1", "endpointslices"};

struct creation {
	struct expectations *expect;
	struct work *work;
	char *uid;
};

static void on_created(const struct client_result *r, void *arg)
{
	struct creation *c = arg;
	if (r->code != ERR_OK)
		expect_created(c->expect, c->uid);
	work_created(r, c->work);
	free(c->uid);
	free(c);
}

void slice_make(struct client *client, struct expectations *e, struct work *w,
                const char *owner_uid, const DiscoveryV1__EndpointSlice *slice, uint64_t now_ms)
{
	struct client_target t = {.resource = slices_resource, .ns = slice->metadata->namespace_};
	struct creation *c = heap_new(struct creation);

	*c = (struct creation){e, w, heap_strdup(owner_uid)};
	work_hold(w);
	expect_create(e, owner_uid, 1, now_ms);
	client_write_msg(client, true, &t, &discovery_v1__endpoint_slice_schema, &slice->base,
	                 on_created, c);
}
