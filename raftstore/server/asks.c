/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/asks.h"
#include "common/base/log.h"
#include "raftstore/server/corruption.h"
#include "raftstore/server/lessor.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/recover.h"
#include "raftstore/server/snapshots.h"

static void answer_outcome(struct peers_answer *a, int outcome)
{
	peers_answer(a, outcome, SLICE_EMPTY);
}

/* --- members --- */

/* Who takes part already, though that is not applied, is among them: who joins begins with this
 * list, and the entry that adds it may wait for its vote. So may one that removes another; and
 * what was applied before a crash may not be so after it, until there is a leader again. */
static void on_members(struct node *n, struct peers_answer *a)
{
	struct raft_ids ids = raft_conf_members(&n->conf);
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint8_t cluster[8];
	put_be64(cluster, n->server->cluster_id);
	buf_add(&b, cluster, sizeof(cluster));
	VEC_FOREACH (&n->applied_members.list, m) {
		enum member_op op = raft_ids_has(&ids, (*m)->id) ? MEMBER_ADD : MEMBER_REMOVE;
		member_change_encode(&b, &(struct member_change){op, *m});
	}
	VEC_FOREACH (&n->fresh.list, m)
		if (raft_ids_has(&ids, (*m)->id) && !members_find(&n->applied_members, (*m)->id))
			member_change_encode(&b, &(struct member_change){MEMBER_REMOVE, *m});
	if (n->applied_members.list.n)
		peers_answer(a, 0, buf_view(&b));
	else
		answer_outcome(a, OUTCOME_NO_LEADER);
}

static void on_change(struct node *n, struct slice body, struct peers_answer *a)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	struct member_change c;
	if (member_change_next(&body, &arena, &c))
		node_change_asked(n, &c, a);
	else
		answer_outcome(a, OUTCOME_BAD_MESSAGE);
}

/* --- leases --- */

static void on_renewed(void *arg, int outcome, int64_t granted_s)
{
	uint8_t b[8];
	put_be64(b, (uint64_t)granted_s);
	peers_answer(arg, outcome, slice_of(b, sizeof(b)));
}

static void on_left(void *arg, int outcome, struct slice answer)
{
	peers_answer(arg, outcome, answer);
}

/* --- which it is --- */

void node_asked(void *arg, uint64_t from, uint32_t kind, struct slice body, struct peers_answer *a)
{
	struct node *n = arg;
	struct server *s = n->server;
	uint64_t first = body.len >= 8 ? get_be64(body.data) : 0;
	if (kind != ASK_MEMBERS && kind != ASK_REPLACE && !from) {
		answer_outcome(a, OUTCOME_BAD_MESSAGE);
		return;
	}
	node_take_applied(n);
	switch (kind) {
	case ASK_MEMBERS:
		on_members(n, a);
		return;
	case ASK_PROPOSE:
		answer_outcome(a, node_propose_asked(n, from, body));
		return;
	case ASK_LEASE_RENEW:
		lessor_renew(s, (int64_t)first, on_renewed, a);
		return;
	case ASK_LEASE_LEFT:
		lessor_left(s, (int64_t)first, body.len > 15 && body.data[15], on_left, a);
		return;
	case ASK_MEMBER_CHANGE:
		on_change(n, body, a);
		return;
	case ASK_SNAPSHOT:
		snapshots_chunk(s, from, body, a);
		return;
	case ASK_REPLACE:
		recover_asked(n, body, a);
		return;
	case ASK_HASH_KV:
		corruption_asked(s, (int64_t)first, a);
		return;
	default:
		answer_outcome(a, OUTCOME_BAD_MESSAGE);
	}
}
