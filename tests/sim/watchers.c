/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/watchers.h"
#include <stdio.h>
#include <stdlib.h>
#include "tests/sim/clients.h"
#include "tests/sim/edges.h"

enum { WATCHERS_MAX = 4 };

struct watcher {
	unsigned at;
	struct member *member;
	struct rpc_call *call;
	uint64_t calls;
	bool created;
	/* What it watches. */
	char key[32], end[32];
	bool previous, no_delete, fragment, progress;
	/* Everything before this revision has come; 0: it begins with what is next. */
	int64_t next;
	/* In the middle of a response in fragments, or of its revision. */
	int64_t within;
	size_t seen; /* the place in the model behind what has come */
	bool within_fragments;
	int64_t id;
};

static struct watcher watchers[WATCHERS_MAX];
static unsigned n_watchers;

void watchers_reset(void)
{
	memset(watchers, 0, sizeof(watchers));
	n_watchers = 0;
}

static bool takes(const struct watcher *w, const struct change *c)
{
	struct slice key = slice_str(w->key);
	bool in = *w->end ? slice_cmp(c->key, key) >= 0 && slice_cmp(c->key, slice_str(w->end)) < 0
	                  : slice_eq(c->key, key);
	return in && !(c->deleted && w->no_delete);
}

/* The next change that it must be told, NULL: none yet. */
static const struct change *expected(struct watcher *w)
{
	size_t from = model_from(w->next);
	if (w->within >= w->next)
		from = w->seen;
	for (size_t i = from; i < model.changes.n; i++)
		if (takes(w, &model.changes.at[i]))
			return &model.changes.at[i];
	return NULL;
}

static void check_previous(struct watcher *w, const Mvccpb__Event *e, const struct change *c)
{
	const struct change *before = c->previous ? &model.changes.at[c->previous - 1] : NULL;
	if (before && before->deleted)
		before = NULL;
	if (!w->previous) {
		SIM_CHECK(!e->prev_kv, "watcher %u gets a previous value that it has not asked for",
		          w->at);
		return;
	}
	/* It may have been compacted. */
	SIM_CHECK(e->prev_kv || !before || before->main < clients_compact_asked(),
	          "watcher %u misses the value before revision %lld", w->at, (long long)c->main);
	SIM_CHECK(!e->prev_kv || (before && before->main == e->prev_kv->mod_revision &&
	                          slice_eq(before->value, pb_view(e->prev_kv->value))),
	          "watcher %u gets another value before revision %lld", w->at, (long long)c->main);
}

static void on_event(struct watcher *w, const Mvccpb__Event *e)
{
	const struct change *c = expected(w);
	const Mvccpb__KeyValue *kv = e->kv;
	bool deleted = e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
	sim.stats.watch_events++;
	if (!c) {
		sim_fail(SIM_SAFETY,
		         "watcher %u gets revision %lld of %.*s, which nobody has committed", w->at,
		         (long long)kv->mod_revision, (int)kv->key.len, kv->key.data);
		return;
	}
	SIM_CHECK(
	    c->main == kv->mod_revision && slice_eq(c->key, pb_view(kv->key)) &&
	        c->deleted == deleted,
	    "watcher %u gets revision %lld of %.*s where %lld of %.*s is next (from member %u)",
	    w->at, (long long)kv->mod_revision, (int)kv->key.len, kv->key.data, (long long)c->main,
	    (int)c->key.len, (const char *)c->key.data, w->member->at);
	SIM_CHECK(deleted || (slice_eq(c->value, pb_view(kv->value)) && c->version == kv->version &&
	                      c->create == kv->create_revision && c->lease == kv->lease),
	          "watcher %u gets something else at revision %lld", w->at, (long long)c->main);
	check_previous(w, e, c);
	w->within = c->main;
	w->seen = (size_t)(c - model.changes.at) + 1;
}

/* All of a revision comes in one response, or its fragments. */
static void response_over(struct watcher *w)
{
	const struct change *c = expected(w);
	SIM_CHECK(!c || c->main != w->within, "watcher %u gets half of revision %lld", w->at,
	          (long long)w->within);
	w->next = MAX(w->next, w->within + 1);
}

/* Everything up to this revision is said to have come. */
static void on_bookmark(struct watcher *w, int64_t revision)
{
	const struct change *c = expected(w);
	SIM_CHECK(!c || c->main > revision,
	          "watcher %u is told to have everything up to %lld, but misses %lld (member %u)",
	          w->at, (long long)revision, c ? (long long)c->main : 0, w->member->at);
	w->next = MAX(w->next, revision + 1);
}

static void begin(void *arg);

static void on_canceled(struct watcher *w, const Etcdserverpb__WatchResponse *r)
{
	SIM_CHECK(r->compact_revision, "watcher %u is canceled: %s", w->at, r->cancel_reason);
	SIM_CHECK(r->compact_revision <= clients_compact_asked(),
	          "watcher %u hears of a compaction at %lld, which nobody has asked for", w->at,
	          (long long)r->compact_revision);
	SIM_CHECK(w->next < r->compact_revision,
	          "watcher %u at %lld is canceled for a compaction at %lld", w->at,
	          (long long)w->next, (long long)r->compact_revision);
	/* What is gone it would read from a list. */
	w->next = r->compact_revision;
	w->within = 0;
	client_cancel(w->call);
	w->call = NULL;
	w->calls++;
	sim_after(sim_below(10000), begin, w);
}

static void on_message(void *arg, struct slice message)
{
	struct watcher *w = arg;
	Etcdserverpb__WatchResponse *r =
	    etcdserverpb__watch_response__unpack(NULL, message.len, message.data);
	if (r && r->header)
		sim_say("watcher %u at %lld gets %zu events at revision %lld%s%s%s", w->at,
		        (long long)w->next, r->n_events, (long long)r->header->revision,
		        r->created ? ", created" : "", r->canceled ? ", canceled" : "",
		        r->fragment ? ", a fragment" : "");
	if (!r || !r->header) {
		sim_fail(SIM_SAFETY, "watcher %u gets something that is no response", w->at);
	} else if (r->created && !r->canceled) {
		w->created = true;
		w->id = r->watch_id;
		if (!w->next)
			w->next = r->header->revision + 1;
	} else if (r->canceled) {
		on_canceled(w, r);
	} else {
		for (size_t i = 0; i < r->n_events && !sim.result; i++)
			on_event(w, r->events[i]);
		w->within_fragments = r->fragment;
		if (!r->n_events && !r->fragment)
			on_bookmark(w, r->header->revision);
		else if (!r->fragment)
			response_over(w);
	}
	etcdserverpb__watch_response__free_unpacked(r, NULL);
}

static void on_end(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct watcher *w = arg;
	sim_say("watcher %u: %s", w->at, text);
	w->call = NULL;
	w->calls++;
	if (!sim.healed || !w->member->up || sim_chance(300))
		w->member = clients_pick();
	sim_after(5000 + sim_below(200000), begin, w);
}

static void begin(void *arg)
{
	struct watcher *w = arg;
	if (w->call)
		return;
	/* A response that was cut off is sent again from its first revision on. */
	w->within = 0;
	w->created = w->within_fragments = false;
	struct client_ops ops = {
	    .on_message = on_message, .on_end = on_end, .arg = w, .slow = sim.healed ? 0 : 20};
	w->call = client_call(w->member, "/etcdserverpb.Watch/Watch", SLICE_EMPTY, &ops);
	Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
	Etcdserverpb__WatchCreateRequest__FilterType filter =
	    ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
	Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
	create.key = pb_bytes(slice_str(w->key));
	create.range_end = pb_bytes(slice_str(w->end));
	create.start_revision = w->next;
	create.prev_kv = w->previous;
	create.fragment = w->fragment;
	create.progress_notify = w->progress;
	create.filters = &filter;
	create.n_filters = w->no_delete;
	q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
	q.create_request = &create;
	struct buf b = BUF_INIT;
	client_send(w->call, pack(&b, &q.base));
	buf_deinit(&b);
}

/* At times it leaves by itself, or asks how far it is. */
static void fidget(void *arg)
{
	struct watcher *w = arg;
	sim_after(500000 + sim_below(3000000), fidget, w);
	if (!w->call)
		return;
	if (!sim.healed && sim_chance(300)) {
		client_cancel(w->call);
		w->call = NULL;
		w->calls++;
		w->member = clients_pick();
		sim_after(sim_below(1000000), begin, w);
		return;
	}
	Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
	Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
	q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
	q.progress_request = &progress;
	struct buf b = BUF_INIT;
	client_send(w->call, pack(&b, &q.base));
	buf_deinit(&b);
}

void watchers_start(unsigned n)
{
	n_watchers = MIN(n, (unsigned)WATCHERS_MAX);
	for (unsigned i = 0; i < n_watchers; i++) {
		struct watcher *w = &watchers[i];
		w->at = i;
		w->member = clients_pick();
		snprintf(w->key, sizeof(w->key), "/registry/");
		snprintf(w->end, sizeof(w->end), "/registry0");
		if (sim_chance(200)) {
			snprintf(w->key, sizeof(w->key), "/registry/pods/%u",
			         (unsigned)sim_below(KEYS));
			*w->end = 0;
		}
		w->previous = sim_chance(400);
		w->no_delete = sim_chance(150);
		w->fragment = sim_chance(300);
		w->progress = sim_chance(500);
		w->next = sim_chance(500) ? 0 : 2;
		sim_after(sim_below(3000000), begin, w);
		sim_after(sim_below(3000000), fidget, w);
	}
}

void watchers_finish(void)
{
	for (unsigned i = 0; i < n_watchers; i++) {
		struct watcher *w = &watchers[i];
		if (w->call && !w->member->up) {
			client_cancel(w->call);
			w->call = NULL;
			w->calls++;
			w->member = clients_pick();
			sim_after(1000, begin, w);
		}
	}
}

bool watchers_finished(void)
{
	for (unsigned i = 0; i < n_watchers; i++)
		if (!watchers[i].created || expected(&watchers[i]))
			return false;
	return true;
}

const char *watchers_waiting_for(void)
{
	static char text[96];
	for (unsigned i = 0; i < n_watchers; i++) {
		const struct change *c = expected(&watchers[i]);
		if (watchers[i].created && !c)
			continue;
		snprintf(text, sizeof(text),
		         "watcher %u at member %u waits for revision %lld of %lld", i,
		         watchers[i].member->at, c ? (long long)c->main : 0,
		         (long long)model.revision);
		return text;
	}
	return "no watcher waits";
}
