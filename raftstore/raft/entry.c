/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/raft/entry.h"

void raft_entries_add(struct raft_entries *list, const struct raft_entry *e)
{
	struct raft_entry *to = vec_push(list);
	*to = *e;
	blob_ref(to->data);
}

void raft_entries_clear(struct raft_entries *list)
{
	VEC_FOREACH (list, e)
		blob_unref(e->data);
	vec_clear(list);
}

void raft_entries_deinit(struct raft_entries *list)
{
	raft_entries_clear(list);
	vec_deinit(list);
}
