/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The one pipeline that every request runs through, whatever front door it came by:
 * authentication, authorization, decode, defaulting, mutating admission, strategy, validating
 * admission, store transaction, answer (ARCHITECTURE.md).
 *
 * The parts that other folders own plug in as hooks. A hook that is NULL is skipped. Hooks run on
 * the front loop that owns the request; asynchronous ones answer once, on the same loop, by calling
 * the continuation, at once or later. */
#include <stdbool.h>
#include "apiserver/registry/strategy.h"

struct request;
struct cacher;
struct loop;
struct pipeline;
struct endpoint_call;

/* A refusal: what the Status says. `code` ERR_OK lets the request pass. */
struct hook_result {
	int code;            /* 0 or -ERR_x */
	int http_status;     /* 0: from code */
	const char *reason;  /* NULL: from code */
	const char *message; /* in the request's arena */
	struct buf *body;    /* a whole Status in JSON instead, or NULL */
};
typedef void (*hook_done)(void *done_arg, const struct hook_result *r);

enum admission_operation { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE, ADMIT_CONNECT };

/* What admission sees. Mutating admission changes `obj` in place (and may set obj->msg to another
 * message in the arena); validating admission must not. */
struct admission_attrs {
	struct request *req;
	enum admission_operation op;
	const struct resource_info *res;
	const char *subresource;  /* "" none */
	const char *ns, *name;    /* name may be "" on create before it is generated */
	struct object *obj;       /* NULL on delete */
	const struct object *old; /* NULL on create and connect */
	bool dry_run;
	struct arena *arena;
	struct strategy_warnings *warnings;
	struct loop *loop;
};

struct pipeline_hooks {
	void *arg;
	/* Fills the request's user, or refuses (401). */
	void (*authenticate)(void *arg, struct request *req, hook_done done, void *done_arg);
	/* Allows or refuses (403); impersonation is resolved before it by the same hook. */
	void (*authorize)(void *arg, struct request *req, hook_done done, void *done_arg);
	void (*admit_mutate)(void *arg, struct admission_attrs *a, hook_done done, void *done_arg);
	void (*admit_validate)(void *arg, struct admission_attrs *a, hook_done done,
	                       void *done_arg);
	/* managedFields, after decode and defaulting of create, update and non-apply patch. */
	int (*manage_fields)(void *arg, struct request *req, struct object *obj,
	                     const struct object *old, struct arena *a, struct err *err);
	/* Server-side apply: merges the body into `old` (NULL: the object is made). */
	int (*apply)(void *arg, struct request *req, struct slice body, const struct object *old,
	             struct arena *a, struct object *ret, struct err *err);
};
