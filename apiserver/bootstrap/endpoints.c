/* SPDX-License-Identifier: Apache-2.0 */
/* Who serves the API (kubernetes pkg/controlplane/reconcilers, lease): each server keeps the key
 * masterleases/ADDRESS alive by a lease of the store; the endpoints of `kubernetes` are the keys
 * that are there. */
#include "apiserver/bootstrap/bootstrap_impl.h"
#include "common/base/log.h"
#include "proto/codec.h"
#include "proto/core_v1.pb-c.h"
#include "proto/json_decode.h"
#include "proto/pb_encode.h"

enum { TTL_S = 15, RENEW_MS = 10000, RETRY_MS = 1000, SERVERS_MAX = 64 };

#define PREFIX "/registry/masterleases/"

static struct store_client *store_of(const struct bootstrap *b)
{
	return cacher_store(pipeline_cacher(b->p));
}

static void again(struct bootstrap *b, uint32_t ms)
{
	if (!b->stopping)
		loop_timer_start(&b->renew, ms);
}

/* --- the endpoints of all servers
 * ------------------------------------------------------------------ */

struct publication {
	struct bootstrap *b;
	struct arena arena;
	struct wanted_list wanted;
	size_t pending;
	bool failed;
};

static void on_published(void *arg, bool ok)
{
	struct publication *p = arg;

	p->failed |= !ok;
	if (--p->pending)
		return;
	again(p->b, p->failed ? RETRY_MS : RENEW_MS);
	arena_deinit(&p->arena);
	free(p);
}

static void publish(struct bootstrap *b, const char *const *addresses, size_t n)
{
	struct publication *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->b = b;
	arena_init(&p->arena);
	p->wanted.arena = &p->arena;
	bootstrap_endpoints(b, addresses, n, &p->wanted);
	p->pending = p->wanted.n;
	for (size_t i = 0, n_wanted = p->wanted.n; i < n_wanted; i++)
		bootstrap_write(b, &p->wanted.at[i], on_published, p);
}

static void on_servers(void *arg, const struct store_result *r)
{
	struct bootstrap *b = arg;
	const char *addresses[SERVERS_MAX];
	struct arena a;
	size_t n = 0;

	if (b->stopping)
		return;
	if (r->code < 0) {
		again(b, RETRY_MS);
		return;
	}
	arena_init(&a);
	for (size_t i = 0; i < r->n_kvs && n < SERVERS_MAX; i++) {
		struct slice name = slice_skip(r->kvs[i].key, strlen(PREFIX));
		addresses[n++] = arena_strndup(&a, name.data, name.len);
	}
	if (n)
		publish(b, addresses, n);
	else
		again(b, RETRY_MS);
	arena_deinit(&a);
}

static void list_servers(struct bootstrap *b)
{
	static const char FROM[] = PREFIX, TO[] = "/registry/masterleases0";
	const struct store_range range = {.key = slice_str(FROM), .end = slice_str(TO)};

	store_range(store_of(b), b->loop, &range, on_servers, b);
}

/* --- this server's key
 * ------------------------------------------------------------------------------- */

static void on_key(void *arg, const struct store_result *r)
{
	struct bootstrap *b = arg;

	if (b->stopping)
		return;
	if (r->code < 0) {
		log_error(&r->err, "The endpoint of this server could not be renewed");
		again(b, RETRY_MS);
		return;
	}
	if (!r->done) {
		b->lease_revision = r->n_kvs ? r->kvs[0].mod_revision : 0;
		again(b, 0);
		return;
	}
	b->lease_revision = r->revision;
	list_servers(b);
}

/* As upstream stores it: an Endpoints object with the one address. */
static void put_key(struct bootstrap *b, int64_t lease)
{
	const struct schema_message *schema = schema_by_gvk("", "v1", "Endpoints");
	const struct type_meta meta = {"v1", "Endpoints"};
	_cleanup_buf_ struct buf raw = BUF_INIT;
	_cleanup_buf_ struct buf value = BUF_INIT;
	ProtobufCMessage *msg;
	struct arena a;

	arena_init(&a);
	const char *json = arena_printf(
	    &a, "{\"metadata\":{\"name\":\"\"},\"subsets\":[{\"addresses\":[{\"ip\":\"%s\"}]}]}",
	    b->o.advertise_address);
	if (json_decode(schema, slice_str(json), &a, NULL, &msg, NULL, NULL) == 0) {
		pb_encode(schema, msg, &raw);
		unknown_wrap(&meta, buf_view(&raw), &value);
		store_put(store_of(b), b->loop, slice_str(b->lease_key), buf_view(&value),
		          b->lease_revision, lease, on_key, b);
	}
	arena_deinit(&a);
}

static void on_lease(void *arg, const struct store_result *r)
{
	struct bootstrap *b = arg;

	if (b->stopping)
		return;
	if (r->code < 0)
		again(b, RETRY_MS);
	else
		put_key(b, r->lease);
}

static void renew(void *arg)
{
	struct bootstrap *b = arg;

	store_lease_grant(store_of(b), b->loop, TTL_S, on_lease, b);
}

void bootstrap_endpoints_start(struct bootstrap *b)
{
	if (!b->o.advertise_address || !*b->o.advertise_address)
		return;
	b->lease_key = arena_printf(&b->arena, PREFIX "%s", b->o.advertise_address);
	loop_timer_init(&b->renew, b->loop, renew, b);
	renew(b);
}

/* --- leaving
 * ------------------------------------------------------------------------------------------ */

struct leaving {
	struct bootstrap *b;
	void (*done)(struct bootstrap *b);
};

static void on_left(void *arg, const struct store_result *r)
{
	struct leaving *l = arg;
	struct bootstrap *b = l->b;
	void (*done)(struct bootstrap *) = l->done;

	free(l);
	done(b);
}

void bootstrap_endpoints_stop(struct bootstrap *b, void (*done)(struct bootstrap *b))
{
	loop_timer_stop(&b->renew);
	if (!b->lease_revision) {
		done(b);
		return;
	}
	struct leaving *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	*l = (struct leaving){b, done};
	store_delete(store_of(b), b->loop, slice_str(b->lease_key), b->lease_revision, on_left, l);
}
