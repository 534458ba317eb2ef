/* SPDX-License-Identifier: Apache-2.0 */
/* Pod failure policy, failures an index, success policy. */
#include <string.h>
#include "controller-manager/job/plan/internal.h"

static const CoreV1__ContainerStateTerminated *terminated(const CoreV1__ContainerStatus *c)
{
	return c->state ? c->state->terminated : NULL;
}

static bool code_matches(const BatchV1__PodFailurePolicyOnExitCodesRequirement *r, int32_t code)
{
	bool in = false;
	for (size_t i = 0; i < r->n_values; i++)
		in |= r->values[i] == code;
	return code != 0 && in == !strcmp(r->operator_, "In");
}

static const CoreV1__ContainerStatus *
container_match(const BatchV1__PodFailurePolicyOnExitCodesRequirement *r,
                CoreV1__ContainerStatus *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const CoreV1__ContainerStateTerminated *t = terminated(list[i]);
		if (t && (!r->container_name || !strcmp(r->container_name, list[i]->name)) &&
		    code_matches(r, t->exit_code))
			return list[i];
	}
	return NULL;
}

/* Why the rule is about this pod, or NULL. */
static const char *rule_match(const struct job_state *s, const BatchV1__PodFailurePolicyRule *rule,
                              size_t at, const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *m = pod->metadata;
	if (rule->on_exit_codes) {
		const CoreV1__PodStatus *st = pod->status;
		const CoreV1__ContainerStatus *c = container_match(
		    rule->on_exit_codes, st->container_statuses, st->n_container_statuses);
		if (!c)
			c = container_match(rule->on_exit_codes, st->init_container_statuses,
			                    st->n_init_container_statuses);
		return c ? arena_printf(s->arena,
		                        "Container %s for pod %s/%s failed with exit code %d "
		                        "matching %s rule at index %zu",
		                        c->name, m->namespace_, m->name, terminated(c)->exit_code,
		                        rule->action, at)
		         : NULL;
	}
	for (size_t i = 0; i < rule->n_on_pod_conditions; i++) {
		const BatchV1__PodFailurePolicyOnPodConditionsPattern *p =
		    rule->on_pod_conditions[i];
		for (size_t k = 0; k < pod->status->n_conditions; k++)
			if (!strcmp(pod->status->conditions[k]->type, p->type) &&
			    !strcmp(pod->status->conditions[k]->status, p->status))
				return arena_printf(
				    s->arena,
				    "Pod %s/%s has condition %s matching %s rule at index %zu",
				    m->namespace_, m->name, p->type, rule->action, at);
	}
	return NULL;
}

const char *job_policy_match(const struct job_state *s, const CoreV1__Pod *pod, bool *ret_counted,
                             const char **ret_message)
{
	const BatchV1__PodFailurePolicy *policy = s->job->spec->pod_failure_policy;
	*ret_counted = true;
	if (ret_message)
		*ret_message = NULL;
	for (size_t i = 0; policy && i < policy->n_rules; i++) {
		const BatchV1__PodFailurePolicyRule *rule = policy->rules[i];
		const char *why = rule_match(s, rule, i, pod);
		if (!why || (!strcmp(rule->action, "FailIndex") && !s->per_index))
			continue;
		*ret_counted = strcmp(rule->action, "Ignore") != 0;
		if (ret_message && !strcmp(rule->action, "FailJob"))
			*ret_message = why;
		return rule->action;
	}
	return NULL;
}

bool job_index_failed(const struct job_state *s, const CoreV1__Pod *pod)
{
	bool counted;
	const char *action = job_policy_match(s, pod, &counted, NULL);
	if (action && !strcmp(action, "FailIndex"))
		return true;
	return counted &&
	       job_annotation(pod, FAILURES_ANNOTATION) >= s->job->spec->backoff_limit_per_index;
}

int job_success_rule(const struct job_state *s)
{
	const BatchV1__SuccessPolicy *policy = s->job->spec->success_policy;
	for (size_t i = 0; policy && i < policy->n_rules; i++) {
		const BatchV1__SuccessPolicyRule *rule = policy->rules[i];
		int64_t have = indexes_total(&s->succeeded), need = have + 1;
		if (rule->succeeded_indexes) {
			struct indexes wanted = indexes_parse(rule->succeeded_indexes,
			                                      s->job->spec->completions, s->arena);
			have = indexes_common(&s->succeeded, &wanted);
			need = indexes_total(&wanted);
		}
		if (rule->has_succeeded_count)
			need = rule->succeeded_count;
		if (have >= need)
			return (int)i;
	}
	return -1;
}
