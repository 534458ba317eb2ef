/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that does nothing but live and die well; daemon_process_test runs it. */
#include "common/base/log.h"
#include "common/daemon/daemon.h"

static const char *greeting = "hello";
static struct flag flags[] = {
    FLAG_STR("greeting", &greeting, "What to say."),
    FLAG_NO_EFFECT("profiling"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Test", flags)};

static void on_stop(struct daemon *d, void *arg)
{
	log_info("Stopping", LOG_STR("greeting", greeting));
	daemon_quit(d);
}

int main(int argc, char **argv)
{
	static const struct daemon_options options = {.name = "test-daemon",
	                                              .description = "Lives and dies.",
	                                              .env_prefix = "TEST_DAEMON_",
	                                              .groups = groups,
	                                              .n_groups = ARRAY_LEN(groups),
	                                              .on_stop = on_stop};
	struct daemon d;
	int r = daemon_init(&d, &options, argc, argv);
	if (r)
		return daemon_exit_code(r);
	daemon_ready(&d);
	daemon_run(&d);
	daemon_deinit(&d);
	return 0;
}
