/* SPDX-License-Identifier: Apache-2.0 */
#include "common/client/event_correlator.h"

#include "common/base/buf.h"
#include "common/base/heap.h"

#define SECOND_NS INT64_C(1000000000)
enum { SIMILAR_MAX = 10, SIMILAR_S = 600, BURST = 25, REFILL_S = 300 };

struct entry {
	struct list order;
	char *key;
	struct event_known known; /* of an event */
	struct map messages;      /* of a group: the different ones, at most SIMILAR_MAX */
	double tokens;            /* of an object */
	int64_t at_ns;
};

/* --- least recently used --- */

static void lru_init(struct event_lru *l, size_t max)
{
	map_init(&l->entries, 0);
	list_init(&l->order);
	l->max = max;
}

static void entry_free(struct event_lru *l, struct entry *e)
{
	map_del_str(&l->entries, e->key);
	list_del(&e->order);
	map_deinit(&e->messages);
	free(e->known.name);
	free(e->known.ns);
	free(e->key);
	free(e);
}

static void lru_deinit(struct event_lru *l)
{
	LIST_FOREACH (&l->order, e, struct entry, order)
		entry_free(l, e);
	map_deinit(&l->entries);
}

static struct entry *lru_get(struct event_lru *l, const char *key, bool *ret_fresh)
{
	struct entry *e = map_get_str(&l->entries, key);
	*ret_fresh = !e;
	if (e) {
		list_del(&e->order);
	} else {
		if (l->entries.n >= l->max)
			entry_free(l, list_first(&l->order, struct entry, order));
		e = heap_new(struct entry);
		e->key = heap_strdup(key);
		map_put_str(&l->entries, key, e);
	}
	list_add_tail(&l->order, &e->order);
	return e;
}

void event_correlator_init(struct event_correlator *c, size_t max)
{
	max = max ? max : EVENT_LRU_MAX;
	lru_init(&c->known, max);
	lru_init(&c->groups, max);
	lru_init(&c->buckets, max);
}

void event_correlator_deinit(struct event_correlator *c)
{
	lru_deinit(&c->known);
	lru_deinit(&c->groups);
	lru_deinit(&c->buckets);
}

/* --- the three rules --- */

/* Are there so many different messages that they are told as one? */
static bool is_flood(struct event_correlator *c, const struct event_identity *id, int64_t now_ns)
{
	bool fresh;
	struct entry *g = lru_get(&c->groups, id->alike, &fresh);
	if (!fresh && now_ns - g->at_ns > SIMILAR_S * SECOND_NS)
		map_deinit(&g->messages);
	g->at_ns = now_ns;
	map_put_str(&g->messages, id->message, g);
	if (g->messages.n < SIMILAR_MAX)
		return false;
	/* One less, so that it does not grow; the next new message is one too many again. */
	map_del_str(&g->messages, id->message);
	return true;
}

static bool take_token(struct event_correlator *c, const struct event_identity *id, int64_t now_ns)
{
	bool fresh;
	struct entry *b = lru_get(&c->buckets, id->object, &fresh);
	double refilled = (double)(now_ns - b->at_ns) / (REFILL_S * (double)SECOND_NS);
	b->tokens = fresh ? BURST : MIN(BURST, b->tokens + refilled);
	b->at_ns = now_ns;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

void event_correlate(struct event_correlator *c, const struct event_identity *id, int64_t now_ns,
                     struct event_verdict *ret)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	bool fresh;
	*ret = (struct event_verdict){.combined = is_flood(c, id, now_ns)};
	if (ret->combined)
		buf_printf(&key, "%s", id->alike);
	else
		buf_printf(&key, "%s|%s", id->exact, id->message);
	struct entry *e = lru_get(&c->known, (const char *)key.data, &fresh);
	if (fresh)
		e->known.first_ns = now_ns;
	e->known.count++;
	ret->known = &e->known;
	ret->key = e->key;
	ret->skip = !take_token(c, id, now_ns);
}

struct event_known *event_find(const struct event_correlator *c, const char *key)
{
	struct entry *e = map_get_str(&c->known.entries, key);
	return e ? &e->known : NULL;
}
