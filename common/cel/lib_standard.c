/* SPDX-License-Identifier: Apache-2.0 */
/* Operators and functions of the language itself (cel-spec langdef.md, "List of Standard
 * Definitions"), but for times and conversions. */
#include <math.h>
#include "common/cel/internal.h"
#include "common/cel/regex.h"
#include "common/codec/utf8.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

static struct cel_value of_uint(uint64_t u)
{
	return (struct cel_value){.kind = CEL_UINT, .u = u};
}
static struct cel_value of_double(double d)
{
	return (struct cel_value){.kind = CEL_DOUBLE, .d = d};
}

/* --- arithmetic ----------------------------------------------------------------------------------
 */

static struct cel_value overflow(struct cel_run *run, enum cel_kind kind)
{
	return cel_error(run->arena,
	                 kind == CEL_UINT ? "unsigned integer overflow" : "integer overflow");
}

FN(add_text)
{
	size_t len = args[0].s.len + args[1].s.len;
	uint8_t *p;

	cel_charge_text(run, len);
	p = arena_alloc(run->arena, len + 1);
	if (args[0].s.len)
		memcpy(p, args[0].s.data, args[0].s.len);
	if (args[1].s.len)
		memcpy(p + args[0].s.len, args[1].s.data, args[1].s.len);
	p[len] = '\0';
	return (struct cel_value){.kind = args[0].kind, .s = slice_of(p, len)};
}

FN(add_lists)
{
	size_t len = args[0].list->n + args[1].list->n;
	struct cel_value *items;

	cel_charge(run, len / 10);
	items = arena_array(run->arena, struct cel_value, len);
	for (size_t i = 0; i < len; i++) {
		const struct cel_list *l = i < args[0].list->n ? args[0].list : args[1].list;
		items[i] = cel_list_at(
		    l, l == args[0].list && i < args[0].list->n ? i : i - args[0].list->n,
		    run->arena);
	}
	return cel_list_of(run->arena, items, len);
}

#define ARITHMETIC(name, builtin, op)                                   \
	FN(name)                                                        \
	{                                                               \
		struct cel_value r = {.kind = args[0].kind};            \
		bool over = false;                                      \
		if (r.kind == CEL_DOUBLE)                               \
			r.d = args[0].d op args[1].d;                   \
		else if (r.kind == CEL_INT)                             \
			over = builtin(args[0].i, args[1].i, &r.i);     \
		else                                                    \
			over = builtin(args[0].u, args[1].u, &r.u);     \
		return over ? overflow(run, (enum cel_kind)r.kind) : r; \
	}
ARITHMETIC(add, __builtin_add_overflow, +)
ARITHMETIC(subtract, __builtin_sub_overflow, -)
ARITHMETIC(multiply, __builtin_mul_overflow, *)

FN(divide)
{
	if (args[0].kind == CEL_DOUBLE)
		return of_double(args[0].d / args[1].d);
	if (args[1].u == 0)
		return cel_error(run->arena, "division by zero");
	if (args[0].kind == CEL_UINT)
		return of_uint(args[0].u / args[1].u);
	if (args[0].i == INT64_MIN && args[1].i == -1)
		return overflow(run, CEL_INT);
	return cel_of_int(args[0].i / args[1].i);
}

FN(modulo)
{
	if (args[1].u == 0)
		return cel_error(run->arena, "modulus by zero");
	if (args[0].kind == CEL_UINT)
		return of_uint(args[0].u % args[1].u);
	if (args[0].i == INT64_MIN && args[1].i == -1)
		return overflow(run, CEL_INT);
	return cel_of_int(args[0].i % args[1].i);
}

FN(negate)
{
	if (args[0].kind == CEL_DOUBLE)
		return of_double(-args[0].d);
	return args[0].i == INT64_MIN ? overflow(run, CEL_INT) : cel_of_int(-args[0].i);
}

FN(not )
{
	return cel_of_bool(!args[0].b);
}

/* --- comparison ----------------------------------------------------------------------------------
 */

static void charge_pair(struct cel_run *run, const struct cel_value *args)
{
	if (args[0].kind == CEL_STRING && args[1].kind == CEL_STRING)
		cel_charge_text(run, MIN(args[0].s.len, args[1].s.len));
	else if (args[0].kind == CEL_LIST && args[1].kind == CEL_LIST)
		cel_charge(run, MIN(args[0].list->n, args[1].list->n));
	else if (args[0].kind == CEL_MAP && args[1].kind == CEL_MAP)
		cel_charge(run, MIN(args[0].map->n, args[1].map->n));
}

FN(equal)
{
	charge_pair(run, args);
	return cel_of_bool(cel_equal(args[0], args[1]));
}
FN(not_equal)
{
	charge_pair(run, args);
	return cel_of_bool(!cel_equal(args[0], args[1]));
}

#define COMPARISON(name, op)                                                          \
	FN(name)                                                                      \
	{                                                                             \
		bool ok;                                                              \
		charge_pair(run, args);                                               \
		if ((args[0].kind == CEL_DOUBLE && isnan(args[0].d)) ||               \
		    (args[1].kind == CEL_DOUBLE && isnan(args[1].d)))                 \
			return cel_error(run->arena, "NaN values cannot be ordered"); \
		int c = cel_compare(args[0], args[1], &ok);                           \
		return ok ? cel_of_bool(c op 0) : cel_no_overload(run);               \
	}
COMPARISON(less, <)
COMPARISON(less_or_equal, <=)
COMPARISON(greater, >)
COMPARISON(greater_or_equal, >=)

FN(in_list)
{
	cel_charge(run, args[1].list->n);
	for (size_t i = 0; i < args[1].list->n; i++)
		if (cel_equal(args[0], cel_list_at(args[1].list, i, run->arena)))
			return cel_of_bool(true);
	return cel_of_bool(false);
}
FN(in_map)
{
	struct cel_value v;
	return cel_of_bool(cel_map_find(args[1].map, args[0], run->arena, &v));
}

/* --- access --------------------------------------------------------------------------------------
 */

/* An index of any numeric kind; -1: none that fits. */
static int64_t index_of(struct cel_value v)
{
	if (v.kind == CEL_INT)
		return v.i;
	if (v.kind == CEL_UINT)
		return v.u <= INT64_MAX ? (int64_t)v.u : -1;
	return v.kind == CEL_DOUBLE && v.d >= 0 && v.d < 9e15 && floor(v.d) == v.d ? (int64_t)v.d
	                                                                           : -1;
}

FN(list_at)
{
	int64_t i = index_of(args[1]);

	if (i < 0 || (uint64_t)i >= args[0].list->n)
		return cel_error(run->arena, "index out of bounds: %lld", (long long)i);
	return cel_list_at(args[0].list, (size_t)i, run->arena);
}

static const char *key_text(struct cel_run *run, struct cel_value key)
{
	switch (key.kind) {
	case CEL_STRING:
		return arena_printf(run->arena, "%.*s", SLICE_FMT(key.s));
	case CEL_INT:
		return arena_printf(run->arena, "%lld", (long long)key.i);
	case CEL_UINT:
		return arena_printf(run->arena, "%llu", (unsigned long long)key.u);
	case CEL_BOOL:
		return key.b ? "true" : "false";
	default:
		return cel_type_text(cel_type_of(key), run->arena);
	}
}

FN(map_at)
{
	struct cel_value v;

	if (cel_map_find(args[0].map, args[1], run->arena, &v))
		return v;
	return cel_error(run->arena, "no such key: %s", key_text(run, args[1]));
}

static struct cel_value optional(struct cel_run *run, const struct cel_value *v)
{
	return (struct cel_value){.kind = CEL_OPTIONAL,
	                          .optional = v ? arena_memdup(run->arena, v, sizeof(*v)) : NULL};
}

/* a[?b] of a list, a map, or an optional one. */
FN(optional_at)
{
	struct cel_value of = args[0], v;

	if (of.kind == CEL_OPTIONAL) {
		if (!of.optional)
			return of;
		of = *of.optional;
	}
	if (of.kind == CEL_MAP)
		return cel_map_find(of.map, args[1], run->arena, &v) ? optional(run, &v)
		                                                     : optional(run, NULL);
	if (of.kind != CEL_LIST)
		return cel_no_overload(run);
	int64_t i = index_of(args[1]);
	if (i < 0 || (uint64_t)i >= of.list->n)
		return optional(run, NULL);
	v = cel_list_at(of.list, (size_t)i, run->arena);
	return optional(run, &v);
}

FN(optional_index)
{
	struct cel_value v;

	if (!args[0].optional)
		return args[0];
	if (args[0].optional->kind == CEL_MAP)
		return cel_map_find(args[0].optional->map, args[1], run->arena, &v)
		           ? optional(run, &v)
		           : optional(run, NULL);
	return optional_at(run, args, n);
}

FN(size_text)
{
	size_t runes = 0;

	cel_charge_text(run, args[0].s.len);
	for (size_t i = 0; i < args[0].s.len; i++)
		runes += (args[0].s.data[i] & 0xc0) != 0x80;
	return cel_of_int((int64_t)runes);
}
FN(size_bytes)
{
	return cel_of_int((int64_t)args[0].s.len);
}
FN(size_list)
{
	return cel_of_int((int64_t)args[0].list->n);
}
FN(size_map)
{
	return cel_of_int((int64_t)args[0].map->n);
}

/* --- texts ---------------------------------------------------------------------------------------
 */

FN(contains)
{
	struct slice s = args[0].s, part = args[1].s;

	cel_charge_text(run, s.len);
	return cel_of_bool(!part.len ||
	                   (s.len >= part.len && memmem(s.data, s.len, part.data, part.len)));
}
FN(starts_with)
{
	cel_charge_text(run, args[1].s.len);
	return cel_of_bool(slice_has_prefix(args[0].s, args[1].s));
}
FN(ends_with)
{
	struct slice s = args[0].s, part = args[1].s;

	cel_charge_text(run, part.len);
	return cel_of_bool(s.len >= part.len && slice_eq(slice_skip(s, s.len - part.len), part));
}
FN(matches)
{
	struct cel_regex *re;
	const char *why;
	bool found;

	cel_charge_text(run, args[0].s.len * (1 + args[1].s.len / 4));
	if (cel_regex_new(args[1].s, &re, run->arena, &why) < 0)
		return cel_error(run->arena, "error parsing regexp: %s", why);
	int r = cel_regex_find(re, args[0].s, 0, NULL, NULL);
	found = r == 1;
	cel_regex_free(re);
	return r < 0 ? cel_error(run->arena, "the pattern is too expensive") : cel_of_bool(found);
}

FN(type)
{
	return (struct cel_value){.kind = CEL_TYPE, .type = cel_type_of(args[0])};
}
FN(same)
{
	return args[0];
}

static const struct cel_overload OVERLOADS[] = {
    /* Evaluated by their own rules: only their types are asked for. */
    {"_&&_", false, "bool,bool:bool", same},
    {"_||_", false, "bool,bool:bool", same},
    {"_?_:_", false, "bool,A,A:A", same},
    {"!_", false, "bool:bool", not },
    {"-_", false, "int:int", negate},
    {"-_", false, "double:double", negate},
    {"_+_", false, "int,int:int", add},
    {"_+_", false, "uint,uint:uint", add},
    {"_+_", false, "double,double:double", add},
    {"_+_", false, "string,string:string", add_text},
    {"_+_", false, "bytes,bytes:bytes", add_text},
    {"_+_", false, "list<A>,list<A>:list<A>", add_lists},
    {"_-_", false, "int,int:int", subtract},
    {"_-_", false, "uint,uint:uint", subtract},
    {"_-_", false, "double,double:double", subtract},
    {"_*_", false, "int,int:int", multiply},
    {"_*_", false, "uint,uint:uint", multiply},
    {"_*_", false, "double,double:double", multiply},
    {"_/_", false, "int,int:int", divide},
    {"_/_", false, "uint,uint:uint", divide},
    {"_/_", false, "double,double:double", divide},
    {"_%_", false, "int,int:int", modulo},
    {"_%_", false, "uint,uint:uint", modulo},
    {"_==_", false, "A,A:bool", equal},
    {"_!=_", false, "A,A:bool", not_equal},
#define ORDERED(name, fn)                                                                   \
	{name, false, "bool,bool:bool", fn}, {name, false, "int,int:bool", fn},             \
	    {name, false, "int,uint:bool", fn}, {name, false, "int,double:bool", fn},       \
	    {name, false, "uint,uint:bool", fn}, {name, false, "uint,int:bool", fn},        \
	    {name, false, "uint,double:bool", fn}, {name, false, "double,double:bool", fn}, \
	    {name, false, "double,int:bool", fn}, {name, false, "double,uint:bool", fn},    \
	    {name, false, "string,string:bool", fn}, {name, false, "bytes,bytes:bool", fn}, \
	    {name, false, "timestamp,timestamp:bool", fn},                                  \
	{                                                                                   \
		name, false, "duration,duration:bool", fn                                   \
	}
    ORDERED("_<_", less),
    ORDERED("_<=_", less_or_equal),
    ORDERED("_>_", greater),
    ORDERED("_>=_", greater_or_equal),
    {"@in", false, "A,list<A>:bool", in_list},
    {"@in", false, "A,map<A,B>:bool", in_map},
    {"_[_]", false, "list<A>,int:A", list_at},
    {"_[_]", false, "list<A>,uint:A", list_at},
    {"_[_]", false, "list<A>,double:A", list_at},
    {"_[_]", false, "map<A,B>,A:B", map_at},
    {"_[_]", false, "optional<list<A>>,int:optional<A>", optional_index},
    {"_[_]", false, "optional<map<A,B>>,A:optional<B>", optional_index},
    {"_[?_]", false, "list<A>,int:optional<A>", optional_at},
    {"_[?_]", false, "map<A,B>,A:optional<B>", optional_at},
    {"_[?_]", false, "optional<list<A>>,int:optional<A>", optional_at},
    {"_[?_]", false, "optional<map<A,B>>,A:optional<B>", optional_at},
    {"size", false, "string:int", size_text},
    {"size", false, "bytes:int", size_bytes},
    {"size", false, "list<A>:int", size_list},
    {"size", false, "map<A,B>:int", size_map},
    {"size", true, "string:int", size_text},
    {"size", true, "bytes:int", size_bytes},
    {"size", true, "list<A>:int", size_list},
    {"size", true, "map<A,B>:int", size_map},
    {"contains", true, "string,string:bool", contains},
    {"startsWith", true, "string,string:bool", starts_with},
    {"endsWith", true, "string,string:bool", ends_with},
    {"matches", true, "string,string:bool", matches},
    {"matches", false, "string,string:bool", matches},
    {"type", false, "A:type<A>", type},
    {"dyn", false, "A:dyn", same},
};
const struct cel_library cel_lib_standard = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
