/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/history.h"

#include "controller-manager/base/claim.h"
#include "controller-manager/base/index.h"
#include "proto/schema_messages.h"

static const struct client_resource resource = {"apps", "v1", "controllerrevisions"};

void history_init(struct history *h, struct manager *m, struct client *client,
                  const struct informer_handler *handler)
{
	h->client = client;
	h->revisions = informers_get(m->informers, &resource, NULL, NULL, NULL);
	h->by_owner = informer_add_index(h->revisions, "owner", informer_index_owner);
	h->orphans = informer_add_index(h->revisions, "orphan", index_orphan);
	informer_add_handler(h->revisions, handler);
}

bool history_sync(struct history *h, struct work *w, struct revisions_input *in,
                  const struct label_selector *selector, struct arena *a,
                  struct revisions_plan *ret)
{
	AppsV1__ControllerRevision **list;
	const struct claim c = {.client = h->client,
	                        .resource = resource,
	                        .schema = &apps_v1__controller_revision_schema,
	                        .objects = h->revisions,
	                        .by_owner = h->by_owner,
	                        .orphans = h->orphans,
	                        .api_version = in->api_version,
	                        .kind = in->kind,
	                        .owner = in->owner,
	                        .selector = selector};
	in->n_revisions = claim_objects(&c, w, a, &list);
	in->revisions = list;
	revisions_plan(in, a, ret);
	if (!ret->create && !ret->update)
		return true;
	struct client_target t = {.resource = resource,
	                          .ns = in->owner->namespace_,
	                          .name = ret->create ? NULL : ret->current->metadata->name};
	work_hold(w);
	client_write_msg(h->client, ret->create, &t, &apps_v1__controller_revision_schema,
	                 &ret->current->base, work_done, w);
	return false;
}

void history_remove(struct history *h, struct work *w,
                    const AppsV1__ControllerRevision *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const MetaV1__ObjectMeta *meta = list[i]->metadata;
		struct client_target t = {
		    .resource = resource, .ns = meta->namespace_, .name = meta->name};
		struct client_delete_options o = {.grace_period_seconds = -1, .uid = meta->uid};
		work_hold(w);
		client_delete(h->client, &t, &o, work_done, w);
	}
}
