/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/health.h"

#include <string.h>
#include "common/base/log.h"

enum { EXCLUDES_MAX = 64 };

void health_init(struct health *h)
{
	*h = (struct health){0};
	health_add(h, "ping", HEALTH_ALL, NULL, NULL);
}

void health_deinit(struct health *h)
{
	vec_deinit(&h->checks);
}

void health_add(struct health *h, const char *name, unsigned sets,
                int (*check)(void *arg, struct err *err), void *arg)
{
	*vec_push(&h->checks) = (struct health_check){name, sets, check, arg};
}

/* What the query says. */
struct query {
	bool verbose;
	struct slice excludes[EXCLUDES_MAX];
	bool matched[EXCLUDES_MAX];
	size_t n;
};

static void parse_query(struct slice text, struct query *q)
{
	while (text.len) {
		const uint8_t *amp = memchr(text.data, '&', text.len);
		size_t n = amp ? (size_t)(amp - text.data) : text.len;
		struct slice pair = slice_of(text.data, n);
		text = slice_skip(text, n + 1);
		const uint8_t *eq = memchr(pair.data, '=', pair.len);
		struct slice key = slice_of(pair.data, eq ? (size_t)(eq - pair.data) : pair.len);
		if (slice_eq_str(key, "verbose"))
			q->verbose = true;
		else if (eq && slice_eq_str(key, "exclude") && q->n < EXCLUDES_MAX)
			q->excludes[q->n++] = slice_skip(pair, key.len + 1);
	}
}

static bool is_excluded(struct query *q, const char *name)
{
	bool hit = false;
	for (size_t i = 0; i < q->n; i++)
		if (slice_eq_str(q->excludes[i], name))
			hit = q->matched[i] = true;
	return hit;
}

static void add_unmatched(const struct query *q, struct buf *out)
{
	size_t n = 0;
	for (size_t i = 0; i < q->n; i++)
		if (!q->matched[i])
			buf_printf(
			    out, "%s\"%.*s\"",
			    n++ ? ", "
			        : "warn: some health checks cannot be excluded: no matches for ",
			    SLICE_FMT(q->excludes[i]));
	if (n)
		buf_byte(out, '\n');
}

static int run(const struct health_check *c, struct err *err)
{
	*err = ERR_INIT;
	return c->check ? c->check(c->arg, err) : 0;
}

static int answer_set(struct health *h, const char *name, unsigned set, struct slice query,
                      struct buf *body)
{
	struct query q = {0};
	_cleanup_buf_ struct buf lines = BUF_INIT;
	bool failed = false;
	parse_query(query, &q);
	VEC_FOREACH (&h->checks, c) {
		struct err err;
		if (!(c->sets & set))
			continue;
		if (is_excluded(&q, c->name)) {
			buf_printf(&lines, "[+]%s excluded: ok\n", c->name);
		} else if (run(c, &err)) {
			log_v(2, "Health check failed", LOG_STR("set", name),
			      LOG_STR("check", c->name), LOG_STR("err", err.text));
			buf_printf(&lines, "[-]%s failed: reason withheld\n", c->name);
			failed = true;
		} else {
			buf_printf(&lines, "[+]%s ok\n", c->name);
		}
	}
	add_unmatched(&q, &lines);
	if (!failed && !q.verbose) {
		buf_str(body, "ok");
		return 200;
	}
	buf_slice(body, buf_view(&lines));
	buf_printf(body, "%s check %s\n", name, failed ? "failed" : "passed");
	return failed ? 500 : 200;
}

static int answer_one(struct health *h, struct slice name, unsigned set, struct buf *body)
{
	VEC_FOREACH (&h->checks, c) {
		struct err err;
		if (!(c->sets & set) || !slice_eq_str(name, c->name))
			continue;
		if (run(c, &err) == 0) {
			buf_str(body, "ok");
			return 200;
		}
		buf_printf(body, "internal server error: %s\n", err.text);
		return 500;
	}
	buf_str(body, "404 page not found\n");
	return 404;
}

int health_answer(struct health *h, struct slice path, struct slice query, struct buf *body)
{
	static const struct {
		const char *name;
		unsigned set;
	} sets[] = {
	    {"livez", HEALTH_LIVEZ}, {"readyz", HEALTH_READYZ}, {"healthz", HEALTH_HEALTHZ}};
	struct slice rest = slice_skip(path, 1);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct slice name = slice_str(sets[i].name);
		if (!path.len || path.data[0] != '/' || !slice_has_prefix(rest, name))
			continue;
		struct slice below = slice_skip(rest, name.len);
		if (!below.len || slice_eq_str(below, "/"))
			return answer_set(h, sets[i].name, sets[i].set, query, body);
		if (below.data[0] == '/')
			return answer_one(h, slice_skip(below, 1), sets[i].set, body);
	}
	buf_str(body, "404 page not found\n");
	return 404;
}
