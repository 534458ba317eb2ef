/* SPDX-License-Identifier: Apache-2.0 */
/* pods/binding: the scheduler's word on where a pod runs (kubernetes registry/core/pod/storage). */
#include "apiserver/endpoints/call.h"

#include "proto/pb_decode.h"

struct bind {
	struct mutation m;
	struct object obj; /* the Binding */
};

static const CoreV1__Binding *binding_of(const struct bind *b)
{
	return OBJECT_MSG(&b->obj, CoreV1__Binding);
}

/* Upstream hands these errors on as they are: 500, not 422. */
static const struct status *check(struct call *c, const CoreV1__Binding *b)
{
	const CoreV1__ObjectReference *t = b->target;

	if (strcmp(b->metadata->name, c->req->name) != 0)
		return status_bad_request(c->a,
		                          "name in URL does not match name in Binding object");
	if (t->kind[0] && strcmp(t->kind, "Node") != 0)
		return status_new(c->a, 500, "",
		                  "target.kind: Unsupported value: \"%s\": supported values: "
		                  "\"Node\", \"<empty>\"",
		                  t->kind);
	if (!t->name[0])
		return status_new(c->a, 500, "", "target.name: Required value");
	return NULL;
}

static const char *obstacle(struct call *c, const CoreV1__Pod *pod)
{
	const char *name = pod->metadata->name;

	if (pod->metadata->deletion_timestamp)
		return arena_printf(c->a, "pod %s is being deleted, cannot be assigned to a host",
		                    name);
	if (pod->spec->node_name[0])
		return arena_printf(c->a, "pod %s is already assigned to node \"%s\"", name,
		                    pod->spec->node_name);
	if (pod->spec->n_scheduling_gates)
		return arena_printf(c->a, "pod %s has non-empty .spec.schedulingGates", name);
	return NULL;
}

/* The two kinds of entries have one layout but different types. */
#define MERGE(to, n_to, from, n_from, type, a)                                           \
	do {                                                                             \
		type **all_ = arena_array(a, type *, (n_to) + (n_from));                 \
		size_t n_ = 0;                                                           \
		for (size_t i_ = 0; i_ < (n_to); i_++)                                   \
			all_[n_++] = (to)[i_];                                           \
		for (size_t i_ = 0; i_ < (n_from); i_++) {                               \
			size_t at_ = 0;                                                  \
			while (at_ < n_ && strcmp(all_[at_]->key, (from)[i_]->key) != 0) \
				at_++;                                                   \
			all_[at_] = (from)[i_];                                          \
			n_ = at_ == n_ ? n_ + 1 : n_;                                    \
		}                                                                        \
		(to) = all_;                                                             \
		(n_to) = n_;                                                             \
	} while (0)

static void set_scheduled(struct call *c, CoreV1__PodStatus *status)
{
	CoreV1__PodCondition *cond = NULL;
	MetaV1__Time *now = arena_new(c->a, MetaV1__Time);

	for (size_t i = 0; i < status->n_conditions && !cond; i++)
		if (strcmp(status->conditions[i]->type, "PodScheduled") == 0)
			cond = status->conditions[i];
	if (!cond) {
		status->conditions = arena_grow(
		    c->a, status->conditions, status->n_conditions * sizeof(*status->conditions),
		    (status->n_conditions + 1) * sizeof(*status->conditions));
		cond = status->conditions[status->n_conditions++] = (CoreV1__PodCondition *)pb_new(
		    schema_of(&core_v1__pod_condition__descriptor), c->a);
		cond->type = (char *)"PodScheduled";
	}
	meta_v1__time__init(now);
	now->has_seconds = now->has_nanos = 1;
	now->seconds = c->ctx.now_sec;
	cond->status = (char *)"True";
	cond->reason = cond->message = (char *)"";
	cond->last_transition_time = now;
}

static const struct status *check_preconditions(struct mutation *m, const CoreV1__Binding *b)
{
	struct call *c = m->c;
	const MetaV1__ObjectMeta *want = b->metadata, *is = m->old.meta;

	if ((want->uid[0] && strcmp(want->uid, is->uid) != 0) ||
	    (want->resource_version[0] &&
	     strcmp(want->resource_version, is->resource_version) != 0))
		return status_conflict(c->a, c->res->group, c->res->resource, m->name,
		                       STATUS_MODIFIED);
	return NULL;
}

static void attempt(struct mutation *m)
{
	struct bind *b = CONTAINER_OF(m, struct bind, m);
	const CoreV1__Binding *binding = binding_of(b);
	struct call *c = m->c;
	const struct status *s;
	const char *why;
	struct object obj;
	CoreV1__Pod *pod;

	s = m->blob ? check_preconditions(m, binding) : call_not_found(c);
	if (s) {
		mutation_refuse(m, s);
		return;
	}
	obj = object_copy(c->a, &m->old);
	pod = OBJECT_MSG(&obj, CoreV1__Pod);
	why = obstacle(c, pod);
	if (why) {
		mutation_refuse(m, status_conflict(c->a, "", "pods/binding", m->name, why));
		return;
	}
	pod->spec->node_name = binding->target->name;
	MERGE(pod->metadata->annotations, pod->metadata->n_annotations,
	      binding->metadata->annotations, binding->metadata->n_annotations,
	      MetaV1__ObjectMeta__AnnotationsEntry, c->a);
	MERGE(pod->metadata->labels, pod->metadata->n_labels, binding->metadata->labels,
	      binding->metadata->n_labels, MetaV1__ObjectMeta__LabelsEntry, c->a);
	set_scheduled(c, pod->status);
	mutation_put(m, &obj);
}

static void stored(struct mutation *m, struct object *obj)
{
	struct call *c = m->c;
	struct status *s = status_new(c->a, 201, "", "%s", "");

	s->success = true;
	call_flush_warnings(c);
	status_send(s, c->req, c->sink);
}

static void deleted(struct mutation *m, int64_t revision)
{
	stored(m, NULL);
}

static void admitted(struct call *c)
{
	struct bind *b = CONTAINER_OF(c->admission.obj, struct bind, obj);

	b->m.c = c;
	b->m.name = c->req->name;
	b->m.attempt = attempt;
	b->m.stored = stored;
	b->m.deleted = deleted;
	mutation_start(&b->m);
}

static void admit_validate(struct call *c)
{
	call_admit(c, true, admitted, call_refuse);
}

void endpoint_binding(void *arg, struct pipeline *p, struct request *req,
                      struct response_sink *sink)
{
	struct call *c = call_new(p, req, sink, resource_find("", "v1", "pods", "binding"));
	struct bind *b = arena_new(c->a, struct bind);
	ProtobufCMessage *msg;
	struct type_meta meta;
	const struct status *s = call_decode_body(c, c->info->schema, &msg, &meta);

	if (!s) {
		b->obj = object_of(c->res, c->info->schema, msg);
		if (!req->name[0])
			req->name = b->obj.meta->name;
		s = call_check_namespace(c, &b->obj);
	}
	if (!s)
		s = check(c, binding_of(b));
	if (s) {
		call_refuse(c, s);
		return;
	}
	c->admission =
	    (struct admission_attrs){.op = ADMIT_CREATE, .obj = &b->obj, .name = req->name};
	call_admit(c, false, admit_validate, call_refuse);
}
