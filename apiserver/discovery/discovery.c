/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/discovery/discovery.h"
#include "proto/resource_table.h"

static char *borrow(const char *s)
{
	return (char *)(uintptr_t)s;
}

static const char *group_version(struct arena *a, const char *group, const char *version)
{
	return group[0] ? arena_printf(a, "%s/%s", group, version) : version;
}

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static char **copy_list(struct arena *a, const char *const *list, size_t *ret_n)
{
	*ret_n = count(list);
	return *ret_n ? arena_memdup(a, list, *ret_n * sizeof(*list)) : NULL;
}

static char **verb_list(struct arena *a, unsigned verbs, size_t *ret_n)
{
	char **list = arena_array(a, char *, ARRAY_LEN(resource_verb_names));
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(resource_verb_names); i++) {
		if (verbs & 1u << i)
			list[n++] = borrow(resource_verb_names[i]);
	}
	*ret_n = n;
	return list;
}

static bool is_foreign_kind(const struct resource_info *r)
{
	return strcmp(r->kind_group, r->group) != 0 || strcmp(r->kind_version, r->version) != 0;
}

MetaV1__APIVersions *discovery_versions(struct arena *a, const char *server_address)
{
	MetaV1__APIVersions *v = arena_new(a, MetaV1__APIVersions);
	MetaV1__ServerAddressByClientCIDR *cidr = arena_new(a, MetaV1__ServerAddressByClientCIDR);

	meta_v1__apiversions__init(v);
	meta_v1__server_address_by_client_cidr__init(cidr);
	v->versions = arena_array(a, char *, 1);
	v->versions[v->n_versions++] = borrow("v1");
	cidr->client_cidr = borrow("0.0.0.0/0");
	cidr->server_address = arena_strdup(a, server_address);
	v->server_address_by_client_cidrs = arena_array(a, MetaV1__ServerAddressByClientCIDR *, 1);
	v->server_address_by_client_cidrs[v->n_server_address_by_client_cidrs++] = cidr;
	return v;
}

static MetaV1__GroupVersionForDiscovery *version_of(struct arena *a, const char *group,
                                                    const char *version)
{
	MetaV1__GroupVersionForDiscovery *v = arena_new(a, MetaV1__GroupVersionForDiscovery);

	meta_v1__group_version_for_discovery__init(v);
	v->group_version = borrow(group_version(a, group, version));
	v->version = borrow(version);
	return v;
}

static MetaV1__APIGroup *group_of(struct arena *a, const struct resource_group *g)
{
	MetaV1__APIGroup *m = arena_new(a, MetaV1__APIGroup);
	size_t n = count(g->versions);

	meta_v1__apigroup__init(m);
	m->name = borrow(g->name);
	m->versions = arena_array(a, MetaV1__GroupVersionForDiscovery *, n);
	for (size_t i = 0; i < n; i++)
		m->versions[m->n_versions++] = version_of(a, g->name, g->versions[i]);
	m->preferred_version = version_of(a, g->name, g->versions[0]);
	return m;
}

MetaV1__APIGroup *discovery_group(struct arena *a, const char *group)
{
	for (size_t i = 0; i < resource_n_groups; i++) {
		if (resource_groups[i].name[0] && strcmp(resource_groups[i].name, group) == 0)
			return group_of(a, &resource_groups[i]);
	}
	return NULL;
}

MetaV1__APIGroupList *discovery_groups(struct arena *a, const struct discovery_extra *extra)
{
	MetaV1__APIGroupList *list = arena_new(a, MetaV1__APIGroupList);
	size_t n_extra = extra ? extra->n_groups : 0;

	meta_v1__apigroup_list__init(list);
	list->groups = arena_array(a, MetaV1__APIGroup *, resource_n_groups + n_extra);
	for (size_t i = 0; i < resource_n_groups; i++) {
		if (resource_groups[i].name[0])
			list->groups[list->n_groups++] = group_of(a, &resource_groups[i]);
	}
	for (size_t i = 0; i < n_extra; i++)
		list->groups[list->n_groups++] = extra->groups[i];
	return list;
}

static MetaV1__APIResource *resource_of(struct arena *a, const struct resource_info *r)
{
	MetaV1__APIResource *m = arena_new(a, MetaV1__APIResource);

	meta_v1__apiresource__init(m);
	m->name = borrow(r->subresource[0] ? arena_printf(a, "%s/%s", r->resource, r->subresource)
	                                   : r->resource);
	m->singular_name = borrow(r->singular);
	m->has_namespaced = 1;
	m->namespaced = r->namespaced;
	if (is_foreign_kind(r)) {
		m->group = borrow(r->kind_group);
		m->version = borrow(r->kind_version);
	}
	m->kind = borrow(r->kind);
	m->verbs = arena_new(a, MetaV1__Verbs);
	meta_v1__verbs__init(m->verbs);
	m->verbs->items = verb_list(a, r->verbs, &m->verbs->n_items);
	m->short_names = copy_list(a, r->short_names, &m->n_short_names);
	m->categories = copy_list(a, r->categories, &m->n_categories);
	if (!r->subresource[0] && r->storage_version_hash)
		m->storage_version_hash = borrow(r->storage_version_hash);
	return m;
}

static bool is_of(const struct resource_info *r, const char *group, const char *version)
{
	return strcmp(r->group, group) == 0 && strcmp(r->version, version) == 0;
}

MetaV1__APIResourceList *discovery_resources(struct arena *a, const char *group,
                                             const char *version)
{
	MetaV1__APIResourceList *list = arena_new(a, MetaV1__APIResourceList);

	meta_v1__apiresource_list__init(list);
	list->group_version = borrow(group_version(a, group, version));
	list->resources = arena_array(a, MetaV1__APIResource *, resource_n);
	for (size_t i = 0; i < resource_n; i++) {
		if (is_of(&resource_table[i], group, version))
			list->resources[list->n_resources++] = resource_of(a, &resource_table[i]);
	}
	return list->n_resources ? list : NULL;
}

/* --- aggregated ------------------------------------------------------------------------------ */

static MetaV1__GroupVersionKind *response_kind(struct arena *a, const struct resource_info *r)
{
	MetaV1__GroupVersionKind *k = arena_new(a, MetaV1__GroupVersionKind);

	meta_v1__group_version_kind__init(k);
	k->kind = borrow(r->kind);
	if (is_foreign_kind(r)) {
		k->group = borrow(r->kind_group);
		k->version = borrow(r->kind_version);
	}
	return k;
}

static ApidiscoveryV2__APISubresourceDiscovery *subresource_of(struct arena *a,
                                                               const struct resource_info *r)
{
	ApidiscoveryV2__APISubresourceDiscovery *m =
	    arena_new(a, ApidiscoveryV2__APISubresourceDiscovery);

	apidiscovery_v2__apisubresource_discovery__init(m);
	m->subresource = borrow(r->subresource);
	m->response_kind = response_kind(a, r);
	m->verbs = verb_list(a, r->verbs, &m->n_verbs);
	return m;
}

static ApidiscoveryV2__APIResourceDiscovery *aggregated_resource(struct arena *a,
                                                                 const struct resource_info *r)
{
	ApidiscoveryV2__APIResourceDiscovery *m =
	    arena_new(a, ApidiscoveryV2__APIResourceDiscovery);
	const struct resource_info *end = resource_table + resource_n, *sub = r + 1;

	apidiscovery_v2__apiresource_discovery__init(m);
	m->resource = borrow(r->resource);
	m->response_kind = response_kind(a, r);
	m->scope = borrow(r->namespaced ? "Namespaced" : "Cluster");
	m->singular_resource = borrow(r->singular);
	m->verbs = verb_list(a, r->verbs, &m->n_verbs);
	m->short_names = copy_list(a, r->short_names, &m->n_short_names);
	m->categories = copy_list(a, r->categories, &m->n_categories);
	/* Subresources follow their resource. */
	while (sub < end && sub->subresource[0])
		sub++;
	m->subresources =
	    arena_array(a, ApidiscoveryV2__APISubresourceDiscovery *, (size_t)(sub - r));
	for (const struct resource_info *s = r + 1; s < sub; s++)
		m->subresources[m->n_subresources++] = subresource_of(a, s);
	return m;
}

static ApidiscoveryV2__APIVersionDiscovery *aggregated_version(struct arena *a, const char *group,
                                                               const char *version)
{
	ApidiscoveryV2__APIVersionDiscovery *m = arena_new(a, ApidiscoveryV2__APIVersionDiscovery);

	apidiscovery_v2__apiversion_discovery__init(m);
	m->version = borrow(version);
	m->freshness = borrow("Current");
	m->resources = arena_array(a, ApidiscoveryV2__APIResourceDiscovery *, resource_n);
	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		if (!r->subresource[0] && is_of(r, group, version))
			m->resources[m->n_resources++] = aggregated_resource(a, r);
	}
	return m;
}

static ApidiscoveryV2__APIGroupDiscovery *aggregated_group(struct arena *a,
                                                           const struct resource_group *g)
{
	ApidiscoveryV2__APIGroupDiscovery *m = arena_new(a, ApidiscoveryV2__APIGroupDiscovery);
	size_t n = count(g->versions);

	apidiscovery_v2__apigroup_discovery__init(m);
	m->metadata = arena_new(a, MetaV1__ObjectMeta);
	meta_v1__object_meta__init(m->metadata);
	m->metadata->name = borrow(g->name);
	m->versions = arena_array(a, ApidiscoveryV2__APIVersionDiscovery *, n);
	for (size_t i = 0; i < n; i++)
		m->versions[m->n_versions++] = aggregated_version(a, g->name, g->versions[i]);
	return m;
}

ApidiscoveryV2__APIGroupDiscoveryList *discovery_aggregated(struct arena *a, bool core,
                                                            const struct discovery_extra *extra)
{
	ApidiscoveryV2__APIGroupDiscoveryList *list =
	    arena_new(a, ApidiscoveryV2__APIGroupDiscoveryList);
	size_t n_extra = extra && !core ? extra->n_aggregated : 0;

	apidiscovery_v2__apigroup_discovery_list__init(list);
	list->metadata = arena_new(a, MetaV1__ListMeta);
	meta_v1__list_meta__init(list->metadata);
	list->items =
	    arena_array(a, ApidiscoveryV2__APIGroupDiscovery *, resource_n_groups + n_extra);
	for (size_t i = 0; i < resource_n_groups; i++) {
		if (core == !resource_groups[i].name[0])
			list->items[list->n_items++] = aggregated_group(a, &resource_groups[i]);
	}
	for (size_t i = 0; i < n_extra; i++)
		list->items[list->n_items++] = extra->aggregated[i];
	return list;
}
