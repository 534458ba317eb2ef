/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/eviction/decide.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/codec/duration.h"
#include "common/codec/quantity.h"
#include "kubelet/core/resources.h"

static const char *const default_hard = "memory.available<100Mi,nodefs.available<10%,"
                                        "nodefs.inodesFree<5%,imagefs.available<15%,"
                                        "imagefs.inodesFree<5%";

static const struct {
	const char *name, *resource;
	enum pressure pressure;
} signals[SIGNAL_COUNT] = {
    [SIGNAL_MEMORY] = {"memory.available", "memory", PRESSURE_MEMORY},
    [SIGNAL_NODEFS] = {"nodefs.available", "ephemeral-storage", PRESSURE_DISK},
    [SIGNAL_NODEFS_INODES] = {"nodefs.inodesFree", "inodes", PRESSURE_DISK},
    [SIGNAL_IMAGEFS] = {"imagefs.available", "ephemeral-storage", PRESSURE_DISK},
    [SIGNAL_IMAGEFS_INODES] = {"imagefs.inodesFree", "inodes", PRESSURE_DISK},
    [SIGNAL_PID] = {"pid.available", "pids", PRESSURE_PID},
};

const char *signal_name(enum signal s)
{
	return signals[s].name;
}

const char *signal_resource(enum signal s)
{
	return signals[s].resource;
}

enum pressure signal_pressure(enum signal s)
{
	return signals[s].pressure;
}

/* Reading thresholds */

static int signal_of(struct slice text, enum signal *ret, struct err *err)
{
	for (int i = 0; i < SIGNAL_COUNT; i++)
		if (slice_eq_str(text, signals[i].name)) {
			*ret = (enum signal)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, "unsupported eviction signal %.*s", SLICE_FMT(text));
}

static int parse_amount(struct slice text, const char *what, struct amount *ret, struct err *err)
{
	if (text.len && text.data[text.len - 1] == '%') {
		char number[32] = "", *end;
		memcpy(number, text.data, MIN(text.len - 1, sizeof(number) - 1));
		double percent = strtod(number, &end);
		if (*end || !*number)
			return err_set(err, ERR_INVALID, "invalid eviction %s %.*s", what,
			               SLICE_FMT(text));
		if (percent < 0 || percent > 100)
			return err_set(err, ERR_INVALID,
			               "eviction percentage %s %.*s must be greater than or equal "
			               "to 0%% and less "
			               "than or equal to 100%%",
			               what, SLICE_FMT(text));
		*ret = (struct amount){.is_part = true, .part = percent / 100};
		return 0;
	}
	struct quantity q;
	int r = quantity_parse(text, &q, err);
	if (r)
		return r;
	if (quantity_sign(&q) < 0)
		return err_set(err, ERR_INVALID, "eviction %s %.*s must be positive", what,
		               SLICE_FMT(text));
	*ret = (struct amount){.value = quantity_value(&q)};
	return 0;
}

/* The next "key<op>value" of a list; false at its end. */
static bool next_item(const char **at, struct slice *item)
{
	if (!**at)
		return false;
	size_t n = strcspn(*at, ",");
	*item = slice_of(*at, n);
	*at += n + ((*at)[n] == ',');
	return true;
}

static bool cut(struct slice item, char op, struct slice *key, struct slice *value)
{
	const uint8_t *p = memchr(item.data, op, item.len);
	if (!p)
		return false;
	*key = slice_of(item.data, (size_t)(p - item.data));
	*value = slice_skip(item, key->len + 1);
	return true;
}

static struct threshold *find(struct thresholds *t, enum signal s, bool hard)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->at[i].signal == s && t->at[i].hard == hard)
			return &t->at[i];
	return NULL;
}

/* `fill`: only what is not there yet. */
static int add_list(const char *list, bool hard, bool fill, struct thresholds *t, struct err *err)
{
	struct slice item, key, value;
	while (next_item(&list, &item)) {
		struct threshold x = {.hard = hard};
		if (!cut(item, '<', &key, &value))
			return err_set(err, ERR_INVALID,
			               "invalid eviction threshold syntax %.*s, expected "
			               "<signal><operator><value>",
			               SLICE_FMT(item));
		int r = signal_of(key, &x.signal, err);
		if (!r)
			r = parse_amount(value, "threshold", &x.limit, err);
		if (r)
			return r;
		struct threshold *old = find(t, x.signal, hard);
		if (old && fill)
			continue;
		if (old)
			return err_set(err, ERR_INVALID,
			               "duplicate eviction threshold specified: %.*s",
			               SLICE_FMT(item));
		/* A limit of nothing, or of everything, switches the threshold off. */
		if (x.limit.is_part && (x.limit.part <= 0 || x.limit.part >= 1) && hard)
			continue;
		t->at[t->n++] = x;
	}
	return 0;
}

static int add_graces(const char *list, struct thresholds *t, struct err *err)
{
	struct slice item, key, value;
	while (next_item(&list, &item)) {
		enum signal s;
		int64_t ns;
		if (!cut(item, '=', &key, &value))
			return err_set(err, ERR_INVALID, "malformed pair, expect string=string");
		int r = signal_of(key, &s, err);
		if (!r)
			r = duration_parse(value, &ns, err);
		if (r)
			return r;
		if (ns < 0)
			return err_set(err, ERR_INVALID,
			               "invalid eviction grace period specified: %.*s, must be a "
			               "positive value",
			               SLICE_FMT(value));
		struct threshold *x = find(t, s, false);
		if (x)
			x->grace_ms = ns / 1000000 + 1;
	}
	for (size_t i = 0; i < t->n; i++)
		if (!t->at[i].hard && !t->at[i].grace_ms)
			return err_set(err, ERR_INVALID,
			               "grace period must be specified for the soft eviction "
			               "threshold %s",
			               signals[t->at[i].signal].name);
	return 0;
}

static int add_reclaims(const char *list, struct thresholds *t, struct err *err)
{
	struct slice item, key, value;
	while (next_item(&list, &item)) {
		enum signal s;
		struct amount a;
		if (!cut(item, '=', &key, &value))
			return err_set(err, ERR_INVALID, "malformed pair, expect string=string");
		int r = signal_of(key, &s, err);
		if (!r)
			r = parse_amount(value, "minimum reclaim", &a, err);
		if (r)
			return r;
		for (size_t i = 0; i < t->n; i++)
			if (t->at[i].signal == s) {
				t->at[i].has_reclaim = true;
				t->at[i].reclaim = a;
			}
	}
	return 0;
}

int thresholds_parse(const char *hard, const char *soft, const char *soft_grace,
                     const char *min_reclaim, bool merge, struct thresholds *ret, struct err *err)
{
	*ret = (struct thresholds){.n = 0};
	int r = add_list(hard, true, false, ret, err);
	if (!r && (!*hard || merge))
		r = add_list(default_hard, true, true, ret, err);
	if (!r)
		r = add_list(soft, false, false, ret, err);
	if (!r)
		r = add_graces(soft_grace, ret, err);
	return r ? r : add_reclaims(min_reclaim, ret, err);
}

int64_t amount_of(const struct amount *a, int64_t capacity)
{
	return a->is_part ? (int64_t)((double)capacity * a->part) : a->value;
}

/* Deciding */

static bool is_met(const struct threshold *t, const struct observation *o, bool was_met)
{
	int64_t need = amount_of(&t->limit, o->capacity);
	if (was_met && t->has_reclaim)
		need += amount_of(&t->reclaim, o->capacity);
	return o->known && o->available < need;
}

/* Memory is the most pressing; of one signal the hard threshold. */
static int by_importance(const void *a, const void *b)
{
	const struct threshold *x = *(const struct threshold *const *)a;
	const struct threshold *y = *(const struct threshold *const *)b;
	if (x->signal != y->signal)
		return (x->signal > y->signal) - (x->signal < y->signal);
	return y->hard - x->hard;
}

void eviction_decide(const struct thresholds *t, const struct observation *obs,
                     int64_t transition_ms, uint64_t now_ms, struct eviction_state *state,
                     struct eviction_verdict *ret)
{
	*ret = (struct eviction_verdict){.n_due = 0};
	for (size_t i = 0; i < t->n; i++) {
		const struct threshold *x = &t->at[i];
		uint64_t *since = &state->met_since_ms[i];
		if (!is_met(x, &obs[x->signal], *since != 0)) {
			*since = 0;
			continue;
		}
		*since = *since ? *since : now_ms;
		state->pressure_last_ms[signals[x->signal].pressure] = now_ms;
		if (now_ms - *since >= (uint64_t)x->grace_ms)
			ret->due[ret->n_due++] = x;
	}
	qsort(ret->due, ret->n_due, sizeof(ret->due[0]), by_importance);
	for (int p = 0; p < PRESSURE_COUNT; p++) {
		uint64_t last = state->pressure_last_ms[p];
		ret->pressure[p] =
		    last && (last == now_ms || now_ms - last < (uint64_t)transition_ms);
	}
}

int64_t eviction_reserved(const struct thresholds *t, const char *resource, int64_t capacity)
{
	for (size_t i = 0; i < t->n; i++) {
		enum signal s = t->at[i].signal;
		bool counts = s == SIGNAL_MEMORY || s == SIGNAL_NODEFS;
		if (t->at[i].hard && counts && !strcmp(signals[s].resource, resource))
			return amount_of(&t->at[i].limit, capacity);
	}
	return 0;
}

/* Ranking */

static int64_t request(const CoreV1__Pod *pod, const char *resource)
{
	struct quantity q;
	return pod_resource(pod, false, resource, &q) ? quantity_value(&q) : 0;
}

static int64_t used(enum signal s, const struct candidate *c)
{
	switch (s) {
	case SIGNAL_MEMORY:
		return c->memory_bytes;
	case SIGNAL_PID:
		return c->pids;
	case SIGNAL_NODEFS_INODES:
	case SIGNAL_IMAGEFS_INODES:
		return c->inodes;
	default:
		return c->disk_bytes;
	}
}

static int64_t beyond(enum signal s, const struct candidate *c)
{
	return used(s, c) - request(c->pod, signals[s].resource);
}

static bool first(enum signal s, const struct candidate *x, const struct candidate *y)
{
	bool by_request = s != SIGNAL_PID && strcmp(signals[s].resource, "inodes") != 0;
	int32_t px = x->pod->spec->priority, py = y->pod->spec->priority;
	if (by_request) {
		bool ex = !x->known || beyond(s, x) > 0, ey = !y->known || beyond(s, y) > 0;
		if (ex != ey)
			return ex;
	}
	if (px != py)
		return px < py;
	if (x->known != y->known)
		return !x->known;
	int64_t ux = by_request ? beyond(s, x) : used(s, x);
	int64_t uy = by_request ? beyond(s, y) : used(s, y);
	return ux != uy ? ux > uy : x->place < y->place;
}

void eviction_rank(enum signal s, struct candidate *c, size_t n)
{
	/* By insertion: a node has few pods, and the comparison needs the signal. */
	for (size_t i = 0; i < n; i++)
		c[i].place = i;
	for (size_t i = 1; i < n; i++) {
		struct candidate x = c[i];
		size_t k = i;
		for (; k && first(s, &x, &c[k - 1]); k--)
			c[k] = c[k - 1];
		c[k] = x;
	}
}

/* Words */

static const char *in_words(int64_t v, const char *resource, struct arena *a)
{
	char text[QUANTITY_BYTES];
	bool bytes = !strcmp(resource, "memory") || !strcmp(resource, "ephemeral-storage");
	/* Whole units of 1024 read better than bytes. */
	struct quantity q = quantity_from_int(bytes ? v / 1024 * 1024 : v,
	                                      bytes ? QUANTITY_BINARY_SI : QUANTITY_DECIMAL_SI);
	quantity_format_text(&q, text);
	return arena_strdup(a, text);
}

const char *eviction_message(const struct threshold *t, const struct observation *o,
                             const CoreV1__Pod *pod, const int64_t *use, struct arena *a)
{
	const char *resource = signals[t->signal].resource;
	const char *text = arena_printf(
	    a, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ",
	    resource, in_words(amount_of(&t->limit, o->capacity), resource, a),
	    in_words(o->available, resource, a));
	for (size_t i = 0; use && i < pod->spec->n_containers; i++) {
		const CoreV1__Container *c = pod->spec->containers[i];
		const char *request = container_resource(c->resources, false, resource);
		struct quantity q = quantity_of(request);
		if (use[i] <= quantity_value(&q))
			continue;
		text = arena_printf(a,
		                    "%sContainer %s was using %s, request is %s, has larger "
		                    "consumption of %s. ",
		                    text, c->name, in_words(use[i], resource, a),
		                    request ? request : "0", resource);
	}
	return text;
}
