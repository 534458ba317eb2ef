/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/mvcc/etcd_form.h"
#include "proto/etcd_kv.pb-c.h"

struct slice etcd_revision_encode(struct revision rev, bool deleted,
                                  uint8_t out[ETCD_REVISION_MAX_BYTES])
{
	put_be64(out, (uint64_t)rev.main);
	out[8] = '_';
	put_be64(out + 9, (uint64_t)rev.sub);
	out[ETCD_REVISION_BYTES] = 't';
	return slice_of(out, deleted ? ETCD_REVISION_MAX_BYTES : ETCD_REVISION_BYTES);
}

bool etcd_revision_decode(struct slice in, struct revision *ret, bool *ret_deleted)
{
	bool marked = in.len == ETCD_REVISION_MAX_BYTES;
	if ((in.len != ETCD_REVISION_BYTES && !marked) || in.data[8] != '_' ||
	    (marked && in.data[ETCD_REVISION_BYTES] != 't'))
		return false;
	struct revision rev = {(int64_t)get_be64(in.data), (int64_t)get_be64(in.data + 9)};
	if (rev.main < 0 || rev.sub < 0)
		return false;
	*ret = rev;
	*ret_deleted = marked;
	return true;
}

struct slice etcd_value_encode(const struct record *r, struct buf *out)
{
	Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
	kv.key = (ProtobufCBinaryData){r->key.len, (uint8_t *)r->key.data};
	if (!r->deleted) {
		kv.create_revision = r->create;
		kv.mod_revision = r->rev.main;
		kv.version = r->version;
		kv.value = (ProtobufCBinaryData){r->value.len, (uint8_t *)r->value.data};
		kv.lease = r->lease;
	}
	buf_clear(out);
	buf_reserve(out, mvccpb__key_value__get_packed_size(&kv));
	out->len = mvccpb__key_value__pack(&kv, out->data);
	return buf_view(out);
}
