/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The mathematics of majorities, simple and joint (paper, section 6), over sets of member ids. */
#include <stdbool.h>
#include <stdint.h>

enum { RAFT_MEMBERS_MAX = 16 };

struct raft_ids {
	uint64_t at[RAFT_MEMBERS_MAX]; /* sorted, without doubles, never 0 */
	unsigned n;
};

/* Who takes part. While `outgoing` is not empty the configuration is joint: a decision needs a
 * majority of `voters` and a majority of `outgoing`. Learners receive entries and decide nothing; a
 * voter that is to become one is in `outgoing` and `learners` meanwhile. All sets together have at
 * most RAFT_MEMBERS_MAX members. */
struct raft_conf {
	struct raft_ids voters, outgoing, learners;
	bool auto_leave; /* joint: the leader leaves it as soon as it is committed */
};

enum raft_vote { RAFT_VOTE_NONE, RAFT_VOTE_YES, RAFT_VOTE_NO };
enum raft_outcome { RAFT_PENDING, RAFT_WON, RAFT_LOST };

/* False when the id is 0 or the set is full; true also when it was there already. */
bool raft_ids_add(struct raft_ids *ids, uint64_t id);
void raft_ids_remove(struct raft_ids *ids, uint64_t id);
bool raft_ids_has(const struct raft_ids *ids, uint64_t id);
/* In either set of voters. */
bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id);
bool raft_conf_has(const struct raft_conf *conf, uint64_t id);
/* Every member once: voters, outgoing, learners. */
struct raft_ids raft_conf_members(const struct raft_conf *conf);

/* The highest value that a majority of each set of voters has reached. */
uint64_t raft_quorum_value(const struct raft_conf *conf,
                           uint64_t (*value)(const void *arg, uint64_t id), const void *arg);
/* What the votes given so far decide. */
enum raft_outcome raft_quorum_votes(const struct raft_conf *conf,
                                    enum raft_vote (*vote)(const void *arg, uint64_t id),
                                    const void *arg);
