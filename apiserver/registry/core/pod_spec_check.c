/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"
#include "apiserver/registry/core/pvc.h"
#include "apiserver/registry/core/volume_check.h"
#include "apiserver/registry/metadata.h"

enum { NAMESERVERS_MAX = 3, SEARCHES_MAX = 32, SEARCHES_BYTES_MAX = 2048 };

const CoreV1__Volume *pod_volume(const struct pod_scope *s, const char *name)
{
	int64_t i = index_find(&s->volumes, name);

	return i < 0 ? NULL : s->spec->volumes[i];
}

static void index_names(struct pod_scope *s)
{
	s->volumes = s->claims = s->names = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < s->spec->n_volumes; i++)
		index_add(&s->volumes, s->spec->volumes[i]->name, (uint32_t)i);
	for (size_t i = 0; i < s->spec->n_resource_claims; i++)
		index_add(&s->claims, s->spec->resource_claims[i]->name, (uint32_t)i);
}

/* The claim that is made for a pod is called after it. */
static void check_claim_template(struct pod_scope *s, path_t at, const CoreV1__Volume *v)
{
	const CoreV1__PersistentVolumeClaimTemplate *t =
	    v->volume_source->ephemeral->volume_claim_template;
	path_t p = FIELD(at, "ephemeral.volumeClaimTemplate"), meta = FIELD(p, "metadata");

	check_annotations(s->errs, FIELD(meta, "annotations"), STRINGS(t->metadata->annotations),
	                  t->metadata->n_annotations);
	check_labels(s->errs, FIELD(meta, "labels"), STRINGS(t->metadata->labels),
	             t->metadata->n_labels);
	if (*t->metadata->name)
		field_forbidden(s->errs, FIELD(meta, "name"), "cannot be set");
	if (*t->metadata->namespace_)
		field_forbidden(s->errs, FIELD(meta, "namespace"), "cannot be set");
	if (t->metadata->n_finalizers)
		field_forbidden(s->errs, FIELD(meta, "finalizers"), "cannot be set");
	pvc_spec_check(s->errs, FIELD(p, "spec"), t->spec);
	if (s->name && *s->name && *v->name) {
		const char *msgs[NAMES_MAX];
		const char *name = arena_printf(s->errs->arena, "%s-%s", s->name, v->name);
		size_t n = names_dns1123_subdomain(name, s->errs->arena, msgs);
		for (size_t i = 0; i < n; i++)
			field_add(s->errs, FIELD_INVALID, FIELD(at, "name"),
			          field_quote(s->errs->arena, v->name), "PVC name \"%s\": %s", name,
			          msgs[i]);
	}
}

/* A claim that is made for an ephemeral volume of the pod is not to be named as another's. */
static void check_claim_name(struct pod_scope *s, path_t at, const CoreV1__Volume *v)
{
	const CoreV1__PersistentVolumeClaimVolumeSource *c =
	    v->volume_source->persistent_volume_claim;
	size_t n = s->name ? strlen(s->name) : 0;

	if (!c || !n || strncmp(c->claim_name, s->name, n) || c->claim_name[n] != '-')
		return;
	const CoreV1__Volume *made = pod_volume(s, c->claim_name + n + 1);
	if (made && made->volume_source->ephemeral)
		field_invalid(s->errs, FIELD(at, "persistentVolumeClaim.claimName"), c->claim_name,
		              "must not reference a PVC that gets created for an ephemeral volume");
}

void volumes_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;

	for (size_t i = 0; i < spec->n_volumes; i++) {
		const CoreV1__Volume *v = spec->volumes[i];
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "volumes"), i);
		volume_source_check(s->errs, at, &v->volume_source->base,
		                    "must specify a volume type");
		if (v->volume_source->ephemeral &&
		    v->volume_source->ephemeral->volume_claim_template)
			check_claim_template(s, at, v);
		check_claim_name(s, at, v);
		if (!check_required_name(s->errs, FIELD(at, "name"), v->name, names_dns1123_label))
			continue;
		if (pod_volume(s, v->name) != v)
			field_duplicate(s->errs, FIELD(at, "name"), v->name);
	}
}

static void check_topology_spread(errs_t errs, path_t p, const CoreV1__TopologySpreadConstraint *c,
                                  struct index *seen)
{
	const char *pair =
	    arena_printf(errs->arena, "{%s, %s}", c->topology_key, c->when_unsatisfiable);

	check_positive(errs, FIELD(p, "maxSkew"), c->max_skew);
	if (!*c->topology_key)
		field_required(errs, FIELD(p, "topologyKey"), "can not be empty");
	check_enum(errs, FIELD(p, "whenUnsatisfiable"), c->when_unsatisfiable,
	           LIST("DoNotSchedule", "ScheduleAnyway"));
	if (!index_add(seen, pair, 0))
		field_duplicate(errs, FIELD(p, "{topologyKey, whenUnsatisfiable}"), pair);
	if (c->has_min_domains) {
		check_positive(errs, FIELD(p, "minDomains"), c->min_domains);
		if (strcmp(c->when_unsatisfiable, "DoNotSchedule"))
			field_add(
			    errs, FIELD_INVALID, FIELD(p, "minDomains"),
			    arena_printf(errs->arena, "%d", c->min_domains),
			    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
			    c->when_unsatisfiable);
	}
	if (c->node_affinity_policy)
		check_enum(errs, FIELD(p, "nodeAffinityPolicy"), c->node_affinity_policy,
		           LIST("Honor", "Ignore"));
	if (c->node_taints_policy)
		check_enum(errs, FIELD(p, "nodeTaintsPolicy"), c->node_taints_policy,
		           LIST("Honor", "Ignore"));
	for (size_t j = 0; j < c->n_match_label_keys; j++)
		check_name(errs, FIELD_INDEX(FIELD(p, "matchLabelKeys"), j), c->match_label_keys[j],
		           names_qualified);
	selector_keys_check(errs, p, c->label_selector, c->match_label_keys, c->n_match_label_keys);
	if (c->n_match_label_keys && !c->label_selector)
		field_forbidden(errs, FIELD(p, "matchLabelKeys"),
		                "must not be specified when labelSelector is not set");
	check_selector(errs, FIELD(p, "labelSelector"), c->label_selector);
}

static void check_dns(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	const CoreV1__PodDNSConfig *d = spec->dns_config;
	path_t p = FIELD(s->spec_path, "dnsConfig");
	size_t bytes = 0;

	check_required_enum(s->errs, FIELD(s->spec_path, "dnsPolicy"), spec->dns_policy,
	                    LIST("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"));
	if (!strcmp(spec->dns_policy, "None")) {
		if (!d)
			field_required(s->errs, p,
			               "must provide `dnsConfig` when `dnsPolicy` is None");
		else if (!d->n_nameservers)
			field_required(
			    s->errs, FIELD(p, "nameservers"),
			    "must provide at least one DNS nameserver when `dnsPolicy` is "
			    "None");
	}
	if (!d)
		return;
	if (d->n_nameservers > NAMESERVERS_MAX)
		field_invalid_json(s->errs, FIELD(p, "nameservers"),
		                   json_of_strings(s->errs, d->nameservers, d->n_nameservers),
		                   "must not have more than 3 nameservers");
	for (size_t i = 0; i < d->n_nameservers; i++)
		check_name(s->errs, FIELD_INDEX(FIELD(p, "nameservers"), i), d->nameservers[i],
		           names_ip);
	for (size_t i = 0; i < d->n_searches; i++) {
		size_t n = strlen(d->searches[i]);
		bytes += n + (i > 0);
		if (!strcmp(d->searches[i], "."))
			continue;
		n -= n && d->searches[i][n - 1] == '.';
		check_name(s->errs, FIELD_INDEX(FIELD(p, "searches"), i),
		           arena_strndup(s->errs->arena, d->searches[i], n),
		           names_dns1123_subdomain_underscore);
	}
	if (d->n_searches > SEARCHES_MAX)
		field_invalid_json(s->errs, FIELD(p, "searches"),
		                   json_of_strings(s->errs, d->searches, d->n_searches),
		                   "must not have more than 32 search paths");
	if (bytes > SEARCHES_BYTES_MAX)
		field_invalid_json(
		    s->errs, FIELD(p, "searches"),
		    json_of_strings(s->errs, d->searches, d->n_searches),
		    "must not have more than 2048 characters (including spaces) in the "
		    "search list");
	for (size_t i = 0; i < d->n_options; i++)
		if (!*d->options[i]->name)
			field_required(s->errs, FIELD_INDEX(FIELD(p, "options"), i),
			               "must not be empty");
}

static void check_gates(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;

	for (size_t i = 0; i < spec->n_readiness_gates; i++)
		check_name(
		    s->errs,
		    FIELD(FIELD_INDEX(FIELD(s->spec_path, "readinessGates"), i), "conditionType"),
		    spec->readiness_gates[i]->condition_type, names_qualified);
	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < spec->n_scheduling_gates; i++) {
		const char *name = spec->scheduling_gates[i]->name;
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "schedulingGates"), i);
		check_name(s->errs, at, name, names_qualified);
		if (!index_add(&seen, name, 0)) {
			field_duplicate(s->errs, at, name);
		}
	}
}

static void check_resource_claims(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;

	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < spec->n_resource_claims; i++) {
		const CoreV1__PodResourceClaim *c = spec->resource_claims[i];
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "resourceClaims"), i);
		if (check_required_name(s->errs, FIELD(at, "name"), c->name, names_dns1123_label))
			if (!index_add(&seen, c->name, 0)) {
				field_duplicate(s->errs, FIELD(at, "name"), c->name);
			}
		if (c->resource_claim_name && c->resource_claim_template_name)
			field_invalid_json(s->errs, at, go_json_of(s->errs, c),
			                   "at most one of `resourceClaimName` or "
			                   "`resourceClaimTemplateName` may be specified");
		if (!c->resource_claim_name && !c->resource_claim_template_name)
			field_invalid_json(s->errs, at, go_json_of(s->errs, c),
			                   "must specify one of: `resourceClaimName`, "
			                   "`resourceClaimTemplateName`");
		if (c->resource_claim_name)
			check_name(s->errs, FIELD(at, "resourceClaimName"), c->resource_claim_name,
			           names_dns1123_subdomain);
		if (c->resource_claim_template_name)
			check_name(s->errs, FIELD(at, "resourceClaimTemplateName"),
			           c->resource_claim_template_name, names_dns1123_subdomain);
	}
}

static void check_host_aliases(struct pod_scope *s)
{
	for (size_t i = 0; i < s->spec->n_host_aliases; i++) {
		const CoreV1__HostAlias *h = s->spec->host_aliases[i];
		path_t p = FIELD(s->spec_path, "hostAliases");
		check_name(s->errs, FIELD(FIELD_INDEX(p, i), "ip"), h->ip, names_ip);
		for (size_t j = 0; j < h->n_hostnames; j++)
			check_name(s->errs, FIELD_INDEX(FIELD(FIELD_INDEX(p, i), "hostnames"), j),
			           h->hostnames[j], names_dns1123_subdomain);
	}
}

static void check_name_if_set(errs_t errs, path_t p, const char *s, name_syntax *syntax)
{
	if (s && *s)
		check_name(errs, p, s, syntax);
}

static void check_names(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	errs_t errs = s->errs;
	path_t p = s->spec_path;

	check_name_if_set(errs, FIELD(p, "serviceAccountName"), spec->service_account_name,
	                  names_dns1123_subdomain);
	check_name_if_set(errs, FIELD(p, "nodeName"), spec->node_name, names_dns1123_subdomain);
	check_name_if_set(errs, FIELD(p, "hostname"), spec->hostname, names_dns1123_label);
	check_name_if_set(errs, FIELD(p, "subdomain"), spec->subdomain, names_dns1123_label);
	check_name_if_set(errs, FIELD(p, "priorityClassName"), spec->priority_class_name,
	                  names_dns1123_subdomain);
	if (spec->runtime_class_name)
		check_name(errs, FIELD(p, "runtimeClassName"), spec->runtime_class_name,
		           names_dns1123_subdomain);
	if (spec->hostname_override) {
		check_name(errs, FIELD(p, "hostnameOverride"), spec->hostname_override,
		           names_dns1123_subdomain);
		if (spec->host_network)
			field_forbidden(errs, FIELD(p, "hostnameOverride"),
			                "may not be specified when hostNetwork is true");
	}
}

void pod_spec_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	errs_t errs = s->errs;
	path_t p = s->spec_path;

	index_names(s);
	volumes_check(s);
	containers_check(s);
	ephemeral_containers_check(s);
	check_resource_claims(s);
	check_required_enum(errs, FIELD(p, "restartPolicy"), spec->restart_policy,
	                    LIST("Always", "OnFailure", "Never"));
	check_dns(s);
	check_labels(errs, FIELD(p, "nodeSelector"), STRINGS(spec->node_selector),
	             spec->n_node_selector);
	security_contexts_check(s);
	affinity_check(s);
	check_gates(s);
	struct index spread = INDEX_IN(errs->arena);
	/* Of two alike the first is the one that is named. */
	for (size_t i = spec->n_topology_spread_constraints; i-- > 0;)
		check_topology_spread(errs, FIELD_INDEX(FIELD(p, "topologySpreadConstraints"), i),
		                      spec->topology_spread_constraints[i], &spread);
	check_names(s);
	if (spec->has_active_deadline_seconds)
		check_between(errs, FIELD(p, "activeDeadlineSeconds"),
		              spec->active_deadline_seconds, 1, INT32_MAX);
	tolerations_check(errs, FIELD(p, "tolerations"), spec->tolerations, spec->n_tolerations);
	check_host_aliases(s);
	if (spec->preemption_policy)
		check_enum(errs, FIELD(p, "preemptionPolicy"), spec->preemption_policy,
		           LIST("PreemptLowerPriority", "Never"));
	resource_list_check(errs, FIELD(p, "overhead"), QUANTITIES(spec->overhead),
	                    spec->n_overhead);
	pod_resources_check(s);
}

void pod_template_check(const struct strategy_ctx *ctx, errs_t errs, path_t path,
                        const CoreV1__PodTemplateSpec *t)
{
	struct pod_scope s = {
	    .ctx = ctx,
	    .errs = errs,
	    .spec_path = FIELD(path, "spec"),
	    .spec = t->spec,
	    .is_template = true,
	};

	check_labels(errs, FIELD(path, "labels"), STRINGS(t->metadata->labels),
	             t->metadata->n_labels);
	struct string_entry *const *annotations = STRINGS(t->metadata->annotations);
	check_annotations(errs, FIELD(path, "annotations"), annotations,
	                  t->metadata->n_annotations);
	pod_annotations_check(errs, FIELD(path, "annotations"), annotations,
	                      t->metadata->n_annotations, t->spec);
	pod_annotations_match(errs, s.spec_path, annotations, t->metadata->n_annotations, t->spec);
	pod_spec_check(&s);
	if (t->spec->n_ephemeral_containers)
		field_forbidden(errs, FIELD(path, "spec.ephemeralContainers"),
		                "ephemeral containers not allowed in pod template");
}
