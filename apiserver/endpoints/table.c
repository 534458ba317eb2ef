/* SPDX-License-Identifier: Apache-2.0 */
/* meta.k8s.io/v1 Table: what `kubectl get` shows, as JSON text. */
#include "apiserver/endpoints/call.h"

#include "common/codec/json_writer.h"
#include "proto/json_encode.h"
#include "proto/table_columns.h"

static void write_meta(const struct table_meta *meta, struct buf *out)
{
	bool comma = false;

	buf_str(out, "\"metadata\":{");
	if (meta->revision) {
		buf_printf(out, "\"resourceVersion\":\"%lld\"", (long long)meta->revision);
		comma = true;
	}
	if (meta->continue_token && meta->continue_token[0]) {
		buf_printf(out, "%s\"continue\":\"%s\"", comma ? "," : "", meta->continue_token);
		comma = true;
	}
	if (meta->remaining >= 0)
		buf_printf(out, "%s\"remainingItemCount\":%lld", comma ? "," : "",
		           (long long)meta->remaining);
	buf_str(out, "}");
}

static void write_columns(const struct table_columns *cols, struct buf *out)
{
	buf_str(out, ",\"columnDefinitions\":[");
	for (size_t i = 0; i < cols->n_columns; i++) {
		const struct table_column *col = &cols->columns[i];

		buf_str(out, i ? ",{\"name\":" : "{\"name\":");
		json_write_cstr(out, col->name);
		buf_str(out, ",\"type\":");
		json_write_cstr(out, col->type);
		buf_str(out, ",\"format\":");
		json_write_cstr(out, col->format);
		buf_str(out, ",\"description\":");
		json_write_cstr(out, col->description);
		buf_printf(out, ",\"priority\":%d}", col->priority);
	}
	buf_str(out, "]");
}

void table_begin(struct call *c, const struct table_meta *meta, bool columns, struct buf *out)
{
	bool beta = strcmp(c->req->accept.as_version, "v1beta1") == 0;

	buf_printf(out, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",",
	           beta ? "v1beta1" : "v1");
	write_meta(meta, out);
	if (columns && !c->req->options.no_headers)
		write_columns(c->res->columns, out);
	else
		buf_str(out, ",\"columnDefinitions\":null");
	buf_str(out, ",\"rows\":[");
}

static void write_cell(const struct table_cell *cell, struct buf *out)
{
	switch (cell->type) {
	case CELL_NULL:
		buf_str(out, "null");
		break;
	case CELL_STRING:
		json_write_cstr(out, cell->str);
		break;
	case CELL_INT:
		json_write_i64(out, cell->num);
		break;
	case CELL_BOOL:
		json_write_bool(out, cell->num != 0);
		break;
	}
}

static void write_object(struct call *c, const struct object *obj, struct buf *out)
{
	const char *include = c->req->options.include_object;
	bool beta = strcmp(c->req->accept.as_version, "v1beta1") == 0;
	struct type_meta meta = {beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1",
	                         "PartialObjectMetadata"};
	MetaV1__PartialObjectMetadata p = META_V1__PARTIAL_OBJECT_METADATA__INIT;

	if (strcmp(include, "None") == 0) {
		buf_str(out, "null");
	} else if (strcmp(include, "Object") == 0) {
		json_encode(obj->schema, obj->msg, NULL, out);
	} else {
		p.metadata = (MetaV1__ObjectMeta *)registry_table_metadata(
		    pipeline_resource(c->p, c->res)->st, obj, c->a);
		json_encode(schema_by_gvk("meta.k8s.io", "v1", "PartialObjectMetadata"), &p.base,
		            &meta, out);
	}
}

void table_row_add(struct call *c, const struct object *obj, bool first, struct buf *out)
{
	struct table_row row = {0};

	registry_table_row(&c->ctx, pipeline_resource(c->p, c->res)->st, obj, &row);
	buf_str(out, first ? "{\"cells\":[" : ",{\"cells\":[");
	for (size_t i = 0; i < row.n_cells; i++) {
		if (i)
			buf_byte(out, ',');
		write_cell(&row.cells[i], out);
	}
	buf_byte(out, ']');
	if (row.completed_reason) {
		buf_str(out, ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\","
		             "\"reason\":");
		json_write_cstr(out, row.completed_reason);
		buf_str(out, ",\"message\":");
		json_write_cstr(out, row.completed_message);
		buf_str(out, "}]");
	}
	buf_str(out, ",\"object\":");
	write_object(c, obj, out);
	buf_byte(out, '}');
}

void table_end(struct buf *out)
{
	buf_str(out, "]}\n");
}
