/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/queue.h"

#include <string.h>

#include "scheduler/core/queue_heap.h"

enum { EVENTS_MAX = 65536 }; /* kept; who may have missed more is tried again */
enum { KINDS = 13, INCOMING_PLACES = QUEUE_UNSCHEDULABLE + 1 };

/* Items in no order; each knows its slot. */
struct bag {
	VEC(struct queue_item *) at;
};

struct queue {
	struct queue_config config;
	struct map items;
	struct queue_heap active, backoff, error_backoff;
	struct queue_heap early; /* what is in backoff, by its order when active */
	struct bag unschedulable, gated;
	size_t interested[KINDS]; /* unschedulable items a kind of event */
	uint64_t flush_ms;        /* no unschedulable item is due before */
	uint64_t seq;

	struct list flight; /* in the order in which they were taken */
	size_t n_flight;
	VEC(struct event) events; /* since the first of these was taken; with references */
	size_t events_head;
	uint64_t events_base; /* number of events.at[events_head] */

	uint64_t incoming[INCOMING_PLACES][QUEUE_CAUSES];
};

static bool active_before(const struct queue_item *a, const struct queue_item *b)
{
	const struct plugin *sort = a->framework->points[POINT_QUEUE_SORT].at->plugin;
	int r = sort->queue_sort(a->pod, a->since_ms, b->pod, b->since_ms);
	return r ? r < 0 : a->seq < b->seq;
}

static bool backoff_before(const struct queue_item *a, const struct queue_item *b)
{
	return a->ready_ms != b->ready_ms ? a->ready_ms < b->ready_ms : active_before(a, b);
}

struct queue *queue_new(const struct queue_config *config)
{
	struct queue *q = calloc(1, sizeof(*q));
	if (!q)
		abort();
	q->config = *config;
	q->active.before = active_before;
	q->backoff.before = q->error_backoff.before = backoff_before;
	q->early.before = active_before;
	q->early.which = 1;
	q->flush_ms = UINT64_MAX;
	list_init(&q->flight);
	return q;
}

static void item_free(struct queue_item *it)
{
	pod_info_unref(it->pod);
	free(it);
}

static void event_release(struct event *e)
{
	pod_info_unref(e->old_pod);
	pod_info_unref(e->pod);
	node_spec_unref(e->old_node);
	node_spec_unref(e->node);
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	MAP_FOREACH (&q->items, it)
		item_free(it->value);
	map_deinit(&q->items);
	for (size_t i = q->events_head; i < q->events.n; i++)
		event_release(&q->events.at[i]);
	vec_deinit(&q->events);
	vec_deinit(&q->active.at);
	vec_deinit(&q->backoff.at);
	vec_deinit(&q->error_backoff.at);
	vec_deinit(&q->early.at);
	vec_deinit(&q->unschedulable.at);
	vec_deinit(&q->gated.at);
	free(q);
}

/* Places */

static void bag_push(struct bag *b, struct queue_item *it)
{
	it->slot[0] = b->at.n;
	*vec_push(&b->at) = it;
}

static void bag_remove(struct bag *b, struct queue_item *it)
{
	size_t slot = it->slot[0];
	vec_swap_remove(&b->at, slot);
	if (slot < b->at.n)
		b->at.at[slot]->slot[0] = slot;
}

static void count_interest(struct queue *q, unsigned kinds, bool comes)
{
	for (; kinds; kinds &= kinds - 1) {
		size_t *n = &q->interested[__builtin_ctz(kinds)];
		*n = comes ? *n + 1 : *n - 1;
	}
}

static void drop_first_event(struct queue *q)
{
	event_release(&q->events.at[q->events_head++]);
	q->events_base++;
	if (q->events_head == q->events.n) {
		q->events.n = q->events_head = 0;
	} else if (q->events_head > 64 && q->events_head > q->events.n / 2) {
		q->events.n -= q->events_head;
		memmove(q->events.at, q->events.at + q->events_head,
		        q->events.n * sizeof(*q->events.at));
		q->events_head = 0;
	}
}

/* Events that no pod in flight can have missed are not needed any more. */
static void trim_events(struct queue *q)
{
	uint64_t needed = q->events_base + (q->events.n - q->events_head);
	if (!list_empty(&q->flight))
		needed = list_first(&q->flight, struct queue_item, flight)->seen_from;
	while (q->events_base < needed)
		drop_first_event(q);
}

/* Takes the item out of the place where it stands. */
static void leave(struct queue *q, struct queue_item *it)
{
	switch (it->place) {
	case QUEUE_ACTIVE:
		queue_heap_remove(&q->active, it);
		break;
	case QUEUE_BACKOFF:
		queue_heap_remove(it->had_error ? &q->error_backoff : &q->backoff, it);
		if (!it->had_error)
			queue_heap_remove(&q->early, it);
		break;
	case QUEUE_UNSCHEDULABLE:
		bag_remove(&q->unschedulable, it);
		count_interest(q, it->kinds, false);
		break;
	case QUEUE_GATED:
		bag_remove(&q->gated, it);
		break;
	case QUEUE_IN_FLIGHT:
		list_del(&it->flight);
		q->n_flight--;
		break;
	}
}

static void enter(struct queue *q, struct queue_item *it, enum queue_place place)
{
	it->place = place;
	switch (place) {
	case QUEUE_ACTIVE:
		queue_heap_push(&q->active, it);
		break;
	case QUEUE_BACKOFF:
		queue_heap_push(it->had_error ? &q->error_backoff : &q->backoff, it);
		if (!it->had_error)
			queue_heap_push(&q->early, it);
		break;
	case QUEUE_UNSCHEDULABLE:
		bag_push(&q->unschedulable, it);
		count_interest(q, it->kinds, true);
		q->flush_ms = MIN(q->flush_ms, it->failed_ms + q->config.unschedulable_ms);
		break;
	case QUEUE_GATED:
		bag_push(&q->gated, it);
		break;
	case QUEUE_IN_FLIGHT:
		list_add_tail(&q->flight, &it->flight);
		q->n_flight++;
		break;
	}
}

static void count_incoming(struct queue *q, enum queue_place place, unsigned cause)
{
	if (place <= QUEUE_UNSCHEDULABLE)
		q->incoming[place][cause]++;
}

/* To the active queue, by way of the back-off and unless a PreEnqueue plugin minds. */
static void wake(struct queue *q, struct queue_item *it, unsigned cause, uint64_t now_ms)
{
	const char *plugin;
	enum queue_place place = it->ready_ms > now_ms ? QUEUE_BACKOFF : QUEUE_ACTIVE;
	if (framework_pre_enqueue(it->framework, it->pod, &plugin) != STATUS_SUCCESS)
		place = QUEUE_GATED;
	enter(q, it, place);
	count_incoming(q, place, cause);
}

/* Hints */

static unsigned kinds_of(const struct framework *f, uint64_t rejectors)
{
	unsigned kinds = 0;
	for (size_t i = 0; i < f->uses.n; i++) {
		const struct plugin_event *e = f->uses.at[i].plugin->events;
		for (; (rejectors >> i & 1) && e && e->kinds; e++)
			kinds |= e->kinds;
	}
	return kinds;
}

/* Can the event let the pod fit, by what the plugins say that refused it? */
static bool helps(const struct queue *q, const struct queue_item *it, const struct event *e)
{
	if (e->own && strcmp(event_pod(e)->key, it->pod->key) != 0)
		return false;
	if (e->kinds & it->wake)
		return true;
	if (!(e->kinds & it->kinds))
		return false;
	const struct framework *f = it->framework;
	for (size_t i = 0; i < f->uses.n; i++) {
		if (!(it->rejectors >> i & 1))
			continue;
		struct hint_call c = {
		    .cluster = q->config.cluster,
		    .symbols = it->pod->symbols.symbols,
		    .args = f->uses.at[i].args,
		    .pod = it->pod,
		};
		for (const struct plugin_event *h = f->uses.at[i].plugin->events; h && h->kinds;
		     h++)
			if ((h->kinds & e->kinds) && (!h->hint || h->hint(&c, e) == HINT_QUEUE))
				return true;
	}
	return false;
}

static void keep_event(struct queue *q, const struct event *e)
{
	if (!q->n_flight)
		return;
	if (queue_events_kept(q) == EVENTS_MAX)
		drop_first_event(q);
	*vec_push(&q->events) = (struct event){
	    .kinds = e->kinds,
	    .own = e->own,
	    .old_pod = e->old_pod ? pod_info_ref(e->old_pod) : NULL,
	    .pod = e->pod ? pod_info_ref(e->pod) : NULL,
	    .old_node = e->old_node ? node_spec_ref(e->old_node) : NULL,
	    .node = e->node ? node_spec_ref(e->node) : NULL,
	};
}

void queue_event(struct queue *q, const struct event *e, uint64_t now_ms)
{
	size_t interested = 0;
	if (!e->kinds)
		return;
	keep_event(q, e);
	for (unsigned k = e->kinds; k; k &= k - 1)
		interested += q->interested[__builtin_ctz(k)];
	if (!interested)
		return;
	for (size_t i = 0; i < q->unschedulable.at.n;) {
		struct queue_item *it = q->unschedulable.at.at[i];
		if (!helps(q, it, e)) {
			i++;
			continue;
		}
		leave(q, it);
		wake(q, it, (unsigned)__builtin_ctz(e->kinds), now_ms);
	}
}

/* In and out */

static void item_new(struct queue *q, const struct pod_info *pod, const struct framework *f,
                     uint64_t now_ms)
{
	struct queue_item *it = calloc(1, sizeof(*it));
	if (!it)
		abort();
	it->pod = pod_info_ref(pod);
	it->framework = f;
	it->since_ms = now_ms;
	it->seq = q->seq++;
	list_init(&it->flight);
	map_put_str(&q->items, pod->key, it);
	wake(q, it, QUEUE_CAUSE_ADD, now_ms);
}

void queue_add(struct queue *q, const struct pod_info *pod, const struct framework *f,
               uint64_t now_ms)
{
	struct queue_item *it = map_get_str(&q->items, pod->key);
	if (!it) {
		item_new(q, pod, f, now_ms);
		return;
	}
	struct pod_info *old = it->pod;
	struct event e = {.own = true, .old_pod = old, .pod = pod};
	e.kinds = pod_info_changes(old, pod);
	it->framework = f;
	it->pod = pod_info_ref(pod);
	if (it->place == QUEUE_ACTIVE)
		queue_heap_fix(&q->active, it);
	else if (it->place == QUEUE_IN_FLIGHT && e.kinds)
		keep_event(q, &e);
	else if (it->place == QUEUE_GATED && e.kinds) {
		leave(q, it);
		wake(q, it, (unsigned)__builtin_ctz(e.kinds), now_ms);
	} else if (it->place == QUEUE_UNSCHEDULABLE && e.kinds && helps(q, it, &e)) {
		leave(q, it);
		wake(q, it, (unsigned)__builtin_ctz(e.kinds), now_ms);
	}
	pod_info_unref(old);
}

void queue_remove(struct queue *q, const char *key)
{
	struct queue_item *it = map_del_str(&q->items, key);
	if (!it)
		return;
	leave(q, it);
	if (it->place == QUEUE_IN_FLIGHT)
		trim_events(q);
	item_free(it);
}

void queue_done(struct queue *q, const char *key)
{
	queue_remove(q, key);
}

const struct queue_item *queue_find(const struct queue *q, const char *key)
{
	return map_get_str(&q->items, key);
}

const struct queue_item *queue_pop(struct queue *q, uint64_t now_ms)
{
	queue_tick(q, now_ms);
	struct queue_item *it = queue_heap_first(&q->active);
	if (!it)
		it = queue_heap_first(&q->early);
	if (!it)
		return NULL;
	leave(q, it);
	it->seen_from = q->events_base + (q->events.n - q->events_head);
	enter(q, it, QUEUE_IN_FLIGHT);
	it->attempts++;
	it->had_error = false;
	if (!it->initial_ms)
		it->initial_ms = now_ms;
	return it;
}

static uint64_t backoff_of(const struct queue *q, unsigned attempts)
{
	uint64_t ms = q->config.initial_backoff_ms;
	for (unsigned i = 1; i < attempts && ms < q->config.max_backoff_ms; i++)
		ms *= 2;
	return MIN(ms, q->config.max_backoff_ms);
}

/* The kind of the first event since it was taken that helps, as a cause; -1: none. */
static int helped_by(const struct queue *q, const struct queue_item *it)
{
	if (it->seen_from < q->events_base)
		return QUEUE_CAUSE_TIMEOUT;
	for (size_t i = q->events_head + (size_t)(it->seen_from - q->events_base); i < q->events.n;
	     i++)
		if (helps(q, it, &q->events.at[i]))
			return __builtin_ctz(q->events.at[i].kinds);
	return -1;
}

void queue_failed(struct queue *q, const char *key, uint64_t rejectors, unsigned wake_kinds,
                  bool error, uint64_t now_ms)
{
	struct queue_item *it = map_get_str(&q->items, key);
	if (!it || it->place != QUEUE_IN_FLIGHT)
		return;
	leave(q, it);
	it->rejectors = rejectors;
	it->wake = wake_kinds;
	it->kinds = kinds_of(it->framework, rejectors) | wake_kinds;
	it->since_ms = it->failed_ms = now_ms;
	it->ready_ms = now_ms + backoff_of(q, it->attempts);
	it->had_error = error || !(rejectors || wake_kinds);
	int cause = it->had_error ? QUEUE_CAUSE_FAILURE : helped_by(q, it);
	trim_events(q);
	if (cause >= 0) {
		wake(q, it, (unsigned)cause, now_ms);
		return;
	}
	enter(q, it, QUEUE_UNSCHEDULABLE);
	count_incoming(q, QUEUE_UNSCHEDULABLE, QUEUE_CAUSE_FAILURE);
}

void queue_activate(struct queue *q, const char *key, uint64_t now_ms)
{
	struct queue_item *it = map_get_str(&q->items, key);
	if (!it || (it->place != QUEUE_UNSCHEDULABLE && it->place != QUEUE_BACKOFF))
		return;
	leave(q, it);
	it->ready_ms = now_ms;
	wake(q, it, QUEUE_CAUSE_ACTIVATE, now_ms);
}

/* Time */

static void finish_backoff(struct queue *q, struct queue_heap *h, uint64_t now_ms)
{
	struct queue_item *it;
	while ((it = queue_heap_first(h)) && it->ready_ms <= now_ms) {
		leave(q, it);
		wake(q, it, QUEUE_CAUSE_BACKOFF, now_ms);
	}
}

static void flush(struct queue *q, uint64_t now_ms)
{
	q->flush_ms = UINT64_MAX;
	for (size_t i = 0; i < q->unschedulable.at.n;) {
		struct queue_item *it = q->unschedulable.at.at[i];
		uint64_t due = it->failed_ms + q->config.unschedulable_ms;
		if (due > now_ms) {
			q->flush_ms = MIN(q->flush_ms, due);
			i++;
			continue;
		}
		leave(q, it);
		wake(q, it, QUEUE_CAUSE_TIMEOUT, now_ms);
	}
}

void queue_tick(struct queue *q, uint64_t now_ms)
{
	finish_backoff(q, &q->backoff, now_ms);
	finish_backoff(q, &q->error_backoff, now_ms);
	if (q->flush_ms <= now_ms)
		flush(q, now_ms);
}

uint64_t queue_deadline(const struct queue *q)
{
	if (q->active.at.n || q->backoff.at.n)
		return 0;
	const struct queue_item *it = queue_heap_first(&q->error_backoff);
	return MIN(it ? it->ready_ms : UINT64_MAX, q->flush_ms);
}

/* Numbers */

struct queue_counts queue_counts(const struct queue *q)
{
	return (struct queue_counts){q->active.at.n, q->backoff.at.n + q->error_backoff.at.n,
	                             q->unschedulable.at.n, q->gated.at.n, q->n_flight};
}

size_t queue_events_kept(const struct queue *q)
{
	return q->events.n - q->events_head;
}

const char *queue_cause_name(unsigned cause)
{
	static const char *const names[QUEUE_CAUSES] = {
	    "NodeAdd",
	    "NodeDelete",
	    "NodeAllocatableChange",
	    "NodeLabelChange",
	    "NodeTaintChange",
	    "AssignedPodAdd",
	    "AssignedPodUpdate",
	    "PodRequestScaledDown",
	    "AssignedPodDelete",
	    "PodTolerationChange",
	    "PodSchedulingGatesEliminated",
	    "UnschedulablePodUpdate",
	    "NamespaceLabelChange",
	    [QUEUE_CAUSE_ADD] = "PodAdd",
	    [QUEUE_CAUSE_FAILURE] = "ScheduleAttemptFailure",
	    [QUEUE_CAUSE_BACKOFF] = "BackoffComplete",
	    [QUEUE_CAUSE_TIMEOUT] = "UnschedulableTimeout",
	    [QUEUE_CAUSE_ACTIVATE] = "ForceActivate",
	};
	return names[cause];
}

uint64_t queue_incoming(const struct queue *q, enum queue_place place, unsigned cause)
{
	return q->incoming[place][cause];
}

void queue_each_waiting(const struct queue *q, void (*fn)(const struct queue_item *it, void *arg),
                        void *arg)
{
	VEC_FOREACH (&q->unschedulable.at, it)
		fn(*it, arg);
	VEC_FOREACH (&q->gated.at, it)
		fn(*it, arg);
}
