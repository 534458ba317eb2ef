/* SPDX-License-Identifier: Apache-2.0 */
#include "controller-manager/endpoints/plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/codec/rfc3339.h"
#include "controller-manager/base/plan/meta.h"
#include "controller-manager/base/plan/pods.h"
#include "controller-manager/base/plan/services.h"
#include "proto/meta_labels.h"
#include "proto/msg.h"
#include "proto/pb_decode.h"
#include "proto/schema_messages.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define TRIGGER_TIME "endpoints.kubernetes.io/last-change-trigger-time"

/* One number of a port, and who has it. */
struct entry {
	const char *key; /* of the port */
	const CoreV1__ServicePort *port;
	int32_t number;
	CoreV1__EndpointAddress **ready, **not_ready;
	size_t n_ready, n_not_ready;
};

struct planner {
	const struct endpoints_input *in;
	const char *family;
	struct arena *arena;
	struct entry *entries;
	size_t n;
};

/* --- addresses --- */

static bool belongs(const struct planner *p, const CoreV1__Pod *pod)
{
	return !pod_has_ended(pod) && (!pod->metadata->deletion_timestamp ||
	                               p->in->service->spec->publish_not_ready_addresses);
}

static CoreV1__EndpointAddress *address_of(const struct planner *p, const CoreV1__Pod *pod,
                                           const char *ip)
{
	CoreV1__EndpointAddress *e = arena_new(p->arena, CoreV1__EndpointAddress);
	*e = (CoreV1__EndpointAddress)CORE_V1__ENDPOINT_ADDRESS__INIT;
	e->ip = TEXT(ip);
	e->hostname = service_names_pod(p->in->service, pod) ? pod->spec->hostname : TEXT("");
	e->node_name = *pod->spec->node_name ? pod->spec->node_name : NULL;
	e->target_ref = pod_reference(pod, p->arena);
	return e;
}

static struct entry *entry_of(struct planner *p, const CoreV1__ServicePort *port, int32_t number)
{
	const char *key = port ? arena_printf(p->arena, "%s/%s/%d/%s", port->name, port->protocol,
	                                      number, port->app_protocol ? port->app_protocol : "")
	                       : "";
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->entries[i].key, key))
			return &p->entries[i];
	struct entry *e = &p->entries[p->n++];
	*e = (struct entry){.key = key, .port = port, .number = number};
	e->ready = arena_array(p->arena, CoreV1__EndpointAddress *, p->in->n_pods);
	e->not_ready = arena_array(p->arena, CoreV1__EndpointAddress *, p->in->n_pods);
	return e;
}

static void add_pod(struct planner *p, const CoreV1__Pod *pod)
{
	const CoreV1__Service *svc = p->in->service;
	const char *ip = pod_address(pod, p->family);
	if (!ip || !belongs(p, pod))
		return;
	bool ready = svc->spec->publish_not_ready_addresses || pod_is_ready(pod);
	bool portless = !svc->spec->n_ports && service_is_headless(svc);
	CoreV1__EndpointAddress *address = address_of(p, pod, ip);
	for (size_t i = 0; i < svc->spec->n_ports + portless; i++) {
		const CoreV1__ServicePort *port = portless ? NULL : svc->spec->ports[i];
		int32_t number = 0;
		if (port && !service_port_of(pod, port, &number))
			continue;
		struct entry *e = entry_of(p, port, number);
		if (ready)
			e->ready[e->n_ready++] = address;
		else
			e->not_ready[e->n_not_ready++] = address;
	}
}

/* --- subsets: ports with the same addresses stand together --- */

static int address_cmp(const void *x, const void *y)
{
	const CoreV1__EndpointAddress *a = *(CoreV1__EndpointAddress *const *)x;
	const CoreV1__EndpointAddress *b = *(CoreV1__EndpointAddress *const *)y;
	int c = strcmp(a->ip, b->ip);
	return c ? c : strcmp(a->target_ref->uid, b->target_ref->uid);
}

static CoreV1__EndpointPort *port_of(const struct planner *p, const struct entry *e)
{
	CoreV1__EndpointPort *port = arena_new(p->arena, CoreV1__EndpointPort);
	*port = (CoreV1__EndpointPort)CORE_V1__ENDPOINT_PORT__INIT;
	port->name = e->port->name;
	port->has_port = 1;
	port->port = e->number;
	port->protocol = e->port->protocol;
	port->app_protocol = e->port->app_protocol;
	return port;
}

static CoreV1__EndpointSubset *subset_of(const struct planner *p, const struct entry *e)
{
	CoreV1__EndpointSubset *s = arena_new(p->arena, CoreV1__EndpointSubset);
	*s = (CoreV1__EndpointSubset)CORE_V1__ENDPOINT_SUBSET__INIT;
	s->addresses = e->ready;
	s->n_addresses = e->n_ready;
	s->not_ready_addresses = e->not_ready;
	s->n_not_ready_addresses = e->n_not_ready;
	s->ports = arena_array(p->arena, CoreV1__EndpointPort *, p->n);
	return s;
}

static int entry_cmp(const void *x, const void *y)
{
	return strcmp(((const struct entry *)x)->key, ((const struct entry *)y)->key);
}

/* Each pod has one address, which all its ports share. */
static bool same_addresses(const struct entry *x, const struct entry *y)
{
	return x->n_ready == y->n_ready && x->n_not_ready == y->n_not_ready &&
	       !memcmp(x->ready, y->ready, x->n_ready * sizeof(*x->ready)) &&
	       !memcmp(x->not_ready, y->not_ready, x->n_not_ready * sizeof(*x->not_ready));
}

static size_t make_subsets(struct planner *p, CoreV1__EndpointSubset ***ret)
{
	CoreV1__EndpointSubset **list = arena_array(p->arena, CoreV1__EndpointSubset *, p->n);
	const struct entry **first = arena_array(p->arena, const struct entry *, p->n);
	size_t n = 0;
	if (p->n)
		qsort(p->entries, p->n, sizeof(*p->entries), entry_cmp);
	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->entries[i];
		size_t at = 0;
		qsort(e->ready, e->n_ready, sizeof(*e->ready), address_cmp);
		qsort(e->not_ready, e->n_not_ready, sizeof(*e->not_ready), address_cmp);
		while (at < n && !same_addresses(first[at], e))
			at++;
		if (at == n) {
			first[n] = e;
			list[n++] = subset_of(p, e);
		}
		if (e->port)
			list[at]->ports[list[at]->n_ports++] = port_of(p, e);
	}
	*ret = list;
	return n;
}

/* --- what is too much --- */

/* Cuts each subset to its share; ready addresses go before those that are not. */
static bool truncate(CoreV1__EndpointSubset **list, size_t n, size_t max)
{
	size_t ready = 0, not_ready = 0;
	for (size_t i = 0; i < n; i++) {
		ready += list[i]->n_addresses;
		not_ready += list[i]->n_not_ready_addresses;
	}
	if (ready + not_ready <= max)
		return false;
	bool cut_ready = ready > max;
	size_t total = cut_ready ? ready : not_ready, room = cut_ready ? max : max - ready;
	for (size_t i = 0, left = room; i < n; i++) {
		size_t *have = cut_ready ? &list[i]->n_addresses : &list[i]->n_not_ready_addresses;
		size_t share = (*have * room + total - 1) / total;
		*have = MIN(MIN(share, *have), left);
		left -= *have;
		if (cut_ready)
			list[i]->n_not_ready_addresses = 0;
	}
	return true;
}

/* --- the object --- */

static void set_annotations(const struct planner *p, MetaV1__ObjectMeta *meta, bool truncated)
{
	const MetaV1__Time *created = p->in->service->metadata->creation_timestamp;
	int64_t newest = created ? created->seconds : 0;
	char text[RFC3339_BYTES];
	for (size_t i = 0; i < p->in->n_pods; i++)
		newest = pod_trigger_s(p->in->pods[i], newest);
	rfc3339_format(newest, text);
	meta_set_annotation(meta, p->arena, TRIGGER_TIME, text);
	if (truncated)
		meta_set_annotation(meta, p->arena, OVER_CAPACITY, "truncated");
	else
		meta_del_annotation(meta, p->arena, OVER_CAPACITY);
}

static void set_labels(const struct planner *p, MetaV1__ObjectMeta *meta)
{
	const MetaV1__ObjectMeta *svc = p->in->service->metadata;
	meta->labels = svc->labels;
	meta->n_labels = svc->n_labels;
	if (service_is_headless(p->in->service))
		meta_set_label(meta, p->arena, SERVICE_HEADLESS_LABEL, "");
	else
		meta_del_label(meta, p->arena, SERVICE_HEADLESS_LABEL);
	meta_set_label(meta, p->arena, ENDPOINTS_MANAGED_BY, ENDPOINTS_MANAGER);
}

static bool same_labels(const MetaV1__ObjectMeta *x, const MetaV1__ObjectMeta *y)
{
	if (x->n_labels != y->n_labels)
		return false;
	for (size_t i = 0; i < x->n_labels; i++) {
		const char *other = meta_label(y, x->labels[i]->key);
		if (!other || strcmp(other, x->labels[i]->value))
			return false;
	}
	return true;
}

static bool is_right(const CoreV1__Endpoints *have, const CoreV1__Endpoints *want)
{
	const char *was = meta_annotation(have->metadata, OVER_CAPACITY);
	const char *is = meta_annotation(want->metadata, OVER_CAPACITY);
	if (!same_labels(have->metadata, want->metadata) || !was != !is ||
	    have->n_subsets != want->n_subsets)
		return false;
	for (size_t i = 0; i < have->n_subsets; i++)
		if (!msg_equal(&core_v1__endpoint_subset_schema, &have->subsets[i]->base,
		               &want->subsets[i]->base))
			return false;
	return true;
}

CoreV1__Endpoints *endpoints_plan(const struct endpoints_input *in, struct arena *a)
{
	const CoreV1__ServiceSpec *spec = in->service->spec;
	struct planner p = {.in = in, .arena = a};
	p.family = spec->n_ip_families ? spec->ip_families[0] : "IPv4";
	p.entries = arena_array(a, struct entry, in->n_pods * MAX(spec->n_ports, 1U));
	for (size_t i = 0; i < in->n_pods; i++)
		add_pod(&p, in->pods[i]);
	CoreV1__Endpoints *e = (CoreV1__Endpoints *)pb_new(&core_v1__endpoints_schema, a);
	if (in->current) {
		*e = *in->current;
		e->metadata = arena_memdup(a, in->current->metadata, sizeof(*e->metadata));
	} else {
		e->metadata->name = in->service->metadata->name;
		e->metadata->namespace_ = in->service->metadata->namespace_;
	}
	e->n_subsets = make_subsets(&p, &e->subsets);
	bool truncated =
	    truncate(e->subsets, e->n_subsets, in->max ? in->max : ENDPOINTS_ADDRESSES_MAX);
	set_labels(&p, e->metadata);
	set_annotations(&p, e->metadata, truncated);
	return in->current && is_right(in->current, e) ? NULL : e;
}
