/* SPDX-License-Identifier: Apache-2.0 */
/* DELETE of one object (apiserver registry/generic/registry/store.go, rest/delete.go):
 * preconditions, grace periods, finalizers, propagation. */
#include "apiserver/endpoints/call.h"

static const char ORPHAN[] = "orphan", FOREGROUND[] = "foregroundDeletion";

/* --- finalizers ------------------------------------------------------------------------------ */

static bool has_finalizer(const MetaV1__ObjectMeta *meta, const char *name)
{
	for (size_t i = 0; i < meta->n_finalizers; i++)
		if (strcmp(meta->finalizers[i], name) == 0)
			return true;
	return false;
}

static bool policy_is(const struct deletion *d, const char *policy)
{
	return d->options->propagation_policy &&
	       strcmp(d->options->propagation_policy, policy) == 0;
}

/* The options win over the finalizers that are there, those over the kind's default. */
static bool wants_orphan(const struct deletion *d, const MetaV1__ObjectMeta *meta)
{
	if (d->options->has_orphan_dependents)
		return d->options->orphan_dependents;
	if (d->options->propagation_policy)
		return policy_is(d, "Orphan");
	if (has_finalizer(meta, ORPHAN))
		return true;
	if (has_finalizer(meta, FOREGROUND))
		return false;
	return pipeline_resource(d->m.c->p, d->m.c->res)->st->delete_default == DELETE_ORPHAN;
}

static bool wants_foreground(const struct deletion *d, const MetaV1__ObjectMeta *meta)
{
	if (d->options->has_orphan_dependents)
		return false;
	if (d->options->propagation_policy)
		return policy_is(d, "Foreground");
	return has_finalizer(meta, FOREGROUND);
}

/* True when the finalizers of garbage collection change. */
static bool set_finalizers(struct deletion *d, MetaV1__ObjectMeta *meta)
{
	bool orphan = wants_orphan(d, meta), foreground = wants_foreground(d, meta);
	char **list;
	size_t n = 0;

	if (orphan == has_finalizer(meta, ORPHAN) && foreground == has_finalizer(meta, FOREGROUND))
		return false;
	list = arena_array(d->m.c->a, char *, meta->n_finalizers + 2);
	for (size_t i = 0; i < meta->n_finalizers; i++)
		if (strcmp(meta->finalizers[i], ORPHAN) && strcmp(meta->finalizers[i], FOREGROUND))
			list[n++] = meta->finalizers[i];
	if (orphan)
		list[n++] = (char *)ORPHAN;
	if (foreground)
		list[n++] = (char *)FOREGROUND;
	meta->finalizers = list;
	meta->n_finalizers = n;
	return true;
}

/* --- grace ----------------------------------------------------------------------------------- */

enum grace {
	GRACE_NONE,    /* nothing waits */
	GRACE_SET,     /* the metadata was changed and has to be written */
	GRACE_PENDING, /* a deletion is on its way and stays as it is */
};

static void set_deletion(struct deletion *d, MetaV1__ObjectMeta *meta, int64_t at_s,
                         int64_t grace_s)
{
	MetaV1__Time *t = arena_new(d->m.c->a, MetaV1__Time);

	meta_v1__time__init(t);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = at_s;
	meta->deletion_timestamp = t;
	meta->has_deletion_grace_period_seconds = 1;
	meta->deletion_grace_period_seconds = grace_s;
}

static enum grace grace_again(struct deletion *d, MetaV1__ObjectMeta *meta)
{
	int64_t was = meta->deletion_grace_period_seconds;

	if (!meta->has_deletion_grace_period_seconds)
		return GRACE_NONE;
	if (!d->options->has_grace_period_seconds || d->grace_s >= was)
		return GRACE_PENDING;
	set_deletion(d, meta, meta->deletion_timestamp->seconds - was + d->grace_s, d->grace_s);
	return GRACE_SET;
}

static enum grace grace_first(struct deletion *d, struct object *obj)
{
	struct call *c = d->m.c;
	const struct strategy *st = pipeline_resource(c->p, c->res)->st;
	MetaV1__ObjectMeta *meta = obj->meta;

	if (!st->graceful)
		return GRACE_NONE;
	if (meta->deletion_timestamp)
		return grace_again(d, meta);
	if (!st->graceful(&c->ctx, obj, &d->grace_s))
		return GRACE_NONE;
	set_deletion(d, meta, c->ctx.now_sec + d->grace_s, d->grace_s);
	if (object_generation(obj) > 0)
		object_set_generation(obj, object_generation(obj) + 1);
	return GRACE_SET;
}

/* Kinds without grace: an object that has finalizers is marked and stays. */
static void mark_deleted(struct deletion *d, struct object *obj)
{
	MetaV1__ObjectMeta *meta = obj->meta;

	if (!meta->has_deletion_grace_period_seconds && object_generation(obj) > 0)
		object_set_generation(obj, object_generation(obj) + 1);
	set_deletion(d, meta,
	             meta->deletion_timestamp &&
	                     meta->deletion_timestamp->seconds <= d->m.c->ctx.now_sec
	                 ? meta->deletion_timestamp->seconds
	                 : d->m.c->ctx.now_sec,
	             0);
}

/* --- preconditions --------------------------------------------------------------------------- */

static const struct status *check_preconditions(struct deletion *d)
{
	const MetaV1__Preconditions *p = d->options->preconditions;
	const MetaV1__ObjectMeta *meta = d->m.old.meta;
	struct call *c = d->m.c;
	const char *why = NULL;

	if (p && p->uid && strcmp(p->uid, meta->uid) != 0)
		why = arena_printf(c->a,
		                   "the UID in the precondition (%s) does not match the UID in "
		                   "record (%s). The object might have been deleted and then "
		                   "recreated",
		                   p->uid, meta->uid);
	else if (p && p->resource_version &&
	         strcmp(p->resource_version, meta->resource_version) != 0)
		why = arena_printf(c->a,
		                   "the ResourceVersion in the precondition (%s) does not match "
		                   "the ResourceVersion in record (%s). The object might have "
		                   "been modified",
		                   p->resource_version, meta->resource_version);
	return why ? status_conflict(c->a, c->res->group, c->res->resource, d->m.name, why) : NULL;
}

/* --- the loop -------------------------------------------------------------------------------- */

static bool is_namespace(const struct call *c)
{
	return c->res->group[0] == '\0' && strcmp(c->res->resource, "namespaces") == 0;
}

/* A namespace with finalizers in its spec is marked Terminating; finalize lets it go. Returns true
 * when it has to be written. */
static bool namespace_terminates(struct deletion *d, struct object *obj)
{
	CoreV1__Namespace *ns = OBJECT_MSG(obj, CoreV1__Namespace);

	if (!is_namespace(d->m.c) || obj->meta->deletion_timestamp)
		return false;
	set_deletion(d, obj->meta, d->m.c->ctx.now_sec, 0);
	obj->meta->has_deletion_grace_period_seconds = 0;
	obj->meta->deletion_grace_period_seconds = 0;
	ns->status->phase = (char *)"Terminating";
	return true;
}

static bool namespace_held(const struct object *obj)
{
	const CoreV1__Namespace *ns = OBJECT_MSG(obj, CoreV1__Namespace);

	return ns->spec->n_finalizers > 0;
}

static void decide_namespace(struct deletion *d)
{
	struct object obj = object_copy(d->m.c->a, &d->m.old);
	bool changed = namespace_terminates(d, &obj);

	changed |= set_finalizers(d, obj.meta);
	d->last = obj;
	if (changed)
		mutation_put(&d->m, &obj);
	else if (namespace_held(&obj) || obj.meta->n_finalizers)
		mutation_keep(&d->m, &obj);
	else
		mutation_delete(&d->m);
}

static void decide(struct deletion *d)
{
	struct object obj = object_copy(d->m.c->a, &d->m.old);
	enum grace grace;

	d->grace_s = d->options->has_grace_period_seconds ? d->options->grace_period_seconds : -1;
	if (d->options->has_grace_period_seconds && d->grace_s < 0)
		d->grace_s = 1;
	grace = grace_first(d, &obj);
	if (grace == GRACE_PENDING && !d->delete_now) {
		d->last = d->m.old;
		mutation_keep(&d->m, &obj);
		return;
	}
	set_finalizers(d, obj.meta);
	d->finish = false;
	d->last = obj;
	if (grace == GRACE_SET && !d->delete_now) {
		d->finish = !obj.meta->n_finalizers && d->grace_s == 0;
		mutation_put(&d->m, &obj);
	} else if (obj.meta->n_finalizers) {
		if (grace != GRACE_SET)
			mark_deleted(d, &obj);
		d->last = obj;
		mutation_put(&d->m, &obj);
	} else {
		mutation_delete(&d->m);
	}
}

static struct deletion *deletion_of(struct call *c)
{
	return CONTAINER_OF(c->admission.old, struct deletion, m.old);
}

static void admitted(struct call *c)
{
	struct deletion *d = deletion_of(c);

	d->validated = true;
	if (is_namespace(c))
		decide_namespace(d);
	else
		decide(d);
}

static void refused(struct call *c, const struct status *s)
{
	mutation_refuse(&deletion_of(c)->m, s);
}

static void admit_validate(struct call *c)
{
	call_admit(c, true, admitted, refused);
}

static void attempt(struct mutation *m)
{
	struct deletion *d = CONTAINER_OF(m, struct deletion, m);
	struct call *c = m->c;
	const struct status *s;

	if (!m->blob && d->delete_now) {
		m->deleted(m, 0); /* somebody else finished it */
		return;
	}
	if (!m->blob) {
		mutation_refuse(m,
		                status_not_found(c->a, c->res->group, c->res->resource, m->name));
		return;
	}
	s = check_preconditions(d);
	if (s && !d->delete_now) {
		mutation_refuse(m, s);
		return;
	}
	c->admission =
	    (struct admission_attrs){.op = ADMIT_DELETE, .old = &m->old, .name = m->name};
	if (d->validated)
		admitted(c);
	else
		call_admit(c, false, admit_validate, refused);
}

static void after_grace(void *arg, const struct store_result *r)
{
	struct deletion *d = arg;

	if (r->code < 0)
		d->failed(d, call_store_status(d->m.c, r->code, &r->err));
	else if (r->done || !r->n_kvs)
		d->done(d, &d->last, true);
	else
		mutation_start(&d->m);
}

static void stored(struct mutation *m, struct object *obj)
{
	struct deletion *d = CONTAINER_OF(m, struct deletion, m);
	struct call *c = m->c;

	d->last = *obj;
	d->delete_now = d->finish;
	if (d->delete_now && !c->dry_run)
		store_delete(c->p->store, c->req->loop, call_store_key(c, m->name),
		             strtoll(obj->meta->resource_version, NULL, 10), after_grace, d);
	else
		d->done(d, obj, d->delete_now);
}

static void deleted(struct mutation *m, int64_t revision)
{
	struct deletion *d = CONTAINER_OF(m, struct deletion, m);

	d->done(d, &d->last, true);
}

static void failed(struct mutation *m, const struct status *s)
{
	struct deletion *d = CONTAINER_OF(m, struct deletion, m);

	d->failed(d, s);
}

void deletion_start(struct deletion *d, struct call *c, const char *name)
{
	d->m.c = c;
	d->m.name = name;
	d->m.attempt = attempt;
	d->m.stored = stored;
	d->m.deleted = deleted;
	d->m.refused = failed;
	mutation_start(&d->m);
}

/* --- DELETE ---------------------------------------------------------------------------------- */

/* Kinds whose delete answers with the object instead of a Status. */
static bool returns_object(const struct resource_info *res)
{
	static const char *const kinds[] = {
	    "CSIDriver",
	    "CSINode",
	    "DeviceClass",
	    "PersistentVolume",
	    "Pod",
	    "PodTemplate",
	    "PersistentVolumeClaim",
	    "ResourceClaim",
	    "ResourceQuota",
	    "ResourceSlice",
	    "ResourceClaimTemplate",
	    "Service",
	    "ServiceAccount",
	    "StorageClass",
	    "VolumeAttachment",
	    "VolumeAttributesClass",
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], res->kind) == 0)
			return true;
	return false;
}

static void delete_done(struct deletion *d, struct object *obj, bool gone)
{
	struct call *c = d->m.c;
	int code = !gone && d->options->has_orphan_dependents && !d->options->orphan_dependents
	               ? 202
	               : 200;

	if (!gone || returns_object(c->res)) {
		call_reply_object(c, code, obj);
		return;
	}
	call_flush_warnings(c);
	status_send(
	    status_deleted(c->a, c->res->group, c->res->resource, d->m.name, object_uid(obj)),
	    c->req, c->sink);
}

static void delete_failed(struct deletion *d, const struct status *s)
{
	call_refuse(d->m.c, s);
}

void warn_of_orphans(struct call *c, const MetaV1__DeleteOptions *o)
{
	const char *warning = pipeline_resource(c->p, c->res)->st->delete_warning;

	if (warning && !o->has_orphan_dependents && !o->propagation_policy)
		strategy_warn(&c->warnings, "%s", warning);
}

void endpoint_delete(struct call *c)
{
	struct deletion *d = arena_new(c->a, struct deletion);
	MetaV1__DeleteOptions *options;
	const struct status *s = call_delete_options(c, &options);

	if (s) {
		call_refuse(c, s);
		return;
	}
	warn_of_orphans(c, options);
	d->options = options;
	d->done = delete_done;
	d->failed = delete_failed;
	deletion_start(d, c, c->req->name);
}
