/* SPDX-License-Identifier: Apache-2.0 */
/* kube-scheduler: gives each pod a node. */
#include "common/base/log.h"
#include "common/base/rng.h"
#include "common/client/component.h"
#include "scheduler/config_file.h"
#include "scheduler/scheduler.h"

static struct {
	const char *config;
	int64_t unschedulable_ms;
	struct jvalue *document;
	struct arena arena;
} o = {.config = "", .unschedulable_ms = 5 * 60 * 1000};

static struct flag flags[] = {
    FLAG_STR("config", &o.config,
             "The path to the configuration file (KubeSchedulerConfiguration)."),
    FLAG_DURATION("pod-max-in-unschedulable-pods-duration", &o.unschedulable_ms,
                  "The time after which an unschedulable pod is tried again in any case."),
};
static const struct flag_group groups[] = {FLAG_GROUP("Scheduling", flags)};

static int start(struct component *c, struct err *err)
{
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	struct scheduler *s = NULL;
	int r = scheduler_new(&(struct scheduler_options){&c->daemon, c->client, o.document,
	                                                  (uint64_t)o.unschedulable_ms, seed},
	                      &s, err);
	if (r)
		return r;
	c->self = s;
	scheduler_start(s);
	return 0;
}

static void lead(struct component *c)
{
	scheduler_lead(c->self);
}

static void stop(struct component *c)
{
	scheduler_free(c->self);
}

int main(int argc, char **argv)
{
	static const struct component_options options = {
	    .name = "kube-scheduler",
	    .description = "kube-scheduler gives each pod that has none a node that fits.",
	    .secure_port = "10259",
	    .groups = groups,
	    .n_groups = ARRAY_LEN(groups),
	    .start = start,
	    .lead = lead,
	    .stop = stop,
	};
	config_argv args = {0};
	const char *config = config_file_flag(argc, argv);
	if (config) {
		struct err err = ERR_INIT;
		if (config_file_read(config, argc, argv, &o.arena, &o.document, &args, &err)) {
			log_error(&err, "Could not read the configuration");
			return 1;
		}
		argc = (int)args.n - 1;
		argv = args.at;
	}
	int r = component_main(&options, argc, argv);
	vec_deinit(&args);
	arena_deinit(&o.arena);
	return r;
}
