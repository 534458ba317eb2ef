/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/contend.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"

/* The steps of a contender, one at a time: a lease, the key, then looking who is before him until
 * nobody is. A step runs elsewhere (log, worker) and comes back to the loop. When the call is gone
 * by then, what it has put is taken away again. */

enum { LEASE_TTL_S = 60 };

struct contender {
	struct server *server;
	struct rpc_call *call; /* NULL: it has been ended */
	struct arena arena;
	struct contend_options options;
	struct identity who;
	struct slice key;
	int64_t lease, revision; /* 0: none yet */
	bool own_lease, closed, busy, over, again;
	struct key_wait before, own;

	/* Of the step that runs. */
	void (*then)(struct contender *c, int outcome);
	int outcome;
	struct blob *answer;
	struct contend_found found;
	struct arena found_arena;
};

struct slice contender_name(const struct contender *c)
{
	return c->options.name;
}

struct slice contender_key(const struct contender *c)
{
	return c->key;
}

int64_t contender_revision(const struct contender *c)
{
	return c->revision;
}

int64_t contender_lease(const struct contender *c)
{
	return c->lease;
}

static void stop_waiting(struct contender *c)
{
	key_wait_stop(c->server, &c->before);
	key_wait_stop(c->server, &c->own);
}

static void contender_free(struct contender *c)
{
	stop_waiting(c);
	c->server->contenders--;
	blob_unref(c->answer);
	arena_deinit(&c->found_arena);
	arena_deinit(&c->arena);
	free(c);
}

static void nothing(void *arg, int outcome, struct slice answer)
{
}

/* What was put for a call that failed must not hold up others. */
static void take_back(struct contender *c)
{
	struct identity system = {.system = true};
	if (c->own_lease && c->lease) {
		Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
		q.id = c->lease;
		contend_propose(c->server, &system, COMMAND_LEASE_REVOKE, &q.base, nothing, NULL);
	} else if (c->revision) {
		contend_change(c->server, &system, c->key, c->revision, NULL, nothing, NULL);
	}
}

/* The end of the call: an outcome, or 0 and the answer. */
static void finish(struct contender *c, int outcome)
{
	struct rpc_call *call = TAKE(c->call);
	c->over = true;
	stop_waiting(c);
	if (outcome || !call)
		take_back(c);
	if (call && outcome) {
		call_fail(call, outcome);
	} else if (call) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		out_header(&b, c->server, c->found.revision);
		c->options.answer(c, &b);
		rpc_call_reply(call, buf_view(&b));
	}
	if (c->closed)
		contender_free(c);
}

/* --- steps --- */

static void step_end(void *arg)
{
	struct contender *c = arg;
	c->busy = false;
	c->then(c, c->outcome);
}

static void on_proposed(void *arg, int outcome, struct slice answer)
{
	struct contender *c = arg;
	c->outcome = outcome;
	blob_unref(c->answer);
	c->answer = outcome ? NULL : blob_dup(answer);
	/* The loop has ended when the log is closed. */
	if (outcome == OUTCOME_STOPPED)
		step_end(c);
	else
		loop_post(c->server->loop, step_end, c);
}

static void propose(struct contender *c, enum command_kind kind, const ProtobufCMessage *m,
                    void (*then)(struct contender *c, int outcome))
{
	c->busy = true;
	c->then = then;
	contend_propose(c->server, &c->who, kind, m, on_proposed, c);
}

static void look_slowly(void *arg)
{
	struct contender *c = arg;
	struct server *s = c->server;
	struct identity system = {.system = true};
	struct kv_txn *kv;
	c->outcome =
	    contend_find(s, &system, c->options.name, c->revision, &c->found_arena, &c->found);
	bool first = c->outcome == OUTCOME_ELECTION_NO_LEADER;
	if (first)
		c->outcome = 0;
	/* Is its own key still there? */
	if (!c->outcome)
		c->outcome = store_begin(s->store, false, &kv);
	if (!c->outcome) {
		struct mvcc m;
		struct record own;
		int r = mvcc_open(&m, kv);
		if (!r)
			r = mvcc_get(&m, c->key, &own);
		if (r == -ERR_NOT_FOUND || (!r && own.create != c->revision))
			r = OUTCOME_SESSION_EXPIRED;
		c->outcome = r;
		mvcc_close(&m);
		store_end(kv);
	}
	if (first)
		c->found.record.key = SLICE_EMPTY;
	loop_post(s->loop, step_end, c);
}

static void looked(struct contender *c, int outcome);

static void look(struct contender *c)
{
	if (c->busy || c->over)
		return;
	c->busy = true;
	c->again = false;
	c->then = looked;
	arena_reset(&c->found_arena);
	c->found = (struct contend_found){0};
	worker_post(&c->server->read_worker, look_slowly, c);
}

static void on_wake(void *arg)
{
	struct contender *c = arg;
	c->again = true;
	look(c);
}

/* One goes on waiting only for a key that was still there after the wait for it had begun. */
static void looked(struct contender *c, int outcome)
{
	struct slice before = c->found.record.key;
	if (outcome || !before.len || !c->call) {
		finish(c, outcome);
		return;
	}
	if (c->before.active && slice_eq(c->before.entry.keys.key, before)) {
		if (c->again)
			look(c);
		return;
	}
	key_wait_stop(c->server, &c->before);
	struct key_range keys = {
	    .key = slice_of(arena_memdup(&c->arena, before.data, before.len), before.len)};
	key_wait_start(c->server, &c->before, &keys, on_wake, c);
	look(c);
}

static void begin_waiting(struct contender *c)
{
	struct key_range own = {.key = c->key};
	key_wait_start(c->server, &c->own, &own, on_wake, c);
	look(c);
}

static void proclaimed(struct contender *c, int outcome)
{
	int64_t revision;
	if (!outcome && !contend_changed(blob_view(c->answer), &revision))
		outcome = OUTCOME_ELECTION_NOT_LEADER;
	if (outcome || !c->call)
		finish(c, outcome);
	else
		begin_waiting(c);
}

/* The key was put, or there is one of the same lease already. */
static void key_put(struct contender *c, int outcome)
{
	struct arena a;
	arena_init(&a);
	const Etcdserverpb__TxnResponse *t =
	    outcome ? NULL
	            : (const void *)message_decode(&etcdserverpb__txn_response__descriptor,
	                                           blob_view(c->answer), &a);
	bool replace = false;
	if (t && t->succeeded) {
		c->revision = t->header->revision;
	} else if (t && t->n_responses && t->responses[0]->response_range->n_kvs) {
		const Mvccpb__KeyValue *kv = t->responses[0]->response_range->kvs[0];
		c->revision = kv->create_revision;
		replace = c->options.election && !slice_eq(pb_slice(kv->value), c->options.value);
	} else if (t) {
		outcome = OUTCOME_SESSION_EXPIRED;
	}
	arena_deinit(&a);
	if (outcome || !c->call) {
		finish(c, outcome);
	} else if (replace) {
		c->busy = true;
		c->then = proclaimed;
		contend_change(c->server, &c->who, c->key, c->revision, &c->options.value,
		               on_proposed, c);
	} else {
		begin_waiting(c);
	}
}

static void put_key(struct contender *c)
{
	struct slice name = c->options.name;
	char lease[24];
	int n = snprintf(lease, sizeof(lease), "/%llx", (unsigned long long)c->lease);
	uint8_t *key = arena_alloc(&c->arena, name.len + (size_t)n);
	if (name.len)
		memcpy(key, name.data, name.len);
	memcpy(key + name.len, lease, (size_t)n);
	c->key = slice_of(key, name.len + (size_t)n);

	ProtobufCBinaryData data = {c->key.len, key};
	Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT;
	Etcdserverpb__Compare cmp = ETCDSERVERPB__COMPARE__INIT, *compare[] = {&cmp};
	Etcdserverpb__RequestOp op[2], *success[] = {&op[0]}, *failure[] = {&op[1]};
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
	cmp.key = put.key = range.key = data;
	cmp.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
	cmp.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
	put.value = (ProtobufCBinaryData){c->options.value.len, (uint8_t *)c->options.value.data};
	put.lease = c->lease;
	etcdserverpb__request_op__init(&op[0]);
	etcdserverpb__request_op__init(&op[1]);
	op[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	op[0].request_put = &put;
	op[1].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	op[1].request_range = &range;
	t.compare = compare;
	t.success = success;
	t.failure = failure;
	t.n_compare = t.n_success = t.n_failure = 1;
	propose(c, COMMAND_TXN, &t.base, key_put);
}

static void lease_granted(struct contender *c, int outcome)
{
	if (outcome || !c->call)
		finish(c, outcome);
	else
		put_key(c);
}

static void grant_lease(struct contender *c)
{
	Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
	do {
		c->lease = (int64_t)(server_random(c->server) & INT64_MAX);
	} while (!c->lease);
	c->own_lease = true;
	q.id = c->lease;
	q.ttl = LEASE_TTL_S;
	propose(c, COMMAND_LEASE_GRANT, &q.base, lease_granted);
}

/* --- calls --- */

static void on_closed(struct rpc_call *call, bool cancelled, void *data)
{
	struct contender *c = data;
	c->closed = true;
	if (c->busy) {
		/* The step that runs finds out; the call must end before. */
		if (c->call)
			call_fail(TAKE(c->call), OUTCOME_TIMEOUT);
	} else if (c->over) {
		contender_free(c);
	} else {
		finish(c, OUTCOME_TIMEOUT);
	}
}

static const struct rpc_call_ops ops = {.on_closed = on_closed};

void contend_start(struct server *s, struct rpc_call *call, const struct contend_options *o)
{
	if (s->contenders >= CONTENDERS_MAX) {
		call_fail(call, OUTCOME_TOO_MANY_REQUESTS);
		return;
	}
	struct contender *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	s->contenders++;
	c->server = s;
	c->call = call;
	arena_init(&c->arena);
	arena_init(&c->found_arena);
	c->options = *o;
	c->options.name.data = arena_memdup(&c->arena, o->name.data, o->name.len);
	c->options.value.data = arena_memdup(&c->arena, o->value.data, o->value.len);
	c->lease = o->lease;
	rpc_call_set_ops(call, &ops, c);
	int r = auth_identify(s, call, &c->arena, &c->who);
	if (r)
		finish(c, r);
	else if (c->lease)
		put_key(c);
	else
		grant_lease(c);
}
