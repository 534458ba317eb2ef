/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The schema of every built-in message, as const tables that a generator makes at build time from
 * the descriptor set (proto/gen_tables.py): what the wire descriptor of protobuf-c cannot say,
 * field by field.
 *
 * A message has two orders. `fields` is the protobuf order (ascending numbers, the same index as
 * `desc->fields`). `json` is the JSON order (that of upstream's Go struct) with inlined messages
 * flattened in place: what a JSON encoder walks, and what schema_json_find() answers from a perfect
 * hash.
 *
 * apiVersion and kind are in neither: a message with SCHEMA_TYPE_META has them in JSON (kind first,
 * before all other fields) and in the protobuf envelope (runtime.Unknown.typeMeta), but not in its
 * own bytes, nor in its C struct.
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <protobuf-c/protobuf-c.h>

/* Messages whose JSON form is not an object of their fields. */
enum schema_special {
	SCHEMA_PLAIN = 0,
	SCHEMA_MAP_ENTRY,     /* element of a map: fields[0] is the key, fields[1] the value */
	SCHEMA_TIME,          /* RFC 3339 in seconds, or null: {seconds, nanos} */
	SCHEMA_MICRO_TIME,    /* RFC 3339 with six digits, or null: {seconds, nanos} */
	SCHEMA_DURATION,      /* "1h2m3s": {duration} in nanoseconds */
	SCHEMA_QUANTITY,      /* "100m": {string} */
	SCHEMA_INT_OR_STRING, /* 80 or "http": {type: 0 int, 1 string; int_val, str_val} */
	SCHEMA_RAW_EXTENSION, /* any object: {raw} */
	SCHEMA_FIELDS_V1,     /* a JSON object: {raw} */
	SCHEMA_JSON,          /* any JSON value: {raw} */
	SCHEMA_JSON_SCHEMA_OR_BOOL,         /* {allows, schema} */
	SCHEMA_JSON_SCHEMA_OR_ARRAY,        /* {schema, json_schemas} */
	SCHEMA_JSON_SCHEMA_OR_STRING_ARRAY, /* {schema, property} */
	SCHEMA_STRING_LIST,                 /* an array of strings: {items}; ExtraValue and Verbs */
};

/* struct schema_message flags. */
enum {
	SCHEMA_TYPE_META = 1 << 0, /* apiVersion and kind come first in JSON */
	SCHEMA_LIST_KIND = 1 << 1, /* metadata is a ListMeta and there are items */
	SCHEMA_MAP_ATOMIC =
	    1 << 2, /* server-side apply owns the whole message, never a field of it */
};

/* struct schema_field flags. */
enum {
	SCHEMA_POINTER = 1 << 0, /* may be absent; without it the field is always there ("value") */
	SCHEMA_OMITEMPTY = 1 << 1, /* JSON leaves out absent, false, 0, "", and empty lists and maps
	                              (never messages) */
	SCHEMA_OMITZERO = 1 << 2,  /* JSON leaves out a message that equals its zero */
	SCHEMA_INLINE = 1 << 3,    /* its fields appear in the parent's JSON object */
	SCHEMA_REPEATED = 1 << 4,  /* list or map */
	SCHEMA_MAP = 1 << 5,       /* list of SCHEMA_MAP_ENTRY messages; a JSON object */
	SCHEMA_REQUIRED = 1 << 6,  /* OpenAPI says required */
	SCHEMA_OPTIONAL = 1 << 7,  /* declared optional */
	SCHEMA_NO_JSON = 1 << 8,   /* only in protobuf */
	SCHEMA_GATED = 1 << 9,     /* behind a feature gate, see `gate` */
	SCHEMA_GATED_OFF = 1 << 10,     /* and one that is off by default: dropped on write */
	SCHEMA_STRUCT_ATOMIC = 1 << 11, /* server-side apply owns this message or map as a whole */
	SCHEMA_PATCH_MERGE = 1 << 12,   /* strategic merge: merge list or map */
	SCHEMA_PATCH_REPLACE = 1 << 13,
	SCHEMA_PATCH_RETAIN_KEYS = 1 << 14,
	SCHEMA_UNION_DISCRIMINATOR = 1 << 15,
};

/* List types of server-side apply. */
enum schema_list_type { SCHEMA_LIST_ATOMIC = 0, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

struct schema_message;

/* What OpenAPI knows about a field beyond its type; most fields have none. */
struct schema_extra {
	const char *patch_merge_key; /* of SCHEMA_PATCH_MERGE lists of objects, or NULL */
	const char *const
	    *list_map_keys;       /* JSON names, ends in NULL; of SCHEMA_LIST_MAP, or NULL */
	const char *default_json; /* default value as JSON text, or NULL */
	const char *gate;         /* feature gates ("A,B": all needed), or NULL */
	const char *const
	    *enum_values; /* sorted as upstream publishes them, ends in NULL, or NULL */
};

struct schema_field {
	const char *name;      /* name in the .proto file, snake_case: the C member */
	const char *json_name; /* never NULL; "" for inlined and protobuf-only fields */
	const struct schema_message *parent; /* the message that has the field */
	const struct schema_message
	    *message; /* of PROTOBUF_C_TYPE_MESSAGE (the entry, for maps), else NULL */
	const struct schema_extra *extra; /* never NULL */
	uint32_t number;                  /* protobuf field number */
	uint32_t flags;                   /* SCHEMA_POINTER ... */
	uint16_t offset;                  /* of the member in the C struct */
	uint16_t quantifier_offset; /* of has_x (optional scalars) or n_x (repeated); 0 if none */
	uint8_t type;               /* ProtobufCType */
	uint8_t list_type;          /* enum schema_list_type */
};

/* One JSON member of a message. */
struct schema_json {
	const char *name;
	const struct schema_field *field;
	const struct schema_field *via; /* the inlined message field to go through first, or NULL */
	const struct schema_field *via2; /* and a second one inside that, or NULL */
	uint8_t name_len;
};

struct schema_message {
	const char *full_name; /* "k8s.io.api.core.v1.Pod" */
	const char *name;      /* "Pod" */
	const ProtobufCMessageDescriptor *desc;
	const char *group;                   /* of a top-level kind; "" is the core group */
	const char *version;                 /* of a top-level kind, else NULL */
	const char *kind;                    /* of a top-level kind, else NULL */
	const struct schema_field *fields;   /* n_fields, ascending numbers */
	const struct schema_json *json;      /* n_json, JSON order */
	const uint8_t *json_hash;            /* 1 << json_bits slots of json index + 1, 0 is free */
	const struct schema_field *metadata; /* the ObjectMeta or ListMeta field, or NULL */
	const struct schema_field *items;    /* of a list kind, or NULL */
	uint64_t json_seed;
	uint16_t n_fields;
	uint16_t n_json;
	uint8_t json_bits;
	uint8_t special; /* enum schema_special */
	uint8_t flags;   /* SCHEMA_TYPE_META ... */
};

/* All messages, sorted by full name. */
extern const struct schema_message *const schema_messages[];
extern const size_t schema_n_messages;

/* By full protobuf name; NULL if unknown. */
const struct schema_message *schema_find(const char *full_name);

/* Of a generated descriptor; NULL if it is not one of the Kubernetes messages. */
const struct schema_message *schema_of(const ProtobufCMessageDescriptor *desc);

/*
 * Of a top-level kind; NULL if unknown. Kinds that upstream registers in every group
 * (DeleteOptions, CreateOptions, ListOptions, WatchEvent, Status and the like) are found in any
 * group and version.
 */
const struct schema_message *schema_by_gvk(const char *group, const char *version,
                                           const char *kind);

/* By protobuf number; NULL if unknown. */
const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number);

/* The descriptor that protobuf-c made. */
static inline const ProtobufCFieldDescriptor *schema_field_pbc(const struct schema_field *f)
{
	return &f->parent->desc->fields[f - f->parent->fields];
}

/* The hash behind schema_json_find: gen_tables.py computes the same one to find a seed without
 * collisions. */
static inline uint64_t schema_json_hash(const char *name, size_t len, uint64_t seed)
{
	uint64_t a = 0, b = 0;

	if (len >= 8) {
		memcpy(&a, name, 8);
		memcpy(&b, name + len - 8, 8);
	} else if (len >= 4) {
		memcpy(&a, name, 4);
		memcpy(&b, name + len - 4, 4);
	} else {
		memcpy(&a, name, len);
	}
	a = (le64toh(a) ^ seed ^ len) * 0x9e3779b97f4a7c15u;
	b = (le64toh(b) + seed) * 0xd6e8feb86659fd93u;
	a ^= a >> 32;
	return (a ^ b) * 0x9e3779b97f4a7c15u;
}

/* The member called `name` (exact case), or NULL. A few nanoseconds: one hash, one compare. */
static inline const struct schema_json *schema_json_find(const struct schema_message *m,
                                                         const char *name, size_t len)
{
	if (m->n_json == 0)
		return NULL;
	uint64_t h = schema_json_hash(name, len, m->json_seed);
	uint8_t at = m->json_hash[h >> (64 - m->json_bits)];
	if (at == 0)
		return NULL;
	const struct schema_json *j = &m->json[at - 1];
	return j->name_len == len && memcmp(j->name, name, len) == 0 ? j : NULL;
}
