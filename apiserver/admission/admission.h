/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Admission plugins (kubernetes plugin/pkg/admission): what may be written, and what is filled in
 * on the way, beyond the rules of a kind.
 *
 * Pure: a plugin sees one request and asks for other objects through struct admission_world. When
 * something that it needs is not there and the caches may be older than the store, it sets `stale`
 * (admission_get and admission_list do) and its refusal is not final: the shell asks it again with
 * newer caches. A plugin therefore looks up before it changes anything. The texts are upstream's.
 */
#include "apiserver/endpoints/pipeline.h"
#include "proto/resource_table.h"

struct policy_set;

/* May somebody do something: strings are never NULL but for `account`. */
struct admission_question {
	const char *account; /* "system:serviceaccount:NAMESPACE:NAME"; NULL: the request's user */
	const char *verb, *group, *resource, *subresource, *ns, *name;
	const char *path; /* not "": instead of a resource */
	const char *field_selector;
};

struct admission_world {
	/* An object of the caches in the arena, or NULL. ns "" for cluster scope. */
	const struct object *(*get)(void *arg, const struct resource_info *res, const char *ns,
	                            const char *name);
	/* All objects of a resource, in a namespace or ("") everywhere; their number. */
	size_t (*list)(void *arg, const struct resource_info *res, const char *ns,
	               const struct object **ret);
	/* Whether the asker may do `verb` on a resource of cluster scope. */
	bool (*may)(void *arg, const char *verb, const char *group, const char *resource,
	            const char *name);
	/* What the request's user, or a service account, may do; *ret_reason "" or why. NULL
	 * allowed. */
	bool (*allowed)(void *arg, const struct admission_question *q, const char **ret_reason);
	/* Policies that are bound; NULL: none. */
	const struct policy_set *policies;
	/* Five random characters of generated names. */
	void (*suffix)(void *arg, char ret[6]);
	void *arg;
};

enum refusal_kind {
	REFUSE_FORBIDDEN, /* of the request's own resource and name */
	REFUSE_NOT_FOUND, /* of `resource` and `name` */
	REFUSE_BAD_REQUEST,
	REFUSE_INTERNAL,
};

struct refusal {
	enum refusal_kind kind;
	const char *why;
	const char *group, *resource, *name;                    /* of REFUSE_NOT_FOUND */
	const char *cause_reason, *cause_message, *cause_field; /* "" without a cause */
	const char *reason; /* of the Status instead of Forbidden, with its code; "" */
};

/* An object that is to be written, if it is still as the caches had it, before the request goes on:
 * what a quota has left. */
struct admission_write {
	const struct object *obj;
	struct admission_write *next;
};

struct admission {
	const struct admission_attrs *at;
	const struct admission_world *world;
	struct arena *arena;
	bool fresh;                     /* the caches are not older than the request */
	bool stale;                     /* out: a lookup failed in caches that may be old */
	struct admission_write *writes; /* out: when one of them fails, the plugin is asked again */
	const struct admission_write *written; /* those of its earlier turns that succeeded */
};

struct admission_plugin {
	const char *name;
	/* NULL: takes no part in the phase. */
	const struct refusal *(*mutate)(struct admission *ad);
	const struct refusal *(*validate)(struct admission *ad);
	bool by_default;
};

/* In the order of execution. */
extern const struct admission_plugin admission_plugins[];
extern const size_t admission_n_plugins;

/* --- for plugins ---------------------------------------------------------------------------------
 */

const struct refusal *admission_forbid(const struct admission *ad, const char *fmt, ...)
    _printf_(2, 3);
const struct refusal *admission_refuse(const struct admission *ad, enum refusal_kind kind,
                                       const char *fmt, ...) _printf_(3, 4);
const struct refusal *admission_not_found(const struct admission *ad, const char *group,
                                          const char *resource, const char *name);
/* NULL and `stale` when it is not there. */
const struct object *admission_get(struct admission *ad, const char *group, const char *resource,
                                   const char *ns, const char *name);
size_t admission_list(struct admission *ad, const char *group, const char *resource, const char *ns,
                      const struct object **ret);

/* Whether the request is for this resource (and no subresource of it). */
bool admission_is(const struct admission *ad, const char *group, const char *resource);
/* The same for one subresource. */
bool admission_is_sub(const struct admission *ad, const char *group, const char *resource,
                      const char *subresource);
