/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/batch/job.h"

#include "apiserver/registry/apps/kinds.h"
#include "apiserver/registry/apps/workload.h"
#include "apiserver/registry/defaults.h"
#include "apiserver/registry/row.h"
#include "common/codec/duration.h"
#include "proto/msg.h"
#include "proto/schema.h"

enum {
	PARALLELISM_INDEXED_MAX = 100000,
	COMPLETIONS_SOFT_MAX = 100000,
	PARALLELISM_SOFT_MAX = 10000,
	FAILED_INDEXES_MAX = 100000,
	FAILED_INDEXES_SOFT_MAX = 10000,
};

static const char label_uid[] = "batch.kubernetes.io/controller-uid";
static const char label_name[] = "batch.kubernetes.io/job-name";

void job_rules_default(struct arena *a, BatchV1__JobSpec *s)
{
	for (size_t i = 0; s->pod_failure_policy && i < s->pod_failure_policy->n_rules; i++) {
		BatchV1__PodFailurePolicyRule *r = s->pod_failure_policy->rules[i];
		for (size_t j = 0; j < r->n_on_pod_conditions; j++)
			if (!*r->on_pod_conditions[j]->status)
				r->on_pod_conditions[j]->status = arena_strdup(a, "True");
	}
}

static void default_labels(BatchV1__Job *job)
{
	MetaV1__ObjectMeta *m = job->metadata, *t = job->spec->template_->metadata;

	if (m->n_labels)
		return;
	m->labels = t->labels;
	m->n_labels = t->n_labels;
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	BatchV1__Job *job = OBJECT_MSG(obj, BatchV1__Job);
	BatchV1__JobSpec *s = job->spec;

	if (!s->has_parallelism && !s->has_completions) {
		SET(s, completions, 1);
		SET(s, parallelism, 1);
	}
	if (!s->has_parallelism)
		SET(s, parallelism, 1);
	if (!s->has_backoff_limit)
		SET(s, backoff_limit, s->has_backoff_limit_per_index ? INT32_MAX : 6);
	default_labels(job);
	if (!s->completion_mode)
		s->completion_mode = arena_strdup(ctx->arena, "NonIndexed");
	if (!s->has_suspend)
		SET(s, suspend, 0);
	if (!s->pod_replacement_policy)
		s->pod_replacement_policy = arena_strdup(
		    ctx->arena, s->pod_failure_policy ? "Failed" : "TerminatingOrFailed");
	if (!s->has_manual_selector)
		SET(s, manual_selector, 0);
	job_rules_default(ctx->arena, s);
}

static void add_label(struct arena *a, MetaV1__ObjectMeta *m, const char *key, const char *value)
{
	MetaV1__ObjectMeta__LabelsEntry **list;
	size_t i = 0;

	while (i < m->n_labels && strcmp(m->labels[i]->key, key))
		i++;
	/* The list may be shared with the job's own labels: it is copied, not grown. */
	list = arena_array(a, MetaV1__ObjectMeta__LabelsEntry *, m->n_labels + 1);
	if (m->n_labels)
		memcpy(list, m->labels, m->n_labels * sizeof(*list));
	list[i] = arena_new(a, MetaV1__ObjectMeta__LabelsEntry);
	protobuf_c_message_init(&meta_v1__object_meta__labels_entry__descriptor, list[i]);
	list[i]->key = arena_strdup(a, key);
	list[i]->value = arena_strdup(a, value);
	m->labels = list;
	m->n_labels = MAX(m->n_labels, i + 1);
}

/* The pods of a job are found by the job's own identity. */
static void generate_selector(struct arena *a, BatchV1__Job *job)
{
	MetaV1__LabelSelector *s = job->spec->selector;
	MetaV1__ObjectMeta *t = job->spec->template_->metadata;
	MetaV1__LabelSelector__MatchLabelsEntry *e;

	add_label(a, t, "job-name", job->metadata->name);
	add_label(a, t, label_name, job->metadata->name);
	add_label(a, t, "controller-uid", job->metadata->uid);
	add_label(a, t, label_uid, job->metadata->uid);
	if (!s)
		s = job->spec->selector =
		    MSG_NEW(a, MetaV1__LabelSelector, meta_v1__label_selector__descriptor);
	if (strings_get(STRINGS(s->match_labels), s->n_match_labels, label_uid))
		return;
	s->match_labels = arena_grow(a, s->match_labels, s->n_match_labels * sizeof(void *),
	                             (s->n_match_labels + 1) * sizeof(void *));
	e = arena_new(a, MetaV1__LabelSelector__MatchLabelsEntry);
	protobuf_c_message_init(&meta_v1__label_selector__match_labels_entry__descriptor, e);
	e->key = arena_strdup(a, label_uid);
	e->value = job->metadata->uid;
	s->match_labels[s->n_match_labels++] = e;
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	BatchV1__Job *job = OBJECT_MSG(obj, BatchV1__Job);
	/* Labels that were taken from the template are taken again, with what comes in here. */
	bool shared = job->metadata->labels == job->spec->template_->metadata->labels;

	if (!job->spec->manual_selector)
		generate_selector(ctx->arena, job);
	if (shared) {
		job->metadata->n_labels = 0;
		default_labels(job);
	}
}

static void check_restart_policy(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	const char *policy = s->template_->spec->restart_policy;
	path_t at = FIELD(p, "template.spec.restartPolicy");

	if (!strcmp(policy, "Always"))
		field_required(errs, at, "valid values: \"OnFailure\", \"Never\"");
	else if (strcmp(policy, "OnFailure") && strcmp(policy, "Never"))
		field_not_supported(errs, at, policy, LIST("OnFailure", "Never"));
	else if (s->pod_failure_policy && strcmp(policy, "Never"))
		field_invalid(errs, at, policy,
		              "only \"Never\" is supported when podFailurePolicy is specified");
}

static void check_at_most(errs_t errs, path_t p, int64_t n, int64_t most, const char *more)
{
	if (n > most)
		field_add(errs, FIELD_INVALID, p, arena_printf(errs->arena, "%lld", (long long)n),
		          "must be less than or equal to %lld%s", (long long)most, more);
}

static void check_indexed(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	static const char many[] =
	    " when completions are above 100000 and used with backoff limit per index";
	path_t parallelism = FIELD(p, "parallelism"), failed = FIELD(p, "maxFailedIndexes");

	if (!s->has_completions) {
		field_required(errs, FIELD(p, "completions"), "when completion mode is Indexed");
		return;
	}
	if (s->has_parallelism)
		check_at_most(errs, parallelism, s->parallelism, PARALLELISM_INDEXED_MAX,
		              " when completion mode is Indexed");
	if (s->has_max_failed_indexes && s->max_failed_indexes > s->completions)
		field_invalid_int(errs, failed, s->max_failed_indexes,
		                  "must be less than or equal to completions");
	if (s->has_max_failed_indexes)
		check_at_most(errs, failed, s->max_failed_indexes, FAILED_INDEXES_MAX, "");
	if (s->completions <= COMPLETIONS_SOFT_MAX || !s->has_backoff_limit_per_index)
		return;
	if (!s->has_max_failed_indexes)
		field_required(errs, failed, "must be specified when completions is above 100000");
	else
		check_at_most(errs, failed, s->max_failed_indexes, FAILED_INDEXES_SOFT_MAX, many);
	if (s->has_parallelism)
		check_at_most(errs, parallelism, s->parallelism, PARALLELISM_SOFT_MAX, many);
}

/* Indexes can only fail where there are some. */
static void check_not_indexed(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	static const char text[] = "requires indexed completion mode";

	if (s->has_backoff_limit_per_index)
		field_invalid_int(errs, FIELD(p, "backoffLimitPerIndex"),
		                  s->backoff_limit_per_index, text);
	if (s->has_max_failed_indexes)
		field_invalid_int(errs, FIELD(p, "maxFailedIndexes"), s->max_failed_indexes, text);
}

static void check_counts(errs_t errs, path_t p, const BatchV1__JobSpec *s)
{
	if (s->has_parallelism)
		check_nonneg(errs, FIELD(p, "parallelism"), s->parallelism);
	if (s->has_completions)
		check_nonneg(errs, FIELD(p, "completions"), s->completions);
	if (s->has_active_deadline_seconds)
		check_nonneg(errs, FIELD(p, "activeDeadlineSeconds"), s->active_deadline_seconds);
	if (s->has_backoff_limit)
		check_nonneg(errs, FIELD(p, "backoffLimit"), s->backoff_limit);
	if (s->has_ttl_seconds_after_finished)
		check_nonneg(errs, FIELD(p, "ttlSecondsAfterFinished"),
		             s->ttl_seconds_after_finished);
	if (s->has_backoff_limit_per_index)
		check_nonneg(errs, FIELD(p, "backoffLimitPerIndex"), s->backoff_limit_per_index);
	if (s->has_max_failed_indexes)
		check_nonneg(errs, FIELD(p, "maxFailedIndexes"), s->max_failed_indexes);
	if (s->has_max_failed_indexes && !s->has_backoff_limit_per_index)
		field_required(errs, FIELD(p, "backoffLimitPerIndex"),
		               "when maxFailedIndexes is specified");
}

/* What job templates are checked for as well. */
static void check_spec(const struct strategy_ctx *ctx, errs_t errs, path_t p,
                       const BatchV1__JobSpec *s)
{
	check_counts(errs, p, s);
	if (s->completion_mode)
		check_enum(errs, FIELD(p, "completionMode"), s->completion_mode,
		           LIST("Indexed", "NonIndexed"));
	if (s->completion_mode && !strcmp(s->completion_mode, "Indexed"))
		check_indexed(errs, p, s);
	else
		check_not_indexed(errs, p, s);
	job_failure_policy_check(errs, FIELD(p, "podFailurePolicy"), s);
	job_success_policy_check(errs, FIELD(p, "successPolicy"), s);
	if (s->pod_replacement_policy)
		check_enum(errs, FIELD(p, "podReplacementPolicy"), s->pod_replacement_policy,
		           s->pod_failure_policy ? LIST("Failed")
		                                 : LIST("Failed", "TerminatingOrFailed"));
	if (s->managed_by) {
		check_name(errs, FIELD(p, "managedBy"), s->managed_by, names_domain_prefixed_path);
		if (strlen(s->managed_by) > 63)
			field_too_long(errs, FIELD(p, "managedBy"), 63);
	}
	pod_template_check(ctx, errs, FIELD(p, "template"), s->template_);
	check_restart_policy(errs, p, s);
}

void job_template_check(const struct strategy_ctx *ctx, errs_t errs, path_t p,
                        const BatchV1__JobTemplateSpec *t)
{
	path_t spec = FIELD(p, "spec");

	if (t->spec->manual_selector)
		field_not_supported(errs, FIELD(spec, "manualSelector"), "true",
		                    LIST("nil", "false"));
	check_labels(errs, FIELD(p, "metadata.labels"), STRINGS(t->metadata->labels),
	             t->metadata->n_labels);
	check_spec(ctx, errs, spec, t->spec);
}

/* A selector that the client wrote must have been meant: only manualSelector allows it. */
static void check_generated(errs_t errs, const BatchV1__Job *job)
{
	const MetaV1__LabelSelector *s = job->spec->selector;
	const MetaV1__ObjectMeta *t = job->spec->template_->metadata;
	path_t p = FIELD(NULL, "spec.template.metadata.labels");

	if (job->spec->manual_selector)
		return;
	if (s->n_match_labels != 1 || s->n_match_expressions) {
		field_invalid_json(errs, FIELD(NULL, "spec.selector"), json_of(errs, s),
		                   "`selector` not auto-generated");
		return;
	}
	const char *uid = strings_get(STRINGS(t->labels), t->n_labels, label_uid);
	if (!uid || strcmp(uid, job->metadata->uid))
		field_invalid_json(errs, p, json_of_map(errs, STRINGS(t->labels), t->n_labels),
		                   "must match the generated controller-uid");
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const BatchV1__Job *job = OBJECT_MSG(obj, BatchV1__Job);
	const BatchV1__JobSpec *s = job->spec;
	const MetaV1__ObjectMeta *t = s->template_->metadata;

	check_spec(ctx, errs, FIELD(NULL, "spec"), s);
	if (!s->selector) {
		field_required(errs, FIELD(NULL, "spec.selector"), "");
		return;
	}
	check_selector(errs, FIELD(NULL, "spec.selector"), s->selector);
	check_generated(errs, job);
	if (selector_parses(s->selector, errs->arena, NULL) && s->manual_selector &&
	    !selector_matches(s->selector, errs->arena, STRINGS(t->labels), t->n_labels))
		field_invalid_json(errs, FIELD(NULL, "spec.template.metadata.labels"),
		                   json_of_map(errs, STRINGS(t->labels), t->n_labels),
		                   "`selector` does not match template `labels`");
}

static bool is_suspended_and_never_ran(const BatchV1__Job *old)
{
	return old->spec->suspend && !old->status->start_time;
}

/* Scheduling directives of a job that waits may change. */
static bool same_template(errs_t errs, const BatchV1__Job *now, const BatchV1__Job *old)
{
	const CoreV1__PodTemplateSpec *n = now->spec->template_, *o = old->spec->template_;
	CoreV1__PodTemplateSpec *t;

	if (!is_suspended_and_never_ran(old))
		return same_msg(n, o);
	t = (CoreV1__PodTemplateSpec *)msg_copy(schema_of(n->base.descriptor), &n->base,
	                                        errs->arena);
	t->spec->node_selector = o->spec->node_selector;
	t->spec->n_node_selector = o->spec->n_node_selector;
	t->spec->affinity = o->spec->affinity;
	t->spec->tolerations = o->spec->tolerations;
	t->spec->n_tolerations = o->spec->n_tolerations;
	t->spec->scheduling_gates = o->spec->scheduling_gates;
	t->spec->n_scheduling_gates = o->spec->n_scheduling_gates;
	t->metadata->labels = o->metadata->labels;
	t->metadata->n_labels = o->metadata->n_labels;
	t->metadata->annotations = o->metadata->annotations;
	t->metadata->n_annotations = o->metadata->n_annotations;
	return same_msg(t, o);
}

/* Fixed, but that the indexes of a job may become more and fewer with its parallelism (KEP-3715).
 */
static void check_completions(errs_t errs, path_t p, const BatchV1__JobSpec *s,
                              const BatchV1__JobSpec *old)
{
	const char *value =
	    s->has_completions ? arena_printf(errs->arena, "%d", s->completions) : "null";

	if (s->has_completions == old->has_completions && s->completions == old->completions)
		return;
	if (!s->completion_mode || strcmp(s->completion_mode, "Indexed"))
		field_invalid_json(errs, FIELD(p, "completions"), value, "field is immutable");
	else if (s->has_completions && s->has_parallelism && s->completions != s->parallelism)
		field_invalid_json(errs, FIELD(p, "completions"), value,
		                   "can only be modified in tandem with spec.parallelism");
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const BatchV1__Job *job = OBJECT_MSG(obj, BatchV1__Job),
	                   *old = OBJECT_MSG(old_obj, BatchV1__Job);
	const BatchV1__JobSpec *s = job->spec, *o = old->spec;
	path_t p = FIELD(NULL, "spec");

	check_completions(errs, p, s, o);
	check_immutable_msg(errs, FIELD(p, "selector"), s->selector, o->selector);
	if (!same_template(errs, job, old))
		field_invalid_json(
		    errs, FIELD(p, "template"),
		    arena_printf(errs->arena, "{\"labels\":%s}",
		                 json_of_map(errs, STRINGS(s->template_->metadata->labels),
		                             s->template_->metadata->n_labels)),
		    "field is immutable");
	check_immutable_str(errs, FIELD(p, "completionMode"), s->completion_mode,
	                    o->completion_mode);
	check_immutable_msg(errs, FIELD(p, "podFailurePolicy"), s->pod_failure_policy,
	                    o->pod_failure_policy);
	if (s->has_backoff_limit_per_index != o->has_backoff_limit_per_index ||
	    s->backoff_limit_per_index != o->backoff_limit_per_index)
		field_invalid_int(errs, FIELD(p, "backoffLimitPerIndex"),
		                  s->backoff_limit_per_index, "field is immutable");
	check_immutable_str(errs, FIELD(p, "managedBy"), s->managed_by, o->managed_by);
	check_immutable_msg(errs, FIELD(p, "successPolicy"), s->success_policy, o->success_policy);
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const BatchV1__JobSpec *s = OBJECT_MSG(obj, BatchV1__Job)->spec;

	if (s->completion_mode && !strcmp(s->completion_mode, "Indexed") &&
	    s->completions > COMPLETIONS_SOFT_MAX && s->parallelism > PARALLELISM_SOFT_MAX)
		strategy_warn(w,
		              "spec: In Indexed Jobs with a number of completions higher than 10^5 "
		              "and a parallelism higher than 10^4, Kubernetes might not be able to "
		              "track completedIndexes when a big number of indexes fail");
	workload_warnings(w, s->template_,
	                  old ? OBJECT_MSG(old, BatchV1__Job)->spec->template_ : NULL);
}

static const BatchV1__JobCondition *condition(const BatchV1__JobStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_conditions; i++)
		if (!strcmp(s->conditions[i]->type, type) &&
		    !strcmp(s->conditions[i]->status, "True"))
			return s->conditions[i];
	return NULL;
}

static void check_conditions(errs_t errs, const BatchV1__JobStatus *s)
{
	path_t p = FIELD(NULL, "status.conditions");
	bool complete = condition(s, "Complete"), failed = condition(s, "Failed");

	if (complete && failed)
		field_invalid_json(errs, p, NULL,
		                   "cannot set Complete=True and Failed=true conditions");
	if (complete && !condition(s, "SuccessCriteriaMet"))
		field_invalid_json(
		    errs, p, NULL,
		    "cannot set Complete=True condition without the SuccessCriteriaMet "
		    "condition");
	if (failed && !condition(s, "FailureTarget"))
		field_invalid_json(errs, p, NULL,
		                   "cannot set Failed=True condition without the FailureTarget "
		                   "condition");
	if (complete && !s->completion_time)
		field_required(errs, FIELD(NULL, "status.completionTime"),
		               "completionTime is required for Complete jobs");
	if (!complete && s->completion_time)
		field_invalid_json(errs, FIELD(NULL, "status.completionTime"),
		                   json_of(errs, s->completion_time),
		                   "completionTime cannot be set when there is no Complete=True "
		                   "condition");
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const BatchV1__JobStatus *s = OBJECT_MSG(obj, BatchV1__Job)->status;
	path_t p = FIELD(NULL, "status");

	check_nonneg(errs, FIELD(p, "active"), s->active);
	check_nonneg(errs, FIELD(p, "succeeded"), s->succeeded);
	check_nonneg(errs, FIELD(p, "failed"), s->failed);
	if (s->has_ready)
		check_nonneg(errs, FIELD(p, "ready"), s->ready);
	if (s->has_ready && s->ready > s->active)
		field_invalid_int(errs, FIELD(p, "ready"), s->ready,
		                  "cannot set more ready pods than active");
	if (s->has_terminating)
		check_nonneg(errs, FIELD(p, "terminating"), s->terminating);
	check_conditions(errs, s);
}

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = arena_printf(a, "%d", OBJECT_MSG(obj, BatchV1__Job)->status->succeeded);
}

static const char *status_text(const BatchV1__Job *job)
{
	static const char *const order[] = {"Complete", "Failed", NULL};

	for (const char *const *type = order; *type; type++)
		if (condition(job->status, *type))
			return *type;
	if (job->metadata->deletion_timestamp)
		return "Terminating";
	if (condition(job->status, "Suspended"))
		return "Suspended";
	if (condition(job->status, "FailureTarget"))
		return "FailureTarget";
	if (condition(job->status, "SuccessCriteriaMet"))
		return "SuccessCriteriaMet";
	return "Running";
}

static const char *duration_text(const struct strategy_ctx *ctx, const BatchV1__Job *job)
{
	const BatchV1__JobStatus *s = job->status;
	const BatchV1__JobCondition *failed = condition(s, "Failed");
	char text[DURATION_BYTES];
	int64_t end = ctx->now_sec;

	if (!s->start_time)
		return "";
	if (s->completion_time)
		end = s->completion_time->seconds;
	else if (failed && failed->last_transition_time)
		end = failed->last_transition_time->seconds;
	duration_format_human(end - s->start_time->seconds, text);
	return arena_strdup(ctx->arena, text);
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const BatchV1__Job *job = OBJECT_MSG(obj, BatchV1__Job);
	const BatchV1__JobSpec *s = job->spec;
	const char *done;

	if (s->has_completions)
		done = arena_printf(ctx->arena, "%d/%d", job->status->succeeded, s->completions);
	else if (s->parallelism > 1)
		done =
		    arena_printf(ctx->arena, "%d/1 of %d", job->status->succeeded, s->parallelism);
	else
		done = arena_printf(ctx->arena, "%d/1", job->status->succeeded);
	row_name(r, obj);
	row_str(r, status_text(job));
	row_str(r, done);
	row_str(r, duration_text(ctx, job));
	row_age(ctx, r, obj);
	row_containers(ctx, r, s->template_->spec);
	row_selector(ctx, r, s->selector);
}

const struct strategy job_strategy = {
    .kind = "Job",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .prepare_create = prepare_create,
    .validate = validate,
    .validate_update = validate_update,
    .warnings = warnings,
    .delete_default = DELETE_ORPHAN,
    .delete_warning = "child pods are preserved by default when jobs are deleted; set "
                      "propagationPolicy=Background to remove them or set "
                      "propagationPolicy=Orphan to suppress this warning",
    .allow_unconditional_update = true,
    .field_names = LIST("status.successful"),
    .field_values = field_values,
    .field_error_fmt = "field label \"%s\" not supported for Job",
    .table_row = row,
};

const struct strategy job_status_strategy = {
    .kind = "Job",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
