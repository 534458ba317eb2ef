/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/check.h"

#include <stdio.h>

#include "common/codec/json_writer.h"
#include "proto/json_encode.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/schema.h"

enum { ANNOTATIONS_BYTES_MAX = 256 << 10 };

const char *strings_get(struct string_entry *const *map, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(map[i]->key, key))
			return map[i]->value ? map[i]->value : "";
	return NULL;
}

const char *quantities_get(struct quantity_entry *const *map, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(map[i]->key, key))
			return map[i]->value ? map[i]->value->string : "0";
	return NULL;
}

struct index map_index(struct arena *a, const void *map, size_t n)
{
	struct string_entry *const *entries = map;
	struct index ix = INDEX_IN(a);

	for (size_t i = 0; i < n; i++)
		index_add(&ix, entries[i]->key, (uint32_t)i);
	return ix;
}

const char *quantities_at(struct quantity_entry *const *map, const struct index *ix,
                          const char *key)
{
	int64_t i = index_find(ix, key);

	return i < 0 ? NULL : map[i]->value ? map[i]->value->string : "0";
}

bool list_has(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (!strcmp(*list, s))
			return true;
	return false;
}

bool strings_have(char *const *list, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], s))
			return true;
	return false;
}

bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !strcmp(s + n - m, suffix);
}

const char *json_of(errs_t errs, const void *msg)
{
	static const struct type_meta none = {"", ""};
	_cleanup_buf_ struct buf b = BUF_INIT;
	const ProtobufCMessage *m = msg;

	if (!m)
		return "null";
	json_encode(schema_of(m->descriptor), m, &none, &b);
	return arena_strndup(errs->arena, b.data, b.len);
}

/* "apiGroup" is APIGroup in Go: initialisms at the front of a name are upper case. */
static void go_name(struct buf *b, const char *json)
{
	static const char *const initialisms[] = {"seLinux", "api", "uid",  "ip",  "fs",  "tls",
	                                          "http",    "nfs", "cidr", "csi", "tcp", NULL};
	size_t n = 1, upper = 1;

	for (const char *const *i = initialisms; *i; i++) {
		size_t len = strlen(*i);
		if (strncmp(json, *i, len) || (json[len] >= 'a' && json[len] <= 'z'))
			continue;
		n = len;
		upper = !strcmp(*i, "seLinux") ? 2 : len;
		break;
	}
	for (size_t i = 0; i < n; i++)
		buf_byte(b, (uint8_t)(i < upper ? json[i] & ~0x20 : json[i]));
	buf_str(b, json + n);
}

static void go_json(errs_t errs, struct buf *b, const ProtobufCMessage *msg);

static void go_json_value(errs_t errs, struct buf *b, const struct schema_field *f, const void *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		go_json(errs, b, *(ProtobufCMessage *const *)at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		json_write_cstr(b, *(char *const *)at);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		json_write_bool(b, *(const protobuf_c_boolean *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
		json_write_i64(b, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT32:
		json_write_i64(b, *(const int32_t *)at);
		break;
	default:
		buf_str(b, "null");
	}
}

static bool go_json_absent(const struct schema_field *f, const char *msg)
{
	if (f->flags & SCHEMA_REPEATED)
		return !*(const size_t *)(msg + f->quantifier_offset);
	if (f->type == PROTOBUF_C_TYPE_MESSAGE || f->type == PROTOBUF_C_TYPE_STRING)
		return !*(void *const *)(msg + f->offset);
	return f->quantifier_offset && !*(const protobuf_c_boolean *)(msg + f->quantifier_offset);
}

static size_t go_json_elem_bytes(const struct schema_field *f)
{
	return f->type == PROTOBUF_C_TYPE_INT64 ? sizeof(int64_t)
	       : f->type == PROTOBUF_C_TYPE_INT32 || f->type == PROTOBUF_C_TYPE_BOOL
	           ? sizeof(int32_t)
	           : sizeof(void *);
}

static void go_json_field(errs_t errs, struct buf *b, const struct schema_field *f, const char *msg)
{
	if (go_json_absent(f, msg)) {
		buf_str(b, "null");
	} else if (f->flags & SCHEMA_MAP) {
		size_t n = *(const size_t *)(msg + f->quantifier_offset);
		struct string_entry *const *map =
		    *(struct string_entry *const *const *)(msg + f->offset);
		buf_byte(b, '{');
		for (size_t i = 0; i < n; i++) {
			buf_str(b, i ? "," : "");
			json_write_cstr(b, map[i]->key);
			buf_byte(b, ':');
			go_json_value(errs, b, &f->message->fields[1],
			              (const char *)map[i] + f->message->fields[1].offset);
		}
		buf_byte(b, '}');
	} else if (f->flags & SCHEMA_REPEATED) {
		size_t n = *(const size_t *)(msg + f->quantifier_offset);
		const char *list = *(const char *const *)(msg + f->offset);
		buf_byte(b, '[');
		for (size_t i = 0; i < n; i++) {
			buf_str(b, i ? "," : "");
			go_json_value(errs, b, f, list + i * go_json_elem_bytes(f));
		}
		buf_byte(b, ']');
	} else {
		go_json_value(errs, b, f, msg + f->offset);
	}
}

static void go_json(errs_t errs, struct buf *b, const ProtobufCMessage *msg)
{
	const struct schema_message *schema = schema_of(msg->descriptor);

	/* metav1 types, quantities and times keep their JSON form. */
	if (schema->special != SCHEMA_PLAIN ||
	    has_prefix(schema->full_name, "k8s.io.apimachinery.")) {
		buf_str(b, json_of(errs, msg));
		return;
	}
	buf_byte(b, '{');
	for (size_t i = 0; i < schema->n_json; i++) {
		const struct schema_json *j = &schema->json[i];
		const char *at = (const char *)msg;
		if (j->via)
			at = *(const char *const *)(at + j->via->offset);
		if (at && j->via2)
			at = *(const char *const *)(at + j->via2->offset);
		if (!at)
			continue;
		buf_str(b, i ? ",\"" : "\"");
		go_name(b, j->name);
		buf_str(b, "\":");
		go_json_field(errs, b, j->field, at);
	}
	buf_byte(b, '}');
}

const char *go_json_of(errs_t errs, const void *msg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!msg)
		return "null";
	go_json(errs, &b, msg);
	return arena_strndup(errs->arena, b.data, b.len);
}

const char *json_of_strings(errs_t errs, char *const *list, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_byte(&b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_str(&b, i ? "," : "");
		json_write_cstr(&b, list[i]);
	}
	buf_byte(&b, ']');
	return n ? arena_strndup(errs->arena, b.data, b.len) : "null";
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct string_entry *const *)a)->key,
	              (*(struct string_entry *const *)b)->key);
}

const char *json_of_map(errs_t errs, struct string_entry *const *map, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct string_entry **sorted;

	if (!n)
		return "null";
	sorted = arena_memdup(errs->arena, map, n * sizeof(*map));
	qsort(sorted, n, sizeof(*sorted), by_key);
	buf_byte(&b, '{');
	for (size_t i = 0; i < n; i++) {
		buf_str(&b, i ? "," : "");
		json_write_cstr(&b, sorted[i]->key);
		buf_byte(&b, ':');
		json_write_cstr(&b, sorted[i]->value);
	}
	buf_byte(&b, '}');
	return arena_strndup(errs->arena, b.data, b.len);
}

bool same_msg(const void *a, const void *b)
{
	const ProtobufCMessage *x = a, *y = b;

	if (!x || !y)
		return x == y;
	return msg_equal(schema_of(x->descriptor), x, y);
}

bool same_list(const void *a, size_t na, const void *b, size_t nb)
{
	const ProtobufCMessage *const *x = a, *const *y = b;

	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (!same_msg(x[i], y[i]))
			return false;
	return true;
}

bool same_strings(char *const *a, size_t na, char *const *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return true;
}

bool same_map(const void *a, size_t na, const void *b, size_t nb)
{
	struct string_entry *const *x = a, *const *y = b;
	struct arena arena;
	struct index ix;
	bool same = true;

	if (na != nb)
		return false;
	arena_init(&arena);
	ix = map_index(&arena, b, nb);
	for (size_t i = 0; i < na && same; i++) {
		int64_t j = index_find(&ix, x[i]->key);
		same = j >= 0 && same_msg(x[i], y[j]);
	}
	arena_deinit(&arena);
	return same;
}

void check_nonneg(errs_t errs, path_t p, int64_t n)
{
	if (n < 0)
		field_invalid_int(errs, p, n, "must be greater than or equal to 0");
}

void check_positive(errs_t errs, path_t p, int64_t n)
{
	if (n <= 0)
		field_invalid_int(errs, p, n, "must be greater than zero");
}

void check_between(errs_t errs, path_t p, int64_t n, int64_t lo, int64_t hi)
{
	if (n < lo || n > hi)
		field_invalid_int(errs, p, n,
		                  arena_printf(errs->arena,
		                               "must be between %lld and %lld, inclusive",
		                               (long long)lo, (long long)hi));
}

void check_port(errs_t errs, path_t p, int64_t n)
{
	check_between(errs, p, n, 1, 65535);
}

bool intstr_is_int(const Intstr__IntOrString *v)
{
	return v->type == 0;
}

void check_port_or_name(errs_t errs, path_t p, const Intstr__IntOrString *v)
{
	if (intstr_is_int(v))
		check_port(errs, p, v->int_val);
	else
		check_name(errs, p, v->str_val, names_port_name);
}

bool intstr_is_percent(const Intstr__IntOrString *v, int *ret_percent)
{
	const char *msgs[NAMES_MAX];
	struct arena a;
	size_t n;

	if (v->type == 0)
		return false;
	arena_init(&a);
	n = names_percent(v->str_val, &a, msgs);
	arena_deinit(&a);
	if (n)
		return false;
	*ret_percent = 0;
	for (const char *s = v->str_val; *s >= '0' && *s <= '9' && *ret_percent < 1000000; s++)
		*ret_percent = *ret_percent * 10 + (*s - '0');
	return true;
}

void check_number_or_percent(errs_t errs, path_t p, const Intstr__IntOrString *v)
{
	if (intstr_is_int(v))
		check_nonneg(errs, p, v->int_val);
	else
		check_name(errs, p, v->str_val, names_percent);
}

bool check_required(errs_t errs, path_t p, const char *s)
{
	if (s && *s)
		return true;
	field_required(errs, p, "");
	return false;
}

bool check_enum(errs_t errs, path_t p, const char *s, const char *const *supported)
{
	if (s && list_has(supported, s))
		return true;
	field_not_supported(errs, p, s, supported);
	return false;
}

bool check_required_enum(errs_t errs, path_t p, const char *s, const char *const *supported)
{
	return check_required(errs, p, s) && check_enum(errs, p, s, supported);
}

bool check_name(errs_t errs, path_t p, const char *s, name_syntax *syntax)
{
	const char *msgs[NAMES_MAX];
	size_t n = syntax(s, errs->arena, msgs);

	for (size_t i = 0; i < n; i++)
		field_invalid(errs, p, s, msgs[i]);
	return !n;
}

void check_joined(errs_t errs, path_t p, const char *s, name_syntax *syntax)
{
	const char *msgs[NAMES_MAX];
	size_t n = syntax(s, errs->arena, msgs);
	const char *text = n ? msgs[0] : NULL;

	for (size_t i = 1; i < n; i++)
		text = arena_printf(errs->arena, "%s;%s", text, msgs[i]);
	if (text)
		field_invalid(errs, p, s, text);
}

bool check_required_name(errs_t errs, path_t p, const char *s, name_syntax *syntax)
{
	return check_required(errs, p, s) && check_name(errs, p, s, syntax);
}

size_t names_ip(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	struct ip ip;

	if (ip_parse(s, &ip))
		return 0;
	ret[0] = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
	if (ip_parse_sloppy(s, &ip))
		ret[0] = "must not have leading 0s";
	return 1;
}

size_t names_cidr(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	struct ip_prefix prefix;

	if (!ip_prefix_parse_sloppy(s, &prefix)) {
		ret[0] = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
		return 1;
	}
	size_t n = 0;
	if (!ip_prefix_parse(s, &prefix))
		ret[n++] = "must not have leading 0s in IP or prefix length";
	if (!ip_prefix_is_masked(&prefix))
		ret[n++] = "must not have bits set beyond the prefix length";
	return n;
}

size_t names_fqdn(const char *s, struct arena *a, const char *ret[NAMES_MAX])
{
	size_t len = strlen(s), n;
	char *copy;

	if (!len) {
		ret[0] = "name is required";
		return 1;
	}
	copy = arena_strndup(a, s, s[len - 1] == '.' ? len - 1 : len);
	n = names_dns1123_subdomain(copy, a, ret);
	if (n)
		return n;
	if (!strchr(copy, '.')) {
		ret[0] = "should be a domain with at least two segments separated by dots";
		return 1;
	}
	for (char *label = copy, *next; label; label = next) {
		next = strchr(label, '.');
		if (next)
			*next++ = '\0';
		n = names_dns1123_label(label, a, ret);
		if (n)
			return n;
	}
	return 0;
}

void check_labels(errs_t errs, path_t p, struct string_entry *const *map, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check_name(errs, p, map[i]->key, names_qualified);
		check_name(errs, p, map[i]->value ? map[i]->value : "", names_label_value);
	}
}

void check_annotations(errs_t errs, path_t p, struct string_entry *const *map, size_t n)
{
	const char *msgs[NAMES_MAX];
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++) {
		char *lower = arena_strdup(errs->arena, map[i]->key);
		for (char *s = lower; *s; s++)
			*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
		size_t n_msgs = names_qualified(lower, errs->arena, msgs);
		for (size_t j = 0; j < n_msgs; j++)
			field_invalid(errs, p, map[i]->key, msgs[j]);
		bytes += strlen(map[i]->key) + (map[i]->value ? strlen(map[i]->value) : 0);
	}
	if (bytes > ANNOTATIONS_BYTES_MAX)
		field_too_long(errs, p, ANNOTATIONS_BYTES_MAX);
}

static void check_selector_requirement(errs_t errs, path_t p,
                                       const MetaV1__LabelSelectorRequirement *r)
{
	if (list_has(LIST("In", "NotIn"), r->operator_)) {
		if (!r->n_values)
			field_required(errs, FIELD(p, "values"),
			               "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (list_has(LIST("Exists", "DoesNotExist"), r->operator_)) {
		if (r->n_values)
			field_forbidden(
			    errs, FIELD(p, "values"),
			    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else {
		field_invalid(errs, FIELD(p, "operator"), r->operator_,
		              "not a valid selector operator");
	}
	check_name(errs, FIELD(p, "key"), r->key, names_qualified);
	for (size_t i = 0; i < r->n_values; i++)
		check_name(errs, FIELD_INDEX(FIELD(p, "values"), i), r->values[i],
		           names_label_value);
}

void check_selector(errs_t errs, path_t p, const MetaV1__LabelSelector *s)
{
	if (!s)
		return;
	check_labels(errs, FIELD(p, "matchLabels"), STRINGS(s->match_labels), s->n_match_labels);
	for (size_t i = 0; i < s->n_match_expressions; i++)
		check_selector_requirement(errs, FIELD_INDEX(FIELD(p, "matchExpressions"), i),
		                           s->match_expressions[i]);
}

bool selector_is_empty(const MetaV1__LabelSelector *s)
{
	return !s->n_match_labels && !s->n_match_expressions;
}

bool selector_parses(const MetaV1__LabelSelector *s, struct arena *a, const char **ret_error)
{
	struct label_selector sel;
	struct err err = ERR_INIT;

	if (!meta_label_selector(s, a, &sel, &err))
		return true;
	if (ret_error)
		*ret_error = arena_strdup(a, err.text);
	return false;
}

struct indexed_labels {
	struct string_entry *const *map;
	struct index index;
};

static const char *indexed_label(const void *labels, const char *key)
{
	const struct indexed_labels *l = labels;
	int64_t i = index_find(&l->index, key);

	return i < 0 ? NULL : l->map[i]->value ? l->map[i]->value : "";
}

bool selector_matches(const MetaV1__LabelSelector *s, struct arena *a,
                      struct string_entry *const *labels, size_t n)
{
	struct indexed_labels l = {labels, map_index(a, labels, n)};
	struct label_selector sel;

	return !meta_label_selector(s, a, &sel, NULL) &&
	       label_selector_match(&sel, indexed_label, &l);
}

void check_immutable_str(errs_t errs, path_t p, const char *now, const char *old)
{
	if (!same_str(now, old))
		field_invalid(errs, p, now, "field is immutable");
}

void check_immutable_msg(errs_t errs, path_t p, const void *now, const void *old)
{
	if (!same_msg(now, old))
		field_invalid_json(errs, p, json_of(errs, now), "field is immutable");
}

struct group_version group_version_split(struct arena *a, const char *api_version)
{
	const char *slash = strchr(api_version, '/');

	if (!slash)
		return (struct group_version){"", api_version};
	return (struct group_version){arena_strndup(a, api_version, (size_t)(slash - api_version)),
	                              slash + 1};
}
