/* SPDX-License-Identifier: Apache-2.0 */
/* The follower's side. */
#include <unistd.h>
#include "common/base/log.h"
#include "raftstore/log/log.h"
#include "raftstore/mvcc/mvcc.h"
#include "raftstore/mvcc/record.h"
#include "raftstore/peer/wire.h"
#include "raftstore/server/node.h"
#include "raftstore/server/snapshots_internal.h"
#include "raftstore/server/storage.h"

enum { CHUNK_BYTES_MAX = 4 << 20 };

struct write_job {
	struct snapshot_job job; /* first */
	struct peers_answer *answer;
	struct raft_message message;
	struct chunk chunk;
	struct chunk_result answered;
	struct blob *bytes;
	uint64_t skip;
	bool begin, last;
	int result;
	struct err err;
};

struct parsed {
	struct raft_message message;
	struct chunk chunk;
	struct slice bytes;
};

static bool parse(struct slice body, uint64_t from, uint64_t to, struct parsed *ret)
{
	if (body.len < 4)
		return false;
	size_t head = get_be32(body.data);
	body = slice_skip(body, 4);
	if (head > body.len || body.len - head < SNAPSHOT_CHUNK_HEAD_BYTES)
		return false;
	ret->message = (struct raft_message){.type = RAFT_MSG_SNAPSHOT, .from = from, .to = to};
	if (!wire_decode_raft(slice_of(body.data, head), &ret->message))
		return false;
	const uint8_t *p = body.data + head;
	ret->bytes = slice_skip(body, head + SNAPSHOT_CHUNK_HEAD_BYTES);
	ret->chunk = (struct chunk){get_be64(p), get_be64(p + 8), get_be64(p + 16), ret->bytes.len};
	return ret->bytes.len <= CHUNK_BYTES_MAX;
}

static void answer_result(struct peers_answer *a, const struct chunk_result *r)
{
	uint8_t b[SNAPSHOT_RESULT_BYTES];
	put_be64(b, r->id);
	put_be64(b + 8, r->offset);
	peers_answer(a, 0, slice_of(b, sizeof(b)));
}

/* The transfer under way is given up. */
static void receive_reset(struct snapshots *all)
{
	if (all->receive_from)
		snapshot_count_end(&all->received, all, all->receive_from, all->received_from_ms,
		                   false);
	all->receive = (struct chunks_receive){0};
	all->receive_from = 0;
}

/* --- writing --- */

static void write_drop(struct snapshot_job *job)
{
	struct write_job *j = (struct write_job *)job;
	blob_unref(j->bytes);
	if (j->answer)
		peers_answer(j->answer, -ERR_CANCELLED, SLICE_EMPTY);
	free(j);
}

static void write_run(struct snapshot_job *job)
{
	struct write_job *j = (struct write_job *)job;
	struct store *s = job->all->server->store;
	j->result = j->begin ? store_receive_begin(s, &j->err) : 0;
	if (!j->result)
		j->result = store_receive_write(s, j->chunk.offset + j->skip,
		                                slice_skip(blob_view(j->bytes), j->skip), &j->err);
}

/* All bytes are in the file: the core says whether they are to be installed. */
static void all_received(struct snapshots *all, const struct raft_message *m)
{
	snapshot_count_end(&all->received, all, all->receive_from, all->received_from_ms, true);
	all->receive_from = 0;
	log_info("Received a snapshot", LOG_INT("index", m->snapshot.mark.index),
	         LOG_INT("bytes", all->receive.size));
	struct raft_event e = {.type = RAFT_RECEIVE, .message = m};
	ERR_IGNORE(node_step(all->server->node, &e)); /* messages may be lost */
}

static void write_back(struct snapshot_job *job)
{
	struct write_job *j = (struct write_job *)job;
	struct snapshots *all = job->all;
	bool current = all->receive.id == j->chunk.id;
	if (j->result && current) {
		log_error(&j->err, "Could not write a snapshot of another member");
		receive_reset(all);
	} else if (!j->result && current) {
		if (j->last && !all->installing)
			all_received(all, &j->message);
		if (j->last && all->installing) {
			all->last_answer = TAKE(j->answer);
			all->last_result = j->answered;
		} else {
			answer_result(TAKE(j->answer), &j->answered);
		}
	}
	write_drop(job);
}

static void write_start(struct snapshots *all, const struct parsed *in, bool begin, uint64_t skip,
                        struct peers_answer *a)
{
	struct write_job *j = calloc(1, sizeof(*j));
	if (!j)
		abort();
	if (begin) {
		if (all->receive_from)
			snapshot_count_end(&all->received, all, all->receive_from,
			                   all->received_from_ms, false);
		all->receive_from = in->message.from;
		all->received_from_ms = snapshots_now_ms(all);
		snapshot_count_begin(&all->received, in->message.from);
	}
	/* The worker writes in this order, so that what comes next may count on it. */
	chunks_receive_written(&all->receive, &in->chunk);
	j->job = (struct snapshot_job){.run = write_run, .back = write_back, .drop = write_drop};
	j->answer = a;
	j->message = in->message;
	j->chunk = in->chunk;
	j->answered = chunks_receive_result(&all->receive, &in->chunk);
	j->bytes = blob_dup(in->bytes);
	j->begin = begin;
	j->skip = skip;
	j->last = chunks_receive_done(&all->receive);
	snapshot_job_start(all, &j->job);
}

void snapshots_chunk(struct server *s, uint64_t from, struct slice body, struct peers_answer *a)
{
	struct snapshots *all = s->snapshots;
	struct parsed in;
	if (!from || !parse(body, from, s->member_id, &in)) {
		peers_answer(a, -ERR_INVALID, SLICE_EMPTY);
		return;
	}
	bool other = in.chunk.id != all->receive.id;
	if (all->stopped || in.message.term < node_status(s->node).term ||
	    (all->installing && other)) {
		peers_answer(a, -ERR_CONFLICT, SLICE_EMPTY);
		return;
	}
	if (all->installing) {
		/* The last chunk once more: its answer comes in time. */
		peers_answer(a, -ERR_TOO_MANY_REQUESTS, SLICE_EMPTY);
		return;
	}
	uint64_t skip = 0;
	struct chunk_result r;
	enum chunk_use use = chunks_receive(&all->receive, &in.chunk, &skip);
	switch (use) {
	case CHUNK_BEGIN:
	case CHUNK_WRITE:
		write_start(all, &in, use == CHUNK_BEGIN, skip, a);
		break;
	case CHUNK_IGNORE:
		r = chunks_receive_result(&all->receive, &in.chunk);
		answer_result(a, &r);
		break;
	case CHUNK_BAD:
		peers_answer(a, -ERR_INVALID, SLICE_EMPTY);
		break;
	}
}

/* --- installing --- */

static void on_installed(void *arg)
{
	struct snapshots *all = arg;
	bool ok = !all->install_result;
	all->installing = false;
	if (!ok)
		receive_reset(all); /* whatever it was, it is not sent a second time */
	node_installed(all->server->node, all->install_mark, ok);
	struct peers_answer *a = TAKE(all->last_answer);
	if (a && ok)
		answer_result(a, &all->last_result);
	else if (a)
		peers_answer(a, -ERR_CANCELLED, SLICE_EMPTY);
}

/* On the log's thread. */
static void on_log_reset(void *arg, int result, const struct err *err)
{
	struct snapshots *all = arg;
	if (result) {
		log_error(err, "The log has failed");
		_exit(1);
	}
	loop_post(all->server->loop, on_installed, all);
}

/* The store is durable: the log may begin behind it. */
static void on_stored(void *arg)
{
	struct snapshots *all = arg;
	if (all->install_result)
		on_installed(all);
	else
		raftlog_reset(node_log(all->server->node), all->install_mark, on_log_reset, all);
}

/* On the storage worker. */
static void on_stored_there(void *arg, int result)
{
	struct snapshots *all = arg;
	all->install_result = result;
	loop_post(all->server->loop, on_stored, all);
}

void snapshots_install(struct server *s, struct raft_mark mark, const struct raft_conf *conf)
{
	struct snapshots *all = s->snapshots;
	all->installing = true;
	all->install_mark = mark;
	storage_install(s->storage, mark, on_stored_there, all);
}
