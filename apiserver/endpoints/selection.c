/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors of lists, watches and deletecollection. */
#include "apiserver/endpoints/call.h"

#include "common/codec/fields.h"
#include "common/codec/labels.h"

static const struct status *parse_labels(struct call *c, struct cache_selection *ret)
{
	const char *text = c->req->options.label_selector;
	struct label_selector *sel = arena_new(c->a, struct label_selector);
	struct err err = ERR_INIT;

	if (!text[0])
		return NULL;
	if (label_selector_parse(text, c->a, sel, &err) < 0)
		return status_bad_request(c->a, "%s", err.text);
	ret->labels = label_selector_empty(sel) ? NULL : sel;
	return NULL;
}

static const struct status *parse_fields(struct call *c, struct cache_selection *ret)
{
	const char *text = c->req->options.field_selector, *why, *name;
	struct field_selector *sel = arena_new(c->a, struct field_selector);
	const struct strategy *st = pipeline_resource(c->p, c->res)->st;
	struct err err = ERR_INIT;

	if (!text[0])
		return NULL;
	if (field_selector_parse(text, c->a, sel, &err) < 0)
		return status_bad_request(c->a, "%s", err.text);
	for (size_t i = 0; i < sel->n; i++) {
		why = registry_field_error(st, c->res, sel->at[i].field, c->a);
		if (why)
			return status_bad_request(c->a, "%s", why);
	}
	/* Objects are kept with the fields of their stored version. */
	if (sel->n) {
		struct field_requirement *at = arena_memdup(c->a, sel->at, sel->n * sizeof(*at));
		for (size_t i = 0; i < sel->n; i++)
			at[i].field = registry_stored_field(st, at[i].field);
		sel->at = at;
		ret->fields = sel;
	}
	name = field_selector_exact(sel, "metadata.name");
	if (name && (!c->res->namespaced || c->req->ns[0]))
		ret->key = call_key(c, name);
	return NULL;
}

const struct status *call_selection(struct call *c, struct cache_selection *ret)
{
	const struct status *s;

	*ret = (struct cache_selection){0};
	if (c->res->namespaced && c->req->ns[0])
		ret->key_prefix = slice_str(arena_printf(c->a, "%s/", c->req->ns));
	s = parse_labels(c, ret);
	if (!s)
		s = parse_fields(c, ret);
	/* A name without a namespace, from a field selector, is one of many keys. */
	if (!s && c->req->name[0] && (!c->res->namespaced || c->req->ns[0]) &&
	    (c->req->verb == VERB_WATCH || c->req->verb == VERB_LIST))
		ret->key = call_key(c, c->req->name);
	return s;
}
