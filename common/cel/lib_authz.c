/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' authorizer library: what a policy may ask about rights. The answers come from
 * cel_run.authorizer. */
#include "common/cel/internal.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

/* A question that is being put together, or its answer. */
struct question {
	struct cel_opaque base;
	struct cel_value
	    account; /* of a service account ("namespace/name"); CEL_NULL: of the request's user */
	const char *group, *resource, *subresource, *ns, *name, *path, *field_selector,
	    *label_selector;
	bool allowed, failed;
	const char *reason, *error;
};

static const struct question *question(struct cel_value v)
{
	return CONTAINER_OF(v.opaque, struct question, base);
}

static bool never_equal(const struct cel_opaque *a, const struct cel_opaque *b)
{
	return a == b;
}

static const struct cel_opaque_class AUTHORIZER = {"kubernetes.authorization.Authorizer",
                                                   never_equal};
static const struct cel_opaque_class PATH = {"kubernetes.authorization.PathCheck", never_equal};
static const struct cel_opaque_class GROUP = {"kubernetes.authorization.GroupCheck", never_equal};
static const struct cel_opaque_class RESOURCE = {"kubernetes.authorization.ResourceCheck",
                                                 never_equal};
static const struct cel_opaque_class DECISION = {"kubernetes.authorization.Decision", never_equal};

static struct question *question_new(struct arena *a, const struct cel_value *from,
                                     const struct cel_opaque_class *class)
{
	struct question *q = arena_new(a, struct question);

	if (from)
		*q = *question(*from);
	else
		*q = (struct question){.account = {.kind = CEL_NULL},
		                       .group = "",
		                       .resource = "",
		                       .subresource = "",
		                       .ns = "",
		                       .name = "",
		                       .path = "",
		                       .field_selector = "",
		                       .label_selector = "",
		                       .reason = "",
		                       .error = ""};
	q->base.class = class;
	return q;
}

struct cel_value cel_authorizer_value(struct arena *a)
{
	return cel_of_opaque(&question_new(a, NULL, &AUTHORIZER)->base);
}

struct cel_value cel_authorizer_resource(struct arena *a, const char *group, const char *resource,
                                         const char *subresource, const char *ns, const char *name)
{
	struct question *q = question_new(a, NULL, &RESOURCE);

	q->group = group;
	q->resource = resource;
	q->subresource = subresource;
	q->ns = ns;
	q->name = name;
	return cel_of_opaque(&q->base);
}

static const char *text(struct cel_run *run, struct cel_value v)
{
	return arena_strndup(run->arena, v.s.data, v.s.len);
}

#define STEP(fn, result, member)                                                    \
	FN(fn)                                                                      \
	{                                                                           \
		struct question *q = question_new(run->arena, &args[0], &(result)); \
		q->member = text(run, args[1]);                                     \
		return cel_of_opaque(&q->base);                                     \
	}
STEP(path, PATH, path)
STEP(group, GROUP, group)
STEP(resource, RESOURCE, resource)
STEP(subresource, RESOURCE, subresource)
STEP(namespace, RESOURCE, ns)
STEP(name, RESOURCE, name)
STEP(field_selector, RESOURCE, field_selector)
STEP(label_selector, RESOURCE, label_selector)

FN(service_account)
{
	struct question *q = question_new(run->arena, &args[0], &AUTHORIZER);

	q->account = cel_of_str(arena_printf(run->arena, "system:serviceaccount:%s:%s",
	                                     text(run, args[1]), text(run, args[2])));
	return cel_of_opaque(&q->base);
}

FN(check)
{
	struct question *q = question_new(run->arena, &args[0], &DECISION);
	const struct cel_authorizer *z = run->authorizer;

	cel_charge(run, 350000);
	if (!z)
		return cel_error(run->arena, "no authorizer");
	q->allowed =
	    z->allowed(z->arg, q->account.kind == CEL_STRING ? &q->account : NULL, q->group,
	               q->resource, q->subresource, q->ns, q->name, q->path, text(run, args[1]),
	               q->field_selector, q->label_selector, &q->reason);
	return cel_of_opaque(&q->base);
}
FN(allowed)
{
	return cel_of_bool(question(args[0])->allowed);
}
FN(reason)
{
	return cel_of_str(question(args[0])->reason);
}
FN(errored)
{
	return cel_of_bool(question(args[0])->failed);
}
FN(error)
{
	return cel_of_str(question(args[0])->error);
}

static const struct cel_overload OVERLOADS[] = {
    {"path", true, "authorizer,string:pathcheck", path},
    {"group", true, "authorizer,string:groupcheck", group},
    {"serviceAccount", true, "authorizer,string,string:authorizer", service_account},
    {"resource", true, "groupcheck,string:resourcecheck", resource},
    {"subresource", true, "resourcecheck,string:resourcecheck", subresource},
    {"namespace", true, "resourcecheck,string:resourcecheck", namespace},
    {"name", true, "resourcecheck,string:resourcecheck", name},
    {"fieldSelector", true, "resourcecheck,string:resourcecheck", field_selector},
    {"labelSelector", true, "resourcecheck,string:resourcecheck", label_selector},
    {"check", true, "pathcheck,string:decision", check},
    {"check", true, "resourcecheck,string:decision", check},
    {"allowed", true, "decision:bool", allowed},
    {"reason", true, "decision:string", reason},
    {"errored", true, "decision:bool", errored},
    {"error", true, "decision:string", error},
};
const struct cel_library cel_lib_authz = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
