/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/list_options.h"
#include "apiserver/endpoints/fresh.h"

static void answer(struct call *c, void *arg)
{
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct cache_object *o = cache_tree_get(&s.tree, call_key(c, c->req->name));

	cache_object_ref(o);
	cacher_snapshot_deinit(&s);
	if (!o) {
		call_refuse(c, call_not_found(c));
		return;
	}
	call_reply_stored(c, 200, blob_view(o->blob), o->mod_revision);
	cache_object_unref(o);
}

void endpoint_get(struct call *c)
{
	const char *rv = c->req->options.resource_version, *why;
	int64_t revision = 0;

	if (rv[0] && !resource_version_parse(rv, c->a, &revision, &why)) {
		call_refuse(c, status_new(c->a, 500, "",
		                          "resourceVersion: Invalid value: \"%s\": %s", rv, why));
		return;
	}
	call_await(c, rv[0] ? (revision ? revision : FRESH_ANY) : FRESH_NOW, answer, NULL);
}
