/* SPDX-License-Identifier: Apache-2.0 */
/* What is accepted in a pod but deserves a warning. */
#include "apiserver/registry/core/pod.h"
#include "apiserver/registry/core/pod_spec.h"

struct scope {
	struct strategy_warnings *w;
	path_t path;
	const CoreV1__PodSpec *spec;
	struct index ports; /* of all containers: where each was met first */
	const char **places;
	size_t n_places, cap_places;
};

static const char *at(struct scope *s, path_t p)
{
	return field_path_str(s->w->arena, p);
}

/* Labels of nodes that have newer names. */
static const struct {
	const char *old, *text;
} node_labels[] = {
    {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
    {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
    {"failure-domain.beta.kubernetes.io/region",
     "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
    {"failure-domain.beta.kubernetes.io/zone",
     "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
    {"beta.kubernetes.io/instance-type",
     "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
};

static const char *label_warning(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(node_labels); i++)
		if (!strcmp(node_labels[i].old, key))
			return node_labels[i].text;
	return NULL;
}

static void warn_node_labels(struct scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	path_t p = FIELD(s->path, "nodeSelector");

	for (size_t i = 0; i < spec->n_node_selector; i++) {
		const char *key = spec->node_selector[i]->key, *text = label_warning(key);
		if (text)
			strategy_warn(s->w, "%s: %s", at(s, FIELD_KEY(p, key)), text);
	}
	for (size_t i = 0; i < spec->n_topology_spread_constraints; i++) {
		const char *text =
		    label_warning(spec->topology_spread_constraints[i]->topology_key);
		path_t c = FIELD_INDEX(FIELD(s->path, "topologySpreadConstraints"), i);
		if (text)
			strategy_warn(s->w, "%s: %s is %s", at(s, FIELD(c, "topologyKey")),
			              spec->topology_spread_constraints[i]->topology_key, text);
	}
}

static void warn_annotations(struct scope *s, const MetaV1__ObjectMeta *m, bool is_template)
{
	path_t p = FIELD(NULL, is_template ? "template.annotations" : "metadata.annotations");

	for (size_t i = 0; m && i < m->n_annotations; i++) {
		const char *key = m->annotations[i]->key;
		if (!strcmp(key, "seccomp.security.alpha.kubernetes.io/pod"))
			strategy_warn(
			    s->w,
			    "%s: non-functional in v1.27+; use the \"seccompProfile\" field "
			    "instead",
			    at(s, FIELD_KEY(p, key)));
		else if (has_prefix(key, "container.seccomp.security.alpha.kubernetes.io/"))
			strategy_warn(
			    s->w,
			    "%s: non-functional in v1.27+; use the \"seccompProfile\" field "
			    "instead",
			    at(s, FIELD_KEY(p, key)));
		else if (has_prefix(key, "container.apparmor.security.beta.kubernetes.io/"))
			strategy_warn(
			    s->w,
			    "%s: deprecated since v1.30; use the \"appArmorProfile\" field "
			    "instead",
			    at(s, FIELD_KEY(p, key)));
		else if (!strcmp(key, "scheduler.alpha.kubernetes.io/critical-pod"))
			strategy_warn(s->w,
			              "%s: non-functional in v1.16+; use the \"priorityClassName\" "
			              "field instead",
			              at(s, FIELD_KEY(p, key)));
	}
}

static void warn_env(struct scope *s, path_t p, const CoreV1__Container *c)
{
	struct index seen = INDEX_IN(s->w->arena);

	for (size_t i = 0; i < c->n_env; i++)
		if (!index_add(&seen, c->env[i]->name, 0))
			strategy_warn(
			    s->w,
			    "%s: hides previous definition of \"%s\", which may be dropped "
			    "when using apply",
			    at(s, FIELD_INDEX(FIELD(p, "env"), i)), c->env[i]->name);
}

/* A port that an earlier container, or an earlier place of this one, has already. */
static void warn_port(struct scope *s, size_t i, size_t k)
{
	const CoreV1__ContainerPort *p = s->spec->containers[i]->ports[k];
	path_t list = FIELD(s->path, "containers");
	const char *key = arena_printf(s->w->arena, "%d/%d/%s/%s", p->container_port, p->host_port,
	                               p->protocol, p->host_ip);
	const char *here = at(s, FIELD_INDEX(FIELD(FIELD_INDEX(list, i), "ports"), k));

	if (index_add(&s->ports, key, (uint32_t)s->n_places)) {
		if (s->n_places == s->cap_places) {
			size_t cap = s->cap_places ? s->cap_places * 2 : 16;
			s->places =
			    arena_grow(s->w->arena, s->places, s->cap_places * sizeof(*s->places),
			               cap * sizeof(*s->places));
			s->cap_places = cap;
		}
		s->places[s->n_places++] = here;
		return;
	}
	strategy_warn(s->w, "%s: duplicate port definition with %s", here,
	              s->places[index_find(&s->ports, key)]);
}

static void warn_resources(struct scope *s, path_t p, const CoreV1__ResourceRequirements *r)
{
	static const char *const names[] = {"memory", "ephemeral-storage"};

	for (size_t i = 0; i < 2; i++) {
		struct quantity q;
		const char *l = quantities_get(QUANTITIES(r->limits), r->n_limits, names[i]);
		const char *v = quantities_get(QUANTITIES(r->requests), r->n_requests, names[i]);
		if (l && (q = quantity_of(l), !quantity_is_integer(&q)))
			strategy_warn(
			    s->w, "%s: fractional byte value \"%s\" is invalid, must be an integer",
			    at(s, FIELD_KEY(FIELD(p, "limits"), names[i])), l);
		if (v && (q = quantity_of(v), !quantity_is_integer(&q)))
			strategy_warn(
			    s->w, "%s: fractional byte value \"%s\" is invalid, must be an integer",
			    at(s, FIELD_KEY(FIELD(p, "requests"), names[i])), v);
	}
}

static void warn_containers(struct scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;

	for (size_t i = 0; i < spec->n_init_containers; i++) {
		path_t p = FIELD_INDEX(FIELD(s->path, "initContainers"), i);
		warn_env(s, p, spec->init_containers[i]);
		warn_resources(s, FIELD(p, "resources"), spec->init_containers[i]->resources);
	}
	for (size_t i = 0; i < spec->n_containers; i++) {
		path_t p = FIELD_INDEX(FIELD(s->path, "containers"), i);
		warn_env(s, p, spec->containers[i]);
		warn_resources(s, FIELD(p, "resources"), spec->containers[i]->resources);
		for (size_t k = 0; k < spec->containers[i]->n_ports; k++)
			warn_port(s, i, k);
	}
}

static void warn_volumes(struct scope *s)
{
	for (size_t i = 0; i < s->spec->n_volumes; i++) {
		const CoreV1__VolumeSource *v = s->spec->volumes[i]->volume_source;
		path_t p = FIELD_INDEX(FIELD(s->path, "volumes"), i);
		if (v->git_repo)
			strategy_warn(s->w,
			              "%s: deprecated in v1.11, and disabled by default in v1.33+",
			              at(s, FIELD(p, "gitRepo")));
		if (v->scale_io)
			strategy_warn(s->w, "%s: deprecated in v1.16, non-functional in v1.22+",
			              at(s, FIELD(p, "scaleIO")));
		if (v->storageos)
			strategy_warn(s->w, "%s: deprecated in v1.22, non-functional in v1.25+",
			              at(s, FIELD(p, "storageOS")));
		if (v->glusterfs)
			strategy_warn(s->w, "%s: deprecated in v1.25, non-functional in v1.26+",
			              at(s, FIELD(p, "glusterfs")));
		if (v->cephfs)
			strategy_warn(s->w, "%s: deprecated in v1.28, non-functional in v1.31+",
			              at(s, FIELD(p, "cephfs")));
		if (v->rbd)
			strategy_warn(s->w, "%s: deprecated in v1.28, non-functional in v1.31+",
			              at(s, FIELD(p, "rbd")));
	}
}

static void warn_selector(struct scope *s, path_t p, const MetaV1__LabelSelector *selector)
{
	if (!selector)
		strategy_warn(s->w, "%s: a null labelSelector results in matching no pod",
		              at(s, FIELD(p, "labelSelector")));
}

static void warn_terms(struct scope *s, path_t p, CoreV1__PodAffinityTerm *const *required,
                       size_t n_required, CoreV1__WeightedPodAffinityTerm *const *preferred,
                       size_t n_preferred)
{
	path_t must = FIELD(p, "requiredDuringSchedulingIgnoredDuringExecution");
	path_t may = FIELD(p, "preferredDuringSchedulingIgnoredDuringExecution");

	for (size_t i = 0; i < n_required; i++)
		warn_selector(s, FIELD_INDEX(must, i), required[i]->label_selector);
	for (size_t i = 0; i < n_preferred; i++)
		warn_selector(s, FIELD(FIELD_INDEX(may, i), "podAffinityTerm"),
		              preferred[i]->pod_affinity_term->label_selector);
}

/* Selectors that match nothing because nobody said what they match. */
static void warn_null_selectors(struct scope *s)
{
	const CoreV1__Affinity *a = s->spec->affinity;
	const CoreV1__PodAffinity *with = a ? a->pod_affinity : NULL;
	const CoreV1__PodAntiAffinity *without = a ? a->pod_anti_affinity : NULL;
	path_t p = FIELD(s->path, "affinity");

	if (with)
		warn_terms(s, FIELD(p, "podAffinity"),
		           with->required_during_scheduling_ignored_during_execution,
		           with->n_required_during_scheduling_ignored_during_execution,
		           with->preferred_during_scheduling_ignored_during_execution,
		           with->n_preferred_during_scheduling_ignored_during_execution);
	if (without)
		warn_terms(s, FIELD(p, "podAntiAffinity"),
		           without->required_during_scheduling_ignored_during_execution,
		           without->n_required_during_scheduling_ignored_during_execution,
		           without->preferred_during_scheduling_ignored_during_execution,
		           without->n_preferred_during_scheduling_ignored_during_execution);
	for (size_t i = 0; i < s->spec->n_topology_spread_constraints; i++)
		warn_selector(s, FIELD_INDEX(FIELD(s->path, "topologySpreadConstraints"), i),
		              s->spec->topology_spread_constraints[i]->label_selector);
}

void pod_spec_warnings(struct strategy_warnings *w, path_t p, const CoreV1__PodSpec *spec,
                       const MetaV1__ObjectMeta *meta)
{
	struct scope s = {.w = w, .path = p, .spec = spec, .ports = INDEX_IN(w->arena)};
	struct index ips = INDEX_IN(w->arena);

	warn_node_labels(&s);
	warn_annotations(&s, meta, p->parent != NULL);
	for (size_t i = 0; i < spec->n_host_aliases; i++)
		if (!index_add(&ips, spec->host_aliases[i]->ip, 0))
			strategy_warn(w, "%s: duplicate ip \"%s\"",
			              at(&s, FIELD(FIELD_INDEX(FIELD(p, "hostAliases"), i), "ip")),
			              spec->host_aliases[i]->ip);
	warn_volumes(&s);
	warn_containers(&s);
	if (spec->has_termination_grace_period_seconds &&
	    spec->termination_grace_period_seconds < 0)
		strategy_warn(
		    w, "%s: must be >= 0; negative values are invalid and will be treated as 1",
		    at(&s, FIELD(p, "terminationGracePeriodSeconds")));
	warn_null_selectors(&s);
}
