/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/lease_pool.h"

#include "common/base/clock.h"
#include "common/net/loop.h"

enum { REUSE_S = 60, KEYS_MAX = 1000 };

struct lease_pool {
	struct store_client *store;
	pthread_mutex_t lock;
	int64_t lease, ttl_s;
	uint64_t reuse_until_ms;
	unsigned keys;
};

struct grant {
	struct lease_pool *pool;
	struct loop *loop;
	int64_t ttl_s, lease, reuse_s;
	lease_cb cb;
	void *arg;
};

struct lease_pool *lease_pool_new(struct store_client *s)
{
	struct lease_pool *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->store = s;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void lease_pool_free(struct lease_pool *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void on_granted(void *arg, const struct store_result *r)
{
	struct grant *g = arg;
	struct lease_pool *p = g->pool;

	if (r->code == 0) {
		pthread_mutex_lock(&p->lock);
		p->lease = r->lease;
		p->ttl_s = g->ttl_s;
		p->keys = 1;
		p->reuse_until_ms = clock_mono_ms() + (uint64_t)g->reuse_s * 1000;
		pthread_mutex_unlock(&p->lock);
	}
	g->cb(g->arg, r->code, r->code < 0 ? &r->err : NULL, r->lease);
	free(g);
}

static void reuse(void *arg)
{
	struct grant *g = arg;

	g->cb(g->arg, 0, NULL, g->lease);
	free(g);
}

void lease_pool_get(struct lease_pool *p, struct loop *loop, int64_t ttl_s, lease_cb cb, void *arg)
{
	struct grant *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	*g = (struct grant){.pool = p, .loop = loop, .ttl_s = ttl_s, .cb = cb, .arg = arg};
	g->reuse_s = MIN((int64_t)REUSE_S, ttl_s / 20);
	pthread_mutex_lock(&p->lock);
	if (p->lease && p->ttl_s == ttl_s && p->keys < KEYS_MAX &&
	    clock_mono_ms() < p->reuse_until_ms) {
		p->keys++;
		g->lease = p->lease;
	}
	pthread_mutex_unlock(&p->lock);
	if (g->lease)
		loop_post(loop, reuse, g);
	else
		store_lease_grant(p->store, loop, ttl_s + g->reuse_s, on_granted, g);
}
