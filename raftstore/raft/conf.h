/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Configurations as bytes, and what a change makes of one (thesis, chapter 4; the changes and
 * refusals are etcd's). */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "raftstore/raft/quorum.h"

enum raft_change_type {
	RAFT_ADD_VOTER = 1,
	RAFT_ADD_LEARNER, /* makes a learner of a voter, too */
	RAFT_PROMOTE,     /* a learner becomes a voter */
	RAFT_REMOVE,
};

struct raft_change {
	enum raft_change_type type;
	uint64_t id;
};

/* How the cluster gets from one set of voters to the next. */
enum raft_change_way {
	RAFT_CHANGE_AUTO,           /* at once when one voter changes, else joint */
	RAFT_CHANGE_JOINT,          /* joint; the leader leaves it when it is committed */
	RAFT_CHANGE_JOINT_EXPLICIT, /* joint until RAFT_CHANGE_LEAVE */
	RAFT_CHANGE_LEAVE,          /* n is 0 */
};

struct raft_change_request {
	enum raft_change_way way;
	struct raft_change at[RAFT_MEMBERS_MAX]; /* applied in this order */
	unsigned n;
	struct slice context; /* the state machine's, goes with the entry; borrowed */
};

/* The configuration after the change. -ERR_NOT_FOUND, -ERR_ALREADY_EXISTS: the member is not
 * there, or is already what it should become; -ERR_LIMIT: too many members; -ERR_CONFLICT: a joint
 * configuration has to be left first, or there is none to leave; -ERR_INVALID: not a learner, no
 * voter would be left, nothing to do. */
_must_use_ int raft_conf_change(const struct raft_conf *from, const struct raft_change_request *q,
                                struct raft_conf *ret, struct err *err);

struct blob *raft_conf_encode(const struct raft_conf *conf);
/* False: not what raft_conf_encode writes. */
_must_use_ bool raft_conf_decode(struct slice bytes, struct raft_conf *ret);
/* The data of an entry of type RAFT_ENTRY_CONF: the whole configuration, then what the state
 * machine is to know of the change. */
struct blob *raft_conf_entry_encode(const struct raft_conf *conf, struct slice context);
/* The context, which may be NULL, points into the bytes. */
_must_use_ bool raft_conf_entry_decode(struct slice bytes, struct raft_conf *ret,
                                       struct slice *ret_context);
bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b);
