/* SPDX-License-Identifier: Apache-2.0 */
/* LimitRanger: containers get the namespace's default requests and limits, and stay within its
 * minima, maxima and ratios; claims stay within its sizes. */
#include "apiserver/admission/pods.h"
#include "proto/resource_sum.h"

#define ANNOTATION "kubernetes.io/limit-ranger"

static size_t ranges(struct admission *ad, const struct object **ret)
{
	return admission_list(ad, "", "limitranges", ad->at->ns, ret);
}

/* --- defaults
 * -------------------------------------------------------------------------------------- */

struct notes {
	struct arena *arena;
	const char *text;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void note(struct notes *n, const char **keys, size_t n_keys, const char *what,
                 const char *prefix, const char *container)
{
	if (!n_keys)
		return;
	qsort(keys, n_keys, sizeof(*keys), by_key);
	n->text = arena_printf(n->arena, "%s%s", n->text, *n->text ? "; " : "");
	for (size_t i = 0; i < n_keys; i++)
		n->text = arena_printf(n->arena, "%s%s%s", n->text, i ? ", " : "", keys[i]);
	n->text = arena_printf(n->arena, "%s %s for %s %s", n->text, what, prefix, container);
}

static bool has(const struct resource_list *l, const char *key)
{
	struct quantity q;

	return resources_get(l, key, &q);
}

static size_t set_limits(struct arena *a, CoreV1__ResourceRequirements *r,
                         const CoreV1__LimitRangeItem *item, const char **keys, size_t n)
{
	for (size_t i = 0; i < item->n_default_; i++) {
		struct resource_list have = RESOURCES(r, limits);

		if (has(&have, item->default_[i]->key))
			continue;
		CoreV1__ResourceRequirements__LimitsEntry *e =
		    NEW_MSG(a, CoreV1__ResourceRequirements__LimitsEntry,
		            core_v1__resource_requirements__limits_entry__descriptor);
		e->key = item->default_[i]->key;
		e->value = item->default_[i]->value;
		APPEND_MSG(a, r, limits, e);
		if (n < RESOURCES_MAX)
			keys[n++] = e->key;
	}
	return n;
}

static size_t set_requests(struct arena *a, CoreV1__ResourceRequirements *r,
                           const CoreV1__LimitRangeItem *item, const char **keys, size_t n)
{
	for (size_t i = 0; i < item->n_default_request; i++) {
		struct resource_list have = RESOURCES(r, requests);

		if (has(&have, item->default_request[i]->key))
			continue;
		CoreV1__ResourceRequirements__RequestsEntry *e =
		    NEW_MSG(a, CoreV1__ResourceRequirements__RequestsEntry,
		            core_v1__resource_requirements__requests_entry__descriptor);
		e->key = item->default_request[i]->key;
		e->value = item->default_request[i]->value;
		APPEND_MSG(a, r, requests, e);
		if (n < RESOURCES_MAX)
			keys[n++] = e->key;
	}
	return n;
}

static void merge(struct notes *notes, CoreV1__Container *const *c, size_t n_c,
                  const CoreV1__LimitRange *lr, const char *prefix)
{
	for (size_t i = 0; i < n_c; i++) {
		const char *requests[RESOURCES_MAX], *limits[RESOURCES_MAX];
		size_t n_requests = 0, n_limits = 0;

		for (size_t k = 0; k < lr->spec->n_limits; k++) {
			const CoreV1__LimitRangeItem *item = lr->spec->limits[k];

			if (strcmp(item->type, "Container") != 0)
				continue;
			n_limits =
			    set_limits(notes->arena, c[i]->resources, item, limits, n_limits);
			n_requests =
			    set_requests(notes->arena, c[i]->resources, item, requests, n_requests);
		}
		note(notes, requests, n_requests, "request", prefix, c[i]->name);
		note(notes, limits, n_limits, "limit", prefix, c[i]->name);
	}
}

static void annotate(struct arena *a, MetaV1__ObjectMeta *meta, const char *text)
{
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    NEW_MSG(a, MetaV1__ObjectMeta__AnnotationsEntry,
	            meta_v1__object_meta__annotations_entry__descriptor);

	e->key = (char *)ANNOTATION;
	e->value = arena_printf(a, "LimitRanger plugin set: %s", text);
	for (size_t i = 0; i < meta->n_annotations; i++) {
		if (!strcmp(meta->annotations[i]->key, ANNOTATION)) {
			meta->annotations[i] = e;
			return;
		}
	}
	APPEND_MSG(a, meta, annotations, e);
}

const struct refusal *limit_ranger_mutate(struct admission *ad)
{
	CoreV1__Pod *pod = admission_pod(ad);
	const struct object *all;

	if (!pod || ad->at->op != ADMIT_CREATE)
		return NULL;
	size_t n = ranges(ad, &all);
	for (size_t i = 0; i < n; i++) {
		const CoreV1__LimitRange *lr = OBJECT_MSG(&all[i], CoreV1__LimitRange);
		struct notes notes = {ad->arena, ""};

		merge(&notes, pod->spec->containers, pod->spec->n_containers, lr, "container");
		merge(&notes, pod->spec->init_containers, pod->spec->n_init_containers, lr,
		      "init container");
		if (*notes.text)
			annotate(ad->arena, pod->metadata, notes.text);
	}
	return NULL;
}

/* --- bounds
 * ------------------------------------------------------------------------------------------ */

struct observed {
	struct quantity request, limit;
	bool has_request, has_limit;
};

struct faults {
	struct arena *arena;
	const char *text;
	size_t n;
};

static void fault(struct faults *f, const char *text)
{
	f->text = f->n++ ? arena_printf(f->arena, "%s, %s", f->text, text) : text;
}

static const char *text_of(struct arena *a, const struct quantity *q)
{
	char out[QUANTITY_BYTES];

	quantity_format_text(q, out);
	return arena_strdup(a, out);
}

static void bound(struct faults *f, const char *which, const char *resource, const char *type,
                  const struct quantity *enforced, const char *what, const struct quantity *value)
{
	const char *head = arena_printf(f->arena, "%s %s usage per %s is %s", which, resource, type,
	                                text_of(f->arena, enforced));

	if (value)
		fault(f, arena_printf(f->arena, "%s, but %s is %s", head, what,
		                      text_of(f->arena, value)));
	else
		fault(f, arena_printf(f->arena, "%s. No %s is specified", head, what));
}

static void check_min(struct faults *f, const char *resource, const char *type,
                      const struct quantity *min, const struct observed *o)
{
	if (!o->has_request)
		bound(f, "minimum", resource, type, min, "request", NULL);
	else if (quantity_cmp(&o->request, min) < 0)
		bound(f, "minimum", resource, type, min, "request", &o->request);
	else if (o->has_limit && quantity_cmp(&o->limit, min) < 0)
		bound(f, "minimum", resource, type, min, "limit", &o->limit);
}

static void check_max(struct faults *f, const char *resource, const char *type,
                      const struct quantity *max, const struct observed *o)
{
	if (!o->has_limit)
		bound(f, "maximum", resource, type, max, "limit", NULL);
	else if (quantity_cmp(&o->limit, max) > 0)
		bound(f, "maximum", resource, type, max, "limit", &o->limit);
	else if (o->has_request && quantity_cmp(&o->request, max) > 0)
		bound(f, "maximum", resource, type, max, "request", &o->request);
}

static void check_max_request(struct faults *f, const char *resource, const char *type,
                              const struct quantity *max, const struct observed *o)
{
	if (!o->has_request)
		bound(f, "maximum", resource, type, max, "request", NULL);
	else if (quantity_cmp(&o->request, max) > 0)
		bound(f, "maximum", resource, type, max, "request", &o->request);
}

static void check_ratio(struct faults *f, const char *resource, const char *type,
                        const struct quantity *max, const struct observed *o)
{
	const char *head = arena_printf(f->arena, "%s max limit to request ratio per %s is %s",
	                                resource, type, text_of(f->arena, max));
	double ratio;

	if (!o->has_request || quantity_is_zero(&o->request)) {
		fault(f, arena_printf(f->arena, "%s, but no request is specified or request is 0",
		                      head));
		return;
	}
	if (!o->has_limit || quantity_is_zero(&o->limit)) {
		fault(f,
		      arena_printf(f->arena, "%s, but no limit is specified or limit is 0", head));
		return;
	}
	ratio = quantity_double(&o->limit) / quantity_double(&o->request);
	if (ratio > quantity_double(max))
		fault(f, arena_printf(f->arena, "%s, but provided ratio is %f", head, ratio));
}

typedef void (*look_fn)(const void *arg, const char *resource, struct observed *ret);

static void check_item(struct faults *f, const CoreV1__LimitRangeItem *item, bool claim,
                       look_fn look, const void *arg)
{
	const struct resource_list min = RESOURCES(item, min), max = RESOURCES(item, max),
	                           ratio = RESOURCES(item, max_limit_request_ratio);
	const struct {
		const struct resource_list *l;
		void (*check)(struct faults *, const char *, const char *, const struct quantity *,
		              const struct observed *);
	} all[] = {{&min, check_min},
	           {&max, claim ? check_max_request : check_max},
	           {&ratio, check_ratio}};

	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		for (size_t i = 0; i < all[k].l->n; i++) {
			const struct resource_entry *e = all[k].l->at[i];
			struct quantity q = quantity_of(e->value->string);
			struct observed o = {0};

			look(arg, e->key, &o);
			all[k].check(f, e->key, item->type, &q, &o);
		}
	}
}

static void look_container(const void *arg, const char *resource, struct observed *ret)
{
	const CoreV1__ResourceRequirements *r = ((const CoreV1__Container *)arg)->resources;
	const struct resource_list requests = RESOURCES(r, requests), limits = RESOURCES(r, limits);

	ret->has_request = resources_get(&requests, resource, &ret->request);
	ret->has_limit = resources_get(&limits, resource, &ret->limit);
}

struct pod_sums {
	struct resource_sum requests, limits;
};

static void look_pod(const void *arg, const char *resource, struct observed *ret)
{
	struct pod_sums *s = (struct pod_sums *)arg;
	const struct quantity *r = resource_sum_find(&s->requests, resource);
	const struct quantity *l = resource_sum_find(&s->limits, resource);

	ret->has_request = r != NULL;
	ret->has_limit = l != NULL;
	if (r)
		ret->request = *r;
	if (l)
		ret->limit = *l;
}

static void look_claim(const void *arg, const char *resource, struct observed *ret)
{
	const CoreV1__PersistentVolumeClaimSpec *spec = arg;
	const struct resource_list requests = RESOURCES(spec->resources, requests);

	ret->has_request = resources_get(&requests, resource, &ret->request);
}

static void check_pod(struct faults *f, const CoreV1__PodSpec *spec,
                      const CoreV1__LimitRangeItem *item)
{
	struct pod_sums sums;

	if (!strcmp(item->type, "Container")) {
		for (size_t i = 0; i < spec->n_containers; i++)
			check_item(f, item, false, look_container, spec->containers[i]);
		for (size_t i = 0; i < spec->n_init_containers; i++)
			check_item(f, item, false, look_container, spec->init_containers[i]);
	} else if (!strcmp(item->type, "Pod")) {
		pod_resources(spec, false, &sums.requests);
		pod_resources(spec, true, &sums.limits);
		check_item(f, item, false, look_pod, &sums);
	}
}

const struct refusal *limit_ranger_validate(struct admission *ad)
{
	CoreV1__Pod *pod = ad->at->op == ADMIT_CREATE ? admission_pod(ad) : NULL;
	bool claim = admission_is(ad, "", "persistentvolumeclaims") && ad->at->obj;
	const struct object *all;

	if (!pod && !claim)
		return NULL;
	size_t n = ranges(ad, &all);
	for (size_t i = 0; i < n; i++) {
		const CoreV1__LimitRange *lr = OBJECT_MSG(&all[i], CoreV1__LimitRange);
		struct faults f = {ad->arena, "", 0};

		for (size_t k = 0; k < lr->spec->n_limits; k++) {
			const CoreV1__LimitRangeItem *item = lr->spec->limits[k];

			if (pod)
				check_pod(&f, pod->spec, item);
			else if (!strcmp(item->type, "PersistentVolumeClaim"))
				check_item(
				    &f, item, true, look_claim,
				    OBJECT_MSG(ad->at->obj, CoreV1__PersistentVolumeClaim)->spec);
		}
		if (f.n)
			return f.n > 1 ? admission_forbid(ad, "[%s]", f.text)
			               : admission_forbid(ad, "%s", f.text);
	}
	return NULL;
}
