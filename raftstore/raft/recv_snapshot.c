/* SPDX-License-Identifier: Apache-2.0 */
/* InstallSnapshot (paper, section 7); the bytes travel beside the core. */
#include "raftstore/raft/core.h"

void recv_snapshot(struct raft *r, const struct raft_message *m)
{
	struct raft_mark mark = m->snapshot.mark;
	if (r->role == RAFT_LEADER)
		return;
	become_follower(r, m->term, m->from);
	if (r->installing)
		return;
	/* Paper, figure 13, step 6: with the same last entry the log is as good as the snapshot. */
	if (mark.index > r->commit && tail_term(&r->tail, mark.index) == mark.term &&
	    mark.index <= tail_last(&r->tail))
		core_commit(r, mark.index);
	if (mark.index <= r->commit) {
		r->matched = MAX(r->matched, r->commit);
		append_acknowledge(r);
		return;
	}
	r->installing = true;
	r->install = mark;
	r->install_conf = m->snapshot.conf;
	r->out->has_install = true;
	r->out->install = mark;
	r->out->install_conf = m->snapshot.conf;
}

void snapshot_done(struct raft *r, struct raft_mark mark, bool ok)
{
	if (!r->installing || mark.index != r->install.index || mark.term != r->install.term)
		return;
	r->installing = false;
	if (!ok)
		return;
	tail_reset(&r->tail, mark);
	r->persist_from = 0;
	r->commit = r->applied = r->handed = mark.index;
	r->matched = mark.index;
	confs_reset(r, mark.index, &r->install_conf);
	append_acknowledge(r);
}
