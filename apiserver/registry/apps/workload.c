/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/apps/workload.h"

#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/defaults.h"

static void check_template(const struct strategy_ctx *ctx, errs_t errs,
                           const MetaV1__LabelSelector *sel, const CoreV1__PodTemplateSpec *t)
{
	path_t p = FIELD(NULL, "spec.template");
	struct string_entry *const *labels = STRINGS(t->metadata->labels);

	if (!sel || (!selector_is_empty(sel) &&
	             !selector_matches(sel, errs->arena, labels, t->metadata->n_labels)))
		field_invalid_json(errs, FIELD(p, "metadata.labels"),
		                   json_of_map(errs, labels, t->metadata->n_labels),
		                   "`selector` does not match template `labels`");
	pod_template_check(ctx, errs, p, t);
}

void workload_check(const struct strategy_ctx *ctx, errs_t errs, const MetaV1__LabelSelector *sel,
                    const CoreV1__PodTemplateSpec *t, const char *what)
{
	path_t p = FIELD(NULL, "spec.selector");

	if (!sel) {
		field_required(errs, p, "");
	} else {
		check_selector(errs, p, sel);
		if (selector_is_empty(sel))
			field_add(errs, FIELD_INVALID, p, json_of(errs, sel),
			          "empty selector is invalid for %s", what);
		if (!selector_parses(sel, errs->arena, NULL)) {
			field_invalid_json(errs, p, json_of(errs, sel), "invalid label selector");
			return;
		}
	}
	check_template(ctx, errs, sel, t);
}

void workload_check_forever(errs_t errs, const CoreV1__PodTemplateSpec *t, const char *kind)
{
	path_t p = FIELD(NULL, "spec.template.spec");

	if (list_has(LIST("OnFailure", "Never"), t->spec->restart_policy))
		field_not_supported(errs, FIELD(p, "restartPolicy"), t->spec->restart_policy,
		                    LIST("Always"));
	if (t->spec->has_active_deadline_seconds)
		field_forbidden(errs, FIELD(p, "activeDeadlineSeconds"),
		                arena_printf(errs->arena,
		                             "activeDeadlineSeconds in %s is not Supported", kind));
}

void workload_check_selector_kept(errs_t errs, const MetaV1__LabelSelector *now,
                                  const MetaV1__LabelSelector *old)
{
	check_immutable_msg(errs, FIELD(NULL, "spec.selector"), now, old);
}

void collisions_check(errs_t errs, bool has, int32_t n, bool had, int32_t old)
{
	path_t p = FIELD(NULL, "status.collisionCount");

	if (has)
		check_nonneg(errs, p, n);
	if (had && (!has || n < old))
		field_invalid_int(errs, p, has ? n : 0, "cannot be decremented");
}

void workload_warnings(struct strategy_warnings *w, const CoreV1__PodTemplateSpec *t,
                       const CoreV1__PodTemplateSpec *old)
{
	if (!old || !same_msg(t, old))
		pod_spec_warnings(w, FIELD(FIELD(NULL, "spec.template"), "spec"), t->spec,
		                  t->metadata);
}

Intstr__IntOrString *intstr_new_percent(struct arena *a, const char *text)
{
	Intstr__IntOrString *v = MSG_NEW(a, Intstr__IntOrString, intstr__int_or_string__descriptor);

	SET(v, type, 1);
	v->str_val = arena_strdup(a, text);
	return v;
}

Intstr__IntOrString *intstr_new_int(struct arena *a, int32_t n)
{
	Intstr__IntOrString *v = MSG_NEW(a, Intstr__IntOrString, intstr__int_or_string__descriptor);

	SET(v, int_val, n);
	return v;
}

bool intstr_is_zero(const Intstr__IntOrString *v)
{
	int percent;

	if (!v)
		return true;
	return intstr_is_int(v) ? !v->int_val : intstr_is_percent(v, &percent) && !percent;
}

const char *intstr_json(errs_t errs, const Intstr__IntOrString *v)
{
	if (intstr_is_int(v))
		return arena_printf(errs->arena, "%d", v->int_val);
	return field_quote(errs->arena, v->str_val);
}

void check_not_over_100_percent(errs_t errs, path_t p, const Intstr__IntOrString *v)
{
	int percent;

	if (v && intstr_is_percent(v, &percent) && percent > 100)
		field_invalid_json(errs, p, intstr_json(errs, v), "must not be greater than 100%");
}
