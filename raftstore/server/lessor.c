/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/lessor.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/lease_heap.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/node.h"

enum {
	TICK_MS = 500,
	REVOKE_MAX = 256,       /* a tick */
	CHECKPOINT_LEAST_S = 5, /* a checkpoint is worth it after a tenth of the lease */
	CHECKPOINT_MAX = 1000,  /* leases in one command */
	CHECKPOINT_EVERY_MS = 5000,
};

struct lessor {
	struct server *server;
	struct lease_heap heap;
	struct loop_timer timer;
	uint64_t checkpoint_at_ms;
};

static uint64_t now_ms(const struct lessor *l)
{
	return loop_now_ms(l->server->loop);
}

static void propose(struct lessor *l, enum command_kind kind, const ProtobufCMessage *m)
{
	struct request *q = request_new(NULL, kind);
	size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *bytes = arena_alloc(&q->arena, n + 1);
	protobuf_c_message_pack(m, bytes);
	request_set_command(q, slice_of(bytes, n));
	node_propose(l->server->node, q);
}

static void revoke_expired(struct lessor *l)
{
	uint64_t now = now_ms(l);
	for (unsigned i = 0; i < REVOKE_MAX; i++) {
		struct lease_timer *t = lease_heap_first(&l->heap);
		if (!t || t->expires_ms > now)
			return;
		Etcdserverpb__LeaseRevokeRequest m = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
		m.id = t->id;
		propose(l, COMMAND_LEASE_REVOKE, &m.base);
		/* Once more if the revocation is lost. */
		t->revoking = true;
		lease_heap_move(&l->heap, t, now + 5000);
	}
}

/* What the tables say is left of the lease. */
static int64_t saved_left_s(const struct lease_timer *t)
{
	return t->saved_s ? t->saved_s : t->granted_s;
}

static void checkpoint(struct lessor *l)
{
	Etcdserverpb__LeaseCheckpoint c[CHECKPOINT_MAX], *list[CHECKPOINT_MAX];
	Etcdserverpb__LeaseCheckpointRequest m = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
	uint64_t now = now_ms(l);
	m.checkpoints = list;
	VEC_FOREACH (&l->heap.heap, it) {
		struct lease_timer *t = *it;
		int64_t left = lease_timer_left_s(t, now), saved = saved_left_s(t);
		int64_t worth = MAX(t->granted_s / 10, (int64_t)CHECKPOINT_LEAST_S);
		int64_t moved = saved > left ? saved - left : left - saved;
		if (t->revoking || left <= 0 || moved < worth || m.n_checkpoints == CHECKPOINT_MAX)
			continue;
		etcdserverpb__lease_checkpoint__init(&c[m.n_checkpoints]);
		c[m.n_checkpoints].id = t->id;
		c[m.n_checkpoints].remaining_ttl = left;
		list[m.n_checkpoints] = &c[m.n_checkpoints];
		m.n_checkpoints++;
		t->saved_s = left;
	}
	if (m.n_checkpoints)
		propose(l, COMMAND_LEASE_CHECKPOINT, &m.base);
}

static void on_timer(void *arg)
{
	struct lessor *l = arg;
	loop_timer_start(&l->timer, TICK_MS);
	if (!node_is_leader(l->server->node) || l->server->stopping)
		return;
	revoke_expired(l);
	if (now_ms(l) >= l->checkpoint_at_ms) {
		l->checkpoint_at_ms = now_ms(l) + CHECKPOINT_EVERY_MS;
		checkpoint(l);
	}
}

/* --- what was applied --- */

struct notes {
	struct lessor *lessor;
	size_t n;
	struct lease_note at[];
};

static void on_notes(void *arg)
{
	struct notes *notes = arg;
	struct lessor *l = notes->lessor;
	for (size_t i = 0; i < notes->n; i++) {
		const struct lease_note *n = &notes->at[i];
		if (n->gone)
			lease_heap_remove(&l->heap, n->id);
		else
			lease_heap_put(&l->heap, n->id, n->granted_s,
			               now_ms(l) + (uint64_t)n->granted_s * 1000);
	}
	free(notes);
}

void lessor_note(struct server *s, const struct lease_note *at, size_t n)
{
	if (!n)
		return;
	struct notes *notes = malloc(sizeof(*notes) + n * sizeof(*at));
	if (!notes)
		abort();
	notes->lessor = s->lessor;
	notes->n = n;
	memcpy(notes->at, at, n * sizeof(*at));
	loop_post(s->loop, on_notes, notes);
}

int64_t lessor_renew(struct server *s, int64_t id)
{
	struct lessor *l = s->lessor;
	struct lease_timer *t = lease_heap_find(&l->heap, id);
	if (!t || t->revoking)
		return 0;
	lease_heap_move(&l->heap, t, now_ms(l) + (uint64_t)t->granted_s * 1000);
	return t->granted_s;
}

bool lessor_left(struct server *s, int64_t id, int64_t *ret_granted_s, int64_t *ret_left_s)
{
	struct lessor *l = s->lessor;
	struct lease_timer *t = lease_heap_find(&l->heap, id);
	if (!t)
		return false;
	*ret_granted_s = t->granted_s;
	*ret_left_s = t->revoking ? 0 : lease_timer_left_s(t, now_ms(l));
	return true;
}

/* --- life --- */

static int load_one(void *arg, const struct lease *lease)
{
	struct lessor *l = arg;
	int64_t left = lease->remaining_s ? lease->remaining_s : lease->granted_s;
	struct lease_timer *t = lease_heap_put(&l->heap, lease->id, lease->granted_s,
	                                       now_ms(l) + (uint64_t)left * 1000);
	t->saved_s = lease->remaining_s;
	return 0;
}

static int load(struct lessor *l)
{
	struct kv_txn *kv;
	int r = store_begin(l->server->store, false, &kv);
	if (r)
		return r;
	r = lease_each(kv, load_one, l);
	store_end(kv);
	return r;
}

/* A new leader counts from what the last checkpoints say, or from the whole lease. */
void lessor_lead(struct server *s, bool leads)
{
	struct lessor *l = s->lessor;
	if (!leads)
		return;
	VEC_FOREACH (&l->heap.heap, t)
		(*t)->revoking = false;
	loop_timer_start(&l->timer, TICK_MS);
}

int lessor_start(struct server *s, struct err *err)
{
	struct lessor *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	s->lessor = l;
	l->server = s;
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	lease_heap_init(&l->heap, seed);
	loop_timer_init(&l->timer, s->loop, on_timer, l);
	int r = load(l);
	return r ? err_set(err, (enum err_code) - r, "cannot read the leases") : 0;
}

void lessor_stop(struct server *s)
{
	struct lessor *l = TAKE(s->lessor);
	if (!l)
		return;
	loop_timer_stop(&l->timer);
	lease_heap_deinit(&l->heap);
	free(l);
}
