/* SPDX-License-Identifier: Apache-2.0 */
/* The Lease kube-system/apiserver-HASH: who serves the API, for other servers and for people
 * (upstream's apiserver identity). Renewed every 10 s. */
#include <stdio.h>
#include <openssl/sha.h>
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "apiserver/endpoints/stored.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/codec/rfc3339.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/json_decode.h"
#include "proto/meta_v1.pb-c.h"
#include "proto/pb_decode.h"

enum { RENEW_MS = 10000, RETRY_MS = 2000, DURATION_S = 3600 };

/* The first half of the hash in lower-case base32 without padding. */
static char *identity_of(struct arena *a, const char *hostname)
{
	static const char ALPHABET[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char text[32];
	size_t n = 0;
	uint32_t bits = 0;
	int have = 0;

	SHA256((const unsigned char *)hostname, strlen(hostname), hash);
	for (size_t i = 0; i < 16; i++) {
		bits = bits << 8 | hash[i];
		for (have += 8; have >= 5; have -= 5)
			text[n++] = ALPHABET[bits >> (have - 5) & 31];
	}
	if (have)
		text[n++] = ALPHABET[bits << (5 - have) & 31];
	return arena_printf(a, "apiserver-%.*s", (int)n, text);
}

static void again(struct bootstrap *b, uint32_t ms)
{
	if (!b->stopping)
		loop_timer_start(&b->identity_renew, ms);
}

static void on_put(void *arg, const struct store_result *r)
{
	struct bootstrap *b = arg;

	if (!b->stopping)
		again(b, r->code == 0 && r->done ? RENEW_MS : RETRY_MS);
}

static const struct resource_info *leases(void)
{
	return resource_find("coordination.k8s.io", "v1", "leases", "");
}

static void put(struct bootstrap *b, struct object *obj, int64_t expect, struct arena *a)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	_cleanup_buf_ struct buf value = BUF_INIT;
	const char *below = arena_printf(a, "kube-system/%s", b->identity);

	if (stored_encode(leases(), obj, a, &value, NULL) < 0)
		return;
	cacher_key(pipeline_cache(b->p, leases()), slice_str(below), &key);
	store_put(cacher_store(pipeline_cacher(b->p)), b->loop, buf_view(&key), buf_view(&value),
	          expect, 0, on_put, b);
}

static void set_time(MetaV1__MicroTime **t, int64_t now_ns, struct arena *a)
{
	*t = (MetaV1__MicroTime *)pb_new(schema_of(&meta_v1__micro_time__descriptor), a);
	(*t)->has_seconds = true;
	(*t)->seconds = now_ns / 1000000000;
	(*t)->has_nanos = true;
	(*t)->nanos = (int32_t)(now_ns % 1000000000 / 1000 * 1000);
}

static bool fresh(struct bootstrap *b, struct object *ret, int64_t now_ns, struct arena *a)
{
	char uid[37], time[RFC3339_BYTES];
	ProtobufCMessage *msg;

	rng_uuid(uid);
	rfc3339_format(now_ns / 1000000000, time);
	const char *json = arena_printf(
	    a,
	    "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"kube-system\",\"uid\":\"%s\","
	    "\"creationTimestamp\":\"%s\",\"labels\":{\"apiserver.kubernetes.io/identity\":"
	    "\"kube-apiserver\",\"kubernetes.io/hostname\":\"%s\"}},\"spec\":{"
	    "\"leaseDurationSeconds\":%d,\"holderIdentity\":\"%s\"}}",
	    b->identity, uid, time, b->o.hostname, DURATION_S, b->holder);
	if (json_decode(leases()->schema, slice_str(json), a, NULL, &msg, NULL, NULL) < 0)
		return false;
	*ret = object_of(leases(), leases()->schema, msg);
	return true;
}

static void renew(void *arg)
{
	struct bootstrap *b = arg;
	int64_t now_ns = clock_real_ns();
	struct arena a;
	struct object obj;

	arena_init(&a);
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(b->p, leases()));
	const char *below = arena_printf(&a, "kube-system/%s", b->identity);
	const struct cache_object *o = cache_tree_get(&snap.tree, slice_str(below));
	int64_t expect = o ? o->mod_revision : 0;
	bool ok = o ? stored_decode(leases(), blob_view(o->blob), expect, &a, &obj, NULL) == 0
	            : fresh(b, &obj, now_ns, &a);

	if (ok) {
		CoordinationV1__LeaseSpec *spec = OBJECT_MSG(&obj, CoordinationV1__Lease)->spec;

		spec->holder_identity = b->holder;
		if (!o)
			set_time(&spec->acquire_time, now_ns, &a);
		set_time(&spec->renew_time, now_ns, &a);
		put(b, &obj, expect, &a);
	} else {
		again(b, RETRY_MS);
	}
	cacher_snapshot_deinit(&snap);
	arena_deinit(&a);
}

void bootstrap_identity_start(struct bootstrap *b)
{
	char uid[37];

	if (!b->o.hostname || !*b->o.hostname)
		return;
	rng_uuid(uid);
	b->identity = identity_of(&b->arena, b->o.hostname);
	b->holder = arena_printf(&b->arena, "%s_%s", b->identity, uid);
	loop_timer_init(&b->identity_renew, b->loop, renew, b);
	renew(b);
}
