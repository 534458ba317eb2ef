/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Every built-in resource and subresource: what discovery says of it, which message it is, and
 * where it is stored. */
#include <stdbool.h>
#include <stddef.h>
#include "proto/schema.h"
#include "proto/table_columns.h"

enum {
	RESOURCE_CREATE = 1 << 0,
	RESOURCE_DELETE = 1 << 1,
	RESOURCE_DELETECOLLECTION = 1 << 2,
	RESOURCE_GET = 1 << 3,
	RESOURCE_LIST = 1 << 4,
	RESOURCE_PATCH = 1 << 5,
	RESOURCE_UPDATE = 1 << 6,
	RESOURCE_WATCH = 1 << 7,
};

struct resource_info {
	const char *group; /* "" is the core group */
	const char *version;
	const char *resource;    /* plural */
	const char *subresource; /* "" if it is not one */
	const char *singular;    /* "" for subresources */
	const char *kind;
	const char
	    *kind_group; /* group and version of the kind: another one's for some subresources */
	const char *kind_version;       /* (Scale, Eviction, TokenRequest) */
	const char *list_kind;          /* "PodList"; NULL if it has no list */
	const char *const *short_names; /* end in NULL; never NULL */
	const char *const *categories;  /* end in NULL; never NULL */
	const struct schema_message *schema;
	const struct schema_message *list_schema; /* NULL if it has no list */
	const struct table_columns *columns;      /* never NULL */
	const struct resource_info *parent;       /* of a subresource, else NULL */

	/* Where it is stored; NULL for what is not (reviews) and for subresources. */
	const char *storage_prefix; /* "/registry/services/specs" */
	const char
	    *storage_group; /* written into the stored object: not always those of the resource */
	const char *storage_version; /* (events.k8s.io/v1 is stored as v1) */
	const char *storage_kind;
	const struct schema_message *storage_schema; /* the message that is stored */
	const char *storage_version_hash;            /* what discovery shows */

	unsigned verbs; /* RESOURCE_CREATE ... */
	bool namespaced;
	bool storage_json; /* stored as JSON, not protobuf */
};

/* A group as discovery lists it. */
struct resource_group {
	const char *name;
	const char *const *versions; /* preferred first; end in NULL */
};

/* In discovery order; subresources follow their resource. */
extern const struct resource_info resource_table[];
extern const size_t resource_n;

/* In discovery order; the core group comes first. */
extern const struct resource_group resource_groups[];
extern const size_t resource_n_groups;

/* NULL if there is none; `subresource` is "" (or NULL) for the resource itself. */
const struct resource_info *resource_find(const char *group, const char *version,
                                          const char *resource, const char *subresource);

/* The resource (not a subresource) that holds a kind, or NULL. */
const struct resource_info *resource_by_kind(const char *group, const char *version,
                                             const char *kind);

/* "create" as RESOURCE_CREATE; 0 if unknown. */
unsigned resource_verb(const char *name);

/* Verb names in the order of discovery: the bit i is called resource_verb_names[i]. */
extern const char *const resource_verb_names[8];
