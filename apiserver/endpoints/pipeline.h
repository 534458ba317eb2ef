/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The one pipeline that every request runs through, whatever front door it came by:
 * authentication, authorization, decode, defaulting, mutating admission, strategy, validating
 * admission, store transaction, answer (ARCHITECTURE.md).
 *
 * The parts that other folders own plug in as hooks. A hook that is NULL is skipped. Hooks run on
 * the front loop that owns the request and answer exactly once, on that loop, by calling `done`, at
 * once or later; the request stays alive meanwhile, whether or not its client does. */
#include <stdbool.h>
#include "apiserver/registry/strategy.h"
#include "apiserver/request/request.h"
#include "apiserver/request/status.h"
#include "common/base/err.h"

struct cacher;
struct cacher_resource;
struct loop;
struct pipeline;

/* `refusal` NULL: go on; else the Status that the client gets, in the request's arena. */
typedef void (*hook_done)(void *done_arg, const struct status *refusal);

enum admission_operation { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE, ADMIT_CONNECT };

/* What admission sees. Mutating admission changes `obj` in place (or sets *obj to another object of
 * the arena); validating admission must not. */
struct admission_attrs {
	struct pipeline *pipeline;
	struct request *req;
	enum admission_operation op;
	const struct resource_info *res; /* the resource, never a subresource */
	const char *subresource;         /* "" none */
	const char *ns, *name;           /* name is "" while it is still to be generated */
	struct object *obj;              /* NULL on delete */
	const struct object *old;        /* NULL on create and connect */
	bool dry_run;
	struct arena *arena; /* the request's */
	struct strategy_warnings *warnings;
	struct loop *loop;
};

struct pipeline_hooks {
	/* Fills req->user (and impersonator), or refuses: 401. */
	void (*authenticate)(void *arg, struct request *req, hook_done done, void *done_arg);
	void *authenticate_arg;
	/* Allows or refuses: 403. Resolves impersonation first. */
	void (*authorize)(void *arg, struct request *req, hook_done done, void *done_arg);
	void *authorize_arg;

	void (*admit_mutate)(void *arg, struct admission_attrs *at, hook_done done, void *done_arg);
	void (*admit_validate)(void *arg, struct admission_attrs *at, hook_done done,
	                       void *done_arg);
	void *admit_arg;

	/* managedFields: after decode and defaulting of create (old NULL), update and non-apply
	 * patch. `subresource` "" or "status" and so on. 0 or -ERR_x. */
	int (*manage_fields)(void *arg, struct request *req, struct object *obj,
	                     const struct object *old, struct arena *a, struct err *err);
	/* Server-side apply: merges the body into `old` (NULL: the object is made). Refuses with a
	 * status (409 with its causes), or gives *ret. */
	const struct status *(*apply)(void *arg, struct request *req, struct slice body,
	                              const struct object *old, struct arena *a,
	                              struct object *ret);
	void *fields_arg;

	/* Requests that are not for a resource of the table: discovery, health, version, OpenAPI,
	 * custom resources. False: not mine, the answer is 404. Authorized already. */
	bool (*other)(void *arg, struct request *req, struct response_sink *sink);
	void *other_arg;
};

struct pipeline_options {
	struct cacher *cacher;
	struct strategy_options strategy;
	/* "10.96.0.0/16[,fd00::/108]" and "30000-32767" (NULL: that); NULL: Services get nothing.
	 */
	const char *service_ranges, *node_ports;
	int64_t event_ttl_s; /* 0: an hour */
	struct pipeline_hooks hooks;
};

/* Makes the caches of all resources of the table known to the cacher. */
int pipeline_new(const struct pipeline_options *o, struct pipeline **ret, struct err *err);
/* After the last request has ended. */
void pipeline_free(struct pipeline *p);
/* Hooks may be set until the first request is served. */
struct pipeline_hooks *pipeline_hooks(struct pipeline *p);
struct cacher *pipeline_cacher(const struct pipeline *p);
/* The cache of a resource; NULL for what is not stored. */
struct cacher_resource *pipeline_cache(const struct pipeline *p, const struct resource_info *res);

/* Serves one request: front doors call this on the request's loop. Everything that follows, up to
 * response_end, is the pipeline's. */
void endpoints_serve(struct pipeline *p, struct request *req, struct response_sink *sink);

/* A handler of one subresource (or of a resource that is not stored, subresource ""): all its
 * verbs, instead of what endpoints would do. The request is authenticated and authorized, its verb
 * is among those of the table, and it has no fault. The handler ends the answer. */
typedef void (*endpoint_handler)(void *arg, struct pipeline *p, struct request *req,
                                 struct response_sink *sink);
void pipeline_handle(struct pipeline *p, const char *group, const char *resource,
                     const char *subresource, endpoint_handler fn, void *arg);
