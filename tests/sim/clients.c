/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/clients.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/net/rpc_core.h"
#include "raftstore/server/server.h"
#include "tests/sim/edges.h"

enum kind {
	DO_PUT,
	DO_DELETE,
	DO_CREATE,
	DO_UPDATE,
	DO_DELETE_IF,
	DO_GET,
	DO_LIST,
	DO_SERIAL_LIST,
	DO_LIST_AT,
	DO_PUT_TWO,
	DO_COMPACT,
	DO_FINAL_GET,
};

#define PREFIX "/registry/pods/"
#define PREFIX_END "/registry/pods0"

/* What one client knows of one key. */
struct known {
	int64_t mod;
	uint64_t value; /* 0: it is absent */
};

struct client {
	unsigned at;
	struct member *member;
	struct rpc_call *call;
	uint64_t calls; /* tells an answer from one that comes too late */
	struct known known[KEYS];
	/* What it does. */
	enum kind kind;
	unsigned key, other;
	uint64_t value, other_value, invoked_us;
	int64_t floor, revision;
	struct known expected;
	unsigned failures;
	/* The end. */
	bool finishing, finished;
	unsigned next_member;
};

struct history {
	VEC(struct linear_op) ops;
};

static struct client clients[CLIENTS_MAX];
static unsigned n_clients;
static struct history histories[KEYS];
static uint64_t next_value;
static int64_t answered, compact_asked, compact_done;
static bool finishing;

void clients_reset(void)
{
	memset(clients, 0, sizeof(clients));
	memset(histories, 0, sizeof(histories));
	n_clients = 0;
	next_value = 0;
	answered = 1;
	compact_asked = compact_done = 0;
	finishing = false;
}

int64_t clients_answered(void)
{
	return answered;
}

int64_t clients_compact_asked(void)
{
	return compact_asked;
}

struct member *clients_pick(void)
{
	for (int i = 0; i < 8; i++) {
		struct member *m = &sim.members[sim_below(sim.n)];
		if (!m->gone && m->known)
			return m;
	}
	return &sim.members[0];
}

struct slice pack(struct buf *b, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	buf_clear(b);
	buf_reserve(b, n + 1);
	b->len = protobuf_c_message_pack(m, b->data);
	return buf_view(b);
}

static void key_name(unsigned key, char out[32])
{
	snprintf(out, 32, PREFIX "%u", key);
}

/* Values are numbers, no two writes have the same. Some are long. */
static struct slice value_text(uint64_t value, char out[512])
{
	int n = snprintf(out, 512, "%" PRIu64 ":", value);
	size_t pad = value % 17 == 0 ? 400 : value % 5 * 8;
	memset(out + n, 'x', pad);
	return slice_of(out, (size_t)n + pad);
}

static uint64_t value_of(struct slice s)
{
	uint64_t v = 0;
	for (size_t i = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
		v = v * 10 + (uint64_t)(s.data[i] - '0');
	return v;
}

static void next(void *arg);

static void pause_then_next(struct client *c, uint64_t us)
{
	sim_after(us, next, c);
}

/* --- histories --- */

static void record(struct client *c, unsigned key, enum linear_kind kind, bool known,
                   uint64_t expected, uint64_t value, bool swapped)
{
	*vec_push(&histories[key].ops) = (struct linear_op){
	    .kind = kind,
	    .invoked = c->invoked_us,
	    .returned = known ? sim.now_us : LINEAR_UNKNOWN,
	    .expected = expected,
	    .value = value,
	    .swapped = swapped,
	};
}

/* It may have happened, or may yet. */
static void record_unknown(struct client *c)
{
	sim.stats.linear_unknown++;
	switch (c->kind) {
	case DO_PUT:
		record(c, c->key, LINEAR_WRITE, false, 0, c->value, false);
		break;
	case DO_PUT_TWO:
		record(c, c->key, LINEAR_WRITE, false, 0, c->value, false);
		record(c, c->other, LINEAR_WRITE, false, 0, c->other_value, false);
		break;
	case DO_DELETE:
		record(c, c->key, LINEAR_WRITE, false, 0, 0, false);
		break;
	case DO_CREATE:
	case DO_UPDATE:
		record(c, c->key, LINEAR_SWAP, false, c->expected.value, c->value, false);
		break;
	case DO_DELETE_IF:
		record(c, c->key, LINEAR_SWAP, false, c->expected.value, 0, false);
		break;
	default:
		break;
	}
}

/* --- answers --- */

static bool check_header(struct client *c, const Etcdserverpb__ResponseHeader *h, bool linearizable)
{
	if (!h) {
		sim_fail(SIM_SAFETY, "an answer without a header");
		return false;
	}
	SIM_CHECK(h->revision <= model.revision, "an answer of revision %lld of %lld",
	          (long long)h->revision, (long long)model.revision);
	SIM_CHECK(
	    !linearizable || h->revision >= c->floor,
	    "client %u gets revision %lld from member %u, but %lld had been told before it asked",
	    c->at, (long long)h->revision, c->member->at, (long long)c->floor);
	if (linearizable)
		answered = MAX(answered, h->revision);
	return true;
}

/* One key of an answer is as the model has it at this revision. */
static void check_item(const Mvccpb__KeyValue *kv, int64_t revision)
{
	const struct change *m = model_get(pb_view(kv->key), revision);
	SIM_CHECK(m && m->main == kv->mod_revision && m->create == kv->create_revision &&
	              m->version == kv->version && m->lease == kv->lease &&
	              slice_eq(m->value, pb_view(kv->value)),
	          "%.*s is told as of revision %lld at %lld; the model has %lld", (int)kv->key.len,
	          kv->key.data, (long long)kv->mod_revision, (long long)revision,
	          m ? (long long)m->main : 0);
}

static unsigned model_count(int64_t revision)
{
	unsigned n = 0;
	for (unsigned k = 0; k < KEYS; k++) {
		char name[32];
		key_name(k, name);
		n += model_get(slice_str(name), revision) != NULL;
	}
	return n;
}

static void learn(struct client *c, unsigned key, const Etcdserverpb__RangeResponse *r)
{
	c->known[key] = (struct known){0};
	if (r->n_kvs)
		c->known[key] =
		    (struct known){r->kvs[0]->mod_revision, value_of(pb_view(r->kvs[0]->value))};
}

static void check_one(struct client *c, const Etcdserverpb__RangeResponse *r, int64_t revision)
{
	char name[32];
	key_name(c->key, name);
	if (r->n_kvs)
		check_item(r->kvs[0], revision);
	else
		SIM_CHECK(!model_get(slice_str(name), revision),
		          "%s is told to be absent at revision %lld", name, (long long)revision);
	learn(c, c->key, r);
}

static void check_list(struct client *c, const Etcdserverpb__RangeResponse *r, int64_t revision)
{
	for (size_t i = 0; i < r->n_kvs; i++) {
		check_item(r->kvs[i], revision);
		SIM_CHECK(!i || slice_cmp(pb_view(r->kvs[i - 1]->key), pb_view(r->kvs[i]->key)) < 0,
		          "a list is out of order");
	}
	SIM_CHECK(r->n_kvs == model_count(revision), "a list of %zu keys at revision %lld, not %u",
	          r->n_kvs, (long long)revision, model_count(revision));
}

static void on_range(struct client *c, struct slice answer)
{
	Etcdserverpb__RangeResponse *r =
	    etcdserverpb__range_response__unpack(NULL, answer.len, answer.data);
	bool linearizable = c->kind == DO_GET || c->kind == DO_LIST || c->kind == DO_FINAL_GET;
	sim.stats.reads++;
	if (r && check_header(c, r->header, linearizable)) {
		int64_t revision = c->kind == DO_LIST_AT ? c->revision : r->header->revision;
		if (c->kind == DO_GET || c->kind == DO_FINAL_GET) {
			check_one(c, r, revision);
			record(c, c->key, LINEAR_READ, true, 0, c->known[c->key].value, false);
		} else {
			check_list(c, r, revision);
		}
	}
	etcdserverpb__range_response__free_unpacked(r, NULL);
}

/* The write is in the model where the answer says. */
static void check_write(struct client *c, unsigned key, uint64_t value, int64_t revision)
{
	char name[32], text[512];
	key_name(key, name);
	struct slice want = value_text(value, text);
	const struct change *m = model_find(slice_str(name), revision);
	SIM_CHECK(m && m->main == revision && !m->deleted && slice_eq(m->value, want),
	          "client %u was told that %s is %" PRIu64 " at revision %lld, which it is not",
	          c->at, name, value, (long long)revision);
	c->known[key] = (struct known){revision, value};
	sim.stats.writes++;
}

static void on_put(struct client *c, struct slice answer)
{
	Etcdserverpb__PutResponse *r =
	    etcdserverpb__put_response__unpack(NULL, answer.len, answer.data);
	if (r && check_header(c, r->header, true)) {
		SIM_CHECK(r->header->revision > c->floor, "a write at a revision of before");
		check_write(c, c->key, c->value, r->header->revision);
		record(c, c->key, LINEAR_WRITE, true, 0, c->value, false);
		if (r->prev_kv)
			check_item(r->prev_kv, r->header->revision - 1);
	}
	etcdserverpb__put_response__free_unpacked(r, NULL);
}

static void check_deleted(struct client *c, int64_t revision)
{
	char name[32];
	key_name(c->key, name);
	const struct change *m = model_find(slice_str(name), revision);
	SIM_CHECK(m && m->main == revision && m->deleted,
	          "client %u was told that %s is deleted at revision %lld, which it is not", c->at,
	          name, (long long)revision);
	c->known[c->key] = (struct known){0};
	sim.stats.writes++;
}

static void on_delete(struct client *c, struct slice answer)
{
	Etcdserverpb__DeleteRangeResponse *r =
	    etcdserverpb__delete_range_response__unpack(NULL, answer.len, answer.data);
	if (r && check_header(c, r->header, true)) {
		char name[32];
		key_name(c->key, name);
		if (r->deleted)
			check_deleted(c, r->header->revision);
		else
			SIM_CHECK(!model_get(slice_str(name), r->header->revision),
			          "%s was not deleted at revision %lld", name,
			          (long long)r->header->revision);
		c->known[c->key] = (struct known){0};
		record(c, c->key, LINEAR_WRITE, true, 0, 0, false);
	}
	etcdserverpb__delete_range_response__free_unpacked(r, NULL);
}

static void on_txn_held(struct client *c, int64_t revision)
{
	char name[32];
	key_name(c->key, name);
	if (c->kind == DO_PUT_TWO) {
		check_write(c, c->key, c->value, revision);
		check_write(c, c->other, c->other_value, revision);
		record(c, c->key, LINEAR_WRITE, true, 0, c->value, false);
		record(c, c->other, LINEAR_WRITE, true, 0, c->other_value, false);
		return;
	}
	const struct change *before = model_get(slice_str(name), revision - 1);
	SIM_CHECK(before ? before->main == c->expected.mod : !c->expected.mod,
	          "a transaction on %s held at revision %lld, which it should not", name,
	          (long long)revision);
	if (c->kind == DO_DELETE_IF)
		check_deleted(c, revision);
	else
		check_write(c, c->key, c->value, revision);
	record(c, c->key, LINEAR_SWAP, true, c->expected.value,
	       c->kind == DO_DELETE_IF ? 0 : c->value, true);
}

static void on_txn_did_not_hold(struct client *c, const Etcdserverpb__TxnResponse *r)
{
	bool has = r->n_responses == 1 && r->responses[0]->response_case ==
	                                      ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
	SIM_CHECK(has, "a transaction's answer has no range");
	if (!has)
		return;
	check_one(c, r->responses[0]->response_range, r->header->revision);
	SIM_CHECK(c->known[c->key].mod != c->expected.mod, "a transaction should have held");
	record(c, c->key, LINEAR_SWAP, true, c->expected.value, c->value, false);
	record(c, c->key, LINEAR_READ, true, 0, c->known[c->key].value, false);
}

static void on_txn(struct client *c, struct slice answer)
{
	Etcdserverpb__TxnResponse *r =
	    etcdserverpb__txn_response__unpack(NULL, answer.len, answer.data);
	if (r && check_header(c, r->header, true)) {
		if (r->succeeded)
			on_txn_held(c, r->header->revision);
		else
			on_txn_did_not_hold(c, r);
	}
	etcdserverpb__txn_response__free_unpacked(r, NULL);
}

static void on_compact(struct client *c)
{
	compact_done = MAX(compact_done, c->revision);
	sim.stats.compactions++;
}

static void on_error(struct client *c, int code, const char *text, bool sent)
{
	sim_say("client %u: %s (member %u)", c->at, text, c->member->at);
	if (strstr(text, "has been compacted")) {
		SIM_CHECK(c->kind == DO_COMPACT || c->revision <= compact_asked,
		          "revision %lld is compacted, %lld was asked for", (long long)c->revision,
		          (long long)compact_asked);
		return;
	}
	if (strstr(text, "future revision")) {
		/* A member may be behind. */
		SIM_CHECK(c->kind == DO_LIST_AT || c->kind == DO_COMPACT, "%s", text);
		return;
	}
	if (sent)
		record_unknown(c);
	c->failures++;
	if (!c->finishing && sim_chance(700))
		c->member = clients_pick();
}

static void on_end(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct client *c = arg;
	c->call = NULL;
	c->calls++;
	bool ok = code == RPC_OK;
	if (!ok) {
		on_error(c, code, text, sent);
	} else if (c->kind == DO_PUT) {
		on_put(c, answer);
	} else if (c->kind == DO_DELETE) {
		on_delete(c, answer);
	} else if (c->kind == DO_COMPACT) {
		on_compact(c);
	} else if (c->kind == DO_GET || c->kind == DO_LIST || c->kind == DO_SERIAL_LIST ||
	           c->kind == DO_LIST_AT || c->kind == DO_FINAL_GET) {
		on_range(c, answer);
	} else {
		on_txn(c, answer);
	}
	if (ok && c->kind == DO_FINAL_GET)
		c->next_member++;
	pause_then_next(c, ok ? 1000 + sim_below(60000) : 20000 + sim_below(300000));
}

struct patience {
	struct client *client;
	uint64_t calls;
};

static void on_patience(void *arg)
{
	struct patience *p = arg;
	struct client *c = p->client;
	if (c->calls == p->calls && c->call) {
		sim_say("client %u gives up", c->at);
		client_cancel(c->call);
		c->call = NULL;
		c->calls++;
		record_unknown(c);
		if (!c->finishing)
			c->member = clients_pick();
		pause_then_next(c, 1000 + sim_below(100000));
	}
	free(p);
}

/* --- questions --- */

static void start_call(struct client *c, const char *method, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT;
	struct client_ops ops = {.on_end = on_end, .arg = c};
	c->call = client_call(c->member, method, pack(&b, m), &ops);
	buf_deinit(&b);
	struct patience *p = malloc(sizeof(*p));
	*p = (struct patience){c, c->calls};
	sim_after(sim_chance(100) ? sim_below(300000) : 2000000 + sim_below(6000000), on_patience,
	          p);
}

static void ask_range(struct client *c)
{
	char name[32];
	Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
	key_name(c->key, name);
	q.key = pb_bytes(slice_str(name));
	if (c->kind != DO_GET && c->kind != DO_FINAL_GET) {
		q.key = pb_bytes(SLICE_LIT(PREFIX));
		q.range_end = pb_bytes(SLICE_LIT(PREFIX_END));
	}
	q.serializable = c->kind == DO_SERIAL_LIST;
	if (c->kind == DO_LIST_AT)
		q.revision = c->revision;
	start_call(c, "/etcdserverpb.KV/Range", &q.base);
}

static void ask_put(struct client *c)
{
	char name[32], text[512];
	Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
	key_name(c->key, name);
	q.key = pb_bytes(slice_str(name));
	q.value = pb_bytes(value_text(c->value, text));
	q.prev_kv = sim_chance(300);
	start_call(c, "/etcdserverpb.KV/Put", &q.base);
}

static void ask_delete(struct client *c)
{
	char name[32];
	Etcdserverpb__DeleteRangeRequest q = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	key_name(c->key, name);
	q.key = pb_bytes(slice_str(name));
	start_call(c, "/etcdserverpb.KV/DeleteRange", &q.base);
}

static void ask_compact(struct client *c)
{
	Etcdserverpb__CompactionRequest q = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
	q.revision = c->revision;
	q.physical = sim_chance(300);
	compact_asked = MAX(compact_asked, c->revision);
	start_call(c, "/etcdserverpb.KV/Compact", &q.base);
}

static void ask_txn(struct client *c)
{
	char name[32], other[32], text[512], other_text[512];
	key_name(c->key, name);
	key_name(c->other, other);
	Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&compare};
	compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
	compare.key = pb_bytes(slice_str(name));
	compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
	compare.mod_revision = c->expected.mod;
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT,
	                         put_other = ETCDSERVERPB__PUT_REQUEST__INIT;
	put.key = pb_bytes(slice_str(name));
	put.value = pb_bytes(value_text(c->value, text));
	put_other.key = pb_bytes(slice_str(other));
	put_other.value = pb_bytes(value_text(c->other_value, other_text));
	Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	del.key = put.key;
	Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
	range.key = put.key;
	Etcdserverpb__RequestOp yes = ETCDSERVERPB__REQUEST_OP__INIT,
	                        second = ETCDSERVERPB__REQUEST_OP__INIT,
	                        no = ETCDSERVERPB__REQUEST_OP__INIT;
	yes.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	yes.request_put = &put;
	if (c->kind == DO_DELETE_IF) {
		yes.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		yes.request_delete_range = &del;
	}
	second.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	second.request_put = &put_other;
	no.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	no.request_range = &range;
	Etcdserverpb__RequestOp *success[] = {&yes, &second}, *failure[] = {&no};
	Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
	bool two = c->kind == DO_PUT_TWO;
	q.n_compare = !two;
	q.compare = compares;
	q.n_success = two ? 2 : 1;
	q.success = success;
	q.n_failure = !two;
	q.failure = failure;
	start_call(c, "/etcdserverpb.KV/Txn", &q.base);
}

static void choose(struct client *c)
{
	static const struct {
		enum kind kind;
		unsigned share;
	} menu[] = {
	    {DO_PUT, 10},      {DO_DELETE, 4},  {DO_CREATE, 14}, {DO_UPDATE, 30},
	    {DO_DELETE_IF, 6}, {DO_GET, 16},    {DO_LIST, 6},    {DO_SERIAL_LIST, 5},
	    {DO_LIST_AT, 4},   {DO_PUT_TWO, 3}, {DO_COMPACT, 2},
	};
	uint64_t r = sim_below(100);
	size_t i = 0;
	for (; i + 1 < ARRAY_LEN(menu) && r >= menu[i].share; i++)
		r -= menu[i].share;
	c->kind = menu[i].kind;
	c->key = (unsigned)sim_below(KEYS);
	c->other = (c->key + 1 + (unsigned)sim_below(KEYS - 1)) % KEYS;
	c->expected = c->known[c->key];
	if (c->kind == DO_CREATE)
		c->expected = (struct known){0};
	else if (!c->expected.mod && (c->kind == DO_UPDATE || c->kind == DO_DELETE_IF))
		c->kind = DO_GET;
	int64_t back = (int64_t)sim_below(30);
	c->revision = MAX(model.revision - back, (int64_t)1);
}

static void ask(struct client *c)
{
	c->value = ++next_value;
	c->other_value = ++next_value;
	c->invoked_us = sim.now_us;
	c->floor = answered;
	sim.stats.linear_ops++;
	switch (c->kind) {
	case DO_PUT:
		ask_put(c);
		break;
	case DO_DELETE:
		ask_delete(c);
		break;
	case DO_COMPACT:
		ask_compact(c);
		break;
	case DO_GET:
	case DO_LIST:
	case DO_SERIAL_LIST:
	case DO_LIST_AT:
	case DO_FINAL_GET:
		ask_range(c);
		break;
	default:
		ask_txn(c);
	}
}

/* Learners refuse. */
static bool answers_reads(const struct member *m)
{
	return m->up && !m->gone && !m->server->learner;
}

static void next(void *arg)
{
	struct client *c = arg;
	if (finishing) {
		c->finishing = true;
		while (c->next_member < sim.n && !answers_reads(&sim.members[c->next_member]))
			c->next_member++;
		if (c->next_member >= sim.n) {
			c->finished = true;
			return;
		}
		c->member = &sim.members[c->next_member];
		c->kind = DO_FINAL_GET;
		c->key = (unsigned)sim_below(KEYS);
	} else {
		choose(c);
	}
	ask(c);
}

void clients_start(unsigned n)
{
	n_clients = n;
	for (unsigned i = 0; i < n; i++) {
		clients[i].at = i;
		clients[i].member = clients_pick();
		sim_after(sim_below(2000000), next, &clients[i]);
	}
}

void clients_finish(void)
{
	finishing = true;
}

bool clients_finished(void)
{
	for (unsigned i = 0; i < n_clients; i++)
		if (!clients[i].finished)
			return false;
	return true;
}

const char *clients_waiting_for(void)
{
	static char text[64];
	for (unsigned i = 0; i < n_clients; i++) {
		if (clients[i].finished)
			continue;
		snprintf(text, sizeof(text), "client %u waits for member %u", i,
		         clients[i].member->at);
		return text;
	}
	return "nobody waits";
}

void clients_judge(void)
{
	for (unsigned k = 0; k < KEYS; k++) {
		enum linear_result r =
		    linear_check(histories[k].ops.at, histories[k].ops.n, 300000);
		SIM_CHECK(r != LINEAR_NO,
		          "the history of key %u is not linearizable (%zu operations)", k,
		          histories[k].ops.n);
		sim.stats.linear_given_up += r == LINEAR_GIVEN_UP;
	}
}
