/* SPDX-License-Identifier: Apache-2.0 */
/* The scale subresource: a view of spec.replicas, status.replicas and the selector of workloads. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"

#include "proto/apps_v1.pb-c.h"
#include "proto/autoscaling_v1.pb-c.h"
#include "proto/meta_labels.h"
#include "proto/pb_decode.h"

/* --- the view -------------------------------------------------------------------------------- */

struct scale_fields {
	protobuf_c_boolean *has_replicas;
	int32_t *replicas;
	int32_t status_replicas;
	MetaV1__LabelSelector *selector;
	void *selector_map; /* of a ReplicationController */
	size_t n_selector_map;
};

#define WORKLOAD(type, obj, ret)                               \
	do {                                                   \
		type *w_ = OBJECT_MSG(obj, type);              \
		(ret)->has_replicas = &w_->spec->has_replicas; \
		(ret)->replicas = &w_->spec->replicas;         \
		(ret)->status_replicas = w_->status->replicas; \
		(ret)->selector = w_->spec->selector;          \
	} while (0)

static bool scale_fields_of(const struct object *obj, struct scale_fields *ret)
{
	const char *kind = obj->res->kind;

	*ret = (struct scale_fields){0};
	if (strcmp(kind, "Deployment") == 0) {
		WORKLOAD(AppsV1__Deployment, obj, ret);
	} else if (strcmp(kind, "ReplicaSet") == 0) {
		WORKLOAD(AppsV1__ReplicaSet, obj, ret);
	} else if (strcmp(kind, "StatefulSet") == 0) {
		WORKLOAD(AppsV1__StatefulSet, obj, ret);
	} else if (strcmp(kind, "ReplicationController") == 0) {
		CoreV1__ReplicationController *rc = OBJECT_MSG(obj, CoreV1__ReplicationController);

		ret->has_replicas = &rc->spec->has_replicas;
		ret->replicas = &rc->spec->replicas;
		ret->status_replicas = rc->status->replicas;
		ret->selector_map = rc->spec->selector;
		ret->n_selector_map = rc->spec->n_selector;
	} else {
		return false;
	}
	return true;
}

static const char *selector_text(const struct scale_fields *f, struct arena *a)
{
	struct label_selector sel = {0};
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (f->selector_map)
		sel = pb_map_selector(f->selector_map, f->n_selector_map, a);
	else if (meta_label_selector(f->selector, a, &sel, NULL) < 0)
		return "";
	label_selector_format(&sel, &out);
	return arena_strndup(a, out.data, out.len);
}

/* The Scale of a workload; false when the kind has none. */
static bool scale_of(struct call *c, const struct object *obj, struct object *ret)
{
	const struct schema_message *schema = c->info->schema;
	AutoscalingV1__Scale *s = (AutoscalingV1__Scale *)pb_new(schema, c->a);
	struct scale_fields f;

	if (!scale_fields_of(obj, &f))
		return false;
	s->metadata->name = obj->meta->name;
	s->metadata->namespace_ = obj->meta->namespace_;
	s->metadata->uid = obj->meta->uid;
	s->metadata->resource_version = obj->meta->resource_version;
	s->metadata->creation_timestamp = obj->meta->creation_timestamp;
	s->spec->replicas = *f.replicas;
	s->status->replicas = f.status_replicas;
	s->status->selector = (char *)selector_text(&f, c->a);
	*ret = object_of(c->res, schema, &s->base);
	return true;
}

static void reply_scale(struct call *c, const struct object *obj)
{
	struct object scale;

	if (scale_of(c, obj, &scale))
		call_reply_object(c, 200, &scale);
	else
		call_refuse(c, status_no_resource(c->a));
}

/* --- GET ------------------------------------------------------------------------------------- */

static void get(struct call *c, void *arg)
{
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct cache_object *o =
	    cache_object_ref(cache_tree_get(&s.tree, call_key(c, c->req->name)));
	struct err err = ERR_INIT;
	struct object obj;

	cacher_snapshot_deinit(&s);
	if (!o)
		call_refuse(c, call_not_found(c));
	else if (stored_decode(c->res, blob_view(o->blob), o->mod_revision, c->a, &obj, &err) < 0)
		call_refuse(c, status_internal(c->a, err.text));
	else
		reply_scale(c, &obj);
	cache_object_unref(o);
}

/* --- PUT and PATCH --------------------------------------------------------------------------- */

struct scaling {
	struct mutation m;
	struct object given; /* PUT: the Scale of the body */
};

static const struct status *check_replicas(struct call *c, int32_t replicas)
{
	struct field_errors errs = field_errors_in(c->a);
	_cleanup_buf_ struct buf message = BUF_INIT, text = BUF_INIT;
	struct status_cause cause;

	if (replicas >= 0)
		return NULL;
	field_invalid_int(&errs, FIELD(NULL, "spec.replicas"), replicas,
	                  "must be greater than or equal to 0");
	field_errors_message(&errs, "Scale.autoscaling", c->req->name, &message);
	field_error_body(&errs.at[0], &text);
	cause = (struct status_cause){field_error_reason(errs.at[0].type),
	                              arena_strndup(c->a, text.data, text.len), errs.at[0].field};
	return status_invalid(c->a, "autoscaling", "Scale", c->req->name,
	                      arena_strndup(c->a, message.data, message.len),
	                      arena_memdup(c->a, &cause, sizeof(cause)), 1);
}

/* Server-side apply works on the workload itself. */
static void attempt_apply(struct mutation *m)
{
	struct call *c = m->c;
	struct pipeline_hooks *h = &c->p->o.hooks;
	const struct status *s;
	struct scale_fields f;
	struct object obj;

	s = h->apply(h->fields_arg, c->req, c->req->body, &m->old, c->a, &obj);
	if (!s)
		registry_defaults(&c->ctx, c->st, &obj);
	if (!s && scale_fields_of(&obj, &f))
		s = check_replicas(c, *f.replicas);
	if (s)
		mutation_refuse(m, s);
	else
		update_object(m, &obj);
}

static void attempt(struct mutation *m)
{
	struct scaling *k = CONTAINER_OF(m, struct scaling, m);
	struct call *c = m->c;
	struct object obj, scale = k->given;
	struct scale_fields f;
	const struct status *s = NULL;

	if (!m->blob) {
		mutation_refuse(m, call_not_found(c));
		return;
	}
	if (c->req->verb == VERB_PATCH && c->req->body_type == MEDIA_APPLY_YAML &&
	    c->p->o.hooks.apply) {
		attempt_apply(m);
		return;
	}
	obj = object_copy(c->a, &m->old);
	if (!scale_fields_of(&obj, &f)) {
		mutation_refuse(m, status_no_resource(c->a));
		return;
	}
	if (!scale.msg) {
		struct object present;

		scale_of(c, &obj, &present);
		s = patch_object(c, &present, &scale);
	}
	if (!s)
		s = check_replicas(c, OBJECT_MSG(&scale, AutoscalingV1__Scale)->spec->replicas);
	if (s) {
		mutation_refuse(m, s);
		return;
	}
	*f.has_replicas = 1;
	*f.replicas = OBJECT_MSG(&scale, AutoscalingV1__Scale)->spec->replicas;
	obj.meta->resource_version = scale.meta->resource_version;
	obj.meta->uid = scale.meta->uid[0] ? scale.meta->uid : obj.meta->uid;
	s = call_manage_fields(c, &obj, &m->old);
	if (s)
		mutation_refuse(m, s);
	else
		update_object(m, &obj);
}

static void stored(struct mutation *m, struct object *obj)
{
	reply_scale(m->c, obj);
}

static void deleted(struct mutation *m, int64_t revision)
{
	reply_scale(m->c, &m->obj);
}

static const struct status *decode(struct call *c, struct object *ret)
{
	ProtobufCMessage *msg;
	struct type_meta meta;
	const struct status *s = call_decode_body(c, c->info->schema, &msg, &meta);

	if (s)
		return s;
	*ret = object_of(c->res, c->info->schema, msg);
	if (strcmp(ret->meta->name, c->req->name) != 0)
		return status_bad_request(
		    c->a, "the name of the object (%s) does not match the name on the URL (%s)",
		    ret->meta->name, c->req->name);
	return call_check_namespace(c, ret);
}

void endpoint_scale(struct call *c)
{
	struct scaling *k;
	const struct status *s = NULL;

	if (c->req->verb == VERB_GET) {
		call_await(c, FRESH_NOW, get, NULL);
		return;
	}
	k = arena_new(c->a, struct scaling);
	if (c->req->verb == VERB_UPDATE)
		s = decode(c, &k->given);
	if (s) {
		call_refuse(c, s);
		return;
	}
	c->st = pipeline_resource(c->p, c->res)->st;
	k->m.c = c;
	k->m.name = c->req->name;
	k->m.attempt = attempt;
	k->m.stored = stored;
	k->m.deleted = deleted;
	mutation_start(&k->m);
}
