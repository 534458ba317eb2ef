/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/etcd_import.h"
#include "proto/etcd_auth.pb-c.h"
#include "proto/etcd_kv.pb-c.h"
#include "raftstore/mvcc/etcd_form.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/mvcc/restore.h"
#include "raftstore/server/apply.h"
#include "raftstore/server/request.h"

enum { COMMIT_CHANGES = 20000 };

struct import {
	struct etcd_import *x;
	struct store *store;
	struct kv_txn *kv;
	struct mvcc m;
	struct arena arena; /* of one pair */
	unsigned uncommitted;
	int64_t marked; /* a revision that an empty pair stands for */
	int64_t finished, scheduled;
	uint64_t auth_enabled, auth_revision;
	struct err *err;
};

static int malformed(struct import *im, const char *what)
{
	return err_set(im->err, ERR_CORRUPT, "the snapshot has a malformed %s", what);
}

/* --- transactions --- */

static int begin(struct import *im)
{
	int r = store_begin(im->store, true, &im->kv);
	if (r)
		return err_set(im->err, (enum err_code) - r, "cannot write the store");
	im->m.kv = im->kv;
	im->uncommitted = 0;
	return 0;
}

static int turn(struct import *im)
{
	if (++im->uncommitted < COMMIT_CHANGES)
		return 0;
	int r = store_commit(TAKE(im->kv), im->err);
	return r ? r : begin(im);
}

/* --- pairs --- */

/* A message whose fields 1 to n - 1 are all numbers. */
static bool numbers_decode(struct slice in, int64_t *ret, unsigned n)
{
	uint64_t v[2]; /* tag and number */
	while (in.len) {
		for (unsigned i = 0; i < 2; i++) {
			unsigned shift = 0;
			for (v[i] = 0; in.len && shift < 64; shift += 7) {
				uint8_t byte = in.data[0];
				in = slice_skip(in, 1);
				v[i] |= (uint64_t)(byte & 0x7f) << shift;
				if (byte < 0x80)
					break;
				if (!in.len)
					return false;
			}
		}
		if (v[0] & 7 || !(v[0] >> 3) || v[0] >> 3 >= n)
			return false;
		ret[v[0] >> 3] = (int64_t)v[1];
	}
	return true;
}

/* leasepb.Lease: ID, TTL, RemainingTTL. */
static int on_lease(void *arg, struct slice key, struct slice value)
{
	struct import *im = arg;
	int64_t number[4] = {0};
	if (key.len != 8 || !numbers_decode(value, number, ARRAY_LEN(number)) ||
	    (uint64_t)number[1] != get_be64(key.data))
		return malformed(im, "lease");
	struct lease l = {.id = number[1], .granted_s = number[2], .remaining_s = number[3]};
	int r = mvcc_restore_lease(&im->m, &l);
	im->x->leases++;
	return r ? r : turn(im);
}

static int on_change(void *arg, struct slice key, struct slice value)
{
	struct import *im = arg;
	struct record rec = {0};
	if (!etcd_revision_decode(key, &rec.rev, &rec.deleted))
		return malformed(im, "revision");
	if (!value.len) {
		im->marked = rec.rev.main;
		return 0;
	}
	arena_reset(&im->arena);
	const Mvccpb__KeyValue *kv =
	    (const void *)message_decode(&mvccpb__key_value__descriptor, value, &im->arena);
	if (!kv || (!rec.deleted && kv->mod_revision != rec.rev.main))
		return malformed(im, "key");
	rec.create = kv->create_revision;
	rec.version = kv->version;
	rec.lease = kv->lease;
	rec.key = slice_of(kv->key.data, kv->key.len);
	rec.value = slice_of(kv->value.data, kv->value.len);
	int r = mvcc_restore_change(&im->m, &rec);
	if (r == -ERR_CORRUPT)
		return malformed(im, "history");
	im->x->changes++;
	return r ? r : turn(im);
}

static int on_meta(void *arg, struct slice key, struct slice value)
{
	struct import *im = arg;
	bool finished = slice_eq_str(key, "finishedCompactRev");
	if (!finished && !slice_eq_str(key, "scheduledCompactRev"))
		return 0;
	struct revision rev;
	bool deleted;
	if (!etcd_revision_decode(value, &rev, &deleted))
		return malformed(im, "compacted revision");
	*(finished ? &im->finished : &im->scheduled) = rev.main;
	return 0;
}

static int on_auth(void *arg, struct slice key, struct slice value)
{
	struct import *im = arg;
	if (slice_eq_str(key, "authEnabled"))
		im->auth_enabled = value.len == 1 && value.data[0] == 1;
	else if (slice_eq_str(key, "authRevision") && value.len == 8)
		im->auth_revision = get_be64(value.data);
	return 0;
}

static int put_auth(struct import *im, const char *prefix, const ProtobufCMessageDescriptor *form,
                    struct slice key, struct slice value)
{
	arena_reset(&im->arena);
	if (!message_decode(form, value, &im->arena))
		return malformed(im, prefix);
	_cleanup_buf_ struct buf name = BUF_INIT;
	buf_str(&name, prefix);
	buf_slice(&name, key);
	return kv_put(im->kv, KV_META, buf_view(&name), value);
}

static int on_user(void *arg, struct slice key, struct slice value)
{
	return put_auth(arg, "auth user ", &authpb__user__descriptor, key, value);
}

static int on_role(void *arg, struct slice key, struct slice value)
{
	return put_auth(arg, "auth role ", &authpb__role__descriptor, key, value);
}

static int on_alarm(void *arg, struct slice key, struct slice value)
{
	struct import *im = arg;
	int64_t number[3] = {0};
	if (!numbers_decode(key, number, ARRAY_LEN(number)) || number[2] < 0 ||
	    number[2] > UINT32_MAX)
		return malformed(im, "alarm");
	return alarm_write(im->kv, (uint64_t)number[1], (unsigned)number[2]);
}

static int put_auth_state(struct import *im)
{
	uint8_t b[16];
	if (!im->auth_revision)
		return 0;
	put_be64(b, im->auth_enabled);
	put_be64(b + 8, im->auth_revision);
	return kv_put(im->kv, KV_META, SLICE_LIT("auth"), slice_of(b, sizeof(b)));
}

static int end(struct import *im)
{
	struct etcd_import *x = im->x;
	int64_t compacted = MAX(im->finished, im->scheduled);
	int64_t revision = MAX(MAX(im->m.revision, im->marked), compacted) + x->bump_revision;
	bool unfinished = im->finished < im->scheduled;
	if (x->mark_compacted && revision > 1) {
		unfinished = true;
		compacted = revision;
	}
	int r = mvcc_restore_end(&im->m, revision, compacted, unfinished);
	if (!r)
		r = put_auth_state(im);
	if (!r)
		r = mvcc_save(&im->m);
	x->revision = im->m.revision;
	x->compacted = im->m.compacted;
	return r;
}

static int import_all(struct import *im)
{
	static const struct {
		const char *bucket;
		bbolt_pair each;
	} parts[] = {
	    {"lease", on_lease},    {"key", on_change},     {"meta", on_meta},   {"auth", on_auth},
	    {"authUsers", on_user}, {"authRoles", on_role}, {"alarm", on_alarm},
	};
	int r = 0;
	for (size_t i = 0; !r && i < ARRAY_LEN(parts); i++) {
		struct bbolt_bucket b;
		r = bbolt_find(im->x->from, parts[i].bucket, &b);
		if (r == -ERR_NOT_FOUND && strcmp(parts[i].bucket, "key"))
			r = 0;
		else if (r == -ERR_NOT_FOUND)
			r = err_set(im->err, ERR_CORRUPT, "the snapshot has no bucket \"key\"");
		else if (!r)
			r = bbolt_each(&b, parts[i].each, im);
	}
	return r ? r : end(im);
}

int etcd_import(struct etcd_import *x, struct store *to, struct err *err)
{
	struct import im = {.x = x, .store = to, .err = err};
	arena_init(&im.arena);
	int r = begin(&im);
	if (!r)
		r = mvcc_open(&im.m, im.kv);
	if (!r)
		r = import_all(&im);
	if (!r)
		r = store_commit(TAKE(im.kv), err);
	store_end(im.kv);
	mvcc_close(&im.m);
	arena_deinit(&im.arena);
	if (r && !(err && err->code))
		return err_set(err, (enum err_code) - r, "cannot take over the snapshot: %s",
		               r == -ERR_CORRUPT ? "its pages are damaged" : err_name(r));
	return r;
}
