/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/base/claim.h"

#include "controller-manager/base/selectors.h"

static struct client_target target_of(const struct claim *c, const struct informer_object *o)
{
	return (struct client_target){.resource = c->resource, .ns = o->ns, .name = o->name};
}

static void adopt(const struct claim *c, struct work *w, const struct informer_object *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct client_target t = target_of(c, o);
	buf_printf(&b,
	           "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"%s\",\"kind\":\"%s\","
	           "\"name\":\"%s\",\"uid\":\"%s\",\"controller\":true,"
	           "\"blockOwnerDeletion\":true}],\"uid\":\"%s\"",
	           c->api_version, c->kind, c->owner->name, c->owner->uid, o->uid);
	if (c->finalizer)
		buf_printf(&b, ",\"finalizers\":[\"%s\"]", c->finalizer);
	buf_str(&b, "}}");
	work_hold(w);
	client_patch(c->client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, work_done, w);
}

static void release(const struct claim *c, struct work *w, const struct informer_object *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct client_target t = target_of(c, o);
	buf_printf(&b,
	           "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%s\"}],"
	           "\"uid\":\"%s\"",
	           c->owner->uid, o->uid);
	if (c->finalizer)
		buf_printf(&b, ",\"$deleteFromPrimitiveList/finalizers\":[\"%s\"]", c->finalizer);
	buf_str(&b, "}}");
	work_hold(w);
	client_patch(c->client, &t, CLIENT_PATCH_STRATEGIC, buf_view(&b), NULL, work_done, w);
}

static bool matches(const struct claim *c, const struct informer_object *o, struct arena *a)
{
	struct label_set labels = object_labels(o, a);
	return label_selector_match_set(c->selector, &labels);
}

size_t claim_objects(const struct claim *c, struct work *w, struct arena *a, void *ret)
{
	size_t n_owned, n_orphans, n = 0;
	bool going = c->owner->deletion_timestamp != NULL;
	const struct informer_object *const *owned =
	    informer_lookup(c->objects, c->by_owner, c->owner->uid, &n_owned);
	ProtobufCMessage **list = arena_array(a, ProtobufCMessage *, n_owned);
	for (size_t i = 0; i < n_owned; i++) {
		if (matches(c, owned[i], a)) {
			list[n] = informer_object_decode(owned[i], c->schema, a);
			n += list[n] != NULL;
		} else if (!going) {
			release(c, w, owned[i]);
		}
	}
	const struct informer_object *const *orphans =
	    informer_lookup(c->objects, c->orphans, c->owner->namespace_, &n_orphans);
	for (size_t i = 0; i < n_orphans && !going; i++) {
		if (orphans[i]->deleting || !matches(c, orphans[i], a))
			continue;
		ProtobufCMessage *msg =
		    c->adoptable ? informer_object_decode(orphans[i], c->schema, a) : NULL;
		if (!c->adoptable || (msg && c->adoptable(msg)))
			adopt(c, w, orphans[i]);
	}
	*(ProtobufCMessage ***)ret = list;
	return n;
}
