/* SPDX-License-Identifier: Apache-2.0 */
/* Questions. The answer comes on the stream that took the question, so that the fate of the one is
 * that of the other. */
#include "common/base/rng.h"
#include "raftstore/peer/internal.h"

struct ask {
	struct peers *peers;
	uint64_t id;
	struct list link; /* of its lane, or of peers->ended */
	struct loop_timer timer;
	peers_done_fn done;
	void *arg;
	int result;
};

/* A question to a URL; one URL after the other. */
struct url_ask {
	struct peers *peers;
	struct list link;
	struct rpc_channel *channel;
	struct rpc_unary *call;
	struct loop_timer timer; /* fails it on the next turn */
	char *urls, *rest;
	struct blob *frame;
	uint32_t timeout_ms;
	peers_done_fn done;
	void *arg;
};

static struct slice key_of(const uint64_t *id)
{
	return slice_of(id, sizeof(*id));
}

void asks_init(struct peers *p)
{
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	map_init(&p->asks, seed);
	list_init(&p->ended);
	list_init(&p->calls);
	/* What was asked before a restart is not taken for the answer to something else. */
	rng_system(&p->next_ask, sizeof(p->next_ask));
}

void asks_deinit(struct peers *p)
{
	map_deinit(&p->asks);
}

/* Takes it out of all lists; the caller frees it. */
static void ask_leave(struct ask *a)
{
	loop_timer_stop(&a->timer);
	map_del(&a->peers->asks, key_of(&a->id));
	list_del(&a->link);
}

static void ask_finish(struct ask *a, int result, struct slice body)
{
	ask_leave(a);
	a->done(a->arg, result, body);
	free(a);
}

static void on_timeout(void *arg)
{
	ask_finish(arg, -ERR_TIMEOUT, SLICE_EMPTY);
}

static void on_ended(void *arg)
{
	struct peers *p = arg;
	p->ended_posted = false;
	while (!list_empty(&p->ended)) {
		struct ask *a = list_first(&p->ended, struct ask, link);
		ask_finish(a, a->result, SLICE_EMPTY);
	}
}

/* Tells on the next turn. */
static void ask_end(struct ask *a, int result)
{
	struct peers *p = a->peers;
	ask_leave(a);
	a->result = result;
	list_add_tail(&p->ended, &a->link);
	if (!p->ended_posted)
		loop_post(p->o.loop, on_ended, p);
	p->ended_posted = true;
}

void asks_fail(struct lane *l, int result)
{
	while (!list_empty(&l->asks))
		ask_end(list_first(&l->asks, struct ask, link), result);
}

void asks_answer(struct lane *l, uint64_t id, int32_t result, struct slice body)
{
	struct ask *a = map_get(&l->peer->peers->asks, key_of(&id));
	if (a)
		ask_finish(a, result, body);
}

void peers_ask(struct peers *p, uint64_t to, uint32_t kind, struct slice body, uint32_t timeout_ms,
               peers_done_fn done, void *arg)
{
	if (p->stopped) {
		done(arg, -ERR_CANCELLED, SLICE_EMPTY);
		return;
	}
	struct ask *a = calloc(1, sizeof(*a));
	if (!a)
		abort();
	*a = (struct ask){.peers = p, .id = p->next_ask++, .done = done, .arg = arg};
	list_init(&a->link);
	loop_timer_init(&a->timer, p->o.loop, on_timeout, a);
	struct peer *peer = peers_find(p, to);
	struct lane *l =
	    peer ? &peer->lanes[body.len > ASK_SMALL_BYTES ? LANE_BULK : LANE_URGENT] : NULL;
	if (!l || !l->connected) {
		ask_end(a, -ERR_UNAVAILABLE);
		return;
	}
	if (body.len > p->o.message_limit_bytes || !lane_has_room(l, body.len)) {
		metric_inc(peer->traffic.sent_failures);
		ask_end(a, -ERR_TOO_MANY_REQUESTS);
		return;
	}
	map_put(&p->asks, key_of(&a->id), a);
	list_add_tail(&l->asks, &a->link);
	loop_timer_start(&a->timer, timeout_ms);
	wire_put_ask(outbox_frame(&l->out, body.len), a->id, kind, body);
	peers_flush_later(p);
}

/* --- questions to a URL --- */

static void url_ask_next(struct url_ask *u);

static void url_ask_finish(struct url_ask *u, int result, struct slice body)
{
	list_del(&u->link);
	loop_timer_stop(&u->timer);
	u->done(u->arg, result, body);
	rpc_channel_unref(u->channel);
	blob_unref(u->frame);
	free(u->urls);
	free(u);
}

static int read_answer(struct url_ask *u, struct slice frame, struct wire_message *m)
{
	struct wire_reader reader;
	int r = wire_open(&reader, frame, 0, u->peers->o.member_id, NULL);
	if (r || wire_next(&reader, m, NULL) != 1)
		return -ERR_INVALID;
	if (m->kind == WIRE_ANSWER)
		return 0;
	wire_message_clear(m);
	return -ERR_INVALID;
}

static void on_url_answer(const struct rpc_result *r, void *arg)
{
	struct url_ask *u = arg;
	struct wire_message m;
	u->call = NULL;
	if (r->code == RPC_OK && !read_answer(u, r->message, &m)) {
		url_ask_finish(u, m.answer.result, m.answer.body);
		return;
	}
	if (*u->rest) {
		rpc_channel_unref(TAKE(u->channel));
		url_ask_next(u);
		return;
	}
	url_ask_finish(u, r->code == RPC_DEADLINE_EXCEEDED ? -ERR_TIMEOUT : -ERR_UNAVAILABLE,
	               SLICE_EMPTY);
}

static void on_url_failed(void *arg)
{
	url_ask_finish(arg, -ERR_UNAVAILABLE, SLICE_EMPTY);
}

/* Goes on with the next URL that can be one. */
static void url_ask_next(struct url_ask *u)
{
	while (!u->channel && *u->rest) {
		char *url = u->rest;
		u->rest += strcspn(url, ",");
		if (*u->rest)
			*u->rest++ = 0;
		ERR_IGNORE(peers_channel(u->peers, url, &u->channel, NULL)); /* the next may be */
	}
	if (!u->channel) {
		loop_timer_start(&u->timer, 0);
		return;
	}
	u->call = rpc_unary_start(u->channel, &(struct rpc_unary_args){
	                                          .method = PEER_METHOD_ASK,
	                                          .blob = u->frame,
	                                          .timeout_ms = u->timeout_ms,
	                                          .loop = u->peers->o.loop,
	                                          .done = on_url_answer,
	                                          .arg = u,
	                                      });
}

void peers_ask_url(struct peers *p, const char *urls, uint32_t kind, struct slice body,
                   uint32_t timeout_ms, peers_done_fn done, void *arg)
{
	if (p->stopped) {
		done(arg, -ERR_CANCELLED, SLICE_EMPTY);
		return;
	}
	struct url_ask *u = calloc(1, sizeof(*u));
	if (!u)
		abort();
	*u = (struct url_ask){.peers = p, .timeout_ms = timeout_ms, .done = done, .arg = arg};
	u->urls = u->rest = strdup(urls);
	list_add_tail(&p->calls, &u->link);
	loop_timer_init(&u->timer, p->o.loop, on_url_failed, u);
	_cleanup_buf_ struct buf frame = BUF_INIT;
	wire_begin(&frame);
	wire_put_ask(&frame, 0, kind, body);
	wire_end(&frame);
	u->frame = blob_dup(buf_view(&frame));
	url_ask_next(u);
}

void asks_cancel(struct peers *p)
{
	while (!list_empty(&p->calls)) {
		struct url_ask *u = list_first(&p->calls, struct url_ask, link);
		if (u->call)
			rpc_unary_drop(u->call);
		url_ask_finish(u, -ERR_CANCELLED, SLICE_EMPTY);
	}
	while (!list_empty(&p->ended)) {
		struct ask *a = list_first(&p->ended, struct ask, link);
		ask_finish(a, -ERR_CANCELLED, SLICE_EMPTY);
	}
}
