/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/endpoints/fresh.h"

enum { FUTURE_MS = 3000, NOW_MS = 60000 };

struct waiter {
	struct call *c;
	bool future; /* a revision that the client named */
	void (*then)(struct call *c, void *arg);
	void *arg;
};

static const struct status *too_large(struct call *c, const char *text)
{
	struct status_cause *cause = arena_new(c->a, struct status_cause);
	struct status *s = status_timeout(c->a, text, 1);

	*cause = (struct status_cause){"ResourceVersionTooLarge", "Too large resource version", ""};
	s->details.causes = cause;
	s->details.n_causes = 1;
	return s;
}

static void on_fresh(void *arg, int code, const struct err *err, int64_t revision)
{
	struct waiter *w = arg;

	if (code == -ERR_TIMEOUT && w->future)
		call_refuse(w->c, too_large(w->c, err->text));
	else if (code < 0)
		call_refuse_err(w->c, code, err);
	else
		w->then(w->c, w->arg);
}

void call_await(struct call *c, int64_t revision, void (*then)(struct call *c, void *arg),
                void *arg)
{
	struct waiter *w;

	if (revision != FRESH_NOW && cacher_ready(c->p->cacher) &&
	    revision <= cacher_revision(c->p->cacher)) {
		then(c, arg);
		return;
	}
	w = arena_new(c->a, struct waiter);
	*w = (struct waiter){.c = c, .future = revision > 0, .then = then, .arg = arg};
	cacher_fresh(c->p->cacher, c->req->loop, revision == FRESH_ANY ? 1 : revision,
	             revision > 0 ? FUTURE_MS : NOW_MS, on_fresh, w);
}
