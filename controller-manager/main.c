/* SPDX-License-Identifier: Apache-2.0 */
/* kube-controller-manager: the loops that make the cluster what its objects say. */
#include "common/base/log.h"
#include "controller-manager/base/manager.h"

static const struct controller *const all[] = {
    &controller_deployment,
    &controller_replicaset,
};

static struct manager manager = {.o = {.root_ca_file = ""}};
static flag_list wanted;
static struct {
	void *self;
} made[ARRAY_LEN(all)];
static bool leading, synced;

static struct flag flags[] = {
    FLAG_LIST("controllers", &wanted,
              "Which controllers run: * for those that are on by default, name, or -name."),
    FLAG_STR("root-ca-file", &manager.o.root_ca_file,
             "The certificate authority that is published to every namespace."),
    FLAG_NO_EFFECT("allocate-node-cidrs"),
    FLAG_NO_EFFECT("cluster-cidr"),
    FLAG_NO_EFFECT("cluster-name"),
    FLAG_NO_EFFECT("cluster-signing-cert-file"),
    FLAG_NO_EFFECT("cluster-signing-key-file"),
    FLAG_NO_EFFECT("service-account-private-key-file"),
    FLAG_NO_EFFECT("service-cluster-ip-range"),
    FLAG_NO_EFFECT("use-service-account-credentials"),
};
static const struct flag_group groups[] = {FLAG_GROUP("Controllers", flags)};

/* Upstream's rule: a name or its negation decides, else whether "*" is there. */
static bool is_wanted(const char *name)
{
	bool star = wanted.n == 0;
	for (size_t i = 0; i < wanted.n; i++) {
		const char *w = wanted.at[i];
		if (!strcmp(w, name))
			return true;
		if (*w == '-' && !strcmp(w + 1, name))
			return false;
		star |= !strcmp(w, "*");
	}
	return star;
}

static void run_all(void)
{
	if (!leading || !synced)
		return;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (made[i].self) {
			all[i]->run(made[i].self);
			log_info("Started controller", LOG_STR("controller", all[i]->name));
		}
}

static void on_synced(void *arg)
{
	(void)arg;
	synced = true;
	run_all();
}

static int start(struct component *c, struct err *err)
{
	(void)err;
	manager.component = c;
	manager.loop = &c->daemon.loop;
	manager.client = c->client;
	manager.informers = informers_new(c->client);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (is_wanted(all[i]->name))
			made[i].self = all[i]->make(&manager);
	informers_on_synced(manager.informers, on_synced, NULL);
	informers_start(manager.informers);
	return 0;
}

static void lead(struct component *c)
{
	(void)c;
	leading = true;
	run_all();
}

static void stop(struct component *c)
{
	(void)c;
	informers_free(manager.informers);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (made[i].self)
			all[i]->free(made[i].self);
}

int main(int argc, char **argv)
{
	static const struct component_options options = {
	    .name = "kube-controller-manager",
	    .description = "kube-controller-manager runs the control loops of the cluster.",
	    .secure_port = "10257",
	    .groups = groups,
	    .n_groups = ARRAY_LEN(groups),
	    .start = start,
	    .lead = lead,
	    .stop = stop,
	};
	return component_main(&options, argc, argv);
}
