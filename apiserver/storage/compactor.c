/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/storage/compactor.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/net/loop.h"

enum { INTERVAL_MS = 5 * 60 * 1000 };

struct compactor {
	struct store_client *store;
	struct loop *loop;
	uint64_t interval_ms;
	struct loop_timer timer;
	int64_t version;  /* of the key, as last seen */
	int64_t revision; /* of the store at the last round; 0: not known yet */
	bool freed, in_flight;
};

static void next_round(struct compactor *c)
{
	c->in_flight = false;
	if (c->freed)
		free(c);
	else
		loop_timer_start(&c->timer, c->interval_ms);
}

static void on_compacted(void *arg, const struct store_result *r)
{
	struct compactor *c = arg;

	if (!c->freed && r->code < 0 && r->code != -ERR_EXPIRED)
		log_error(&r->err, "Could not compact the store");
	next_round(c);
}

static void on_put(void *arg, const struct store_result *r)
{
	struct compactor *c = arg;
	int64_t at = c->revision;

	if (c->freed || r->code < 0) {
		if (!c->freed)
			log_error(&r->err, "Could not update the compaction revision");
		next_round(c);
		return;
	}
	c->revision = r->revision;
	c->version = r->done ? c->version + 1 : r->n_kvs ? r->kvs[0].version : 0;
	if (!r->done || !at) {
		next_round(c);
		return;
	}
	store_compact(c->store, c->loop, at, on_compacted, c);
}

static void round_due(void *arg)
{
	struct compactor *c = arg;
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)c->revision);

	c->in_flight = true;
	store_put_version(c->store, c->loop, SLICE_LIT("compact_rev_key"),
	                  slice_of(text, (size_t)n), c->version, on_put, c);
}

struct compactor *compactor_new(struct store_client *s, struct loop *loop, uint64_t interval_ms)
{
	struct compactor *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->store = s;
	c->loop = loop;
	c->interval_ms = interval_ms ? interval_ms : INTERVAL_MS;
	loop_timer_init(&c->timer, loop, round_due, c);
	loop_timer_start(&c->timer, 0);
	return c;
}

void compactor_free(struct compactor *c)
{
	if (!c)
		return;
	loop_timer_stop(&c->timer);
	c->freed = true;
	if (!c->in_flight)
		free(c);
}
