/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"
#include "raftstore/raft/core.h"
#include "tests/sim/leases.h"

/* --- hashes --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 31;
}

static uint64_t mix_bytes(uint64_t h, struct slice s)
{
	h = mix(h, s.len);
	size_t i = 0;
	for (; i + 8 <= s.len; i += 8) {
		uint64_t v;
		memcpy(&v, s.data + i, 8);
		h = mix(h, v);
	}
	uint64_t last = 0;
	if (i < s.len)
		memcpy(&last, s.data + i, s.len - i);
	return mix(h, last);
}

/* Of the named things only those that entries change, in their own order. */
static bool is_shared(enum kv_table table, struct slice key)
{
	static const char *const prefixes[] = {"members", "removed", "conf", "alarm", "auth"};
	if (table == KV_LEASE || table == KV_LEASE_KEYS)
		return true;
	for (size_t i = 0; table == KV_META && i < ARRAY_LEN(prefixes); i++)
		if (slice_has_prefix(key, slice_str(prefixes[i])))
			return true;
	return false;
}

void state_hash_put(struct state_hash *s, enum kv_table table, struct slice key, struct slice value)
{
	struct record r;
	if (table == KV_REV && record_decode(key, value, &r)) {
		/* Where the change before it stands depends on what has been erased. */
		s->hash = mix(s->hash, (uint64_t)r.rev.main);
		s->hash = mix(s->hash, (uint64_t)r.rev.sub * 2 + r.deleted);
		s->hash = mix(s->hash, (uint64_t)r.version);
		s->hash = mix(s->hash, (uint64_t)r.create);
		s->hash = mix(s->hash, (uint64_t)r.lease);
		s->hash = mix_bytes(mix_bytes(s->hash, r.key), r.value);
	} else if (is_shared(table, key)) {
		s->hash = mix_bytes(mix_bytes(mix(s->hash, table), key), value);
	}
}

void state_hash_del(struct state_hash *s, enum kv_table table, struct slice key)
{
	if (is_shared(table, key))
		s->hash = mix_bytes(mix(s->hash, 100u + table), key);
}

/* --- the model --- */

struct model model;

/* Newest change by key: few keys. */
struct newest {
	struct slice key;
	size_t change;
};

static VEC(struct newest) newest;

/* Values that were written, by their number: where. */
static VEC(int64_t) written;

static struct newest *newest_of(struct slice key)
{
	VEC_FOREACH (&newest, n)
		if (slice_eq(n->key, key))
			return n;
	return NULL;
}

static struct slice keep(struct slice s)
{
	uint8_t *p = malloc(s.len + 1);
	if (s.len)
		memcpy(p, s.data, s.len);
	return slice_of(p, s.len);
}

/* Clients never write a value twice: nor does the store. */
static void check_once(const struct record *r)
{
	uint64_t value = 0;
	if (r->deleted || !slice_has_prefix(r->key, SLICE_LIT("/registry/pods/")))
		return;
	for (size_t i = 0; i < r->value.len && r->value.data[i] != ':'; i++)
		value = value * 10 + (uint64_t)(r->value.data[i] - '0');
	if (value > 1000000)
		return;
	while (written.n <= value)
		*vec_push(&written) = 0;
	SIM_CHECK(!written.at[value], "write %llu is done twice, at revisions %lld and %lld",
	          (unsigned long long)value, (long long)written.at[value], (long long)r->rev.main);
	written.at[value] = r->rev.main;
}

static void model_add(const struct record *r)
{
	check_once(r);
	struct newest *n = newest_of(r->key);
	struct change c = {
	    .main = r->rev.main,
	    .sub = r->rev.sub,
	    .create = r->create,
	    .version = r->version,
	    .lease = r->lease,
	    .deleted = r->deleted,
	    .key = n ? n->key : keep(r->key),
	    .value = keep(r->value),
	    .at_us = sim_now_us(),
	    .previous = n ? n->change : 0,
	};
	*vec_push(&model.changes) = c;
	if (!n) {
		n = vec_push(&newest);
		n->key = c.key;
	}
	n->change = model.changes.n;
	while ((int64_t)model.first.n <= c.main)
		*vec_push(&model.first) = model.changes.n - 1;
	model.revision = MAX(model.revision, c.main);
	sim.stats.revisions++;
	leases_change(vec_last(&model.changes));
}

size_t model_from(int64_t revision)
{
	if (revision < 0)
		revision = 0;
	return revision < (int64_t)model.first.n ? model.first.at[revision] : model.changes.n;
}

const struct change *model_find(struct slice key, int64_t revision)
{
	struct newest *n = newest_of(key);
	size_t at = n ? n->change : 0;
	while (at && model.changes.at[at - 1].main > revision)
		at = model.changes.at[at - 1].previous;
	return at ? &model.changes.at[at - 1] : NULL;
}

const struct change *model_get(struct slice key, int64_t revision)
{
	const struct change *c = model_find(key, revision);
	return c && !c->deleted ? c : NULL;
}

/* Every member's change of a revision is the first one's. */
void check_change(struct member *m, struct slice rev, struct slice bytes)
{
	struct record r;
	if (!record_decode(rev, bytes, &r)) {
		sim_fail(SIM_SAFETY, "member %u writes a record that does not decode", m->at);
		return;
	}
	for (size_t i = model_from(r.rev.main); i < model.changes.n; i++) {
		const struct change *c = &model.changes.at[i];
		if (c->main != r.rev.main)
			break;
		if (c->sub != r.rev.sub)
			continue;
		SIM_CHECK(slice_eq(c->key, r.key) && slice_eq(c->value, r.value) &&
		              c->deleted == r.deleted && c->version == r.version &&
		              c->create == r.create && c->lease == r.lease,
		          "member %u has another change at revision %lld.%lld: %.*s", m->at,
		          (long long)r.rev.main, (long long)r.rev.sub, (int)r.key.len,
		          (const char *)r.key.data);
		return;
	}
	const struct change *last = model.changes.n ? vec_last(&model.changes) : NULL;
	bool follows = last ? (r.rev.main == last->main + 1 && !r.rev.sub) ||
	                          (r.rev.main == last->main && r.rev.sub == last->sub + 1)
	                    : true;
	SIM_CHECK(follows, "member %u commits revision %lld.%lld behind %lld.%lld", m->at,
	          (long long)r.rev.main, (long long)r.rev.sub, last ? (long long)last->main : 0,
	          last ? (long long)last->sub : 0);
	model_add(&r);
}

/* --- applied state --- */

struct applied {
	uint64_t hash;
	bool known;
	unsigned member;
};

static VEC(struct applied) applied;

static void check_state(struct member *m, uint64_t index, const struct state_hash *s)
{
	if (index > 1000000)
		return;
	while (applied.n <= index)
		*vec_push(&applied) = (struct applied){0};
	struct applied *a = &applied.at[index];
	SIM_CHECK(!a->known || a->hash == s->hash,
	          "members %u and %u differ in what they have applied up to entry %llu", m->at,
	          a->member, (unsigned long long)index);
	if (!a->known)
		*a = (struct applied){s->hash, true, m->at};
}

void check_commit(struct member *m, struct kv_txn *kv, const struct state_hash *state)
{
	struct slice v;
	if (kv_get(kv, KV_META, SLICE_LIT("applied"), &v) || v.len != 16)
		return;
	uint64_t index = get_be64(v.data);
	SIM_CHECK(index <= check_committed(), "member %u has applied entry %llu of %llu committed",
	          m->at, (unsigned long long)index, (unsigned long long)check_committed());
	check_state(m, index, state);
}

void check_install(struct member *m, uint64_t index, const struct state_hash *state)
{
	check_state(m, index, state);
}

/* --- logs --- */

/* An entry by place and term: what it is and all before it. */
struct logged {
	uint64_t term, prefix;
};

struct place {
	VEC(struct logged) at;
	bool committed;
	uint64_t committed_term;
	uint64_t committed_in; /* the term of who knew it first */
};

static VEC(struct place) places;
static VEC(struct member *) leaders; /* by term */
static uint64_t committed_index;
static uint64_t newest_term;

/* A vote, by member and term. */
struct voted {
	unsigned member;
	uint64_t term, candidate;
};

static VEC(struct voted) voted;

struct asked {
	struct raft *raft;
	uint64_t context, floor;
};

static VEC(struct asked) asked;

/* By member: what it must know after a crash, because it has told others. */
struct told {
	uint64_t term;
	uint64_t match_term, match; /* the last entry acknowledged in this term */
};

static struct told told[MEMBERS_MAX];

/* Configurations that are committed, in order. */
static VEC(struct conf_entry) confs;

void check_reset(void)
{
	memset(&model, 0, sizeof(model));
	memset(&newest, 0, sizeof(newest));
	memset(&applied, 0, sizeof(applied));
	memset(&places, 0, sizeof(places));
	memset(&leaders, 0, sizeof(leaders));
	memset(&voted, 0, sizeof(voted));
	memset(&asked, 0, sizeof(asked));
	memset(told, 0, sizeof(told));
	memset(&confs, 0, sizeof(confs));
	memset(&written, 0, sizeof(written));
	committed_index = newest_term = 0;
	model.revision = 1;
}

static struct place *place_of(uint64_t index)
{
	while (places.n <= index)
		*vec_push(&places) = (struct place){0};
	return &places.at[index];
}

static struct logged *logged_of(uint64_t index, uint64_t term)
{
	struct place *p = place_of(index);
	VEC_FOREACH (&p->at, l)
		if (l->term == term)
			return l;
	return NULL;
}

static void check_entry(struct member *m, struct raft *r, const struct raft_entry *e)
{
	uint64_t prefix = 1;
	if (e->index > 1) {
		uint64_t term = e->index - 1 == r->tail.mark.index
		                    ? r->tail.mark.term
		                    : tail_term(&r->tail, e->index - 1);
		struct logged *before = logged_of(e->index - 1, term);
		if (!before) {
			SIM_CHECK(false, "member %u has entry %llu behind one that nobody had",
			          m->at, (unsigned long long)e->index);
			return;
		}
		prefix = before->prefix;
	}
	prefix = mix_bytes(mix(mix(prefix, e->term), e->type), blob_view(e->data));
	struct logged *l = logged_of(e->index, e->term);
	SIM_CHECK(!l || l->prefix == prefix,
	          "member %u: the logs do not match at entry %llu of term %llu", m->at,
	          (unsigned long long)e->index, (unsigned long long)e->term);
	if (!l)
		*vec_push(&place_of(e->index)->at) = (struct logged){e->term, prefix};
}

static void check_committed_entry(struct member *m, const struct raft_entry *e, uint64_t term)
{
	struct place *p = place_of(e->index);
	SIM_CHECK(!p->committed || p->committed_term == e->term,
	          "member %u commits entry %llu of term %llu where term %llu is committed", m->at,
	          (unsigned long long)e->index, (unsigned long long)e->term,
	          (unsigned long long)p->committed_term);
	if (!p->committed)
		p->committed_in = term;
	p->committed = true;
	p->committed_term = e->term;
	committed_index = MAX(committed_index, e->index);
}

uint64_t check_committed(void)
{
	return committed_index;
}

static void check_leadership(struct member *m, struct raft *r)
{
	uint64_t term = r->hard.term;
	while (leaders.n <= term)
		*vec_push(&leaders) = NULL;
	struct member *known = leaders.at[term];
	SIM_CHECK(!known || known == m, "members %u and %u lead in term %llu", m->at,
	          known ? known->at : 0, (unsigned long long)term);
	if (known)
		return;
	sim_say("leads in term %llu", (unsigned long long)term);
	sim.stats.elections++;
	leaders.at[term] = m;
	newest_term = MAX(newest_term, term);
	/* Leader completeness (paper, section 5.4): of what was committed in terms before. The
	 * votes of this one may be late, so that later terms have committed more. */
	uint64_t index = committed_index;
	while (index && places.at[index].committed && places.at[index].committed_in >= term)
		index--;
	if (index && index > r->tail.mark.index && places.at[index].committed) {
		uint64_t has = tail_term(&r->tail, index);
		SIM_CHECK(has == places.at[index].committed_term,
		          "member %u leads in term %llu without the committed entry %llu", m->at,
		          (unsigned long long)term, (unsigned long long)index);
	}
}

uint64_t check_leader(struct member **ret)
{
	*ret = newest_term < leaders.n ? leaders.at[newest_term] : NULL;
	return newest_term;
}

static void note_acknowledged(struct told *t, const struct raft_message *msg)
{
	t->term = MAX(t->term, msg->term);
	if (t->match_term != msg->term)
		t->match = 0;
	t->match_term = msg->term;
	t->match = MAX(t->match, msg->append_result.index);
}

void check_send(struct member *m, const struct raft_message *msg)
{
	struct told *t = &told[m->at];
	if (msg->type == RAFT_MSG_APPEND_RESULT && !msg->append_result.rejected)
		note_acknowledged(t, msg);
	if (msg->type != RAFT_MSG_VOTE_RESULT || msg->vote_result.pre || !msg->vote_result.granted)
		return;
	t->term = MAX(t->term, msg->term);
	VEC_FOREACH (&voted, v) {
		if (v->member != m->at || v->term != msg->term)
			continue;
		SIM_CHECK(v->candidate == msg->to, "member %u votes twice in term %llu", m->at,
		          (unsigned long long)msg->term);
		return;
	}
	*vec_push(&voted) = (struct voted){m->at, msg->term, msg->to};
}

/* --- steps of the core, which the linker leads here --- */

struct raft *__real_raft_new(const struct raft_options *opt, const struct raft_boot *boot,
                             struct err *err);
struct raft *__wrap_raft_new(const struct raft_options *opt, const struct raft_boot *boot,
                             struct err *err);
int __real_raft_step(struct raft *r, const struct raft_event *e, struct raft_update *ret);
int __wrap_raft_step(struct raft *r, const struct raft_event *e, struct raft_update *ret);

static void check_remembers(struct member *m, const struct raft_boot *boot)
{
	const struct told *t = &told[m->at];
	uint64_t term = boot->hard_state.term;
	uint64_t last = boot->mark.index + (boot->entries ? boot->entries->n : 0);
	SIM_CHECK(term >= t->term, "member %u has spoken in term %llu and comes back in term %llu",
	          m->at, (unsigned long long)t->term, (unsigned long long)term);
	SIM_CHECK(term != t->match_term || last >= t->match,
	          "member %u has acknowledged entry %llu and comes back with %llu", m->at,
	          (unsigned long long)t->match, (unsigned long long)last);
	VEC_FOREACH (&voted, v)
		SIM_CHECK(v->member != m->at || v->term != term ||
		              boot->hard_state.vote == v->candidate,
		          "member %u has forgotten its vote of term %llu", m->at,
		          (unsigned long long)term);
}

struct raft *__wrap_raft_new(const struct raft_options *opt, const struct raft_boot *boot,
                             struct err *err)
{
	struct member *m = sim_member();
	check_remembers(m, boot);
	m->raft = __real_raft_new(opt, boot, err);
	m->id = opt->id;
	/* What comes back from the disk is what went there. */
	for (size_t i = 0; m->raft && boot->entries && i < boot->entries->n; i++)
		check_entry(m, m->raft, &boot->entries->at[i]);
	return m->raft;
}

static void check_reads(struct raft *r, const struct raft_update *u)
{
	for (size_t i = 0; i < u->reads.n; i++) {
		for (size_t k = 0; k < asked.n; k++) {
			struct asked *a = &asked.at[k];
			if (a->raft != r || a->context != u->reads.at[i].context)
				continue;
			uint64_t index = u->reads.at[i].index;
			SIM_CHECK(!index || index >= a->floor,
			          "a read is answered at entry %llu, %llu was committed before",
			          (unsigned long long)index, (unsigned long long)a->floor);
			vec_swap_remove(&asked, k);
			break;
		}
	}
}

/* --- commits: what the leader counts must be there --- */

static bool holds(uint64_t id, uint64_t index, uint64_t term)
{
	struct member *m = member_of_id(id);
	if (!m)
		return false;
	const struct raft *r = m->raft;
	if (!m->up || !r)
		return told[m->at].match_term == term && told[m->at].match >= index;
	return index <= r->tail.mark.index ||
	       (tail_term(&r->tail, index) == term && r->tail.persisted >= index) ||
	       (r->installing && index <= r->install.index);
}

static bool has_majority(const struct raft_ids *ids, uint64_t index, uint64_t term)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ids->n; i++)
		n += holds(ids->at[i], index, term);
	return !ids->n || 2 * n > ids->n;
}

/* Paper, sections 5.4.2 and 6. The only voter may commit alone what gives it company. */
static void check_commit_rule(struct member *m, struct raft *r)
{
	uint64_t term = tail_term(&r->tail, r->commit);
	SIM_CHECK(term == r->hard.term,
	          "leader %u of term %llu commits up to entry %llu of term %llu", m->at,
	          (unsigned long long)r->hard.term, (unsigned long long)r->commit,
	          (unsigned long long)term);
	const struct raft_conf *conf = &r->conf;
	for (size_t i = 1; i < r->confs.n; i++) {
		const struct raft_conf *before = &r->confs.at[i - 1].conf;
		if (r->confs.at[i].index >= r->commit && before->voters.n == 1 &&
		    !before->outgoing.n)
			conf = before;
	}
	SIM_CHECK(has_majority(&conf->voters, r->commit, term) &&
	              has_majority(&conf->outgoing, r->commit, term),
	          "leader %u commits entry %llu, which no majority has", m->at,
	          (unsigned long long)r->commit);
}

/* --- configurations --- */

static void note_conf(const struct raft_entry *e)
{
	struct conf_entry c = {.index = e->index};
	if (e->type == RAFT_ENTRY_CONF && (!confs.n || vec_last(&confs)->index < e->index) &&
	    raft_conf_entry_decode(blob_view(e->data), &c.conf, NULL))
		*vec_push(&confs) = c;
}

/* Up to what it has applied a member has the configuration that was committed. */
static void check_conf(struct member *m, struct raft *r)
{
	struct raft_conf mine = raft_conf_at(r, r->applied);
	for (size_t i = confs.n; i-- > 0;) {
		if (confs.at[i].index > r->applied)
			continue;
		SIM_CHECK(raft_conf_equal(&mine, &confs.at[i].conf),
		          "member %u has another configuration at entry %llu", m->at,
		          (unsigned long long)r->applied);
		return;
	}
}

int __wrap_raft_step(struct raft *r, const struct raft_event *e, struct raft_update *u)
{
	struct member *m = sim_member();
	uint64_t commit = r->commit, term = r->hard.term;
	if (e->type == RAFT_READ)
		*vec_push(&asked) = (struct asked){r, e->read_context, committed_index};
	/* A change of one voter needs no joint configuration: half of the additions go that way
	 * all the same. A removal would be answered before the others can do without the member,
	 * which operators here, as anywhere, then take away. */
	struct raft_event joint = *e;
	struct raft_change_request request;
	if (e->type == RAFT_CHANGE && e->change->way == RAFT_CHANGE_AUTO &&
	    e->change->at[0].type != RAFT_REMOVE && sim_chance(500)) {
		request = *e->change;
		request.way = RAFT_CHANGE_JOINT;
		joint.change = &request;
	}
	int result = __real_raft_step(r, &joint, u);
	if (result && e->type == RAFT_READ)
		asked.n--;
	if (result)
		return result;
	SIM_CHECK(r->commit >= commit && r->hard.term >= term,
	          "member %u goes back from commit %llu, term %llu", m->at,
	          (unsigned long long)commit, (unsigned long long)term);
	VEC_FOREACH (&u->persist.entries, at)
		check_entry(m, r, at);
	if (r->role == RAFT_LEADER)
		check_leadership(m, r);
	if (r->role == RAFT_LEADER && r->commit > commit)
		check_commit_rule(m, r);
	VEC_FOREACH (&u->committed, at) {
		check_committed_entry(m, at, r->hard.term);
		note_conf(at);
	}
	if (u->has_conf || e->type == RAFT_SNAPSHOT_DONE)
		check_conf(m, r);
	const struct told *t = &told[m->at];
	SIM_CHECK(r->hard.term != t->match_term || tail_last(&r->tail) >= t->match,
	          "member %u takes back entry %llu, which it has acknowledged", m->at,
	          (unsigned long long)t->match);
	check_reads(r, u);
	return 0;
}
