/* SPDX-License-Identifier: Apache-2.0 */
/* Types: their names, and the signatures of functions. */
#include "common/cel/internal.h"

const struct cel_type cel_dyn = {.kind = CEL_DYN}, cel_null = {.kind = CEL_NULL},
                      cel_bool = {.kind = CEL_BOOL}, cel_int = {.kind = CEL_INT},
                      cel_uint = {.kind = CEL_UINT}, cel_double = {.kind = CEL_DOUBLE},
                      cel_string = {.kind = CEL_STRING}, cel_bytes = {.kind = CEL_BYTES},
                      cel_duration = {.kind = CEL_DURATION},
                      cel_timestamp = {.kind = CEL_TIMESTAMP},
                      cel_any_type = {.kind = CEL_TYPE, .of = &cel_dyn},
                      cel_list_dyn = {.kind = CEL_LIST, .of = &cel_dyn},
                      cel_map_dyn = {.kind = CEL_MAP, .of = &cel_dyn, .to = &cel_dyn},
                      cel_list_string = {.kind = CEL_LIST, .of = &cel_string};

static const struct cel_type optional_dyn = {.kind = CEL_OPTIONAL, .of = &cel_dyn},
                             param_a = {.kind = CEL_PARAM, .name = "A"},
                             param_b = {.kind = CEL_PARAM, .name = "B"};

/* Names as expressions and signatures have them. */
static const struct {
	const char *name;
	const struct cel_type *type;
} NAMED[] = {
    {"dyn", &cel_dyn},
    {"null_type", &cel_null},
    {"bool", &cel_bool},
    {"int", &cel_int},
    {"uint", &cel_uint},
    {"double", &cel_double},
    {"string", &cel_string},
    {"bytes", &cel_bytes},
    {"list", &cel_list_dyn},
    {"map", &cel_map_dyn},
    {"type", &cel_any_type},
    {"optional_type", &optional_dyn},
    {"google.protobuf.Duration", &cel_duration},
    {"google.protobuf.Timestamp", &cel_timestamp},
};

/* Short names of library types in signatures. */
static const struct {
	const char *name;
	struct cel_type type;
} OPAQUE[] = {
    {"quantity", {.kind = CEL_OPAQUE, .name = "kubernetes.Quantity"}},
    {"ip", {.kind = CEL_OPAQUE, .name = "net.IP"}},
    {"cidr", {.kind = CEL_OPAQUE, .name = "net.CIDR"}},
    {"url", {.kind = CEL_OPAQUE, .name = "kubernetes.URL"}},
    {"format", {.kind = CEL_OPAQUE, .name = "kubernetes.NamedFormat"}},
    {"semver", {.kind = CEL_OPAQUE, .name = "kubernetes.Semver"}},
    {"authorizer", {.kind = CEL_OPAQUE, .name = "kubernetes.authorization.Authorizer"}},
    {"pathcheck", {.kind = CEL_OPAQUE, .name = "kubernetes.authorization.PathCheck"}},
    {"groupcheck", {.kind = CEL_OPAQUE, .name = "kubernetes.authorization.GroupCheck"}},
    {"resourcecheck", {.kind = CEL_OPAQUE, .name = "kubernetes.authorization.ResourceCheck"}},
    {"decision", {.kind = CEL_OPAQUE, .name = "kubernetes.authorization.Decision"}},
};

const struct cel_type *cel_type_named(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(NAMED); i++)
		if (slice_eq_str(name, NAMED[i].name))
			return NAMED[i].type;
	for (size_t i = 0; i < ARRAY_LEN(OPAQUE); i++)
		if (slice_eq_str(name, OPAQUE[i].type.name))
			return &OPAQUE[i].type;
	return NULL;
}

static const struct cel_type *type_new(struct arena *a, enum cel_kind kind,
                                       const struct cel_type *of, const struct cel_type *to)
{
	struct cel_type *t = arena_new(a, struct cel_type);
	*t = (struct cel_type){.kind = kind, .of = of, .to = to};
	return t;
}

/* One type of a signature, which is our own text: it is well formed. */
static const struct cel_type *parse_type(const char **at, struct arena *a)
{
	const char *begin = *at, *end = begin + strcspn(begin, "<>,:");
	struct slice name = slice_of(begin, (size_t)(end - begin));
	const struct cel_type *of = &cel_dyn, *to = &cel_dyn;

	*at = end;
	if (**at == '<') {
		++*at;
		of = parse_type(at, a);
		if (**at == ',') {
			++*at;
			to = parse_type(at, a);
		}
		++*at; /* '>' */
	}
	if (slice_eq_str(name, "A"))
		return &param_a;
	if (slice_eq_str(name, "B"))
		return &param_b;
	if (slice_eq_str(name, "list"))
		return type_new(a, CEL_LIST, of, NULL);
	if (slice_eq_str(name, "map"))
		return type_new(a, CEL_MAP, of, to);
	if (slice_eq_str(name, "optional"))
		return type_new(a, CEL_OPTIONAL, of, NULL);
	if (slice_eq_str(name, "type"))
		return type_new(a, CEL_TYPE, of, NULL);
	if (slice_eq_str(name, "duration"))
		return &cel_duration;
	if (slice_eq_str(name, "timestamp"))
		return &cel_timestamp;
	for (size_t i = 0; i < ARRAY_LEN(OPAQUE); i++)
		if (slice_eq_str(name, OPAQUE[i].name))
			return &OPAQUE[i].type;
	return cel_type_named(name);
}

size_t cel_signature(const char *text, struct arena *a, const struct cel_type **ret,
                     const struct cel_type **ret_result)
{
	size_t n = 0;

	while (*text != ':') {
		ret[n++] = parse_type(&text, a);
		text += *text == ',';
	}
	text++;
	*ret_result = parse_type(&text, a);
	return n;
}

const char *cel_type_text(const struct cel_type *t, struct arena *a)
{
	switch (t->kind) {
	case CEL_LIST:
		return arena_printf(a, "list(%s)", cel_type_text(t->of, a));
	case CEL_MAP:
		return arena_printf(a, "map(%s, %s)", cel_type_text(t->of, a),
		                    cel_type_text(t->to, a));
	case CEL_OPTIONAL:
		return arena_printf(a, "optional_type(%s)", cel_type_text(t->of, a));
	case CEL_TYPE:
		return arena_printf(a, "type(%s)", cel_type_text(t->of, a));
	case CEL_NULL:
		return "null";
	case CEL_OPAQUE:
	case CEL_OBJECT:
	case CEL_PARAM:
		return t->name;
	case CEL_ERROR:
		return "*error*";
	default:
		for (size_t i = 0; i < ARRAY_LEN(NAMED); i++)
			if (NAMED[i].type->kind == t->kind)
				return NAMED[i].name;
		return "dyn";
	}
}

const struct cel_type *cel_type_of(struct cel_value v)
{
	if (v.kind == CEL_OPAQUE)
		return cel_type_named(slice_str(v.opaque->class->name));
	for (size_t i = 0; i < ARRAY_LEN(NAMED); i++)
		if (NAMED[i].type->kind == v.kind)
			return NAMED[i].type;
	return &cel_dyn;
}
