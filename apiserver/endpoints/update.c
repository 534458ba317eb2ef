/* SPDX-License-Identifier: Apache-2.0 */
/* UPDATE (PUT), and what UPDATE and PATCH do alike once the new object is known. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/list_options.h"
#include "apiserver/endpoints/services.h"
#include "apiserver/fieldmanager/fieldmanager.h"

/* --- the common part ------------------------------------------------------------------------- */

static struct mutation *mutation_of(struct call *c)
{
	return CONTAINER_OF(c->admission.old, struct mutation, old);
}

static void refused(struct call *c, const struct status *s)
{
	mutation_refuse(mutation_of(c), s);
}

/* The write leaves nothing that an object waits for whose grace period is over: it goes. */
static bool completes_deletion(const struct call *c, const struct object *obj,
                               const struct object *old)
{
	const MetaV1__ObjectMeta *was = old->meta;

	if (obj->meta->n_finalizers || !was->deletion_timestamp ||
	    (was->has_deletion_grace_period_seconds && was->deletion_grace_period_seconds != 0))
		return false;
	return strcmp(c->res->kind, "Namespace") != 0 ||
	       OBJECT_MSG(obj, CoreV1__Namespace)->spec->n_finalizers == 0;
}

static void allocated(struct call *c, const struct status *refusal)
{
	if (refusal)
		mutation_refuse(mutation_of(c), refusal);
	else
		mutation_put(mutation_of(c), c->admission.obj);
}

static void validated(struct call *c)
{
	struct mutation *m = mutation_of(c);

	if (completes_deletion(c, c->admission.obj, &m->old)) {
		m->obj = *c->admission.obj;
		mutation_delete(m);
	} else if (services_is(c)) {
		services_allocate(c, c->admission.obj, &m->old, allocated);
	} else {
		mutation_put(m, c->admission.obj);
	}
}

static void mutated(struct call *c)
{
	struct mutation *m = mutation_of(c);
	struct field_errors errs = field_errors_in(c->a);
	const struct status *s = call_check_namespace(c, c->admission.obj);

	if (s) {
		mutation_refuse(m, s);
		return;
	}
	fieldmanager_keep_times(c->admission.obj, &m->old, c->a);
	registry_before_update(&c->ctx, c->st, c->admission.obj, &m->old, &errs);
	if (errs.n) {
		mutation_refuse(m, call_invalid(c, c->admission.obj, &errs));
		return;
	}
	registry_warnings(&c->ctx, c->st, c->admission.obj, &m->old, &c->warnings);
	call_admit(c, true, validated, refused);
}

static const struct status *check_revision(struct mutation *m, struct object *obj)
{
	struct call *c = m->c;
	const char *given = obj->meta->resource_version, *why;
	int64_t revision = 0;

	if (given[0] && !resource_version_parse(given, c->a, &revision, &why))
		return status_new(c->a, 500, "", "%s", why);
	if (revision == 0) {
		if (c->st->allow_unconditional_update)
			obj->meta->resource_version = m->old.meta->resource_version;
		return NULL;
	}
	if (revision != m->revision)
		return status_conflict(c->a, c->res->group, c->res->resource, m->name,
		                       STATUS_MODIFIED);
	return NULL;
}

static const struct status *check_uid(struct mutation *m, const struct object *obj)
{
	struct call *c = m->c;
	const char *uid = obj->meta->uid, *there = object_uid(&m->old);
	struct slice key;

	if (!uid[0] || strcmp(uid, there) == 0)
		return NULL;
	key = call_store_key(c, m->name);
	return status_conflict(
	    c->a, c->res->group, c->res->resource, m->name,
	    arena_printf(c->a,
	                 "StorageError: invalid object, Code: 4, Key: %.*s, ResourceVersion: 0, "
	                 "AdditionalErrorMsg: Precondition failed: UID in precondition: %s, UID in "
	                 "object meta: %s",
	                 SLICE_FMT(key), uid, there));
}

void update_object(struct mutation *m, struct object *obj)
{
	struct call *c = m->c;
	const struct status *s = check_revision(m, obj);
	struct object *mine = arena_new(c->a, struct object);

	if (s) {
		mutation_refuse(m, s);
		return;
	}
	*mine = *obj;
	c->admission = (struct admission_attrs){
	    .op = ADMIT_UPDATE, .obj = mine, .old = &m->old, .name = m->name};
	call_admit(c, false, mutated, refused);
}

/* --- PUT ------------------------------------------------------------------------------------- */

struct put {
	struct mutation m;
	struct object given; /* as decoded: each attempt works on a copy */
};

static void put_attempt(struct mutation *m)
{
	struct put *p = CONTAINER_OF(m, struct put, m);
	struct call *c = m->c;
	struct object obj = object_copy(c->a, &p->given);
	const struct status *s;

	if (!m->blob && (!c->st->allow_create_on_update || c->info->parent)) {
		mutation_refuse(m, call_not_found(c));
		return;
	}
	if (!m->blob && !m->live) {
		mutation_refuse(m, call_not_found(c)); /* the store decides */
		return;
	}
	s = m->blob ? check_uid(m, &obj) : NULL;
	if (!s)
		s = call_manage_fields(c, &obj, m->blob ? &m->old : NULL);
	if (s) {
		mutation_refuse(m, s);
	} else if (m->blob) {
		update_object(m, &obj);
	} else {
		obj.meta->resource_version = (char *)"";
		create_object(c, &obj);
	}
}

static void put_stored(struct mutation *m, struct object *obj)
{
	mutation_reply(m);
}

static void put_deleted(struct mutation *m, int64_t revision)
{
	call_reply_object(m->c, 200, &m->obj);
}

static const struct status *check_name(struct call *c, const struct object *obj)
{
	if (!obj->meta->name[0])
		return status_bad_request(c->a,
		                          "the name of the object (%s based on URL) was "
		                          "undeterminable: name must be provided",
		                          c->req->name);
	if (strcmp(obj->meta->name, c->req->name) != 0)
		return status_bad_request(
		    c->a, "the name of the object (%s) does not match the name on the URL (%s)",
		    obj->meta->name, c->req->name);
	return NULL;
}

void endpoint_update(struct call *c)
{
	struct put *p = arena_new(c->a, struct put);
	ProtobufCMessage *msg;
	struct type_meta meta;
	const struct status *s = call_decode_body(c, c->res->schema, &msg, &meta);

	if (!s) {
		p->given = object_of(c->res, c->res->schema, msg);
		s = check_name(c, &p->given);
	}
	if (!s)
		s = call_check_namespace(c, &p->given);
	if (s) {
		call_refuse(c, s);
		return;
	}
	registry_defaults(&c->ctx, pipeline_resource(c->p, c->res)->st, &p->given);
	p->m.c = c;
	p->m.name = c->req->name;
	p->m.attempt = put_attempt;
	p->m.stored = put_stored;
	p->m.deleted = put_deleted;
	mutation_start(&p->m);
}
