/* SPDX-License-Identifier: Apache-2.0 */
/* kube-apiserver: validates and stores the objects of the cluster, and serves them. */
#include "apiserver/apiserver.h"
#include "common/base/log.h"

static struct apiserver server;

static void on_stop(struct daemon *d, void *arg)
{
	apiserver_stop(&server);
}

int main(int argc, char **argv)
{
	struct daemon d;
	struct err err = ERR_INIT;
	struct daemon_options options = {
	    .name = "kube-apiserver",
	    .description = "Validates and stores the objects of the cluster, and serves them.",
	    .groups = apiserver_flag_groups,
	    .n_groups = apiserver_n_flag_groups,
	    .on_stop = on_stop,
	};

	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	r = apiserver_options_complete(&apiserver_options, &d.arena, &err);
	if (!r)
		r = apiserver_start(&server, &d, &apiserver_options, &err);
	if (r < 0) {
		log_error(&err, "Could not start");
		apiserver_deinit(&server);
		daemon_deinit(&d);
		return 1;
	}
	daemon_ready(&d);
	daemon_run(&d);
	apiserver_deinit(&server);
	daemon_deinit(&d);
	return 0;
}
