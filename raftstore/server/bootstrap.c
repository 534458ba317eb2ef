/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/bootstrap.h"
#include <stdio.h>
#include "common/base/log.h"
#include "raftstore/mvcc/record.h"
#include "raftstore/peer/peers.h"
#include "raftstore/server/asks.h"
#include "raftstore/server/members.h"

enum {
	ASK_MS = 3000,
	AGAIN_MS = 500,
	JOIN_ROUNDS = 20, /* whom to join may be starting, too */
};

struct bootstrap {
	struct server *server;
	struct members own; /* as the flags say */
	struct members remote;
	struct raft_ids certain; /* of them: whose change is not under way */
	uint64_t cluster_id;
	struct peers *peers; /* to ask with, without an identity */
	size_t asked;        /* next of own.list */
	unsigned rounds;
	struct loop_timer timer;
	bootstrap_fn done;
	bool join, stopped;
	loop_fn ended;
	void *ended_arg;
	struct err mismatch; /* who was asked says that there are other members */
};

/* --- the flags --- */

/* "name=url,name=url": the URLs of one name belong together. */
int bootstrap_parse_cluster(struct server *s, struct members *ret, struct err *err)
{
	char *text = arena_strdup(&ret->arena, s->options->initial_cluster), *rest;
	for (char *at = strtok_r(text, ",", &rest); at; at = strtok_r(NULL, ",", &rest)) {
		char *url = strchr(at, '=');
		if (!url || !peer_url_valid(url + 1))
			return err_set(err, ERR_INVALID,
			               "error setting up initial cluster: invalid member \"%s\"",
			               at);
		*url++ = 0;
		if (members_have_url(ret, &url, 1, 0))
			return err_set(err, ERR_INVALID, "initial cluster %s has duplicated url",
			               s->options->initial_cluster);
		Etcdserverpb__Member *m = NULL;
		VEC_FOREACH (&ret->list, it)
			m = strcmp((*it)->name, at) ? m : *it;
		if (!m) {
			m = arena_new(&ret->arena, Etcdserverpb__Member);
			etcdserverpb__member__init(m);
			m->name = at;
			*vec_push(&ret->list) = m;
		}
		m->peerurls = arena_grow(&ret->arena, m->peerurls, m->n_peerurls * sizeof(url),
		                         (m->n_peerurls + 1) * sizeof(url));
		m->peerurls[m->n_peerurls++] = url;
	}
	return 0;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = (*(Etcdserverpb__Member *const *)a)->id,
	         y = (*(Etcdserverpb__Member *const *)b)->id;
	return (x > y) - (x < y);
}

static int make_ids(struct server *s, struct members *m, struct err *err)
{
	VEC_FOREACH (&m->list, it) {
		Etcdserverpb__Member *one = *it;
		one->id = member_id_of(one->peerurls, one->n_peerurls,
		                       s->options->initial_cluster_token, 0);
		if (!strcmp(one->name, s->options->name))
			s->member_id = one->id;
	}
	qsort(m->list.at, m->list.n, sizeof(*m->list.at), by_id);
	for (size_t i = 1; i < m->list.n; i++) {
		if (m->list.at[i]->id == m->list.at[i - 1]->id)
			return err_set(err, ERR_INVALID, "member exists with identical ID");
	}
	if (m->list.n > RAFT_MEMBERS_MAX)
		return err_set(err, ERR_INVALID, "--initial-cluster has more than %d members",
		               RAFT_MEMBERS_MAX);
	if (!s->member_id)
		return err_set(err, ERR_INVALID,
		               "couldn't find local name \"%s\" in the initial cluster "
		               "configuration",
		               s->options->name);
	s->cluster_id = cluster_id_of(m);
	return 0;
}

static bool has_url(char *const *urls, size_t n, const char *url)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(urls[i], url))
			return true;
	}
	return false;
}

/* --initial-advertise-peer-urls and --initial-cluster must say the same of this member. */
static int check_own_urls(const struct server *s, const struct members *m, struct err *err)
{
	const Etcdserverpb__Member *self = members_find(m, s->member_id);
	const flag_list *own = &s->options->advertise_peer_urls;
	VEC_FOREACH (own, url) {
		if (!has_url(self->peerurls, self->n_peerurls, *url))
			return err_set(err, ERR_INVALID,
			               "--initial-cluster must include %s=%s given "
			               "--initial-advertise-peer-urls=%s",
			               s->options->name, *url, *url);
	}
	for (size_t i = 0; i < self->n_peerurls; i++) {
		if (!has_url((char *const *)own->at, own->n, self->peerurls[i]))
			return err_set(err, ERR_INVALID,
			               "--initial-cluster has %s=%s but missing from "
			               "--initial-advertise-peer-urls",
			               s->options->name, self->peerurls[i]);
	}
	return 0;
}

/* --- the end --- */

static void finish(struct bootstrap *b, struct err *err)
{
	struct server *s = b->server;
	b->stopped = true;
	loop_timer_stop(&b->timer);
	b->done(s, err->code ? NULL : b->join ? &b->remote : &b->own, b->join, err);
}

static int unequal(struct err *err)
{
	return err_set(err, ERR_INVALID, "error validating peerURLs: member count is unequal");
}

/* The others have the same members, told apart by their URLs; they know the ids. The flags may know
 * of a change that is under way, or not. */
static int adopt(struct bootstrap *b, struct err *err)
{
	struct server *s = b->server;
	unsigned certain = 0;
	if (b->own.list.n > b->remote.list.n)
		return unequal(err);
	s->member_id = 0;
	VEC_FOREACH (&b->own.list, it) {
		Etcdserverpb__Member *found = NULL;
		VEC_FOREACH (&b->remote.list, r) {
			if ((*r)->n_peerurls == (*it)->n_peerurls && (*r)->n_peerurls &&
			    has_url((*it)->peerurls, (*it)->n_peerurls, (*r)->peerurls[0]))
				found = *r;
		}
		if (!found)
			return err_set(err, ERR_INVALID,
			               "error validating peerURLs: unmatched member while "
			               "checking PeerURLs (%s)",
			               (*it)->peerurls[0]);
		certain += raft_ids_has(&b->certain, found->id);
		if (!strcmp((*it)->name, s->options->name))
			s->member_id = found->id;
	}
	if (certain < b->certain.n)
		return unequal(err);
	s->cluster_id = b->cluster_id;
	return 0;
}

/* --- asking --- */

static void ask_next(void *arg);

static bool read_answer(struct bootstrap *b, struct slice answer)
{
	struct member_change c;
	if (answer.len < 8)
		return false;
	members_deinit(&b->remote);
	members_init(&b->remote);
	b->certain = (struct raft_ids){0};
	b->cluster_id = get_be64(answer.data);
	answer = slice_skip(answer, 8);
	while (member_change_next(&answer, &b->remote.arena, &c)) {
		members_put(&b->remote, c.member);
		if (c.op == MEMBER_ADD)
			raft_ids_add(&b->certain, c.member->id);
	}
	return b->remote.list.n && !answer.len;
}

static void on_answer(void *arg, int result, struct slice answer)
{
	struct bootstrap *b = arg;
	struct err err = ERR_INIT;
	if (b->stopped)
		return;
	if (result || !read_answer(b, answer)) {
		loop_timer_start(&b->timer, 0);
		return;
	}
	const Etcdserverpb__Member *before = members_find(&b->remote, b->server->member_id);
	if (b->join && adopt(b, &b->mismatch)) {
		/* This one may be behind: another may know better. */
		loop_timer_start(&b->timer, 0);
		return;
	}
	if (!b->join && before && before->n_clienturls)
		err_set(&err, ERR_CONFLICT, "member %016llx has already been bootstrapped",
		        (unsigned long long)before->id);
	finish(b, &err);
}

static void all_asked(struct bootstrap *b)
{
	struct err err = b->mismatch;
	if (b->join && !err.code && ++b->rounds < JOIN_ROUNDS) {
		b->asked = 0;
		loop_timer_start(&b->timer, AGAIN_MS);
		return;
	}
	if (b->join && !err.code)
		err_set(&err, ERR_UNAVAILABLE,
		        "cannot fetch cluster info from peer urls: could not retrieve cluster "
		        "information from the given URLs");
	finish(b, &err);
}

static void ask_next(void *arg)
{
	struct bootstrap *b = arg;
	if (b->asked == b->own.list.n) {
		all_asked(b);
		return;
	}
	const Etcdserverpb__Member *m = b->own.list.at[b->asked++];
	if (!strcmp(m->name, b->server->options->name)) {
		ask_next(b);
		return;
	}
	_cleanup_buf_ struct buf urls = BUF_INIT;
	for (size_t i = 0; i < m->n_peerurls; i++)
		buf_printf(&urls, "%s%s", i ? "," : "", m->peerurls[i]);
	peers_ask_url(b->peers, (char *)urls.data, ASK_MEMBERS, SLICE_EMPTY, ASK_MS, on_answer, b);
}

/* --- life --- */

static int make_peers(struct bootstrap *b, struct err *err)
{
	struct server *s = b->server;
	struct peers_options o = {.core = s->daemon->rpc, .loop = s->loop};
	server_peer_options(s, false, &o);
	return peers_new(&o, &b->peers, err);
}

int bootstrap_start(struct server *s, bootstrap_fn done, struct err *err)
{
	struct bootstrap *b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	s->bootstrap = b;
	b->server = s;
	b->done = done;
	b->join = !strcmp(s->options->initial_cluster_state, "existing");
	members_init(&b->own);
	members_init(&b->remote);
	loop_timer_init(&b->timer, s->loop, ask_next, b);
	int r = bootstrap_parse_cluster(s, &b->own, err);
	if (!r)
		r = make_ids(s, &b->own, err);
	if (!r)
		r = check_own_urls(s, &b->own, err);
	if (r)
		return r;
	if (b->own.list.n == 1 && !b->join) {
		finish(b, &(struct err){.code = ERR_OK});
		return 0;
	}
	r = make_peers(b, err);
	if (!r)
		loop_timer_start(&b->timer, 0);
	return r;
}

static void on_peers_stopped(void *arg)
{
	struct bootstrap *b = arg;
	peers_free(b->peers);
	members_deinit(&b->own);
	members_deinit(&b->remote);
	if (b->ended)
		b->ended(b->ended_arg);
	free(b);
}

void bootstrap_stop(struct server *s, loop_fn done, void *arg)
{
	struct bootstrap *b = TAKE(s->bootstrap);
	if (!b)
		return;
	b->stopped = true;
	b->ended = done;
	b->ended_arg = arg;
	loop_timer_stop(&b->timer);
	if (b->peers)
		peers_stop(b->peers, on_peers_stopped, b);
	else
		on_peers_stopped(b);
}
