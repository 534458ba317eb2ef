/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log.h"
#include "raftstore/peer/peers.h"
#include "raftstore/server/node_internal.h"
#include "raftstore/server/stats.h"

/* Members: where they are, since when they are heard of, and what the others know of this one. */

enum { DEPARTED_MS = 2000 };

/* --- addresses --- */

static const Etcdserverpb__Member *find(const struct node *n, uint64_t id)
{
	const Etcdserverpb__Member *m = members_find(&n->applied_members, id);
	return m ? m : members_find(&n->fresh, id);
}

static void add_address(const struct node *n, uint64_t id, struct arena *a,
                        struct peer_address *list, size_t *count)
{
	const Etcdserverpb__Member *m = find(n, id);
	if (!m || id == n->server->member_id || *count == RAFT_MEMBERS_MAX)
		return;
	_cleanup_buf_ struct buf b = BUF_INIT;
	for (size_t i = 0; i < m->n_peerurls; i++)
		buf_printf(&b, "%s%s", i ? "," : "", m->peerurls[i]);
	if (b.len)
		list[(*count)++] = (struct peer_address){id, arena_strdup(a, (char *)b.data)};
}

static void connect_members(struct node *n)
{
	struct peer_address list[RAFT_MEMBERS_MAX];
	size_t count = 0;
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	struct raft_ids ids = raft_conf_members(&n->conf);
	/* Who is to be removed takes part until that is applied, and is told so for a moment. */
	VEC_FOREACH (&n->applied_members.list, m)
		raft_ids_add(&ids, (*m)->id);
	VEC_FOREACH (&n->departed, d)
		raft_ids_add(&ids, d->id);
	for (unsigned i = 0; i < ids.n; i++)
		add_address(n, ids.at[i], &a, list, &count);
	/* Who joins knows no configuration, but was told who is there. */
	if (!ids.n)
		VEC_FOREACH (&n->fresh.list, m)
			add_address(n, (*m)->id, &a, list, &count);
	peers_set(n->server->peers, list, count);
	VEC(uint64_t) removed = {0};
	VEC_FOREACH (&n->applied_members.removed, id) {
		if (!raft_ids_has(&ids, *id))
			*vec_push(&removed) = *id;
	}
	peers_set_removed(n->server->peers, removed.at, removed.n);
	vec_deinit(&removed);
}

/* What this member is, by the configuration in force and by what is applied. It is alone when the
 * removal of the others is applied: what they may have told of before is then applied here too. It
 * is out when nobody may need its vote, which in a joint configuration comes later. */
static void note_place(struct node *n)
{
	struct raft_ids ids = raft_conf_members(&n->conf);
	uint64_t id = n->server->member_id;
	bool in = raft_ids_has(&ids, id);
	n->alone = in && ids.n == 1 && n->applied_members.list.n <= 1;
	if (!in && members_is_removed(&n->applied_members, id))
		server_removed(n->server);
}

void roster_conf(struct node *n, const struct raft_conf *conf)
{
	n->conf = *conf;
	connect_members(n);
	note_place(n);
}

static void note_conf(struct node *n, struct slice entry)
{
	struct raft_conf conf;
	struct slice context;
	struct member_change c;
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	if (!raft_conf_entry_decode(entry, &conf, &context))
		return;
	while (member_change_next(&context, &a, &c)) {
		if (c.op == MEMBER_ADD)
			members_put(&n->fresh, c.member);
	}
}

static void note_entry(struct node *n, const struct raft_entry *e)
{
	if (e->type == RAFT_ENTRY_CONF)
		note_conf(n, blob_view(e->data));
}

void roster_note_entries(struct node *n, const struct raft_entries *list)
{
	VEC_FOREACH (list, e)
		note_entry(n, e);
}

/* --- what is applied --- */

static int read_store(struct node *n, struct raft_conf *ret)
{
	struct kv_txn *kv;
	int r = store_begin(n->server->store, false, &kv);
	if (r)
		return r;
	members_deinit(&n->applied_members);
	members_init(&n->applied_members);
	r = members_read(kv, &n->applied_members);
	if (!r)
		r = conf_read(kv, ret);
	store_end(kv);
	return r;
}

static void take_facts(struct node *n)
{
	struct server *s = n->server;
	const Etcdserverpb__Member *self = find(n, s->member_id);
	s->learner = self && self->islearner;
}

int roster_boot(struct node *n, const struct raft_entries *log, struct raft_conf *ret,
                struct err *err)
{
	int r = read_store(n, ret);
	if (r)
		return err_set(err, (enum err_code) - r, "cannot read the members");
	uint64_t applied = store_durable(n->server->store).index;
	VEC_FOREACH (log, e) {
		if (e->index > applied)
			note_entry(n, e);
	}
	take_facts(n);
	return 0;
}

/* Of the members before: they may still wait for an answer, and for the news. */
static void note_departed(struct node *n, struct members *before)
{
	VEC_FOREACH (&before->list, m) {
		if (members_find(&n->applied_members, (*m)->id))
			continue;
		*vec_push(&n->departed) =
		    (struct departed){(*m)->id, loop_now_ms(n->loop) + DEPARTED_MS};
		members_put(&n->fresh, *m);
	}
}

static void forget_departed(struct node *n)
{
	size_t kept = 0, before = n->departed.n;
	uint64_t now_ms = loop_now_ms(n->loop);
	VEC_FOREACH (&n->departed, d) {
		if (d->until_ms > now_ms)
			n->departed.at[kept++] = *d;
	}
	n->departed.n = kept;
	if (kept < before)
		connect_members(n);
}

void roster_reload(struct node *n)
{
	struct raft_conf applied;
	struct members before = n->applied_members;
	members_init(&n->applied_members);
	if (read_store(n, &applied))
		log_error(NULL, "Could not read the members");
	note_departed(n, &before);
	members_deinit(&before);
	take_facts(n);
	connect_members(n);
	note_place(n);
	node_retry(n, 0);
}

const struct members *node_members(const struct node *n)
{
	return &n->applied_members;
}

/* --- links --- */

static struct link_state *link_of(const struct node *n, uint64_t id)
{
	VEC_FOREACH (&n->links, l) {
		if (l->id == id)
			return l;
	}
	return NULL;
}

void roster_link(struct node *n, uint64_t id, bool up)
{
	struct link_state *l = link_of(n, id);
	if (!l) {
		l = vec_push(&n->links);
		*l = (struct link_state){.id = id};
	}
	l->since_ms = up ? loop_now_ms(n->loop) : 0;
}

bool roster_linked(const struct node *n, uint64_t id, uint64_t for_ms)
{
	if (id == n->server->member_id)
		return true;
	const struct link_state *l = link_of(n, id);
	return l && l->since_ms && loop_now_ms(n->loop) - l->since_ms >= for_ms;
}

static void relieve(struct node *n);

/* --- publishing --- */

/* The others learn this member's name and client URLs by way of the log. */

static bool published(const struct node *n, const Etcdserverpb__Member *self)
{
	const flag_list *urls = &n->server->options->advertise_client_urls;
	if (strcmp(self->name, n->server->options->name) || self->n_clienturls != urls->n)
		return false;
	for (size_t i = 0; i < urls->n; i++) {
		if (strcmp(self->clienturls[i], urls->at[i]))
			return false;
	}
	return true;
}

static void on_published(void *arg)
{
	struct node *n = arg;
	n->publishing = false;
	node_retry(n, NODE_RETRY_MS);
}

/* Any thread. */
static void publish_done(void *arg, int outcome, struct slice answer)
{
	struct node *n = arg;
	pthread_mutex_lock(&n->lock);
	bool post = !n->stopped;
	pthread_mutex_unlock(&n->lock);
	if (post)
		loop_post(n->loop, on_published, n);
}

static void publish(struct node *n)
{
	struct server *s = n->server;
	const Etcdserverpb__Member *self = members_find(&n->applied_members, s->member_id);
	if (n->publishing || !s->leader || !self || s->stopping || published(n, self))
		return;
	n->publishing = true;
	struct request *q = request_new(NULL, COMMAND_MEMBER_ATTRIBUTES);
	q->done = publish_done;
	q->done_arg = n;
	Etcdserverpb__Member *m = arena_new(&q->arena, Etcdserverpb__Member);
	etcdserverpb__member__init(m);
	m->id = s->member_id;
	m->name = arena_strdup(&q->arena, s->options->name);
	m->n_clienturls = s->options->advertise_client_urls.n;
	m->clienturls = arena_array(&q->arena, char *, m->n_clienturls + 1);
	for (size_t i = 0; i < m->n_clienturls; i++)
		m->clienturls[i] = arena_strdup(&q->arena, s->options->advertise_client_urls.at[i]);
	q->message = &m->base;
	node_propose(n, q);
}

void roster_status(struct node *n)
{
	if (n->handed_over && !n->leader && n->server->leader)
		loop_timer_start(&n->hand_over, 0);
	node_retry(n, 0);
}

void roster_retry(struct node *n)
{
	relieve(n);
	publish(n);
	changes_retry(n);
}

void roster_sweep(struct node *n)
{
	forget_departed(n);
	publish(n);
	changes_sweep(n);
}

/* --- handing over --- */

int node_transfer(struct node *n, uint64_t to)
{
	const Etcdserverpb__Member *m = members_find(&n->applied_members, to);
	if (!n->leader)
		return OUTCOME_NOT_LEADER;
	if (!m || m->islearner)
		return OUTCOME_BAD_TRANSFEREE;
	struct raft_event e = {.type = RAFT_TRANSFER, .transfer_to = to};
	int r = node_step(n, &e);
	return r == -ERR_INVALID ? OUTCOME_BAD_TRANSFEREE : r ? OUTCOME_NOT_LEADER : 0;
}

/* The voter that is next to the end of the log; 0: none. */
static uint64_t best_voter(const struct node *n)
{
	uint64_t best = 0, match = 0;
	for (unsigned i = 0; i < n->conf.voters.n; i++) {
		uint64_t id = n->conf.voters.at[i];
		struct raft_progress p;
		if (id != n->server->member_id && raft_progress(n->raft, id, &p) &&
		    peers_connected(n->server->peers, id) && (!best || p.match > match)) {
			best = id;
			match = p.match;
		}
	}
	return best;
}

bool roster_relieve(struct node *n)
{
	uint64_t now_ms = loop_now_ms(n->loop);
	uint64_t since_ms = n->relieved_ms ? now_ms - n->relieved_ms : UINT64_MAX;
	/* Where no member has space they would hand it around. */
	if (since_ms < RELIEVE_AGAIN_MS)
		return since_ms < (uint64_t)n->server->options->election_ms;
	n->relieve_to = n->leader ? best_voter(n) : 0;
	if (!n->relieve_to)
		return false;
	n->relieved_ms = now_ms;
	node_retry(n, 0);
	return true;
}

static void relieve(struct node *n)
{
	uint64_t to = n->relieve_to;
	n->relieve_to = 0;
	if (to && !node_transfer(n, to))
		log_warning("No space: handing the leadership over");
}

static void on_handed_over(void *arg)
{
	struct node *n = arg;
	loop_fn done = TAKE(n->handed_over);
	if (done)
		done(n->handed_over_arg);
}

void node_hand_over(struct node *n, loop_fn done, void *arg)
{
	n->handed_over = done;
	n->handed_over_arg = arg;
	uint64_t to = n->leader ? best_voter(n) : 0;
	bool begun = to && !node_transfer(n, to);
	if (begun)
		log_info("Handing the leadership over");
	loop_timer_start(&n->hand_over, begun ? (uint64_t)n->server->options->election_ms : 0);
}

/* --- life --- */

void roster_init(struct node *n)
{
	members_init(&n->applied_members);
	members_init(&n->fresh);
	loop_timer_init(&n->hand_over, n->loop, on_handed_over, n);
}

void roster_stop(struct node *n)
{
	loop_timer_stop(&n->hand_over);
	changes_stop(n);
}

void roster_deinit(struct node *n)
{
	members_deinit(&n->applied_members);
	members_deinit(&n->fresh);
	vec_deinit(&n->links);
	vec_deinit(&n->departed);
	vec_deinit(&n->changes);
}
