/* SPDX-License-Identifier: Apache-2.0 */
/* kube-scheduler: gives each pod a node. */
#include "common/base/rng.h"
#include "common/client/component.h"
#include "scheduler/scheduler.h"

static struct {
	const char *scheduler_name;
} o = {.scheduler_name = "default-scheduler"};

static struct flag flags[] = {
    FLAG_STR("scheduler-name", &o.scheduler_name,
             "The spec.schedulerName of the pods that this scheduler is for."),
    FLAG_NO_EFFECT("config"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Scheduling", flags)};

static int start(struct component *c, struct err *err)
{
	(void)err;
	uint64_t seed;
	rng_system(&seed, sizeof(seed));
	c->self = scheduler_new(
	    &(struct scheduler_options){&c->daemon, c->client, o.scheduler_name, seed});
	scheduler_start(c->self);
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
	return component_main(&options, argc, argv);
}
