/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the server serves, as the documents of /api and /apis (apimachinery meta/v1 API*List,
 * k8s.io/api apidiscovery/v2), built from the resource table. Pure; all messages live in the arena
 * and borrow strings from the table. */
#include "common/base/arena.h"
#include "proto/apidiscovery_v2.pb-c.h"
#include "proto/meta_v1.pb-c.h"

/* Groups besides those of the table (custom resources, aggregated servers): appended to lists. */
struct discovery_extra {
	MetaV1__APIGroup *const *groups;
	size_t n_groups;
	ApidiscoveryV2__APIGroupDiscovery *const *aggregated;
	size_t n_aggregated;
};

/* /api: server_address is "10.0.0.1:6443". */
MetaV1__APIVersions *discovery_versions(struct arena *a, const char *server_address);
/* /apis; extra may be NULL. */
MetaV1__APIGroupList *discovery_groups(struct arena *a, const struct discovery_extra *extra);
/* /apis/<group>; NULL when the table has none of that name. */
MetaV1__APIGroup *discovery_group(struct arena *a, const char *group);
/* /api/v1, /apis/<group>/<version>; NULL when the table has none of that name. */
MetaV1__APIResourceList *discovery_resources(struct arena *a, const char *group,
                                             const char *version);
/* The aggregated form of /api (core) and of /apis (all others). */
ApidiscoveryV2__APIGroupDiscoveryList *discovery_aggregated(struct arena *a, bool core,
                                                            const struct discovery_extra *extra);
