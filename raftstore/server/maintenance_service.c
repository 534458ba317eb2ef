/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/etcd_export.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/snapshot.h"
#include "raftstore/server/storage.h"

enum { MOVE_LOOK_MS = 5 };

static const char *alarm_name(unsigned alarm)
{
	switch (alarm) {
	case ETCDSERVERPB__ALARM_TYPE__NOSPACE:
		return "NOSPACE";
	case ETCDSERVERPB__ALARM_TYPE__CORRUPT:
		return "CORRUPT";
	default:
		return "NONE";
	}
}

struct alarm_list {
	struct buf *out;
	bool as_errors; /* texts of StatusResponse.errors; else AlarmResponse.alarms */
};

static int add_alarm(void *arg, uint64_t member, unsigned alarm)
{
	struct alarm_list *l = arg;
	if (l->as_errors) {
		_cleanup_buf_ struct buf text = BUF_INIT;
		buf_printf(&text, "memberID:%llu alarm:%s ", (unsigned long long)member,
		           alarm_name(alarm));
		out_bytes_always(l->out, 8, buf_view(&text));
		return 0;
	}
	size_t at = out_begin(l->out, 2);
	out_number(l->out, 1, (int64_t)member);
	out_number(l->out, 2, alarm);
	out_end(l->out, at);
	return 0;
}

static int list_alarms(struct server *s, struct buf *out, bool as_errors)
{
	struct kv_txn *kv;
	int r = store_begin(s->store, false, &kv);
	if (r)
		return r;
	struct alarm_list l = {out, as_errors};
	r = alarms_each(kv, add_alarm, &l);
	store_end(kv);
	return r;
}

static void answer(struct rpc_call *call, int r, const struct buf *b)
{
	if (r)
		call_fail(call, r);
	else
		rpc_call_reply(call, buf_view(b));
}

static void on_status(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct store_sizes sizes;
	store_sizes(s->store, &sizes);
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, s, s->revision);
	out_bytes(&b, 2, SLICE_LIT(RAFTSTORE_ETCD_VERSION));
	out_number(&b, 3, (int64_t)sizes.file_bytes);
	out_number(&b, 4, (int64_t)s->leader);
	out_number(&b, 5, (int64_t)s->commit);
	out_number(&b, 6, (int64_t)s->term);
	out_number(&b, 7, (int64_t)s->applied);
	int r = list_alarms(s, &b, true);
	if (!s->leader)
		out_bytes(&b, 8, slice_str(outcome_text(OUTCOME_NO_LEADER)));
	out_number(&b, 9, (int64_t)sizes.used_bytes);
	out_bool(&b, 10, s->learner);
	out_bytes(&b, 11, SLICE_LIT(RAFTSTORE_ETCD_VERSION));
	out_number(&b, 12, (int64_t)s->options->quota);
	answer(call, r, &b);
}

static void on_alarm(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	if (auth_refuses(s, call, AUTH_KNOWN))
		return;
	struct request *q = request_new(call, COMMAND_ALARM);
	q->message = message_decode(&etcdserverpb__alarm_request__descriptor, message, &q->arena);
	Etcdserverpb__AlarmRequest *m = (void *)q->message;
	if (!m) {
		request_fail(q, OUTCOME_BAD_MESSAGE);
		return;
	}
	int refused = request_identify(s, q);
	if (refused) {
		request_fail(q, refused);
		return;
	}
	if (m->action != ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET) {
		request_pack_command(q);
		node_propose(s->node, q);
		return;
	}
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, s, s->revision);
	int r = list_alarms(s, &b, false);
	q->call = NULL;
	request_free(q);
	answer(call, r, &b);
}

/* --- hashes: on the read worker, since they look at everything --- */

struct hash_call {
	struct server *server;
	struct rpc_call *call;
	int64_t revision;
	bool is_kv;
};

static int hash_run(struct hash_call *hc, struct buf *b)
{
	struct kv_txn *kv;
	uint32_t hash = 0;
	int r = store_begin(hc->server->store, false, &kv);
	if (r)
		return r;
	_cleanup_mvcc_ struct mvcc m = {0};
	r = mvcc_open(&m, kv);
	int64_t revision = hc->revision > 0 ? hc->revision : m.revision;
	if (!r)
		r = mvcc_check_revision(&m, revision);
	if (!r)
		r = hc->is_kv ? mvcc_hash(&m, revision, &hash) : etcd_hash(kv, &hash);
	store_end(kv);
	out_header(b, hc->server, m.revision);
	out_number(b, 2, hash);
	if (hc->is_kv) {
		out_number(b, 3, m.compacted);
		out_number(b, 4, revision);
	}
	return r;
}

static void hash_slowly(void *arg)
{
	struct hash_call *hc = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = hash_run(hc, &b);
	answer(hc->call, r, &b);
	free(hc);
}

static void hash_start(struct server *s, struct rpc_call *call, int64_t revision, bool is_kv)
{
	struct hash_call *hc = calloc(1, sizeof(*hc));
	if (!hc)
		abort();
	*hc = (struct hash_call){s, call, revision, is_kv};
	worker_post(&s->copy_worker, hash_slowly, hc);
}

static void on_hash(struct rpc_call *call, struct slice message, void *arg)
{
	if (!auth_refuses(arg, call, AUTH_ADMIN))
		hash_start(arg, call, 0, false);
}

static void on_hash_kv(struct rpc_call *call, struct slice message, void *arg)
{
	struct arena arena;
	if (auth_refuses(arg, call, AUTH_ADMIN))
		return;
	arena_init(&arena);
	const Etcdserverpb__HashKVRequest *q = (const void *)message_decode(
	    &etcdserverpb__hash_kvrequest__descriptor, message, &arena);
	if (q)
		hash_start(arg, call, q->revision, true);
	else
		call_fail(call, OUTCOME_BAD_MESSAGE);
	arena_deinit(&arena);
}

static void on_defragment(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	if (!auth_refuses(s, call, AUTH_ADMIN))
		storage_defragment(s->storage, call);
}

/* --- moving the leader --- */

struct move {
	struct server *server;
	struct rpc_call *call;
	uint64_t to, until_ms;
	struct loop_timer timer;
};

static void on_move_timer(void *arg)
{
	struct move *v = arg;
	struct server *s = v->server;
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool late = loop_now_ms(s->loop) >= v->until_ms || s->stopping;
	if (s->leader != v->to && !late) {
		loop_timer_start(&v->timer, MOVE_LOOK_MS);
		return;
	}
	out_header(&b, s, s->revision);
	answer(v->call, s->leader == v->to ? 0 : OUTCOME_TIMEOUT_LEADER_TRANSFER, &b);
	free(v);
}

static void on_move_leader(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	if (auth_refuses(s, call, AUTH_ADMIN))
		return;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__MoveLeaderRequest *q = (const void *)message_decode(
	    &etcdserverpb__move_leader_request__descriptor, message, &arena);
	int outcome = q ? node_transfer(s->node, q->targetid) : OUTCOME_BAD_MESSAGE;
	if (outcome) {
		call_fail(call, outcome);
		return;
	}
	struct move *v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	*v = (struct move){s, call, q->targetid, loop_now_ms(s->loop) + server_timeout_ms(s), {0}};
	loop_timer_init(&v->timer, s->loop, on_move_timer, v);
	loop_timer_start(&v->timer, 0);
}

/* MAJOR.MINOR or MAJOR.MINOR.PATCH */
static bool is_version(const char *s)
{
	unsigned parts = 1;
	bool digit = false;
	for (; *s; s++) {
		if (*s == '.' && digit && parts < 3) {
			parts++;
			digit = false;
		} else if (*s >= '0' && *s <= '9') {
			digit = true;
		} else {
			return false;
		}
	}
	return digit && parts > 1;
}

/* There has been no other form of the store that one could go back to. */
static void on_downgrade(struct rpc_call *call, struct slice message, void *arg)
{
	if (auth_refuses(arg, call, AUTH_ADMIN))
		return;
	_cleanup_arena_ struct arena arena;
	arena_init(&arena);
	const Etcdserverpb__DowngradeRequest *q = (const void *)message_decode(
	    &etcdserverpb__downgrade_request__descriptor, message, &arena);
	if (!q)
		call_fail(call, OUTCOME_BAD_MESSAGE);
	else if (q->action == ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL)
		call_fail(call, OUTCOME_NO_DOWNGRADE);
	else
		call_fail(call, is_version(q->version) ? OUTCOME_DOWNGRADE_TARGET
		                                       : OUTCOME_BAD_DOWNGRADE_VERSION);
}

void maintenance_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Maintenance/Status", RPC_UNARY, on_status, s, NULL},
	    {"/etcdserverpb.Maintenance/Alarm", RPC_UNARY, on_alarm, s, NULL},
	    {"/etcdserverpb.Maintenance/Hash", RPC_UNARY, on_hash, s, NULL},
	    {"/etcdserverpb.Maintenance/HashKV", RPC_UNARY, on_hash_kv, s, NULL},
	    {"/etcdserverpb.Maintenance/Defragment", RPC_UNARY, on_defragment, s, NULL},
	    {"/etcdserverpb.Maintenance/MoveLeader", RPC_UNARY, on_move_leader, s, s->loop},
	    {"/etcdserverpb.Maintenance/Downgrade", RPC_UNARY, on_downgrade, s, NULL},
	    {"/etcdserverpb.Maintenance/Snapshot", RPC_STREAM, on_snapshot, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
