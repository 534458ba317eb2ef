/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/etcd_msg.h"

#include "apiserver/storage/wire.h"

enum { COMPARE_EQUAL = 0, TARGET_VERSION = 0, TARGET_MOD = 2 };
/* Fields of RequestOp. */
enum { OP_RANGE = 1, OP_PUT = 2, OP_DELETE = 3 };

void etcd_range_request(struct buf *b, const struct store_range *r)
{
	wire_put_bytes(b, 1, r->key);
	if (r->end.len)
		wire_put_bytes(b, 2, r->end);
	wire_put_num(b, 3, (uint64_t)r->limit);
	wire_put_num(b, 4, (uint64_t)r->revision);
	wire_put_num(b, 7, r->serializable);
	wire_put_num(b, 8, r->keys_only);
	wire_put_num(b, 9, r->count_only);
}

static void put_op(struct buf *b, uint32_t list, uint32_t op, const struct buf *request)
{
	_cleanup_buf_ struct buf wrapped = BUF_INIT;

	wire_put_bytes(&wrapped, op, buf_view(request));
	wire_put_bytes(b, list, buf_view(&wrapped));
}

void etcd_txn_request(struct buf *b, const struct etcd_txn *t)
{
	_cleanup_buf_ struct buf compare = BUF_INIT, op = BUF_INIT, get = BUF_INIT;
	uint32_t target_field = t->by_version ? 4 : 6;

	wire_put_num(&compare, 1, COMPARE_EQUAL);
	wire_put_num(&compare, 2, t->by_version ? TARGET_VERSION : TARGET_MOD);
	wire_put_bytes(&compare, 3, t->key);
	/* The member of a oneof: written also when it is 0. */
	wire_put_varint(&compare, (uint64_t)target_field << 3);
	wire_put_varint(&compare, (uint64_t)t->expect);
	wire_put_bytes(b, 1, buf_view(&compare));

	wire_put_bytes(&op, 1, t->key);
	if (!t->is_delete) {
		wire_put_bytes(&op, 2, t->value);
		wire_put_num(&op, 3, (uint64_t)t->lease);
	}
	put_op(b, 2, t->is_delete ? OP_DELETE : OP_PUT, &op);

	wire_put_bytes(&get, 1, t->key);
	put_op(b, 3, OP_RANGE, &get);
}

void etcd_compact_request(struct buf *b, int64_t revision)
{
	wire_put_num(b, 1, (uint64_t)revision);
}

void etcd_lease_grant_request(struct buf *b, int64_t ttl_s)
{
	wire_put_num(b, 1, (uint64_t)ttl_s);
}

void etcd_watch_create_request(struct buf *b, struct slice key, struct slice end, int64_t revision)
{
	_cleanup_buf_ struct buf create = BUF_INIT;

	wire_put_bytes(&create, 1, key);
	wire_put_bytes(&create, 2, end);
	wire_put_num(&create, 3, (uint64_t)revision);
	wire_put_num(&create, 4, 1); /* progress_notify */
	wire_put_num(&create, 8, 1); /* fragment */
	wire_put_bytes(b, 1, buf_view(&create));
}

void etcd_watch_progress_request(struct buf *b)
{
	wire_put_bytes(b, 3, SLICE_EMPTY);
}

static bool read_header(struct slice s, int64_t *ret_revision)
{
	struct wire w = wire_of(s);

	while (wire_next(&w))
		if (w.field == 3 && w.type == 0)
			*ret_revision = (int64_t)w.num;
	return !w.bad;
}

static bool read_kv(struct slice s, struct store_kv *kv)
{
	struct wire w = wire_of(s);

	*kv = (struct store_kv){0};
	while (wire_next(&w)) {
		switch (w.field) {
		case 1:
			kv->key = w.bytes;
			break;
		case 2:
			kv->create_revision = (int64_t)w.num;
			break;
		case 3:
			kv->mod_revision = (int64_t)w.num;
			break;
		case 4:
			kv->version = (int64_t)w.num;
			break;
		case 5:
			kv->value = w.bytes;
			break;
		case 6:
			kv->lease = (int64_t)w.num;
			break;
		default:
			break;
		}
	}
	return !w.bad;
}

bool etcd_range_response(struct slice s, struct store_result *ret, etcd_kvs *kvs)
{
	struct wire w = wire_of(s);
	bool ok = true;

	while (ok && wire_next(&w)) {
		if (w.field == 1 && w.type == 2)
			ok = read_header(w.bytes, &ret->revision);
		else if (w.field == 2 && w.type == 2)
			ok = read_kv(w.bytes, vec_push(kvs));
		else if (w.field == 3)
			ret->more = w.num != 0;
		else if (w.field == 4)
			ret->count = (int64_t)w.num;
	}
	ret->kvs = kvs->at;
	ret->n_kvs = kvs->n;
	return ok && !w.bad;
}

/* The answers of a transaction: only that of a range (the refused branch) says more than its
 * revision. */
static bool read_response_op(struct slice s, struct store_result *ret, etcd_kvs *kvs)
{
	struct wire w = wire_of(s);
	bool ok = true;

	while (ok && wire_next(&w))
		if (w.field == OP_RANGE && w.type == 2)
			ok = etcd_range_response(w.bytes, ret, kvs);
	return ok && !w.bad;
}

bool etcd_txn_response(struct slice s, struct store_result *ret, etcd_kvs *kvs)
{
	struct wire w = wire_of(s);
	int64_t revision = 0;
	bool ok = true;

	while (ok && wire_next(&w)) {
		if (w.field == 1 && w.type == 2)
			ok = read_header(w.bytes, &revision);
		else if (w.field == 2)
			ret->done = w.num != 0;
		else if (w.field == 3 && w.type == 2)
			ok = read_response_op(w.bytes, ret, kvs);
	}
	ret->revision = revision;
	return ok && !w.bad;
}

bool etcd_compact_response(struct slice s, struct store_result *ret)
{
	struct wire w = wire_of(s);
	bool ok = true;

	while (ok && wire_next(&w))
		if (w.field == 1 && w.type == 2)
			ok = read_header(w.bytes, &ret->revision);
	return ok && !w.bad;
}

bool etcd_lease_grant_response(struct slice s, struct store_result *ret)
{
	struct wire w = wire_of(s);
	bool ok = true;

	while (ok && wire_next(&w)) {
		if (w.field == 1 && w.type == 2)
			ok = read_header(w.bytes, &ret->revision);
		else if (w.field == 2)
			ret->lease = (int64_t)w.num;
	}
	return ok && !w.bad;
}

static bool read_event(struct slice s, struct store_event *ev)
{
	struct wire w = wire_of(s);
	bool ok = true;

	*ev = (struct store_event){0};
	while (ok && wire_next(&w)) {
		if (w.field == 1)
			ev->is_delete = w.num == 1;
		else if (w.field == 2 && w.type == 2)
			ok = read_kv(w.bytes, &ev->kv);
	}
	return ok && !w.bad;
}

bool etcd_watch_response(struct slice s, struct etcd_watch_response *ret)
{
	struct wire w = wire_of(s);
	bool ok = true;

	while (ok && wire_next(&w)) {
		switch (w.field) {
		case 1:
			ok = read_header(w.bytes, &ret->revision);
			break;
		case 3:
			ret->created = w.num != 0;
			break;
		case 4:
			ret->canceled = w.num != 0;
			break;
		case 5:
			ret->compact_revision = (int64_t)w.num;
			break;
		case 6:
			ret->cancel_reason = w.bytes;
			break;
		case 7:
			ret->fragment = w.num != 0;
			break;
		case 11:
			ok = read_event(w.bytes, vec_push(&ret->events));
			break;
		default:
			break;
		}
	}
	return ok && !w.bad;
}

struct slice etcd_status_version(struct slice s)
{
	struct wire w = wire_of(s);
	struct slice version = SLICE_EMPTY;

	while (wire_next(&w))
		if (w.field == 2 && w.type == 2)
			version = w.bytes;
	return version;
}

bool etcd_progress_trusted(struct slice version)
{
	unsigned long part[3] = {0};
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		while (at < version.len && version.data[at] >= '0' && version.data[at] <= '9')
			part[i] = part[i] % 100000 * 10 + (version.data[at++] - '0');
		at++; /* the dot */
	}
	if (part[0] != 3)
		return part[0] > 3;
	if (part[1] == 4)
		return part[2] >= 25;
	if (part[1] == 5)
		return part[2] >= 8;
	return part[1] > 5;
}
