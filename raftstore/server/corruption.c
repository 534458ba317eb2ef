/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/corruption.h"
#include "common/base/log.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/members.h"
#include "raftstore/server/node.h"

enum { ASK_TIMEOUT_MS = 60000, INITIAL_TIMEOUT_MS = 7000, AGAIN_MS = 100, ANSWER_BYTES = 32 };

/* What a member says of one revision. */
struct hash_kv {
	uint64_t member;
	int result; /* 0, an outcome or -ERR_x */
	uint32_t hash;
	int64_t revision, compacted, present;
};

struct corruption {
	struct server *server;
	struct loop_timer periodic, compact;
	struct round *round; /* the one that runs */
	int64_t checked_compacted;
	bool initial; /* holds back serving */
	bool wanted;  /* it would serve but for that */
};

/* One comparison. */
struct round {
	struct corruption *corruption;
	bool initial, of_compacted;
	unsigned waiting;
	uint64_t until_ms;          /* the initial one asks again till then */
	VEC(struct hash_kv) hashes; /* the first is this member's */
};

/* --- hashes of this member: on the copy worker --- */

struct hash_job {
	struct server *server;
	struct hash_kv hash; /* revision: 0: the present, -1: the compacted one */
	int64_t known;       /* with -1: nothing to do when that is it */
	void (*done)(void *arg, const struct hash_kv *hash); /* on the loop */
	void *arg;
};

static int hash_now(struct server *s, struct hash_kv *h, int64_t known)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	_cleanup_mvcc_ struct mvcc m = {0};
	r = mvcc_open(&m, kv);
	h->present = m.revision;
	h->compacted = m.compacted;
	if (!r && h->revision < 0 && m.compacted <= known)
		r = OUTCOME_COMPACTED;
	if (h->revision <= 0)
		h->revision = h->revision ? m.compacted : m.revision;
	if (!r)
		r = mvcc_check_revision(&m, h->revision);
	if (!r)
		r = mvcc_hash(&m, h->revision, &h->hash);
	store_end(kv);
	return r;
}

static void hash_done(void *arg)
{
	struct hash_job *j = arg;
	j->done(j->arg, &j->hash);
	free(j);
}

static void hash_run(void *arg)
{
	struct hash_job *j = arg;
	j->hash.result = hash_now(j->server, &j->hash, j->known);
	loop_post(j->server->loop, hash_done, j);
}

static void hash_start(struct server *s, int64_t revision, int64_t known,
                       void (*done)(void *arg, const struct hash_kv *hash), void *arg)
{
	struct hash_job *j = calloc(1, sizeof(*j));
	if (!j)
		abort();
	*j = (struct hash_job){
	    .server = s,
	    .hash = {.member = s->member_id, .revision = revision},
	    .known = known,
	    .done = done,
	    .arg = arg,
	};
	worker_post(&s->copy_worker, hash_run, j);
}

/* --- questions of others --- */

static void on_hash_for_peer(void *arg, const struct hash_kv *h)
{
	uint8_t b[ANSWER_BYTES];
	put_be64(b, h->hash);
	put_be64(b + 8, (uint64_t)h->revision);
	put_be64(b + 16, (uint64_t)h->compacted);
	put_be64(b + 24, (uint64_t)h->present);
	peers_answer(arg, h->result, slice_of(b, sizeof(b)));
}

void corruption_asked(struct server *s, int64_t revision, struct peers_answer *a)
{
	hash_start(s, revision, 0, on_hash_for_peer, a);
}

/* --- comparing --- */

static void raise_alarm(struct server *s, uint64_t member_id)
{
	node_raise_alarm(s->node, member_id, ETCDSERVERPB__ALARM_TYPE__CORRUPT);
	log_error(NULL, "The members' tables differ", LOG_INT("member", member_id));
}

/* Can it be compared with this member's, or is it known to be damaged? */
static bool counts(const struct hash_kv *mine, const struct hash_kv *h)
{
	return h->result == -ERR_CORRUPT ||
	       (!h->result && h->revision == mine->revision && h->compacted == mine->compacted);
}

static bool agree(const struct hash_kv *a, const struct hash_kv *b)
{
	return !a->result && !b->result && a->hash == b->hash;
}

/* The hash that more than half of all members have; NULL: none. */
static const struct hash_kv *majority(const struct round *rd)
{
	for (size_t i = 0; i < rd->hashes.n; i++) {
		size_t n = 0;
		for (size_t k = 0; k < rd->hashes.n; k++)
			n += counts(&rd->hashes.at[0], &rd->hashes.at[k]) &&
			     agree(&rd->hashes.at[i], &rd->hashes.at[k]);
		if (n > rd->hashes.n / 2)
			return &rd->hashes.at[i];
	}
	return NULL;
}

static bool differ(const struct round *rd)
{
	const struct hash_kv *mine = &rd->hashes.at[0];
	bool found = mine->result == -ERR_CORRUPT;
	VEC_FOREACH (&rd->hashes, h)
		found |= counts(mine, h) && !agree(mine, h);
	return found;
}

static void accuse(struct round *rd)
{
	struct server *s = rd->corruption->server;
	const struct hash_kv *mine = &rd->hashes.at[0], *most = majority(rd);
	if (!most) {
		raise_alarm(s, 0);
		return;
	}
	VEC_FOREACH (&rd->hashes, h) {
		if (counts(mine, h) && !agree(most, h))
			raise_alarm(s, h->member);
	}
}

static bool all_answered(const struct round *rd)
{
	VEC_FOREACH (&rd->hashes, h) {
		if (!counts(&rd->hashes.at[0], h))
			return false;
	}
	return true;
}

static void initial_done(struct corruption *c, bool bad)
{
	struct server *s = c->server;
	if (bad) {
		s->failed = true;
		log_error(NULL, "The other members have other data: this one must be replaced");
		daemon_stop(s->daemon);
		return;
	}
	c->initial = false;
	log_info("The initial corruption check has passed");
	if (c->wanted)
		server_serve(s);
}

static void round_end(struct round *rd)
{
	struct corruption *c = rd->corruption;
	struct server *s = c->server;
	bool bad = differ(rd), alarmed = s->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__CORRUPT;
	c->round = NULL;
	if (s->stopping)
		;
	else if (rd->initial)
		initial_done(c, bad);
	else if (bad && !alarmed && node_is_leader(s->node))
		accuse(rd);
	else if (!bad && rd->of_compacted && all_answered(rd))
		c->checked_compacted = rd->hashes.at[0].compacted;
	vec_deinit(&rd->hashes);
	free(rd);
}

/* --- asking --- */

struct question {
	struct round *round;
	size_t at; /* in its hashes */
	struct loop_timer again;
};

static void on_answer(void *arg, int result, struct slice b);

static void ask(void *arg)
{
	struct question *q = arg;
	struct round *rd = q->round;
	uint8_t revision[8];
	put_be64(revision, (uint64_t)rd->hashes.at[0].revision);
	peers_ask(rd->corruption->server->peers, rd->hashes.at[q->at].member, ASK_HASH_KV,
	          slice_of(revision, sizeof(revision)),
	          rd->initial ? INITIAL_TIMEOUT_MS : ASK_TIMEOUT_MS, on_answer, q);
}

/* Right after the start nobody is connected. */
static bool ask_again(struct question *q, int result)
{
	const struct round *rd = q->round;
	struct server *s = rd->corruption->server;
	if (result != -ERR_UNAVAILABLE || s->stopping || loop_now_ms(s->loop) >= rd->until_ms)
		return false;
	loop_timer_start(&q->again, AGAIN_MS);
	return true;
}

static void on_answer(void *arg, int result, struct slice b)
{
	struct question *q = arg;
	struct round *rd = q->round;
	struct hash_kv *h = &rd->hashes.at[q->at];
	if (ask_again(q, result))
		return;
	free(q);
	h->result = result ? result : b.len == ANSWER_BYTES ? 0 : -ERR_INVALID;
	if (!h->result) {
		h->hash = (uint32_t)get_be64(b.data);
		h->revision = (int64_t)get_be64(b.data + 8);
		h->compacted = (int64_t)get_be64(b.data + 16);
		h->present = (int64_t)get_be64(b.data + 24);
	}
	if (!--rd->waiting)
		round_end(rd);
}

static void on_mine(void *arg, const struct hash_kv *mine)
{
	struct round *rd = arg;
	struct server *s = rd->corruption->server;
	*vec_push(&rd->hashes) = *mine;
	rd->waiting = 1;
	rd->until_ms = rd->initial ? loop_now_ms(s->loop) + INITIAL_TIMEOUT_MS : 0;
	const struct members *m = node_members(s->node);
	for (size_t i = 0; !s->stopping && mine->result <= 0 && i < m->list.n; i++) {
		if (m->list.at[i]->id != s->member_id)
			*vec_push(&rd->hashes) = (struct hash_kv){.member = m->list.at[i]->id};
	}
	for (size_t i = 1; i < rd->hashes.n; i++) {
		struct question *q = calloc(1, sizeof(*q));
		if (!q)
			abort();
		q->round = rd;
		q->at = i;
		loop_timer_init(&q->again, s->loop, ask, q);
		rd->waiting++;
		ask(q);
	}
	if (!--rd->waiting)
		round_end(rd);
}

static void round_start(struct corruption *c, bool initial, bool of_compacted)
{
	if (c->round)
		return;
	struct round *rd = calloc(1, sizeof(*rd));
	if (!rd)
		abort();
	rd->corruption = c;
	rd->initial = initial;
	rd->of_compacted = of_compacted;
	c->round = rd;
	hash_start(c->server, of_compacted ? -1 : 0, c->checked_compacted, on_mine, rd);
}

/* --- when --- */

static bool may_check(const struct corruption *c)
{
	const struct server *s = c->server;
	return node_is_leader(s->node) && !s->stopping && s->serving;
}

static void on_periodic(void *arg)
{
	struct corruption *c = arg;
	loop_timer_start(&c->periodic, (uint64_t)c->server->options->corrupt_check_ms);
	if (may_check(c))
		round_start(c, false, false);
}

static void on_compact(void *arg)
{
	struct corruption *c = arg;
	loop_timer_start(&c->compact, (uint64_t)c->server->options->compact_hash_check_ms);
	if (may_check(c))
		round_start(c, false, true);
}

static void begin_initial(void *arg)
{
	round_start(arg, true, false);
}

bool corruption_holds(struct server *s)
{
	struct corruption *c = s->corruption;
	if (!c || !c->initial)
		return false;
	c->wanted = true;
	return true;
}

void corruption_start(struct server *s)
{
	struct corruption *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	s->corruption = c;
	c->server = s;
	c->initial = s->options->initial_corrupt_check && !s->is_new;
	loop_timer_init(&c->periodic, s->loop, on_periodic, c);
	loop_timer_init(&c->compact, s->loop, on_compact, c);
	if (s->options->corrupt_check_ms > 0)
		loop_timer_start(&c->periodic, (uint64_t)s->options->corrupt_check_ms);
	if (s->options->compact_hash_check)
		loop_timer_start(&c->compact, (uint64_t)s->options->compact_hash_check_ms);
	if (c->initial)
		loop_post(s->loop, begin_initial, c);
}

void corruption_stop(struct server *s)
{
	struct corruption *c = TAKE(s->corruption);
	if (!c)
		return;
	loop_timer_stop(&c->periodic);
	loop_timer_stop(&c->compact);
	if (c->round) {
		vec_deinit(&c->round->hashes);
		free(c->round);
	}
	free(c);
}
