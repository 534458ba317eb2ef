/* SPDX-License-Identifier: Apache-2.0 */
/* Messages and questions between members, in the place of raftstore/peer. Messages are dropped,
 * doubled, delayed and reordered; questions are asked at most once. */
#include <stdio.h>
#include "common/base/heap.h"
#include "raftstore/peer/peers.h"
#include "tests/sim/check.h"
#include "tests/sim/edges.h"

struct target {
	uint64_t id;
	char *urls;
};

struct peers {
	struct member *member;
	struct peers_options options;
	VEC(struct target) targets;
	VEC(struct target) remotes; /* who has told its URLs when it came */
	VEC(uint64_t) removed;
	VEC(struct question *) questions; /* this member's */
	bool started, stopped;
};

struct question {
	struct member *from, *to;
	uint64_t from_life, to_life, asked_as;
	uint32_t kind;
	struct slice body, answer;
	int result;
	bool answered, done;
	peers_done_fn done_fn;
	void *arg;
};

struct peers_answer {
	struct question *question;
	bool given;
};

struct letter {
	struct member *from, *to;
	uint64_t from_id, to_id, cluster;
	struct raft_message m;
};

static struct slice copy(struct slice s)
{
	uint8_t *p = malloc(s.len + 1);
	if (s.len)
		memcpy(p, s.data, s.len);
	return slice_of(p, s.len);
}

/* --- life --- */

int peers_new(const struct peers_options *o, struct peers **ret, struct err *err)
{
	struct peers *p = heap_zalloc(sizeof(*p));
	p->member = sim_member();
	p->options = *o;
	p->member->peers = p;
	*ret = p;
	return 0;
}

void peers_start(struct peers *p)
{
	p->started = true;
}

static void question_end(void *arg);

void peers_stop(struct peers *p, loop_fn done, void *arg)
{
	p->stopped = true;
	VEC_FOREACH (&p->questions, it) {
		struct question *q = *it;
		if (!q->done) {
			q->result = -ERR_CANCELLED;
			q->answer = SLICE_EMPTY;
			question_end(q);
		}
	}
	loop_post(p->options.loop, done, arg);
}

void peers_free(struct peers *p)
{
	/* A member that joins asks with others than it serves with. */
	if (p && p->member->peers == p)
		p->member->peers = NULL;
}

void peers_set(struct peers *p, const struct peer_address *at, size_t n)
{
	vec_clear(&p->targets);
	for (size_t i = 0; i < n; i++) {
		if (at[i].id != p->options.member_id)
			*vec_push(&p->targets) = (struct target){at[i].id, heap_strdup(at[i].urls)};
	}
}

void peers_set_removed(struct peers *p, const uint64_t *ids, size_t n)
{
	vec_clear(&p->removed);
	for (size_t i = 0; i < n; i++)
		*vec_push(&p->removed) = ids[i];
}

static struct member *target_member(struct peers *p, uint64_t id)
{
	VEC_FOREACH (&p->targets, t)
		if (t->id == id)
			return member_of_url(t->urls);
	VEC_FOREACH (&p->remotes, t)
		if (t->id == id)
			return member_of_url(t->urls);
	return NULL;
}

/* Members that come tell where they are, for those that do not know them. */
static void add_remote(struct peers *p, uint64_t id, const struct member *m)
{
	if (!target_member(p, id))
		*vec_push(&p->remotes) = (struct target){id, heap_strdup(m->peer_url)};
}

static bool is_removed(const struct peers *p, uint64_t id)
{
	VEC_FOREACH (&p->removed, r)
		if (*r == id)
			return true;
	return false;
}

static bool is_reachable(const struct member *from, const struct member *to)
{
	return from != to && to->up && to->peers && to->peers->started && !to->peers->stopped &&
	       !sim.cut[from->at][to->at];
}

bool peers_connected(const struct peers *p, uint64_t id)
{
	struct member *to = target_member((struct peers *)p, id);
	return to && is_reachable(p->member, to) && is_reachable(to, p->member);
}

static uint64_t delay_us(void)
{
	return 50 + sim_below(sim.delay_us + 1) + (sim_chance(10) ? sim_below(sim.slow_us + 1) : 0);
}

/* --- messages --- */

static void refs_drop(struct raft_message *m)
{
	if (m->type == RAFT_MSG_APPEND)
		raft_entries_deinit(&m->append.entries);
}

static void tell_removed(void *arg)
{
	struct peers *p = arg;
	if (p->options.handler.removed)
		p->options.handler.removed(p->options.handler.arg);
}

/* On the receiver's loop. */
static void receive(void *arg)
{
	struct letter *l = arg;
	struct peers *p = l->to->peers;
	if (p && p->started && !p->stopped && p->options.member_id == l->to_id &&
	    p->options.cluster_id == l->cluster) {
		sim.stats.messages++;
		add_remote(p, l->from_id, l->from);
		sim_mix((uint64_t)l->m.type * 1000003 + l->m.term * 31 + l->from->at);
		p->options.handler.message(p->options.handler.arg, &l->m);
	}
	refs_drop(&l->m);
	free(l);
}

static void arrive(void *arg)
{
	struct letter *l = arg;
	struct peers *p = l->to->peers;
	if (!is_reachable(l->from, l->to)) {
		sim.stats.dropped++;
		refs_drop(&l->m);
		free(l);
		return;
	}
	if (is_removed(p, l->from_id)) {
		if (l->from->up && l->from->peers && l->from->id == l->from_id)
			sim_after_in(l->from, l->from->loop, delay_us(), tell_removed,
			             l->from->peers);
		refs_drop(&l->m);
		free(l);
		return;
	}
	executor_post(l->to->loop, receive, l);
}

static void post(struct peers *p, struct member *to, const struct raft_message *m)
{
	struct letter *l = malloc(sizeof(*l));
	*l = (struct letter){p->member, to, p->options.member_id, m->to, p->options.cluster_id, *m};
	if (m->type == RAFT_MSG_APPEND) {
		memset(&l->m.append.entries, 0, sizeof(l->m.append.entries));
		VEC_FOREACH (&m->append.entries, e)
			raft_entries_add(&l->m.append.entries, e);
	}
	sim_after(delay_us(), arrive, l);
}

void peers_send(struct peers *p, const struct raft_message *m)
{
	check_send(p->member, m);
	struct member *to = target_member(p, m->to);
	if (!to || p->stopped || !p->started)
		return;
	if (sim_chance(sim.drop)) {
		sim.stats.dropped++;
		return;
	}
	post(p, to, m);
	if (sim_chance(sim.duplicate))
		post(p, to, m);
}

/* --- questions --- */

static void question_end(void *arg)
{
	struct question *q = arg;
	if (q->done)
		return;
	q->done = true;
	sim_say("question %u is answered %d, %zu bytes", q->kind, q->result, q->answer.len);
	q->done_fn(q->arg, q->result, q->answer);
}

static void question_timeout(void *arg)
{
	struct question *q = arg;
	if (q->done || q->answered)
		return;
	q->result = -ERR_TIMEOUT;
	q->answer = SLICE_EMPTY;
	question_end(q);
}

static void question_broken(struct question *q, int result)
{
	if (q->answered || q->done)
		return;
	q->answered = true;
	q->result = result;
	q->answer = SLICE_EMPTY;
	if (q->from->up && q->from->life == q->from_life)
		sim_after_in(q->from, q->from->loop, delay_us(), question_end, q);
}

static void hear(void *arg)
{
	struct question *q = arg;
	struct peers *p = q->to->peers;
	if (!p || p->stopped || !p->options.handler.ask) {
		question_broken(q, -ERR_IO);
		return;
	}
	struct peers_answer *a = heap_zalloc(sizeof(*a));
	a->question = q;
	p->options.handler.ask(p->options.handler.arg, q->asked_as, q->kind, q->body, a);
}

static void question_arrive(void *arg)
{
	struct question *q = arg;
	struct peers *p = q->to->peers;
	if (!is_reachable(q->from, q->to) || !q->from->up || q->from->life != q->from_life) {
		question_broken(q, -ERR_IO);
		return;
	}
	if (q->asked_as && is_removed(p, q->asked_as)) {
		if (q->from->peers)
			sim_after_in(q->from, q->from->loop, delay_us(), tell_removed,
			             q->from->peers);
		question_broken(q, -ERR_IO);
		return;
	}
	q->to_life = q->to->life;
	executor_post(q->to->loop, hear, q);
}

static void answer_arrive(void *arg)
{
	struct question *q = arg;
	if (!q->from->up || q->from->life != q->from_life)
		return;
	if (sim.cut[q->to->at][q->from->at]) {
		q->answered = false;
		question_broken(q, -ERR_IO);
		return;
	}
	executor_post(q->from->loop, question_end, q);
}

void peers_answer(struct peers_answer *a, int result, struct slice body)
{
	struct question *q = a->question;
	SIM_CHECK(!a->given, "a question of kind %u is answered twice", q->kind);
	a->given = true;
	if (q->answered || q->done)
		return;
	q->answered = true;
	q->result = result;
	q->answer = copy(body);
	sim_after(delay_us(), answer_arrive, q);
}

static void ask(struct peers *p, struct member *to, uint64_t as, uint32_t kind, struct slice body,
                uint32_t timeout_ms, peers_done_fn done, void *arg)
{
	struct question *q = heap_zalloc(sizeof(*q));
	struct member *from = p->member;
	*q = (struct question){
	    .from = from,
	    .to = to,
	    .from_life = from->life,
	    .asked_as = as,
	    .kind = kind,
	    .body = copy(body),
	    .done_fn = done,
	    .arg = arg,
	};
	*vec_push(&p->questions) = q;
	sim_say("asks %u member %d", kind, to ? (int)to->at : -1);
	if (!to || p->stopped || !is_reachable(from, to)) {
		question_broken(q, p->stopped ? -ERR_CANCELLED : -ERR_UNAVAILABLE);
		return;
	}
	sim_after_in(from, from->loop, member_to_world_us(from, timeout_ms * 1000),
	             question_timeout, q);
	sim_after(delay_us(), question_arrive, q);
}

void peers_ask(struct peers *p, uint64_t to, uint32_t kind, struct slice body, uint32_t timeout_ms,
               peers_done_fn done, void *arg)
{
	ask(p, target_member(p, to), p->options.member_id, kind, body, timeout_ms, done, arg);
}

void peers_ask_url(struct peers *p, const char *urls, uint32_t kind, struct slice body,
                   uint32_t timeout_ms, peers_done_fn done, void *arg)
{
	ask(p, member_of_url(urls), 0, kind, body, timeout_ms, done, arg);
}

/* --- breaks --- */

struct news {
	struct peers *peers;
	uint64_t id;
};

static void on_unreachable(void *arg)
{
	struct news *n = arg;
	struct peers *p = n->peers;
	if (p->started && !p->stopped)
		p->options.handler.unreachable(p->options.handler.arg, n->id);
}

static void tell_unreachable(struct member *to, const struct member *about)
{
	if (!to->up || !to->peers || !about->id || !to->peers->started)
		return;
	struct news *n = heap_zalloc(sizeof(*n));
	*n = (struct news){to->peers, about->id};
	sim_after_in(to, to->loop, delay_us(), on_unreachable, n);
}

void sim_peers_break(struct member *a, struct member *b)
{
	tell_unreachable(a, b);
	tell_unreachable(b, a);
}

void sim_peers_lose(const struct member *m)
{
	for (unsigned i = 0; i < sim.n; i++)
		if (&sim.members[i] != m)
			tell_unreachable(&sim.members[i], m);
}

/* Its connections break, which the others hear of, but for those that are cut off. */
void sim_peers_crash(struct member *m)
{
	m->peers = NULL;
	for (unsigned i = 0; i < sim.n; i++) {
		struct member *o = &sim.members[i];
		if (o == m || !o->up || !o->peers)
			continue;
		VEC_FOREACH (&o->peers->questions, q)
			if ((*q)->to == m)
				question_broken(*q, -ERR_IO);
		if (!sim.cut[m->at][o->at])
			tell_unreachable(o, m);
	}
}
