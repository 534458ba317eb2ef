/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/raft_cluster.h"

#include <inttypes.h>
#include <stdio.h>

#define CHECK(c, cond, ...)                                                                \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ms: ", (c)->seed, \
			        (c)->now_ms);                                              \
			fprintf(stderr, __VA_ARGS__);                                      \
			fprintf(stderr, "\n");                                             \
			abort();                                                           \
		}                                                                          \
	} while (0)

static uint64_t mix(uint64_t state, const struct raft_entry *e)
{
	uint64_t head[] = {state, e->index, e->term, e->type};
	struct slice data = blob_view(e->data);
	return hash_bytes(data.data, data.len, hash_bytes(head, sizeof(head), 1));
}

static void put_once(struct cluster *c, const struct cluster_packet *packet)
{
	const struct raft_message *m = &packet->m;
	bool back = packet->kind == PACKET_RESULT;
	uint64_t from = back ? m->to : m->from, to = back ? m->from : m->to;
	if (c->cut[from][to] || rng_below(&c->rng, 100) < c->drop_percent)
		return;
	struct cluster_packet *p = vec_push(&c->net);
	*p = *packet;
	p->due_ms = c->now_ms + rng_below(&c->rng, c->delay_ms + 1);
	if (m->type != RAFT_MSG_APPEND)
		return;
	p->m.append.entries = (struct raft_entries){0};
	VEC_FOREACH (&m->append.entries, e)
		raft_entries_add(&p->m.append.entries, e);
}

static void put(struct cluster *c, const struct cluster_packet *packet)
{
	put_once(c, packet);
	if (rng_below(&c->rng, 100) < c->double_percent)
		put_once(c, packet);
}

static void start_snapshot(struct cluster *c, const struct raft_message *m)
{
	static const struct chunks_options options = {
	    .chunk_bytes = 100, .window_bytes = 300, .resend_ms = 50, .give_up_ms = 1000};
	struct cluster_snapshot *s = &c->nodes[m->from - 1].out[m->to];
	*s = (struct cluster_snapshot){.running = true, .m = *m};
	chunks_send_init(&s->send, &options, rng_next(&c->rng) | 1, rng_below(&c->rng, 2000),
	                 c->now_ms);
}

static void send_all(struct cluster *c, const struct raft_messages *list)
{
	VEC_FOREACH (list, m) {
		if (m->type == RAFT_MSG_SNAPSHOT)
			start_snapshot(c, m);
		else
			put(c, &(struct cluster_packet){.m = *m});
	}
}

/* What is under way to a peer is what its ring says, and stands before the next entry. */
static void check_inflight(struct cluster *c, const struct raft *r, const struct peer *p)
{
	uint64_t bytes = 0, last = p->match;
	for (uint32_t i = 0; i < p->inflight_n; i++) {
		const struct inflight *f =
		    &p->inflight[(p->inflight_at + i) % r->opt.inflight_limit];
		CHECK(c, f->last > last && f->last < p->next, "unanswered appends out of order");
		last = f->last;
		bytes += f->bytes;
	}
	CHECK(c, bytes == p->inflight_bytes, "%" PRIu64 " bytes under way, not %" PRIu64, bytes,
	      p->inflight_bytes);
	CHECK(c, p->match < p->next, "an entry that matches would be sent");
}

static void check_leader(struct cluster *c, struct cluster_node *n)
{
	struct raft *r = n->raft;
	if (r->role != RAFT_LEADER)
		return;
	for (unsigned i = 0; i < r->n_peers; i++)
		if (r->peers[i].id != n->id)
			check_inflight(c, r, &r->peers[i]);
	uint64_t *leader = &c->leader_of[r->hard.term];
	CHECK(c, *leader == 0 || *leader == n->id, "two leaders in term %" PRIu64, r->hard.term);
	if (*leader == 0) {
		*leader = n->id;
		for (uint64_t i = r->tail.mark.index + 1; i <= c->commit; i++)
			CHECK(c, tail_term(&r->tail, i) == c->term_of[i],
			      "leader %" PRIu64 " lacks committed entry %" PRIu64, n->id, i);
	}
}

/* A hash of the log up to here, by index and term; 0: no such entry was ever in a log. */
static uintptr_t prefix_of(const struct cluster *c, uint64_t index, uint64_t term)
{
	uint64_t key[] = {index, term};
	return index ? (uintptr_t)map_get(&c->prefixes, slice_of(key, sizeof(key))) : 1;
}

/* Log matching: an entry of equal index and term stands behind equal entries in every log. */
static void check_matching(struct cluster *c, const struct cluster_node *n,
                           const struct raft_entries *fresh)
{
	uintptr_t prefix = 0;
	VEC_FOREACH (fresh, e) {
		if (e == fresh->at)
			prefix =
			    prefix_of(c, e->index - 1, tail_term(&n->raft->tail, e->index - 1));
		CHECK(c, prefix, "entry %" PRIu64 " follows an unknown one", e->index);
		prefix = (uintptr_t)mix(prefix, e) | 1;
		uintptr_t other = prefix_of(c, e->index, e->term);
		uint64_t key[] = {e->index, e->term};
		CHECK(c, other == 0 || other == prefix,
		      "member %" PRIu64 " has another log up to %" PRIu64 " of term %" PRIu64,
		      n->id, e->index, e->term);
		if (!other)
			map_put(&c->prefixes, slice_of(key, sizeof(key)), (void *)prefix);
	}
}

static const struct raft_conf *conf_of(const struct cluster *c, uint64_t index)
{
	size_t i = c->confs.n;
	while (i > 0 && c->confs.at[i - 1].index > index)
		i--;
	return i ? &c->confs.at[i - 1].conf : &c->conf;
}

static void apply_conf(struct cluster *c, struct cluster_node *n, const struct raft_entry *e,
                       bool first)
{
	if (e->type != RAFT_ENTRY_CONF)
		return;
	CHECK(c, raft_conf_decode(blob_view(e->data), &n->conf), "no configuration");
	if (!first)
		return;
	c->changes++;
	*vec_push(&c->confs) = (struct conf_entry){e->index, n->conf};
}

static void apply(struct cluster *c, struct cluster_node *n, const struct raft_entries *list)
{
	VEC_FOREACH (list, e) {
		CHECK(c, e->index == n->applied + 1, "entry %" PRIu64 " applied after %" PRIu64,
		      e->index, n->applied);
		CHECK(c, e->index < CLUSTER_INDEX_MAX, "the test is too long");
		n->state = mix(n->state, e);
		n->applied = e->index;
		apply_conf(c, n, e, e->index > c->commit);
		if (e->index > c->commit) {
			c->commit = e->index;
			c->term_of[e->index] = e->term;
			c->state_of[e->index] = n->state;
		}
		CHECK(c, c->term_of[e->index] == e->term && c->state_of[e->index] == n->state,
		      "member %" PRIu64 " applied another entry at %" PRIu64, n->id, e->index);
	}
	if (list->n)
		*vec_push(&n->later) =
		    (struct raft_event){.type = RAFT_APPLIED, .applied_index = n->applied};
}

static void install(struct cluster *c, struct cluster_node *n, struct raft_mark mark,
                    const struct raft_conf *conf)
{
	CHECK(c, mark.index <= c->commit && c->term_of[mark.index] == mark.term,
	      "a snapshot of what is not committed");
	CHECK(c, raft_conf_equal(conf, conf_of(c, mark.index)),
	      "a snapshot at %" PRIu64 " with another configuration", mark.index);
	n->conf = *conf;
	n->applied = mark.index;
	n->state = c->state_of[mark.index];
	raft_entries_clear(&n->log);
	n->mark = mark;
	VEC_FOREACH (&n->writes, w)
		raft_entries_clear(&w->entries);
	c->snapshots++;
	*vec_push(&n->later) = (struct raft_event){
	    .type = RAFT_SNAPSHOT_DONE,
	    .snapshot_done = {mark, true},
	};
}

static void answer(struct cluster *c, struct cluster_node *n, const struct raft_reads *reads)
{
	VEC_FOREACH (reads, r) {
		bool found = false;
		for (size_t i = 0; i < n->read_floor.n && !found; i++) {
			if (n->read_floor.at[i].context != r->context)
				continue;
			found = true;
			CHECK(c,
			      r->index == 0 ||
			          (r->index >= n->read_floor.at[i].index && r->index <= n->applied),
			      "a read answered at %" PRIu64 ", needs %" PRIu64, r->index,
			      n->read_floor.at[i].index);
			vec_remove(&n->read_floor, i);
		}
		CHECK(c, found, "a read answered twice");
		n->reads_done += r->index != 0;
		n->reads_failed += r->index == 0;
	}
}

int cluster_step(struct cluster *c, struct cluster_node *n, struct raft_event *e)
{
	struct raft_update u = {0};
	e->now_ms = c->now_ms;
	int res = raft_step(n->raft, e, &u);
	if (res < 0)
		return res;
	check_matching(c, n, &u.persist.entries);
	if (u.persist.seq) {
		*vec_push(&n->writes) = (struct cluster_write){
		    .seq = u.persist.seq,
		    .due_ms = c->now_ms + rng_below(&c->rng, c->disk_ms + 1),
		    .has_hard_state = u.persist.has_hard_state,
		    .hard_state = u.persist.hard_state,
		    .entries = u.persist.entries,
		    .then = u.send_persisted,
		};
		u.persist.entries = (struct raft_entries){0};
		u.send_persisted = (struct raft_messages){0};
	}
	if (u.has_install)
		install(c, n, u.install, &u.install_conf);
	send_all(c, &u.send_now);
	apply(c, n, &u.committed);
	answer(c, n, &u.reads);
	n->deadline_ms = u.deadline_ms;
	raft_update_deinit(&u);
	check_leader(c, n);
	return 0;
}

/* One batch reaches the disk. */
static void store(struct cluster_node *n, const struct cluster_write *w)
{
	if (w->has_hard_state)
		n->hard_state = w->hard_state;
	VEC_FOREACH (&w->entries, e) {
		while (n->mark.index + n->log.n >= e->index)
			blob_unref(vec_pop(&n->log).data);
		raft_entries_add(&n->log, e);
	}
}

static void write_deinit(struct cluster_write *w)
{
	raft_entries_deinit(&w->entries);
	raft_messages_deinit(&w->then);
}

static void finish_write(struct cluster *c, struct cluster_node *n)
{
	struct cluster_write w = n->writes.at[0];
	vec_remove(&n->writes, 0);
	store(n, &w);
	send_all(c, &w.then);
	write_deinit(&w);
	struct raft_event e = {.type = RAFT_PERSISTED, .persisted_seq = w.seq};
	ERR_IGNORE(cluster_step(c, n, &e)); /* reports do not fail */
}

static void deliver_message(struct cluster *c, const struct raft_message *m)
{
	struct cluster_node *n = &c->nodes[m->to - 1];
	struct raft_event e = {.type = RAFT_RECEIVE, .message = m};
	if (n->raft)
		ERR_IGNORE(cluster_step(c, n, &e)); /* messages do not fail */
}

static void deliver_chunk(struct cluster *c, struct cluster_packet *p)
{
	struct cluster_node *n = &c->nodes[p->m.to - 1];
	uint64_t skip;
	if (!n->raft || p->m.term < n->raft->hard.term)
		return;
	c->chunks++;
	enum chunk_use use = chunks_receive(&n->in, &p->chunk, &skip);
	CHECK(c, use != CHUNK_BAD, "a bad chunk");
	if (use != CHUNK_IGNORE) {
		chunks_receive_written(&n->in, &p->chunk);
		if (chunks_receive_done(&n->in))
			deliver_message(c, &p->m);
	}
	p->kind = PACKET_RESULT;
	p->result = chunks_receive_result(&n->in, &p->chunk);
	put(c, p);
}

static void deliver(struct cluster *c, size_t i)
{
	struct cluster_packet p = c->net.at[i];
	vec_swap_remove(&c->net, i);
	switch (p.kind) {
	case PACKET_MESSAGE:
		deliver_message(c, &p.m);
		break;
	case PACKET_CHUNK:
		deliver_chunk(c, &p);
		break;
	case PACKET_RESULT:
		chunks_send_result(&c->nodes[p.m.from - 1].out[p.m.to].send, &p.result, c->now_ms);
		break;
	}
	if (p.m.type == RAFT_MSG_APPEND)
		raft_entries_deinit(&p.m.append.entries);
}

static void turn_snapshot(struct cluster *c, struct cluster_node *n, struct cluster_snapshot *s)
{
	struct cluster_packet p = {.kind = PACKET_CHUNK, .m = s->m};
	while (chunks_send_next(&s->send, c->now_ms, &p.chunk))
		put(c, &p);
	enum chunks_state state = chunks_send_state(&s->send, c->now_ms);
	if (state == CHUNKS_RUNNING)
		return;
	s->running = false;
	struct raft_event e = {.type = RAFT_SNAPSHOT_SENT,
	                       .snapshot_sent = {s->m.to, state == CHUNKS_DONE}};
	ERR_IGNORE(cluster_step(c, n, &e)); /* reports do not fail */
}

static void turn_node(struct cluster *c, struct cluster_node *n)
{
	while (n->later.n) {
		struct raft_event e = n->later.at[0];
		vec_remove(&n->later, 0);
		ERR_IGNORE(cluster_step(c, n, &e)); /* reports do not fail */
	}
	for (unsigned i = 1; i <= c->n; i++) {
		/* Who leads no more, or in another term, has no snapshot to send. */
		n->out[i].running = n->out[i].running && n->raft->role == RAFT_LEADER &&
		                    n->out[i].m.term == n->raft->hard.term;
		if (n->out[i].running)
			turn_snapshot(c, n, &n->out[i]);
	}
	while (n->writes.n && n->writes.at[0].due_ms <= c->now_ms)
		finish_write(c, n);
	if (n->deadline_ms <= c->now_ms) {
		struct raft_event e = {.type = RAFT_TICK};
		ERR_IGNORE(cluster_step(c, n, &e)); /* ticks do not fail */
	}
}

void cluster_turn(struct cluster *c)
{
	c->now_ms++;
	for (size_t i = 0; i < c->net.n;) {
		if (c->net.at[i].due_ms <= c->now_ms)
			deliver(c, i);
		else
			i++;
	}
	for (unsigned i = 0; i < c->n; i++)
		if (c->nodes[i].raft)
			turn_node(c, &c->nodes[i]);
}

void cluster_run(struct cluster *c, uint64_t ms)
{
	for (uint64_t end = c->now_ms + ms; c->now_ms < end;)
		cluster_turn(c);
}

void cluster_start(struct cluster *c, unsigned node)
{
	struct cluster_node *n = &c->nodes[node];
	if (n->raft)
		return;
	struct raft_options opt = c->options;
	opt.id = n->id;
	rng_init(&opt.rng, rng_next(&c->rng));
	struct raft_boot boot = {
	    .hard_state = n->hard_state,
	    .mark = n->mark,
	    .entries = &n->log,
	    .applied = n->applied,
	    .conf = n->conf,
	    .now_ms = c->now_ms,
	};
	struct err err = ERR_INIT;
	n->raft = raft_new(&opt, &boot, &err);
	CHECK(c, n->raft, "member %" PRIu64 " does not start: %s", n->id, err.text);
	n->deadline_ms = c->now_ms;
}

void cluster_crash(struct cluster *c, unsigned node)
{
	struct cluster_node *n = &c->nodes[node];
	if (!n->raft)
		return;
	/* Some batches may have reached the disk without anybody having heard of it. */
	uint64_t kept = rng_below(&c->rng, n->writes.n + 1);
	for (size_t i = 0; i < n->writes.n; i++) {
		if (i < kept)
			store(n, &n->writes.at[i]);
		write_deinit(&n->writes.at[i]);
	}
	vec_clear(&n->writes);
	vec_clear(&n->later);
	vec_clear(&n->read_floor);
	memset(n->out, 0, sizeof(n->out));
	/* The file with what has arrived of a snapshot may be shorter after a crash. */
	n->in.have -= rng_below(&c->rng, n->in.have + 1);
	raft_free(TAKE(n->raft));
}

void cluster_init_some(struct cluster *c, unsigned n, unsigned voters, uint64_t seed)
{
	*c = (struct cluster){.seed = seed, .n = n, .delay_ms = 5, .disk_ms = 3};
	rng_init(&c->rng, seed);
	map_init(&c->prefixes, 0);
	for (unsigned i = 0; i < voters; i++)
		raft_ids_add(&c->conf.voters, i + 1);
	for (unsigned i = 0; i < n; i++) {
		c->nodes[i].id = i + 1;
		if (i < voters)
			c->nodes[i].conf = c->conf;
		cluster_start(c, i);
	}
}

void cluster_init(struct cluster *c, unsigned n, uint64_t seed)
{
	cluster_init_some(c, n, n, seed);
}

void cluster_deinit(struct cluster *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		cluster_crash(c, i);
		raft_entries_deinit(&c->nodes[i].log);
		vec_deinit(&c->nodes[i].writes);
		vec_deinit(&c->nodes[i].later);
		vec_deinit(&c->nodes[i].read_floor);
	}
	VEC_FOREACH (&c->net, p)
		if (p->m.type == RAFT_MSG_APPEND)
			raft_entries_deinit(&p->m.append.entries);
	vec_deinit(&c->net);
	vec_deinit(&c->confs);
	map_deinit(&c->prefixes);
}

void cluster_heal(struct cluster *c)
{
	memset(c->cut, 0, sizeof(c->cut));
	c->drop_percent = c->double_percent = 0;
	for (unsigned i = 0; i < c->n; i++)
		cluster_start(c, i);
}

struct cluster_node *cluster_leader(struct cluster *c)
{
	struct cluster_node *best = NULL;
	for (unsigned i = 0; i < c->n; i++) {
		struct cluster_node *n = &c->nodes[i];
		if (n->raft && n->raft->role == RAFT_LEADER &&
		    (!best || n->raft->hard.term > best->raft->hard.term))
			best = n;
	}
	return best;
}

int cluster_propose(struct cluster *c, struct cluster_node *n, uint64_t value)
{
	struct blob *b = blob_dup(slice_of(&value, sizeof(value)));
	struct raft_event e = {.type = RAFT_PROPOSE, .propose = {&b, 1}};
	int r = cluster_step(c, n, &e);
	blob_unref(b);
	return r;
}

int cluster_read(struct cluster *c, struct cluster_node *n)
{
	uint64_t context = ++c->next_context;
	*vec_push(&n->read_floor) = (struct raft_read_result){context, c->commit};
	struct raft_event e = {.type = RAFT_READ, .read_context = context};
	int r = cluster_step(c, n, &e);
	if (r < 0)
		n->read_floor.n--;
	return r;
}

int cluster_change(struct cluster *c, struct cluster_node *n, const struct raft_change_request *q)
{
	struct raft_event e = {.type = RAFT_CHANGE, .change = q};
	return cluster_step(c, n, &e);
}

int cluster_transfer(struct cluster *c, struct cluster_node *n, uint64_t to)
{
	struct raft_event e = {.type = RAFT_TRANSFER, .transfer_to = to};
	return cluster_step(c, n, &e);
}

void cluster_break(struct cluster *c, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < 2; i++) {
		struct cluster_node *n = &c->nodes[i ? a : b];
		struct raft_event e = {.type = RAFT_PEER_UNREACHABLE,
		                       .unreachable = c->nodes[i ? b : a].id};
		if (n->raft)
			ERR_IGNORE(cluster_step(c, n, &e)); /* news do not fail */
	}
}

void cluster_compact(struct cluster *c, struct cluster_node *n, uint64_t index)
{
	struct raft_event e = {.type = RAFT_COMPACT, .compact_index = MIN(index, n->applied)};
	ERR_IGNORE(cluster_step(c, n, &e)); /* compacting does not fail */
	size_t k = 0;
	while (k < n->log.n && n->log.at[k].index <= n->raft->tail.mark.index)
		blob_unref(n->log.at[k++].data);
	if (!k)
		return;
	n->mark = (struct raft_mark){n->log.at[k - 1].index, n->log.at[k - 1].term};
	memmove(n->log.at, n->log.at + k, (n->log.n - k) * sizeof(*n->log.at));
	n->log.n -= k;
}
