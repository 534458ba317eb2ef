/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "common/base/cleanup.h"
#include "raftstore/raft/quorum.h"

bool raft_ids_has(const struct raft_ids *ids, uint64_t id)
{
	for (unsigned i = 0; i < ids->n; i++)
		if (ids->at[i] == id)
			return true;
	return false;
}

bool raft_ids_add(struct raft_ids *ids, uint64_t id)
{
	if (raft_ids_has(ids, id))
		return true;
	if (id == 0 || ids->n == RAFT_MEMBERS_MAX)
		return false;
	unsigned i = ids->n++;
	for (; i > 0 && ids->at[i - 1] > id; i--)
		ids->at[i] = ids->at[i - 1];
	ids->at[i] = id;
	return true;
}

void raft_ids_remove(struct raft_ids *ids, uint64_t id)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < ids->n; i++)
		if (ids->at[i] != id)
			ids->at[kept++] = ids->at[i];
	ids->n = kept;
}

bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id)
{
	return raft_ids_has(&conf->voters, id) || raft_ids_has(&conf->outgoing, id);
}

bool raft_conf_has(const struct raft_conf *conf, uint64_t id)
{
	return raft_conf_is_voter(conf, id) || raft_ids_has(&conf->learners, id);
}

struct raft_ids raft_conf_members(const struct raft_conf *conf)
{
	const struct raft_ids *sets[] = {&conf->voters, &conf->outgoing, &conf->learners};
	struct raft_ids all = {.n = 0};
	for (size_t s = 0; s < ARRAY_LEN(sets); s++)
		for (unsigned i = 0; i < sets[s]->n; i++)
			raft_ids_add(&all, sets[s]->at[i]);
	return all;
}

/* The value that a majority of one set has reached; nobody in the set hinders nothing. */
static uint64_t majority_value(const struct raft_ids *ids,
                               uint64_t (*value)(const void *arg, uint64_t id), const void *arg)
{
	uint64_t sorted[RAFT_MEMBERS_MAX]; /* descending */
	for (unsigned n = 0; n < ids->n; n++) {
		uint64_t v = value(arg, ids->at[n]);
		unsigned i = n;
		for (; i > 0 && sorted[i - 1] < v; i--)
			sorted[i] = sorted[i - 1];
		sorted[i] = v;
	}
	return ids->n ? sorted[ids->n / 2] : UINT64_MAX;
}

uint64_t raft_quorum_value(const struct raft_conf *conf,
                           uint64_t (*value)(const void *arg, uint64_t id), const void *arg)
{
	return MIN(majority_value(&conf->voters, value, arg),
	           majority_value(&conf->outgoing, value, arg));
}

static enum raft_outcome majority_votes(const struct raft_ids *ids,
                                        enum raft_vote (*vote)(const void *arg, uint64_t id),
                                        const void *arg)
{
	unsigned yes = 0, no = 0, need = ids->n / 2 + 1;
	if (ids->n == 0)
		return RAFT_WON;
	for (unsigned i = 0; i < ids->n; i++) {
		enum raft_vote v = vote(arg, ids->at[i]);
		yes += v == RAFT_VOTE_YES;
		no += v == RAFT_VOTE_NO;
	}
	if (yes >= need)
		return RAFT_WON;
	return ids->n - no < need ? RAFT_LOST : RAFT_PENDING;
}

enum raft_outcome raft_quorum_votes(const struct raft_conf *conf,
                                    enum raft_vote (*vote)(const void *arg, uint64_t id),
                                    const void *arg)
{
	enum raft_outcome a = majority_votes(&conf->voters, vote, arg);
	enum raft_outcome b = majority_votes(&conf->outgoing, vote, arg);
	if (a == RAFT_LOST || b == RAFT_LOST)
		return RAFT_LOST;
	return a == RAFT_WON && b == RAFT_WON ? RAFT_WON : RAFT_PENDING;
}
