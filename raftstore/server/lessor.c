/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/lessor.h"
#include "common/base/log.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/lease_heap.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"

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
	bool primary; /* counts: this member leads and has applied what was before its term */
};

static uint64_t now_ms(const struct lessor *l)
{
	return loop_now_ms(l->server->loop);
}

/* What is decided here holds for this leader alone: another one decides anew. */
static struct request *make_request(enum command_kind kind, const ProtobufCMessage *m)
{
	struct request *q = request_new(NULL, kind);
	request_pack_message(q, m);
	q->here_only = true;
	return q;
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
		node_propose(l->server->node, make_request(COMMAND_LEASE_REVOKE, &m.base));
		/* Once more if the revocation is lost. */
		t->revoking = true;
		lease_heap_move(&l->heap, t, now + 5000);
	}
}

/* Is it worth a command to write down what is left? A lease that is kept alive is renewed before
 * that; to renew it afterwards would cost another command. */
static bool worth_checkpoint(const struct lease_timer *t, int64_t left_s)
{
	int64_t saved = t->saved_s ? t->saved_s : t->granted_s;
	int64_t least = MAX(t->granted_s / (t->renewed ? 2 : 10), (int64_t)CHECKPOINT_LEAST_S);
	return !t->revoking && left_s > 0 && saved - left_s >= least;
}

static void checkpoint(struct lessor *l)
{
	Etcdserverpb__LeaseCheckpoint c[CHECKPOINT_MAX], *list[CHECKPOINT_MAX];
	Etcdserverpb__LeaseCheckpointRequest m = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
	uint64_t now = now_ms(l);
	m.checkpoints = list;
	VEC_FOREACH (&l->heap.heap, t) {
		int64_t left = (int64_t)((lease_timer_left_ms(*t, now) + 999) / 1000);
		if (!worth_checkpoint(*t, left) || m.n_checkpoints == CHECKPOINT_MAX)
			continue;
		etcdserverpb__lease_checkpoint__init(&c[m.n_checkpoints]);
		c[m.n_checkpoints].id = (*t)->id;
		c[m.n_checkpoints].remaining_ttl = left;
		list[m.n_checkpoints] = &c[m.n_checkpoints];
		m.n_checkpoints++;
		(*t)->saving = true;
	}
	if (m.n_checkpoints)
		node_propose(l->server->node, make_request(COMMAND_LEASE_CHECKPOINT, &m.base));
}

static void on_timer(void *arg)
{
	struct lessor *l = arg;
	loop_timer_start(&l->timer, TICK_MS);
	if (!l->primary || l->server->stopping)
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
		struct lease_timer *t = n->checkpoint ? lease_heap_find(&l->heap, n->id) : NULL;
		if (t) {
			t->saved_s = n->remaining_s;
			t->saving = false;
		} else if (n->gone) {
			lease_heap_remove(&l->heap, n->id);
		} else if (!n->checkpoint) {
			lease_heap_put(&l->heap, n->id, n->granted_s,
			               now_ms(l) + (uint64_t)n->granted_s * 1000);
		}
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

/* --- questions --- */

/* Whoever leads now must have led when it was asked: the quorum says so. */
struct question {
	struct lessor *lessor;
	int64_t id;
	bool with_keys;
	uint64_t asked_ms;
	int outcome;
	lessor_renewed_fn renewed;
	lessor_left_fn left;
	void *arg;
};

static void renew_end(struct question *q, int outcome, int64_t granted_s)
{
	q->renewed(q->arg, outcome, granted_s);
	free(q);
}

/* The time counts from when it was asked for: the next leader, who began later, gives it no less.
 */
static void renew_now(struct question *q)
{
	struct lessor *l = q->lessor;
	struct lease_timer *t = lease_heap_find(&l->heap, q->id);
	if (!t || t->revoking) {
		renew_end(q, 0, 0);
		return;
	}
	uint64_t until = q->asked_ms + (uint64_t)t->granted_s * 1000;
	t->renewed = true;
	lease_heap_move(&l->heap, t, MAX(t->expires_ms, until));
	renew_end(q, 0, t->granted_s);
}

static void on_unsaved(void *arg)
{
	struct question *q = arg;
	if (!q->outcome && q->lessor->primary)
		renew_now(q);
	else
		renew_end(q, q->outcome ? q->outcome : OUTCOME_NOT_LEADER, 0);
}

/* Any thread. */
static void unsave_done(void *arg, int outcome, struct slice answer)
{
	struct question *q = arg;
	q->outcome = outcome;
	loop_post(q->lessor->server->loop, on_unsaved, q);
}

/* A checkpoint says that less is left, or is about to: this goes behind it before anything is
 * promised, or the next leader would believe it. */
static void unsave(struct question *q)
{
	Etcdserverpb__LeaseCheckpoint c = ETCDSERVERPB__LEASE_CHECKPOINT__INIT, *list = &c;
	Etcdserverpb__LeaseCheckpointRequest m = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
	c.id = q->id;
	m.checkpoints = &list;
	m.n_checkpoints = 1;
	struct request *r = make_request(COMMAND_LEASE_CHECKPOINT, &m.base);
	r->done = unsave_done;
	r->done_arg = q;
	node_propose(q->lessor->server->node, r);
}

static void on_renew_turn(void *arg)
{
	struct question *q = arg;
	int outcome = q->outcome;
	struct lease_timer *t = lease_heap_find(&q->lessor->heap, q->id);
	if (!outcome && !q->lessor->primary)
		outcome = OUTCOME_NOT_LEADER;
	if (outcome)
		renew_end(q, outcome, 0);
	else if (t && (t->saved_s || t->saving) && !t->revoking)
		unsave(q);
	else
		renew_now(q);
}

/* What was applied by now has its notes on the loop's queue, but perhaps behind what runs now. */
static void after_notes(struct question *q, int outcome, loop_fn turn)
{
	q->outcome = outcome;
	loop_post(q->lessor->server->loop, turn, q);
}

static void on_renew_confirmed(void *arg, int outcome)
{
	after_notes(arg, outcome, on_renew_turn);
}

static void out_left(struct lessor *l, const struct question *q, struct buf *b)
{
	struct lease_timer *t = lease_heap_find(&l->heap, q->id);
	uint8_t head[16];
	put_be64(head, t ? (uint64_t)t->granted_s : 0);
	put_be64(head + 8, !t            ? UINT64_MAX
	                   : t->revoking ? 0
	                                 : lease_timer_left_ms(t, now_ms(l)) / 1000);
	buf_add(b, head, sizeof(head));
}

static int add_key(void *arg, struct slice key)
{
	out_bytes_always(arg, 5, key);
	return 0;
}

static int out_keys(struct server *s, int64_t id, struct buf *b)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	r = lease_each_key(kv, id, add_key, b);
	store_end(kv);
	return r;
}

static void on_left_turn(void *arg)
{
	struct question *q = arg;
	int outcome = q->outcome;
	struct lessor *l = q->lessor;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (!outcome && !l->primary)
		outcome = OUTCOME_NOT_LEADER;
	if (!outcome)
		out_left(l, q, &b);
	if (!outcome && q->with_keys)
		outcome = out_keys(l->server, q->id, &b);
	q->left(q->arg, outcome, buf_view(&b));
	free(q);
}

static void on_left_confirmed(void *arg, int outcome)
{
	after_notes(arg, outcome, on_left_turn);
}

static struct question *question_new(struct server *s, int64_t id, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	*q = (struct question){
	    .lessor = s->lessor, .id = id, .asked_ms = loop_now_ms(s->loop), .arg = arg};
	return q;
}

void lessor_renew(struct server *s, int64_t id, lessor_renewed_fn fn, void *arg)
{
	struct question *q = question_new(s, id, arg);
	q->renewed = fn;
	node_confirm(s->node, on_renew_confirmed, q);
}

void lessor_left(struct server *s, int64_t id, bool with_keys, lessor_left_fn fn, void *arg)
{
	struct question *q = question_new(s, id, arg);
	q->left = fn;
	q->with_keys = with_keys;
	node_confirm(s->node, on_left_confirmed, q);
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

static uint64_t left_ms(const struct lease_timer *t)
{
	return (uint64_t)(t->saved_s ? t->saved_s : t->granted_s) * 1000;
}

static int by_expiry(const void *a, const void *b)
{
	uint64_t x = (*(struct lease_timer *const *)a)->expires_ms;
	uint64_t y = (*(struct lease_timer *const *)b)->expires_ms;
	return (x > y) - (x < y);
}

/* A new leader counts from what the last checkpoints say, or from the whole lease, and gives the
 * time in which nobody could be asked on top. */
void lessor_lead(struct server *s, bool leads)
{
	struct lessor *l = s->lessor;
	l->primary = leads;
	loop_timer_stop(&l->timer);
	if (!leads)
		return;
	uint64_t from_ms = now_ms(l) + (uint64_t)s->options->election_ms;
	VEC_FOREACH (&l->heap.heap, t) {
		(*t)->revoking = (*t)->renewed = (*t)->saving = false;
		(*t)->expires_ms = from_ms + left_ms(*t);
	}
	/* What is sorted is a heap. */
	if (l->heap.heap.n)
		qsort(l->heap.heap.at, l->heap.heap.n, sizeof(*l->heap.heap.at), by_expiry);
	for (size_t i = 0; i < l->heap.heap.n; i++)
		l->heap.heap.at[i]->place = i;
	l->checkpoint_at_ms = now_ms(l) + CHECKPOINT_EVERY_MS;
	loop_timer_start(&l->timer, TICK_MS);
}

void lessor_reload(struct server *s)
{
	struct lessor *l = s->lessor;
	lease_heap_deinit(&l->heap);
	lease_heap_init(&l->heap, server_random(s));
	if (load(l))
		log_error(NULL, "Could not read the leases");
}

int lessor_start(struct server *s, struct err *err)
{
	struct lessor *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	s->lessor = l;
	l->server = s;
	lease_heap_init(&l->heap, server_random(s));
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
