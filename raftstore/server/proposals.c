/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/stats.h"
#include "raftstore/server/storage.h"

/* A request is held until a leader is known; then it is proposed here (pending), or sent to the
 * leader (forwarded) under a number that its entry carries, so that this member knows the entry
 * when it applies it.
 *
 * Either way it goes into the log in one term only: of the term in which this member leads, or of
 * the one that it names when it forwards. Terms never fall along a log. So as soon as an entry of a
 * later term is committed, what was not met before it never will be, and can be sent anew without
 * being applied twice. */

enum { HELD_MAX = 65536, FORWARD_BYTES = 1 << 20, FORWARD_HEAD_BYTES = 12 };

static uint64_t due_ms(const struct node *n, const struct request *q)
{
	return q->started_ns / 1000000 + n->timeout_ms;
}

static size_t count_waiters(struct waiters *w)
{
	return waiters_first(w) ? w->n - w->head : 0;
}

size_t node_pending(struct node *n)
{
	return n->held.n + count_waiters(&n->pending) + count_waiters(&n->forwarded);
}

static void fail_late(const struct node *n, struct request *q)
{
	stats_proposal_failed(n->server->stats);
	request_fail(q, node_timeout_outcome(n, q->started_ns / 1000000));
}

static void hold(struct node *n, struct request *q)
{
	if (q->here_only)
		request_fail(q, OUTCOME_NOT_LEADER);
	else if (n->held.n >= HELD_MAX)
		request_fail(q, OUTCOME_TOO_MANY_REQUESTS);
	else
		*vec_push(&n->held) = q;
}

/* --- entries --- */

/* What was not committed before this entry of a later term is lost. */
static void drop_lost(struct node *n, struct waiters *w, uint64_t term)
{
	bool lost = false;
	for (struct waiter *it = waiters_first(w); it; it = waiters_first(w)) {
		struct request *q = it->item;
		if (q->term >= term)
			break;
		it->item = NULL;
		hold(n, q);
		lost = true;
	}
	if (lost)
		node_retry(n, 0);
}

struct request *proposals_committed(struct node *n, const struct raft_entry *e)
{
	uint64_t origin, sequence;
	drop_lost(n, &n->pending, e->term);
	drop_lost(n, &n->forwarded, e->term);
	struct waiter *w = waiters_first(&n->pending);
	if (w && w->key == e->index && ((struct request *)w->item)->term == e->term)
		return TAKE(w->item);
	if (n->forwarded.n && e->type == RAFT_ENTRY_COMMAND &&
	    command_origin(blob_view(e->data), &origin, &sequence) &&
	    origin == n->server->member_id)
		return waiters_take(&n->forwarded, sequence);
	return NULL;
}

void proposals_expect(struct node *n, struct request *q)
{
	struct raft_status st = raft_status(n->raft);
	q->term = st.term;
	waiters_push(&n->pending, st.last + 1, q);
}

void proposals_unexpect(struct node *n)
{
	n->pending.n--;
}

/* --- proposing here --- */

static int outcome_of(int r)
{
	return r == -ERR_TOO_MANY_REQUESTS ? OUTCOME_TOO_MANY_REQUESTS
	       : r == -ERR_UNAVAILABLE     ? OUTCOME_NOT_LEADER
	                                   : OUTCOME_STORAGE_FAILED;
}

static bool full(const struct node *n)
{
	return raftlog_state(n->log, NULL) == -ERR_NO_SPACE || storage_stalled(n->server->storage);
}

static int step_proposals(struct node *n, struct blob *const *data, size_t count)
{
	struct raft_event e = {.type = RAFT_PROPOSE, .propose = {data, count}};
	if (full(n))
		return roster_relieve(n) ? -ERR_UNAVAILABLE : OUTCOME_NO_SPACE;
	return node_step(n, &e);
}

static void propose_here(struct node *n, request_list *list)
{
	struct blob *small[64], **data = small;
	_cleanup_(free_p) struct blob **large = NULL;
	if (list->n > ARRAY_LEN(small)) {
		large = malloc(list->n * sizeof(*large));
		if (!large)
			abort();
		data = large;
	}
	struct raft_status st = raft_status(n->raft);
	/* Known before the step, since a step may hand out what it has just been given. */
	for (size_t i = 0; i < list->n; i++) {
		struct request *q = list->at[i];
		data[i] = q->command;
		q->term = st.term;
		waiters_push(&n->pending, st.last + 1 + i, q);
	}
	int r = step_proposals(n, data, list->n);
	if (!r)
		return;
	n->pending.n -= list->n;
	int outcome = r < 0 ? outcome_of(r) : r;
	VEC_FOREACH (list, q) {
		if (outcome == OUTCOME_NOT_LEADER)
			hold(n, *q);
		else
			request_fail(*q, outcome);
	}
}

int node_propose_asked(struct node *n, uint64_t from, struct slice body)
{
	struct raft_status st = raft_status(n->raft);
	if (body.len < 8)
		return OUTCOME_BAD_MESSAGE;
	if (st.role != RAFT_LEADER || st.term != get_be64(body.data))
		return OUTCOME_NOT_LEADER;
	VEC(struct blob *) data = {0};
	int r = 0;
	for (body = slice_skip(body, 8); body.len && !r;) {
		size_t len = body.len < FORWARD_HEAD_BYTES ? 0 : get_be32(body.data + 8);
		struct blob *b =
		    len && len <= body.len - FORWARD_HEAD_BYTES
		        ? command_forwarded(slice_of(body.data + FORWARD_HEAD_BYTES, len), from,
		                            get_be64(body.data))
		        : NULL;
		if (b)
			*vec_push(&data) = b;
		else
			r = OUTCOME_BAD_MESSAGE;
		body = slice_skip(body, FORWARD_HEAD_BYTES + len);
	}
	if (!r && data.n)
		r = step_proposals(n, data.at, data.n);
	VEC_FOREACH (&data, b)
		blob_unref(*b);
	vec_deinit(&data);
	return r < 0 ? outcome_of(r) : r;
}

/* --- forwarding --- */

struct forward {
	struct node *node;
	uint64_t first, count; /* sequences */
};

static void on_forwarded(void *arg, int result, struct slice answer)
{
	struct forward *f = arg;
	struct node *n = f->node;
	/* Heard or not: the entries will tell, or time. */
	bool unknown = !result || result == -ERR_IO || result == -ERR_TIMEOUT;
	bool again = result == OUTCOME_NOT_LEADER || result == -ERR_UNAVAILABLE ||
	             result == -ERR_TOO_MANY_REQUESTS;
	for (uint64_t i = 0; i < f->count && !unknown; i++) {
		struct request *q = waiters_take(&n->forwarded, f->first + i);
		if (!q)
			continue;
		if (result == -ERR_CANCELLED)
			request_fail(q, OUTCOME_STOPPED);
		else if (again)
			hold(n, q);
		else
			request_fail(q, result);
	}
	if (again)
		node_retry(n, NODE_RETRY_MS);
	free(f);
}

static void forward_add(struct node *n, struct buf *b, struct request *q, uint64_t term)
{
	uint8_t head[FORWARD_HEAD_BYTES];
	q->term = term;
	waiters_push(&n->forwarded, ++n->sequence, q);
	put_be64(head, n->sequence);
	put_be32(head + 8, (uint32_t)q->command->len);
	buf_add(b, head, sizeof(head));
	buf_slice(b, blob_view(q->command));
}

static void forward(struct node *n, request_list *list, const struct raft_status *st)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	for (size_t i = 0; i < list->n;) {
		uint8_t term[8];
		put_be64(term, st->term);
		buf_clear(&b);
		buf_add(&b, term, sizeof(term));
		struct forward *f = malloc(sizeof(*f));
		if (!f)
			abort();
		*f = (struct forward){n, n->sequence + 1, 0};
		for (; i < list->n && b.len < FORWARD_BYTES; i++) {
			if (list->at[i]->here_only) {
				request_fail(list->at[i], OUTCOME_NOT_LEADER);
				continue;
			}
			forward_add(n, &b, list->at[i], st->term);
			f->count++;
		}
		if (f->count)
			peers_ask(n->server->peers, st->leader, ASK_PROPOSE, buf_view(&b),
			          n->timeout_ms, on_forwarded, f);
		else
			free(f);
	}
}

/* --- in and out --- */

static void on_proposals(void *arg)
{
	struct node *n = arg;
	request_list list = n->held;
	n->held = (request_list){0};
	pthread_mutex_lock(&n->lock);
	if (!list.n) {
		vec_deinit(&list);
		list = n->proposals;
		n->proposals = (request_list){0};
	} else {
		VEC_FOREACH (&n->proposals, q)
			*vec_push(&list) = *q;
		vec_clear(&n->proposals);
	}
	n->drain_posted = false;
	pthread_mutex_unlock(&n->lock);
	struct raft_status st = raft_status(n->raft);
	if (list.n && st.role == RAFT_LEADER)
		propose_here(n, &list);
	else if (list.n && st.leader)
		forward(n, &list, &st);
	else
		VEC_FOREACH (&list, q)
			hold(n, *q);
	vec_deinit(&list);
	/* The leader hands its leadership over. */
	if (n->held.n && st.leader)
		node_retry(n, NODE_RETRY_MS);
}

void proposals_retry(struct node *n)
{
	if (n->held.n)
		on_proposals(n);
}

void node_propose(struct node *n, struct request *q)
{
	if (!q->command)
		request_pack_command(q);
	pthread_mutex_lock(&n->lock);
	bool stopped = n->stopped, post = !n->drain_posted && !stopped;
	if (!stopped) {
		*vec_push(&n->proposals) = q;
		n->drain_posted = true;
	}
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_proposals, n);
	if (stopped)
		request_fail(q, OUTCOME_STOPPED);
}

void node_raise_alarm(struct node *n, uint64_t member_id, Etcdserverpb__AlarmType alarm)
{
	Etcdserverpb__AlarmRequest m = ETCDSERVERPB__ALARM_REQUEST__INIT;
	m.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
	m.memberid = member_id;
	m.alarm = alarm;
	struct request *q = request_new(NULL, COMMAND_ALARM);
	request_pack_message(q, &m.base);
	node_propose(n, q);
}

/* --- giving up --- */

static void sweep(struct node *n, struct waiters *w, uint64_t now_ms)
{
	WAITERS_FOREACH(w, it)
	{
		if (due_ms(n, it->item) <= now_ms)
			fail_late(n, TAKE(it->item));
	}
}

void proposals_sweep(struct node *n)
{
	uint64_t now_ms = clock_mono_ns() / 1000000;
	size_t kept = 0;
	sweep(n, &n->pending, now_ms);
	sweep(n, &n->forwarded, now_ms);
	VEC_FOREACH (&n->held, q) {
		if (due_ms(n, *q) <= now_ms)
			fail_late(n, *q);
		else
			n->held.at[kept++] = *q;
	}
	n->held.n = kept;
}

void proposals_installed(struct node *n, struct raft_mark mark)
{
	struct waiters *both[] = {&n->pending, &n->forwarded};
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		WAITERS_FOREACH(both[i], it)
		{
			if (((struct request *)it->item)->term <= mark.term)
				request_fail(TAKE(it->item), OUTCOME_TIMEOUT_LEADER_FAIL);
		}
	}
}

void proposals_stop(struct node *n)
{
	struct waiters *both[] = {&n->pending, &n->forwarded};
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		WAITERS_FOREACH(both[i], it)
		request_fail(TAKE(it->item), OUTCOME_STOPPED);
	}
	VEC_FOREACH (&n->proposals, q)
		request_fail(*q, OUTCOME_STOPPED);
	vec_clear(&n->proposals);
	VEC_FOREACH (&n->held, q)
		request_fail(*q, OUTCOME_STOPPED);
	vec_clear(&n->held);
}

void proposals_deinit(struct node *n)
{
	vec_deinit(&n->proposals);
	vec_deinit(&n->held);
	vec_deinit(&n->handed);
	vec_deinit(&n->pending);
	vec_deinit(&n->forwarded);
}
