/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/apply.h"
#include "common/base/log.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/reply.h"

static void on_change(void *arg, const struct record *now, const struct record *previous)
{
	events_add(arg, now, previous);
}

void applier_init(struct applier *ap, struct server *s)
{
	*ap = (struct applier){.server = s};
	arena_init(&ap->arena);
}

void applier_deinit(struct applier *ap)
{
	mvcc_close(&ap->mvcc);
	arena_deinit(&ap->arena);
	events_deinit(&ap->events);
	vec_deinit(&ap->leases);
	auth_applier_deinit(ap);
}

int applier_open(struct applier *ap, struct kv_txn *kv)
{
	mvcc_close(&ap->mvcc);
	int r = mvcc_open(&ap->mvcc, kv);
	ap->mvcc.sink = (struct mvcc_sink){on_change, &ap->events, true};
	events_clear(&ap->events);
	vec_clear(&ap->leases);
	ap->compacted = ap->members = false;
	if (!r)
		r = auth_applier_open(ap);
	return r ? r : alarms_read(kv, &ap->alarms);
}

static bool no_space(const struct applier *ap)
{
	return ap->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__NOSPACE;
}

/* --- keys --- */

/* Inside of a transaction the answer has a header with nothing but the revision. */
static void out_inner_header(struct buf *b, int64_t revision)
{
	size_t at = out_begin(b, 1);
	out_number(b, 3, revision);
	out_end(b, at);
}

static int put(struct applier *ap, const Etcdserverpb__PutRequest *p, struct buf *out)
{
	struct mvcc *m = &ap->mvcc;
	struct slice key = pb_slice(p->key), value = pb_slice(p->value);
	int64_t lease = p->lease;
	if (p->prev_kv || p->ignore_value || p->ignore_lease) {
		struct record old;
		int r = mvcc_get(m, key, &old);
		if (r && r != -ERR_NOT_FOUND)
			return r;
		if (r && (p->ignore_value || p->ignore_lease))
			return OUTCOME_KEY_NOT_FOUND;
		if (!r && p->prev_kv)
			out_key_value(out, 2, &old);
		if (p->ignore_value)
			value = slice_of(arena_memdup(&ap->arena, old.value.data, old.value.len),
			                 old.value.len);
		if (p->ignore_lease)
			lease = old.lease;
	}
	return mvcc_put(m, key, value, lease);
}

struct doomed {
	struct applier *ap;
	struct buf *out; /* previous versions are wanted */
	VEC(struct slice) keys;
};

static int doomed_add(void *arg, const struct record *rec)
{
	struct doomed *d = arg;
	*vec_push(&d->keys) =
	    slice_of(arena_memdup(&d->ap->arena, rec->key.data, rec->key.len), rec->key.len);
	if (d->out)
		out_key_value(d->out, 3, rec);
	return 0;
}

static int delete_range(struct applier *ap, const Etcdserverpb__DeleteRangeRequest *q,
                        struct buf *out)
{
	struct mvcc_range range = {
	    .keys = key_range_of(pb_slice(q->key), pb_slice(q->range_end)),
	    .keys_only = !q->prev_kv,
	};
	struct doomed d = {.ap = ap, .out = q->prev_kv ? out : NULL};
	struct mvcc_range_result found;
	int r = mvcc_range(&ap->mvcc, &range, &ap->arena, doomed_add, &d, &found);
	for (size_t i = 0; !r && i < d.keys.n; i++)
		r = mvcc_delete(&ap->mvcc, d.keys.at[i]);
	out_number(out, 2, (int64_t)d.keys.n);
	vec_deinit(&d.keys);
	return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
}

static int txn(struct applier *ap, const Etcdserverpb__TxnRequest *t, struct txn_path *path,
               struct buf *out);

static int txn_op(struct applier *ap, const Etcdserverpb__RequestOp *op, struct txn_path *path,
                  struct buf *out)
{
	size_t response = out_begin(out, 3), inner;
	int r = 0;
	switch (op->request_case) {
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
		inner = out_begin(out, 1);
		out_inner_header(out, mvcc_now(&ap->mvcc));
		r = out_range(out, &ap->mvcc, op->request_range, &ap->arena, NULL);
		break;
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
		inner = out_begin(out, 2);
		r = put(ap, op->request_put, out);
		out_inner_header(out, mvcc_now(&ap->mvcc));
		break;
	case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
		inner = out_begin(out, 3);
		r = delete_range(ap, op->request_delete_range, out);
		out_inner_header(out, mvcc_now(&ap->mvcc));
		break;
	default:
		inner = out_begin(out, 4);
		r = txn(ap, op->request_txn, path, out);
		out_end(out, out_begin(out, 1)); /* the revision stands in the outermost header */
		break;
	}
	out_end(out, inner);
	out_end(out, response);
	return r;
}

/* Carries out what txn_plan has decided and checked. */
static int txn(struct applier *ap, const Etcdserverpb__TxnRequest *t, struct txn_path *path,
               struct buf *out)
{
	bool holds = path->at[path->next++];
	out_bool(out, 2, holds);
	size_t n = holds ? t->n_success : t->n_failure;
	Etcdserverpb__RequestOp **ops = holds ? t->success : t->failure;
	for (size_t i = 0; i < n; i++) {
		int r = txn_op(ap, ops[i], path, out);
		/* All outcomes have been ruled out; half a transaction must not stay. */
		if (r)
			return r > 0 ? -ERR_CORRUPT : r;
	}
	return 0;
}

static int apply_put(struct applier *ap, const Etcdserverpb__PutRequest *p, struct buf *out)
{
	if (no_space(ap))
		return OUTCOME_NO_SPACE;
	int r = check_put_now(&ap->mvcc, p);
	return r ? r : put(ap, p, out);
}

static bool ops_put(Etcdserverpb__RequestOp *const *ops, size_t n);

/* Can it make the store grow? */
static bool txn_puts(const Etcdserverpb__TxnRequest *t)
{
	return ops_put(t->success, t->n_success) || ops_put(t->failure, t->n_failure);
}

static bool ops_put(Etcdserverpb__RequestOp *const *ops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
			return true;
		if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN &&
		    txn_puts(ops[i]->request_txn))
			return true;
	}
	return false;
}

static int apply_txn(struct applier *ap, const Etcdserverpb__TxnRequest *t, struct buf *out)
{
	if (no_space(ap) && txn_puts(t))
		return OUTCOME_NO_SPACE;
	struct txn_path path = {0};
	int r = txn_plan(&ap->mvcc, t, &ap->arena, &path);
	return r ? r : txn(ap, t, &path, out);
}

static int apply_compact(struct applier *ap, const Etcdserverpb__CompactionRequest *q)
{
	int r = mvcc_compact(&ap->mvcc, q->revision);
	if (!r)
		ap->compacted = true;
	return r;
}

/* --- leases --- */

static int apply_grant(struct applier *ap, const Etcdserverpb__LeaseGrantRequest *q,
                       struct buf *out)
{
	if (no_space(ap))
		return OUTCOME_NO_SPACE;
	int r = lease_grant(&ap->mvcc, q->id, q->ttl);
	if (r)
		return r;
	*vec_push(&ap->leases) = (struct lease_note){.id = q->id, .granted_s = q->ttl};
	out_number(out, 2, q->id);
	out_number(out, 3, q->ttl);
	return 0;
}

static int apply_revoke(struct applier *ap, const Etcdserverpb__LeaseRevokeRequest *q)
{
	int r = lease_revoke(&ap->mvcc, q->id, &ap->arena);
	if (!r)
		*vec_push(&ap->leases) = (struct lease_note){.id = q->id, .gone = true};
	return r;
}

static int apply_checkpoint(struct applier *ap, const Etcdserverpb__LeaseCheckpointRequest *q)
{
	for (size_t i = 0; i < q->n_checkpoints; i++) {
		const Etcdserverpb__LeaseCheckpoint *c = q->checkpoints[i];
		int r = lease_checkpoint(&ap->mvcc, c->id, c->remaining_ttl);
		if (r && r != OUTCOME_LEASE_NOT_FOUND)
			return r;
		if (!r)
			*vec_push(&ap->leases) = (struct lease_note){
			    .id = c->id, .remaining_s = c->remaining_ttl, .checkpoint = true};
	}
	return 0;
}

/* --- alarms: KV_META "alarm", member(8), type(4) -> nothing --- */

enum { ALARM_KEY_BYTES = 17 };

static struct slice alarm_key(uint64_t member, unsigned alarm, uint8_t out[ALARM_KEY_BYTES])
{
	memcpy(out, "alarm", 5);
	put_be64(out + 5, member);
	put_be32(out + 13, alarm);
	return slice_of(out, ALARM_KEY_BYTES);
}

int alarms_each(struct kv_txn *kv, int (*each)(void *arg, uint64_t member, unsigned alarm),
                void *arg)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(kv, KV_META, &c);
	if (!r)
		r = kv_cursor_seek(&c, SLICE_LIT("alarm"));
	for (; !r; r = kv_cursor_next(&c)) {
		if (!slice_has_prefix(c.key, SLICE_LIT("alarm")) || c.key.len != ALARM_KEY_BYTES)
			return 0;
		r = each(arg, get_be64(c.key.data + 5), get_be32(c.key.data + 13));
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int alarm_write(struct kv_txn *kv, uint64_t member, unsigned alarm)
{
	uint8_t k[ALARM_KEY_BYTES];
	return kv_put(kv, KV_META, alarm_key(member, alarm, k), SLICE_LIT("1"));
}

static int alarm_bit(void *arg, uint64_t member, unsigned alarm)
{
	*(unsigned *)arg |= alarm < 32 ? 1u << alarm : 0;
	return 0;
}

int alarms_read(struct kv_txn *kv, unsigned *ret)
{
	*ret = 0;
	return alarms_each(kv, alarm_bit, ret);
}

static void out_alarm(struct buf *out, uint64_t member, unsigned alarm)
{
	size_t at = out_begin(out, 2);
	out_number(out, 1, (int64_t)member);
	out_number(out, 2, alarm);
	out_end(out, at);
}

struct disarm {
	struct applier *ap;
	const Etcdserverpb__AlarmRequest *q;
	VEC(struct lease_note) found; /* id: the member; granted_s: the alarm */
};

static int disarm_find(void *arg, uint64_t member, unsigned alarm)
{
	struct disarm *d = arg;
	if ((!d->q->memberid || d->q->memberid == member) &&
	    (!d->q->alarm || (unsigned)d->q->alarm == alarm))
		*vec_push(&d->found) =
		    (struct lease_note){.id = (int64_t)member, .granted_s = alarm};
	return 0;
}

static int alarm_disarm(struct applier *ap, const Etcdserverpb__AlarmRequest *q, struct buf *out)
{
	struct disarm d = {.ap = ap, .q = q};
	int r = alarms_each(ap->mvcc.kv, disarm_find, &d);
	VEC_FOREACH (&d.found, f) {
		uint8_t k[ALARM_KEY_BYTES];
		if (!r)
			r = kv_del(ap->mvcc.kv, KV_META,
			           alarm_key((uint64_t)f->id, (unsigned)f->granted_s, k));
		out_alarm(out, (uint64_t)f->id, (unsigned)f->granted_s);
	}
	vec_deinit(&d.found);
	return r ? r : alarms_read(ap->mvcc.kv, &ap->alarms);
}

static int apply_alarm(struct applier *ap, const Etcdserverpb__AlarmRequest *q, struct buf *out)
{
	if (q->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE)
		return alarm_disarm(ap, q, out);
	if (q->action != ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE ||
	    q->alarm == ETCDSERVERPB__ALARM_TYPE__NONE)
		return 0;
	int r = alarm_write(ap->mvcc.kv, q->memberid, (unsigned)q->alarm);
	out_alarm(out, q->memberid, (unsigned)q->alarm);
	return r ? r : alarms_read(ap->mvcc.kv, &ap->alarms);
}

static int apply_kind(struct applier *ap, enum command_kind kind, const ProtobufCMessage *m,
                      struct buf *out)
{
	switch (kind) {
	case COMMAND_PUT:
		return apply_put(ap, (const void *)m, out);
	case COMMAND_DELETE:
		return delete_range(ap, (const void *)m, out);
	case COMMAND_TXN:
		return apply_txn(ap, (const void *)m, out);
	case COMMAND_COMPACT:
		return apply_compact(ap, (const void *)m);
	case COMMAND_LEASE_GRANT:
		return apply_grant(ap, (const void *)m, out);
	case COMMAND_LEASE_REVOKE:
		return apply_revoke(ap, (const void *)m);
	case COMMAND_LEASE_CHECKPOINT:
		return apply_checkpoint(ap, (const void *)m);
	case COMMAND_ALARM:
		return apply_alarm(ap, (const void *)m, out);
	case COMMAND_MEMBER_ATTRIBUTES:
	case COMMAND_MEMBER_UPDATE:
		return apply_member(ap, kind, m, out);
	default:
		return auth_apply(ap, kind, m);
	}
}

/* With the alarm all members refuse the same commands. */
static bool refused_corrupt(const struct applier *ap, enum command_kind kind)
{
	return ap->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__CORRUPT &&
	       (kind == COMMAND_PUT || kind == COMMAND_DELETE || kind == COMMAND_TXN ||
	        kind == COMMAND_COMPACT || kind == COMMAND_LEASE_GRANT ||
	        kind == COMMAND_LEASE_REVOKE);
}

int apply(struct applier *ap, enum command_kind kind, const struct identity *who,
          const ProtobufCMessage *m, struct buf *out)
{
	mvcc_begin(&ap->mvcc);
	int r = auth_check_command(ap, kind, who, m);
	if (!r)
		r = refused_corrupt(ap, kind) ? OUTCOME_CORRUPT : apply_kind(ap, kind, m, out);
	out_header(out, ap->server, mvcc_end(&ap->mvcc));
	arena_reset(&ap->arena);
	return r;
}
