/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/auth/records.h"
#include "proto/pb_decode.h"

#define STATE_KEY "auth"
#define USER_PREFIX "auth user "
#define ROLE_PREFIX "auth role "

enum { STATE_BYTES = 16 };

int auth_state_read(struct kv_txn *kv, struct auth_state *ret)
{
	struct slice v;
	*ret = (struct auth_state){.revision = 1};
	int r = kv_get(kv, KV_META, SLICE_LIT(STATE_KEY), &v);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (v.len != STATE_BYTES)
		return -ERR_CORRUPT;
	ret->enabled = get_be64(v.data);
	ret->revision = get_be64(v.data + 8);
	return 0;
}

int auth_state_write(struct kv_txn *kv, const struct auth_state *s)
{
	uint8_t b[STATE_BYTES];
	put_be64(b, s->enabled);
	put_be64(b + 8, s->revision);
	return kv_put(kv, KV_META, SLICE_LIT(STATE_KEY), slice_of(b, sizeof(b)));
}

static struct slice record_key(struct slice prefix, struct slice name, struct buf *out)
{
	buf_slice(out, prefix);
	buf_slice(out, name);
	return buf_view(out);
}

static int decode(const ProtobufCMessageDescriptor *desc, struct slice v, struct arena *a,
                  void *ret)
{
	ProtobufCAllocator allocator = pb_arena_allocator(a);
	ProtobufCMessage *m = protobuf_c_message_unpack(desc, &allocator, v.len, v.data);
	if (!m)
		return -ERR_CORRUPT;
	*(ProtobufCMessage **)ret = m;
	return 0;
}

static int record_read(struct kv_txn *kv, struct slice prefix, struct slice name,
                       const ProtobufCMessageDescriptor *desc, struct arena *a, void *ret)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct slice v;
	int r = kv_get(kv, KV_META, record_key(prefix, name, &key), &v);
	return r ? r : decode(desc, v, a, ret);
}

static int record_write(struct kv_txn *kv, struct slice prefix, ProtobufCBinaryData name,
                        const ProtobufCMessage *m)
{
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	size_t n = protobuf_c_message_get_packed_size(m);
	buf_reserve(&value, n);
	value.len = protobuf_c_message_pack(m, value.data);
	return kv_put(kv, KV_META, record_key(prefix, slice_of(name.data, name.len), &key),
	              buf_view(&value));
}

static int record_erase(struct kv_txn *kv, struct slice prefix, struct slice name)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	return kv_del(kv, KV_META, record_key(prefix, name, &key));
}

int auth_user_read(struct kv_txn *kv, struct slice name, struct arena *a, Authpb__User **ret)
{
	return record_read(kv, SLICE_LIT(USER_PREFIX), name, &authpb__user__descriptor, a, ret);
}

int auth_role_read(struct kv_txn *kv, struct slice name, struct arena *a, Authpb__Role **ret)
{
	return record_read(kv, SLICE_LIT(ROLE_PREFIX), name, &authpb__role__descriptor, a, ret);
}

int auth_user_write(struct kv_txn *kv, const Authpb__User *u)
{
	return record_write(kv, SLICE_LIT(USER_PREFIX), u->name, &u->base);
}

int auth_role_write(struct kv_txn *kv, const Authpb__Role *r)
{
	return record_write(kv, SLICE_LIT(ROLE_PREFIX), r->name, &r->base);
}

int auth_user_erase(struct kv_txn *kv, struct slice name)
{
	return record_erase(kv, SLICE_LIT(USER_PREFIX), name);
}

int auth_role_erase(struct kv_txn *kv, struct slice name)
{
	return record_erase(kv, SLICE_LIT(ROLE_PREFIX), name);
}

static int record_each(struct kv_txn *kv, struct slice prefix,
                       const ProtobufCMessageDescriptor *desc, struct arena *a,
                       int (*each)(void *arg, void *m), void *arg)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(kv, KV_META, &c);
	if (!r)
		r = kv_cursor_seek(&c, prefix);
	for (; !r; r = kv_cursor_next(&c)) {
		void *m;
		if (!slice_has_prefix(c.key, prefix))
			return 0;
		r = decode(desc, c.value, a, &m);
		if (!r)
			r = each(arg, m);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

struct user_each {
	int (*each)(void *arg, Authpb__User *u);
	void *arg;
};

static int user_one(void *arg, void *m)
{
	const struct user_each *e = arg;
	return e->each(e->arg, m);
}

int auth_user_each(struct kv_txn *kv, struct arena *a, int (*each)(void *arg, Authpb__User *u),
                   void *arg)
{
	struct user_each e = {each, arg};
	return record_each(kv, SLICE_LIT(USER_PREFIX), &authpb__user__descriptor, a, user_one, &e);
}

struct role_each {
	int (*each)(void *arg, Authpb__Role *r);
	void *arg;
};

static int role_one(void *arg, void *m)
{
	const struct role_each *e = arg;
	return e->each(e->arg, m);
}

int auth_role_each(struct kv_txn *kv, struct arena *a, int (*each)(void *arg, Authpb__Role *r),
                   void *arg)
{
	struct role_each e = {each, arg};
	return record_each(kv, SLICE_LIT(ROLE_PREFIX), &authpb__role__descriptor, a, role_one, &e);
}
