/* SPDX-License-Identifier: Apache-2.0 */
/* What the spec of one container says of its life. */
#include <string.h>

#include "kubelet/core/plan.h"

static bool is_set(const char *s)
{
	return s && *s;
}

bool container_is_sidecar(const CoreV1__Container *c)
{
	return c->restart_policy && !strcmp(c->restart_policy, "Always");
}

static bool rule_matches(const CoreV1__ContainerRestartRule *r, int32_t exit_code)
{
	const CoreV1__ContainerRestartRuleOnExitCodes *on = r->exit_codes;
	bool in = false;
	for (size_t i = 0; on && i < on->n_values; i++)
		in |= on->values[i] == exit_code;
	return on && (!strcmp(on->operator_, "In") ? in : !strcmp(on->operator_, "NotIn") && !in);
}

bool container_restarts(const CoreV1__Pod *pod, const CoreV1__Container *c, int32_t exit_code)
{
	const char *policy =
	    is_set(pod->spec->restart_policy) ? pod->spec->restart_policy : "Always";
	/* The rules are additions to a policy of the container's own. */
	for (size_t i = 0; i < c->n_restart_policy_rules; i++)
		if (rule_matches(c->restart_policy_rules[i], exit_code))
			return true;
	if (is_set(c->restart_policy))
		policy = c->restart_policy;
	if (!strcmp(policy, "Never"))
		return false;
	return strcmp(policy, "OnFailure") || exit_code != 0;
}

CoreV1__Container *container_of_ephemeral(const CoreV1__EphemeralContainerCommon *e,
                                          struct arena *a)
{
	CoreV1__Container *c = arena_new(a, CoreV1__Container);
	*c = (CoreV1__Container)CORE_V1__CONTAINER__INIT;
	c->name = e->name;
	c->image = e->image;
	c->n_command = e->n_command;
	c->command = e->command;
	c->n_args = e->n_args;
	c->args = e->args;
	c->working_dir = e->working_dir;
	c->n_env = e->n_env;
	c->env = e->env;
	c->n_env_from = e->n_env_from;
	c->env_from = e->env_from;
	c->resources = e->resources;
	c->n_volume_mounts = e->n_volume_mounts;
	c->volume_mounts = e->volume_mounts;
	c->image_pull_policy = e->image_pull_policy;
	c->security_context = e->security_context;
	c->termination_message_path = e->termination_message_path;
	c->termination_message_policy = e->termination_message_policy;
	c->stdin = e->stdin;
	c->stdin_once = e->stdin_once;
	c->tty = e->tty;
	return c;
}
