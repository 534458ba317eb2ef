/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/admit/event_rate.h"
#include <pthread.h>
#include "common/base/heap.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/rng.h"
#include "proto/core_v1.pb-c.h"
#include "proto/resource_table.h"

enum { LIMITS_MAX = 16, CACHE_DEFAULT = 4096 };
static const double NS_PER_S = 1e9;

struct bucket {
	struct list node; /* of its limit, used longest ago first */
	char *key;
	double tokens;
	uint64_t at_ns;
};

struct limit {
	const char *type;
	double qps, burst;
	size_t cache_size;
	struct map buckets;
	struct list used;
};

struct event_rate {
	pthread_mutex_t lock;
	struct limit limits[LIMITS_MAX];
	size_t n;
};

static int limit_of(const struct jvalue *j, struct limit *ret, size_t i, struct err *err)
{
	static const char *const TYPES[] = {"Server", "Namespace", "User", "SourceAndObject"};
	const char *type = jvalue_get_str(j, "type", "");
	int64_t qps = jvalue_get_int(j, "qps", 0), burst = jvalue_get_int(j, "burst", 0);
	int64_t cache = jvalue_get_int(j, "cacheSize", 0);
	uint64_t seed;

	for (size_t k = 0; k < ARRAY_LEN(TYPES); k++)
		if (!strcmp(TYPES[k], type))
			ret->type = TYPES[k];
	if (!ret->type)
		return err_set(err, ERR_INVALID, "limits[%zu].type: Unsupported value: \"%s\"", i,
		               type);
	if (qps <= 0)
		return err_set(err, ERR_INVALID,
		               "limits[%zu].qps: Invalid value: %lld: must be positive", i,
		               (long long)qps);
	if (burst <= 0)
		return err_set(err, ERR_INVALID,
		               "limits[%zu].burst: Invalid value: %lld: must be positive", i,
		               (long long)burst);
	if (cache < 0)
		return err_set(err, ERR_INVALID,
		               "limits[%zu].cacheSize: Invalid value: %lld: must not be negative",
		               i, (long long)cache);
	ret->qps = (double)qps;
	ret->burst = (double)burst;
	ret->cache_size = cache ? (size_t)cache : CACHE_DEFAULT;
	rng_system(&seed, sizeof(seed));
	map_init(&ret->buckets, seed);
	list_init(&ret->used);
	return 0;
}

int event_rate_new(const struct jvalue *configuration, struct event_rate **ret, struct err *err)
{
	const struct jvalue *limits = jvalue_get(configuration, "limits");
	struct event_rate *r = heap_new(struct event_rate);
	int code = 0;

	pthread_mutex_init(&r->lock, NULL);
	if (!jvalue_is(limits, JVALUE_ARRAY) || !limits->n || limits->n > LIMITS_MAX)
		code = err_set(err, ERR_INVALID, "limits: Invalid value: must not be empty");
	for (size_t i = 0; code == 0 && i < limits->n; i++) {
		code = limit_of(limits->items[i], &r->limits[i], i, err);
		r->n += code == 0;
	}
	if (code < 0) {
		event_rate_free(r);
		return code;
	}
	*ret = r;
	return 0;
}

static void forget(struct limit *l, struct bucket *b)
{
	map_del_str(&l->buckets, b->key);
	list_del(&b->node);
	free(b->key);
	free(b);
}

void event_rate_free(struct event_rate *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		while (!list_empty(&r->limits[i].used))
			forget(&r->limits[i],
			       CONTAINER_OF(r->limits[i].used.next, struct bucket, node));
		map_deinit(&r->limits[i].buckets);
	}
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* "" for what has no such part. */
static const char *key_of(const struct limit *l, const struct admission_attrs *at)
{
	const CoreV1__Event *e;

	switch (l->type[0]) {
	case 'N':
		return at->ns ? at->ns : "";
	case 'U':
		return at->req->user.name;
	case 'S':
		if (l->type[1] == 'e' || !at->obj || strcmp(at->obj->schema->name, "Event") ||
		    *at->res->group)
			return "";
		e = OBJECT_MSG(at->obj, CoreV1__Event);
		return arena_printf(at->arena, "%s\n%s\n%s\n%s\n%s\n%s\n%s", e->source->component,
		                    e->source->host, e->involved_object->kind,
		                    e->involved_object->namespace_, e->involved_object->name,
		                    e->involved_object->uid, e->involved_object->api_version);
	default:
		return "";
	}
}

static bool take(struct limit *l, const char *key, uint64_t now_ns)
{
	struct bucket *b = map_get_str(&l->buckets, key);

	if (!b) {
		if (l->buckets.n >= l->cache_size)
			forget(l, CONTAINER_OF(l->used.next, struct bucket, node));
		b = heap_new(struct bucket);
		b->key = heap_strdup(key);
		b->tokens = l->burst;
		b->at_ns = now_ns;
		map_put_str(&l->buckets, key, b);
	} else {
		list_del(&b->node);
	}
	list_add_tail(&l->used, &b->node);
	b->tokens += (double)(now_ns - b->at_ns) / NS_PER_S * l->qps;
	if (b->tokens > l->burst)
		b->tokens = l->burst;
	b->at_ns = now_ns;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

const char *event_rate_refusal(struct event_rate *r, const struct admission_attrs *at,
                               uint64_t now_ns)
{
	const char *why = NULL;

	if (strcmp(at->res->resource, "events") || at->dry_run ||
	    (at->op != ADMIT_CREATE && at->op != ADMIT_UPDATE))
		return NULL;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->n; i++) {
		const char *key = key_of(&r->limits[i], at);
		if (!take(&r->limits[i], key, now_ns) && !why)
			why = arena_printf(at->arena, "limit reached on type %s for key %s",
			                   r->limits[i].type, key);
	}
	pthread_mutex_unlock(&r->lock);
	return why;
}
