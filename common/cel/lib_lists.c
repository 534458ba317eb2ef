/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' lists library and cel-go's sets library. */
#include "common/cel/internal.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

static struct cel_value at(struct cel_run *run, const struct cel_list *l, size_t i)
{
	return cel_list_at(l, i, run->arena);
}

FN(is_sorted)
{
	bool ok = true;

	cel_charge(run, args[0].list->n);
	for (size_t i = 1; i < args[0].list->n; i++) {
		if (cel_compare(at(run, args[0].list, i - 1), at(run, args[0].list, i), &ok) > 0)
			return cel_of_bool(false);
		if (!ok)
			return cel_no_overload(run);
	}
	return cel_of_bool(true);
}

FN(sum)
{
	struct cel_value total = {.kind = CEL_INT};
	bool over = false;

	cel_charge(run, args[0].list->n);
	for (size_t i = 0; i < args[0].list->n; i++) {
		struct cel_value v = at(run, args[0].list, i);
		if (i == 0) {
			total = v;
			if (v.kind < CEL_INT || (v.kind > CEL_DOUBLE && v.kind != CEL_DURATION))
				return cel_no_overload(run);
			continue;
		}
		if (v.kind != total.kind)
			return cel_no_overload(run);
		if (v.kind == CEL_DOUBLE)
			total.d += v.d;
		else if (v.kind == CEL_UINT)
			over |= __builtin_add_overflow(total.u, v.u, &total.u);
		else
			over |= __builtin_add_overflow(total.i, v.i, &total.i);
	}
	return over ? cel_error(run->arena, "integer overflow") : total;
}

static struct cel_value extreme(struct cel_run *run, const struct cel_list *l, int sign,
                                const char *name)
{
	struct cel_value best;
	bool ok = true;

	cel_charge(run, l->n);
	if (!l->n)
		return cel_error(run->arena, "%s called on empty list", name);
	best = at(run, l, 0);
	for (size_t i = 1; i < l->n; i++) {
		struct cel_value v = at(run, l, i);
		if (cel_compare(v, best, &ok) * sign > 0)
			best = v;
		if (!ok)
			return cel_no_overload(run);
	}
	return best;
}
FN(min)
{
	return extreme(run, args[0].list, -1, "min");
}
FN(max)
{
	return extreme(run, args[0].list, 1, "max");
}

FN(index_of)
{
	cel_charge(run, args[0].list->n);
	for (size_t i = 0; i < args[0].list->n; i++)
		if (cel_equal(at(run, args[0].list, i), args[1]))
			return cel_of_int((int64_t)i);
	return cel_of_int(-1);
}
FN(last_index_of)
{
	cel_charge(run, args[0].list->n);
	for (size_t i = args[0].list->n; i-- > 0;)
		if (cel_equal(at(run, args[0].list, i), args[1]))
			return cel_of_int((int64_t)i);
	return cel_of_int(-1);
}

static bool has(struct cel_run *run, const struct cel_list *l, struct cel_value v)
{
	cel_charge(run, l->n);
	for (size_t i = 0; i < l->n; i++)
		if (cel_equal(at(run, l, i), v))
			return true;
	return false;
}

static bool has_all(struct cel_run *run, const struct cel_list *l, const struct cel_list *part)
{
	for (size_t i = 0; i < part->n; i++) {
		if (run->cost_limit && run->cost > run->cost_limit)
			return false;
		if (!has(run, l, at(run, part, i)))
			return false;
	}
	return true;
}

FN(set_contains)
{
	return cel_of_bool(has_all(run, args[0].list, args[1].list));
}
FN(set_equivalent)
{
	return cel_of_bool(has_all(run, args[0].list, args[1].list) &&
	                   has_all(run, args[1].list, args[0].list));
}
FN(set_intersects)
{
	for (size_t i = 0; i < args[1].list->n; i++) {
		if (run->cost_limit && run->cost > run->cost_limit)
			break;
		if (has(run, args[0].list, at(run, args[1].list, i)))
			return cel_of_bool(true);
	}
	return cel_of_bool(false);
}

static const struct cel_overload LISTS[] = {
    {"isSorted", true, "list<A>:bool", is_sorted},
    {"sum", true, "list<A>:A", sum},
    {"min", true, "list<A>:A", min},
    {"max", true, "list<A>:A", max},
    {"indexOf", true, "list<A>,A:int", index_of},
    {"lastIndexOf", true, "list<A>,A:int", last_index_of},
};
const struct cel_library cel_lib_lists = {LISTS, ARRAY_LEN(LISTS)};

static const struct cel_overload SETS[] = {
    {"sets.contains", false, "list<A>,list<A>:bool", set_contains},
    {"sets.equivalent", false, "list<A>,list<A>:bool", set_equivalent},
    {"sets.intersects", false, "list<A>,list<A>:bool", set_intersects},
};
const struct cel_library cel_lib_sets = {SETS, ARRAY_LEN(SETS)};
