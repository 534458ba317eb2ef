/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/members.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include "proto/pb_decode.h"
#include "raftstore/mvcc/record.h"
#include "raftstore/raft/quorum.h"
#include "raftstore/server/pb_out.h"

#define MEMBER_PREFIX "members"
#define REMOVED_PREFIX "removed"
#define CONF_KEY "conf"

enum { PREFIX_BYTES = 7, KEY_BYTES = PREFIX_BYTES + 8, MEMBER_BYTES_MAX = 64 << 10 };

/* --- lists --- */

void members_init(struct members *m)
{
	*m = (struct members){0};
	arena_init(&m->arena);
}

void members_deinit(struct members *m)
{
	vec_deinit(&m->list);
	vec_deinit(&m->removed);
	arena_deinit(&m->arena);
}

Etcdserverpb__Member *members_find(const struct members *m, uint64_t id)
{
	VEC_FOREACH (&m->list, it) {
		if ((*it)->id == id)
			return *it;
	}
	return NULL;
}

bool members_is_removed(const struct members *m, uint64_t id)
{
	VEC_FOREACH (&m->removed, it) {
		if (*it == id)
			return true;
	}
	return false;
}

static Etcdserverpb__Member *unpack(struct slice bytes, struct arena *a)
{
	if (pb_check(&etcdserverpb__member__descriptor, bytes, NULL, NULL))
		return NULL;
	ProtobufCAllocator allocator = pb_arena_allocator(a);
	return etcdserverpb__member__unpack(&allocator, bytes.len, bytes.data);
}

Etcdserverpb__Member *member_copy(const Etcdserverpb__Member *from, struct arena *a)
{
	size_t n = etcdserverpb__member__get_packed_size(from);
	uint8_t *bytes = arena_alloc(a, n + 1);
	etcdserverpb__member__pack(from, bytes);
	return unpack(slice_of(bytes, n), a);
}

void members_put(struct members *m, const Etcdserverpb__Member *from)
{
	Etcdserverpb__Member *own = member_copy(from, &m->arena);
	size_t i = 0;
	while (i < m->list.n && m->list.at[i]->id < own->id)
		i++;
	if (i == m->list.n || m->list.at[i]->id != own->id) {
		*vec_push(&m->list) = NULL;
		memmove(&m->list.at[i + 1], &m->list.at[i],
		        (m->list.n - 1 - i) * sizeof(*m->list.at));
	}
	m->list.at[i] = own;
}

unsigned members_voters(const struct members *m)
{
	unsigned n = 0;
	VEC_FOREACH (&m->list, it)
		n += !(*it)->islearner;
	return n;
}

bool members_have_url(const struct members *m, char *const *urls, size_t n, uint64_t except)
{
	VEC_FOREACH (&m->list, it) {
		for (size_t i = 0; (*it)->id != except && i < (*it)->n_peerurls; i++) {
			for (size_t k = 0; k < n; k++) {
				if (!strcmp((*it)->peerurls[i], urls[k]))
					return true;
			}
		}
	}
	return false;
}

/* --- tables --- */

static struct slice table_key(const char prefix[static PREFIX_BYTES], uint64_t id,
                              uint8_t out[static KEY_BYTES])
{
	memcpy(out, prefix, PREFIX_BYTES);
	put_be64(out + PREFIX_BYTES, id);
	return slice_of(out, KEY_BYTES);
}

static int each(struct kv_txn *kv, const char *prefix,
                int (*fn)(struct members *m, struct slice id, struct slice value),
                struct members *m)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	struct slice p = slice_of(prefix, PREFIX_BYTES);
	int r = kv_cursor_open(kv, KV_META, &c);
	if (!r)
		r = kv_cursor_seek(&c, p);
	for (; !r; r = kv_cursor_next(&c)) {
		if (!slice_has_prefix(c.key, p) || c.key.len != KEY_BYTES)
			return 0;
		r = fn(m, slice_skip(c.key, PREFIX_BYTES), c.value);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int add_member(struct members *m, struct slice id, struct slice value)
{
	Etcdserverpb__Member *one = unpack(value, &m->arena);
	if (!one || one->id != get_be64(id.data))
		return -ERR_CORRUPT;
	*vec_push(&m->list) = one;
	return 0;
}

static int add_removed(struct members *m, struct slice id, struct slice value)
{
	*vec_push(&m->removed) = get_be64(id.data);
	return 0;
}

int members_read(struct kv_txn *kv, struct members *m)
{
	int r = each(kv, MEMBER_PREFIX, add_member, m);
	return r ? r : each(kv, REMOVED_PREFIX, add_removed, m);
}

int member_read(struct kv_txn *kv, uint64_t id, struct arena *a, Etcdserverpb__Member **ret)
{
	uint8_t key[KEY_BYTES];
	struct slice value;
	int r = kv_get(kv, KV_META, table_key(MEMBER_PREFIX, id, key), &value);
	if (r)
		return r;
	*ret = unpack(value, a);
	return *ret ? 0 : -ERR_CORRUPT;
}

int member_write(struct kv_txn *kv, const Etcdserverpb__Member *m)
{
	uint8_t key[KEY_BYTES];
	size_t n = etcdserverpb__member__get_packed_size(m);
	uint8_t *bytes = malloc(n + 1);
	if (!bytes)
		abort();
	etcdserverpb__member__pack(m, bytes);
	int r = kv_put(kv, KV_META, table_key(MEMBER_PREFIX, m->id, key), slice_of(bytes, n));
	free(bytes);
	return r;
}

int conf_read(struct kv_txn *kv, struct raft_conf *ret)
{
	struct slice value;
	*ret = (struct raft_conf){.auto_leave = false};
	int r = kv_get(kv, KV_META, SLICE_LIT(CONF_KEY), &value);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return raft_conf_decode(value, ret) ? 0 : -ERR_CORRUPT;
}

/* --- changes --- */

void member_change_encode(struct buf *b, const struct member_change *c)
{
	size_t n = etcdserverpb__member__get_packed_size(c->member);
	uint8_t head[5] = {(uint8_t)c->op};
	put_be32(head + 1, (uint32_t)n);
	buf_add(b, head, sizeof(head));
	buf_reserve(b, n);
	etcdserverpb__member__pack(c->member, b->data + b->len);
	b->len += n;
}

bool member_change_next(struct slice *context, struct arena *a, struct member_change *ret)
{
	if (context->len < 5)
		return false;
	unsigned op = context->data[0];
	size_t n = get_be32(context->data + 1);
	struct slice rest = slice_skip(*context, 5);
	if (op < MEMBER_ADD || op > MEMBER_PROMOTE || n > rest.len || n > MEMBER_BYTES_MAX)
		return false;
	Etcdserverpb__Member *m = unpack(slice_of(rest.data, n), a);
	if (!m || !m->id)
		return false;
	*ret = (struct member_change){(enum member_op)op, m};
	*context = slice_skip(rest, n);
	return true;
}

static int promote(struct kv_txn *kv, uint64_t id, struct arena *a)
{
	Etcdserverpb__Member *m;
	int r = member_read(kv, id, a, &m);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	m->islearner = false;
	return member_write(kv, m);
}

static int remove_member(struct kv_txn *kv, uint64_t id)
{
	uint8_t key[KEY_BYTES];
	int r = kv_del(kv, KV_META, table_key(MEMBER_PREFIX, id, key));
	if (r && r != -ERR_NOT_FOUND)
		return r;
	return kv_put(kv, KV_META, table_key(REMOVED_PREFIX, id, key), SLICE_LIT("1"));
}

static int apply_change(struct kv_txn *kv, const struct member_change *c, struct arena *a)
{
	switch (c->op) {
	case MEMBER_ADD:
		return member_write(kv, c->member);
	case MEMBER_PROMOTE:
		return promote(kv, c->member->id, a);
	case MEMBER_REMOVE:
		return remove_member(kv, c->member->id);
	}
	return -ERR_CORRUPT;
}

int members_apply(struct kv_txn *kv, struct slice entry)
{
	struct raft_conf conf;
	struct slice context;
	if (!raft_conf_entry_decode(entry, &conf, &context))
		return -ERR_CORRUPT;
	struct blob *bytes = raft_conf_encode(&conf);
	int r = kv_put(kv, KV_META, SLICE_LIT(CONF_KEY), blob_view(bytes));
	blob_unref(bytes);
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	struct member_change c;
	while (!r && member_change_next(&context, &a, &c))
		r = apply_change(kv, &c, &a);
	return r || !context.len ? r : -ERR_CORRUPT;
}

/* --- ids --- */

static uint64_t id_of_hash(struct slice bytes)
{
	uint8_t hash[SHA_DIGEST_LENGTH];
	SHA1(bytes.data, bytes.len, hash);
	uint64_t id = get_be64(hash);
	return id ? id : 1;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

uint64_t member_id_of(char **urls, size_t n, const char *token, int64_t now_s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	qsort(urls, n, sizeof(*urls), by_text);
	for (size_t i = 0; i < n; i++)
		buf_str(&b, urls[i]);
	buf_str(&b, token);
	if (now_s)
		buf_printf(&b, "%lld", (long long)now_s);
	return id_of_hash(buf_view(&b));
}

uint64_t cluster_id_of(const struct members *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC_FOREACH (&m->list, it) {
		uint8_t id[8];
		put_be64(id, (*it)->id);
		buf_add(&b, id, sizeof(id));
	}
	return id_of_hash(buf_view(&b));
}

bool peer_url_valid(const char *url)
{
	const char *at = !strncmp(url, "http://", 7)    ? url + 7
	                 : !strncmp(url, "https://", 8) ? url + 8
	                                                : NULL;
	if (!at || strpbrk(at, ", \t\r\n"))
		return false;
	const char *colon = strrchr(at, ':');
	if (!colon || colon == at || (*at == '[') != (colon[-1] == ']') ||
	    (*at != '[' && memchr(at, ':', (size_t)(colon - at))))
		return false;
	size_t digits = strspn(colon + 1, "0123456789");
	return digits && digits <= 5 && !colon[1 + digits] && strtoul(colon + 1, NULL, 10) <= 65535;
}

/* --- answers --- */

void out_member(struct buf *b, unsigned field, const Etcdserverpb__Member *m)
{
	size_t at = out_begin(b, field), n = etcdserverpb__member__get_packed_size(m);
	buf_reserve(b, n);
	etcdserverpb__member__pack(m, b->data + b->len);
	b->len += n;
	out_end(b, at);
}

void out_members(struct buf *b, unsigned field, const struct members *m)
{
	VEC_FOREACH (&m->list, it)
		out_member(b, field, *it);
}
