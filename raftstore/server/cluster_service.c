/* SPDX-License-Identifier: Apache-2.0 */
#include "raftstore/server/auth.h"
#include "raftstore/server/pb_out.h"
#include "raftstore/server/server.h"

/* Cluster: who takes part. The membership is that of --initial-cluster; changing it while the
 * cluster runs is refused. */

static void out_urls(struct buf *b, unsigned field, const flag_list *urls)
{
	VEC_FOREACH (urls, url)
		out_bytes_always(b, field, slice_str(*url));
}

static void on_member_list(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (auth_refuses(s, call, AUTH_KNOWN))
		return;
	out_header(&b, s, s->revision);
	size_t at = out_begin(&b, 2);
	out_number(&b, 1, (int64_t)s->member_id);
	out_bytes(&b, 2, slice_str(s->options->name));
	out_urls(&b, 3, &s->options->advertise_peer_urls);
	out_urls(&b, 4, &s->options->advertise_client_urls);
	out_end(&b, at);
	rpc_call_reply(call, buf_view(&b));
}

static void on_change(struct rpc_call *call, struct slice message, void *arg)
{
	if (auth_refuses(arg, call, AUTH_ADMIN))
		return;
	rpc_call_fail(call, RPC_UNIMPLEMENTED,
	              "etcdserver: members cannot be changed while the cluster runs", NULL, 0);
}

void cluster_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Cluster/MemberList", RPC_UNARY, on_member_list, s, NULL},
	    {"/etcdserverpb.Cluster/MemberAdd", RPC_UNARY, on_change, s, NULL},
	    {"/etcdserverpb.Cluster/MemberRemove", RPC_UNARY, on_change, s, NULL},
	    {"/etcdserverpb.Cluster/MemberUpdate", RPC_UNARY, on_change, s, NULL},
	    {"/etcdserverpb.Cluster/MemberPromote", RPC_UNARY, on_change, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		rpc_server_method(s->rpc, &methods[i]);
}
