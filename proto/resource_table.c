/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/resource_table.h"
#include "proto/resource_tables.h"

const char *const resource_verb_names[8] = {"create", "delete", "deletecollection", "get",
                                            "list",   "patch",  "update",           "watch"};

/* Orders as gen_resources.py sorts: resource, group, version, subresource. */
static int name_cmp(const struct resource_info *r, const char *group, const char *version,
                    const char *resource, const char *subresource)
{
	int c = strcmp(r->resource, resource);

	if (c == 0)
		c = strcmp(r->group, group);
	if (c == 0)
		c = strcmp(r->version, version);
	return c ? c : strcmp(r->subresource, subresource);
}

const struct resource_info *resource_find(const char *group, const char *version,
                                          const char *resource, const char *subresource)
{
	size_t low = 0, high = resource_n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct resource_info *r = &resource_table[resource_by_name[mid]];
		int c = name_cmp(r, group, version, resource, subresource ? subresource : "");
		if (c == 0)
			return r;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct resource_info *resource_by_kind(const char *group, const char *version,
                                             const char *kind)
{
	for (size_t i = 0; i < resource_n; i++) {
		const struct resource_info *r = &resource_table[i];
		if (!r->parent && strcmp(r->kind, kind) == 0 && strcmp(r->group, group) == 0 &&
		    strcmp(r->version, version) == 0)
			return r;
	}
	return NULL;
}

unsigned resource_verb(const char *name)
{
	for (unsigned i = 0; i < 8; i++)
		if (strcmp(resource_verb_names[i], name) == 0)
			return 1u << i;
	return 0;
}

const struct table_columns *table_columns_of(const char *kind)
{
	size_t low = 0, high = table_columns_n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = strcmp(table_columns_all[mid].kind, kind);
		if (c == 0)
			return &table_columns_all[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return &table_columns_default;
}
