/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/namespace/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

struct planner {
	const struct namespace_input *in;
	struct arena *arena;
	struct namespace_plan *out;
};

static void set(struct planner *p, const char *type, bool failed, const char *reason,
                const char *message)
{
	CoreV1__NamespaceStatus *s = p->out->status;
	size_t at = 0;
	while (at < s->n_conditions && strcmp(s->conditions[at]->type, type))
		at++;
	const char *status = failed ? "True" : "False";
	const CoreV1__NamespaceCondition *old = at < s->n_conditions ? s->conditions[at] : NULL;
	if (old && !strcmp(old->status, status) && !strcmp(old->reason, reason) &&
	    !strcmp(old->message, message))
		return;
	CoreV1__NamespaceCondition *c = arena_new(p->arena, CoreV1__NamespaceCondition);
	*c = (CoreV1__NamespaceCondition)CORE_V1__NAMESPACE_CONDITION__INIT;
	c->type = TEXT(type);
	c->status = TEXT(status);
	c->reason = TEXT(reason);
	c->message = TEXT(message);
	c->last_transition_time = arena_new(p->arena, MetaV1__Time);
	*c->last_transition_time = (MetaV1__Time)META_V1__TIME__INIT;
	c->last_transition_time->has_seconds = 1;
	c->last_transition_time->seconds = p->in->now_s;
	s->conditions[at] = c;
	s->n_conditions = at == s->n_conditions ? at + 1 : s->n_conditions;
	p->out->status_differs = true;
}

static int text_cmp(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* Sorted and joined with ", ". */
static const char *join(const char **texts, size_t n, struct arena *a)
{
	const char *all = "";
	qsort(texts, n, sizeof(*texts), text_cmp);
	for (size_t i = 0; i < n; i++)
		all = arena_printf(a, "%s%s%s", all, i ? ", " : "", texts[i]);
	return all;
}

static void set_failures(struct planner *p)
{
	const char **texts = arena_array(p->arena, const char *, p->in->n_content);
	size_t n = 0;
	for (size_t i = 0; i < p->in->n_content; i++)
		if (p->in->content[i].failure)
			texts[n++] = p->in->content[i].failure;
	const char *type = "NamespaceDeletionContentFailure";
	if (n)
		set(p, type, true, "ContentDeletionFailed",
		    arena_printf(p->arena, "Failed to delete all resource types, %zu remaining: %s",
		                 n, join(texts, n, p->arena)));
	else
		set(p, type, false, "ContentDeleted",
		    "All content successfully deleted, may be waiting on finalization");
}

static void set_remaining(struct planner *p)
{
	const char **texts = arena_array(p->arena, const char *, p->in->n_content);
	size_t n = 0;
	for (size_t i = 0; i < p->in->n_content; i++) {
		const struct namespace_content *c = &p->in->content[i];
		if (c->remaining)
			texts[n++] = arena_printf(p->arena, "%s.%s has %zu resource instances",
			                          c->resource, c->group, c->remaining);
	}
	if (n)
		set(p, "NamespaceContentRemaining", true, "SomeResourcesRemain",
		    arena_printf(p->arena, "Some resources are remaining: %s",
		                 join(texts, n, p->arena)));
	else
		set(p, "NamespaceContentRemaining", false, "ContentRemoved",
		    "All content successfully removed");
}

static void set_finalizers(struct planner *p)
{
	const char **texts = arena_array(p->arena, const char *, p->in->n_finalizers);
	for (size_t i = 0; i < p->in->n_finalizers; i++)
		texts[i] = arena_printf(p->arena, "%s in %zu resource instances",
		                        p->in->finalizers[i], p->in->finalizer_counts[i]);
	if (p->in->n_finalizers)
		set(p, "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain",
		    arena_printf(p->arena,
		                 "Some content in the namespace has finalizers remaining: %s",
		                 join(texts, p->in->n_finalizers, p->arena)));
	else
		set(p, "NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers",
		    "All content-preserving finalizers finished");
}

static bool is_empty(const struct namespace_input *in)
{
	for (size_t i = 0; i < in->n_content; i++)
		if (in->content[i].remaining || in->content[i].failure)
			return false;
	return true;
}

void namespace_plan(const struct namespace_input *in, struct arena *a, struct namespace_plan *ret)
{
	enum { TYPES = 5 };
	const CoreV1__NamespaceStatus *old = in->ns->status;
	struct planner p = {in, a, ret};
	*ret = (struct namespace_plan){.status = arena_memdup(a, old, sizeof(*old))};
	ret->status->conditions =
	    arena_array(a, CoreV1__NamespaceCondition *, old->n_conditions + TYPES);
	for (size_t i = 0; i < old->n_conditions; i++)
		ret->status->conditions[i] = old->conditions[i];
	set(&p, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
	    "All resources successfully discovered");
	set(&p, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
	    "All legacy kube types successfully parsed");
	set_failures(&p);
	set_remaining(&p);
	set_finalizers(&p);
	ret->finalize = is_empty(in);
	const CoreV1__NamespaceSpec *spec = in->ns->spec;
	ret->spec = arena_memdup(a, spec, sizeof(*spec));
	ret->spec->finalizers = arena_array(a, char *, spec->n_finalizers);
	ret->spec->n_finalizers = 0;
	for (size_t i = 0; i < spec->n_finalizers; i++)
		if (strcmp(spec->finalizers[i], NAMESPACE_FINALIZER))
			ret->spec->finalizers[ret->spec->n_finalizers++] = spec->finalizers[i];
}
