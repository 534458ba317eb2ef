/* SPDX-License-Identifier: Apache-2.0 */
/* When a job has failed and when it has succeeded: podFailurePolicy (KEP-3329) and successPolicy
 * (KEP-3998). */
#include "apiserver/registry/batch/job.h"

enum { RULES_MAX = 20, CODES_MAX = 255, PATTERNS_MAX = 20, INDEXES_BYTES_MAX = 64 << 10 };

static void check_codes(errs_t errs, path_t p, const BatchV1__JobSpec *s,
                        const BatchV1__PodFailurePolicyOnExitCodesRequirement *r)
{
	const CoreV1__PodSpec *pod = s->template_->spec;
	path_t values = FIELD(p, "values");
	struct index seen = INDEX_IN(errs->arena), names = seen;
	bool ordered = true;

	for (size_t i = 0; i < pod->n_containers; i++)
		index_add(&names, pod->containers[i]->name, 0);
	for (size_t i = 0; i < pod->n_init_containers; i++)
		index_add(&names, pod->init_containers[i]->name, 0);
	if (!*r->operator_)
		field_required(errs, FIELD(p, "operator"), "valid values: [\"In\" \"NotIn\"]");
	else
		check_enum(errs, FIELD(p, "operator"), r->operator_, LIST("In", "NotIn"));
	if (r->container_name && !index_has(&names, r->container_name))
		field_invalid(errs, FIELD(p, "containerName"), r->container_name,
		              "must be one of the container or initContainer names in the pod "
		              "template");
	if (!r->n_values)
		field_invalid_json(errs, values, "[]", "at least one value is required");
	else if (r->n_values > CODES_MAX)
		field_too_many(errs, values, (int64_t)r->n_values, CODES_MAX);
	for (size_t i = 0; i < r->n_values; i++) {
		const char *text = arena_printf(errs->arena, "%d", r->values[i]);
		if (!index_add(&seen, text, 0))
			field_add(errs, FIELD_DUPLICATE, FIELD_INDEX(values, i), text, "%s", "");
		ordered &= !i || r->values[i - 1] <= r->values[i];
		if (!strcmp(r->operator_, "In") && !r->values[i])
			field_invalid_int(errs, FIELD_INDEX(values, i), 0,
			                  "must not be 0 for the In operator");
	}
	if (!ordered)
		field_add(errs, FIELD_INVALID, values, NULL, "must be ordered");
}

static void check_conditions(errs_t errs, path_t p,
                             BatchV1__PodFailurePolicyOnPodConditionsPattern *const *list, size_t n)
{
	if (n > PATTERNS_MAX)
		field_too_many(errs, p, (int64_t)n, PATTERNS_MAX);
	for (size_t i = 0; i < n; i++) {
		path_t at = FIELD_INDEX(p, i), status = FIELD(at, "status");
		check_name(errs, FIELD(at, "type"), list[i]->type, names_qualified);
		if (!*list[i]->status)
			field_required(errs, status,
			               "valid values: [\"False\" \"True\" \"Unknown\"]");
		else
			check_enum(errs, status, list[i]->status, LIST("False", "True", "Unknown"));
	}
}

static void check_rule(errs_t errs, path_t p, const BatchV1__JobSpec *s,
                       const BatchV1__PodFailurePolicyRule *r)
{
	path_t action = FIELD(p, "action");

	if (!*r->action)
		field_required(errs, action,
		               "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
	else if (!strcmp(r->action, "FailIndex") && !s->has_backoff_limit_per_index)
		field_invalid(errs, action, r->action,
		              "requires the backoffLimitPerIndex to be set");
	else
		check_enum(errs, action, r->action,
		           LIST("Count", "FailIndex", "FailJob", "Ignore"));
	if (r->on_exit_codes)
		check_codes(errs, FIELD(p, "onExitCodes"), s, r->on_exit_codes);
	if (r->n_on_pod_conditions)
		check_conditions(errs, FIELD(p, "onPodConditions"), r->on_pod_conditions,
		                 r->n_on_pod_conditions);
	if (r->on_exit_codes && r->n_on_pod_conditions)
		field_add(errs, FIELD_INVALID, p, NULL,
		          "specifying both OnExitCodes and OnPodConditions is not supported");
	if (!r->on_exit_codes && !r->n_on_pod_conditions)
		field_add(errs, FIELD_INVALID, p, NULL,
		          "specifying one of OnExitCodes and OnPodConditions is required");
}

void job_failure_policy_check(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	const BatchV1__PodFailurePolicy *policy = s->pod_failure_policy;
	path_t rules = FIELD(p, "rules");

	if (!policy)
		return;
	if (policy->n_rules > RULES_MAX)
		field_too_many(errs, rules, (int64_t)policy->n_rules, RULES_MAX);
	for (size_t i = 0; i < policy->n_rules && i < RULES_MAX; i++)
		check_rule(errs, FIELD_INDEX(rules, i), s, policy->rules[i]);
}

/* --- success -----------------------------------------------------------------------------------
 */

/* A number of an interval; NULL or the error. */
static const char *parse_index(struct arena *a, const char *s, size_t n, int32_t completions,
                               int64_t *ret)
{
	bool ok = n > 0 && n < 11;

	*ret = 0;
	for (size_t i = 0; ok && i < n; i++) {
		ok = s[i] >= '0' && s[i] <= '9';
		*ret = *ret * 10 + (s[i] - '0');
	}
	if (!ok)
		return arena_printf(a, "cannot convert string to integer for index: \"%.*s\"",
		                    (int)n, s);
	if (*ret >= completions)
		return arena_printf(a, "too large index: \"%.*s\"", (int)n, s);
	return NULL;
}

static const char *parse_interval(struct arena *a, const char *s, size_t n, int32_t completions,
                                  int64_t *ret_from, int64_t *ret_to)
{
	const char *dash = memchr(s, '-', n), *error;
	size_t head = dash ? (size_t)(dash - s) : n;

	if (dash && memchr(dash + 1, '-', n - head - 1))
		return arena_printf(a,
		                    "the fragment \"%.*s\" violates the requirement that an index "
		                    "interval can have at most two parts separated by '-'",
		                    (int)n, s);
	error = parse_index(a, s, head, completions, ret_from);
	*ret_to = *ret_from;
	if (error || !dash)
		return error;
	error = parse_index(a, dash + 1, n - head - 1, completions, ret_to);
	if (!error && *ret_from >= *ret_to)
		error = arena_printf(a, "non-increasing order, previous: %lld, current: %lld",
		                     (long long)*ret_from, (long long)*ret_to);
	return error;
}

/* "1,3-5,7" in increasing order; how many indexes that are. */
static const char *parse_indexes(struct arena *a, const char *s, int32_t completions,
                                 int64_t *ret_total)
{
	int64_t last = -1, from, to;

	*ret_total = 0;
	if (!*s)
		return NULL;
	for (const char *next; s; s = next) {
		size_t n = strcspn(s, ",");
		const char *error = parse_interval(a, s, n, completions, &from, &to);
		if (error)
			return error;
		if (last >= from)
			return arena_printf(a,
			                    "non-increasing order, previous: %lld, current: %lld",
			                    (long long)last, (long long)from);
		*ret_total += to - from + 1;
		last = to;
		next = s[n] ? s + n + 1 : NULL;
	}
	return NULL;
}

static void check_success_rule(errs_t errs, path_t p, const BatchV1__JobSpec *s,
                               const BatchV1__SuccessPolicyRule *r)
{
	path_t indexes = FIELD(p, "succeededIndexes"), count = FIELD(p, "succeededCount");
	const char *error = NULL;
	int64_t total = 0;

	if (!r->succeeded_indexes && !r->has_succeeded_count)
		field_required(
		    errs, p,
		    "at least one of succeededCount or succeededIndexes must be specified");
	if (r->succeeded_indexes && strlen(r->succeeded_indexes) > INDEXES_BYTES_MAX)
		field_too_long(errs, indexes, INDEXES_BYTES_MAX);
	else if (r->succeeded_indexes)
		error = parse_indexes(errs->arena, r->succeeded_indexes, s->completions, &total);
	if (error)
		field_add(errs, FIELD_INVALID, indexes,
		          field_quote(errs->arena, r->succeeded_indexes),
		          "error parsing succeededIndexes: %s", error);
	if (!r->has_succeeded_count)
		return;
	check_nonneg(errs, count, r->succeeded_count);
	const char *value = arena_printf(errs->arena, "%d", r->succeeded_count);
	if (r->succeeded_count > s->completions)
		field_add(errs, FIELD_INVALID, count, value,
		          "must be less than or equal to %d (the number of specified completions)",
		          s->completions);
	if (r->succeeded_indexes && r->succeeded_count > total)
		field_add(errs, FIELD_INVALID, count, value,
		          "must be less than or equal to %lld (the number of indexes in the "
		          "specified succeededIndexes field)",
		          (long long)total);
}

void job_success_policy_check(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	const BatchV1__SuccessPolicy *policy = s->success_policy;
	path_t rules = FIELD(p, "rules");

	if (!policy)
		return;
	if (!s->completion_mode || strcmp(s->completion_mode, "Indexed")) {
		field_invalid_json(errs, p, go_json_of(errs, policy),
		                   "requires indexed completion mode");
		return;
	}
	if (!policy->n_rules)
		field_required(errs, rules,
		               "at least one rules must be specified when the successPolicy is "
		               "specified");
	if (policy->n_rules > RULES_MAX)
		field_too_many(errs, rules, (int64_t)policy->n_rules, RULES_MAX);
	for (size_t i = 0; i < policy->n_rules && i < RULES_MAX; i++)
		check_success_rule(errs, FIELD_INDEX(rules, i), s, policy->rules[i]);
}
