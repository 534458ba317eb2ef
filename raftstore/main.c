/* SPDX-License-Identifier: Apache-2.0 */
/* raftstore: etcd's v3 API on Raft and LMDB. */
#include "common/base/log.h"
#include "raftstore/server/recover.h"
#include "raftstore/server/server.h"
#include "raftstore/tool/tool.h"

static struct server server;

static void on_stop(struct daemon *d, void *arg)
{
	if (server.recovery)
		recover_stop(&server);
	else
		server_stop(&server);
}

/* What it has acknowledged may be gone: whoever counts on this member's vote would lose it, so
 * nothing is mended here. */
static void tell_what_to_do(void)
{
	log_error(NULL, "The data directory is damaged, and stays as it is. With other members "
	                "running: remove this member from the cluster, delete its data directory, "
	                "add it again and start it with --initial-cluster-state=existing. The only "
	                "member: restore a snapshot. \"raftstore check\" tells what is damaged");
}

int main(int argc, char **argv)
{
	if (tool_wanted(argc, argv))
		return tool_main(argc, argv);
	static struct server_options options;
	static struct daemon d;
	bool recovering = recover_wanted(&argc, argv);
	struct daemon_options o = {
	    .name = "raftstore",
	    .description = "raftstore keeps the cluster's state: etcd's v3 API, replicated by "
	                   "Raft, stored in LMDB.",
	    .version = "etcd Version: " RAFTSTORE_ETCD_VERSION,
	    .env_prefix = "ETCD_",
	    .on_stop = on_stop,
	};
	o.groups = server_flags(&options, &o.n_groups);
	int r = daemon_init(&d, &o, argc, argv);
	if (r)
		return daemon_exit_code(r);
	struct err err = ERR_INIT;
	r = server_options_finish(&options, &d.arena, &err);
	if (!r && recovering)
		r = recover_run(&server, &d, &options, &err);
	else if (!r)
		r = server_start(&server, &d, &options, &err);
	if (r)
		log_error(&err, "raftstore could not start");
	bool damaged = r == -ERR_CORRUPT, recovers = damaged && recover_possible(&options);
	if (damaged && !recovers)
		tell_what_to_do();
	if (!r && !recovering)
		daemon_run(&d);
	bool failed = r || server.failed;
	server_deinit(&server);
	daemon_deinit(&d);
	if (recovers || (recovering && !r))
		failed = recover_exec(argc, argv, recovers);
	return failed ? 1 : 0;
}
