/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/manage_fields.h"

#include "apiserver/endpoints/convert.h"
#include "apiserver/fieldmanager/fieldmanager.h"
#include "common/codec/yaml.h"
#include "proto/resource_table.h"

static struct fieldmanager_request request_of(const struct request *req, struct arena *a)
{
	return (struct fieldmanager_request){
	    .manager = fieldmanager_name(req->options.field_manager, req->user_agent, a),
	    .subresource = req->subresource,
	    .now_s = req->received_real_ns / 1000000000,
	    .force = req->options.force == TRISTATE_TRUE,
	    .convert = convert_message,
	};
}

int manage_fields(void *arg, struct request *req, struct object *obj, const struct object *old,
                  struct arena *a, struct err *err)
{
	struct fieldmanager_request r = request_of(req, a);

	fieldmanager_update(&r, obj, old, a);
	return 0;
}

static const struct status *conflict(const struct fieldmanager_conflicts *c, struct arena *a)
{
	struct status_cause *causes = arena_array(a, struct status_cause, c->n);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct status *s;

	for (size_t i = 0; i < c->n; i++)
		causes[i] = (struct status_cause){
		    .reason = "FieldManagerConflict",
		    .message = arena_printf(a, "conflict with %s", c->at[i].manager),
		    .field = c->at[i].path,
		};
	fieldmanager_conflict_text(c, &text);
	s = status_new(a, 409, "Conflict", "%s", (const char *)text.data);
	status_details(s, NULL, NULL, NULL);
	s->details.causes = causes;
	s->details.n_causes = c->n;
	return s;
}

/* After the merge: the object is the one that the URL names. */
static const struct status *check_name(const struct request *req, struct object *obj,
                                       struct arena *a)
{
	const char *name = obj->meta->name, *ns = obj->meta->namespace_;

	if (!name[0])
		return status_bad_request(a,
		                          "the name of the object (%s based on URL) was "
		                          "undeterminable: name must be provided",
		                          req->name);
	if (strcmp(name, req->name) != 0)
		return status_bad_request(
		    a, "the name of the object (%s) does not match the name on the URL (%s)", name,
		    req->name);
	if (!obj->res->namespaced)
		return NULL;
	if (ns[0] && strcmp(ns, req->ns) != 0)
		return status_bad_request(a,
		                          "the namespace of the provided object does not match the "
		                          "namespace sent on the request");
	obj->meta->namespace_ = arena_strdup(a, req->ns);
	return NULL;
}

const struct status *apply_fields(void *arg, struct request *req, struct slice body,
                                  const struct object *old, struct arena *a, struct object *ret)
{
	struct fieldmanager_request r = request_of(req, a);
	struct fieldmanager_conflicts conflicts = {0};
	struct json_report report = {.arena = a};
	const struct resource_info *res = req->info->parent ? req->info->parent : req->info;
	struct err err = ERR_INIT;
	struct jvalue *tree;
	int code = yaml_parse(body, a, &report, &tree, &err);

	if (code < 0)
		return status_bad_request(a, "error decoding YAML: %s", err.text);
	if (report.n && req->options.field_validation == FIELD_VALIDATION_STRICT)
		return status_bad_request(a, "error strict decoding YAML: %s", report.at[0]);
	if (tree->kind != JVALUE_OBJECT)
		return status_bad_request(a, "error decoding YAML: the body is not an object");
	if (old && strcmp(req->info->kind, "Scale") == 0)
		code = fieldmanager_apply_scale(&r, tree, req->info->schema, old, a, ret,
		                                &conflicts, &err);
	else
		code = fieldmanager_apply(&r, tree, res, old, a, ret, &conflicts, &err);
	if (code == -ERR_CONFLICT)
		return conflict(&conflicts, a);
	if (code == -ERR_UNKNOWN)
		return status_new(a, 500, "", "%s", err.text);
	if (code < 0)
		return status_of_err(a, code, &err);
	if (!old)
		ret->meta->resource_version = (char *)"";
	return check_name(req, ret, a);
}
