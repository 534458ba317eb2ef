/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/apply.h"
#include "raftstore/server/members.h"

/* Entries and commands that change who the members are. */

int apply_conf(struct applier *ap, struct slice entry)
{
	ap->members = true;
	return members_apply(ap->mvcc.kv, entry);
}

/* A member tells its name and where its clients come in. */
static int apply_attributes(struct applier *ap, const Etcdserverpb__Member *q)
{
	Etcdserverpb__Member *m;
	int r = member_read(ap->mvcc.kv, q->id, &ap->arena, &m);
	if (r)
		return r == -ERR_NOT_FOUND ? OUTCOME_MEMBER_NOT_FOUND : r;
	m->name = q->name;
	m->clienturls = q->clienturls;
	m->n_clienturls = q->n_clienturls;
	ap->members = true;
	return member_write(ap->mvcc.kv, m);
}

/* Somebody tells a member's new peer URLs. */
static int apply_member_update(struct applier *ap, const Etcdserverpb__MemberUpdateRequest *q,
                               struct buf *out)
{
	_cleanup_members_ struct members all;
	members_init(&all);
	int r = members_read(ap->mvcc.kv, &all);
	Etcdserverpb__Member *m = members_find(&all, q->id);
	if (r)
		return r;
	if (!m)
		return OUTCOME_MEMBER_NOT_FOUND;
	if (members_have_url(&all, q->peerurls, q->n_peerurls, q->id))
		return OUTCOME_PEER_URL_EXIST;
	m->peerurls = q->peerurls;
	m->n_peerurls = q->n_peerurls;
	ap->members = true;
	out_members(out, 2, &all);
	return member_write(ap->mvcc.kv, m);
}

int apply_member(struct applier *ap, enum command_kind kind, const ProtobufCMessage *m,
                 struct buf *out)
{
	if (kind == COMMAND_MEMBER_ATTRIBUTES)
		return apply_attributes(ap, (const void *)m);
	return apply_member_update(ap, (const void *)m, out);
}
