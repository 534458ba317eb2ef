/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/auth.h"
#include "raftstore/server/node.h"

struct guest {
	const struct rpc_method *method;
	struct rpc_call *call;
	struct slice message; /* lives as long as the call */
};

static void enter(void *arg)
{
	struct guest *g = arg;
	g->method->on_call(g->call, g->message, g->method->arg);
	free(g);
}

static void admitted(void *arg, int outcome)
{
	struct guest *g = arg;
	if (outcome) {
		call_fail(g->call, outcome);
		free(g);
	} else if (g->method->loop) {
		loop_post(g->method->loop, enter, g);
	} else {
		enter(g);
	}
}

void auth_wait(struct server *s, const struct rpc_method *m, struct rpc_call *call,
               struct slice message)
{
	struct guest *g = malloc(sizeof(*g));
	if (!g)
		abort();
	*g = (struct guest){m, call, message};
	node_read(s->node, admitted, g);
}
