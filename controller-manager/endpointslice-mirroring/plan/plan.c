/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/endpointslice-mirroring/plan/plan.h"

#include <string.h>

#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/owner.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

struct planner {
	const struct mirror_input *in;
	struct arena *arena;
	struct mirror_plan *out;
	bool *used; /* slices of before that stay */
};

static bool is_mirrored(const struct mirror_input *in)
{
	const MetaV1__ObjectMeta *meta = in->endpoints->metadata;
	const char *skip = meta_label(meta, "endpointslice.kubernetes.io/skip-mirror");
	return in->service && !in->service->spec->n_selector && !meta->deletion_timestamp &&
	       !(skip && !strcmp(skip, "true")) &&
	       !meta_annotation(meta, "control-plane.alpha.kubernetes.io/leader");
}

/* --- one slice: the addresses of a family in a subset --- */

static DiscoveryV1__Endpoint *endpoint_of(const CoreV1__EndpointAddress *from, bool ready,
                                          struct arena *a)
{
	DiscoveryV1__Endpoint *e = arena_new(a, DiscoveryV1__Endpoint);
	*e = (DiscoveryV1__Endpoint)DISCOVERY_V1__ENDPOINT__INIT;
	e->addresses = arena_memdup(a, &from->ip, sizeof(char *));
	e->n_addresses = 1;
	e->conditions = arena_new(a, DiscoveryV1__EndpointConditions);
	*e->conditions = (DiscoveryV1__EndpointConditions)DISCOVERY_V1__ENDPOINT_CONDITIONS__INIT;
	e->conditions->has_ready = 1;
	e->conditions->ready = ready;
	e->target_ref = from->target_ref;
	e->node_name = from->node_name;
	e->hostname = from->hostname && *from->hostname ? from->hostname : NULL;
	return e;
}

static void add_addresses(DiscoveryV1__EndpointSlice *s, CoreV1__EndpointAddress *const *list,
                          size_t n, bool ready, struct arena *a)
{
	bool v6 = !strcmp(s->address_type, "IPv6");
	for (size_t i = 0; i < n && s->n_endpoints < MIRROR_ADDRESSES_MAX; i++)
		if ((strchr(list[i]->ip, ':') != NULL) == v6)
			s->endpoints[s->n_endpoints++] = endpoint_of(list[i], ready, a);
}

static void add_ports(DiscoveryV1__EndpointSlice *s, const CoreV1__EndpointSubset *from,
                      struct arena *a)
{
	s->ports = arena_array(a, DiscoveryV1__EndpointPort *, from->n_ports);
	for (size_t i = 0; i < from->n_ports; i++) {
		DiscoveryV1__EndpointPort *p = arena_new(a, DiscoveryV1__EndpointPort);
		*p = (DiscoveryV1__EndpointPort)DISCOVERY_V1__ENDPOINT_PORT__INIT;
		p->name = from->ports[i]->name;
		p->protocol = from->ports[i]->protocol;
		p->has_port = 1;
		p->port = from->ports[i]->port;
		p->app_protocol = from->ports[i]->app_protocol;
		s->ports[s->n_ports++] = p;
	}
}

static void set_meta(const struct planner *p, MetaV1__ObjectMeta *meta)
{
	static const char *const not_copied[] = {"kubectl.kubernetes.io/last-applied-configuration",
	                                         "endpoints.kubernetes.io/last-change-trigger-time",
	                                         "endpoints.kubernetes.io/over-capacity"};
	const MetaV1__ObjectMeta *from = p->in->endpoints->metadata;
	meta->namespace_ = from->namespace_;
	meta->labels = from->labels;
	meta->n_labels = from->n_labels;
	meta_set_label(meta, p->arena, "kubernetes.io/service-name", from->name);
	meta_set_label(meta, p->arena, "endpointslice.kubernetes.io/managed-by", MIRROR_MANAGER);
	meta->annotations = from->annotations;
	meta->n_annotations = from->n_annotations;
	for (size_t i = 0; i < ARRAY_LEN(not_copied); i++)
		meta_del_annotation(meta, p->arena, not_copied[i]);
	owner_set(meta, "v1", "Endpoints", from->name, from->uid, p->arena);
}

static DiscoveryV1__EndpointSlice *
slice_of_subset(const struct planner *p, const CoreV1__EndpointSubset *from, const char *family)
{
	DiscoveryV1__EndpointSlice *s =
	    (DiscoveryV1__EndpointSlice *)pb_new(&discovery_v1__endpoint_slice_schema, p->arena);
	s->address_type = TEXT(family);
	s->endpoints = arena_array(p->arena, DiscoveryV1__Endpoint *,
	                           from->n_addresses + from->n_not_ready_addresses);
	add_addresses(s, from->addresses, from->n_addresses, true, p->arena);
	add_addresses(s, from->not_ready_addresses, from->n_not_ready_addresses, false, p->arena);
	add_ports(s, from, p->arena);
	set_meta(p, s->metadata);
	s->metadata->generate_name =
	    arena_printf(p->arena, "%s-", p->in->endpoints->metadata->name);
	return s;
}

/* --- against what is there --- */

static bool same_ports(const DiscoveryV1__EndpointSlice *x, const DiscoveryV1__EndpointSlice *y)
{
	if (x->n_ports != y->n_ports)
		return false;
	for (size_t i = 0; i < x->n_ports; i++)
		if (!msg_equal(&discovery_v1__endpoint_port_schema, &x->ports[i]->base,
		               &y->ports[i]->base))
			return false;
	return true;
}

static bool is_right(const DiscoveryV1__EndpointSlice *have, const DiscoveryV1__EndpointSlice *want)
{
	const MetaV1__ObjectMeta *x = have->metadata, *y = want->metadata;
	if (have->n_endpoints != want->n_endpoints || !same_ports(have, want) ||
	    x->n_labels != y->n_labels || x->n_annotations != y->n_annotations)
		return false;
	for (size_t i = 0; i < x->n_labels; i++) {
		const char *v = meta_label(y, x->labels[i]->key);
		if (!v || strcmp(v, x->labels[i]->value))
			return false;
	}
	for (size_t i = 0; i < x->n_annotations; i++) {
		const char *v = meta_annotation(y, x->annotations[i]->key);
		if (!v || strcmp(v, x->annotations[i]->value))
			return false;
	}
	for (size_t i = 0; i < have->n_endpoints; i++)
		if (!msg_equal(&discovery_v1__endpoint_schema, &have->endpoints[i]->base,
		               &want->endpoints[i]->base))
			return false;
	return true;
}

/* A slice of the same family takes the new content; first of those with the same ports. */
static const DiscoveryV1__EndpointSlice *reuse(struct planner *p,
                                               const DiscoveryV1__EndpointSlice *want)
{
	size_t best = p->in->n_slices;
	for (size_t i = 0; i < p->in->n_slices; i++) {
		const DiscoveryV1__EndpointSlice *s = p->in->slices[i];
		if (p->used[i] || s->metadata->deletion_timestamp ||
		    strcmp(s->address_type, want->address_type))
			continue;
		if (best == p->in->n_slices ||
		    (same_ports(s, want) && !same_ports(p->in->slices[best], want)))
			best = i;
	}
	if (best == p->in->n_slices)
		return NULL;
	p->used[best] = true;
	return p->in->slices[best];
}

static void place(struct planner *p, DiscoveryV1__EndpointSlice *want)
{
	const DiscoveryV1__EndpointSlice *have = reuse(p, want);
	if (!have) {
		p->out->create[p->out->n_create++] = want;
		return;
	}
	if (is_right(have, want))
		return;
	MetaV1__ObjectMeta *meta = arena_memdup(p->arena, have->metadata, sizeof(*meta));
	set_meta(p, meta);
	want->metadata = meta;
	p->out->update[p->out->n_update++] = want;
}

void mirror_plan(const struct mirror_input *in, struct arena *a, struct mirror_plan *ret)
{
	static const char *const families[] = {"IPv4", "IPv6"};
	struct planner p = {.in = in, .arena = a, .out = ret};
	size_t most = in->endpoints->n_subsets * 2;
	*ret = (struct mirror_plan){.create = arena_array(a, DiscoveryV1__EndpointSlice *, most),
	                            .update = arena_array(a, DiscoveryV1__EndpointSlice *, most),
	                            .remove =
	                                arena_array(a, DiscoveryV1__EndpointSlice *, in->n_slices)};
	p.used = arena_array(a, bool, in->n_slices);
	for (size_t i = 0; is_mirrored(in) && i < in->endpoints->n_subsets; i++)
		for (size_t k = 0; k < 2; k++) {
			DiscoveryV1__EndpointSlice *s =
			    slice_of_subset(&p, in->endpoints->subsets[i], families[k]);
			if (s->n_endpoints)
				place(&p, s);
		}
	for (size_t i = 0; i < in->n_slices; i++)
		if (!p.used[i] && !in->slices[i]->metadata->deletion_timestamp)
			ret->remove[ret->n_remove++] = in->slices[i];
}
