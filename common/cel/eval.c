/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation: a walk over the checked tree. Errors are values; what && and || do not need does not
 * count (cel-spec langdef.md, "Evaluation"). Costs are upstream's: one a name, selection and call,
 * ten a list, thirty a map, a tenth a byte of text that a function looks at. */
#include "common/cel/internal.h"

enum { COST_LIST = 10, COST_MAP = 30, COST_TURN = 2, BYTES_PER_COST = 10 };

/* Variables of macros, innermost first. */
struct cel_scope {
	const char *name;
	struct cel_value value;
	struct cel_scope *up;
};

static struct cel_value eval(struct cel_run *run, const struct cel_node *n);

static bool spent(const struct cel_run *run)
{
	return run->cost_limit && run->cost > run->cost_limit;
}

static struct cel_value over_limit(struct cel_run *run)
{
	return cel_error(run->arena, "operation cancelled: actual cost limit exceeded");
}

void cel_charge(struct cel_run *run, uint64_t cost)
{
	if (__builtin_add_overflow(run->cost, cost, &run->cost))
		run->cost = UINT64_MAX;
}

void cel_charge_text(struct cel_run *run, size_t bytes)
{
	cel_charge(run, (bytes + BYTES_PER_COST - 1) / BYTES_PER_COST);
}

struct cel_value cel_no_overload(struct cel_run *run)
{
	return cel_error(run->arena, "no such overload");
}

static struct cel_value variable(struct cel_run *run, const char *name)
{
	struct cel_value v;

	cel_charge(run, 1);
	for (const struct cel_scope *s = run->scope; s; s = s->up)
		if (s->name == name || !strcmp(s->name, name))
			return s->value;
	if (run->find && run->find(run->arg, name, &v))
		return v;
	return cel_error(run->arena, "no such attribute(s): %s", name);
}

/* --- selection -----------------------------------------------------------------------------------
 */

static struct cel_value optional_of(struct cel_run *run, const struct cel_value *v)
{
	return (struct cel_value){.kind = CEL_OPTIONAL,
	                          .optional = v ? arena_memdup(run->arena, v, sizeof(*v)) : NULL};
}

static struct cel_value selection(struct cel_run *run, const struct cel_node *n)
{
	struct cel_value of = eval(run, n->select.operand), v;
	bool optional = n->select.optional;

	cel_charge(run, 1);
	if (of.kind == CEL_ERROR)
		return of;
	if (of.kind == CEL_OPTIONAL) {
		if (!of.optional)
			return n->select.test ? cel_of_bool(false) : of;
		of = *of.optional;
		optional = true;
	}
	bool found =
	    of.kind == CEL_MAP && cel_map_find(of.map, cel_of_str(n->select.field), run->arena, &v);
	if (found && v.kind == CEL_ERROR)
		return v;
	if (n->select.test)
		return of.kind == CEL_MAP ? cel_of_bool(found) : cel_no_overload(run);
	if (found)
		return optional ? optional_of(run, &v) : v;
	if (optional && (of.kind == CEL_MAP || of.kind == CEL_NULL))
		return optional_of(run, NULL);
	return of.kind == CEL_MAP ? cel_error(run->arena, "no such key: %s", n->select.field)
	                          : cel_no_overload(run);
}

/* --- calls ---------------------------------------------------------------------------------------
 */

static bool admits(const struct cel_type *t, struct cel_value v)
{
	switch (t->kind) {
	case CEL_DYN:
	case CEL_PARAM:
		return true;
	case CEL_OPAQUE:
		return v.kind == CEL_OPAQUE && !strcmp(v.opaque->class->name, t->name);
	case CEL_OBJECT:
		return v.kind == CEL_MAP;
	default:
		return v.kind == (uint8_t)t->kind;
	}
}

/* && and ||: `ends` is the value that decides alone. */
static struct cel_value logic(struct cel_run *run, const struct cel_node *n, bool ends)
{
	struct cel_value left = eval(run, n->call.args[0]);

	cel_charge(run, 1);
	if (spent(run))
		return over_limit(run);
	if (left.kind == CEL_BOOL && left.b == ends)
		return left;
	struct cel_value right = eval(run, n->call.args[1]);
	if (right.kind == CEL_BOOL && right.b == ends)
		return right;
	if (left.kind == CEL_BOOL && right.kind == CEL_BOOL)
		return right;
	if (left.kind == CEL_ERROR)
		return left;
	return right.kind == CEL_ERROR ? right : cel_no_overload(run);
}

static struct cel_value call(struct cel_run *run, const struct cel_node *n)
{
	struct cel_value args[CEL_ARGS_MAX];
	const char *name = n->call.function;

	if (name[0] == '_' && name[1] == '&')
		return logic(run, n, false);
	if (name[0] == '_' && name[1] == '|')
		return logic(run, n, true);
	if (name[0] == '_' && name[1] == '?') {
		struct cel_value c = eval(run, n->call.args[0]);
		cel_charge(run, 1);
		if (c.kind != CEL_BOOL)
			return c.kind == CEL_ERROR ? c : cel_no_overload(run);
		return eval(run, n->call.args[c.b ? 1 : 2]);
	}
	for (size_t i = 0; i < n->call.n; i++) {
		args[i] = eval(run, n->call.args[i]);
		if (args[i].kind == CEL_ERROR)
			return args[i];
	}
	cel_charge(run, 1);
	if (spent(run))
		return over_limit(run);
	for (size_t k = 0; k < n->call.n_candidates; k++) {
		const struct cel_candidate *cand = &n->call.candidates[k];
		size_t i = 0;

		while (i < n->call.n && admits(cand->args[i], args[i]))
			i++;
		if (i == n->call.n)
			return cand->fn(run, args, n->call.n);
	}
	return cel_no_overload(run);
}

/* --- lists, maps and macros ----------------------------------------------------------------------
 */

/* An element that may be left out; false: it is. */
static bool given(struct cel_run *run, bool optional, struct cel_value *v)
{
	if (!optional || v->kind == CEL_ERROR)
		return true;
	if (v->kind != CEL_OPTIONAL)
		*v = cel_no_overload(run);
	else if (v->optional)
		*v = *v->optional;
	else
		return false;
	return true;
}

static struct cel_value list(struct cel_run *run, const struct cel_node *n)
{
	struct cel_value *items = arena_array(run->arena, struct cel_value, n->list.n);
	size_t k = 0;

	cel_charge(run, COST_LIST);
	for (size_t i = 0; i < n->list.n; i++) {
		struct cel_value v = eval(run, n->list.items[i]);
		if (!given(run, n->list.optional[i], &v))
			continue;
		if (v.kind == CEL_ERROR)
			return v;
		items[k++] = v;
	}
	return cel_list_of(run->arena, items, k);
}

static struct cel_value map(struct cel_run *run, const struct cel_node *n)
{
	struct cel_entry *entries = arena_array(run->arena, struct cel_entry, n->list.n);
	size_t k = 0;

	cel_charge(run, COST_MAP);
	for (size_t i = 0; i < 2 * n->list.n; i += 2) {
		struct cel_value key = eval(run, n->list.items[i]),
		                 v = eval(run, n->list.items[i + 1]);

		if (key.kind == CEL_ERROR)
			return key;
		if (!given(run, n->list.optional[i], &v))
			continue;
		if (v.kind == CEL_ERROR)
			return v;
		if (key.kind != CEL_STRING && key.kind != CEL_INT && key.kind != CEL_UINT &&
		    key.kind != CEL_BOOL)
			return cel_error(run->arena, "unsupported key type");
		for (size_t j = 0; j < k; j++)
			if (cel_equal(entries[j].key, key))
				return cel_error(run->arena, "Failed with repeated key");
		entries[k++] = (struct cel_entry){key, v};
	}
	return cel_map_of(run->arena, entries, k);
}

/* What a macro has come to. */
struct fold {
	const struct cel_node *n;
	struct cel_value error; /* of all and exists: kept until something decides */
	size_t hits;
	struct cel_value *items;
	struct cel_entry *entries;
	size_t n_items;
	bool over;
	struct cel_value result;
};

static void end(struct fold *f, struct cel_value result)
{
	f->over = true;
	f->result = result;
}

static void turn(struct cel_run *run, struct fold *f, struct cel_value key, struct cel_value item)
{
	const struct cel_node *n = f->n;
	struct cel_value v;

	if (n->fold.filter) {
		v = eval(run, n->fold.filter);
		if (v.kind != CEL_BOOL)
			return end(f, v.kind == CEL_ERROR ? v : cel_no_overload(run));
		if (!v.b)
			return;
	}
	v = eval(run, n->fold.body);
	if (n->fold.fold == FOLD_MAP || n->fold.fold == FOLD_MAP_LIST ||
	    n->fold.fold == FOLD_MAP_ENTRY) {
		if (v.kind == CEL_ERROR)
			return end(f, v);
		if (n->fold.fold == FOLD_MAP_ENTRY)
			f->entries[f->n_items++] = (struct cel_entry){key, v};
		else
			f->items[f->n_items++] = v;
		return;
	}
	if (v.kind != CEL_BOOL && v.kind != CEL_ERROR)
		v = cel_no_overload(run);
	switch (n->fold.fold) {
	case FOLD_ALL:
	case FOLD_EXISTS:
		if (v.kind == CEL_ERROR)
			f->error = v;
		else if (v.b == (n->fold.fold == FOLD_EXISTS))
			end(f, v);
		break;
	case FOLD_EXISTS_ONE:
		if (v.kind == CEL_ERROR)
			end(f, v);
		else
			f->hits += v.b;
		break;
	default: /* FOLD_FILTER */
		if (v.kind == CEL_ERROR)
			end(f, v);
		else if (v.b)
			f->items[f->n_items++] = item;
	}
}

static struct cel_value fold_end(struct cel_run *run, const struct fold *f)
{
	switch (f->n->fold.fold) {
	case FOLD_ALL:
	case FOLD_EXISTS:
		return f->error.kind == CEL_ERROR ? f->error
		                                  : cel_of_bool(f->n->fold.fold == FOLD_ALL);
	case FOLD_EXISTS_ONE:
		return cel_of_bool(f->hits == 1);
	case FOLD_MAP_ENTRY:
		return cel_map_of(run->arena, f->entries, f->n_items);
	default:
		return cel_list_of(run->arena, f->items, f->n_items);
	}
}

static struct cel_value fold(struct cel_run *run, const struct cel_node *n)
{
	struct cel_value range = eval(run, n->fold.range);
	struct fold f = {.n = n};
	const struct cel_entry *entries = NULL;
	size_t count = 0;

	if (range.kind == CEL_ERROR)
		return range;
	if (range.kind == CEL_LIST)
		count = range.list->n;
	else if (range.kind == CEL_MAP)
		entries = cel_map_entries(range.map, run->arena, &count);
	else
		return cel_no_overload(run);
	if (n->fold.fold == FOLD_MAP_ENTRY)
		f.entries = arena_array(run->arena, struct cel_entry, count);
	else if (n->fold.fold >= FOLD_MAP)
		f.items = arena_array(run->arena, struct cel_value, count);

	struct cel_scope one = {.name = n->fold.var, .up = run->scope},
	                 two = {.name = n->fold.var2, .up = &one};
	struct cel_scope *outer = run->scope;
	run->scope = n->fold.var2 ? &two : &one;
	for (size_t i = 0; i < count && !f.over; i++) {
		struct cel_value key = entries ? entries[i].key : cel_of_int((int64_t)i);
		struct cel_value item =
		    entries ? entries[i].value : cel_list_at(range.list, i, run->arena);

		/* One variable over a map is its keys. */
		one.value = n->fold.var2 || entries ? key : item;
		two.value = item;
		cel_charge(run, COST_TURN);
		if (spent(run))
			end(&f, over_limit(run));
		else
			turn(run, &f, key, n->fold.var2 ? item : one.value);
	}
	run->scope = outer;
	return f.over ? f.result : fold_end(run, &f);
}

static struct cel_value eval(struct cel_run *run, const struct cel_node *n)
{
	switch (n->kind) {
	case NODE_CONST:
		return n->constant;
	case NODE_IDENT:
		return variable(run, n->name);
	case NODE_SELECT:
		return selection(run, n);
	case NODE_CALL:
		return call(run, n);
	case NODE_LIST:
		return list(run, n);
	case NODE_MAP:
		return map(run, n);
	case NODE_FOLD:
		return fold(run, n);
	case NODE_STRUCT:
		break;
	}
	return cel_no_overload(run);
}

struct cel_value cel_eval(const struct cel_program *p, struct cel_run *run)
{
	struct cel_value v = eval(run, p->root);

	return spent(run) ? over_limit(run) : v;
}
