/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/auth/lookup.h"
#include "apiserver/endpoints/stored.h"
#include "apiserver/storage/cacher.h"

bool lookup_object(struct pipeline *p, const struct resource_info *res, const char *ns,
                   const char *name, struct arena *a, struct object *ret)
{
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(p, res));
	const char *key = *ns ? arena_printf(a, "%s/%s", ns, name) : name;
	const struct cache_object *o = cache_tree_get(&snap.tree, slice_str(key));
	bool found =
	    o && stored_decode(res, blob_view(o->blob), o->mod_revision, a, ret, NULL) == 0;

	cacher_snapshot_deinit(&snap);
	return found;
}
