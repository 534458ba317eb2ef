/* SPDX-License-Identifier: Apache-2.0 */
/* flowcontrol.apiserver.k8s.io: FlowSchemas and PriorityLevelConfigurations. */
#include "apiserver/registry/groups/kinds.h"
#include "apiserver/registry/row.h"

enum { PRECEDENCE_MAX = 10000, QUEUES_MAX = 10000000 };

static const char *const verbs[] = {"*",      "create", "delete", "deletecollection",
                                    "get",    "list",   "patch",  "proxy",
                                    "update", "watch",  NULL};

/* --- FlowSchema ------------------------------------------------------------------------------- */

static void schema_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	FlowcontrolV1__FlowSchemaSpec *s = OBJECT_MSG(obj, FlowcontrolV1__FlowSchema)->spec;

	if (!s->matching_precedence)
		SET(s, matching_precedence, 1000);
}

static void check_star(errs_t errs, path_t p, char *const *list, size_t n, const char *detail)
{
	if (!n)
		field_required(errs, p, "");
	else if (n > 1 && strings_have(list, n, "*"))
		field_invalid_json(errs, p, json_of_strings(errs, list, n), detail);
}

static void check_subject(errs_t errs, path_t p, const FlowcontrolV1__Subject *s)
{
	if (!check_enum(errs, FIELD(p, "kind"), s->kind, LIST("Group", "ServiceAccount", "User")))
		return;
	if (!strcmp(s->kind, "User")) {
		if (!s->user)
			field_required(errs, FIELD(p, "user"),
			               "user is required when subject kind is 'User'");
		else
			check_required(errs, FIELD(p, "user.name"), s->user->name);
	} else if (!strcmp(s->kind, "Group")) {
		if (!s->group)
			field_required(errs, FIELD(p, "group"),
			               "group is required when subject kind is 'Group'");
		else
			check_required(errs, FIELD(p, "group.name"), s->group->name);
	} else if (!s->service_account) {
		field_required(errs, FIELD(p, "serviceAccount"),
		               "serviceAccount is required when subject kind is 'ServiceAccount'");
	} else {
		check_required(errs, FIELD(p, "serviceAccount.name"), s->service_account->name);
		check_required(errs, FIELD(p, "serviceAccount.namespace"),
		               s->service_account->namespace_);
	}
}

static void check_resource_rule(errs_t errs, path_t p, const FlowcontrolV1__ResourcePolicyRule *r)
{
	check_star(errs, FIELD(p, "verbs"), r->verbs, r->n_verbs,
	           "if '*' is present, must not specify other verbs");
	for (size_t i = 0; i < r->n_verbs; i++)
		if (!list_has(verbs, r->verbs[i])) {
			field_not_supported(errs, FIELD(p, "verbs"), r->verbs[i], verbs);
			break;
		}
	check_star(errs, FIELD(p, "apiGroups"), r->api_groups, r->n_api_groups,
	           "if '*' is present, must not specify other api groups");
	check_star(errs, FIELD(p, "resources"), r->resources, r->n_resources,
	           "if '*' is present, must not specify other resources");
	if (!r->n_namespaces && !r->cluster_scope)
		field_required(
		    errs, FIELD(p, "namespaces"),
		    "resource rules that are not cluster scoped must supply at least one "
		    "namespace");
	else if (r->n_namespaces > 1 && strings_have(r->namespaces, r->n_namespaces, "*"))
		field_invalid_json(errs, FIELD(p, "namespaces"),
		                   json_of_strings(errs, r->namespaces, r->n_namespaces),
		                   "if '*' is present, must not specify other namespaces");
}

static void schema_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const FlowcontrolV1__FlowSchemaSpec *s = OBJECT_MSG(obj, FlowcontrolV1__FlowSchema)->spec;
	path_t p = FIELD(NULL, "spec");

	if (s->matching_precedence <= 0 || s->matching_precedence > PRECEDENCE_MAX)
		field_invalid_int(errs, FIELD(p, "matchingPrecedence"), s->matching_precedence,
		                  "must be a value between 1 and 10000");
	if (s->matching_precedence == 1 && strcmp(object_name(obj), "exempt"))
		field_invalid_int(errs, FIELD(p, "matchingPrecedence"), 1,
		                  "only the schema named 'exempt' may have matchingPrecedence 1");
	if (s->distinguisher_method)
		check_enum(errs, FIELD(p, "distinguisherMethod.type"),
		           s->distinguisher_method->type, LIST("ByNamespace", "ByUser"));
	check_required_name(errs, FIELD(p, "priorityLevelConfiguration.name"),
	                    s->priority_level_configuration->name, names_dns1123_subdomain);
	for (size_t i = 0; i < s->n_rules; i++) {
		const FlowcontrolV1__PolicyRulesWithSubjects *r = s->rules[i];
		path_t at = FIELD_INDEX(FIELD(p, "rules"), i);
		if (!r->n_subjects)
			field_required(errs, FIELD(at, "subjects"),
			               "subjects must contain at least one value");
		for (size_t j = 0; j < r->n_subjects; j++)
			check_subject(errs, FIELD_INDEX(FIELD(at, "subjects"), j), r->subjects[j]);
		if (!r->n_resource_rules && !r->n_non_resource_rules)
			field_required(
			    errs, at,
			    "at least one of resourceRules and nonResourceRules has to be "
			    "non-empty");
		for (size_t j = 0; j < r->n_resource_rules; j++)
			check_resource_rule(errs, FIELD_INDEX(FIELD(at, "resourceRules"), j),
			                    r->resource_rules[j]);
	}
}

static void schema_row(const struct strategy_ctx *ctx, const struct object *obj,
                       struct table_row *r)
{
	const FlowcontrolV1__FlowSchema *s = OBJECT_MSG(obj, FlowcontrolV1__FlowSchema);
	const char *dangling = "?";

	for (size_t i = 0; i < s->status->n_conditions; i++)
		if (!strcmp(s->status->conditions[i]->type, "Dangling"))
			dangling = s->status->conditions[i]->status;
	row_name(r, obj);
	row_str(r, s->spec->priority_level_configuration->name);
	row_int(r, s->spec->matching_precedence);
	row_str(r, s->spec->distinguisher_method ? s->spec->distinguisher_method->type : "<none>");
	row_age(ctx, r, obj);
	row_str(r, dangling);
}

const struct strategy flowschema_strategy = {
    .kind = "FlowSchema",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = schema_defaults,
    .validate = schema_validate,
    .table_row = schema_row,
};

const struct strategy flowschema_status_strategy = {
    .kind = "FlowSchema",
    .is_status = true,
    .keeps_metadata = true,
    .lax_update = true,
    .defaults = schema_defaults,
    .table_row = schema_row,
};

/* --- PriorityLevelConfiguration --------------------------------------------------------------- */

static void level_defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	FlowcontrolV1__PriorityLevelConfigurationSpec *s =
	    OBJECT_MSG(obj, FlowcontrolV1__PriorityLevelConfiguration)->spec;
	FlowcontrolV1__QueuingConfiguration *q;

	if (s->exempt) {
		if (!s->exempt->has_nominal_concurrency_shares)
			SET(s->exempt, nominal_concurrency_shares, 0);
		if (!s->exempt->has_lendable_percent)
			SET(s->exempt, lendable_percent, 0);
	}
	if (!s->limited)
		return;
	if (!s->limited->has_nominal_concurrency_shares)
		SET(s->limited, nominal_concurrency_shares, 30);
	if (!s->limited->has_lendable_percent)
		SET(s->limited, lendable_percent, 0);
	q = s->limited->limit_response->queuing;
	if (!q)
		return;
	if (!q->queues)
		SET(q, queues, 64);
	if (!q->hand_size)
		SET(q, hand_size, 8);
	if (!q->queue_length_limit)
		SET(q, queue_length_limit, 50);
}

static void check_queuing(errs_t errs, path_t p, const FlowcontrolV1__QueuingConfiguration *q)
{
	if (q->queue_length_limit <= 0)
		field_invalid_int(errs, FIELD(p, "queueLengthLimit"), q->queue_length_limit,
		                  "must be positive");
	if (q->queues <= 0)
		field_invalid_int(errs, FIELD(p, "queues"), q->queues, "must be positive");
	else if (q->queues > QUEUES_MAX)
		field_invalid_int(errs, FIELD(p, "queues"), q->queues,
		                  "must not be greater than 10000000");
	if (q->hand_size <= 0)
		field_invalid_int(errs, FIELD(p, "handSize"), q->hand_size, "must be positive");
	else if (q->hand_size > q->queues)
		field_add(errs, FIELD_INVALID, FIELD(p, "handSize"),
		          arena_printf(errs->arena, "%d", q->hand_size),
		          "should not be greater than queues (%d)", q->queues);
}

static void level_validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const FlowcontrolV1__PriorityLevelConfigurationSpec *s =
	    OBJECT_MSG(obj, FlowcontrolV1__PriorityLevelConfiguration)->spec;
	path_t p = FIELD(NULL, "spec"), response = FIELD(p, "limited.limitResponse");

	if (!check_enum(errs, FIELD(p, "type"), s->type, LIST("Exempt", "Limited")))
		return;
	if (!strcmp(s->type, "Exempt")) {
		if (s->limited)
			field_forbidden(errs, FIELD(p, "limited"),
			                "must be nil if the type is not Limited");
		return;
	}
	if (s->exempt)
		field_forbidden(errs, FIELD(p, "exempt"), "must be nil if the type is Limited");
	if (!s->limited) {
		field_required(errs, FIELD(p, "limited"), "must not be empty when type is Limited");
		return;
	}
	check_nonneg(errs, FIELD(p, "limited.nominalConcurrencyShares"),
	             s->limited->nominal_concurrency_shares);
	if (s->limited->lendable_percent < 0 || s->limited->lendable_percent > 100)
		field_invalid_int(errs, FIELD(p, "limited.lendablePercent"),
		                  s->limited->lendable_percent,
		                  "must be between 0 and 100, inclusive");
	const FlowcontrolV1__LimitResponse *l = s->limited->limit_response;
	if (!strcmp(l->type, "Reject")) {
		if (l->queuing)
			field_forbidden(errs, FIELD(response, "queuing"),
			                "must be nil if limited.limitResponse.type is not Queue");
	} else if (!strcmp(l->type, "Queue")) {
		if (!l->queuing)
			field_required(errs, FIELD(response, "queuing"),
			               "must not be empty if limited.limitResponse.type is Queue");
		else
			check_queuing(errs, FIELD(response, "queuing"), l->queuing);
	} else {
		check_enum(errs, FIELD(response, "type"), l->type, LIST("Queue", "Reject"));
	}
}

static const char *number_or_none(struct arena *a, bool has, int32_t n)
{
	return has ? arena_printf(a, "%d", n) : "<none>";
}

static void level_row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const FlowcontrolV1__PriorityLevelConfigurationSpec *s =
	    OBJECT_MSG(obj, FlowcontrolV1__PriorityLevelConfiguration)->spec;
	const FlowcontrolV1__QueuingConfiguration *q =
	    s->limited ? s->limited->limit_response->queuing : NULL;
	struct arena *a = ctx->arena;

	row_name(r, obj);
	row_str(r, s->type);
	row_str(r, number_or_none(a, s->limited,
	                          s->limited ? s->limited->nominal_concurrency_shares : 0));
	row_str(r, number_or_none(a, q, q ? q->queues : 0));
	row_str(r, number_or_none(a, q, q ? q->hand_size : 0));
	row_str(r, number_or_none(a, q, q ? q->queue_length_limit : 0));
	row_age(ctx, r, obj);
}

const struct strategy prioritylevel_strategy = {
    .kind = "PriorityLevelConfiguration",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = level_defaults,
    .validate = level_validate,
    .table_row = level_row,
};

const struct strategy prioritylevel_status_strategy = {
    .kind = "PriorityLevelConfiguration",
    .is_status = true,
    .keeps_metadata = true,
    .lax_update = true,
    .defaults = level_defaults,
    .table_row = level_row,
};
