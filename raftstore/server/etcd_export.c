/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/etcd_export.h"
#include <inttypes.h>
#include <stdio.h>
#include "common/codec/crc32c.h"
#include "common/codec/json_writer.h"
#include "raftstore/mvcc/etcd_form.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/members.h"
#include "raftstore/server/pb_out.h"

/* --- alarm --- */

/* Pairs that have to be sorted first. */
struct pairs {
	VEC(struct slice) keys;
	struct arena arena;
};

static void pairs_add(struct pairs *p, struct slice key)
{
	*vec_push(&p->keys) = slice_of(arena_memdup(&p->arena, key.data, key.len), key.len);
}

static int by_bytes(const void *a, const void *b)
{
	return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static int pairs_write(struct pairs *p, const struct etcd_sink *sink, const char *value)
{
	int r = 0;
	if (p->keys.n)
		qsort(p->keys.at, p->keys.n, sizeof(*p->keys.at), by_bytes);
	for (size_t i = 0; !r && i < p->keys.n; i++)
		r = sink->pair(sink->arg, p->keys.at[i], slice_str(value));
	vec_deinit(&p->keys);
	arena_deinit(&p->arena);
	return r;
}

static int add_alarm(void *arg, uint64_t of, unsigned alarm)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_number(&b, 1, (int64_t)of);
	out_number(&b, 2, alarm);
	pairs_add(arg, buf_view(&b));
	return 0;
}

static int export_alarms(struct kv_txn *kv, const struct etcd_sink *sink)
{
	struct pairs p = {0};
	arena_init(&p.arena);
	int r = sink->bucket(sink->arg, "alarm");
	if (!r)
		r = alarms_each(kv, add_alarm, &p);
	int w = pairs_write(&p, sink, "");
	return r ? r : w;
}

/* --- auth: KV_META as auth.h has it --- */

static int export_auth(struct kv_txn *kv, const struct etcd_sink *sink)
{
	struct slice v;
	int r = sink->bucket(sink->arg, "auth");
	if (r)
		return r;
	r = kv_get(kv, KV_META, SLICE_LIT("auth"), &v);
	if (r)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (v.len != 16)
		return -ERR_CORRUPT;
	uint8_t enabled = get_be64(v.data) != 0;
	r = sink->pair(sink->arg, SLICE_LIT("authEnabled"), slice_of(&enabled, 1));
	return r ? r : sink->pair(sink->arg, SLICE_LIT("authRevision"), slice_skip(v, 8));
}

/* What stands under the prefix, without it. */
static int export_prefix(struct kv_txn *kv, const struct etcd_sink *sink, const char *bucket,
                         struct slice prefix)
{
	_cleanup_kv_cursor_ struct kv_cursor c;
	int r = kv_cursor_open(kv, KV_META, &c);
	if (!r)
		r = sink->bucket(sink->arg, bucket);
	if (!r)
		r = kv_cursor_seek(&c, prefix);
	for (; !r && slice_has_prefix(c.key, prefix); r = kv_cursor_next(&c)) {
		r = sink->pair(sink->arg, slice_skip(c.key, prefix.len), c.value);
		if (r)
			return r;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

/* --- key --- */

struct key_export {
	const struct etcd_sink *sink;
	struct buf value;
	struct revision last;
};

static int export_change(void *arg, const struct record *rec)
{
	struct key_export *x = arg;
	uint8_t key[ETCD_REVISION_MAX_BYTES];
	x->last = rec->rev;
	return x->sink->pair(x->sink->arg, etcd_revision_encode(rec->rev, rec->deleted, key),
	                     etcd_value_encode(rec, &x->value));
}

/* etcd takes the greatest revision for the present one. Where revisions have been skipped (as a
 * restore may do) an empty pair stands for the last of them, as etcd's own tools write it. */
static int export_present(const struct mvcc *m, struct key_export *x)
{
	if (m->revision <= MAX(x->last.main, 1) || m->revision <= m->compacted)
		return 0;
	uint8_t key[ETCD_REVISION_MAX_BYTES];
	struct revision now = {m->revision, 0};
	return x->sink->pair(x->sink->arg, etcd_revision_encode(now, false, key), SLICE_EMPTY);
}

static int export_keys(const struct mvcc *m, const struct etcd_sink *sink)
{
	struct key_export x = {.sink = sink};
	int r = sink->bucket(sink->arg, "key");
	if (!r)
		r = mvcc_changes(m->kv, 0, export_change, &x);
	if (!r)
		r = export_present(m, &x);
	buf_deinit(&x.value);
	return r;
}

/* --- lease --- */

static int export_lease(void *arg, const struct lease *l)
{
	const struct etcd_sink *sink = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint8_t id[8];
	put_be64(id, (uint64_t)l->id);
	out_number(&b, 1, l->id);
	out_number(&b, 2, l->granted_s);
	out_number(&b, 3, l->remaining_s);
	return sink->pair(sink->arg, slice_of(id, sizeof(id)), buf_view(&b));
}

static int export_leases(struct kv_txn *kv, const struct etcd_sink *sink)
{
	int r = sink->bucket(sink->arg, "lease");
	return r ? r : lease_each(kv, export_lease, (void *)sink);
}

/* --- members --- */

static void json_strings(struct buf *b, const char *name, char **at, size_t n)
{
	if (!n)
		return;
	buf_printf(b, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		buf_str(b, i ? "," : "");
		json_write_cstr(b, at[i]);
	}
	buf_str(b, "]");
}

static void member_json(struct buf *b, const member *m)
{
	buf_clear(b);
	buf_printf(b, "{\"id\":%" PRIu64, m->id);
	json_strings(b, "peerURLs", m->peerurls, m->n_peerurls);
	buf_str(b, m->islearner ? ",\"isLearner\":true" : "");
	if (m->name && *m->name) {
		buf_str(b, ",\"name\":");
		json_write_cstr(b, m->name);
	}
	json_strings(b, "clientURLs", m->clienturls, m->n_clienturls);
	buf_str(b, "}");
}

/* Ids as text order otherwise than as numbers. */
static int by_hex(const void *a, const void *b)
{
	char x[17], y[17];
	snprintf(x, sizeof(x), "%" PRIx64, (*(member *const *)a)->id);
	snprintf(y, sizeof(y), "%" PRIx64, (*(member *const *)b)->id);
	return strcmp(x, y);
}

static int export_present_members(struct members *m, const struct etcd_sink *sink)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = sink->bucket(sink->arg, "members");
	if (m->list.n)
		qsort(m->list.at, m->list.n, sizeof(*m->list.at), by_hex);
	for (size_t i = 0; !r && i < m->list.n; i++) {
		char id[17];
		snprintf(id, sizeof(id), "%" PRIx64, m->list.at[i]->id);
		member_json(&b, m->list.at[i]);
		r = sink->pair(sink->arg, slice_str(id), buf_view(&b));
	}
	return r;
}

static int export_removed_members(struct members *m, const struct etcd_sink *sink)
{
	struct pairs p = {0};
	arena_init(&p.arena);
	int r = sink->bucket(sink->arg, "members_removed");
	VEC_FOREACH (&m->removed, id) {
		char text[17];
		snprintf(text, sizeof(text), "%" PRIx64, *id);
		pairs_add(&p, slice_str(text));
	}
	int w = pairs_write(&p, sink, "removed");
	return r ? r : w;
}

static int export_members(struct kv_txn *kv, const struct etcd_sink *sink)
{
	_cleanup_members_ struct members m;
	members_init(&m);
	int r = members_read(kv, &m);
	if (!r)
		r = export_present_members(&m, sink);
	return r ? r : export_removed_members(&m, sink);
}

/* --- meta --- */

static void json_ids(struct buf *b, const char *name, const struct raft_ids *ids)
{
	if (!ids->n)
		return;
	buf_printf(b, "\"%s\":", name);
	for (size_t i = 0; i < ids->n; i++)
		buf_printf(b, "%c%" PRIu64, i ? ',' : '[', ids->at[i]);
	buf_str(b, "],");
}

static int export_conf(struct kv_txn *kv, const struct etcd_sink *sink)
{
	struct raft_conf c;
	int r = conf_read(kv, &c);
	if (r || !c.voters.n)
		return r;
	_cleanup_buf_ struct buf b = BUF_INIT;
	buf_str(&b, "{");
	json_ids(&b, "voters", &c.voters);
	json_ids(&b, "learners", &c.learners);
	json_ids(&b, "voters_outgoing", &c.outgoing);
	buf_printf(&b, "\"auto_leave\":%s}", c.auto_leave ? "true" : "false");
	return sink->pair(sink->arg, SLICE_LIT("confState"), buf_view(&b));
}

static int export_number(const struct etcd_sink *sink, const char *name, uint64_t v)
{
	uint8_t b[8];
	put_be64(b, v);
	return sink->pair(sink->arg, slice_str(name), slice_of(b, sizeof(b)));
}

static int export_revision(const struct etcd_sink *sink, const char *name, int64_t main)
{
	uint8_t b[ETCD_REVISION_MAX_BYTES];
	if (main <= 0)
		return 0;
	return sink->pair(sink->arg, slice_str(name),
	                  etcd_revision_encode((struct revision){main, 0}, false, b));
}

static int export_meta(struct mvcc *m, const struct etcd_sink *sink)
{
	struct slice applied;
	int64_t walk = m->compacted + 1;
	int r = sink->bucket(sink->arg, "meta");
	if (!r)
		r = export_conf(m->kv, sink);
	int has = kv_get(m->kv, KV_META, SLICE_LIT("applied"), &applied);
	if (!has && applied.len != 16)
		return -ERR_CORRUPT;
	uint64_t index = has ? 0 : get_be64(applied.data);
	uint64_t term = has ? 0 : get_be64(applied.data + 8);
	if (!r)
		r = export_number(sink, "consistent_index", index);
	if (!r)
		r = mvcc_compact_walk(m, &walk);
	if (!r)
		r = export_revision(sink, "finishedCompactRev", walk - 1);
	if (!r)
		r = export_revision(sink, "scheduledCompactRev", m->compacted);
	return r ? r : export_number(sink, "term", term);
}

int etcd_export(struct kv_txn *kv, const struct etcd_sink *sink)
{
	_cleanup_mvcc_ struct mvcc m = {0};
	int r = mvcc_open(&m, kv);
	if (!r)
		r = export_alarms(kv, sink);
	if (!r)
		r = export_auth(kv, sink);
	if (!r)
		r = export_prefix(kv, sink, "authRoles", SLICE_LIT("auth role "));
	if (!r)
		r = export_prefix(kv, sink, "authUsers", SLICE_LIT("auth user "));
	if (!r)
		r = sink->bucket(sink->arg, "cluster");
	if (!r)
		r = export_keys(&m, sink);
	if (!r)
		r = export_leases(kv, sink);
	if (!r)
		r = export_members(kv, sink);
	return r ? r : export_meta(&m, sink);
}

/* --- hash --- */

struct hash {
	uint32_t crc;
	bool meta;
};

static int hash_bucket(void *arg, const char *name)
{
	struct hash *h = arg;
	h->meta = !strcmp(name, "meta");
	h->crc = crc32c(h->crc, name, strlen(name));
	return 0;
}

static int hash_pair(void *arg, struct slice key, struct slice value)
{
	struct hash *h = arg;
	if (h->meta && (slice_eq_str(key, "consistent_index") || slice_eq_str(key, "term") ||
	                slice_eq_str(key, "confState")))
		return 0;
	h->crc = crc32c(crc32c(h->crc, key.data, key.len), value.data, value.len);
	return 0;
}

int etcd_hash(struct kv_txn *kv, uint32_t *ret)
{
	struct hash h = {0};
	int r = etcd_export(kv, &(struct etcd_sink){hash_bucket, hash_pair, &h});
	*ret = h.crc;
	return r;
}
