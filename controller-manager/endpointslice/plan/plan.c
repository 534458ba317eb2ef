/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/endpointslice/plan/plan.h"

#include <string.h>

#include "common/base/map.h"
#include "common/codec/rfc3339.h"
#include "controller-manager/base/plan/services.h"
#include "controller-manager/endpointslice/plan/internal.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define SERVICE_NAME "kubernetes.io/service-name"
#define MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER "endpointslice-controller.k8s.io"
#define TRIGGER_TIME "endpoints.kubernetes.io/last-change-trigger-time"

/* A slice that is there, and what becomes of it. */
struct work_slice {
	const DiscoveryV1__EndpointSlice *old;
	DiscoveryV1__Endpoint **endpoints;
	size_t n;
	bool changed;
};

struct planner {
	const struct slice_input *in;
	size_t max;
	MetaV1__ObjectMeta *meta; /* labels, owner and annotation as they should be */
	struct arena *arena;
	struct slice_plan *out;
};

/* Metadata */

static void add_label(struct planner *p, const char *key, const char *value)
{
	MetaV1__ObjectMeta__LabelsEntry *e = arena_new(p->arena, MetaV1__ObjectMeta__LabelsEntry);
	*e = (MetaV1__ObjectMeta__LabelsEntry)META_V1__OBJECT_META__LABELS_ENTRY__INIT;
	e->key = TEXT(key);
	e->value = TEXT(value);
	p->meta->labels[p->meta->n_labels++] = e;
}

static void plan_labels(struct planner *p)
{
	const MetaV1__ObjectMeta *svc = p->in->service->metadata;
	p->meta->labels =
	    arena_array(p->arena, MetaV1__ObjectMeta__LabelsEntry *, svc->n_labels + 3);
	for (size_t i = 0; i < svc->n_labels; i++)
		if (strcmp(svc->labels[i]->key, SERVICE_NAME) &&
		    strcmp(svc->labels[i]->key, MANAGED_BY) &&
		    strcmp(svc->labels[i]->key, SERVICE_HEADLESS_LABEL))
			p->meta->labels[p->meta->n_labels++] = svc->labels[i];
	if (service_is_headless(p->in->service))
		add_label(p, SERVICE_HEADLESS_LABEL, "");
	add_label(p, SERVICE_NAME, svc->name);
	add_label(p, MANAGED_BY, MANAGER);
}

static void plan_owner(struct planner *p)
{
	const MetaV1__ObjectMeta *svc = p->in->service->metadata;
	MetaV1__OwnerReference *o = arena_new(p->arena, MetaV1__OwnerReference);
	*o = (MetaV1__OwnerReference)META_V1__OWNER_REFERENCE__INIT;
	o->api_version = TEXT("v1");
	o->kind = TEXT("Service");
	o->name = svc->name;
	o->uid = svc->uid;
	o->has_controller = o->controller = 1;
	o->has_block_owner_deletion = o->block_owner_deletion = 1;
	p->meta->owner_references = arena_memdup(p->arena, &o, sizeof(o));
	p->meta->n_owner_references = 1;
}

/* When the newest of the things that shape the slices happened. */
static void plan_trigger_time(struct planner *p)
{
	const MetaV1__Time *created = p->in->service->metadata->creation_timestamp;
	int64_t newest = created ? created->seconds : 0;
	for (size_t i = 0; i < p->in->n_pods; i++)
		newest = pod_trigger_s(p->in->pods[i].pod, newest);
	char text[RFC3339_BYTES];
	MetaV1__ObjectMeta__AnnotationsEntry *e =
	    arena_new(p->arena, MetaV1__ObjectMeta__AnnotationsEntry);
	*e = (MetaV1__ObjectMeta__AnnotationsEntry)META_V1__OBJECT_META__ANNOTATIONS_ENTRY__INIT;
	rfc3339_format(newest, text);
	e->key = TEXT(TRIGGER_TIME);
	e->value = arena_strdup(p->arena, text);
	p->meta->annotations = arena_memdup(p->arena, &e, sizeof(e));
	p->meta->n_annotations = 1;
}

static bool labels_right(const struct planner *p, const MetaV1__ObjectMeta *meta)
{
	if (meta->n_labels != p->meta->n_labels)
		return false;
	for (size_t i = 0; i < meta->n_labels; i++) {
		const char *want = meta_label(p->meta, meta->labels[i]->key);
		if (!want || strcmp(want, meta->labels[i]->value))
			return false;
	}
	return true;
}

/* Output */

static void put_update(struct planner *p, const DiscoveryV1__EndpointSlice *old,
                       const struct slice_group *g, DiscoveryV1__Endpoint **endpoints, size_t n)
{
	DiscoveryV1__EndpointSlice *s = arena_memdup(p->arena, old, sizeof(*old));
	MetaV1__ObjectMeta *meta = s->metadata =
	    arena_memdup(p->arena, old->metadata, sizeof(*old->metadata));
	meta->labels = p->meta->labels;
	meta->n_labels = p->meta->n_labels;
	meta->annotations = p->meta->annotations;
	meta->n_annotations = p->meta->n_annotations;
	s->ports = g ? g->ports : NULL;
	s->n_ports = g ? g->n_ports : 0;
	s->endpoints = endpoints;
	s->n_endpoints = n;
	p->out->update[p->out->n_update++] = s;
}

static void put_create(struct planner *p, const char *address_type, const struct slice_group *g,
                       DiscoveryV1__Endpoint **endpoints, size_t n)
{
	DiscoveryV1__EndpointSlice *s =
	    (DiscoveryV1__EndpointSlice *)pb_new(&discovery_v1__endpoint_slice_schema, p->arena);
	const MetaV1__ObjectMeta *svc = p->in->service->metadata;
	MetaV1__ObjectMeta *meta = s->metadata;
	/* A copy of the prepared one, on top of what pb_new makes. */
	meta->generate_name = arena_printf(p->arena, "%s-", svc->name);
	meta->namespace_ = svc->namespace_;
	meta->labels = p->meta->labels;
	meta->n_labels = p->meta->n_labels;
	meta->annotations = p->meta->annotations;
	meta->n_annotations = p->meta->n_annotations;
	meta->owner_references = p->meta->owner_references;
	meta->n_owner_references = p->meta->n_owner_references;
	s->address_type = TEXT(address_type);
	s->ports = g ? g->ports : NULL;
	s->n_ports = g ? g->n_ports : 0;
	s->endpoints = endpoints;
	s->n_endpoints = n;
	p->out->create[p->out->n_create++] = s;
}

static void put_remove(struct planner *p, const DiscoveryV1__EndpointSlice *old)
{
	p->out->remove[p->out->n_remove++] = (DiscoveryV1__EndpointSlice *)(uintptr_t)old;
}

/* One group of ports */

static struct slice endpoint_key(const DiscoveryV1__Endpoint *e, struct arena *a)
{
	return slice_str(arena_printf(a, "%s|%s", e->n_addresses ? e->addresses[0] : "",
	                              e->target_ref ? e->target_ref->uid : ""));
}

/* Keeps in the slice what is still wanted, in its new form, and takes it off `wanted`. */
static void keep_wanted(struct planner *p, struct work_slice *w, struct map *wanted)
{
	w->endpoints =
	    arena_array(p->arena, DiscoveryV1__Endpoint *, MAX(p->max, w->old->n_endpoints));
	for (size_t i = 0; i < w->old->n_endpoints; i++) {
		const DiscoveryV1__Endpoint *have = w->old->endpoints[i];
		DiscoveryV1__Endpoint *want = map_del(wanted, endpoint_key(have, p->arena));
		if (!want || w->n >= p->max) {
			w->changed = true;
			if (want)
				map_put(wanted, endpoint_key(want, p->arena), want);
			continue;
		}
		w->changed |= !msg_equal(&discovery_v1__endpoint_schema, &have->base, &want->base);
		w->endpoints[w->n++] = want;
	}
}

static size_t fill(const struct planner *p, struct work_slice *w, DiscoveryV1__Endpoint **from,
                   size_t n)
{
	size_t room = p->max - MIN(w->n, p->max), take = MIN(room, n);
	for (size_t i = 0; i < take; i++)
		w->endpoints[w->n++] = from[i];
	w->changed |= take > 0;
	return take;
}

/* What is in no slice yet goes to those that change anyway, then to an unchanged one that has room
 * for all that is left, then to new ones. */
static void place(struct planner *p, const char *address_type, const struct slice_group *g,
                  struct work_slice *w, size_t n_w, DiscoveryV1__Endpoint **left, size_t n)
{
	for (size_t i = 0; i < n_w && n; i++)
		if (w[i].changed) {
			size_t took = fill(p, &w[i], left, n);
			left += took;
			n -= took;
		}
	struct work_slice *best = NULL;
	for (size_t i = 0; i < n_w && n; i++)
		if (!w[i].changed && w[i].n + n <= p->max && (!best || w[i].n > best->n))
			best = &w[i];
	if (best && n) {
		fill(p, best, left, n);
		n = 0;
	}
	for (; n; left += MIN(n, p->max), n -= MIN(n, p->max))
		put_create(p, address_type, g, left, MIN(n, p->max));
}

static void plan_group(struct planner *p, const char *address_type, const struct slice_group *g,
                       struct work_slice *w, size_t n_w)
{
	struct map wanted = {0};
	DiscoveryV1__Endpoint **left = arena_array(p->arena, DiscoveryV1__Endpoint *, g->n);
	size_t n_left = 0;
	for (size_t i = 0; i < g->n; i++)
		map_put(&wanted, endpoint_key(g->endpoints[i], p->arena), g->endpoints[i]);
	for (size_t i = 0; i < n_w; i++)
		keep_wanted(p, &w[i], &wanted);
	for (size_t i = 0; i < g->n; i++) {
		struct slice key = endpoint_key(g->endpoints[i], p->arena);
		if (map_get(&wanted, key) == g->endpoints[i])
			left[n_left++] = g->endpoints[i];
	}
	map_deinit(&wanted);
	place(p, address_type, g, w, n_w, left, n_left);
	for (size_t i = 0; i < n_w; i++)
		if (!w[i].n)
			put_remove(p, w[i].old);
		else if (w[i].changed || !labels_right(p, w[i].old->metadata))
			put_update(p, w[i].old, g, w[i].endpoints, w[i].n);
}

/* One address type */

static bool is_of(const DiscoveryV1__EndpointSlice *s, const char *address_type, const char *key,
                  struct arena *a)
{
	return !s->metadata->deletion_timestamp && !strcmp(s->address_type, address_type) &&
	       (!key || !strcmp(slice_ports_key(s->ports, s->n_ports, a), key));
}

/* Without endpoints one empty slice stays, so that readers see that there are none. */
static void plan_placeholder(struct planner *p, const char *address_type)
{
	const DiscoveryV1__EndpointSlice *kept = NULL;
	for (size_t i = 0; i < p->in->n_slices; i++) {
		DiscoveryV1__EndpointSlice *s = p->in->slices[i];
		if (!is_of(s, address_type, NULL, p->arena))
			continue;
		if (kept) {
			put_remove(p, s);
			continue;
		}
		kept = s;
		if (s->n_endpoints || s->n_ports || !labels_right(p, s->metadata))
			put_update(p, s, NULL, NULL, 0);
	}
	if (!kept)
		put_create(p, address_type, NULL, NULL, 0);
}

static void plan_type(struct planner *p, const char *address_type)
{
	struct slice_groups groups;
	slice_groups(p->in, address_type, p->arena, &groups);
	if (!groups.n) {
		plan_placeholder(p, address_type);
		return;
	}
	bool *used = arena_array(p->arena, bool, p->in->n_slices);
	for (size_t i = 0; i < groups.n; i++) {
		struct work_slice *w = arena_array(p->arena, struct work_slice, p->in->n_slices);
		size_t n = 0;
		for (size_t k = 0; k < p->in->n_slices; k++)
			if (is_of(p->in->slices[k], address_type, groups.at[i].key, p->arena)) {
				w[n++].old = p->in->slices[k];
				used[k] = true;
			}
		plan_group(p, address_type, &groups.at[i], w, n);
	}
	for (size_t k = 0; k < p->in->n_slices; k++)
		if (!used[k] && is_of(p->in->slices[k], address_type, NULL, p->arena))
			put_remove(p, p->in->slices[k]);
}

static bool has_type(const CoreV1__Service *svc, const char *address_type)
{
	for (size_t i = 0; i < svc->spec->n_ip_families; i++)
		if (!strcmp(svc->spec->ip_families[i], address_type))
			return true;
	return !svc->spec->n_ip_families && !strcmp(address_type, "IPv4");
}

/* A slice that goes and one that is made become one update: the name stays. */
static void recycle(struct planner *p)
{
	struct slice_plan *o = p->out;
	for (size_t i = 0; i < o->n_create;) {
		size_t k = 0;
		while (k < o->n_remove &&
		       (o->remove[k]->metadata->deletion_timestamp ||
		        strcmp(o->remove[k]->address_type, o->create[i]->address_type)))
			k++;
		if (k == o->n_remove) {
			i++;
			continue;
		}
		struct slice_group g = {.ports = o->create[i]->ports,
		                        .n_ports = o->create[i]->n_ports};
		put_update(p, o->remove[k], &g, o->create[i]->endpoints, o->create[i]->n_endpoints);
		o->remove[k] = o->remove[--o->n_remove];
		o->create[i] = o->create[--o->n_create];
	}
}

void slice_plan(const struct slice_input *in, struct arena *a, struct slice_plan *ret)
{
	static const char *const types[] = {"IPv4", "IPv6"};
	MetaV1__ObjectMeta meta = META_V1__OBJECT_META__INIT;
	struct planner p = {.in = in,
	                    .max = in->max ? in->max : SLICE_ENDPOINTS_MAX,
	                    .meta = &meta,
	                    .arena = a,
	                    .out = ret};
	size_t most = in->n_slices + 2 * (in->n_pods + 1);
	*ret = (struct slice_plan){.create = arena_array(a, DiscoveryV1__EndpointSlice *, most),
	                           .update = arena_array(a, DiscoveryV1__EndpointSlice *, most),
	                           .remove = arena_array(a, DiscoveryV1__EndpointSlice *, most)};
	plan_labels(&p);
	plan_owner(&p);
	plan_trigger_time(&p);
	for (size_t i = 0; i < 2; i++)
		if (has_type(in->service, types[i]))
			plan_type(&p, types[i]);
	for (size_t i = 0; i < in->n_slices; i++)
		if (!in->slices[i]->metadata->deletion_timestamp &&
		    !has_type(in->service, in->slices[i]->address_type))
			put_remove(&p, in->slices[i]);
	recycle(&p);
}
