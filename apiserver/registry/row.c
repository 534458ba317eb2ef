/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/row.h"

#include "common/codec/duration.h"
#include "proto/meta_labels.h"

static void cell(struct table_row *r, struct table_cell c)
{
	if (r->n_cells < TABLE_CELLS_MAX)
		r->cells[r->n_cells++] = c;
}

void row_str(struct table_row *r, const char *s)
{
	cell(r, (struct table_cell){CELL_STRING, s ? s : "", 0});
}

void row_int(struct table_row *r, int64_t n)
{
	cell(r, (struct table_cell){CELL_INT, NULL, n});
}

void row_bool(struct table_row *r, bool b)
{
	cell(r, (struct table_cell){CELL_BOOL, NULL, b});
}

void row_name(struct table_row *r, const struct object *obj)
{
	row_str(r, object_name(obj));
}

const char *human_since(const struct strategy_ctx *ctx, int64_t sec)
{
	char text[DURATION_BYTES];

	duration_format_human(ctx->now_sec - sec, text);
	return arena_strdup(ctx->arena, text);
}

void row_since(const struct strategy_ctx *ctx, struct table_row *r, const MetaV1__Time *t)
{
	row_str(r, t && (t->seconds || t->nanos) ? human_since(ctx, t->seconds) : "<unknown>");
}

void row_age(const struct strategy_ctx *ctx, struct table_row *r, const struct object *obj)
{
	row_since(ctx, r, obj->meta->creation_timestamp);
}

const char *joined(struct arena *a, const char *list, const char *item, const char *separator)
{
	return *list ? arena_printf(a, "%s%s%s", list, separator, item) : item;
}

static void join_bytes(struct join *j, const char *s)
{
	size_t n = strlen(s);

	if (j->len + n + 1 > j->cap) {
		size_t cap = MAX((j->len + n + 1) * 2, 64);
		j->text = arena_grow(j->arena, j->text, j->cap, cap);
		j->cap = cap;
	}
	memcpy(j->text + j->len, s, n + 1);
	j->len += n;
}

void join_add(struct join *j, const char *item)
{
	if (j->len)
		join_bytes(j, j->separator);
	join_bytes(j, item);
}

void row_list(const struct strategy_ctx *ctx, struct table_row *r, char *const *list, size_t n,
              const char *none)
{
	struct join text = JOIN(ctx->arena, ",");

	for (size_t i = 0; i < n; i++)
		join_add(&text, list[i]);
	row_str(r, n ? join_text(&text) : none);
}

void row_or_none(struct table_row *r, const char *s)
{
	row_str(r, s && *s ? s : "<none>");
}

static int by_key(const void *a, const void *b)
{
	return strcmp((*(struct string_entry *const *)a)->key,
	              (*(struct string_entry *const *)b)->key);
}

void row_map(const struct strategy_ctx *ctx, struct table_row *r, struct string_entry *const *map,
             size_t n)
{
	struct join text = JOIN(ctx->arena, ",");
	struct string_entry **sorted;

	if (!n) {
		row_str(r, "<none>");
		return;
	}
	sorted = arena_memdup(ctx->arena, map, n * sizeof(*map));
	qsort(sorted, n, sizeof(*sorted), by_key);
	for (size_t i = 0; i < n; i++)
		join_add(&text, arena_printf(ctx->arena, "%s=%s", sorted[i]->key,
		                             sorted[i]->value ? sorted[i]->value : ""));
	row_str(r, join_text(&text));
}

void row_selector(const struct strategy_ctx *ctx, struct table_row *r,
                  const MetaV1__LabelSelector *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct label_selector sel;

	if (meta_label_selector(s, ctx->arena, &sel, NULL)) {
		row_str(r, "<error>");
		return;
	}
	label_selector_format(&sel, &b);
	row_str(r, b.len ? arena_strndup(ctx->arena, b.data, b.len) : s ? "<none>" : "<unset>");
}

void row_containers(const struct strategy_ctx *ctx, struct table_row *r,
                    const CoreV1__PodSpec *spec)
{
	struct join names = JOIN(ctx->arena, ","), images = names;

	for (size_t i = 0; i < spec->n_containers; i++) {
		join_add(&names, spec->containers[i]->name);
		join_add(&images, spec->containers[i]->image);
	}
	row_str(r, join_text(&names));
	row_str(r, join_text(&images));
}
