/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod.h"

#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/defaults.h"

/* What a container may use at most is what it asks for when it does not say. */
static void default_requests(struct arena *a, CoreV1__ResourceRequirements *r)
{
	struct index requests;
	CoreV1__ResourceRequirements__RequestsEntry **list;

	if (!r->n_limits)
		return;
	requests = map_index(a, r->requests, r->n_requests);
	list = arena_array(a, CoreV1__ResourceRequirements__RequestsEntry *,
	                   r->n_requests + r->n_limits);
	if (r->n_requests)
		memcpy(list, r->requests, r->n_requests * sizeof(*list));
	for (size_t i = 0; i < r->n_limits; i++) {
		if (!index_add(&requests, r->limits[i]->key, 0))
			continue;
		list[r->n_requests] = arena_new(a, CoreV1__ResourceRequirements__RequestsEntry);
		protobuf_c_message_init(&core_v1__resource_requirements__requests_entry__descriptor,
		                        list[r->n_requests]);
		list[r->n_requests]->key = r->limits[i]->key;
		list[r->n_requests]->value = r->limits[i]->value;
		r->n_requests++;
	}
	r->requests = list;
}

/* Ports of the host's network are the host's ports. */
static void default_host_ports(CoreV1__Container **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < list[i]->n_ports; j++)
			if (!list[i]->ports[j]->host_port)
				SET(list[i]->ports[j], host_port,
				    list[i]->ports[j]->container_port);
}

/* podIP is the first of podIPs. */
static void default_ips(struct arena *a, CoreV1__PodStatus *s)
{
	if (s->n_pod_ips && !*s->pod_ip)
		s->pod_ip = s->pod_ips[0]->ip;
	if (*s->pod_ip && (!s->n_pod_ips || strcmp(s->pod_ips[0]->ip, s->pod_ip))) {
		s->pod_ips = arena_array(a, CoreV1__PodIP *, 1);
		s->pod_ips[0] = MSG_NEW(a, CoreV1__PodIP, core_v1__pod_ip__descriptor);
		s->pod_ips[0]->ip = s->pod_ip;
		s->n_pod_ips = 1;
	}
}

static void defaults(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__PodSpec *spec = OBJECT_MSG(obj, CoreV1__Pod)->spec;

	for (size_t i = 0; i < spec->n_containers; i++)
		default_requests(ctx->arena, spec->containers[i]->resources);
	for (size_t i = 0; i < spec->n_init_containers; i++)
		default_requests(ctx->arena, spec->init_containers[i]->resources);
	if (spec->has_termination_grace_period_seconds &&
	    spec->termination_grace_period_seconds < 0)
		SET(spec, termination_grace_period_seconds, 1);
	if (!spec->has_enable_service_links)
		SET(spec, enable_service_links, 1);
	if (spec->host_network) {
		default_host_ports(spec->containers, spec->n_containers);
		default_host_ports(spec->init_containers, spec->n_init_containers);
	}
	default_ips(ctx->arena, OBJECT_MSG(obj, CoreV1__Pod)->status);
}

struct qos_tally {
	bool any, guaranteed;
};

static const char *positive(struct quantity_entry *const *list, size_t n, const char *name)
{
	const char *text = quantities_get(list, n, name);
	struct quantity q = quantity_of(text ? text : "0");

	return quantity_sign(&q) > 0 ? text : NULL;
}

static void qos_count(struct qos_tally *t, const CoreV1__ResourceRequirements *r)
{
	static const char *const names[] = {"cpu", "memory"};

	for (size_t i = 0; i < 2; i++) {
		const char *l = positive(QUANTITIES(r->limits), r->n_limits, names[i]);
		const char *q = positive(QUANTITIES(r->requests), r->n_requests, names[i]);
		t->any |= l || q;
		t->guaranteed &= l && (!q || !quantity_cmp_text(l, q));
	}
}

const char *pod_qos_class(const CoreV1__PodSpec *spec)
{
	struct qos_tally t = {false, true};

	if (spec->resources) {
		qos_count(&t, spec->resources);
	} else {
		for (size_t i = 0; i < spec->n_containers; i++)
			qos_count(&t, spec->containers[i]->resources);
		for (size_t i = 0; i < spec->n_init_containers; i++)
			qos_count(&t, spec->init_containers[i]->resources);
	}
	return !t.any ? "BestEffort" : t.guaranteed ? "Guaranteed" : "Burstable";
}

static void prepare_create(const struct strategy_ctx *ctx, struct object *obj)
{
	CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	struct arena *a = ctx->arena;

	pod->status = MSG_NEW(a, CoreV1__PodStatus, core_v1__pod_status__descriptor);
	pod->status->phase = arena_strdup(a, "Pending");
	pod->status->qos_class = arena_strdup(a, pod_qos_class(pod->spec));
	pod_keys_merge(a, pod);
	pod_apparmor_take(a, pod);
	if (!pod->spec->n_scheduling_gates)
		return;
	CoreV1__PodCondition *c =
	    MSG_NEW(a, CoreV1__PodCondition, core_v1__pod_condition__descriptor);
	c->type = arena_strdup(a, "PodScheduled");
	c->status = arena_strdup(a, "False");
	c->reason = arena_strdup(a, "SchedulingGated");
	c->message = arena_strdup(a, "Scheduling is blocked due to non-empty scheduling gates");
	c->last_transition_time = MSG_NEW(a, MetaV1__Time, meta_v1__time__descriptor);
	SET(c->last_transition_time, seconds, ctx->now_sec);
	pod->status->conditions = arena_memdup(a, &c, sizeof(c));
	pod->status->n_conditions = 1;
}

static void check_token_volumes(errs_t errs, const CoreV1__PodSpec *spec)
{
	for (size_t i = 0; i < spec->n_volumes; i++) {
		const CoreV1__ProjectedVolumeSource *v = spec->volumes[i]->volume_source->projected;
		path_t p = FIELD(FIELD_INDEX(FIELD(NULL, "spec.volumes"), i), "projected.sources");
		for (size_t j = 0; v && j < v->n_sources; j++)
			if (v->sources[j]->service_account_token)
				field_forbidden(
				    errs, FIELD(FIELD_INDEX(p, j), "serviceAccountToken"),
				    "must not be specified when serviceAccountName is not set");
	}
}

static void validate(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	struct pod_scope s = {
	    .ctx = ctx,
	    .errs = errs,
	    .spec_path = FIELD(NULL, "spec"),
	    .spec = pod->spec,
	    .name = pod->metadata->name,
	};

	pod_annotations_check(errs, FIELD(NULL, "metadata.annotations"),
	                      STRINGS(pod->metadata->annotations), pod->metadata->n_annotations,
	                      pod->spec);
	pod_spec_check(&s);
	if (!*pod->spec->service_account_name)
		check_token_volumes(errs, pod->spec);
}

static void validate_create(const struct strategy_ctx *ctx, const struct object *obj, errs_t errs)
{
	const CoreV1__PodSpec *spec = OBJECT_MSG(obj, CoreV1__Pod)->spec;

	if (spec->n_ephemeral_containers)
		field_forbidden(errs, FIELD(NULL, "spec.ephemeralContainers"),
		                "cannot be set on create");
	if (*spec->node_name && spec->n_scheduling_gates)
		field_forbidden(errs, FIELD(NULL, "spec.nodeName"),
		                "cannot be set until all schedulingGates have been cleared");
	pod_annotations_match(errs, FIELD(NULL, "spec"), STRINGS(obj->meta->annotations),
	                      obj->meta->n_annotations, spec);
}

static void warnings(const struct strategy_ctx *ctx, const struct object *obj,
                     const struct object *old, struct strategy_warnings *w)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);

	if (!old)
		pod_spec_warnings(w, FIELD(NULL, "spec"), pod->spec, pod->metadata);
}

static bool graceful(const struct strategy_ctx *ctx, const struct object *obj, int64_t *grace_s)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	int64_t period = *grace_s;

	if (period == -1)
		period = pod->spec->has_termination_grace_period_seconds
		             ? pod->spec->termination_grace_period_seconds
		             : 0;
	if (!*pod->spec->node_name || list_has(LIST("Failed", "Succeeded"), pod->status->phase))
		period = 0;
	*grace_s = period < 0 ? 1 : period;
	return true;
}

static const char *const fields[] = {"spec.nodeName",
                                     "spec.restartPolicy",
                                     "spec.schedulerName",
                                     "spec.serviceAccountName",
                                     "spec.hostNetwork",
                                     "status.phase",
                                     "status.podIP",
                                     "status.nominatedNodeName",
                                     NULL};

static void field_values(const struct object *obj, struct arena *a, const char **ret)
{
	const CoreV1__Pod *pod = OBJECT_MSG(obj, CoreV1__Pod);
	const CoreV1__PodSpec *spec = pod->spec;

	ret[0] = spec->node_name;
	ret[1] = spec->restart_policy;
	ret[2] = spec->scheduler_name;
	ret[3] = spec->service_account_name;
	ret[4] = spec->host_network ? "true" : "false";
	ret[5] = pod->status->phase;
	ret[6] = pod->status->n_pod_ips ? pod->status->pod_ips[0]->ip : pod->status->pod_ip;
	ret[7] = pod->status->nominated_node_name;
}

const struct strategy pod_strategy = {
    .kind = "Pod",
    .generation = GENERATION_SPEC,
    .has_status = true,
    .defaults = defaults,
    .prepare_create = prepare_create,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = pod_validate_update,
    .warnings = warnings,
    .graceful = graceful,
    .allow_unconditional_update = true,
    .field_names = fields,
    .field_values = field_values,
    .field_error_fmt = "field label not supported: %s",
    .table_row = pod_table_row,
};

const struct strategy pod_status_strategy = {
    .kind = "Pod",
    .is_status = true,
    .lax_update = true,
    .defaults = defaults,
    .prepare_update = pod_status_prepare,
    .validate_update = pod_status_validate,
    .allow_unconditional_update = true,
    .table_row = pod_table_row,
};

const struct strategy pod_ephemeral_strategy = {
    .kind = "Pod",
    .has_status = true,
    .generation = GENERATION_SPEC,
    .defaults = defaults,
    .prepare_update = pod_ephemeral_prepare,
    .validate = validate,
    .validate_update = pod_ephemeral_validate,
    .allow_unconditional_update = true,
    .table_row = pod_table_row,
};

const struct strategy pod_resize_strategy = {
    .kind = "Pod",
    .has_status = true,
    .generation = GENERATION_SPEC,
    .defaults = defaults,
    .prepare_update = pod_resize_prepare,
    .validate = validate,
    .validate_update = pod_resize_validate,
    .allow_unconditional_update = true,
    .table_row = pod_table_row,
};
