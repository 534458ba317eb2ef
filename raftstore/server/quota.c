/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/quota.h"
#include "common/base/log.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/server/node.h"

static void raise_alarm(struct server *s)
{
	node_raise_alarm(s->node, s->member_id, ETCDSERVERPB__ALARM_TYPE__NOSPACE);
	log_warning("The quota of the store is exceeded", LOG_INT("quota", s->options->quota));
}

int quota_check(struct server *s, size_t bytes)
{
	if (s->alarms & 1u << ETCDSERVERPB__ALARM_TYPE__NOSPACE)
		return OUTCOME_NO_SPACE;
	if (store_file_bytes(s->store) + bytes <= s->options->quota)
		return 0;
	raise_alarm(s);
	return OUTCOME_NO_SPACE;
}
