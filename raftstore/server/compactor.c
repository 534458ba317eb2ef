/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/compactor.h"
#include "common/base/log.h"
#include "proto/etcd_rpc.pb-c.h"
#include "raftstore/mvcc/compact_plan.h"
#include "raftstore/server/node.h"

struct compactor {
	struct server *server;
	struct compact_plan plan;
	struct loop_timer timer;
};

static void propose(struct server *s, int64_t revision)
{
	Etcdserverpb__CompactionRequest m = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
	m.revision = revision;
	struct request *q = request_new(NULL, COMMAND_COMPACT);
	request_pack_message(q, &m.base);
	node_propose(s->node, q);
}

static void on_timer(void *arg)
{
	struct compactor *c = arg;
	struct server *s = c->server;
	loop_timer_start(&c->timer, c->plan.every_ms);
	bool leads = node_is_leader(s->node) && !s->stopping;
	int64_t to = compact_plan_tick(&c->plan, loop_now_ms(s->loop), s->revision, leads);
	if (!to)
		return;
	log_info("Starting auto compaction", LOG_INT("revision", to),
	         LOG_STR("mode", s->options->auto_compaction_mode));
	propose(s, to);
}

void compactor_start(struct server *s)
{
	if (!s->options->compact_retention)
		return;
	struct compactor *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	s->compactor = c;
	c->server = s;
	compact_plan_init(&c->plan, s->options->compact_by_revision, s->options->compact_retention,
	                  loop_now_ms(s->loop), s->revision);
	loop_timer_init(&c->timer, s->loop, on_timer, c);
	loop_timer_start(&c->timer, c->plan.every_ms);
}

void compactor_stop(struct server *s)
{
	struct compactor *c = TAKE(s->compactor);
	if (!c)
		return;
	loop_timer_stop(&c->timer);
	compact_plan_deinit(&c->plan);
	free(c);
}
