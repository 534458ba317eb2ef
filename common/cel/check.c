/* SPDX-License-Identifier: Apache-2.0 */
/* Types of all parts of an expression (cel-spec langdef.md, "Gradual Type Checking"): names are
 * declared, calls have an overload, lists and maps are of one type. What is dynamic is left to
 * evaluation. */
#include "common/cel/internal.h"

enum { CANDIDATES_MAX = 32 };

struct variables {
	const char *name;
	const struct cel_type *type;
	const struct variables *up;
};

struct checker {
	struct cel_source *src;
	const struct variables *scope;
};

/* What an overload's parameters A and B stand for. */
struct bindings {
	const struct cel_type *a, *b;
};

static const struct cel_type *check(struct checker *c, struct cel_node *n);

static const struct cel_type **bound(struct bindings *b, const struct cel_type *param)
{
	return param->name[0] == 'A' ? &b->a : &b->b;
}

/* Whether a value of type `have` may stand where `want` is; binds parameters. */
static bool fits(const struct cel_type *want, const struct cel_type *have, struct bindings *b)
{
	if (want->kind == CEL_PARAM) {
		const struct cel_type **at = bound(b, want);
		if (*at && (*at)->kind != CEL_DYN)
			return fits(*at, have, b);
		*at = have;
		return true;
	}
	if (want->kind == CEL_DYN || have->kind == CEL_DYN)
		return true;
	if (have->kind == CEL_NULL)
		return want->kind == CEL_NULL || want->kind == CEL_OBJECT ||
		       want->kind == CEL_DURATION || want->kind == CEL_TIMESTAMP ||
		       want->kind == CEL_OPAQUE || want->kind == CEL_OPTIONAL;
	if (want->kind == CEL_MAP && have->kind == CEL_OBJECT)
		return false;
	if (want->kind != have->kind)
		return false;
	switch (want->kind) {
	case CEL_LIST:
	case CEL_OPTIONAL:
		return fits(want->of, have->of, b);
	case CEL_MAP:
		return fits(want->of, have->of, b) && fits(want->to, have->to, b);
	case CEL_OPAQUE:
	case CEL_OBJECT:
		return !strcmp(want->name, have->name);
	default:
		return true;
	}
}

static const struct cel_type *type_of(struct checker *c, enum cel_kind kind,
                                      const struct cel_type *of, const struct cel_type *to)
{
	struct cel_type *t = arena_new(c->src->arena, struct cel_type);
	*t = (struct cel_type){.kind = kind, .of = of, .to = to};
	return t;
}

/* With what the parameters stand for put in. */
static const struct cel_type *substitute(struct checker *c, const struct cel_type *t,
                                         struct bindings *b)
{
	switch (t->kind) {
	case CEL_PARAM:
		return *bound(b, t) ? *bound(b, t) : &cel_dyn;
	case CEL_LIST:
	case CEL_OPTIONAL:
	case CEL_TYPE:
		return type_of(c, t->kind, substitute(c, t->of, b), NULL);
	case CEL_MAP:
		return type_of(c, t->kind, substitute(c, t->of, b), substitute(c, t->to, b));
	default:
		return t;
	}
}

static bool same(const struct cel_type *x, const struct cel_type *y)
{
	struct bindings none = {0};
	return (x->kind == CEL_DYN) == (y->kind == CEL_DYN) && fits(x, y, &none) &&
	       fits(y, x, &none);
}

static const struct cel_type *variable(struct checker *c, const char *name)
{
	for (const struct variables *v = c->scope; v; v = v->up)
		if (!strcmp(v->name, name))
			return v->type;
	for (size_t i = 0; i < c->src->env->n_variables; i++)
		if (!strcmp(c->src->env->variables[i].name, name))
			return c->src->env->variables[i].type;
	return NULL;
}

static void undeclared(struct checker *c, uint32_t pos, const char *name)
{
	cel_report(c->src, pos, "undeclared reference to '%s' (in container '')", name);
}

/* A name that says a type becomes the type. */
static bool type_name(struct checker *c, struct cel_node *n, const char *name)
{
	const struct cel_type *t = cel_type_named(slice_str(name));

	if (!t)
		return false;
	n->kind = NODE_CONST;
	n->constant = (struct cel_value){.kind = CEL_TYPE, .type = t};
	n->type = type_of(c, CEL_TYPE, t, NULL);
	return true;
}

static const struct cel_type *check_ident(struct checker *c, struct cel_node *n)
{
	const struct cel_type *t = variable(c, n->name);

	if (!t && type_name(c, n, n->name))
		return n->type;
	if (!t)
		undeclared(c, n->pos, n->name);
	return t ? t : &cel_dyn;
}

/* --- selection -----------------------------------------------------------------------------------
 */

static const struct cel_node *root_of(const struct cel_node *n)
{
	while (n->kind == NODE_SELECT)
		n = n->select.operand;
	return n;
}

static const struct cel_type *field_type(struct checker *c, const struct cel_node *n,
                                         const struct cel_type *t)
{
	switch (t->kind) {
	case CEL_DYN:
		return &cel_dyn;
	case CEL_MAP:
		return t->to;
	case CEL_OBJECT:
		for (size_t i = 0; i < t->n_fields; i++)
			if (!strcmp(t->fields[i].name, n->select.field))
				return t->fields[i].type;
		cel_report(c->src, n->pos, "undefined field '%s'", n->select.field);
		return &cel_dyn;
	default:
		cel_report(c->src, n->pos, "type '%s' does not support field selection",
		           cel_type_text(t, c->src->arena));
		return &cel_dyn;
	}
}

static const struct cel_type *check_select(struct checker *c, struct cel_node *n)
{
	const struct cel_node *root = root_of(n);

	/* The longest name that is declared counts. */
	if (n->select.qualified && root->kind == NODE_IDENT && !n->select.test) {
		const struct cel_type *v = variable(c, n->select.qualified);
		if (v) {
			const char *name = n->select.qualified;
			n->kind = NODE_IDENT;
			n->name = name;
			return v;
		}
		if (!variable(c, root->name) && type_name(c, n, n->select.qualified))
			return n->type;
	}
	const struct cel_type *t = check(c, n->select.operand);
	bool optional = n->select.optional || t->kind == CEL_OPTIONAL;
	const struct cel_type *f = field_type(c, n, t->kind == CEL_OPTIONAL ? t->of : t);
	if (n->select.test)
		return &cel_bool;
	return optional && f->kind != CEL_OPTIONAL ? type_of(c, CEL_OPTIONAL, f, NULL) : f;
}

/* --- calls ---------------------------------------------------------------------------------------
 */

static const char *argument_types(struct checker *c, const struct cel_node *n, size_t from)
{
	const char *out = "(";

	for (size_t i = from; i < n->call.n; i++)
		out = arena_printf(c->src->arena, "%s%s%s", out, i > from ? ", " : "",
		                   cel_type_text(n->call.args[i]->type, c->src->arena));
	return arena_printf(c->src->arena, "%s)", out);
}

static bool is_function(const char *name, bool member)
{
	for (size_t l = 0; l < cel_n_libraries; l++)
		for (size_t i = 0; i < cel_libraries[l]->n; i++)
			if (!strcmp(cel_libraries[l]->overloads[i].function, name) &&
			    cel_libraries[l]->overloads[i].member == member)
				return true;
	return false;
}

/* A call through a name with dots ("optional.of", "math.greatest") has no receiver. */
static void resolve_namespace(struct checker *c, struct cel_node *n)
{
	struct cel_node *target = n->call.args[0];
	const struct cel_node *root = root_of(target);
	const char *left = target->kind == NODE_IDENT    ? target->name
	                   : target->kind == NODE_SELECT ? target->select.qualified
	                                                 : NULL;

	if (!n->call.member || !left || root->kind != NODE_IDENT || variable(c, root->name))
		return;
	const char *name = arena_printf(c->src->arena, "%s.%s", left, n->call.function);
	if (is_function(name, false)) {
		n->call.function = name;
		n->call.member = false;
		n->call.args++;
		n->call.n--;
	}
}

static const struct cel_type *check_call(struct checker *c, struct cel_node *n)
{
	struct cel_candidate found[CANDIDATES_MAX];
	const struct cel_type *result = NULL;
	size_t n_found = 0;

	if (n->call.n)
		resolve_namespace(c, n);
	for (size_t i = 0; i < n->call.n; i++)
		check(c, n->call.args[i]);
	if (!is_function(n->call.function, n->call.member)) {
		undeclared(c, n->pos, n->call.function);
		return &cel_dyn;
	}
	for (size_t l = 0; l < cel_n_libraries; l++) {
		for (size_t i = 0; i < cel_libraries[l]->n; i++) {
			const struct cel_overload *o = &cel_libraries[l]->overloads[i];
			struct cel_candidate cand = {.fn = o->fn};
			const struct cel_type *type;
			struct bindings b = {0};

			if (o->member != n->call.member || strcmp(o->function, n->call.function))
				continue;
			size_t n_args =
			    cel_signature(o->signature, c->src->arena, cand.args, &type);
			bool good = n_args == n->call.n && n_found < CANDIDATES_MAX;
			for (size_t k = 0; k < n_args && good; k++)
				good = fits(cand.args[k], n->call.args[k]->type, &b);
			if (!good)
				continue;
			found[n_found++] = cand;
			type = substitute(c, type, &b);
			result = !result || same(result, type) ? type : &cel_dyn;
		}
	}
	if (!n_found) {
		size_t from = n->call.member;
		const char *receiver =
		    from ? arena_printf(c->src->arena, "%s.",
		                        cel_type_text(n->call.args[0]->type, c->src->arena))
		         : "";
		cel_report(c->src, n->pos, "found no matching overload for '%s' applied to '%s%s'",
		           n->call.function, receiver, argument_types(c, n, from));
		return &cel_dyn;
	}
	n->call.candidates = arena_memdup(c->src->arena, found, n_found * sizeof(*found));
	n->call.n_candidates = n_found;
	return result;
}

/* --- lists, maps and macros ----------------------------------------------------------------------
 */

/* The common type of what is in a list or map; `type` NULL: of the first one. */
static const struct cel_type *join(struct checker *c, const struct cel_type *type,
                                   const struct cel_node *n, bool optional)
{
	const struct cel_type *t = n->type;
	struct bindings none = {0};

	if (optional && t->kind == CEL_OPTIONAL) {
		t = t->of;
	} else if (optional && t->kind != CEL_DYN) {
		cel_report(c->src, n->pos, "expected type 'optional_type(%s)' but found '%s'",
		           cel_type_text(type ? type : t, c->src->arena),
		           cel_type_text(t, c->src->arena));
	}
	if (!type)
		return t;
	if (fits(type, t, &none))
		return type->kind == CEL_DYN || t->kind == CEL_DYN ? &cel_dyn : type;
	cel_report(c->src, n->pos, "expected type '%s' but found '%s'",
	           cel_type_text(type, c->src->arena), cel_type_text(t, c->src->arena));
	return type;
}

static const struct cel_type *check_list(struct checker *c, struct cel_node *n)
{
	const struct cel_type *of = NULL;

	for (size_t i = 0; i < n->list.n; i++) {
		check(c, n->list.items[i]);
		of = join(c, of, n->list.items[i], n->list.optional[i]);
	}
	return type_of(c, CEL_LIST, of ? of : &cel_dyn, NULL);
}

static const struct cel_type *check_map(struct checker *c, struct cel_node *n)
{
	const struct cel_type *key = NULL, *value = NULL;

	for (size_t i = 0; i < 2 * n->list.n; i += 2) {
		check(c, n->list.items[i]);
		check(c, n->list.items[i + 1]);
		key = join(c, key, n->list.items[i], false);
		value = join(c, value, n->list.items[i + 1], n->list.optional[i]);
	}
	return type_of(c, CEL_MAP, key ? key : &cel_dyn, value ? value : &cel_dyn);
}

static void want_bool(struct checker *c, const struct cel_node *n)
{
	if (n->type->kind != CEL_BOOL && n->type->kind != CEL_DYN)
		cel_report(c->src, n->pos, "expected type 'bool' but found '%s'",
		           cel_type_text(n->type, c->src->arena));
}

static const struct cel_type *check_fold(struct checker *c, struct cel_node *n)
{
	const struct cel_type *range = check(c, n->fold.range), *first, *second;

	switch (range->kind) {
	case CEL_LIST:
		first = n->fold.var2 ? &cel_int : range->of;
		second = range->of;
		break;
	case CEL_MAP:
		first = range->of;
		second = range->to;
		break;
	case CEL_DYN:
		first = second = &cel_dyn;
		break;
	default:
		cel_report(c->src, n->fold.range->pos,
		           "expression of type '%s' cannot be range of a comprehension (must be "
		           "list, map, or dynamic)",
		           cel_type_text(range, c->src->arena));
		first = second = &cel_dyn;
	}
	const struct variables one = {n->fold.var, first, c->scope};
	const struct variables two = {n->fold.var2, second, &one};
	const struct variables *outer = c->scope;

	c->scope = n->fold.var2 ? &two : &one;
	if (n->fold.filter) {
		check(c, n->fold.filter);
		want_bool(c, n->fold.filter);
	}
	const struct cel_type *body = check(c, n->fold.body);
	c->scope = outer;
	switch (n->fold.fold) {
	case FOLD_MAP:
	case FOLD_MAP_LIST:
		return type_of(c, CEL_LIST, body, NULL);
	case FOLD_MAP_ENTRY:
		return type_of(c, CEL_MAP, first, body);
	case FOLD_FILTER:
		want_bool(c, n->fold.body);
		return range->kind == CEL_MAP ? type_of(c, CEL_LIST, first, NULL) : range;
	default:
		want_bool(c, n->fold.body);
		return &cel_bool;
	}
}

static const struct cel_type *check_node(struct checker *c, struct cel_node *n)
{
	switch (n->kind) {
	case NODE_CONST:
		return cel_type_of(n->constant);
	case NODE_IDENT:
		return check_ident(c, n);
	case NODE_SELECT:
		return check_select(c, n);
	case NODE_CALL:
		return check_call(c, n);
	case NODE_LIST:
		return check_list(c, n);
	case NODE_MAP:
		return check_map(c, n);
	case NODE_FOLD:
		return check_fold(c, n);
	case NODE_STRUCT:
		break;
	}
	undeclared(c, n->pos, n->name);
	return &cel_dyn;
}

static const struct cel_type *check(struct checker *c, struct cel_node *n)
{
	return n->type = check_node(c, n);
}

void cel_check(struct cel_source *src, struct cel_node *root)
{
	struct checker c = {.src = src};

	check(&c, root);
}

int cel_compile(const struct cel_env *env, const char *text, struct arena *a,
                const struct cel_program **ret, const char **ret_text)
{
	struct cel_source src = {.text = text, .arena = a, .env = env};
	struct cel_node *root = cel_parse(&src);

	if (root)
		cel_check(&src, root);
	if (src.n_problems) {
		*ret_text = cel_problems_text(&src);
		return -ERR_INVALID;
	}
	struct cel_program *p = arena_new(a, struct cel_program);
	p->root = root;
	*ret = p;
	return 0;
}

const struct cel_type *cel_program_type(const struct cel_program *p)
{
	return p->root->type;
}

static bool uses(const struct cel_node *n, const char *name)
{
	if (!n)
		return false;
	switch (n->kind) {
	case NODE_IDENT:
		return !strcmp(n->name, name);
	case NODE_SELECT:
		return uses(n->select.operand, name);
	case NODE_CALL:
		for (size_t i = 0; i < n->call.n; i++)
			if (uses(n->call.args[i], name))
				return true;
		return false;
	case NODE_LIST:
	case NODE_MAP:
		for (size_t i = 0; i < n->list.n * (n->kind == NODE_MAP ? 2 : 1); i++)
			if (uses(n->list.items[i], name))
				return true;
		return false;
	case NODE_FOLD:
		return uses(n->fold.range, name) || uses(n->fold.filter, name) ||
		       uses(n->fold.body, name);
	default:
		return false;
	}
}

bool cel_program_uses(const struct cel_program *p, const char *variable)
{
	return uses(p->root, variable);
}
