/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Command-line flags as a table, with the grammar and the error texts of spf13/pflag:
 *
 *     static struct flag flags[] = {
 *             FLAG_STR("bind-address", &o.bind_address, "The address to listen on."),
 *             FLAG_DURATION("sync-period", &o.sync_period_ms, "How often rules are refreshed."),
 *             FLAG_NO_EFFECT("profiling"),
 *     };
 *
 * A flag's variable holds its default before parsing. Strings point into argv, the environment or
 * the arena. `--name value`, `--name=value`, `-v 2`, `-v2`; booleans take their value only after
 * `=`; `_` in a name counts as `-`; `--` ends the flags. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/vec.h"

struct flag_pair {
	const char *key, *value;
};
typedef VEC(const char *) flag_list; /* freed with vec_deinit */
typedef VEC(struct flag_pair) flag_map;

enum flag_kind {
	FLAG_KIND_BOOL,
	FLAG_KIND_STR,
	FLAG_KIND_INT,
	FLAG_KIND_FLOAT,
	FLAG_KIND_DURATION,
	FLAG_KIND_LIST, /* comma-separated; repeated flags append; the first replaces the default */
	FLAG_KIND_ARRAY, /* repeated flags append whole values */
	FLAG_KIND_MAP,   /* a=b,c=d; repeated flags merge */
	FLAG_KIND_GATES, /* a map whose values are booleans */
	FLAG_KIND_NO_EFFECT,
};

struct flag {
	const char *name;
	enum flag_kind kind;
	union {
		bool *b;
		const char **str;
		int64_t *i; /* INT, and DURATION in milliseconds */
		double *f;
		flag_list *list;
		flag_map *map; /* MAP, GATES */
	};
	const char *help;
	char shorthand;         /* 0: none */
	const char *deprecated; /* NULL, or what to do instead: using the flag logs a warning */
	bool set;               /* was given, on the command line or in the environment */
};

#define FLAG_BOOL(n, p, h)                                           \
	{                                                            \
		.name = n, .kind = FLAG_KIND_BOOL, .b = p, .help = h \
	}
#define FLAG_STR(n, p, h)                                             \
	{                                                             \
		.name = n, .kind = FLAG_KIND_STR, .str = p, .help = h \
	}
#define FLAG_INT(n, p, h)                                           \
	{                                                           \
		.name = n, .kind = FLAG_KIND_INT, .i = p, .help = h \
	}
#define FLAG_FLOAT(n, p, h)                                           \
	{                                                             \
		.name = n, .kind = FLAG_KIND_FLOAT, .f = p, .help = h \
	}
#define FLAG_DURATION(n, p_ms, h)                                           \
	{                                                                   \
		.name = n, .kind = FLAG_KIND_DURATION, .i = p_ms, .help = h \
	}
#define FLAG_LIST(n, p, h)                                              \
	{                                                               \
		.name = n, .kind = FLAG_KIND_LIST, .list = p, .help = h \
	}
#define FLAG_ARRAY(n, p, h)                                              \
	{                                                                \
		.name = n, .kind = FLAG_KIND_ARRAY, .list = p, .help = h \
	}
#define FLAG_MAP(n, p, h)                                             \
	{                                                             \
		.name = n, .kind = FLAG_KIND_MAP, .map = p, .help = h \
	}
#define FLAG_GATES(n, p, h)                                             \
	{                                                               \
		.name = n, .kind = FLAG_KIND_GATES, .map = p, .help = h \
	}
/* An upstream flag that is accepted with any value, warned about, and does nothing. */
#define FLAG_NO_EFFECT(n)                              \
	{                                              \
		.name = n, .kind = FLAG_KIND_NO_EFFECT \
	}

struct flag_group {
	const char *title; /* "Serving" */
	struct flag *flags;
	size_t n;
};
#define FLAG_GROUP(title, flags)               \
	{                                      \
		title, flags, ARRAY_LEN(flags) \
	}

/* Parses argv[1..]. env_prefix ("ETCD_", or NULL): a flag that the command line does not give is
 * taken from ETCD_ITS_NAME. 0, 1 when --help or -h was given, or an error in pflag's words. What
 * remains besides flags goes to *args (NULL: it is an error). */
int flags_parse(const struct flag_group *groups, size_t n_groups, int argc, char **argv,
                const char *env_prefix, struct arena *a, flag_list *args, struct err *err);
struct flag *flags_find(const struct flag_group *groups, size_t n_groups, const char *name);
/* Sets one flag as `--name=value` does; for config files. */
int flag_set(struct flag *f, const char *value, struct arena *a, struct err *err);
/* Logs a warning for each flag that was given and is deprecated or without effect. */
void flags_warn(const struct flag_group *groups, size_t n_groups);
/* The text of --help: one `--name type   help (default x)` a flag, sorted in its group. */
void flags_help(const struct flag_group *groups, size_t n_groups, struct buf *out);
/* Frees the lists and maps of all flags. */
void flags_deinit(const struct flag_group *groups, size_t n_groups);

const char *flag_map_get(const flag_map *m, const char *key);
/* The value of a feature gate; `fallback` when it was not given. */
bool flag_gate(const flag_map *gates, const char *name, bool fallback);
