/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The small checks that validation is made of. Each adds what it finds to `errs` in upstream's
 * words (apimachinery pkg/api/validation and pkg/util/validation; kubernetes
 * pkg/apis/core/validation). Internal to registry/ and admission/. */
#include "apiserver/registry/index.h"
#include "common/codec/ip.h"
#include "apiserver/registry/strategy.h"
#include "common/codec/names.h"
#include "common/codec/quantity.h"
#include "apiserver/registry/kinds.h"

typedef const struct field_path *path_t;
typedef struct field_errors *errs_t;

/* A NULL-terminated list of strings in place. */
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Sets an optional scalar. */
#define SET(m, field, value_) ((m)->has_##field = 1, (m)->field = (value_))

/* Maps: every entry type has the layout of one of these. */
struct string_entry {
	ProtobufCMessage base;
	char *key, *value;
};
struct quantity_entry {
	ProtobufCMessage base;
	char *key;
	Quantity__Quantity *value;
};
struct bytes_entry {
	ProtobufCMessage base;
	char *key;
	protobuf_c_boolean has_value;
	ProtobufCBinaryData value;
};
#define STRINGS(map) ((struct string_entry *const *)(void *)(map))
#define QUANTITIES(map) ((struct quantity_entry *const *)(void *)(map))
#define BYTES_MAP(map) ((struct bytes_entry *const *)(void *)(map))
/* The value of a key, or NULL. */
const char *strings_get(struct string_entry *const *map, size_t n, const char *key);
const char *quantities_get(struct quantity_entry *const *map, size_t n, const char *key);
/* The places of a map's keys, for many look-ups, and one of those. */
struct index map_index(struct arena *a, const void *map, size_t n);
const char *quantities_at(struct quantity_entry *const *map, const struct index *ix,
                          const char *key);

bool list_has(const char *const *list, const char *s);
bool strings_have(char *const *list, size_t n, const char *s);
bool has_prefix(const char *s, const char *prefix);
bool has_suffix(const char *s, const char *suffix);

/* Bad values as upstream prints them. */
const char *json_of(errs_t errs, const void *msg); /* a message; NULL is "null" */
/* A message of a type that has no JSON names inside upstream: all members, with Go's names. */
const char *go_json_of(errs_t errs, const void *msg);
const char *json_of_strings(errs_t errs, char *const *list, size_t n);
const char *json_of_map(errs_t errs, struct string_entry *const *map, size_t n);

/* Deep equality. */
bool same_msg(const void *a, const void *b);
bool same_list(const void *a, size_t na, const void *b, size_t nb); /* of messages, in order */
bool same_strings(char *const *a, size_t na, char *const *b, size_t nb);
bool same_map(const void *a, size_t na, const void *b, size_t nb); /* entries in any order */
static inline bool same_str(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* Numbers. */
void check_nonneg(errs_t errs, path_t p, int64_t n);
void check_positive(errs_t errs, path_t p, int64_t n); /* "must be greater than zero" */
void check_between(errs_t errs, path_t p, int64_t n, int64_t lo, int64_t hi);
void check_port(errs_t errs, path_t p, int64_t n);
void check_port_or_name(errs_t errs, path_t p, const Intstr__IntOrString *v);
void check_number_or_percent(errs_t errs, path_t p, const Intstr__IntOrString *v);
bool intstr_is_int(const Intstr__IntOrString *v);
bool intstr_is_percent(const Intstr__IntOrString *v, int *ret_percent);

/* Strings. False when something was added. */
bool check_required(errs_t errs, path_t p, const char *s);
bool check_enum(errs_t errs, path_t p, const char *s, const char *const *supported);
/* Required when empty, else one of the list. */
bool check_required_enum(errs_t errs, path_t p, const char *s, const char *const *supported);
/* A syntax of common/codec/names.h (or one of those below); each message is one error. */
typedef size_t name_syntax(const char *s, struct arena *a, const char *ret[NAMES_MAX]);
bool check_name(errs_t errs, path_t p, const char *s, name_syntax *syntax);
/* The same with all messages in one error. */
void check_joined(errs_t errs, path_t p, const char *s, name_syntax *syntax);
/* Required when empty, else of the syntax. */
bool check_required_name(errs_t errs, path_t p, const char *s, name_syntax *syntax);
name_syntax names_fqdn; /* at least two labels, "." at the end allowed */
name_syntax names_ip;   /* canonical or not, without leading zeros */
name_syntax names_cidr;

/* Maps and selectors. */
void check_labels(errs_t errs, path_t p, struct string_entry *const *map, size_t n);
void check_annotations(errs_t errs, path_t p, struct string_entry *const *map, size_t n);
void check_selector(errs_t errs, path_t p, const MetaV1__LabelSelector *s);
bool selector_is_empty(const MetaV1__LabelSelector *s);
/* False when the selector cannot be evaluated (bad operator or values), with its error text. */
bool selector_parses(const MetaV1__LabelSelector *s, struct arena *a, const char **ret_error);
/* An absent or bad selector matches nothing, an empty one everything. */
bool selector_matches(const MetaV1__LabelSelector *s, struct arena *a,
                      struct string_entry *const *labels, size_t n);

/* "field is immutable" when they differ. */
void check_immutable_str(errs_t errs, path_t p, const char *now, const char *old);
void check_immutable_msg(errs_t errs, path_t p, const void *now, const void *old);

/* "group/v1" in parts; "v1" has the group "". */
struct group_version {
	const char *group, *version;
};
struct group_version group_version_split(struct arena *a, const char *api_version);
