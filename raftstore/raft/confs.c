/* SPDX-License-Identifier: Apache-2.0 */
/* Which configuration is in force: always the last one in the log, committed or not (thesis,
 * section 4.1); when that entry is replaced, the one before it is in force again. */
#include <assert.h>
#include "raftstore/raft/core.h"

static void drop_others(struct raft *r, const struct raft_ids *all)
{
	for (unsigned i = 0; i < r->n_peers;) {
		if (raft_ids_has(all, r->peers[i].id)) {
			i++;
			continue;
		}
		free(r->peers[i].inflight);
		r->peers[i] = r->peers[--r->n_peers];
	}
}

/* Peers that stay keep what is known of them. */
static void enforce(struct raft *r)
{
	const struct raft_conf *conf = &vec_last(&r->confs)->conf;
	struct raft_ids all = raft_conf_members(conf);
	drop_others(r, &all);
	for (unsigned i = 0; i < all.n; i++) {
		if (core_peer(r, all.at[i]))
			continue;
		struct peer *p = &r->peers[r->n_peers++];
		*p = (struct peer){
		    .id = all.at[i], .next = tail_last(&r->tail) + 1, .heard_ms = r->now_ms};
		p->inflight = calloc(r->opt.inflight_limit, sizeof(*p->inflight));
		if (!p->inflight)
			abort();
	}
	r->conf = *conf;
	if (r->out) {
		r->out->has_conf = true;
		r->out->conf = *conf;
	}
}

void confs_push(struct raft *r, uint64_t index, const struct raft_conf *conf)
{
	*vec_push(&r->confs) = (struct conf_entry){index, *conf};
	enforce(r);
}

void confs_append(struct raft *r, const struct raft_entry *e)
{
	struct raft_conf conf;
	if (e->type != RAFT_ENTRY_CONF)
		return;
	/* Boot data and messages have been checked. */
	bool ok = raft_conf_entry_decode(blob_view(e->data), &conf, NULL);
	assert(ok);
	if (ok)
		confs_push(r, e->index, &conf);
}

void confs_truncate(struct raft *r, uint64_t index)
{
	size_t n = r->confs.n;
	while (r->confs.n > 1 && vec_last(&r->confs)->index >= index)
		r->confs.n--;
	if (r->confs.n < n)
		enforce(r);
}

void confs_compact(struct raft *r, uint64_t index)
{
	while (r->confs.n > 1 && r->confs.at[1].index <= index)
		vec_remove(&r->confs, 0);
}

void confs_reset(struct raft *r, uint64_t index, const struct raft_conf *conf)
{
	vec_clear(&r->confs);
	confs_push(r, index, conf);
}

uint64_t confs_index(const struct raft *r)
{
	return vec_last(&r->confs)->index;
}

struct raft_conf raft_conf_at(const struct raft *r, uint64_t index)
{
	size_t i = r->confs.n - 1;
	while (i > 0 && r->confs.at[i].index > index)
		i--;
	return r->confs.at[i].conf;
}
