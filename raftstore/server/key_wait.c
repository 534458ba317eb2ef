/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/key_wait.h"
#include <pthread.h>

struct key_waits {
	struct server *server;
	atomic_size_t n;
	pthread_mutex_t lock;
	/* --- under lock --- */
	struct watch_index index;
	VEC(struct key_wait *) all, woken;
	bool posted;
};

void key_waits_start(struct server *s)
{
	struct key_waits *k = calloc(1, sizeof(*k));
	if (!k)
		abort();
	s->key_waits = k;
	k->server = s;
	pthread_mutex_init(&k->lock, NULL);
	watch_index_init(&k->index, server_random(s));
}

void key_waits_stop(struct server *s)
{
	struct key_waits *k = TAKE(s->key_waits);
	if (!k)
		return;
	watch_index_deinit(&k->index);
	vec_deinit(&k->all);
	vec_deinit(&k->woken);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static void on_woken(void *arg)
{
	struct key_waits *k = arg;
	for (;;) {
		pthread_mutex_lock(&k->lock);
		struct key_wait *w = k->woken.n ? vec_pop(&k->woken) : NULL;
		if (w)
			w->woken = false;
		else
			k->posted = false;
		pthread_mutex_unlock(&k->lock);
		if (!w)
			return;
		w->fn(w->arg);
	}
}

static void wake(void *arg, struct watch_entry *e)
{
	struct key_waits *k = arg;
	struct key_wait *w = CONTAINER_OF(e, struct key_wait, entry);
	if (w->woken)
		return;
	w->woken = true;
	*vec_push(&k->woken) = w;
}

/* Under the lock. True: on_woken has to be posted. */
static bool needs_post(struct key_waits *k)
{
	bool post = k->woken.n && !k->posted;
	k->posted |= post;
	return post;
}

void key_waits_publish(struct server *s, const struct events *events)
{
	struct key_waits *k = s->key_waits;
	if (!k->n)
		return;
	pthread_mutex_lock(&k->lock);
	VEC_FOREACH (&events->list, ev)
		watch_index_match(&k->index, event_key(events, ev), wake, k);
	bool post = needs_post(k);
	pthread_mutex_unlock(&k->lock);
	if (post)
		loop_post(s->loop, on_woken, k);
}

void key_waits_wake_all(struct server *s)
{
	struct key_waits *k = s->key_waits;
	pthread_mutex_lock(&k->lock);
	VEC_FOREACH (&k->all, w)
		wake(k, &(*w)->entry);
	bool post = needs_post(k);
	pthread_mutex_unlock(&k->lock);
	if (post)
		loop_post(s->loop, on_woken, k);
}

void key_wait_start(struct server *s, struct key_wait *w, const struct key_range *keys,
                    void (*fn)(void *arg), void *arg)
{
	struct key_waits *k = s->key_waits;
	key_wait_stop(s, w);
	*w = (struct key_wait){.entry.keys = *keys, .fn = fn, .arg = arg, .active = true};
	k->n++;
	pthread_mutex_lock(&k->lock);
	watch_index_add(&k->index, &w->entry);
	*vec_push(&k->all) = w;
	pthread_mutex_unlock(&k->lock);
}

static void forget(struct key_wait **at, size_t *n, const struct key_wait *w)
{
	for (size_t i = 0; i < *n; i++) {
		if (at[i] == w) {
			at[i] = at[--*n];
			return;
		}
	}
}

void key_wait_stop(struct server *s, struct key_wait *w)
{
	struct key_waits *k = s->key_waits;
	if (!w->active)
		return;
	pthread_mutex_lock(&k->lock);
	watch_index_remove(&k->index, &w->entry);
	forget(k->all.at, &k->all.n, w);
	if (w->woken)
		forget(k->woken.at, &k->woken.n, w);
	pthread_mutex_unlock(&k->lock);
	w->active = w->woken = false;
	k->n--;
}
