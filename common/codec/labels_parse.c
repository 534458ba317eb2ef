/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/labels.h"
#include "common/codec/names.h"

enum token_type {
	TOKEN_ERROR,
	TOKEN_END,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_NOT,
	TOKEN_DOUBLE_EQUALS,
	TOKEN_EQUALS,
	TOKEN_GREATER,
	TOKEN_IDENTIFIER,
	TOKEN_IN,
	TOKEN_LESS,
	TOKEN_NOT_EQUALS,
	TOKEN_NOT_IN,
	TOKEN_OPEN,
};

struct token {
	enum token_type type;
	const char *text;
};

struct parser {
	const char *p;
	struct arena *arena;
	struct err *err;
	struct token next;
	bool peeked;
};

enum { SELECTOR_VALUES_MAX = 10000 };

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
	return c && strchr("=!(),><", c);
}

/* Upstream reads the longest run of special characters that is a token. */
static struct token scan_special(struct parser *s)
{
	static const struct {
		const char *text;
		enum token_type type;
	} specials[] = {{"==", TOKEN_DOUBLE_EQUALS}, {"!=", TOKEN_NOT_EQUALS}, {")", TOKEN_CLOSE},
	                {",", TOKEN_COMMA},          {"!", TOKEN_NOT},         {"=", TOKEN_EQUALS},
	                {">", TOKEN_GREATER},        {"(", TOKEN_OPEN},        {"<", TOKEN_LESS}};

	for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
		size_t n = strlen(specials[i].text);
		if (strncmp(s->p, specials[i].text, n) == 0) {
			s->p += n;
			return (struct token){specials[i].type, specials[i].text};
		}
	}
	return (struct token){TOKEN_ERROR, "error expected: keyword found ''"};
}

static struct token scan(struct parser *s)
{
	while (is_space(*s->p))
		s->p++;
	if (!*s->p)
		return (struct token){TOKEN_END, ""};
	if (is_special(*s->p))
		return scan_special(s);
	const char *start = s->p;
	while (*s->p && !is_space(*s->p) && !is_special(*s->p))
		s->p++;
	char *text = arena_strndup(s->arena, start, (size_t)(s->p - start));
	if (strcmp(text, "in") == 0)
		return (struct token){TOKEN_IN, text};
	if (strcmp(text, "notin") == 0)
		return (struct token){TOKEN_NOT_IN, text};
	return (struct token){TOKEN_IDENTIFIER, text};
}

/* `keywords`: "in" and "notin" are operators here, elsewhere they are names. */
static struct token look(struct parser *s, bool keywords)
{
	if (!s->peeked) {
		s->next = scan(s);
		s->peeked = true;
	}
	struct token t = s->next;
	if (!keywords && (t.type == TOKEN_IN || t.type == TOKEN_NOT_IN))
		t.type = TOKEN_IDENTIFIER;
	return t;
}

static struct token take(struct parser *s, bool keywords)
{
	struct token t = look(s, keywords);

	s->peeked = false;
	return t;
}

static int expected(struct parser *s, struct token found, const char *what)
{
	return err_set(s->err, ERR_BAD_REQUEST, "found '%s', expected: %s", found.text, what);
}

struct values {
	const char **at;
	size_t n, cap;
};

static int add_value(struct parser *s, struct values *v, const char *text)
{
	if (v->n >= SELECTOR_VALUES_MAX)
		return err_set(s->err, ERR_BAD_REQUEST, "too many values");
	if (v->n == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 4;

		v->at = arena_grow(s->arena, v->at, v->cap * sizeof(*v->at), cap * sizeof(*v->at));
		v->cap = cap;
	}
	v->at[v->n++] = text;
	return 0;
}

/* One step of a list of identifiers and commas; 1 when the list is over. */
static int parse_list_item(struct parser *s, struct values *v)
{
	struct token t = take(s, false), after = look(s, false);
	int k;

	if (t.type == TOKEN_IDENTIFIER) {
		k = add_value(s, v, t.text);
		if (k < 0 || after.type == TOKEN_COMMA)
			return k;
		return after.type == TOKEN_CLOSE ? 1 : expected(s, after, "',' or ')'");
	}
	if (t.type != TOKEN_COMMA)
		return expected(s, t, "',', or identifier");
	/* An empty place between commas or brackets is the empty value. */
	k = v->n ? 0 : add_value(s, v, "");
	if (k < 0 || (after.type != TOKEN_CLOSE && after.type != TOKEN_COMMA))
		return k;
	if (after.type == TOKEN_COMMA)
		take(s, false);
	k = add_value(s, v, "");
	return k < 0 ? k : after.type == TOKEN_CLOSE;
}

static int parse_set(struct parser *s, struct values *v)
{
	struct token t = take(s, false);
	int k = 0;

	if (t.type != TOKEN_OPEN)
		return err_set(s->err, ERR_BAD_REQUEST, "found '%s' expected: '('", t.text);
	t = look(s, false);
	if (t.type != TOKEN_CLOSE && t.type != TOKEN_IDENTIFIER && t.type != TOKEN_COMMA)
		return expected(s, t, "',', ')' or identifier");
	while (t.type != TOKEN_CLOSE && k == 0)
		k = parse_list_item(s, v);
	if (k < 0)
		return k;
	t = take(s, false);
	return t.type == TOKEN_CLOSE ? 0 : expected(s, t, "')'");
}

static int parse_exact(struct parser *s, struct values *v)
{
	struct token t = look(s, false);

	if (t.type == TOKEN_END || t.type == TOKEN_COMMA)
		return add_value(s, v, "");
	t = take(s, false);
	if (t.type != TOKEN_IDENTIFIER)
		return expected(s, t, "identifier");
	return add_value(s, v, t.text);
}

static int parse_operator(struct parser *s, enum label_op *ret)
{
	static const struct {
		enum token_type type;
		enum label_op op;
	} ops[] = {{TOKEN_IN, LABEL_IN},
	           {TOKEN_EQUALS, LABEL_EQUALS},
	           {TOKEN_DOUBLE_EQUALS, LABEL_DOUBLE_EQUALS},
	           {TOKEN_GREATER, LABEL_GREATER},
	           {TOKEN_LESS, LABEL_LESS},
	           {TOKEN_NOT_IN, LABEL_NOT_IN},
	           {TOKEN_NOT_EQUALS, LABEL_NOT_EQUALS}};
	struct token t = take(s, true);

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (ops[i].type == t.type) {
			*ret = ops[i].op;
			return 0;
		}
	}
	return expected(s, t, "in, notin, =, ==, !=, gt, lt");
}

static int check_key(struct parser *s, const char *key)
{
	const char *msgs[NAMES_MAX];
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = names_is_qualified(key) ? 0 : names_qualified(key, s->arena, msgs);

	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s%s", i ? "; " : "", msgs[i]);
	return err_set(s->err, ERR_BAD_REQUEST, "<nil>: Invalid value: \"%s\": %s", key,
	               (char *)b.data);
}

static int parse_requirement(struct parser *s, struct label_selector *sel)
{
	struct values v = {0};
	enum label_op op = LABEL_EXISTS;
	struct token t = take(s, false);
	int k;

	if (t.type == TOKEN_NOT) {
		op = LABEL_NOT_EXISTS;
		t = take(s, false);
	}
	if (t.type != TOKEN_IDENTIFIER)
		return expected(s, t, "identifier");
	const char *key = t.text;
	k = check_key(s, key);
	if (k < 0)
		return k;
	t = look(s, false);
	if (op != LABEL_NOT_EXISTS && t.type != TOKEN_END && t.type != TOKEN_COMMA) {
		k = parse_operator(s, &op);
		if (k == 0)
			k = op == LABEL_IN || op == LABEL_NOT_IN ? parse_set(s, &v)
			                                         : parse_exact(s, &v);
		if (k < 0)
			return k;
	}
	return label_selector_require(sel, s->arena, key, op, v.at, v.n, s->err);
}

static int parse(struct parser *s, struct label_selector *sel)
{
	for (;;) {
		struct token t = look(s, false);

		if (t.type == TOKEN_END)
			return 0;
		if (t.type != TOKEN_IDENTIFIER && t.type != TOKEN_NOT)
			return expected(s, t, "!, identifier, or 'end of string'");
		int k = parse_requirement(s, sel);
		if (k < 0)
			return err_prefix(s->err, "unable to parse requirement"), k;
		t = take(s, false);
		if (t.type == TOKEN_END)
			return 0;
		if (t.type != TOKEN_COMMA)
			return expected(s, t, "',' or 'end of string'");
		t = look(s, false);
		if (t.type != TOKEN_IDENTIFIER && t.type != TOKEN_NOT)
			return expected(s, t, "identifier after ','");
	}
}

int label_selector_parse(const char *text, struct arena *a, struct label_selector *ret,
                         struct err *err)
{
	struct parser s = {.p = text ? text : "", .arena = a, .err = err};
	struct label_selector sel = {0};
	int k = parse(&s, &sel);

	if (k < 0)
		return k;
	label_selector_sort(&sel);
	*ret = sel;
	return 0;
}
