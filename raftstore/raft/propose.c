/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/raft/core.h"

int propose(struct raft *r, struct blob *const *data, size_t n)
{
	if (r->role != RAFT_LEADER || r->transfer_to)
		return -ERR_UNAVAILABLE;
	uint64_t bytes = 0;
	for (size_t i = 0; i < n; i++)
		bytes += data[i] ? data[i]->len : 0;
	/* Backpressure; one proposal passes whatever its size, or it could never be made. */
	if (r->uncommitted_bytes && r->uncommitted_bytes + bytes > r->opt.uncommitted_limit_bytes)
		return -ERR_TOO_MANY_REQUESTS;
	r->uncommitted_bytes += bytes;
	r->out->proposed_index = tail_last(&r->tail) + 1;
	r->out->proposed_term = r->hard.term;
	for (size_t i = 0; i < n; i++)
		core_append(r, &(struct raft_entry){.index = tail_last(&r->tail) + 1,
		                                    .term = r->hard.term,
		                                    .type = RAFT_ENTRY_COMMAND,
		                                    .data = data[i]});
	replicate_all(r);
	return 0;
}
