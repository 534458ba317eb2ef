/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/kinds.h"
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/row.h"

/* podCIDR is the first of podCIDRs; what a node has in all is what pods get, unless it says. */
static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__Node *node = OBJECT_MSG(obj, CoreV1__Node);
	CoreV1__NodeSpec *s = node->spec;

	if (s->n_pod_cidrs && !*s->pod_cidr)
		s->pod_cidr = s->pod_cidrs[0];
	if (*s->pod_cidr && (!s->n_pod_cidrs || strcmp(s->pod_cidrs[0], s->pod_cidr))) {
		s->pod_cidrs = arena_array(ctx->arena, char *, 1);
		s->pod_cidrs[0] = s->pod_cidr;
		s->n_pod_cidrs = 1;
	}
	if (node->status->n_capacity && !node->status->n_allocatable) {
		_Static_assert(sizeof(**node->status->capacity) == sizeof(struct quantity_entry),
		               "maps of quantities share a layout");
		CoreV1__NodeStatus *st = node->status;
		st->allocatable =
		    arena_array(ctx->arena, CoreV1__NodeStatus__AllocatableEntry *, st->n_capacity);
		for (size_t i = 0; i < st->n_capacity; i++) {
			st->allocatable[i] =
			    arena_new(ctx->arena, CoreV1__NodeStatus__AllocatableEntry);
			protobuf_c_message_init(
			    &core_v1__node_status__allocatable_entry__descriptor,
			    st->allocatable[i]);
			st->allocatable[i]->key = st->capacity[i]->key;
			st->allocatable[i]->value = st->capacity[i]->value;
		}
		st->n_allocatable = st->n_capacity;
	}
}

static void prepare_update(const struct strategy_ctx *ctx, struct object *obj,
                           const struct object *old)
{
	OBJECT_MSG(obj, CoreV1__Node)->status = OBJECT_MSG(old, CoreV1__Node)->status;
}

static void check_taints(errs_t errs, const CoreV1__NodeSpec *s)
{
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_taints; i++) {
		const CoreV1__Taint *t = s->taints[i];
		path_t p = FIELD_INDEX(FIELD(NULL, "metadata.taints"), i);
		check_name(errs, FIELD(p, "key"), t->key, names_qualified);
		check_joined(errs, FIELD(p, "value"), t->value, names_label_value);
		check_required_enum(errs, FIELD(p, "effect"), t->effect,
		                    LIST("NoSchedule", "PreferNoSchedule", "NoExecute"));
		if (!index_add(&seen, arena_printf(errs->arena, "%s:%s", t->key, t->effect), 0)) {
			field_add(errs, FIELD_DUPLICATE, p, go_json_of(errs, t),
			          "taints must be unique by key and effect pair");
		}
	}
}

static void check_cidrs(errs_t errs, const CoreV1__NodeSpec *s)
{
	path_t p = FIELD(NULL, "spec.podCIDRs");
	struct index seen = INDEX_IN(errs->arena);

	for (size_t i = 0; i < s->n_pod_cidrs; i++)
		check_name(errs, FIELD_INDEX(p, i), s->pod_cidrs[i], names_cidr);
	if (s->n_pod_cidrs > 2 ||
	    (s->n_pod_cidrs == 2 && !strchr(s->pod_cidrs[0], ':') == !strchr(s->pod_cidrs[1], ':')))
		field_invalid_json(errs, p, json_of_strings(errs, s->pod_cidrs, s->n_pod_cidrs),
		                   "may specify no more than one CIDR for each IP family");
	for (size_t i = 0; i < s->n_pod_cidrs; i++)
		if (!index_add(&seen, s->pod_cidrs[i], 0))
			field_duplicate(errs, FIELD_INDEX(p, i), s->pod_cidrs[i]);
}

/* Unlike resources elsewhere: any name will do, and its path is joined by dots. */
static void check_amounts(errs_t errs, path_t p, struct quantity_entry *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct quantity q = quantity_of(list[i]->value->string);
		path_t at = FIELD(p, list[i]->key);
		quantity_check_nonneg(errs, at, list[i]->value->string);
		if (resource_is_integer(list[i]->key) && !quantity_is_integer(&q))
			field_invalid(errs, at, list[i]->value->string, "must be an integer");
	}
}

static void check_config_ref(errs_t errs, path_t p, const CoreV1__ConfigMapNodeConfigSource *c,
                             bool in_spec)
{
	if (in_spec && *c->uid)
		field_forbidden(errs, FIELD(p, "uid"), "uid must not be set in spec");
	if (in_spec && *c->resource_version)
		field_forbidden(errs, FIELD(p, "resourceVersion"),
		                "resourceVersion must not be set in spec");
	if (!in_spec && !*c->uid)
		field_required(errs, FIELD(p, "uid"), "uid must be set in status");
	if (!in_spec && !*c->resource_version)
		field_required(errs, FIELD(p, "resourceVersion"),
		               "resourceVersion must be set in status");
	if (!*c->namespace_)
		field_required(errs, FIELD(p, "namespace"), "namespace must be set");
	else
		check_name(errs, FIELD(p, "namespace"), c->namespace_, names_dns1123_label);
	if (!*c->name)
		field_required(errs, FIELD(p, "name"), "name must be set");
	else
		check_name(errs, FIELD(p, "name"), c->name, names_dns1123_subdomain);
	if (!*c->kubelet_config_key)
		field_required(errs, FIELD(p, "kubeletConfigKey"), "kubeletConfigKey must be set");
	else
		check_name(errs, FIELD(p, "kubeletConfigKey"), c->kubelet_config_key,
		           names_config_map_key);
}

/* A field of the past, which is checked for the sake of what is stored. */
static void check_config_source(errs_t errs, path_t p, const CoreV1__NodeConfigSource *c,
                                bool in_spec)
{
	if (c && c->config_map)
		check_config_ref(errs, FIELD(p, "configMap"), c->config_map, in_spec);
	else if (c)
		field_invalid_json(errs, p, go_json_of(errs, c),
		                   "exactly one reference subfield must be non-nil");
}

static void check_status(errs_t errs, const CoreV1__NodeStatus *s)
{
	check_amounts(errs, FIELD(NULL, "status.capacity"), QUANTITIES(s->capacity), s->n_capacity);
	check_amounts(errs, FIELD(NULL, "status.allocatable"), QUANTITIES(s->allocatable),
	              s->n_allocatable);
	struct index seen = INDEX_IN(errs->arena);
	for (size_t i = 0; i < s->n_addresses; i++)
		if (!index_add(&seen, go_json_of(errs, s->addresses[i]), 0))
			field_add(errs, FIELD_DUPLICATE,
			          FIELD_INDEX(FIELD(NULL, "status.addresses"), i),
			          go_json_of(errs, s->addresses[i]), "%s", "");
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__Node *node = OBJECT_MSG(obj, CoreV1__Node);

	check_taints(errs, node->spec);
	check_cidrs(errs, node->spec);
	check_status(errs, node->status);
}

static void validate_update(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old_obj, errs_t errs)
{
	const CoreV1__NodeSpec *s = OBJECT_MSG(obj, CoreV1__Node)->spec;
	const CoreV1__NodeSpec *old = OBJECT_MSG(old_obj, CoreV1__Node)->spec;

	check_config_source(errs, FIELD(NULL, "spec.configSource"), s->config_source, true);
	if (strcmp(s->external_id, old->external_id))
		field_forbidden(errs, FIELD(NULL, "spec.externalID"), "may not be updated");
	if (old->n_pod_cidrs &&
	    !same_strings(s->pod_cidrs, s->n_pod_cidrs, old->pod_cidrs, old->n_pod_cidrs))
		field_forbidden(errs, FIELD(NULL, "spec.podCIDRs"),
		                "node updates may not change podCIDR except from \"\" to valid");
	if (*old->provider_id && strcmp(s->provider_id, old->provider_id))
		field_forbidden(errs, FIELD(NULL, "spec.providerID"),
		                "node updates may not change providerID except from \"\" to valid");
}

static void status_validate(const struct strategy_ctx *ctx, const struct object *obj,
                            const struct object *old, errs_t errs)
{
	const CoreV1__NodeStatus *s = OBJECT_MSG(obj, CoreV1__Node)->status;
	path_t p = FIELD(NULL, "status.config");

	check_status(errs, s);
	if (!s->config)
		return;
	check_config_source(errs, FIELD(p, "assigned"), s->config->assigned, false);
	check_config_source(errs, FIELD(p, "active"), s->config->active, false);
	check_config_source(errs, FIELD(p, "lastKnownGood"), s->config->last_known_good, false);
}

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	ret[0] = OBJECT_MSG(obj, CoreV1__Node)->spec->unschedulable ? "true" : "false";
}

static const char *status_text(struct arena *a, const CoreV1__Node *node)
{
	const char *text = "";

	for (size_t i = 0; i < node->status->n_conditions; i++) {
		const CoreV1__NodeCondition *c = node->status->conditions[i];
		if (!strcmp(c->type, "Ready"))
			text = !strcmp(c->status, "True") ? "Ready" : "NotReady";
	}
	if (!*text)
		text = "Unknown";
	return node->spec->unschedulable ? arena_printf(a, "%s,SchedulingDisabled", text) : text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Roles are labels: node-role.kubernetes.io/<role>, and the older kubernetes.io/role=<role>. */
static const char *roles_text(struct arena *a, const MetaV1__ObjectMeta *m)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	const char **roles = arena_array(a, const char *, m->n_labels + 1);
	struct join text = JOIN(a, ",");
	size_t n = 0;

	for (size_t i = 0; i < m->n_labels; i++) {
		const char *key = m->labels[i]->key, *value = m->labels[i]->value;
		if (has_prefix(key, prefix) && key[strlen(prefix)])
			roles[n++] = key + strlen(prefix);
		else if (!strcmp(key, "kubernetes.io/role") && *value)
			roles[n++] = value;
	}
	qsort(roles, n, sizeof(*roles), by_text);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(roles[i], roles[i - 1]))
			join_add(&text, roles[i]);
	return n ? join_text(&text) : "<none>";
}

static const char *address(const CoreV1__NodeStatus *s, const char *type)
{
	for (size_t i = 0; i < s->n_addresses; i++)
		if (!strcmp(s->addresses[i]->type, type))
			return s->addresses[i]->address;
	return "<none>";
}

static const char *or_unknown(const char *s)
{
	return s && *s ? s : "<unknown>";
}

static void row(const struct strategy_ctx *ctx, const struct object *obj, struct table_row *r)
{
	const CoreV1__Node *node = OBJECT_MSG(obj, CoreV1__Node);
	const CoreV1__NodeSystemInfo *info = node->status->node_info;

	row_name(r, obj);
	row_str(r, status_text(ctx->arena, node));
	row_str(r, roles_text(ctx->arena, node->metadata));
	row_age(ctx, r, obj);
	row_str(r, info->kubelet_version);
	row_str(r, address(node->status, "InternalIP"));
	row_str(r, address(node->status, "ExternalIP"));
	row_str(r, or_unknown(info->os_image));
	row_str(r, or_unknown(info->kernel_version));
	row_str(r, or_unknown(info->container_runtime_version));
}

const struct strategy node_strategy = {
    .kind = "Node",
    .defaults = defaults,
    .prepare_update = prepare_update,
    .validate = validate,
    .validate_update = validate_update,
    .allow_unconditional_update = true,
    .field_names = LIST("spec.unschedulable"),
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = row,
};

const struct strategy node_status_strategy = {
    .kind = "Node",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .validate_update = status_validate,
    .allow_unconditional_update = true,
    .table_row = row,
};
