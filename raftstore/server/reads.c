/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/node_internal.h"
#include "raftstore/server/stats.h"

/* Reads that come in one turn of the loop share one question to the core. What the loss of a leader
 * leaves unanswered is asked again of the next one. */

struct read_group {
	struct node *node;
	read_list list;
	uint64_t started_ms;
	bool leads; /* the question is whether this member leads: answered on the loop, not repeated
	             */
	int outcome;
};

static void group_run(void *arg)
{
	struct read_group *g = arg;
	VEC_FOREACH (&g->list, call)
		call->fn(call->arg, g->outcome);
	vec_deinit(&g->list);
	free(g);
}

static void group_end(struct read_group *g, int outcome)
{
	g->outcome = outcome;
	if (g->leads)
		loop_post(g->node->loop, group_run, g);
	else
		worker_post(&g->node->server->read_worker, group_run, g);
}

static void group_ask(struct node *n, struct read_group *g)
{
	struct raft_event e = {.type = RAFT_READ, .read_context = ++n->context};
	waiters_push(&n->reads, n->context, g);
	int r = node_step(n, &e);
	if (!r)
		return;
	n->reads.n--;
	if (r == -ERR_TOO_MANY_REQUESTS)
		group_end(g, OUTCOME_TOO_MANY_REQUESTS);
	else if (g->leads)
		group_end(g, OUTCOME_NOT_LEADER);
	else
		*vec_push(&n->unread) = g;
}

static struct read_group *group_new(struct node *n, bool leads)
{
	struct read_group *g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	g->node = n;
	g->leads = leads;
	g->started_ms = loop_now_ms(n->loop);
	return g;
}

static void on_reads(void *arg)
{
	struct node *n = arg;
	struct read_group *g = group_new(n, false);
	pthread_mutex_lock(&n->lock);
	g->list = n->new_reads;
	n->new_reads = (read_list){0};
	n->reads_posted = false;
	pthread_mutex_unlock(&n->lock);
	group_ask(n, g);
}

void node_read(struct node *n, void (*fn)(void *arg, int outcome), void *arg)
{
	/* Whatever was acknowledged has been applied here: the only member is its own quorum. */
	if (n->alone && n->readable) {
		fn(arg, 0);
		return;
	}
	pthread_mutex_lock(&n->lock);
	bool stopped = n->stopped, post = !n->reads_posted && !stopped;
	if (!stopped) {
		*vec_push(&n->new_reads) = (struct node_read_call){fn, arg};
		n->reads_posted = true;
	}
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_reads, n);
	if (stopped)
		fn(arg, OUTCOME_STOPPED);
}

void node_confirm(struct node *n, void (*fn)(void *arg, int outcome), void *arg)
{
	if (n->alone && n->readable) {
		fn(arg, 0);
		return;
	}
	struct read_group *g = group_new(n, true);
	*vec_push(&g->list) = (struct node_read_call){fn, arg};
	if (n->leader)
		group_ask(n, g);
	else
		group_end(g, OUTCOME_NOT_LEADER);
}

void reads_answer(struct node *n, uint64_t context, uint64_t index)
{
	struct read_group *g = waiters_take(&n->reads, context);
	if (!g)
		return;
	if (index) {
		group_end(g, g->leads && !n->readable ? OUTCOME_NOT_LEADER : 0);
	} else if (g->leads) {
		group_end(g, OUTCOME_NOT_LEADER);
	} else {
		*vec_push(&n->unread) = g;
		node_retry(n, 0);
	}
}

void reads_retry(struct node *n)
{
	__typeof__(n->unread) list = n->unread;
	n->unread.at = NULL;
	n->unread.n = n->unread.cap = 0;
	VEC_FOREACH (&list, g)
		group_ask(n, *g);
	vec_deinit(&list);
}

void reads_sweep(struct node *n)
{
	uint64_t now_ms = loop_now_ms(n->loop);
	size_t kept = 0;
	WAITERS_FOREACH(&n->reads, it)
	{
		struct read_group *g = it->item;
		if (g->started_ms + n->timeout_ms > now_ms)
			continue;
		it->item = NULL;
		stats_read_failed(n->server->stats);
		group_end(g, node_timeout_outcome(n, g->started_ms));
	}
	VEC_FOREACH (&n->unread, it) {
		struct read_group *g = *it;
		if (g->started_ms + n->timeout_ms > now_ms) {
			n->unread.at[kept++] = g;
			continue;
		}
		stats_read_failed(n->server->stats);
		group_end(g, OUTCOME_TIMEOUT);
	}
	n->unread.n = kept;
}

static void group_stop(struct read_group *g)
{
	g->outcome = OUTCOME_STOPPED;
	group_run(g);
}

void reads_stop(struct node *n)
{
	WAITERS_FOREACH(&n->reads, it)
	group_stop(TAKE(it->item));
	VEC_FOREACH (&n->unread, g)
		group_stop(*g);
	vec_clear(&n->unread);
	VEC_FOREACH (&n->new_reads, call)
		call->fn(call->arg, OUTCOME_STOPPED);
	vec_clear(&n->new_reads);
}

void reads_deinit(struct node *n)
{
	vec_deinit(&n->reads);
	vec_deinit(&n->unread);
	vec_deinit(&n->new_reads);
}
