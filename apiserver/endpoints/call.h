/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request on its way through the pipeline. Internal to endpoints/.
 *
 * A call lives in its request's arena and on its request's loop; it ends with call_end (or one of
 * the answers below, which end it), after which nothing of the request may be touched. A client
 * that goes away does not end it: store calls in flight come back to a call that is still there. */
#include "apiserver/endpoints/pipeline.h"
#include "apiserver/endpoints/stored.h"
#include "apiserver/storage/cacher.h"
#include "apiserver/storage/lease_pool.h"
#include "proto/codec.h"
#include "proto/core_v1.pb-c.h"
#include "proto/meta_v1.pb-c.h"

struct endpoint_resource {
	const struct resource_info *info;
	const struct strategy *st; /* of the subresource; NULL when it has none */
	struct cacher_resource *cache;
	struct pipeline *p;
	endpoint_handler handler;
	void *handler_arg;
};

struct pipeline {
	struct cacher *cacher;
	struct store_client *store;
	struct lease_pool *leases;
	struct pipeline_options o;
	struct services *services;           /* NULL: nothing is allocated */
	struct service_alloc *service_alloc; /* of services */
	struct endpoint_resource *resources; /* as resource_table */
};

struct endpoint_resource *pipeline_resource(const struct pipeline *p,
                                            const struct resource_info *info);

struct call {
	struct pipeline *p;
	struct request *req;
	struct response_sink *sink;
	struct arena *a;
	const struct resource_info *info;  /* of the request: may be a subresource */
	const struct resource_info *res;   /* the resource */
	const struct endpoint_resource *r; /* of info */
	const struct strategy *st;         /* of info, or of res */
	struct cacher_resource *cache;
	struct strategy_user user;
	struct strategy_ctx ctx;
	struct strategy_warnings warnings;
	bool dry_run;

	/* The step in flight. */
	struct admission_attrs admission;
	void (*next)(struct call *c);
	void (*refused)(struct call *c, const struct status *s);
};

/* A call for a handler, on a resource of its choice. */
struct call *call_new(struct pipeline *p, struct request *req, struct response_sink *sink,
                      const struct resource_info *info);
void call_init(struct call *c, const struct resource_info *info);

/* Handlers of pods/binding and of the bindings resource. */
void endpoint_binding(void *arg, struct pipeline *p, struct request *req,
                      struct response_sink *sink);

void endpoint_eviction(void *arg, struct pipeline *p, struct request *req,
                       struct response_sink *sink);
void endpoint_component_status(void *arg, struct pipeline *p, struct request *req,
                               struct response_sink *sink);

/* --- verbs: each answers and ends the call --------------------------------------------------- */

void endpoint_get(struct call *c);
void endpoint_list(struct call *c);
void endpoint_watch(struct call *c);
void endpoint_create(struct call *c);
void endpoint_update(struct call *c);
void endpoint_patch(struct call *c);
void endpoint_delete(struct call *c);
void endpoint_delete_collection(struct call *c);
/* The scale subresource: GET, PUT, PATCH. */
void endpoint_scale(struct call *c);

/* --- answers --------------------------------------------------------------------------------- */

void call_refuse(struct call *c, const struct status *s);
void call_refuse_err(struct call *c, int code, const struct err *err);
/* The Status of an error of the store or the cache. */
const struct status *call_store_status(struct call *c, int code, const struct err *err);
/* An object in the form that the client accepts. */
void call_reply_object(struct call *c, int http_status, const struct object *obj);
/* The same from a stored value. */
void call_reply_stored(struct call *c, int http_status, struct slice value, int64_t revision);
/* Warnings so far go out as headers; before the status. */
void call_flush_warnings(struct call *c);
const char *call_content_type(const struct call *c);

/* --- steps ----------------------------------------------------------------------------------- */

/* Runs an admission hook on c->admission; then c->next or c->refused. */
void call_admit(struct call *c, bool validate, void (*next)(struct call *c),
                void (*refused)(struct call *c, const struct status *s));
/* Decodes the body as `schema`; NULL, or the refusal. */
const struct status *call_decode_body(struct call *c, const struct schema_message *schema,
                                      ProtobufCMessage **ret, struct type_meta *ret_meta);
/* The unknown and duplicate fields of a decode become warnings, or a refusal when they must. */
const struct status *call_field_report(struct call *c, const struct schema_message *schema,
                                       const struct json_report *report);
/* Name and namespace of the object against the request's: fills the namespace in. */
const struct status *call_check_namespace(struct call *c, struct object *obj);
/* 422 of what validation found. */
const struct status *call_invalid(struct call *c, const struct object *obj,
                                  const struct field_errors *errs);
/* "ns/name" or "name": the key below the resource's prefix. */
struct slice call_key(struct call *c, const char *name);
struct slice call_store_key(struct call *c, const char *name);
const struct status *call_not_found(struct call *c);
const struct status *call_manage_fields(struct call *c, struct object *obj,
                                        const struct object *old);
/* "ConfigMap" or "Deployment.apps". */
const char *call_kind(const struct call *c);

/* --- creating: also what PUT and apply do with an object that is not there ---------------------
 */

/* Admission, strategy, transaction, answer 201. Ends the call. */
void create_object(struct call *c, struct object *obj);

/* --- the conflict loop ------------------------------------------------------------------------ */

/* Changes one stored object. attempt() is called with what is there (blob NULL: nothing), first as
 * the cache knows it, then as the store says, and leads, at once or later, to exactly one of the
 * mutation_ functions below; a refusal that came of the cache's state is tried again on the
 * store's. */
struct mutation {
	struct call *c;
	const char *name;
	void (*attempt)(struct mutation *m);
	/* The object is stored (or was already like this, or dry run). Ends the call. */
	void (*stored)(struct mutation *m, struct object *obj);
	/* The object is deleted. Ends the call. */
	void (*deleted)(struct mutation *m, int64_t revision);
	/* Ends the call. NULL: call_refuse. */
	void (*refused)(struct mutation *m, const struct status *s);
	void *arg;

	/* What is there. */
	struct blob *blob;
	int64_t revision;
	struct object old; /* decoded, valid when blob is not NULL */

	struct object obj;  /* what is being written */
	struct slice value; /* as the store is to hold it, in the arena */
	bool live;          /* the store said so, not the cache */
	int attempts;
	size_t n_warnings;         /* what was there before: each attempt gives its own */
	const struct status *held; /* a refusal that waits for the store's word */
};

void mutation_start(struct mutation *m);
/* Writes the object. */
void mutation_put(struct mutation *m, struct object *obj);
void mutation_delete(struct mutation *m);
/* Nothing is to be written: the object is answered as it is. */
void mutation_keep(struct mutation *m, struct object *obj);
/* In stored(): answers 200 with the object as a reader of the store would see it. */
void mutation_reply(struct mutation *m);
void mutation_refuse(struct mutation *m, const struct status *s);
/* Admission, registry_before_update, validation, then mutation_put (or mutation_delete when this
 * took the last finalizer of an object that was waiting for it). */
void update_object(struct mutation *m, struct object *obj);

/* The object that the request's patch makes of `old`, decoded and defaulted; NULL, or the refusal.
 */
const struct status *patch_object(struct call *c, const struct object *old, struct object *ret);

/* --- encoding -------------------------------------------------------------------------------- */

/* Appends the object as the client accepts it: the kind itself, partial metadata, or a table. */
void encode_object(struct call *c, const struct object *obj, struct buf *out);
/* One item of a list or the object of an event in JSON or protobuf, from a stored value. */
_must_use_ int encode_stored(struct call *c, struct slice value, int64_t revision, bool nested,
                             struct buf *out, struct err *err);

/* table.c */
struct table_meta {
	int64_t revision; /* 0: none */
	const char *continue_token;
	int64_t remaining; /* -1: not told */
};
void table_begin(struct call *c, const struct table_meta *meta, bool columns, struct buf *out);
void table_row_add(struct call *c, const struct object *obj, bool first, struct buf *out);
void table_end(struct buf *out);

/* --- lists ----------------------------------------------------------------------------------- */

/* Selectors and the key or namespace of a list or watch: NULL or the refusal. */
const struct status *call_selection(struct call *c, struct cache_selection *ret);
/* Whether there are labels or fields to match beyond the key. */

/* --- DeleteOptions --------------------------------------------------------------------------- */

/* From the body or the query. NULL, or the refusal. */
const struct status *call_delete_options(struct call *c, MetaV1__DeleteOptions **ret);
struct deletion {
	struct mutation m;
	const MetaV1__DeleteOptions *options;
	bool validated;
	/* What became of it: *obj is its last state. `gone`: it is no longer stored. Ends nothing.
	 */
	void (*done)(struct deletion *d, struct object *obj, bool gone);
	void (*failed)(struct deletion *d, const struct status *s);
	void *arg;
	struct object last;
	int64_t grace_s;
	bool finish;     /* the write that is under way is followed by the delete itself */
	bool delete_now; /* the grace period of 0 is written: nothing but the delete is left */
};
/* Jobs leave their pods behind unless told otherwise. */
void warn_of_orphans(struct call *c, const MetaV1__DeleteOptions *o);
void deletion_start(struct deletion *d, struct call *c, const char *name);
