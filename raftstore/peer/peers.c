/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/peer/peers.h"
#include <stdio.h>
#include "common/base/log.h"
#include "raftstore/peer/internal.h"

enum {
	MESSAGE_LIMIT_BYTES = 40 << 20,
	QUEUE_LIMIT_BYTES = 64 << 20,
	FRAME_SLACK_BYTES = 2 * FRAME_BYTES, /* heads, and what is before a large message */
	COMPLAIN_MS = 60000,
};

/* --- peers --- */

struct peer *peers_find(const struct peers *p, uint64_t id)
{
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		if (peer->id == id)
			return peer;
	}
	return NULL;
}

bool peers_is_removed(const struct peers *p, uint64_t id)
{
	VEC_FOREACH (&p->removed, at) {
		if (*at == id)
			return true;
	}
	return false;
}

static struct peer *peer_add(struct peers *p, uint64_t id, const char *urls, bool remote)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	if (!peer)
		abort();
	peer->peers = p;
	peer->id = id;
	peer->urls = strdup(urls);
	peer->remote = remote;
	peer_traffic_init(&peer->traffic, &p->traffic, id);
	list_add_tail(&p->all, &peer->link);
	for (int i = 0; i < LANES; i++) {
		lane_init(&peer->lanes[i], peer, (enum lane_kind)i);
		if (p->started && *urls)
			lane_start(&peer->lanes[i]);
	}
	return peer;
}

static void on_dead(void *arg)
{
	struct peers *p = arg;
	p->dead_posted = false;
	while (!list_empty(&p->dead)) {
		struct peer *peer = list_first(&p->dead, struct peer, link);
		list_del(&peer->link);
		for (int i = 0; i < LANES; i++)
			outbox_deinit(&peer->lanes[i].out);
		free(peer->urls);
		free(peer);
	}
}

/* Freed on the next turn: a callback of its lanes may be running. */
static void peer_remove(struct peer *peer, const char *why)
{
	struct peers *p = peer->peers;
	if (peer->up)
		metric_set(peer->traffic.active, 0);
	peer->up = false;
	list_del(&peer->link);
	list_add_tail(&p->dead, &peer->link);
	for (int i = 0; i < LANES; i++) {
		lane_close(&peer->lanes[i]);
		if (peer->entrances[i])
			entrance_close(peer->entrances[i], RPC_FAILED_PRECONDITION, why);
	}
	if (!p->dead_posted)
		loop_post(p->o.loop, on_dead, p);
	p->dead_posted = true;
}

/* Is it one that was removed meanwhile? */
static bool peer_is_dead(const struct peer *peer)
{
	return peers_find(peer->peers, peer->id) != peer;
}

static void peer_down(struct peer *peer)
{
	metric_set(peer->traffic.active, 0);
	metric_inc(peer->traffic.disconnected);
	log_info("Lost the connection to a member", LOG_STR("remote-peer-id", peer->traffic.id));
}

static void peer_up(struct peer *peer)
{
	const struct peers_handler *h = &peer->peers->o.handler;
	metric_set(peer->traffic.active, 1);
	log_info("Connected to a member", LOG_STR("remote-peer-id", peer->traffic.id));
	if (h->reachable)
		h->reachable(h->arg, peer->id);
}

void peer_changed(struct peer *peer)
{
	if (peer_is_dead(peer) || peer->peers->stopped)
		return;
	const struct peers_handler *h = &peer->peers->o.handler;
	bool entered = false;
	unsigned streams = 0;
	for (int i = 0; i < LANES; i++) {
		streams += peer->lanes[i].connected + (peer->entrances[i] != NULL);
		entered |= peer->entrances[i] != NULL;
	}
	bool up = streams == 2 * LANES, was_up = peer->up, lost = streams < peer->streams;
	peer->up = up;
	peer->streams = streams;
	if (peer->remote && !entered) {
		peer_remove(peer, "");
		return;
	}
	if (up != was_up)
		(up ? peer_up : peer_down)(peer);
	/* Told for each: what the other streams still held has come after the first broke. */
	if (lost)
		h->unreachable(h->arg, peer->id);
}

struct peer *peers_add_remote(struct peers *p, uint64_t id, const char *urls)
{
	unsigned n = 0;
	LIST_FOREACH (&p->all, peer, struct peer, link)
		n += peer->remote;
	return n < REMOTES_MAX ? peer_add(p, id, urls, true) : NULL;
}

static bool is_listed(const struct peer_address *at, size_t n, const struct peer *peer)
{
	for (size_t i = 0; i < n; i++) {
		if (at[i].id == peer->id)
			return !strcmp(at[i].urls, peer->urls);
	}
	return peer->remote;
}

void peers_set(struct peers *p, const struct peer_address *at, size_t n)
{
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		if (!is_listed(at, n, peer))
			peer_remove(peer, "the member is not known here any more");
	}
	for (size_t i = 0; i < n; i++) {
		struct peer *peer = peers_find(p, at[i].id);
		if (peer)
			peer->remote = false;
		else if (at[i].id != p->o.member_id)
			peer_add(p, at[i].id, at[i].urls, false);
	}
}

void peers_set_removed(struct peers *p, const uint64_t *ids, size_t n)
{
	vec_clear(&p->removed);
	for (size_t i = 0; i < n; i++)
		*vec_push(&p->removed) = ids[i];
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		if (peers_is_removed(p, peer->id))
			peer_remove(peer, PEER_REMOVED);
	}
}

bool peers_connected(const struct peers *p, uint64_t id)
{
	const struct peer *peer = peers_find(p, id);
	return peer && peer->up;
}

/* --- sending --- */

/* Members to which an append had to be dropped; told last, since the handler may change the list.
 */
static void tell_dropped(struct peers *p)
{
	VEC(uint64_t) ids = {0};
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		if (peer->dropped)
			*vec_push(&ids) = peer->id;
		peer->dropped = false;
	}
	VEC_FOREACH (&ids, id) {
		if (!p->stopped)
			p->o.handler.unreachable(p->o.handler.arg, *id);
	}
	vec_deinit(&ids);
}

static void on_flush(void *arg)
{
	struct peers *p = arg;
	p->flush_posted = false;
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		for (int i = 0; i < LANES; i++)
			lane_flush(&peer->lanes[i]);
	}
	for (size_t i = 0; i < p->answering.n; i++)
		entrance_flush(p->answering.at[i]);
	vec_clear(&p->answering);
	tell_dropped(p);
}

void peers_flush_later(struct peers *p)
{
	if (!p->flush_posted)
		loop_post(p->o.loop, on_flush, p);
	p->flush_posted = true;
}

static size_t message_bytes(const struct raft_message *m)
{
	size_t bytes = 64;
	if (m->type != RAFT_MSG_APPEND)
		return bytes;
	for (size_t i = 0; i < m->append.entries.n; i++)
		bytes += 16 + blob_view(m->append.entries.at[i].data).len;
	return bytes;
}

/* The core takes entries for sent that were not: it is told that they are lost. */
static void message_dropped(struct peer *peer, const struct raft_message *m)
{
	metric_inc(peer->traffic.sent_failures);
	peer->dropped |= m->type == RAFT_MSG_APPEND;
	peers_flush_later(peer->peers);
}

void peers_send(struct peers *p, const struct raft_message *m)
{
	struct peer *peer = peers_find(p, m->to);
	if (!peer)
		return;
	struct lane *l = &peer->lanes[m->type == RAFT_MSG_APPEND ? LANE_BULK : LANE_URGENT];
	size_t bytes = message_bytes(m);
	if (!l->connected) {
		metric_inc(peer->traffic.sent_failures);
		return;
	}
	if (bytes > peers_frame_limit(p) - FRAME_BYTES || !lane_has_room(l, bytes)) {
		message_dropped(peer, m);
		return;
	}
	wire_put_raft(outbox_frame(&l->out, bytes), m);
	peers_flush_later(p);
}

/* --- life --- */

uint32_t peers_frame_limit(const struct peers *p)
{
	return p->o.message_limit_bytes + FRAME_SLACK_BYTES;
}

bool peers_may_complain(struct peers *p, uint64_t id, const char *text)
{
	uint64_t key = hash_bytes(text, strlen(text), id);
	uint64_t now_ms = loop_now_ms(p->o.loop) + COMPLAIN_MS;
	struct complaint *c = &p->complaints[key % COMPLAINTS];
	if (c->key == key && now_ms - c->at_ms < COMPLAIN_MS)
		return false;
	*c = (struct complaint){key, now_ms};
	return true;
}

int peers_channel(struct peers *p, const char *url, struct rpc_channel **ret, struct err *err)
{
	const struct rpc_channel_options o = {
	    .tls = strncmp(url, "https://", 8) ? NULL : &p->o.tls,
	    .max_recv_bytes = peers_frame_limit(p),
	    .own_connection = true,
	};
	return rpc_channel_new(p->o.core, url, &o, ret, err);
}

static const char *dup_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void options_copy(struct peers_options *to, const struct peers_options *o)
{
	*to = *o;
	const char **urls = calloc(o->n_listen_urls + 1, sizeof(*urls));
	if (!urls)
		abort();
	for (size_t i = 0; i < o->n_listen_urls; i++)
		urls[i] = strdup(o->listen_urls[i]);
	to->listen_urls = urls;
	to->advertise_urls = dup_or_null(o->advertise_urls);
	to->allowed_cn = dup_or_null(o->allowed_cn);
	const char **tls[] = {&to->tls.ca_file,    &to->tls.cert_file, &to->tls.key_file,
	                      &to->tls.ca_pem,     &to->tls.cert_pem,  &to->tls.key_pem,
	                      &to->tls.server_name};
	for (size_t i = 0; i < ARRAY_LEN(tls); i++)
		*tls[i] = dup_or_null(*tls[i]);
	if (!to->message_limit_bytes)
		to->message_limit_bytes = MESSAGE_LIMIT_BYTES;
	if (!to->queue_limit_bytes)
		to->queue_limit_bytes = QUEUE_LIMIT_BYTES;
}

static void options_free(struct peers_options *o)
{
	const char *all[] = {o->advertise_urls, o->allowed_cn,   o->tls.ca_file,
	                     o->tls.cert_file,  o->tls.key_file, o->tls.ca_pem,
	                     o->tls.cert_pem,   o->tls.key_pem,  o->tls.server_name};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free((void *)(uintptr_t)all[i]);
	for (size_t i = 0; i < o->n_listen_urls; i++)
		free((void *)(uintptr_t)o->listen_urls[i]);
	free((void *)(uintptr_t)o->listen_urls);
}

int peers_new(const struct peers_options *o, struct peers **ret, struct err *err)
{
	struct peers *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	options_copy(&p->o, o);
	list_init(&p->all);
	list_init(&p->dead);
	asks_init(p);
	traffic_init(&p->traffic, o->metrics, o->member_id);
	int r = o->n_listen_urls ? entrances_listen(p, err) : 0;
	if (r) {
		peers_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void peers_start(struct peers *p)
{
	p->started = true;
	if (p->rpc)
		rpc_server_start(p->rpc);
	LIST_FOREACH (&p->all, peer, struct peer, link) {
		for (int i = 0; i < LANES; i++)
			lane_start(&peer->lanes[i]);
	}
}

void peers_stop(struct peers *p, loop_fn done, void *arg)
{
	p->stopped = true;
	on_flush(p);
	LIST_FOREACH (&p->all, peer, struct peer, link)
		peer_remove(peer, "the member stops");
	asks_cancel(p);
	if (p->rpc)
		rpc_server_stop(p->rpc, 0, p->o.loop, done, arg);
	else
		loop_post(p->o.loop, done, arg);
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	on_flush(p); /* lets go of entrances */
	on_dead(p);
	if (p->rpc)
		rpc_server_free(p->rpc);
	asks_deinit(p);
	vec_deinit(&p->removed);
	vec_deinit(&p->answering);
	options_free(&p->o);
	free(p);
}
