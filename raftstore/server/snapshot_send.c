/* SPDX-License-Identifier: Apache-2.0 */
/* The leader's side. */
#include "common/base/log.h"
#include "raftstore/mvcc/record.h"
#include "raftstore/peer/wire.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/members.h"
#include "raftstore/server/node.h"
#include "raftstore/server/snapshots_internal.h"

enum {
	ANSWER_MS = 5000,
	POLL_MS = 50,            /* while the member is not connected */
	GIVE_UP_MS = 60 * 1000,  /* without being connected */
	INSTALL_MS = 600 * 1000, /* the last answer comes when the member has installed */
	SETTLE_MS = 5000,        /* for the core to hear from the member */
	HOLD_ENTRIES_MAX = 1000000,
};

/* A transfer to one member; freed when it has ended and nothing comes back to it any more. */
struct sending {
	struct snapshots *all;
	struct list link;
	struct raft_message message; /* of the copy, once that is made */
	struct store_copy *copy;
	struct chunks_send chunks;
	struct loop_timer timer;
	uint64_t began_ms, seen_ms, done_ms; /* seen: connected */
	uint64_t hold;                       /* entries behind this one are needed; 0: none yet */
	bool copying, connected, ended;
	unsigned refs; /* its place in the list; jobs and questions */
};

struct copy_job {
	struct snapshot_job job; /* first */
	struct sending *sending;
	struct store_copy *copy;
	struct raft_message message;
	int result;
	struct err err;
};

struct read_job {
	struct snapshot_job job; /* first */
	struct sending *sending;
	struct chunk chunk;
	struct buf body;
	int result;
};

static void sending_unref(struct sending *s)
{
	if (--s->refs)
		return;
	store_copy_free(s->copy);
	free(s);
}

/* Nothing is sent any more. */
static void sending_leave(struct sending *s, bool ok)
{
	if (s->ended)
		return;
	s->ended = true;
	loop_timer_stop(&s->timer);
	list_del(&s->link);
	snapshot_count_end(&s->all->sent, s->all, s->message.to, s->began_ms, ok);
}

static void sending_end(struct sending *s, bool ok)
{
	if (s->ended)
		return;
	sending_leave(s, ok);
	if (ok)
		log_info("Sent a snapshot", LOG_INT("index", s->message.snapshot.mark.index),
		         LOG_INT("bytes", store_copy_bytes(s->copy)),
		         LOG_INT("ms", snapshots_now_ms(s->all) - s->began_ms));
	struct raft_event e = {.type = RAFT_SNAPSHOT_SENT, .snapshot_sent = {s->message.to, ok}};
	ERR_IGNORE(node_step(s->all->server->node, &e)); /* news do not fail */
	sending_unref(s);
}

/* --- chunks --- */

static void sending_pump(struct sending *s);
static void copy_start(struct sending *s);

static void on_answer(void *arg, int result, struct slice answer)
{
	struct sending *s = arg;
	if (!s->ended && result == -ERR_CONFLICT) {
		sending_end(s, false); /* the receiver follows another leader */
	} else if (!s->ended && !result && answer.len == SNAPSHOT_RESULT_BYTES) {
		struct chunk_result r = {get_be64(answer.data), get_be64(answer.data + 8)};
		chunks_send_result(&s->chunks, &r, snapshots_now_ms(s->all));
		sending_pump(s);
	}
	/* What was lost is sent again when its time has come. */
	sending_unref(s);
}

static void read_drop(struct snapshot_job *job)
{
	struct read_job *j = (struct read_job *)job;
	buf_deinit(&j->body);
	sending_unref(j->sending);
	free(j);
}

static void read_run(struct snapshot_job *job)
{
	struct read_job *j = (struct read_job *)job;
	size_t n = j->chunk.len;
	buf_reserve(&j->body, n);
	j->result = n ? store_copy_read(j->sending->copy, j->chunk.offset,
	                                j->body.data + j->body.len, n, NULL)
	              : 0;
	j->body.len += n;
}

static void read_back(struct snapshot_job *job)
{
	struct read_job *j = (struct read_job *)job;
	struct sending *s = j->sending;
	if (j->result) {
		sending_end(s, false);
	} else if (!s->ended) {
		s->refs++;
		peers_ask(s->all->server->peers, s->message.to, ASK_SNAPSHOT, buf_view(&j->body),
		          ANSWER_MS, on_answer, s);
	}
	read_drop(job);
}

static void chunk_start(struct sending *s, const struct chunk *c)
{
	struct read_job *j = calloc(1, sizeof(*j));
	if (!j)
		abort();
	j->job = (struct snapshot_job){.run = read_run, .back = read_back, .drop = read_drop};
	j->sending = s;
	j->chunk = *c;
	_cleanup_buf_ struct buf head = BUF_INIT;
	uint8_t b[SNAPSHOT_CHUNK_HEAD_BYTES];
	wire_encode_raft(&head, &s->message);
	put_be32(b, (uint32_t)head.len);
	buf_add(&j->body, b, 4);
	buf_slice(&j->body, buf_view(&head));
	put_be64(b, c->id);
	put_be64(b + 8, c->size);
	put_be64(b + 16, c->offset);
	buf_add(&j->body, b, sizeof(b));
	s->refs++;
	snapshot_job_start(s->all, &j->job);
}

/* The connection was lost and is there again: what was under way has to be sent anew. */
static void after_break(struct sending *s)
{
	struct chunk_result r = {s->chunks.id, s->chunks.acked};
	chunks_send_result(&s->chunks, &r, snapshots_now_ms(s->all));
}

/* All bytes are there. The member's own word to the core, that it has them installed, may come a
 * little later: without it the core would think that another snapshot is needed. */
static bool is_settled(const struct sending *s, uint64_t now)
{
	struct raft_progress p;
	return !node_progress(s->all->server->node, s->message.to, &p) ||
	       p.state != RAFT_SNAPSHOT || now >= s->done_ms + SETTLE_MS;
}

/* Sends chunks that may be sent now. True: the transfer has ended. */
static bool send_chunks(struct sending *s, uint64_t now, uint64_t *next)
{
	struct chunk c;
	if (s->connected)
		while (chunks_send_next(&s->chunks, now, &c))
			chunk_start(s, &c);
	enum chunks_state state = chunks_send_state(&s->chunks, now);
	if (state == CHUNKS_DONE && !s->done_ms)
		s->done_ms = now;
	if (state == CHUNKS_GIVEN_UP || (state == CHUNKS_DONE && is_settled(s, now))) {
		sending_end(s, state == CHUNKS_DONE);
		return true;
	}
	if (s->connected && state == CHUNKS_RUNNING)
		*next = MAX(chunks_send_deadline(&s->chunks), now + 1);
	return false;
}

/* Does what can be done now, and comes again when there may be more. The copy is made when the
 * member can take it, so that it is as new as may be. */
static void sending_pump(struct sending *s)
{
	uint64_t now = snapshots_now_ms(s->all), next = now + POLL_MS;
	struct raft_status st = node_status(s->all->server->node);
	bool connected = peers_connected(s->all->server->peers, s->message.to);
	struct raft_progress p;
	if (connected)
		s->seen_ms = now;
	if (st.term != s->message.term || !node_progress(s->all->server->node, s->message.to, &p) ||
	    now >= s->seen_ms + GIVE_UP_MS) {
		sending_end(s, false);
		return;
	}
	if (!s->copying && connected) {
		s->hold = st.applied;
		copy_start(s);
	}
	if (s->copy && connected && !s->connected)
		after_break(s);
	s->connected = connected;
	if (!s->copy || !send_chunks(s, now, &next))
		loop_timer_start_at(&s->timer, next);
}

static void on_timer(void *arg)
{
	sending_pump(arg);
}

/* --- the copy --- */

static int look(void *arg, struct kv_txn *kv)
{
	struct raft_message *m = arg;
	struct slice v;
	int r = kv_get(kv, KV_META, SLICE_LIT("applied"), &v);
	if (!r && v.len != 16)
		r = -ERR_CORRUPT;
	if (r)
		return r;
	struct raft_mark given = m->snapshot.mark;
	m->snapshot.mark = (struct raft_mark){get_be64(v.data), get_be64(v.data + 8)};
	if (m->snapshot.mark.index < given.index)
		return -ERR_INTERNAL;
	return conf_read(kv, &m->snapshot.conf);
}

static void copy_run(struct snapshot_job *job)
{
	struct copy_job *j = (struct copy_job *)job;
	j->result = store_copy_new(job->all->server->store, look, &j->message, &j->copy, &j->err);
}

static void copy_drop(struct snapshot_job *job)
{
	struct copy_job *j = (struct copy_job *)job;
	store_copy_free(j->copy);
	sending_unref(j->sending);
	free(j);
}

static void copy_back(struct snapshot_job *job)
{
	struct copy_job *j = (struct copy_job *)job;
	struct sending *s = j->sending;
	if (j->result) {
		log_error(&j->err, "Could not copy the store for another member");
		sending_end(s, false);
	} else if (!s->ended) {
		static const struct chunks_options o = {.chunk_bytes = SNAPSHOT_CHUNK_BYTES,
		                                        .give_up_ms = INSTALL_MS};
		uint64_t id = server_random(s->all->server);
		s->message = j->message;
		s->copy = TAKE(j->copy);
		chunks_send_init(&s->chunks, &o, id ? id : 1, store_copy_bytes(s->copy),
		                 snapshots_now_ms(s->all));
		sending_pump(s);
	}
	copy_drop(job);
}

static void copy_start(struct sending *s)
{
	struct copy_job *j = calloc(1, sizeof(*j));
	if (!j)
		abort();
	j->job = (struct snapshot_job){.run = copy_run, .back = copy_back, .drop = copy_drop};
	j->sending = s;
	j->message = s->message;
	s->copying = true;
	s->refs++;
	log_info("Sending a snapshot", LOG_INT("index", s->message.snapshot.mark.index));
	snapshot_job_start(s->all, &j->job);
}

void snapshots_send(struct server *server, const struct raft_message *m)
{
	struct snapshots *all = server->snapshots;
	LIST_FOREACH (&all->sendings, old, struct sending, link) {
		if (old->message.to != m->to)
			continue;
		sending_leave(old, false);
		sending_unref(old);
	}
	struct sending *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->all = all;
	s->message = *m;
	s->began_ms = s->seen_ms = snapshots_now_ms(all);
	s->refs = 1;
	loop_timer_init(&s->timer, server->loop, on_timer, s);
	list_add_tail(&all->sendings, &s->link);
	snapshot_count_begin(&all->sent, m->to);
	/* Not from within the update that asks for it. */
	loop_timer_start(&s->timer, 0);
}

uint64_t snapshots_hold(const struct server *server)
{
	const struct snapshots *all = server->snapshots;
	uint64_t hold = UINT64_MAX, applied = server->applied;
	LIST_FOREACH (&all->sendings, s, struct sending, link) {
		/* A member that takes so long begins anew. */
		if (s->hold && applied - MIN(s->hold, applied) < HOLD_ENTRIES_MAX)
			hold = MIN(hold, s->hold);
	}
	return hold;
}

void sendings_stop(struct snapshots *all)
{
	LIST_FOREACH (&all->sendings, s, struct sending, link) {
		sending_leave(s, false);
		sending_unref(s);
	}
}
