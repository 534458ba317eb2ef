/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/pb_out.h"
#include "raftstore/server/server.h"

/* Auth: switched off, and says so; who may connect is decided by TLS. */

static void on_status(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, s, s->revision);
	rpc_call_reply(call, buf_view(&b));
}

static void on_authenticate(struct rpc_call *call, struct slice message, void *arg)
{
	call_fail(call, OUTCOME_AUTH_NOT_ENABLED);
}

static void on_enable(struct rpc_call *call, struct slice message, void *arg)
{
	call_fail(call, OUTCOME_ROOT_USER_NOT_EXIST);
}

void auth_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Auth/AuthStatus", RPC_UNARY, on_status, s, NULL},
	    {"/etcdserverpb.Auth/AuthDisable", RPC_UNARY, on_status, s, NULL},
	    {"/etcdserverpb.Auth/AuthEnable", RPC_UNARY, on_enable, s, NULL},
	    {"/etcdserverpb.Auth/Authenticate", RPC_UNARY, on_authenticate, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		rpc_server_method(s->rpc, &methods[i]);
}
