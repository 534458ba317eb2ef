/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/operators.h"
#include <stdio.h>
#include <stdlib.h>
#include "common/base/heap.h"
#include "tests/sim/clients.h"
#include "tests/sim/edges.h"

enum what { LIST, MOVE, ADD, PROMOTE, REMOVE, DEFRAGMENT };

struct operator
{
	unsigned busy;
	struct rpc_call *call;
	uint64_t calls;
	enum what what;
	struct member *target; /* of the question */
	struct member *member; /* that is asked */
	struct member *added;  /* last */
	uint64_t learner;      /* to be promoted; 0: none */
	char *list;            /* of members, as the newest answer has it */
	bool serializable;     /* the list asked for may be old */
	bool finishing, finished;
};

static struct operator op;

void operators_reset(void)
{
	memset(&op, 0, sizeof(op));
}

static void next(void *arg);

/* --- who belongs to it, as an answer says --- */

static bool is_listed(const struct member *m, Etcdserverpb__Member **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i]->n_peerurls && !strcmp(list[i]->peerurls[0], m->peer_url))
			return true;
	return false;
}

/* Whether it was added nobody knows: it tries to begin, with those who are known and itself. */
static void begin_with(struct member *m, const char *list)
{
	struct buf b = BUF_INIT;
	buf_printf(&b, "%s,%s=%s", list, m->name, m->peer_url);
	m->initial_cluster = heap_strndup((const char *)b.data, b.len);
	buf_deinit(&b);
}

/* New members start with the list that is newest when they start. */
static void on_members(Etcdserverpb__Member **list, size_t n)
{
	struct buf b = BUF_INIT;
	op.learner = 0;
	for (size_t i = 0; i < n; i++) {
		struct member *m = list[i]->n_peerurls ? member_of_url(list[i]->peerurls[0]) : NULL;
		if (!m)
			continue;
		if (list[i]->islearner)
			op.learner = list[i]->id;
		buf_printf(&b, "%s%s=%s", b.len ? "," : "", m->name, m->peer_url);
	}
	op.list = heap_strndup((const char *)b.data, b.len);
	for (unsigned i = 0; i < sim.n; i++) {
		struct member *m = &sim.members[i];
		bool listed = is_listed(m, list, n);
		if (!listed && m->known && op.finishing && !m->gone && !op.serializable) {
			sim_say("member %u does not belong to the cluster any more", m->at);
			m->gone = true;
			member_crash(m);
		}
		if (!listed || m->gone || strcmp(m->initial_state, "existing"))
			continue;
		m->initial_cluster = heap_strndup((const char *)b.data, b.len);
		if (!m->known) {
			m->known = true;
			member_start(m);
		}
	}
	buf_deinit(&b);
	/* Where its vote is missing, the answer cannot tell of it. */
	if (op.added && op.added->initial_cluster && !is_listed(op.added, list, n))
		begin_with(op.added, op.list);
}

#define ON_MEMBERS(Type, type)                                                     \
	do {                                                                       \
		Etcdserverpb__##Type *r =                                          \
		    etcdserverpb__##type##__unpack(NULL, answer.len, answer.data); \
		if (r)                                                             \
			on_members(r->members, r->n_members);                      \
		etcdserverpb__##type##__free_unpacked(r, NULL);                    \
	} while (0)

static void on_unsure_addition(void)
{
	struct member *m = op.added;
	if (m->known)
		return;
	begin_with(m, op.list ? op.list : sim.members[0].initial_cluster);
	m->known = op.finishing; /* else it begins when the world has healed */
}

static void on_end(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	op.call = NULL;
	op.calls++;
	sim_say("operator: %d of member %u: %s", op.what, op.member->at, code ? text : "done");
	if (!code && op.what != LIST)
		sim.stats.members_changed += op.what != MOVE && op.what != DEFRAGMENT;
	if (!code && op.what == LIST) {
		ON_MEMBERS(MemberListResponse, member_list_response);
		op.finished = op.finishing && !op.serializable;
	} else if (code && sent && op.what == ADD) {
		on_unsure_addition();
	} else if (!code && op.what == ADD) {
		ON_MEMBERS(MemberAddResponse, member_add_response);
	} else if (!code && op.what == PROMOTE) {
		ON_MEMBERS(MemberPromoteResponse, member_promote_response);
	} else if (!code && op.what == REMOVE) {
		ON_MEMBERS(MemberRemoveResponse, member_remove_response);
	} else if (!code && op.what == MOVE) {
		sim.stats.transfers++;
	} else if (!code && op.what == DEFRAGMENT) {
		sim.stats.defragments++;
	}
	if (!op.finished)
		sim_after(op.finishing ? 100000 : sim_below(1000000), next, NULL);
}

static void on_patience(void *arg)
{
	uint64_t *calls = arg;
	if (op.call && op.calls == *calls) {
		client_cancel(op.call);
		on_end(NULL, 4, "no answer", true, SLICE_EMPTY);
	}
	free(calls);
}

static void ask(const char *method, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;
	struct client_ops ops = {.on_end = on_end};
	op.call = client_call(op.member, method, pack(&b, m), &ops);
	buf_deinit(&b);
	uint64_t *calls = malloc(sizeof(*calls));
	*calls = op.calls;
	sim_after(5000000 + sim_below(3000000), on_patience, calls);
}

static void list_members(void)
{
	Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
	/* Without a quorum that is all that can be known: enough for those whose vote is missing.
	 */
	op.serializable = op.finishing && sim_chance(500);
	q.linearizable = !op.serializable;
	op.what = LIST;
	ask("/etcdserverpb.Cluster/MemberList", &q.base);
}

static void move_leader(void)
{
	struct member *leader;
	Etcdserverpb__MoveLeaderRequest q = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
	op.target = clients_pick();
	check_leader(&leader);
	if (leader && sim_chance(800))
		op.member = leader;
	q.targetid = op.target->id;
	op.what = MOVE;
	ask("/etcdserverpb.Maintenance/MoveLeader", &q.base);
}

static void add_member(void)
{
	struct member *m = NULL;
	for (unsigned i = 0; i < sim.n; i++)
		if (!sim.members[i].known)
			m = &sim.members[i];
	if (!m)
		m = member_add();
	if (!m) {
		list_members();
		return;
	}
	m->initial_state = "existing";
	op.added = m;
	Etcdserverpb__MemberAddRequest q = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
	char *urls[] = {m->peer_url};
	q.n_peerurls = 1;
	q.peerurls = urls;
	/* One that votes at once may stop a cluster that is not whole. */
	q.islearner = !sim_chance(200);
	op.what = ADD;
	ask("/etcdserverpb.Cluster/MemberAdd", &q.base);
}

static void promote_member(void)
{
	Etcdserverpb__MemberPromoteRequest q = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
	q.id = op.learner;
	op.what = PROMOTE;
	ask("/etcdserverpb.Cluster/MemberPromote", &q.base);
}

static void remove_member(void)
{
	Etcdserverpb__MemberRemoveRequest q = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
	op.target = clients_pick();
	q.id = op.target->id;
	op.what = REMOVE;
	ask("/etcdserverpb.Cluster/MemberRemove", &q.base);
}

static void defragment(void)
{
	Etcdserverpb__DefragmentRequest q = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
	op.what = DEFRAGMENT;
	ask("/etcdserverpb.Maintenance/Defragment", &q.base);
}

static void next(void *arg)
{
	if (op.call)
		return;
	op.serializable = false;
	op.member = clients_pick();
	if (op.finishing) {
		list_members();
		return;
	}
	if (sim_below(10) >= op.busy) {
		sim_after(500000, next, NULL);
		return;
	}
	switch (sim_below(6)) {
	case 0:
		move_leader();
		break;
	case 1:
		add_member();
		break;
	case 2:
		remove_member();
		break;
	case 3:
		defragment();
		break;
	default:
		if (op.learner)
			promote_member();
		else
			list_members();
	}
}

void operators_start(unsigned busy)
{
	op.busy = busy;
	if (busy)
		sim_after(3000000, next, NULL);
}

void operators_finish(void)
{
	op.finishing = true;
	for (unsigned i = 0; i < sim.n; i++) {
		struct member *m = &sim.members[i];
		m->known |= m->initial_cluster != NULL;
	}
	if (!op.busy)
		op.finished = true;
	else if (!op.call)
		sim_after(100000, next, NULL);
}

bool operators_finished(void)
{
	return op.finished;
}
