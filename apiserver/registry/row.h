/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Cells of table rows (kubernetes pkg/printers/internalversion). Internal to registry/. */
#include "apiserver/registry/check.h"

void row_str(struct table_row *r, const char *s);
void row_int(struct table_row *r, int64_t n);
void row_bool(struct table_row *r, bool b);
void row_name(struct table_row *r, const struct object *obj);
/* The time since creation, or since `t`, as people read it: "5m", "3d4h"; "<unknown>". */
void row_age(const struct strategy_ctx *ctx, struct table_row *r, const struct object *obj);
void row_since(const struct strategy_ctx *ctx, struct table_row *r, const MetaV1__Time *t);
const char *human_since(const struct strategy_ctx *ctx, int64_t sec);
/* Strings joined by commas; `none` when there are none. */
void row_list(const struct strategy_ctx *ctx, struct table_row *r, char *const *list, size_t n,
              const char *none);
void row_or_none(struct table_row *r, const char *s); /* "<none>" when empty */
/* A map as "a=b,c=d", sorted; "<none>". */
void row_map(const struct strategy_ctx *ctx, struct table_row *r, struct string_entry *const *map,
             size_t n);
void row_selector(const struct strategy_ctx *ctx, struct table_row *r,
                  const MetaV1__LabelSelector *s);
/* Names and images of a template's containers: two cells. */
void row_containers(const struct strategy_ctx *ctx, struct table_row *r,
                    const CoreV1__PodSpec *spec);
/* A few words in a list. */
const char *joined(struct arena *a, const char *list, const char *item, const char *separator);

/* Lists of any length: `struct join j = JOIN(a, ", ");` join_add ... join_text(&j). */
struct join {
	struct arena *arena;
	const char *separator;
	char *text;
	size_t len, cap;
};
#define JOIN(a, separator_) ((struct join){.arena = (a), .separator = (separator_)})
void join_add(struct join *j, const char *item);
static inline const char *join_text(const struct join *j)
{
	return j->text ? j->text : "";
}
