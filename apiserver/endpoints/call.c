/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that several verbs take. */
#include "apiserver/endpoints/call.h"

struct slice call_key(struct call *c, const char *name)
{
	return slice_str(c->res->namespaced ? arena_printf(c->a, "%s/%s", c->req->ns, name)
	                                    : arena_strdup(c->a, name));
}

struct slice call_store_key(struct call *c, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	cacher_key(c->cache, call_key(c, name), &b);
	return slice_of(arena_memdup(c->a, b.data, b.len), b.len);
}

const struct status *call_not_found(struct call *c)
{
	return status_not_found(c->a, c->res->group, c->res->resource, c->req->name);
}

/* Validation speaks of the stored kind: an Event of events.k8s.io is simply an Event. */
static const char *kind_group(const struct call *c)
{
	return c->res->storage_prefix ? c->res->storage_group : c->res->group;
}

const char *call_kind(const struct call *c)
{
	const char *group = kind_group(c);

	return group[0] ? arena_printf(c->a, "%s.%s", c->res->kind, group) : c->res->kind;
}

const struct status *call_check_namespace(struct call *c, struct object *obj)
{
	const char *want = c->res->namespaced ? c->req->ns : "";

	if (obj->meta->namespace_[0] && strcmp(obj->meta->namespace_, want) != 0 &&
	    (want[0] || c->res->namespaced))
		return status_bad_request(c->a,
		                          "the namespace of the provided object does not match the "
		                          "namespace sent on the request");
	if (!c->res->namespaced && obj->meta->namespace_[0])
		return NULL; /* validation says what is wrong with it */
	obj->meta->namespace_ = arena_strdup(c->a, want);
	return NULL;
}

const struct status *call_invalid(struct call *c, const struct object *obj,
                                  const struct field_errors *errs)
{
	struct status_cause *causes = arena_array(c->a, struct status_cause, errs->n);
	_cleanup_buf_ struct buf message = BUF_INIT, text = BUF_INIT;
	const char *name = obj->meta ? obj->meta->name : c->req->name;

	field_errors_message(errs, call_kind(c), name, &message);
	for (size_t i = 0; i < errs->n; i++) {
		buf_clear(&text);
		field_error_body(&errs->at[i], &text);
		causes[i] = (struct status_cause){
		    .reason = field_error_reason(errs->at[i].type),
		    .message = arena_strndup(c->a, text.data, text.len),
		    .field = errs->at[i].field,
		};
	}
	return status_invalid(c->a, kind_group(c), c->res->kind, name,
	                      arena_strndup(c->a, message.data, message.len), causes, errs->n);
}

const struct status *call_manage_fields(struct call *c, struct object *obj,
                                        const struct object *old)
{
	struct pipeline_hooks *h = &c->p->o.hooks;
	struct err err = ERR_INIT;
	int r;

	if (!h->manage_fields)
		return NULL;
	r = h->manage_fields(h->fields_arg, c->req, obj, old, c->a, &err);
	return r < 0 ? status_of_err(c->a, r, &err) : NULL;
}

static void admitted(void *arg, const struct status *refusal)
{
	struct call *c = arg;

	if (refusal)
		c->refused(c, refusal);
	else
		c->next(c);
}

void call_admit(struct call *c, bool validate, void (*next)(struct call *c),
                void (*refused)(struct call *c, const struct status *s))
{
	struct pipeline_hooks *h = &c->p->o.hooks;
	struct admission_attrs *at = &c->admission;

	at->pipeline = c->p;
	at->req = c->req;
	at->res = c->res;
	at->subresource = c->info->subresource;
	at->ns = c->req->ns;
	at->dry_run = c->dry_run;
	at->arena = c->a;
	at->warnings = &c->warnings;
	at->loop = c->req->loop;
	c->next = next;
	c->refused = refused;
	if (validate && h->admit_validate)
		h->admit_validate(h->admit_arg, at, admitted, c);
	else if (!validate && h->admit_mutate)
		h->admit_mutate(h->admit_arg, at, admitted, c);
	else
		next(c);
}
