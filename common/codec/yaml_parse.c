/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/yaml.h"

#include <stdio.h>
#include <yaml.h>
#include "common/codec/utf8.h"

struct anchor {
	const char *name;
	struct jvalue *value; /* NULL while the node is being read: it may not hold itself */
	size_t nodes;
};

struct loader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	struct arena *arena;
	struct json_report *report;
	struct err *err;
	struct anchor *anchors;
	size_t n_anchors, cap_anchors;
	size_t nodes; /* of the result, aliases expanded */
	int depth;
};

static struct jvalue *load_node(struct loader *l);

static struct jvalue *refuse(struct loader *l, size_t line, const char *what)
{
	err_set(l->err, ERR_BAD_REQUEST, "yaml: line %zu: %s", line, what);
	return NULL;
}

static bool next_event(struct loader *l)
{
	if (l->have_event)
		yaml_event_delete(&l->event);
	l->have_event = yaml_parser_parse(&l->parser, &l->event);
	if (l->have_event)
		return true;
	size_t line = l->parser.problem_mark.line + (l->parser.error == YAML_SCANNER_ERROR);
	refuse(l, MAX(line, 1u), l->parser.problem ? l->parser.problem : "malformed document");
	return false;
}

static bool count_node(struct loader *l, size_t n)
{
	l->nodes += n;
	if (l->nodes <= YAML_NODES_MAX)
		return true;
	err_set(l->err, ERR_BAD_REQUEST, "yaml: document contains excessive aliasing");
	return false;
}

/* Plain scalars. */

static bool in_list(struct slice s, const char *const *words)
{
	for (; *words; words++)
		if (slice_eq_str(s, *words))
			return true;
	return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                    "True", "TRUE", "on",  "On",  "ON",  NULL};
static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
static const char *const infinities[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                         "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                         ".NaN",  ".NAN",  NULL};

/* Digits of a base with underscores between; false when there is anything else. */
static bool read_digits(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned d = *s >= '0' && *s <= '9' ? (unsigned)(*s - '0')
		             : (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f'
		                 ? (unsigned)(*s | 0x20) - 'a' + 10
		                 : 99;
		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*ret = v;
	return true;
}

static bool read_integer(const char *s, int64_t *ret)
{
	bool neg = *s == '-';
	uint64_t v;

	if (neg || *s == '+')
		s++;
	bool ok;
	if (strncmp(s, "0b", 2) == 0)
		ok = read_digits(s + 2, 2, &v);
	else if (strncmp(s, "0x", 2) == 0 || strncmp(s, "0X", 2) == 0)
		ok = read_digits(s + 2, 16, &v);
	else if (strncmp(s, "0o", 2) == 0)
		ok = read_digits(s + 2, 8, &v);
	else if (s[0] == '0' && s[1])
		ok = read_digits(s + 1, 8, &v);
	else
		ok = read_digits(s, 10, &v);
	if (!ok || v > (uint64_t)INT64_MAX + neg)
		return false;
	*ret = (int64_t)(neg ? 0 - v : v);
	return true;
}

/* The form of a YAML 1.1 float: [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *s)
{
	size_t whole, part = 0;

	s += *s == '-' || *s == '+';
	whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		part = strspn(++s, "0123456789");
		s += part;
	}
	if (!whole && !part)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		size_t digits = strspn(s, "0123456789");
		if (!digits)
			return false;
		s += digits;
	}
	return !*s;
}

static struct jvalue *resolve_number(struct loader *l, struct slice s)
{
	char text[128], *o = text;
	int64_t i;

	if (!s.len || s.len >= sizeof(text) || !strchr("+-.0123456789", s.data[0]))
		return NULL;
	for (size_t k = 0; k < s.len; k++)
		if (s.data[k] != '_')
			*o++ = (char)s.data[k];
	*o = 0;
	if (read_integer(text, &i))
		return jvalue_int(l->arena, i);
	if (!is_float(text))
		return NULL;
	double d = strtod(text, NULL);
	if (d - d != 0) /* too large for a number: text, as for yaml.v2 */
		return NULL;
	struct jvalue *v = jvalue_double(l->arena, d);
	v->text = arena_strdup(l->arena, text);
	return v;
}

static struct jvalue *resolve_plain(struct loader *l, struct slice s)
{
	if (in_list(s, nulls))
		return jvalue_null(l->arena);
	if (in_list(s, trues))
		return jvalue_bool(l->arena, true);
	if (in_list(s, falses))
		return jvalue_bool(l->arena, false);
	if (in_list(s, infinities))
		return refuse(l, l->event.start_mark.line + 1,
		              "number is not representable in JSON");
	struct jvalue *v = resolve_number(l, s);
	return v ? v : jvalue_strn(l->arena, s);
}

static struct jvalue *load_scalar(struct loader *l)
{
	const char *tag = (const char *)l->event.data.scalar.tag;
	struct slice s = slice_of(l->event.data.scalar.value, l->event.data.scalar.length);

	if (tag && strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, "!") != 0)
		return resolve_plain(l, s);
	if (tag || l->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return jvalue_strn(l->arena, s);
	return resolve_plain(l, s);
}

/* Anchors. */

static size_t add_anchor(struct loader *l, const yaml_char_t *name)
{
	if (!name)
		return SIZE_MAX;
	if (l->n_anchors == l->cap_anchors) {
		size_t cap = l->cap_anchors ? l->cap_anchors * 2 : 8;

		l->anchors = arena_grow(l->arena, l->anchors, l->cap_anchors * sizeof(*l->anchors),
		                        cap * sizeof(*l->anchors));
		l->cap_anchors = cap;
	}
	l->anchors[l->n_anchors] =
	    (struct anchor){.name = arena_strdup(l->arena, (const char *)name), .nodes = l->nodes};
	return l->n_anchors++;
}

static struct jvalue *load_alias(struct loader *l)
{
	const char *name = (const char *)l->event.data.alias.anchor;
	char text[200];

	for (size_t i = l->n_anchors; i-- > 0;) {
		struct anchor *a = &l->anchors[i];

		if (strcmp(a->name, name) != 0)
			continue;
		if (!a->value) {
			snprintf(text, sizeof(text), "anchor '%.100s' value contains itself", name);
			return refuse(l, l->event.start_mark.line + 1, text);
		}
		/* Shared, not copied; the count is that of the expanded document. */
		return count_node(l, a->nodes) ? a->value : NULL;
	}
	snprintf(text, sizeof(text), "unknown anchor '%.100s' referenced", name);
	return refuse(l, l->event.start_mark.line + 1, text);
}

/* Containers. */

static struct jvalue *load_sequence(struct loader *l)
{
	struct jvalue *arr = jvalue_array(l->arena);

	for (;;) {
		if (!next_event(l))
			return NULL;
		if (l->event.type == YAML_SEQUENCE_END_EVENT)
			return arr;
		struct jvalue *v = load_node(l);
		if (!v)
			return NULL;
		jvalue_append(l->arena, arr, v);
	}
}

/* Keys become strings, as a JSON object needs them. */
static bool key_text(struct loader *l, const struct jvalue *key, size_t line, struct slice *ret)
{
	struct buf b = BUF_INIT;

	switch (key->kind) {
	case JVALUE_STRING:
		*ret = jvalue_slice(key);
		return true;
	case JVALUE_BOOL:
	case JVALUE_INT:
	case JVALUE_DOUBLE:
		jvalue_write(key, &b);
		*ret = slice_of(arena_strndup(l->arena, b.data, b.len), b.len);
		buf_deinit(&b);
		return true;
	}
	return refuse(l, line, "invalid map key"), false;
}

static bool report_duplicate(struct loader *l, struct slice key, size_t line)
{
	if (!l->report) {
		err_set(l->err, ERR_BAD_REQUEST,
		        "yaml: unmarshal errors:\n  line %zu: key \"%.*s\" already set in map",
		        line, SLICE_FMT(key));
		return false;
	}
	json_report_add(l->report,
	                "yaml: unmarshal errors:\n  line %zu: key \"%.*s\" already set in map",
	                line, SLICE_FMT(key));
	return true;
}

/* "<<": members of the merged map that the map itself does not have. */
static bool merge_into(struct loader *l, struct jvalue *obj, const struct jvalue *from, size_t line)
{
	if (jvalue_is(from, JVALUE_ARRAY)) {
		for (uint32_t i = 0; i < from->n; i++)
			if (!jvalue_is(from->items[i], JVALUE_OBJECT) ||
			    !merge_into(l, obj, from->items[i], line))
				return false;
		return true;
	}
	if (!jvalue_is(from, JVALUE_OBJECT))
		return refuse(l, line, "map merge requires map or sequence of maps as the value"),
		       false;
	for (uint32_t i = 0; i < from->n; i++) {
		struct slice key = slice_of(from->members[i].key, from->members[i].key_len);

		if (!jvalue_getn(obj, key))
			jvalue_setn(l->arena, obj, key, from->members[i].value);
	}
	return true;
}

static bool load_member(struct loader *l, struct jvalue *obj, struct jvalue **merge)
{
	size_t line = l->event.start_mark.line + 1;
	bool plain = l->event.type == YAML_SCALAR_EVENT &&
	             l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	struct slice name;
	struct jvalue *key = load_node(l);

	if (!key || !key_text(l, key, line, &name) || !next_event(l))
		return false;
	struct jvalue *value = load_node(l);
	if (!value)
		return false;
	if (plain && slice_eq_str(name, "<<")) {
		*merge = value;
		return true;
	}
	if (jvalue_getn(obj, name) && !report_duplicate(l, name, line))
		return false;
	jvalue_setn(l->arena, obj, name, value);
	return true;
}

static struct jvalue *load_mapping(struct loader *l)
{
	struct jvalue *obj = jvalue_object(l->arena), *merge = NULL;
	size_t line = l->event.start_mark.line + 1;

	for (;;) {
		if (!next_event(l))
			return NULL;
		if (l->event.type == YAML_MAPPING_END_EVENT)
			break;
		if (!load_member(l, obj, &merge))
			return NULL;
	}
	if (merge && !merge_into(l, obj, merge, line))
		return NULL;
	return obj;
}

/* The node whose first event is the current one. */
static struct jvalue *load_node(struct loader *l)
{
	struct jvalue *v = NULL;
	size_t anchor = SIZE_MAX;

	if (!count_node(l, 1))
		return NULL;
	if (l->depth >= YAML_DEPTH_MAX)
		return refuse(l, l->event.start_mark.line + 1, "exceeded max depth");
	l->depth++;
	switch (l->event.type) {
	case YAML_ALIAS_EVENT:
		v = load_alias(l);
		break;
	case YAML_SCALAR_EVENT:
		anchor = add_anchor(l, l->event.data.scalar.anchor);
		v = load_scalar(l);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = add_anchor(l, l->event.data.sequence_start.anchor);
		v = load_sequence(l);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = add_anchor(l, l->event.data.mapping_start.anchor);
		v = load_mapping(l);
		break;
	default:
		refuse(l, l->event.start_mark.line + 1, "unexpected event");
	}
	l->depth--;
	if (anchor != SIZE_MAX) {
		l->anchors[anchor].value = v;
		l->anchors[anchor].nodes = l->nodes - l->anchors[anchor].nodes + 1;
	}
	return v;
}

/* Documents: 1 and *ret for one, 0 at the end of the stream. */
static int load_document(struct loader *l, struct jvalue **ret)
{
	for (;;) {
		if (!next_event(l))
			return -ERR_BAD_REQUEST;
		if (l->event.type == YAML_STREAM_END_EVENT)
			return 0;
		if (l->event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		l->n_anchors = 0;
		if (!next_event(l))
			return -ERR_BAD_REQUEST;
		*ret = load_node(l);
		return *ret ? 1 : -ERR_BAD_REQUEST;
	}
}

static int loader_init(struct loader *l, struct slice text, struct arena *a, struct err *err)
{
	*l = (struct loader){.arena = a, .err = err};
	if (!utf8_valid(text))
		return err_set(err, ERR_BAD_REQUEST, "yaml: invalid UTF-8");
	if (!yaml_parser_initialize(&l->parser))
		abort();
	yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l->parser, text.data ? text.data : (const uint8_t *)"",
	                             text.len);
	return 0;
}

static void loader_deinit(struct loader *l)
{
	if (l->have_event)
		yaml_event_delete(&l->event);
	yaml_parser_delete(&l->parser);
}

int yaml_parse(struct slice text, struct arena *a, struct json_report *report, struct jvalue **ret,
               struct err *err)
{
	struct loader l;
	struct jvalue *v = NULL;
	int k = loader_init(&l, text, a, err);

	if (k < 0)
		return k;
	l.report = report;
	k = load_document(&l, &v);
	loader_deinit(&l);
	if (k < 0)
		return k;
	*ret = v ? v : jvalue_null(a);
	return 0;
}

int yaml_parse_all(struct slice text, struct arena *a, struct jvalue **ret, struct err *err)
{
	struct loader l;
	struct jvalue *all = jvalue_array(a), *v = NULL;
	int k = loader_init(&l, text, a, err);

	if (k < 0)
		return k;
	while ((k = load_document(&l, &v)) == 1)
		if (v->kind != JVALUE_NULL)
			jvalue_append(a, all, v);
	loader_deinit(&l);
	if (k == 0)
		*ret = all;
	return k;
}
