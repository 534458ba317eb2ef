/* SPDX-License-Identifier: Apache-2.0 */
/* pods/eviction: a delete that asks the pod's disruption budget first (kubernetes
 * registry/core/pod/storage/eviction.go). First the budget is charged, then the pod is told why it
 * goes, then it is deleted; each step is a conflict loop of its own. */
#include "apiserver/endpoints/call.h"
#include "apiserver/endpoints/fresh.h"

#include "proto/meta_labels.h"
#include "proto/pb_decode.h"
#include "proto/policy_v1.pb-c.h"

enum { DISRUPTED_PODS_MAX = 2000, RETRY_S = 10 };

struct eviction {
	struct call *c;      /* on pods */
	struct call *budget; /* on poddisruptionbudgets */
	struct object obj;   /* the Eviction */
	struct object pod;   /* as it was when we looked */
	struct mutation charge, mark;
	struct deletion d;
};

static const char REFUSAL[] = "Cannot evict pod as it would violate the pod's disruption budget.";

static MetaV1__Time *now(struct call *c)
{
	MetaV1__Time *t = arena_new(c->a, MetaV1__Time);

	meta_v1__time__init(t);
	t->has_seconds = t->has_nanos = 1;
	t->seconds = c->ctx.now_sec;
	return t;
}

/* --- deleting -------------------------------------------------------------------------------- */

static void evicted(struct deletion *d, struct object *obj, bool gone)
{
	struct call *c = CONTAINER_OF(d, struct eviction, d)->c;
	struct status *s = status_new(c->a, 201, "", "%s", "");

	s->success = true;
	call_flush_warnings(c);
	status_send(s, c->req, c->sink);
}

static void delete_failed(struct deletion *d, const struct status *s)
{
	call_refuse(CONTAINER_OF(d, struct eviction, d)->c, s);
}

static void delete_pod(struct eviction *e)
{
	e->d.options = OBJECT_MSG(&e->obj, PolicyV1__Eviction)->delete_options;
	e->d.validated = true; /* admission has seen the Eviction */
	e->d.done = evicted;
	e->d.failed = delete_failed;
	deletion_start(&e->d, e->c, e->c->req->name);
}

/* --- marking --------------------------------------------------------------------------------- */

static void mark_attempt(struct mutation *m)
{
	struct call *c = m->c;
	struct object obj;
	CoreV1__PodStatus *status;
	CoreV1__PodCondition *cond = NULL;

	if (!m->blob) {
		mutation_refuse(m, call_not_found(c));
		return;
	}
	obj = object_copy(c->a, &m->old);
	status = OBJECT_MSG(&obj, CoreV1__Pod)->status;
	for (size_t i = 0; i < status->n_conditions && !cond; i++)
		if (strcmp(status->conditions[i]->type, "DisruptionTarget") == 0)
			cond = status->conditions[i];
	if (!cond) {
		status->conditions = arena_grow(
		    c->a, status->conditions, status->n_conditions * sizeof(*status->conditions),
		    (status->n_conditions + 1) * sizeof(*status->conditions));
		cond = status->conditions[status->n_conditions++] = (CoreV1__PodCondition *)pb_new(
		    schema_of(&core_v1__pod_condition__descriptor), c->a);
		cond->type = (char *)"DisruptionTarget";
	}
	if (strcmp(cond->status, "True") != 0)
		cond->last_transition_time = now(c);
	cond->status = (char *)"True";
	cond->reason = (char *)"EvictionByEvictionAPI";
	cond->message = (char *)"Eviction API: evicting";
	mutation_put(m, &obj);
}

static void marked(struct mutation *m, struct object *obj)
{
	delete_pod(CONTAINER_OF(m, struct eviction, mark));
}

static void mark_pod(struct eviction *e)
{
	e->mark.c = e->c;
	e->mark.name = e->c->req->name;
	e->mark.attempt = mark_attempt;
	e->mark.stored = marked;
	mutation_start(&e->mark);
}

/* --- the budget ------------------------------------------------------------------------------ */

static const struct status *refuse_cause(struct call *c, int retry_s, const char *why)
{
	struct status *s = status_too_many_requests(c->a, REFUSAL, retry_s);
	struct status_cause *cause = arena_new(c->a, struct status_cause);

	*cause = (struct status_cause){"DisruptionBudget", why, ""};
	s->details.causes = cause;
	s->details.n_causes = 1;
	return s;
}

static const struct status *check_budget(struct call *c, const PolicyV1__PodDisruptionBudget *b)
{
	const PolicyV1__PodDisruptionBudgetStatus *st = b->status;
	const char *name = b->metadata->name;

	if (st->observed_generation < b->metadata->generation)
		return refuse_cause(
		    c, RETRY_S,
		    arena_printf(c->a,
		                 "The disruption budget %s is still being processed by the server.",
		                 name));
	if (st->disruptions_allowed < 0)
		return status_forbidden(c->a, "policy", "poddisruptionbudget", name,
		                        "pdb disruptions allowed is negative");
	if (st->n_disrupted_pods > DISRUPTED_PODS_MAX)
		return status_forbidden(c->a, "policy", "poddisruptionbudget", name,
		                        "DisruptedPods map too big - too many evictions not "
		                        "confirmed by PDB controller");
	if (st->disruptions_allowed > 0)
		return NULL;
	if (st->current_healthy <= st->desired_healthy)
		return refuse_cause(
		    c, 0,
		    arena_printf(c->a,
		                 "The disruption budget %s needs %d healthy pods and "
		                 "has %d currently",
		                 name, st->desired_healthy, st->current_healthy));
	return refuse_cause(
	    c, 0,
	    arena_printf(c->a, "The disruption budget %s does not allow evicting pods currently",
	                 name));
}

static void set_condition(struct call *c, PolicyV1__PodDisruptionBudget *b)
{
	PolicyV1__PodDisruptionBudgetStatus *st = b->status;
	bool allowed = st->disruptions_allowed > 0;
	MetaV1__Condition *cond = NULL;

	for (size_t i = 0; i < st->n_conditions && !cond; i++)
		if (strcmp(st->conditions[i]->type, "DisruptionAllowed") == 0)
			cond = st->conditions[i];
	if (!cond) {
		st->conditions =
		    arena_grow(c->a, st->conditions, st->n_conditions * sizeof(*st->conditions),
		               (st->n_conditions + 1) * sizeof(*st->conditions));
		cond = st->conditions[st->n_conditions++] =
		    (MetaV1__Condition *)pb_new(schema_of(&meta_v1__condition__descriptor), c->a);
		cond->type = (char *)"DisruptionAllowed";
	}
	if (strcmp(cond->status, allowed ? "True" : "False") != 0)
		cond->last_transition_time = now(c);
	cond->status = (char *)(allowed ? "True" : "False");
	cond->reason = (char *)(allowed ? "SufficientPods" : "InsufficientPods");
	cond->has_observed_generation = 1;
	cond->observed_generation = st->observed_generation;
}

static void charge_attempt(struct mutation *m)
{
	typedef PolicyV1__PodDisruptionBudgetStatus__DisruptedPodsEntry entry_t;
	struct call *c = m->c;
	const struct status *s =
	    m->blob ? check_budget(c, OBJECT_MSG(&m->old, PolicyV1__PodDisruptionBudget))
	            : status_not_found(c->a, "policy", "poddisruptionbudgets", m->name);
	PolicyV1__PodDisruptionBudgetStatus *st;
	struct object obj;
	entry_t *entry;

	if (s) {
		mutation_refuse(m, s);
		return;
	}
	obj = object_copy(c->a, &m->old);
	st = OBJECT_MSG(&obj, PolicyV1__PodDisruptionBudget)->status;
	st->disruptions_allowed--;
	if (st->disruptions_allowed == 0)
		set_condition(c, OBJECT_MSG(&obj, PolicyV1__PodDisruptionBudget));
	entry = arena_new(c->a, entry_t);
	policy_v1__pod_disruption_budget_status__disrupted_pods_entry__init(entry);
	entry->key = (char *)c->req->name;
	entry->value = now(c);
	st->disrupted_pods =
	    arena_grow(c->a, st->disrupted_pods, st->n_disrupted_pods * sizeof(*st->disrupted_pods),
	               (st->n_disrupted_pods + 1) * sizeof(*st->disrupted_pods));
	st->disrupted_pods[st->n_disrupted_pods++] = entry;
	mutation_put(m, &obj);
}

static void charged(struct mutation *m, struct object *obj)
{
	mark_pod(CONTAINER_OF(m, struct eviction, charge));
}

static bool pod_ready(const CoreV1__Pod *pod)
{
	for (size_t i = 0; i < pod->status->n_conditions; i++)
		if (strcmp(pod->status->conditions[i]->type, "Ready") == 0)
			return strcmp(pod->status->conditions[i]->status, "True") == 0;
	return false;
}

/* An unhealthy pod may go when the budget says always, or while the healthy ones suffice. */
static bool free_to_go(const CoreV1__Pod *pod, const PolicyV1__PodDisruptionBudget *b)
{
	const char *policy = b->spec->unhealthy_pod_eviction_policy;

	if (pod_ready(pod))
		return false;
	return (policy && strcmp(policy, "AlwaysAllow") == 0) ||
	       (b->status->current_healthy >= b->status->desired_healthy &&
	        b->status->desired_healthy > 0);
}

static bool ignores_budget(const CoreV1__Pod *pod)
{
	const char *phase = pod->status->phase;

	return pod->metadata->deletion_timestamp || strcmp(phase, "Succeeded") == 0 ||
	       strcmp(phase, "Failed") == 0 || strcmp(phase, "Pending") == 0;
}

/* The budgets of the namespace that select the pod: their number, and one of them. */
static size_t find_budgets(struct eviction *e, struct object *ret)
{
	struct call *c = e->budget;
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct slice prefix = slice_str(arena_printf(c->a, "%s/", c->req->ns));
	struct cache_cursor cursor;
	struct cache_object *o;
	size_t n = 0;

	cache_cursor_seek(&cursor, &s.tree, prefix);
	while ((o = cache_cursor_next(&cursor)) && slice_has_prefix(cache_object_key(o), prefix)) {
		struct label_selector sel;
		struct object b;

		if (stored_decode(c->res, blob_view(o->blob), o->mod_revision, c->a, &b, NULL) < 0)
			continue;
		if (meta_label_selector(
		        OBJECT_MSG(&b, PolicyV1__PodDisruptionBudget)->spec->selector, c->a, &sel,
		        NULL) < 0 ||
		    !meta_labels_match(&sel, e->pod.meta))
			continue;
		*ret = b;
		n++;
	}
	cacher_snapshot_deinit(&s);
	return n;
}

static void charge_budget(struct eviction *e)
{
	const CoreV1__Pod *pod = OBJECT_MSG(&e->pod, CoreV1__Pod);
	struct object budget = {0};
	size_t n = ignores_budget(pod) ? 0 : find_budgets(e, &budget);

	if (n > 1) {
		call_refuse(e->c,
		            status_new(e->c->a, 500, "",
		                       "This pod has more than one PodDisruptionBudget, which "
		                       "the eviction subresource does not support."));
		return;
	}
	if (n == 0 || free_to_go(pod, OBJECT_MSG(&budget, PolicyV1__PodDisruptionBudget))) {
		mark_pod(e);
		return;
	}
	e->charge.c = e->budget;
	e->charge.name = budget.meta->name;
	e->charge.attempt = charge_attempt;
	e->charge.stored = charged;
	mutation_start(&e->charge);
}

/* --- the request ----------------------------------------------------------------------------- */

static void look(struct call *c, void *arg)
{
	struct eviction *e = arg;
	struct cacher_snapshot s = cacher_snapshot(c->cache);
	struct cache_object *o = cache_tree_get(&s.tree, call_key(c, c->req->name));
	struct err err = ERR_INIT;
	int r =
	    o ? stored_decode(c->res, blob_view(o->blob), o->mod_revision, c->a, &e->pod, &err) : 0;

	cacher_snapshot_deinit(&s);
	if (!o)
		call_refuse(c, call_not_found(c));
	else if (r < 0)
		call_refuse(c, status_internal(c->a, err.text));
	else
		charge_budget(e);
}

static void admitted(struct call *c)
{
	call_await(c, FRESH_NOW, look, CONTAINER_OF(c->admission.obj, struct eviction, obj));
}

static void admit_validate(struct call *c)
{
	call_admit(c, true, admitted, call_refuse);
}

/* Bodies of policy/v1beta1, which older clients send, have the same form. */
static const struct status *decode(struct call *c, ProtobufCMessage **ret)
{
	struct type_meta meta;

	if (c->req->body_type <= MEDIA_JSON &&
	    object_type_meta(OBJECT_JSON, c->req->body, c->a, &meta, NULL) == 0 &&
	    strcmp(meta.api_version, "policy/v1beta1") == 0 && strcmp(meta.kind, "Eviction") == 0 &&
	    object_decode(OBJECT_JSON, c->info->schema, c->req->body, c->a, NULL, ret, NULL,
	                  NULL) == 0)
		return NULL;
	return call_decode_body(c, c->info->schema, ret, &meta);
}

void endpoint_eviction(void *arg, struct pipeline *p, struct request *req,
                       struct response_sink *sink)
{
	struct call *c = call_new(p, req, sink, resource_find("", "v1", "pods", "eviction"));
	struct eviction *e = arena_new(c->a, struct eviction);
	PolicyV1__Eviction *body;
	ProtobufCMessage *msg;
	const struct status *s = decode(c, &msg);

	if (!s) {
		e->obj = object_of(c->res, c->info->schema, msg);
		s = call_check_namespace(c, &e->obj);
	}
	if (!s && strcmp(e->obj.meta->name, req->name) != 0)
		s = status_bad_request(c->a, "name in URL does not match name in Eviction object");
	if (s) {
		call_refuse(c, s);
		return;
	}
	body = OBJECT_MSG(&e->obj, PolicyV1__Eviction);
	if (!body->delete_options)
		body->delete_options = (MetaV1__DeleteOptions *)pb_new(
		    schema_of(&meta_v1__delete_options__descriptor), c->a);
	c->dry_run |= body->delete_options->n_dry_run > 0;
	c->ctx.dry_run = c->dry_run;
	e->c = c;
	e->budget =
	    call_new(p, req, sink, resource_find("policy", "v1", "poddisruptionbudgets", ""));
	e->budget->dry_run = c->dry_run;
	c->admission =
	    (struct admission_attrs){.op = ADMIT_CREATE, .obj = &e->obj, .name = req->name};
	call_admit(c, false, admit_validate, call_refuse);
}
