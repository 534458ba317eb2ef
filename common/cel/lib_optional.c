/* SPDX-License-Identifier: Apache-2.0 */
/* Optional values (cel-go's optional types, which Kubernetes turns on). */
#include "common/cel/internal.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

static struct cel_value none(void)
{
	return (struct cel_value){.kind = CEL_OPTIONAL};
}

FN(of)
{
	return (struct cel_value){.kind = CEL_OPTIONAL,
	                          .optional = arena_memdup(run->arena, args, sizeof(*args))};
}

FN(of_none)
{
	return none();
}

static bool is_zero(struct cel_value v)
{
	switch (v.kind) {
	case CEL_NULL:
		return true;
	case CEL_BOOL:
		return !v.b;
	case CEL_INT:
	case CEL_UINT:
	case CEL_DURATION:
		return v.u == 0;
	case CEL_DOUBLE:
		return v.d == 0;
	case CEL_STRING:
	case CEL_BYTES:
		return v.s.len == 0;
	case CEL_LIST:
		return v.list->n == 0;
	case CEL_MAP:
		return v.map->n == 0;
	default:
		return false;
	}
}

FN(of_non_zero)
{
	return is_zero(args[0]) ? none() : of(run, args, n);
}
FN(has_value)
{
	return cel_of_bool(args[0].optional != NULL);
}
FN(value)
{
	return args[0].optional ? *args[0].optional
	                        : cel_error(run->arena, "optional.none() dereference");
}
FN(or)
{
	return args[0].optional ? args[0] : args[1];
}
FN(or_value)
{
	return args[0].optional ? *args[0].optional : args[1];
}

/* For optMap: the content as a list, and back. */
FN(as_list)
{
	return cel_list_of(run->arena, args[0].optional, args[0].optional != NULL);
}
FN(first)
{
	struct cel_value v;

	if (!args[0].list->n)
		return none();
	v = cel_list_at(args[0].list, 0, run->arena);
	return of(run, &v, 1);
}
FN(flat)
{
	return args[0].list->n ? cel_list_at(args[0].list, 0, run->arena) : none();
}

static const struct cel_overload OVERLOADS[] = {
    {"optional.of", false, "A:optional<A>", of},
    {"optional.none", false, ":optional<A>", of_none},
    {"optional.ofNonZeroValue", false, "A:optional<A>", of_non_zero},
    {"hasValue", true, "optional<A>:bool", has_value},
    {"value", true, "optional<A>:A", value},
    {"or", true, "optional<A>,optional<A>:optional<A>", or },
    {"orValue", true, "optional<A>,A:A", or_value},
    {"@optional_list", false, "optional<A>:list<A>", as_list},
    {"@optional_first", false, "list<A>:optional<A>", first},
    {"@optional_flat", false, "list<optional<A>>:optional<A>", flat},
};
const struct cel_library cel_lib_optional = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
