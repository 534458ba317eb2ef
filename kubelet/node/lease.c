/* SPDX-License-Identifier: Apache-2.0 */
/* The node's Lease: renewed every quarter of its duration. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "kubelet/node/node.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/schema_messages.h"

enum { RETRY_MS = 200, RETRY_MAX_MS = 7000, NS_PER_S = 1000000000 };

struct lease {
	struct kubelet *k;
	char uid[64];
	struct loop_timer timer;
	struct arena arena;
	CoordinationV1__Lease *known; /* as the apiserver has it; NULL: ask */
	uint64_t retry_ms;
	struct client_call *call;
};

#define MAKE(a, type, schema) ((type *)pb_new(&schema, a))

static struct client_target target(const struct lease *l, const char *name)
{
	(void)l;
	return (struct client_target){
	    {"coordination.k8s.io", "v1", "leases"}, "kube-node-lease", name, ""};
}

static void set_micro(struct arena *a, MetaV1__MicroTime **t, int64_t ns)
{
	*t = arena_new(a, MetaV1__MicroTime);
	**t = (MetaV1__MicroTime)META_V1__MICRO_TIME__INIT;
	(*t)->has_seconds = (*t)->has_nanos = 1;
	(*t)->seconds = ns / NS_PER_S;
	(*t)->nanos = (int32_t)(ns % NS_PER_S / 1000 * 1000);
}

static void fill(struct lease *l, CoordinationV1__Lease *x, struct arena *a)
{
	const char *node = l->k->config->node_name;
	x->metadata->name = (char *)(uintptr_t)node;
	x->metadata->namespace_ = (char *)"kube-node-lease";
	if (!x->metadata->n_owner_references && *l->uid) {
		MetaV1__OwnerReference *o =
		    MAKE(a, MetaV1__OwnerReference, meta_v1__owner_reference_schema);
		o->api_version = (char *)"v1";
		o->kind = (char *)"Node";
		o->name = (char *)(uintptr_t)node;
		o->uid = l->uid;
		x->metadata->owner_references = arena_array(a, MetaV1__OwnerReference *, 1);
		x->metadata->owner_references[x->metadata->n_owner_references++] = o;
	}
	x->spec->holder_identity = (char *)(uintptr_t)node;
	x->spec->has_lease_duration_seconds = 1;
	x->spec->lease_duration_seconds = (int32_t)l->k->config->lease_s;
	set_micro(a, &x->spec->renew_time, clock_real_ns());
}

static void on_answer(const struct client_result *r, void *arg);

static void renew(void *arg)
{
	struct lease *l = arg;
	struct client_target t = target(l, l->k->config->node_name);
	if (l->call)
		return;
	if (!l->known) {
		l->call = client_get(l->k->client, &t, on_answer, l);
		return;
	}
	fill(l, l->known, &l->arena);
	l->call = client_write_msg(l->k->client, false, &t, &coordination_v1__lease_schema,
	                           &l->known->base, on_answer, l);
}

static void create(struct lease *l)
{
	_cleanup_arena_ struct arena a = {0};
	CoordinationV1__Lease *x = MAKE(&a, CoordinationV1__Lease, coordination_v1__lease_schema);
	fill(l, x, &a);
	struct client_target t = target(l, "");
	l->call = client_write_msg(l->k->client, true, &t, &coordination_v1__lease_schema, &x->base,
	                           on_answer, l);
}

static void on_answer(const struct client_result *r, void *arg)
{
	struct lease *l = arg;
	bool asked = !l->known, made = r->created;
	l->call = NULL;
	struct err err = ERR_INIT;
	if (r->code == ERR_NOT_FOUND && asked) {
		create(l);
		return;
	}
	l->known = NULL;
	arena_deinit(&l->arena);
	if (client_result_err(r, &err)) {
		if (r->code != ERR_CONFLICT)
			log_error(&err, "Could not renew the node's lease");
		l->retry_ms = l->retry_ms ? MIN(l->retry_ms * 2, RETRY_MAX_MS) : RETRY_MS;
		loop_timer_start(&l->timer, l->retry_ms);
		return;
	}
	ProtobufCMessage *msg = NULL;
	if (!pb_decode(&coordination_v1__lease_schema, r->object, &l->arena, &msg, &err))
		l->known = (CoordinationV1__Lease *)msg;
	l->retry_ms = 0;
	/* What was only read is renewed now. */
	bool stale = asked && !made && l->known;
	loop_timer_start(&l->timer, stale ? 0 : (uint64_t)l->k->config->lease_s * 250);
}

struct lease *lease_new(struct kubelet *k)
{
	struct lease *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->k = k;
	loop_timer_init(&l->timer, k->loop, renew, l);
	return l;
}

void lease_start(struct lease *l, const char *node_uid)
{
	strncpy(l->uid, node_uid, sizeof(l->uid) - 1);
	renew(l);
}

void lease_free(struct lease *l)
{
	if (!l)
		return;
	loop_timer_stop(&l->timer);
	if (l->call)
		client_call_drop(l->call);
	arena_deinit(&l->arena);
	free(l);
}
