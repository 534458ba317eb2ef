/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/raft/raft.h"

void raft_messages_clear(struct raft_messages *list)
{
	VEC_FOREACH (list, m)
		if (m->type == RAFT_MSG_APPEND)
			raft_entries_deinit(&m->append.entries);
	vec_clear(list);
}

void raft_messages_deinit(struct raft_messages *list)
{
	raft_messages_clear(list);
	vec_deinit(list);
}

void raft_update_clear(struct raft_update *u)
{
	struct raft_update empty = {
	    .persist.entries = u->persist.entries,
	    .send_now = u->send_now,
	    .send_persisted = u->send_persisted,
	    .committed = u->committed,
	    .reads = u->reads,
	};
	raft_entries_clear(&empty.persist.entries);
	raft_messages_clear(&empty.send_now);
	raft_messages_clear(&empty.send_persisted);
	raft_entries_clear(&empty.committed);
	vec_clear(&empty.reads);
	*u = empty;
}

void raft_update_deinit(struct raft_update *u)
{
	raft_update_clear(u);
	raft_entries_deinit(&u->persist.entries);
	raft_messages_deinit(&u->send_now);
	raft_messages_deinit(&u->send_persisted);
	raft_entries_deinit(&u->committed);
	vec_deinit(&u->reads);
}
