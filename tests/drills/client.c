/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/drills/client.h"
#include "common/base/clock.h"
#include "proto/etcd_rpc.pb-c.h"

enum {
	NAME_BYTES = 64,
	MESSAGE_BYTES = 1024,
	REST_MS = 20, /* after a failure */
};

enum op_kind { OP_PUT, OP_CAS, OP_DEL, OP_PAIR, OP_GET, OP_SGET, OP_LIST };
static const char *const kind_names[] = {"put", "cas", "del", "pair", "get", "sget", "list"};
/* Out of a hundred. */
static const unsigned kind_shares[] = {25, 30, 5, 5, 15, 15, 5};

struct op {
	struct drill_client *client;
	enum op_kind kind;
	unsigned key; /* of the shared ones */
	int64_t expect;
	uint64_t start_ns;
	char name[NAME_BYTES], value[NAME_BYTES];
	void (*done)(struct drill *d, int64_t revision);
};

/* What an answer says. */
struct outcome {
	bool failed; /* the compare did */
	int64_t revision;
	size_t n;
	Mvccpb__KeyValue **kvs;
};

static ProtobufCBinaryData text(char *s)
{
	return (ProtobufCBinaryData){strlen(s), (uint8_t *)s};
}

static char *full_name(char out[NAME_BYTES], const char *name)
{
	snprintf(out, NAME_BYTES, DRILL_PREFIX "%.40s", name);
	return out;
}

static void twin_of(char out[NAME_BYTES], const char *name)
{
	snprintf(out, NAME_BYTES, "%.40st", name);
}

static size_t pack_range(const struct op *o, uint8_t *out)
{
	Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
	char key[NAME_BYTES], end[] = "/drill0";
	q.key = text(full_name(key, o->kind == OP_LIST ? "" : o->name));
	if (o->kind == OP_LIST)
		q.range_end = text(end);
	q.serializable = o->kind == OP_SGET;
	return etcdserverpb__range_request__pack(&q, out);
}

static size_t pack_put(const struct op *o, uint8_t *out)
{
	Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
	char key[NAME_BYTES];
	q.key = text(full_name(key, o->name));
	q.value = text((char *)o->value);
	return etcdserverpb__put_request__pack(&q, out);
}

/* As the API server writes: if nobody changed it since, change it, else tell what is there. */
static size_t pack_txn(const struct op *o, uint8_t *out)
{
	Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&compare};
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT, second = put;
	Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__RequestOp one = ETCDSERVERPB__REQUEST_OP__INIT, two = one, otherwise = one;
	Etcdserverpb__RequestOp *success[] = {&one, &two}, *failure[] = {&otherwise};
	Etcdserverpb__TxnRequest q = ETCDSERVERPB__TXN_REQUEST__INIT;
	char key[NAME_BYTES], twin[NAME_BYTES], twin_key[NAME_BYTES];

	compare.key = put.key = del.key = get.key = text(full_name(key, o->name));
	compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
	compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
	compare.mod_revision = o->expect;
	put.value = second.value = text((char *)o->value);
	twin_of(twin, o->name);
	second.key = text(full_name(twin_key, twin));
	two.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	two.request_put = &second;
	if (o->kind == OP_DEL) {
		one.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
		one.request_delete_range = &del;
	} else {
		one.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
		one.request_put = &put;
	}
	otherwise.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	otherwise.request_range = &get;
	q.n_compare = q.n_failure = 1;
	q.n_success = o->kind == OP_PAIR ? 2 : 1;
	q.compare = compares;
	q.success = success;
	q.failure = failure;
	return etcdserverpb__txn_request__pack(&q, out);
}

static bool is_read(const struct op *o)
{
	return o->kind >= OP_GET;
}

static bool is_txn(const struct op *o)
{
	return o->kind >= OP_CAS && o->kind <= OP_PAIR;
}

/* Errors of calls that were turned away before they could have been proposed. */
static bool is_refusal(const struct rpc_result *r)
{
	return r->code == RPC_INVALID_ARGUMENT || r->code == RPC_PERMISSION_DENIED ||
	       r->code == RPC_UNAUTHENTICATED ||
	       (r->code == RPC_RESOURCE_EXHAUSTED && strstr(r->text, "too many requests"));
}

static void write_found(FILE *f, const struct outcome *at)
{
	size_t skip = strlen(DRILL_PREFIX);
	for (size_t i = 0; i < at->n; i++) {
		const Mvccpb__KeyValue *kv = at->kvs[i];
		if (kv->key.len <= skip)
			continue;
		fprintf(f, " %.*s=%lld,%lld,%lld,%.*s", (int)(kv->key.len - skip),
		        (char *)kv->key.data + skip, (long long)kv->mod_revision,
		        (long long)kv->create_revision, (long long)kv->version, (int)kv->value.len,
		        (char *)kv->value.data);
	}
}

static void write_line(const struct op *o, const struct rpc_result *r, const struct outcome *at)
{
	const struct drill_client *c = o->client;
	FILE *f = c->drill->history;
	const char *result = r->code == RPC_OK ? at->failed ? "no" : "ok"
	                     : is_refusal(r)   ? "refused"
	                                       : "unknown";
	fprintf(f, "%u %u %s %llu %llu %s %lld %s %lld %s", c->number, c->member->number,
	        kind_names[o->kind], (unsigned long long)o->start_ns,
	        (unsigned long long)clock_mono_ns(), result, (long long)at->revision,
	        o->kind == OP_LIST ? "-" : o->name, is_txn(o) ? (long long)o->expect : -1,
	        is_read(o) || o->kind == OP_DEL ? "-" : o->value);
	write_found(f, at);
	if (r->code)
		fprintf(f, " # %s: %s", rpc_code_name(r->code), r->text);
	fputc('\n', f);
}

/* Remembers what the next transaction on that key shall expect. */
static void learn(const struct op *o, const struct outcome *at)
{
	struct drill_client *c = o->client;
	if (c->probe_ms || o->kind == OP_LIST)
		return;
	if (at->failed || is_read(o))
		c->known[o->key] = at->n ? at->kvs[0]->mod_revision : 0;
	else
		c->known[o->key] = o->kind == OP_DEL ? 0 : at->revision;
}

static void finish(struct op *o, const struct rpc_result *r, const struct outcome *at);
static void start_next(void *arg);

static void on_done(const struct rpc_result *r, void *arg)
{
	struct op *o = arg;
	struct outcome at = {0};
	Etcdserverpb__RangeResponse *range = NULL;
	Etcdserverpb__PutResponse *put = NULL;
	Etcdserverpb__TxnResponse *txn = NULL;
	const uint8_t *data = r->message.data;
	size_t n = r->message.len;

	if (!r->code && is_read(o))
		range = etcdserverpb__range_response__unpack(NULL, n, data);
	else if (!r->code && is_txn(o))
		txn = etcdserverpb__txn_response__unpack(NULL, n, data);
	else if (!r->code)
		put = etcdserverpb__put_response__unpack(NULL, n, data);
	if (txn && !txn->succeeded && txn->n_responses == 1 &&
	    txn->responses[0]->response_case ==
	        ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE) {
		at.n = txn->responses[0]->response_range->n_kvs;
		at.kvs = txn->responses[0]->response_range->kvs;
	}
	if (range) {
		at.n = range->n_kvs;
		at.kvs = range->kvs;
	}
	at.failed = txn && !txn->succeeded;
	const Etcdserverpb__ResponseHeader *h = range ? range->header
	                                        : txn ? txn->header
	                                        : put ? put->header
	                                              : NULL;
	at.revision = h ? h->revision : 0;
	finish(o, r, &at);
	if (range)
		etcdserverpb__range_response__free_unpacked(range, NULL);
	if (txn)
		etcdserverpb__txn_response__free_unpacked(txn, NULL);
	if (put)
		etcdserverpb__put_response__free_unpacked(put, NULL);
}

static void finish(struct op *o, const struct rpc_result *r, const struct outcome *at)
{
	struct drill_client *c = o->client;
	struct drill *d = c->drill;
	bool good = r->code == RPC_OK;
	write_line(o, r, at);
	if (good) {
		learn(o, at);
		if (!is_read(o) && !at->failed)
			c->member->acked++;
	}
	d->running--;
	if (o->done)
		o->done(d, good ? at->revision : 0);
	else if (d->stop && !d->running)
		d->idle(d);
	else if (!d->stop && !c->probe_ms)
		loop_timer_start(&c->timer, good ? d->pause_ms : REST_MS);
	free(o);
}

static void send_op(struct op *o)
{
	struct drill_client *c = o->client;
	uint8_t bytes[MESSAGE_BYTES];
	size_t n = is_read(o)  ? pack_range(o, bytes)
	           : is_txn(o) ? pack_txn(o, bytes)
	                       : pack_put(o, bytes);
	o->start_ns = clock_mono_ns();
	c->drill->running++;
	struct rpc_unary_args a = {
	    .method = is_read(o)  ? "/etcdserverpb.KV/Range"
	              : is_txn(o) ? "/etcdserverpb.KV/Txn"
	                          : "/etcdserverpb.KV/Put",
	    .message = slice_of(bytes, n),
	    .timeout_ms = c->drill->timeout_ms,
	    .done = on_done,
	    .arg = o,
	    .loop = &c->drill->loop,
	};
	rpc_unary_start(c->member->channel, &a);
}

static struct op *op_new(struct drill_client *c, enum op_kind kind)
{
	struct op *o = calloc(1, sizeof(*o));
	o->client = c;
	o->kind = kind;
	snprintf(o->value, sizeof(o->value), "%u.%llu", c->number,
	         (unsigned long long)c->sequence++);
	return o;
}

static enum op_kind draw_kind(struct rng *r)
{
	unsigned at = (unsigned)rng_below(r, 100), kind = 0;
	while (at >= kind_shares[kind])
		at -= kind_shares[kind++];
	return kind;
}

static void start_next(void *arg)
{
	struct drill_client *c = arg;
	if (c->drill->stop)
		return;
	struct op *o = op_new(c, c->probe_ms ? OP_PUT : draw_kind(&c->rng));
	if (c->probe_ms) {
		snprintf(o->name, sizeof(o->name), "p%u", c->number);
		loop_timer_start(&c->timer, c->probe_ms);
	} else {
		o->key = (unsigned)rng_below(&c->rng, c->drill->keys);
		snprintf(o->name, sizeof(o->name), "k%u", o->key);
		o->expect = c->known[o->key];
		/* Deleting what is not there would leave no trace in the history. */
		if (o->kind == OP_DEL && !o->expect)
			o->kind = OP_GET;
	}
	send_op(o);
}

void drill_client_init(struct drill_client *c, struct drill *d, struct drill_member *m,
                       unsigned number, unsigned probe_ms)
{
	*c = (struct drill_client){.drill = d, .member = m, .number = number, .probe_ms = probe_ms};
	rng_init(&c->rng, number);
	loop_timer_init(&c->timer, &d->loop, start_next, c);
}

void drill_client_start(struct drill_client *c)
{
	loop_timer_start(&c->timer, c->number % 10);
}

void drill_client_put(struct drill_client *c, const char *key,
                      void (*done)(struct drill *d, int64_t revision))
{
	struct op *o = op_new(c, OP_PUT);
	snprintf(o->name, sizeof(o->name), "%s", key);
	o->done = done;
	send_op(o);
}
