/* SPDX-License-Identifier: Apache-2.0 */
/* From words to a tree, by recursive descent (cel-spec langdef.md, the grammar); macros become
 * nodes of their own. */
#include "common/cel/internal.h"

struct parser {
	struct cel_source *src;
	struct cel_lexer lexer;
	struct cel_token token; /* the next one */
	unsigned depth;
	bool failed;
	bool negative; /* a minus stands before the number that is next */
};

/* Names of types have few parts. */
enum { QUALIFIED_MAX = 8 };

static struct cel_node *expression(struct parser *p);

static struct cel_node *node_new(struct parser *p, enum cel_node_kind kind, uint32_t pos)
{
	struct cel_node *n = arena_new(p->src->arena, struct cel_node);
	n->kind = kind;
	n->pos = pos;
	n->type = &cel_dyn;
	return n;
}

static void advance(struct parser *p)
{
	p->token = cel_lex(&p->lexer);
	if (p->token.kind == TOKEN_BAD)
		p->failed = true;
}

static bool is(const struct parser *p, const char *punct)
{
	return p->token.kind == TOKEN_PUNCT && slice_eq_str(p->token.text, punct);
}

static bool accept(struct parser *p, const char *punct)
{
	if (!is(p, punct))
		return false;
	advance(p);
	return true;
}

static void *unexpected(struct parser *p, const char *expected)
{
	if (!p->failed)
		cel_report(p->src, p->token.pos,
		           "Syntax error: mismatched input '%.*s' expecting %s",
		           SLICE_FMT(p->token.text), expected);
	p->failed = true;
	return NULL;
}

static bool expect(struct parser *p, const char *punct)
{
	if (accept(p, punct))
		return true;
	unexpected(p, arena_printf(p->src->arena, "'%s'", punct));
	return false;
}

static const char *text_of(struct parser *p, struct slice s)
{
	return arena_strndup(p->src->arena, s.data, s.len);
}

/* `child` hangs under `n`: nobody that walks the tree may run out of stack. */
static void hang(struct parser *p, struct cel_node *n, const struct cel_node *child)
{
	if (child && child->depth >= n->depth)
		n->depth = child->depth + 1;
	if (n->depth > CEL_TREE_MAX && !p->failed) {
		cel_report(p->src, n->pos, "expression recursion limit exceeded: %d", CEL_TREE_MAX);
		p->failed = true;
	}
}

static struct cel_node *call_new(struct parser *p, const char *function, uint32_t pos,
                                 struct cel_node *const *args, size_t n, bool member)
{
	struct cel_node *c = node_new(p, NODE_CALL, pos);
	c->call.function = function;
	c->call.args = arena_memdup(p->src->arena, args, n * sizeof(*args));
	c->call.n = n;
	c->call.member = member;
	for (size_t i = 0; i < n; i++)
		hang(p, c, args[i]);
	return c;
}

/* --- lists of expressions ------------------------------------------------------------------------
 */

struct items {
	struct cel_node **at;
	bool *optional;
	size_t n, cap;
};

static void items_add(struct parser *p, struct items *it, struct cel_node *n, bool optional)
{
	if (it->n == it->cap) {
		size_t cap = it->cap ? 2 * it->cap : 8;
		it->at = arena_grow(p->src->arena, it->at, it->cap * sizeof(*it->at),
		                    cap * sizeof(*it->at));
		it->optional = arena_grow(p->src->arena, it->optional, it->cap, cap);
		it->cap = cap;
	}
	it->at[it->n] = n;
	it->optional[it->n++] = optional;
}

/* Up to `close`, which is consumed; with `keys`, pairs joined by ":". */
static bool items_until(struct parser *p, const char *close, bool keys, bool may_be_optional,
                        struct items *ret)
{
	while (!is(p, close)) {
		bool optional = may_be_optional && accept(p, "?");
		struct cel_node *n = expression(p);

		if (!n)
			return false;
		items_add(p, ret, n, optional);
		if (keys) {
			if (!expect(p, ":") || !(n = expression(p)))
				return false;
			items_add(p, ret, n, optional);
		}
		if (!accept(p, ","))
			break;
	}
	return expect(p, close);
}

/* --- macros --------------------------------------------------------------------------------------
 */

static const char *variable_of(struct parser *p, const struct cel_node *n)
{
	if (n->kind == NODE_IDENT)
		return n->name;
	cel_report(p->src, n->pos, "argument must be a simple name");
	p->failed = true;
	return "_";
}

static struct cel_node *fold_new(struct parser *p, enum cel_fold fold, uint32_t pos,
                                 struct cel_node *range, const char *var, const char *var2,
                                 struct cel_node *filter, struct cel_node *body)
{
	struct cel_node *n = node_new(p, NODE_FOLD, pos);

	if (var2 && !strcmp(var, var2)) {
		cel_report(p->src, pos, "overlapping iteration variable names: %s", var);
		p->failed = true;
	}
	n->fold.fold = fold;
	n->fold.range = range;
	n->fold.var = var;
	n->fold.var2 = var2;
	n->fold.filter = filter;
	n->fold.body = body;
	hang(p, n, range);
	hang(p, n, filter);
	hang(p, n, body);
	return n;
}

/* A macro with a receiver; NULL: a plain call. */
static struct cel_node *member_macro(struct parser *p, uint32_t pos, struct cel_node *target,
                                     const char *name, const struct items *it)
{
	static const struct {
		const char *name;
		size_t n; /* arguments */
		enum cel_fold fold;
		bool two; /* variables */
	} MACROS[] = {
	    {"all", 2, FOLD_ALL, false},
	    {"exists", 2, FOLD_EXISTS, false},
	    {"exists_one", 2, FOLD_EXISTS_ONE, false},
	    {"existsOne", 2, FOLD_EXISTS_ONE, false},
	    {"map", 2, FOLD_MAP, false},
	    {"map", 3, FOLD_MAP, false},
	    {"filter", 2, FOLD_FILTER, false},
	    {"all", 3, FOLD_ALL, true},
	    {"exists", 3, FOLD_EXISTS, true},
	    {"existsOne", 3, FOLD_EXISTS_ONE, true},
	    {"exists_one", 3, FOLD_EXISTS_ONE, true},
	    {"transformList", 3, FOLD_MAP_LIST, true},
	    {"transformList", 4, FOLD_MAP_LIST, true},
	    {"transformMap", 3, FOLD_MAP_ENTRY, true},
	    {"transformMap", 4, FOLD_MAP_ENTRY, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(MACROS); i++) {
		if (strcmp(MACROS[i].name, name) || MACROS[i].n != it->n)
			continue;
		size_t vars = MACROS[i].two ? 2 : 1;
		const char *var = variable_of(p, it->at[0]);
		const char *var2 = MACROS[i].two ? variable_of(p, it->at[1]) : NULL;
		return fold_new(p, MACROS[i].fold, pos, target, var, var2,
		                it->n == vars + 2 ? it->at[vars] : NULL, it->at[it->n - 1]);
	}
	/* optMap and optFlatMap: f over the content, if there is any. */
	if ((!strcmp(name, "optMap") || !strcmp(name, "optFlatMap")) && it->n == 2) {
		struct cel_node *range = call_new(p, "@optional_list", pos, &target, 1, false);
		struct cel_node *list = fold_new(p, FOLD_MAP, pos, range, variable_of(p, it->at[0]),
		                                 NULL, NULL, it->at[1]);
		return call_new(p, !strcmp(name, "optMap") ? "@optional_first" : "@optional_flat",
		                pos, &list, 1, false);
	}
	return NULL;
}

static struct cel_node *global_call(struct parser *p, uint32_t pos, const char *name,
                                    const struct items *it)
{
	if (!strcmp(name, "has") && it->n == 1) {
		struct cel_node *n = it->at[0];
		if (n->kind != NODE_SELECT || n->select.test) {
			cel_report(p->src, n->pos, "invalid argument to has() macro");
			p->failed = true;
			return n;
		}
		n->select.test = true;
		return n;
	}
	return call_new(p, name, pos, it->at, it->n, false);
}

/* --- the grammar ---------------------------------------------------------------------------------
 */

/* "Name{...}" behind a name: no type that could be made so is declared. */
static struct cel_node *struct_literal(struct parser *p, struct cel_node *name, const char *type)
{
	struct items it = {0};
	struct cel_node *n = node_new(p, NODE_STRUCT, name->pos);

	advance(p);
	while (!is(p, "}")) {
		accept(p, "?");
		if (p->token.kind != TOKEN_IDENT)
			return unexpected(p, "IDENTIFIER");
		advance(p);
		struct cel_node *value = expect(p, ":") ? expression(p) : NULL;
		if (!value)
			return NULL;
		items_add(p, &it, value, false);
		if (!accept(p, ","))
			break;
	}
	n->name = type;
	return expect(p, "}") ? n : NULL;
}

/* "a.b.c" of nested selections, or NULL. */
static const char *qualified_name(struct parser *p, const struct cel_node *n)
{
	if (n->depth > QUALIFIED_MAX)
		return NULL;
	if (n->kind == NODE_IDENT)
		return n->name;
	if (n->kind != NODE_SELECT || n->select.test || n->select.optional)
		return NULL;
	const char *left = qualified_name(p, n->select.operand);
	return left ? arena_printf(p->src->arena, "%s.%s", left, n->select.field) : NULL;
}

static struct cel_node *aggregate(struct parser *p, struct cel_node *n, const struct items *it,
                                  size_t each)
{
	n->list.items = it->at;
	n->list.optional = it->optional;
	n->list.n = it->n / each;
	for (size_t i = 0; i < it->n; i++)
		hang(p, n, it->at[i]);
	return n;
}

static struct cel_node *literal(struct parser *p)
{
	struct cel_node *n = node_new(p, NODE_CONST, p->token.pos);
	bool negative = p->negative;

	n->constant = p->token.value;
	p->negative = false;
	if (n->constant.kind == CEL_INT && !negative && n->constant.u > INT64_MAX) {
		cel_report(p->src, n->pos, "Syntax error: invalid int literal");
		p->failed = true;
		return NULL;
	}
	if (negative && n->constant.kind == CEL_INT)
		n->constant.u = -n->constant.u;
	else if (negative)
		n->constant.d = -n->constant.d;
	advance(p);
	return n;
}

static struct cel_node *primary(struct parser *p)
{
	static const char *const RESERVED[] = {
	    "as",  "break", "const",   "continue",  "else",   "for", "function", "if",   "import",
	    "let", "loop",  "package", "namespace", "return", "var", "void",     "while"};
	uint32_t pos = p->token.pos;
	struct items it = {0};
	struct cel_node *n;

	switch (p->token.kind) {
	case TOKEN_INT:
	case TOKEN_UINT:
	case TOKEN_DOUBLE:
	case TOKEN_STRING:
	case TOKEN_BYTES:
		return literal(p);
	case TOKEN_IDENT:
		break;
	default:
		if (accept(p, "("))
			return (n = expression(p)) && expect(p, ")") ? n : NULL;
		if (accept(p, "[")) {
			n = node_new(p, NODE_LIST, pos);
			return items_until(p, "]", false, true, &it) ? aggregate(p, n, &it, 1)
			                                             : NULL;
		}
		if (accept(p, "{")) {
			n = node_new(p, NODE_MAP, pos);
			return items_until(p, "}", true, true, &it) ? aggregate(p, n, &it, 2)
			                                            : NULL;
		}
		if (accept(p, ".")) {
			if (p->token.kind != TOKEN_IDENT)
				return unexpected(p, "IDENTIFIER");
			break;
		}
		return unexpected(
		    p,
		    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, "
		    "NUM_UINT, STRING, BYTES, IDENTIFIER}");
	}
	struct slice word = p->token.text;
	if (p->token.quoted)
		return unexpected(p, "IDENTIFIER");
	if (slice_eq_str(word, "true") || slice_eq_str(word, "false") ||
	    slice_eq_str(word, "null")) {
		n = node_new(p, NODE_CONST, pos);
		n->constant = slice_eq_str(word, "null") ? (struct cel_value){.kind = CEL_NULL}
		                                         : cel_of_bool(slice_eq_str(word, "true"));
		advance(p);
		return n;
	}
	if (slice_eq_str(word, "in"))
		return unexpected(p, "IDENTIFIER");
	for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++) {
		if (slice_eq_str(word, RESERVED[i])) {
			cel_report(p->src, pos, "reserved identifier: %s", RESERVED[i]);
			p->failed = true;
			return NULL;
		}
	}
	const char *name = text_of(p, word);
	advance(p);
	uint32_t open = p->token.pos;
	if (accept(p, "("))
		return items_until(p, ")", false, false, &it) ? global_call(p, open, name, &it)
		                                              : NULL;
	n = node_new(p, NODE_IDENT, pos);
	n->name = name;
	return is(p, "{") ? struct_literal(p, n, name) : n;
}

static struct cel_node *member(struct parser *p)
{
	struct cel_node *n = primary(p);

	while (n && !p->failed) {
		uint32_t pos = p->token.pos;
		struct items it = {0};

		if (accept(p, ".")) {
			bool optional = accept(p, "?");
			if (p->token.kind != TOKEN_IDENT)
				return unexpected(p, "IDENTIFIER");
			const char *name = text_of(p, p->token.text);
			bool quoted = p->token.quoted;
			advance(p);
			uint32_t open = p->token.pos;
			if (!optional && !quoted && accept(p, "(")) {
				if (!items_until(p, ")", false, false, &it))
					return NULL;
				struct cel_node *macro = member_macro(p, open, n, name, &it);
				struct items all = {0};
				items_add(p, &all, n, false);
				for (size_t i = 0; i < it.n; i++)
					items_add(p, &all, it.at[i], false);
				n = macro ? macro : call_new(p, name, open, all.at, all.n, true);
				continue;
			}
			struct cel_node *s = node_new(p, NODE_SELECT, pos);
			s->select.operand = n;
			s->select.field = name;
			s->select.optional = optional;
			hang(p, s, n);
			s->select.qualified = qualified_name(p, s);
			n = s;
			if (is(p, "{") && n->select.qualified)
				return struct_literal(p, n, n->select.qualified);
		} else if (accept(p, "[")) {
			bool optional = accept(p, "?");
			struct cel_node *key = expression(p);
			if (!key || !expect(p, "]"))
				return NULL;
			n = call_new(p, optional ? "_[?_]" : "_[_]", pos,
			             (struct cel_node *[]){n, key}, 2, false);
		} else {
			return n;
		}
	}
	return p->failed ? NULL : n;
}

static struct cel_node *unary(struct parser *p)
{
	uint32_t pos = p->token.pos;
	unsigned n = 0;
	const char *op = is(p, "!") ? "!" : is(p, "-") ? "-" : NULL;

	if (!op)
		return member(p);
	while (accept(p, op))
		n++;
	/* A sign belongs to the literal: -9223372036854775808 has no positive counterpart. */
	if (op[0] == '-' && n == 1 &&
	    (p->token.kind == TOKEN_INT || p->token.kind == TOKEN_DOUBLE)) {
		p->negative = true;
		return member(p);
	}
	struct cel_node *operand = member(p);
	if (operand && n % 2)
		operand = call_new(p, op[0] == '!' ? "!_" : "-_", pos, &operand, 1, false);
	return operand;
}

/* Operators by binding strength, all to the left. */
static const struct {
	const char *text, *function;
	unsigned level;
} OPERATORS[] = {
    {"||", "_||_", 0}, {"&&", "_&&_", 1}, {"<", "_<_", 2},   {"<=", "_<=_", 2}, {">", "_>_", 2},
    {">=", "_>=_", 2}, {"==", "_==_", 2}, {"!=", "_!=_", 2}, {"+", "_+_", 3},   {"-", "_-_", 3},
    {"*", "_*_", 4},   {"/", "_/_", 4},   {"%", "_%_", 4},
};
enum { LEVELS = 5, RELATION = 2 };

static struct cel_node *binary(struct parser *p, unsigned level)
{
	struct cel_node *left = level == LEVELS ? unary(p) : binary(p, level + 1);

	while (left && level < LEVELS) {
		const char *function = NULL;
		uint32_t pos = p->token.pos;

		for (size_t i = 0; i < ARRAY_LEN(OPERATORS) && p->token.kind == TOKEN_PUNCT; i++)
			if (OPERATORS[i].level == level &&
			    slice_eq_str(p->token.text, OPERATORS[i].text))
				function = OPERATORS[i].function;
		if (level == RELATION && p->token.kind == TOKEN_IDENT && !p->token.quoted &&
		    slice_eq_str(p->token.text, "in"))
			function = "@in";
		if (!function)
			return left;
		advance(p);
		struct cel_node *right = binary(p, level + 1);
		if (!right)
			return NULL;
		left = call_new(p, function, pos, (struct cel_node *[]){left, right}, 2, false);
	}
	return left;
}

static struct cel_node *expression(struct parser *p)
{
	if (p->failed)
		return NULL;
	if (++p->depth > CEL_DEPTH_MAX) {
		cel_report(p->src, p->token.pos, "expression recursion limit exceeded: %d",
		           CEL_DEPTH_MAX);
		p->failed = true;
		return NULL;
	}
	struct cel_node *n = binary(p, 0);
	uint32_t pos = p->token.pos;
	if (n && accept(p, "?")) {
		struct cel_node *yes = binary(p, 0);
		struct cel_node *no = yes && expect(p, ":") ? expression(p) : NULL;
		n = no ? call_new(p, "_?_:_", pos, (struct cel_node *[]){n, yes, no}, 3, false)
		       : NULL;
	}
	p->depth--;
	return p->failed ? NULL : n;
}

struct cel_node *cel_parse(struct cel_source *src)
{
	struct parser p = {.src = src};

	if (strlen(src->text) > CEL_TEXT_MAX) {
		cel_report(src, 0, "expression code point size exceeds limit: size: %zu, limit %d",
		           strlen(src->text), CEL_TEXT_MAX);
		return NULL;
	}
	cel_lex_init(&p.lexer, src);
	advance(&p);
	struct cel_node *n = expression(&p);
	if (n && p.token.kind != TOKEN_END)
		unexpected(&p, "<EOF>");
	return p.failed ? NULL : n;
}
