/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/quota.h"
#include "common/base/log.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/server/node.h"

static void raise_alarm(struct server *s)
{
	Etcdserverpb__AlarmRequest m = ETCDSERVERPB__ALARM_REQUEST__INIT;
	m.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
	m.memberid = s->member_id;
	m.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
	struct request *q = request_new(NULL, COMMAND_ALARM);
	size_t n = protobuf_c_message_get_packed_size(&m.base);
	uint8_t *bytes = arena_alloc(&q->arena, n);
	protobuf_c_message_pack(&m.base, bytes);
	request_set_command(q, slice_of(bytes, n));
	node_propose(s->node, q);
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
