/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/schema.h"
#include "proto/schema_tables.h"

static uint64_t name_hash(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return h;
}

/* The slot sequence of `name`, until a free one. */
#define NAME_FOREACH(at, name)                                                              \
	for (size_t at = name_hash(name) >> (64 - schema_name_bits); schema_name_slots[at]; \
	     at = (at + 1) & (((size_t)1 << schema_name_bits) - 1))

const struct schema_message *schema_find(const char *full_name)
{
	NAME_FOREACH(at, full_name)
	{
		const struct schema_message *m = schema_messages[schema_name_slots[at] - 1];
		if (strcmp(m->full_name, full_name) == 0)
			return m;
	}
	return NULL;
}

const struct schema_message *schema_of(const ProtobufCMessageDescriptor *desc)
{
	NAME_FOREACH(at, desc->name)
	{
		const struct schema_message *m = schema_messages[schema_name_slots[at] - 1];
		if (m->desc == desc)
			return m;
	}
	return NULL;
}

static int gvk_cmp(const struct schema_message *m, const char *group, const char *version,
                   const char *kind)
{
	int r = strcmp(m->kind, kind);

	if (r == 0)
		r = strcmp(m->group, group);
	return r ? r : strcmp(m->version, version);
}

static const struct schema_message *find_kind(const char *group, const char *version,
                                              const char *kind)
{
	size_t low = 0, high = schema_n_kinds;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = gvk_cmp(schema_kinds[mid], group, version, kind);
		if (r == 0)
			return schema_kinds[mid];
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* The kinds of meta/v1 that clients may send under the group and version that they talk to. */
static bool is_option_kind(const char *kind)
{
	static const char *const kinds[] = {"CreateOptions", "DeleteOptions", "GetOptions",
	                                    "ListOptions",   "PatchOptions",  "UpdateOptions",
	                                    "Status"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

const struct schema_message *schema_by_gvk(const char *group, const char *version, const char *kind)
{
	const struct schema_message *m = find_kind(group, version, kind);

	if (m || !is_option_kind(kind))
		return m;
	m = find_kind("meta.k8s.io", "v1", kind);
	return m ? m : find_kind("", "v1", kind);
}

const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number)
{
	/* Numbers are dense in most messages: where they are, the field sits at its number less
	 * one. */
	if (number - 1 < m->n_fields && m->fields[number - 1].number == number)
		return &m->fields[number - 1];
	size_t low = 0, high = m->n_fields;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (m->fields[mid].number == number)
			return &m->fields[mid];
		if (m->fields[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}
