/* SPDX-License-Identifier: Apache-2.0 */
/* ResourceQuota: what a namespace may hold in all. The quota's status is written before the object
 * is: two requests cannot both take the last of it. */
#include "apiserver/admission/pods.h"
#include "proto/quota_usage.h"

/* What the request adds: new minus old. */
static void delta_of(const struct admission *ad, struct resource_sum *ret)
{
	quota_usage(ad->at->obj->res, ad->at->obj->msg, ad->arena, ret);
	if (ad->at->op != ADMIT_UPDATE)
		return;
	struct resource_sum before;
	quota_usage(ad->at->old->res, ad->at->old->msg, ad->arena, &before);
	for (size_t i = 0; i < before.n; i++) {
		struct quantity q = before.at[i].q;

		quantity_neg(&q);
		resource_sum_add(ret, before.at[i].name, &q);
	}
}

/* Text of "name=amount" for all names, sorted. */
struct listing {
	struct arena *arena;
	const char *text;
};

static void list_add(struct listing *l, const char *name, const struct quantity *q)
{
	char out[QUANTITY_BYTES];

	quantity_format_text(q, out);
	l->text = arena_printf(l->arena, "%s%s%s=%s", l->text, *l->text ? "," : "", name, out);
}

struct excess {
	const char *name;
	struct quantity requested, used, hard;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct excess *)a)->name, ((const struct excess *)b)->name);
}

static const struct refusal *exceeded(const struct admission *ad, const char *quota,
                                      struct excess *e, size_t n)
{
	struct listing requested = {ad->arena, ""}, used = {ad->arena, ""}, hard = {ad->arena, ""};

	qsort(e, n, sizeof(*e), by_name);
	for (size_t i = 0; i < n; i++) {
		list_add(&requested, e[i].name, &e[i].requested);
		list_add(&used, e[i].name, &e[i].used);
		list_add(&hard, e[i].name, &e[i].hard);
	}
	return admission_forbid(ad, "exceeded quota: %s, requested: %s, used: %s, limited: %s",
	                        quota, requested.text, used.text, hard.text);
}

static void set_used(struct arena *a, CoreV1__ResourceQuota *q, const char *name,
                     const struct quantity *value)
{
	char out[QUANTITY_BYTES];

	quantity_format_text(value, out);
	for (size_t i = 0; i < q->status->n_used; i++)
		if (!strcmp(q->status->used[i]->key, name))
			q->status->used[i]->value->string = arena_strdup(a, out);
}

/* Takes the request's part of one quota. */
static const struct refusal *take(struct admission *ad, const struct object *o,
                                  const struct resource_sum *delta)
{
	CoreV1__ResourceQuota *q = OBJECT_MSG(o, CoreV1__ResourceQuota);
	const struct resource_list hard = RESOURCES(q->status, hard),
	                           used = RESOURCES(q->status, used);
	struct excess excess[RESOURCES_MAX];
	size_t n = 0;
	bool changed = false;

	for (size_t i = 0; i < delta->n; i++) {
		struct excess e = {.name = delta->at[i].name, .requested = delta->at[i].q};

		if (!resources_get(&hard, e.name, &e.hard) || quantity_is_zero(&e.requested))
			continue;
		if (!resources_get(&used, e.name, &e.used))
			return admission_forbid(ad, "status unknown for quota: %s, resources: %s",
			                        object_name(o), e.name);
		struct quantity sum = e.used;
		quantity_add(&sum, &e.requested);
		if (quantity_sign(&e.requested) > 0 && quantity_cmp(&sum, &e.hard) > 0) {
			excess[n++] = e;
			continue;
		}
		changed = true;
	}
	if (n)
		return exceeded(ad, object_name(o), excess, n);
	if (!changed)
		return NULL;
	for (size_t i = 0; i < delta->n; i++) {
		struct quantity limit, sum;

		if (!resources_get(&hard, delta->at[i].name, &limit) ||
		    !resources_get(&used, delta->at[i].name, &sum))
			continue;
		quantity_add(&sum, &delta->at[i].q);
		set_used(ad->arena, q, delta->at[i].name, &sum);
	}
	struct admission_write *w = arena_new(ad->arena, struct admission_write);
	*w = (struct admission_write){o, ad->writes};
	ad->writes = w;
	return NULL;
}

/* An earlier turn took the request's part of this quota before another one was in the way. */
static bool taken(const struct admission *ad, const struct object *quota)
{
	for (const struct admission_write *w = ad->written; w; w = w->next)
		if (!strcmp(object_name(w->obj), object_name(quota)))
			return true;
	return false;
}

static bool concerned(const struct admission *ad)
{
	if (!ad->at->ns[0] || !ad->at->obj || (ad->at->subresource && ad->at->subresource[0]))
		return false;
	return ad->at->op == ADMIT_CREATE ||
	       (ad->at->op == ADMIT_UPDATE && quota_follows_updates(ad->at->res));
}

const struct refusal *resource_quota(struct admission *ad)
{
	const struct object *all;
	struct resource_sum delta;
	const struct refusal *r = NULL;
	size_t n;

	if (!concerned(ad) || !(n = admission_list(ad, "", "resourcequotas", ad->at->ns, &all)))
		return NULL;
	delta_of(ad, &delta);
	for (size_t i = 0; i < n && !r; i++) {
		const CoreV1__ResourceQuota *q = OBJECT_MSG(&all[i], CoreV1__ResourceQuota);
		const char *missing;

		if (!quota_matches(q, ad->at->obj->res, ad->at->obj->msg) || taken(ad, &all[i]))
			continue;
		missing = admission_pod(ad) ? quota_missing(q, admission_pod(ad), ad->arena) : NULL;
		if (missing)
			r = admission_forbid(ad, "failed quota: %s: must specify %s",
			                     object_name(&all[i]), missing);
		else
			r = take(ad, &all[i], &delta);
	}
	/* What the caches say may be from before somebody gave something back. */
	if (r && !ad->fresh)
		ad->stale = true;
	return r;
}
