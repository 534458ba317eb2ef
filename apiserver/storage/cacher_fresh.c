/* SPDX-License-Identifier: Apache-2.0 */
/* Reads that must see everything that was acknowledged before they were asked for: they learn the
 * store's revision by one linearizable read that all who wait share, then wait until the watch has
 * brought the cache there. Who comes while a read is in flight takes the next one, since the flying
 * one may have been answered before. */
#include "apiserver/storage/cacher_impl.h"

enum { PROGRESS_MS = 100, DEFAULT_TIMEOUT_MS = 10000 };

static void start_read(struct cacher *c);

static void answer(void *arg)
{
	struct fresh *f = arg;

	f->cb(f->arg, f->code, f->code < 0 ? &f->err : NULL, f->revision);
	free(f);
}

static void finish(struct fresh *f)
{
	list_del(&f->node);
	loop_timer_stop(&f->deadline);
	loop_post(f->loop, answer, f);
}

static void deadline_due(void *arg)
{
	struct fresh *f = arg;

	f->code = err_set(&f->err, ERR_TIMEOUT, "Too large resource version: %lld, current: %lld",
	                  (long long)f->revision, (long long)cacher_revision(f->c));
	finish(f);
}

void cacher_fresh_check(struct cacher *c)
{
	int64_t now = cacher_revision(c);

	LIST_FOREACH (&c->waiting, f, struct fresh, node)
		if (f->revision <= now)
			finish(f);
	if (list_empty(&c->waiting))
		loop_timer_stop(&c->progress);
}

/* The revision may have moved by something outside the prefix, which sends no event. */
static void ask_progress(void *arg)
{
	struct cacher *c = arg;

	if (list_empty(&c->waiting))
		return;
	if (c->watch)
		store_watch_progress(c->watch);
	loop_timer_start(&c->progress, PROGRESS_MS);
}

static void wait_for(struct cacher *c, struct fresh *f)
{
	list_del(&f->node);
	list_add_tail(&c->waiting, &f->node);
}

static void read_done(void *arg, const struct store_result *r)
{
	struct cacher *c = arg;

	if (c->stopping)
		return;
	c->reading_now = false;
	LIST_FOREACH (&c->reading, f, struct fresh, node) {
		if (r->code < 0) {
			f->code = r->code;
			f->err = r->err;
			finish(f);
		} else {
			f->revision = r->revision;
			wait_for(c, f);
		}
	}
	cacher_fresh_check(c);
	if (!list_empty(&c->waiting) && !loop_timer_active(&c->progress))
		ask_progress(c);
	if (!list_empty(&c->joining))
		start_read(c);
}

static void start_read(struct cacher *c)
{
	LIST_FOREACH (&c->joining, f, struct fresh, node) {
		list_del(&f->node);
		list_add_tail(&c->reading, &f->node);
	}
	c->reading_now = true;
	store_range(
	    c->store, c->loop,
	    &(struct store_range){.key = slice_of(c->prefix, c->prefix_len), .keys_only = true},
	    read_done, c);
}

static void arrive(void *arg)
{
	struct fresh *f = arg;
	struct cacher *c = f->c;

	loop_timer_init(&f->deadline, c->loop, deadline_due, f);
	loop_timer_start(&f->deadline, f->timeout_ms);
	if (f->revision) {
		list_add_tail(&c->waiting, &f->node);
		cacher_fresh_check(c);
		if (!list_empty(&c->waiting) && !loop_timer_active(&c->progress))
			ask_progress(c);
		return;
	}
	list_add_tail(&c->joining, &f->node);
	if (!c->reading_now)
		start_read(c);
}

void cacher_fresh(struct cacher *c, struct loop *loop, int64_t revision, uint32_t timeout_ms,
                  cacher_fresh_cb cb, void *arg)
{
	struct fresh *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	list_init(&f->node);
	f->c = c;
	f->loop = loop;
	f->revision = revision;
	f->timeout_ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
	f->cb = cb;
	f->arg = arg;
	loop_post(c->loop, arrive, f);
}

void cacher_fresh_init(struct cacher *c)
{
	list_init(&c->joining);
	list_init(&c->reading);
	list_init(&c->waiting);
	loop_timer_init(&c->progress, c->loop, ask_progress, c);
}

static void drop_all(struct list *l)
{
	LIST_FOREACH (l, f, struct fresh, node) {
		loop_timer_stop(&f->deadline);
		list_del(&f->node);
		free(f);
	}
}

void cacher_fresh_deinit(struct cacher *c)
{
	loop_timer_stop(&c->progress);
	drop_all(&c->joining);
	drop_all(&c->reading);
	drop_all(&c->waiting);
}
