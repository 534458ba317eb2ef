/* SPDX-License-Identifier: Apache-2.0 */
/* What all strategies have in common: the order of rest.BeforeCreate and rest.BeforeUpdate, status
 * and generation, selectable fields, the generic table row. */
#include <stdio.h>

#include "apiserver/registry/defaults.h"
#include "apiserver/registry/metadata.h"
#include "common/codec/rfc3339.h"
#include "proto/msg.h"
#include "proto/resource_table.h"
#include "proto/schema.h"

void strategy_warn(struct strategy_warnings *w, const char *fmt, ...)
{
	va_list ap;

	if (w->n == STRATEGY_WARNINGS_MAX)
		return;
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 4;
		w->at = arena_grow(w->arena, w->at, w->cap * sizeof(*w->at), cap * sizeof(*w->at));
		w->cap = cap;
	}
	va_start(ap, fmt);
	const char *text = arena_vprintf(w->arena, fmt, ap);
	va_end(ap);
	/* Said once, however often it was found. */
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->at[i], text))
			return;
	w->at[w->n++] = text;
}

static const struct schema_field *member(const struct object *obj, const char *name)
{
	const struct schema_json *j = schema_json_find(obj->schema, name, strlen(name));

	return j && !j->via ? j->field : NULL;
}

static void **slot(const struct object *obj, const struct schema_field *f)
{
	return (void **)((char *)obj->msg + f->offset);
}

/* A value status becomes its zero, a pointer to one goes away. */
static void drop_status(const struct strategy_ctx *ctx, struct object *obj)
{
	const struct schema_field *f = member(obj, "status");

	if (!f || !f->message)
		return;
	*slot(obj, f) = f->flags & SCHEMA_POINTER ? NULL : msg_new_(ctx->arena, f->message->desc);
}

static void keep_status(struct object *obj, const struct object *old)
{
	const struct schema_field *f = member(obj, "status");

	if (f && f->message)
		*slot(obj, f) = *slot(old, f);
}

/* Everything but metadata and status is the old object's. */
static void keep_all_but_status(struct object *obj, const struct object *old)
{
	MetaV1__ObjectMeta *meta = obj->meta;
	const struct schema_field *f = member(obj, "status");
	void *status = f ? *slot(obj, f) : NULL;

	memcpy(obj->msg, old->msg, obj->schema->desc->sizeof_message);
	if (f)
		*slot(obj, f) = status;
	if (obj->meta)
		*slot(obj, obj->schema->metadata) = meta;
}

static void keep_labels(MetaV1__ObjectMeta *m, const MetaV1__ObjectMeta *old)
{
	m->labels = old->labels;
	m->n_labels = old->n_labels;
}

static void keep_metadata(MetaV1__ObjectMeta *m, const MetaV1__ObjectMeta *old)
{
	keep_labels(m, old);
	m->annotations = old->annotations;
	m->n_annotations = old->n_annotations;
	m->owner_references = old->owner_references;
	m->n_owner_references = old->n_owner_references;
	m->finalizers = old->finalizers;
	m->n_finalizers = old->n_finalizers;
	m->self_link = old->self_link;
	m->deletion_timestamp = old->deletion_timestamp;
	m->has_deletion_grace_period_seconds = old->has_deletion_grace_period_seconds;
	m->deletion_grace_period_seconds = old->deletion_grace_period_seconds;
}

static bool spec_changed(const struct object *obj, const struct object *old,
                         enum strategy_generation rule)
{
	const struct schema_field *f = member(obj, "spec");

	if (f && !msg_field_equal(f, obj->msg, old->msg))
		return true;
	return rule == GENERATION_SPEC_ANNOTATIONS &&
	       !same_map(obj->meta->annotations, obj->meta->n_annotations, old->meta->annotations,
	                 old->meta->n_annotations);
}

static void check_metadata(const struct strategy *st, const struct object *obj, errs_t errs,
                           bool path_segment)
{
	if (obj->meta)
		metadata_check(errs, FIELD(NULL, "metadata"), obj->meta, obj->res->namespaced,
		               path_segment ? names_path_segment : st->name_syntax);
}

void registry_defaults(const struct strategy_ctx *ctx, const struct strategy *st,
                       struct object *obj)
{
	defaults_walk(ctx->arena, obj->msg);
	if (st->defaults)
		st->defaults(ctx, obj);
}

void registry_begin_create(const struct strategy_ctx *ctx, struct object *obj)
{
	if (!obj->meta)
		return;
	metadata_prepare_create(ctx, obj->meta);
	metadata_generate_name(ctx, obj->meta);
}

void registry_before_create(const struct strategy_ctx *ctx, const struct strategy *st,
                            struct object *obj, struct field_errors *errs)
{
	if (!ctx->metadata_ready)
		registry_begin_create(ctx, obj);
	if (obj->meta)
		SET(obj->meta, generation, st->generation != GENERATION_NONE);
	if (st->has_status)
		drop_status(ctx, obj);
	if (st->prepare_create)
		st->prepare_create(ctx, obj);
	msg_drop_disabled(obj->schema, obj->msg, NULL, ctx->arena);
	check_metadata(st, obj, errs, false);
	if (st->validate)
		st->validate(ctx, obj, errs);
	if (st->validate_create)
		st->validate_create(ctx, obj, errs);
	if (!errs->n)
		check_metadata(st, obj, errs, true);
	if (!errs->n && st->canonicalize)
		st->canonicalize(ctx, obj);
}

void registry_before_update(const struct strategy_ctx *ctx, const struct strategy *st,
                            struct object *obj, const struct object *old, struct field_errors *errs)
{
	path_t p = FIELD(NULL, "metadata");

	if (obj->meta)
		metadata_prepare_update(obj->meta, old->meta);
	if (st->is_status) {
		keep_all_but_status(obj, old);
		if (st->keeps_labels)
			keep_labels(obj->meta, old->meta);
		if (st->keeps_metadata)
			keep_metadata(obj->meta, old->meta);
	} else if (st->has_status) {
		keep_status(obj, old);
	}
	if (st->prepare_update)
		st->prepare_update(ctx, obj, old);
	msg_drop_disabled(obj->schema, obj->msg, old->msg, ctx->arena);
	if (st->generation != GENERATION_NONE && spec_changed(obj, old, st->generation))
		object_set_generation(obj, object_generation(old) + 1);
	if (obj->meta) {
		check_metadata(st, obj, errs, true);
		metadata_check_update(errs, p, obj->meta, old->meta);
		metadata_check_update(errs, p, obj->meta, old->meta);
	}
	if (!st->lax_update) {
		check_metadata(st, obj, errs, false);
		if (st->validate)
			st->validate(ctx, obj, errs);
	}
	if (st->validate_update)
		st->validate_update(ctx, obj, old, errs);
	if (!errs->n && st->canonicalize)
		st->canonicalize(ctx, obj);
}

void registry_warnings(const struct strategy_ctx *ctx, const struct strategy *st,
                       const struct object *obj, const struct object *old,
                       struct strategy_warnings *w)
{
	if (st->warnings)
		st->warnings(ctx, obj, old, w);
}

void registry_fields(const struct strategy *st, const struct object *obj, struct arena *a,
                     const char *ret[STRATEGY_FIELDS_MAX])
{
	memset(ret, 0, STRATEGY_FIELDS_MAX * sizeof(*ret));
	if (st->field_names)
		st->field_values(obj, a, ret);
}

const char *registry_field_error(const struct strategy *st, const struct resource_info *res,
                                 const char *name, struct arena *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *fmt = st->field_error_fmt;

	if (list_has(LIST("metadata.name", "metadata.namespace"), name) ||
	    (st->field_names && list_has(st->field_names, name)))
		return NULL;
	if (!fmt)
		return arena_printf(a,
		                    "%s is not a known field selector: only \"metadata.name\", "
		                    "\"metadata.namespace\"",
		                    field_quote(a, name));
	/* One %s, the name. */
	const char *at = strstr(fmt, "%s");
	buf_add(&b, fmt, (size_t)(at - fmt));
	buf_str(&b, name);
	buf_str(&b, at + 2);
	return arena_strndup(a, b.data, b.len);
}

const char *registry_stored_field(const struct strategy *st, const char *name)
{
	for (size_t i = 0; st->stored_field_names && st->field_names[i]; i++) {
		if (strcmp(st->field_names[i], name) == 0)
			return st->stored_field_names[i];
	}
	return name;
}

void registry_table_row(const struct strategy_ctx *ctx, const struct strategy *st,
                        const struct object *obj, struct table_row *ret)
{
	char text[RFC3339_BYTES];

	*ret = (struct table_row){0};
	if (st->table_row) {
		st->table_row(ctx, obj, ret);
		/* A row has as many cells as its table has columns. */
		ret->n_cells = MIN(ret->n_cells, obj->res->columns->n_columns);
		return;
	}
	rfc3339_format(
	    obj->meta && obj->meta->creation_timestamp ? obj->meta->creation_timestamp->seconds : 0,
	    text);
	ret->cells[0] = (struct table_cell){CELL_STRING, object_name(obj), 0};
	ret->cells[1] = (struct table_cell){CELL_STRING, arena_strdup(ctx->arena, text), 0};
	ret->n_cells = 2;
}

const struct MetaV1__ObjectMeta *registry_table_metadata(const struct strategy *st,
                                                         const struct object *obj, struct arena *a)
{
	MetaV1__ObjectMeta *m;
	size_t n = 0;

	if (!st->hidden_annotation || !strings_get(STRINGS(obj->meta->annotations),
	                                           obj->meta->n_annotations, st->hidden_annotation))
		return obj->meta;
	m = arena_memdup(a, obj->meta, sizeof(*m));
	m->annotations = arena_array(a, MetaV1__ObjectMeta__AnnotationsEntry *, m->n_annotations);
	for (size_t i = 0; i < m->n_annotations; i++)
		if (strcmp(obj->meta->annotations[i]->key, st->hidden_annotation))
			m->annotations[n++] = obj->meta->annotations[i];
	m->n_annotations = n;
	return m;
}
