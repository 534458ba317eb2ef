/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/flags.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/log.h"
#include "common/codec/duration.h"

#define FOREACH_FLAG(groups, count, f)                     \
	for (size_t gi_ = 0; gi_ < (count); gi_++)         \
		for (struct flag *f = (groups)[gi_].flags; \
		     f < (groups)[gi_].flags + (groups)[gi_].n; f++)

/* --- values --- */

static int parse_bool(const char *v, bool *ret, struct err *err)
{
	static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
	static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (!strcmp(v, yes[i]))
			return *ret = true, 0;
		if (!strcmp(v, no[i]))
			return *ret = false, 0;
	}
	return err_set(err, ERR_INVALID, "strconv.ParseBool: parsing \"%s\": invalid syntax", v);
}

static int parse_int(const char *v, int64_t *ret, struct err *err)
{
	char *end;
	errno = 0;
	long long n = strtoll(v, &end, 0);
	if (end == v || *end || *v <= ' ')
		return err_set(err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": invalid syntax",
		               v);
	if (errno == ERANGE)
		return err_set(err, ERR_INVALID,
		               "strconv.ParseInt: parsing \"%s\": value out of range", v);
	*ret = n;
	return 0;
}

static int parse_float(const char *v, double *ret, struct err *err)
{
	char *end;
	double d = strtod(v, &end);
	if (end == v || *end || *v <= ' ')
		return err_set(err, ERR_INVALID,
		               "strconv.ParseFloat: parsing \"%s\": invalid syntax", v);
	*ret = d;
	return 0;
}

static int parse_duration(const char *v, int64_t *ret_ms, struct err *err)
{
	int64_t ns;
	int r = duration_parse(slice_str(v), &ns, err);
	if (!r)
		*ret_ms = ns / 1000000;
	return r;
}

static void list_add(struct flag *f, const char *v, struct arena *a)
{
	if (!f->set)
		vec_clear(f->list);
	if (f->kind == FLAG_KIND_ARRAY) {
		*vec_push(f->list) = arena_strdup(a, v);
		return;
	}
	while (*v) {
		size_t n = strcspn(v, ",");
		*vec_push(f->list) = arena_strndup(a, v, n);
		v += n + (v[n] == ',');
	}
}

static void map_put_pair(flag_map *m, const char *key, const char *value)
{
	VEC_FOREACH (m, p)
		if (!strcmp(p->key, key)) {
			p->value = value;
			return;
		}
	*vec_push(m) = (struct flag_pair){key, value};
}

static int gate_check(const char *key, const char *value, struct err *err)
{
	bool ignored;
	struct err cause;
	if (parse_bool(value, &ignored, &cause) == 0)
		return 0;
	return err_set(err, ERR_INVALID, "invalid value of %s=%s, err: %s", key, value, cause.text);
}

static int map_add(struct flag *f, const char *v, struct arena *a, struct err *err)
{
	bool gates = f->kind == FLAG_KIND_GATES;
	if (!f->set)
		vec_clear(f->map);
	while (*v) {
		size_t n = strcspn(v, ",");
		char *pair = arena_strndup(a, v, n), *eq = strchr(pair, '=');
		v += n + (v[n] == ',');
		if (!*pair)
			continue;
		if (!eq)
			return gates ? err_set(err, ERR_INVALID, "missing bool value for %s", pair)
			             : err_set(err, ERR_INVALID,
			                       "%s must be formatted as key=value", pair);
		*eq = 0;
		int r = gates ? gate_check(pair, eq + 1, err) : 0;
		if (r)
			return r;
		map_put_pair(f->map, pair, eq + 1);
	}
	return 0;
}

static int store(struct flag *f, const char *v, struct arena *a, struct err *err)
{
	switch (f->kind) {
	case FLAG_KIND_BOOL:
		return parse_bool(v, f->b, err);
	case FLAG_KIND_STR:
		*f->str = arena_strdup(a, v);
		return 0;
	case FLAG_KIND_INT:
		return parse_int(v, f->i, err);
	case FLAG_KIND_FLOAT:
		return parse_float(v, f->f, err);
	case FLAG_KIND_DURATION:
		return parse_duration(v, f->i, err);
	case FLAG_KIND_LIST:
	case FLAG_KIND_ARRAY:
		list_add(f, v, a);
		return 0;
	case FLAG_KIND_MAP:
	case FLAG_KIND_GATES:
		return map_add(f, v, a, err);
	case FLAG_KIND_NO_EFFECT:
		return 0;
	}
	return 0;
}

int flag_set(struct flag *f, const char *value, struct arena *a, struct err *err)
{
	struct err cause;
	if (store(f, value, a, &cause)) {
		if (f->shorthand)
			return err_set(err, ERR_INVALID,
			               "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", value,
			               f->shorthand, f->name, cause.text);
		return err_set(err, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: %s",
		               value, f->name, cause.text);
	}
	f->set = true;
	return 0;
}

/* --- the command line --- */

/* Equal but for '_' in the place of '-'. */
static bool same_name(const char *given, size_t n, const char *name)
{
	if (strlen(name) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((given[i] == '_' ? '-' : given[i]) != name[i])
			return false;
	return true;
}

static struct flag *find_name(const struct flag_group *groups, size_t n_groups, const char *name,
                              size_t n)
{
	FOREACH_FLAG(groups, n_groups, f)
	if (same_name(name, n, f->name))
		return f;
	return NULL;
}

struct flag *flags_find(const struct flag_group *groups, size_t n_groups, const char *name)
{
	return find_name(groups, n_groups, name, strlen(name));
}

struct cursor {
	const struct flag_group *groups;
	size_t n_groups;
	char **next; /* what has not been read, ends in NULL */
	struct arena *a;
	bool help;
};

/* May the value be left out? */
static bool value_optional(const struct flag *f)
{
	return f->kind == FLAG_KIND_BOOL;
}

static int parse_long(struct cursor *c, const char *arg, struct err *err)
{
	const char *name = arg + 2;
	size_t n = strcspn(name, "=");
	if (!n || *name == '-')
		return err_set(err, ERR_INVALID, "bad flag syntax: %s", arg);
	struct flag *f = find_name(c->groups, c->n_groups, name, n);
	if (!f && n == 4 && !memcmp(name, "help", 4)) {
		c->help = true;
		return 0;
	}
	if (!f)
		return err_set(err, ERR_INVALID, "unknown flag: --%.*s", (int)n, name);
	if (name[n] == '=')
		return flag_set(f, name + n + 1, c->a, err);
	if (value_optional(f))
		return flag_set(f, "true", c->a, err);
	/* What has no effect may have been a boolean: it takes the next word only when that is no
	 * flag. */
	if (f->kind == FLAG_KIND_NO_EFFECT) {
		f->set = true;
		if (*c->next && **c->next != '-')
			c->next++;
		return 0;
	}
	if (!*c->next)
		return err_set(err, ERR_INVALID, "flag needs an argument: --%.*s", (int)n, name);
	return flag_set(f, *c->next++, c->a, err);
}

static int parse_short(struct cursor *c, const char *arg, struct err *err)
{
	for (const char *p = arg + 1; *p; p++) {
		struct flag *found = NULL;
		FOREACH_FLAG(c->groups, c->n_groups, f)
		if (f->shorthand == *p)
			found = f;
		if (!found && *p == 'h') {
			c->help = true;
			continue;
		}
		if (!found)
			return err_set(err, ERR_INVALID, "unknown shorthand flag: '%c' in %s", *p,
			               arg);
		if (p[1] == '=')
			return flag_set(found, p + 2, c->a, err);
		if (value_optional(found)) {
			int r = flag_set(found, "true", c->a, err);
			if (r)
				return r;
			continue;
		}
		if (p[1])
			return flag_set(found, p + 1, c->a, err);
		if (!*c->next)
			return err_set(err, ERR_INVALID, "flag needs an argument: '%c' in %s", *p,
			               arg);
		return flag_set(found, *c->next++, c->a, err);
	}
	return 0;
}

static int take_environment(struct cursor *c, const char *prefix, struct err *err)
{
	FOREACH_FLAG(c->groups, c->n_groups, f)
	{
		char *name = arena_printf(c->a, "%s%s", prefix, f->name);
		for (char *p = name + strlen(prefix); *p; p++)
			*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
		const char *value = getenv(name);
		if (!value || !*value || f->set)
			continue;
		struct err cause;
		if (flag_set(f, value, c->a, &cause))
			return err_set(err, ERR_INVALID, "%s: %s", name, cause.text);
	}
	return 0;
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int flags_parse(const struct flag_group *groups, size_t n_groups, int argc, char **argv,
                const char *env_prefix, struct arena *a, flag_list *args, struct err *err)
{
	struct cursor c = {groups, n_groups, argv + (argc > 0), a, false};
	bool only_args = false;
	while (*c.next) {
		char *arg = *c.next++;
		int r = 0;
		if (only_args || arg[0] != '-' || !arg[1]) {
			if (!args)
				return err_set(err, ERR_INVALID,
				               "unknown command \"%s\" for \"%s\"", arg,
				               program_name(argv[0]));
			*vec_push(args) = arg;
		} else if (!strcmp(arg, "--")) {
			only_args = true;
		} else if (arg[1] == '-') {
			r = parse_long(&c, arg, err);
		} else {
			r = parse_short(&c, arg, err);
		}
		if (r)
			return r;
	}
	if (c.help)
		return 1;
	return env_prefix ? take_environment(&c, env_prefix, err) : 0;
}

void flags_warn(const struct flag_group *groups, size_t n_groups)
{
	FOREACH_FLAG(groups, n_groups, f)
	{
		if (!f->set)
			continue;
		if (f->deprecated)
			log_warning("Flag has been deprecated", LOG_STR("flag", f->name),
			            LOG_STR("hint", f->deprecated));
		else if (f->kind == FLAG_KIND_NO_EFFECT)
			log_warning("Flag has no effect here", LOG_STR("flag", f->name));
	}
}

/* --- --help --- */

static const char *type_name(enum flag_kind kind)
{
	static const char *const names[] = {
	    [FLAG_KIND_BOOL] = "",
	    [FLAG_KIND_STR] = "string",
	    [FLAG_KIND_INT] = "int",
	    [FLAG_KIND_FLOAT] = "float",
	    [FLAG_KIND_DURATION] = "duration",
	    [FLAG_KIND_LIST] = "strings",
	    [FLAG_KIND_ARRAY] = "stringArray",
	    [FLAG_KIND_MAP] = "mapStringString",
	    [FLAG_KIND_GATES] = "mapStringBool",
	    [FLAG_KIND_NO_EFFECT] = "value",
	};
	return names[kind];
}

static void add_default(const struct flag *f, struct buf *out)
{
	char text[DURATION_BYTES];
	switch (f->kind) {
	case FLAG_KIND_BOOL:
		if (*f->b)
			buf_str(out, " (default true)");
		break;
	case FLAG_KIND_STR:
		if (*f->str && **f->str)
			buf_printf(out, " (default \"%s\")", *f->str);
		break;
	case FLAG_KIND_INT:
		if (*f->i)
			buf_printf(out, " (default %lld)", (long long)*f->i);
		break;
	case FLAG_KIND_FLOAT:
		if (fabs(*f->f) > 0)
			buf_printf(out, " (default %g)", *f->f);
		break;
	case FLAG_KIND_DURATION:
		if (*f->i) {
			size_t n = duration_format(*f->i * 1000000, text);
			buf_printf(out, " (default %.*s)", (int)n, text);
		}
		break;
	case FLAG_KIND_LIST:
	case FLAG_KIND_ARRAY:
		for (size_t i = 0; i < f->list->n; i++)
			buf_printf(out, "%s%s", i ? "," : " (default [", f->list->at[i]);
		buf_str(out, f->list->n ? "])" : "");
		break;
	case FLAG_KIND_MAP:
	case FLAG_KIND_GATES:
	case FLAG_KIND_NO_EFFECT:
		break;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct flag *const *)a)->name,
	              (*(const struct flag *const *)b)->name);
}

void flags_help(const struct flag_group *groups, size_t n_groups, struct buf *out)
{
	for (size_t g = 0; g < n_groups; g++) {
		VEC(const struct flag *) sorted = {0};
		for (size_t i = 0; i < groups[g].n; i++)
			*vec_push(&sorted) = &groups[g].flags[i];
		if (sorted.n)
			qsort(sorted.at, sorted.n, sizeof(*sorted.at), by_name);
		buf_printf(out, "\n%s flags:\n\n", groups[g].title);
		VEC_FOREACH (&sorted, it) {
			const struct flag *f = *it;
			if (f->shorthand)
				buf_printf(out, "  -%c, ", f->shorthand);
			else
				buf_str(out, "      ");
			const char *type = type_name(f->kind);
			buf_printf(out, "--%s%s%s\n", f->name, *type ? " " : "", type);
			buf_printf(out, "                %s",
			           f->help ? f->help
			                   : "Accepted for compatibility; it has no effect here.");
			add_default(f, out);
			if (f->deprecated)
				buf_printf(out, " (DEPRECATED: %s)", f->deprecated);
			buf_byte(out, '\n');
		}
		vec_deinit(&sorted);
	}
}

void flags_deinit(const struct flag_group *groups, size_t n_groups)
{
	FOREACH_FLAG(groups, n_groups, f)
	{
		if (f->kind == FLAG_KIND_LIST || f->kind == FLAG_KIND_ARRAY)
			vec_deinit(f->list);
		else if (f->kind == FLAG_KIND_MAP || f->kind == FLAG_KIND_GATES)
			vec_deinit(f->map);
	}
}

const char *flag_map_get(const flag_map *m, const char *key)
{
	VEC_FOREACH (m, p)
		if (!strcmp(p->key, key))
			return p->value;
	return NULL;
}

bool flag_gate(const flag_map *gates, const char *name, bool fallback)
{
	const char *v = flag_map_get(gates, name);
	bool on = fallback;
	if (v)
		ERR_IGNORE(parse_bool(v, &on, NULL)); /* checked when it was set */
	return on;
}
