/* SPDX-License-Identifier: Apache-2.0 */
/* PATCH: JSON, merge and strategic merge patches (apiserver/patch), and server-side apply by the
 * hook. The patch is applied anew to whatever the conflict loop finds. */
#include "apiserver/endpoints/call.h"

#include "apiserver/patch/patch.h"
#include "proto/json_decode.h"
#include "proto/json_encode.h"

static int by_key(const void *a, const void *b)
{
	const struct jmember *x = a, *y = b;

	return strcmp(x->key, y->key);
}

/* A document as Go prints it with %v: "map[a:1 b:[x y]]". */
static void print_go(const struct jvalue *v, struct arena *a, struct buf *out)
{
	struct jmember *m;

	switch (v->kind) {
	case JVALUE_OBJECT:
		m = arena_memdup(a, v->members, v->n * sizeof(*m));
		qsort(m, v->n, sizeof(*m), by_key);
		buf_str(out, "map[");
		for (uint32_t i = 0; i < v->n; i++) {
			buf_printf(out, "%s%s:", i ? " " : "", m[i].key);
			print_go(m[i].value, a, out);
		}
		buf_byte(out, ']');
		break;
	case JVALUE_ARRAY:
		buf_byte(out, '[');
		for (uint32_t i = 0; i < v->n; i++) {
			if (i)
				buf_byte(out, ' ');
			print_go(v->items[i], a, out);
		}
		buf_byte(out, ']');
		break;
	case JVALUE_STRING:
		buf_slice(out, jvalue_slice(v));
		break;
	case JVALUE_NULL:
		buf_str(out, "<nil>");
		break;
	default:
		jvalue_write(v, out);
		break;
	}
}

struct patching {
	struct call *c;
	const struct jvalue *patch;
	struct jvalue *result;
	bool strategic;
};

/* 422 with what came out of the patch (or, of a strategic one, the patch itself) as the value. */
static const struct status *invalid_patch(const struct patching *p, const char *why)
{
	struct arena *a = p->c->a;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct status_cause *cause = arena_new(a, struct status_cause);
	const char *message;

	if (p->strategic)
		print_go(p->patch, a, &text);
	else
		jvalue_write_sorted(p->result, &text);
	buf_byte(&text, 0);
	message = arena_printf(a, "Invalid value: %s: %s", field_quote(a, (char *)text.data), why);
	*cause = (struct status_cause){"FieldValueInvalid", message, "patch"};
	return status_invalid(a, "", "", "",
	                      arena_printf(a, " \"\" is invalid: patch: %s", message), cause, 1);
}

static const struct status *patch_failed(struct call *c, int code, const struct err *err)
{
	struct status *s;

	switch (-code) {
	case ERR_INVALID:
		s = status_new(c->a, 422, "Invalid",
		               "the server rejected our request due to an error in our request");
		status_details(s, "", "", "");
		return s;
	case ERR_TOO_LARGE:
		return status_too_large(c->a, err->text);
	case ERR_INTERNAL:
		return status_new(c->a, 500, "", "%s", err->text);
	default:
		return status_bad_request(c->a, "%s", err->text);
	}
}

static const char *report_text(struct call *c, const struct json_report *report)
{
	const char *all = "";

	for (size_t i = 0; i < report->n; i++)
		all = arena_printf(c->a, "%s%s%s", all, i ? ", " : "", report->at[i]);
	return all;
}

static const struct status *check_report(const struct patching *p, const struct json_report *report)
{
	struct call *c = p->c;

	if (!report->n || c->req->options.field_validation == FIELD_VALIDATION_IGNORE)
		return NULL;
	if (c->req->options.field_validation == FIELD_VALIDATION_STRICT)
		return invalid_patch(
		    p, arena_printf(c->a, "strict decoding error: %s", report_text(c, report)));
	for (size_t i = 0; i < report->n; i++)
		strategy_warn(&c->warnings, "%s", report->at[i]);
	return NULL;
}

/* The result says that it is of another kind: upstream decodes it as that one and fails there, or
 * later for want of a conversion. */
static const struct status *check_kind(const struct patching *p,
                                       const struct schema_message *schema)
{
	struct call *c = p->c;
	const char *version = jvalue_get_str(p->result, "apiVersion", "");
	const char *kind = jvalue_get_str(p->result, "kind", "");
	const char *slash = strchr(version, '/');
	const char *group = slash ? arena_strndup(c->a, version, (size_t)(slash - version)) : "";
	const struct schema_message *is = schema_by_gvk(group, slash ? slash + 1 : version, kind);
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;

	if (is == schema)
		return NULL;
	if (!is)
		return invalid_patch(
		    p, arena_printf(c->a,
		                    "no kind \"%s\" is registered for version \"%s\" in "
		                    "scheme \"pkg/api/legacyscheme/scheme.go:30\"",
		                    kind, version));
	if (json_decode_tree(is, p->result, c->a, NULL, &msg, NULL, &err) < 0)
		return invalid_patch(p, err.text);
	return invalid_patch(p,
	                     arena_printf(c->a, "unable to convert %s to %s", kind, schema->kind));
}

static int read_and_apply(struct patching *p, struct jvalue *doc,
                          const struct schema_message *schema, struct json_report *report,
                          struct err *err)
{
	struct call *c = p->c;
	struct jvalue *patch;
	int r;

	if (c->req->body_type == MEDIA_JSON_PATCH)
		r = patch_read_json(c->req->body, c->a, &patch, err);
	else
		r = patch_read_merge(c->req->body, c->a, report, &patch, err);
	if (r < 0)
		return r;
	p->patch = p->strategic ? jvalue_copy(c->a, patch) : patch;
	if (c->req->body_type == MEDIA_JSON_PATCH)
		return patch_apply_json(doc, patch, c->a, &p->result, err);
	if (p->strategic)
		return patch_apply_strategic(schema, doc, patch, c->a, &p->result, err);
	return patch_apply_merge(doc, patch, c->a, &p->result, err);
}

const struct status *patch_object(struct call *c, const struct object *old, struct object *ret)
{
	struct patching p = {.c = c, .strategic = c->req->body_type == MEDIA_STRATEGIC_PATCH};
	struct json_report report = {.arena = c->a};
	struct err err = ERR_INIT;
	ProtobufCMessage *msg;
	const struct status *s;
	int r = read_and_apply(&p, json_encode_tree(old->schema, old->msg, NULL, c->a), old->schema,
	                       &report, &err);

	if (r < 0)
		return patch_failed(c, r, &err);
	s = check_kind(&p, old->schema);
	if (s)
		return s;
	if (json_decode_tree(old->schema, p.result, c->a, &report, &msg, NULL, &err) < 0)
		return invalid_patch(&p, err.text);
	s = check_report(&p, &report);
	if (s)
		return s;
	*ret = object_of(old->res, old->schema, msg);
	return NULL;
}

/* --- PATCH ----------------------------------------------------------------------------------- */

static void attempt_patch(struct mutation *m)
{
	struct call *c = m->c;
	const struct status *s;
	struct object obj;

	if (!m->blob) {
		mutation_refuse(m, call_not_found(c));
		return;
	}
	s = patch_object(c, &m->old, &obj);
	if (!s && strcmp(obj.meta->name, m->name) != 0)
		s = status_bad_request(
		    c->a, "the name of the object (%s) does not match the name on the URL (%s)",
		    obj.meta->name, m->name);
	if (s) {
		mutation_refuse(m, s);
		return;
	}
	registry_defaults(&c->ctx, pipeline_resource(c->p, c->res)->st, &obj);
	s = call_manage_fields(c, &obj, &m->old);
	if (s)
		mutation_refuse(m, s);
	else
		update_object(m, &obj);
}

static void attempt_apply(struct mutation *m)
{
	struct pipeline_hooks *h = &m->c->p->o.hooks;
	struct call *c = m->c;
	const struct status *s;
	struct object obj;

	if (!m->blob && !m->live) {
		mutation_refuse(m, call_not_found(c)); /* the store decides */
		return;
	}
	if (!m->blob && c->info->parent) {
		mutation_refuse(m, call_not_found(c));
		return;
	}
	s = h->apply(h->fields_arg, c->req, c->req->body, m->blob ? &m->old : NULL, c->a, &obj);
	if (s) {
		mutation_refuse(m, s);
		return;
	}
	registry_defaults(&c->ctx, pipeline_resource(c->p, c->res)->st, &obj);
	if (m->blob)
		update_object(m, &obj);
	else
		create_object(c, &obj);
}

static void stored(struct mutation *m, struct object *obj)
{
	mutation_reply(m);
}

static void deleted(struct mutation *m, int64_t revision)
{
	call_reply_object(m->c, 200, &m->obj);
}

static const char ACCEPTED[] = "application/json-patch+json, application/merge-patch+json, "
                               "application/strategic-merge-patch+json, "
                               "application/apply-patch+yaml";

void endpoint_patch(struct call *c)
{
	struct mutation *m = arena_new(c->a, struct mutation);
	bool apply = c->req->body_type == MEDIA_APPLY_YAML;

	if ((apply && !c->p->o.hooks.apply) || (!apply && c->req->body_type != MEDIA_JSON_PATCH &&
	                                        c->req->body_type != MEDIA_MERGE_PATCH &&
	                                        c->req->body_type != MEDIA_STRATEGIC_PATCH)) {
		call_refuse(c, status_patch_media(c->a, ACCEPTED));
		return;
	}
	m->c = c;
	m->name = c->req->name;
	m->attempt = apply ? attempt_apply : attempt_patch;
	m->stored = stored;
	m->deleted = deleted;
	mutation_start(m);
}
