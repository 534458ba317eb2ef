/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/core/pod.h"

#include <assert.h>
#include <string.h>

static struct requirement *requirements(struct symbol_refs *r,
                                        CoreV1__NodeSelectorRequirement *const *from, size_t n)
{
	struct requirement *at = arena_array(r->arena, struct requirement, n);
	for (size_t i = 0; i < n; i++)
		requirement_compile(r, from[i]->key, from[i]->operator_, from[i]->values,
		                    from[i]->n_values, &at[i]);
	return at;
}

static void node_term(struct symbol_refs *r, const CoreV1__NodeSelectorTerm *from,
                      struct node_term *ret)
{
	ret->n_labels = (uint32_t)from->n_match_expressions;
	ret->labels = requirements(r, from->match_expressions, from->n_match_expressions);
	ret->n_names = (uint32_t)from->n_match_fields;
	ret->names = requirements(r, from->match_fields, from->n_match_fields);
	for (uint32_t i = 0; i < ret->n_names; i++)
		if (strcmp(from->match_fields[i]->key, "metadata.name") != 0)
			ret->names[i].op = SELECTOR_INVALID;
}

static void node_affinity(struct symbol_refs *r, const CoreV1__PodSpec *spec, struct pod_info *p)
{
	if (spec->n_node_selector) {
		p->node_selector =
		    (struct node_terms){1, arena_array(r->arena, struct node_term, 1)};
		struct node_term *t = p->node_selector.at;
		t->n_labels = (uint32_t)spec->n_node_selector;
		t->labels = arena_array(r->arena, struct requirement, spec->n_node_selector);
		for (size_t i = 0; i < spec->n_node_selector; i++)
			requirement_compile(r, spec->node_selector[i]->key, "In",
			                    &spec->node_selector[i]->value, 1, &t->labels[i]);
	}
	const CoreV1__NodeAffinity *a = spec->affinity ? spec->affinity->node_affinity : NULL;
	if (!a)
		return;
	const CoreV1__NodeSelector *required =
	    a->required_during_scheduling_ignored_during_execution;
	if (required) {
		p->has_required_node_terms = true;
		p->node_required.n = (uint32_t)required->n_node_selector_terms;
		p->node_required.at =
		    arena_array(r->arena, struct node_term, required->n_node_selector_terms);
		for (size_t i = 0; i < required->n_node_selector_terms; i++)
			node_term(r, required->node_selector_terms[i], &p->node_required.at[i]);
	}
	size_t n = a->n_preferred_during_scheduling_ignored_during_execution;
	p->node_preferred =
	    (struct node_terms){(uint32_t)n, arena_array(r->arena, struct node_term, n)};
	for (size_t i = 0; i < n; i++) {
		const CoreV1__PreferredSchedulingTerm *t =
		    a->preferred_during_scheduling_ignored_during_execution[i];
		if (t->preference)
			node_term(r, t->preference, &p->node_preferred.at[i]);
		p->node_preferred.at[i].weight = t->weight;
	}
}

static int u32_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* matchLabelKeys and mismatchLabelKeys stand for requirements on the pod's own values. */
static void own_labels(struct symbol_refs *r, const struct pod_info *p, char *const *keys, size_t n,
                       enum selector_op op, struct selector *sel)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t key = symbol_refs_get(r, keys[i]);
		uint32_t value = label_value(&p->labels, key);
		if (value && !sel->nothing)
			selector_require(r, sel, key, op, value);
	}
}

static void pod_term(struct symbol_refs *r, const struct pod_info *p,
                     const CoreV1__PodAffinityTerm *from, int32_t weight, struct pod_term *ret)
{
	*ret = (struct pod_term){.weight = weight};
	ret->topology_key = symbol_refs_get(r, from->topology_key);
	selector_compile(r, from->label_selector, &ret->selector);
	own_labels(r, p, from->match_label_keys, from->n_match_label_keys, SELECTOR_IN,
	           &ret->selector);
	own_labels(r, p, from->mismatch_label_keys, from->n_mismatch_label_keys, SELECTOR_NOT_IN,
	           &ret->selector);
	if (from->namespace_selector) {
		ret->namespaced = arena_new(r->arena, struct selector);
		selector_compile(r, from->namespace_selector, ret->namespaced);
	}
	bool own = !from->n_namespaces && !from->namespace_selector;
	size_t n = own ? 1 : from->n_namespaces;
	ret->n_namespaces = (uint32_t)n;
	ret->namespaces = arena_array(r->arena, uint32_t, n);
	for (size_t i = 0; i < n; i++)
		ret->namespaces[i] = own ? p->ns : symbol_refs_get(r, from->namespaces[i]);
	if (n > 1)
		qsort(ret->namespaces, n, sizeof(*ret->namespaces), u32_cmp);
}

static struct pod_terms required_terms(struct symbol_refs *r, const struct pod_info *p,
                                       CoreV1__PodAffinityTerm *const *from, size_t n)
{
	struct pod_terms t = {(uint32_t)n, arena_array(r->arena, struct pod_term, n)};
	for (size_t i = 0; i < n; i++)
		pod_term(r, p, from[i], 0, &t.at[i]);
	return t;
}

static struct pod_terms weighted_terms(struct symbol_refs *r, const struct pod_info *p,
                                       CoreV1__WeightedPodAffinityTerm *const *from, size_t n)
{
	struct pod_terms t = {(uint32_t)n, arena_array(r->arena, struct pod_term, n)};
	for (size_t i = 0; i < n; i++)
		pod_term(r, p, from[i]->pod_affinity_term, from[i]->weight, &t.at[i]);
	return t;
}

static void pod_affinity(struct symbol_refs *r, const CoreV1__Affinity *a, struct pod_info *p)
{
	if (a && a->pod_affinity) {
		const CoreV1__PodAffinity *f = a->pod_affinity;
		p->affinity =
		    required_terms(r, p, f->required_during_scheduling_ignored_during_execution,
		                   f->n_required_during_scheduling_ignored_during_execution);
		p->prefers =
		    weighted_terms(r, p, f->preferred_during_scheduling_ignored_during_execution,
		                   f->n_preferred_during_scheduling_ignored_during_execution);
	}
	if (a && a->pod_anti_affinity) {
		const CoreV1__PodAntiAffinity *f = a->pod_anti_affinity;
		p->anti_affinity =
		    required_terms(r, p, f->required_during_scheduling_ignored_during_execution,
		                   f->n_required_during_scheduling_ignored_during_execution);
		p->avoids =
		    weighted_terms(r, p, f->preferred_during_scheduling_ignored_during_execution,
		                   f->n_preferred_during_scheduling_ignored_during_execution);
	}
}

static void spreads(struct symbol_refs *r, const CoreV1__PodSpec *spec, struct pod_info *p)
{
	p->n_spreads = (uint32_t)spec->n_topology_spread_constraints;
	p->spreads = arena_array(r->arena, struct spread, p->n_spreads);
	for (uint32_t i = 0; i < p->n_spreads; i++) {
		const CoreV1__TopologySpreadConstraint *from = spec->topology_spread_constraints[i];
		struct spread *to = &p->spreads[i];
		to->topology_key = symbol_refs_get(r, from->topology_key);
		to->max_skew = from->max_skew;
		to->min_domains = from->has_min_domains ? from->min_domains : 1;
		to->hard = !strcmp(from->when_unsatisfiable, "DoNotSchedule");
		to->honor_affinity =
		    !from->node_affinity_policy || strcmp(from->node_affinity_policy, "Ignore");
		to->honor_taints =
		    from->node_taints_policy && !strcmp(from->node_taints_policy, "Honor");
		selector_compile(r, from->label_selector, &to->selector);
		own_labels(r, p, from->match_label_keys, from->n_match_label_keys, SELECTOR_IN,
		           &to->selector);
	}
}

static uint8_t effect_bits(const char *effect)
{
	if (!effect || !*effect)
		return EFFECT_ALL;
	if (!strcmp(effect, "NoSchedule"))
		return EFFECT_NO_SCHEDULE;
	if (!strcmp(effect, "NoExecute"))
		return EFFECT_NO_EXECUTE;
	return !strcmp(effect, "PreferNoSchedule") ? EFFECT_PREFER_NO_SCHEDULE : 0;
}

static void tolerations(struct symbol_refs *r, const CoreV1__PodSpec *spec, struct pod_info *p)
{
	p->n_tolerations = (uint32_t)spec->n_tolerations;
	p->tolerations = arena_array(r->arena, struct toleration, p->n_tolerations);
	for (uint32_t i = 0; i < p->n_tolerations; i++) {
		const CoreV1__Toleration *t = spec->tolerations[i];
		p->tolerations[i] = (struct toleration){
		    .key = t->key && *t->key ? symbol_refs_get(r, t->key) : 0,
		    .value = symbol_refs_get(r, t->value),
		    .effects = effect_bits(t->effect),
		    .exists = t->operator_ && !strcmp(t->operator_, "Exists"),
		};
	}
}

static void container_ports(struct symbol_refs *r, const CoreV1__Container *c, struct pod_info *p)
{
	for (size_t i = 0; i < c->n_ports; i++) {
		const CoreV1__ContainerPort *from = c->ports[i];
		if (!from->has_host_port || from->host_port <= 0)
			continue;
		bool all = !from->host_ip || !*from->host_ip || !strcmp(from->host_ip, "0.0.0.0");
		p->ports = arena_grow(r->arena, p->ports, p->n_ports * sizeof(*p->ports),
		                      (p->n_ports + 1) * sizeof(*p->ports));
		p->ports[p->n_ports++] = (struct host_port){
		    .ip = all ? 0 : symbol_refs_get(r, from->host_ip),
		    .port = from->host_port,
		    .protocol =
		        (uint8_t)(from->protocol && *from->protocol ? *from->protocol : 'T'),
		};
	}
}

uint32_t image_symbol(struct symbol_refs *r, const char *image)
{
	image = image ? image : "";
	const char *slash = strrchr(image, '/');
	if (strchr(slash ? slash : image, ':'))
		return symbol_refs_get(r, image);
	return symbol_refs_get(r, arena_printf(r->arena, "%s:latest", image));
}

static void containers(struct symbol_refs *r, const CoreV1__PodSpec *spec, struct pod_info *p)
{
	p->n_images = (uint32_t)(spec->n_containers + spec->n_init_containers);
	p->images = arena_array(r->arena, uint32_t, p->n_images);
	uint32_t n = 0;
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		p->images[n++] = image_symbol(r, c->image);
		if (c->restart_policy && !strcmp(c->restart_policy, "Always"))
			container_ports(r, c, p);
	}
	for (size_t i = 0; i < spec->n_containers; i++) {
		p->images[n++] = image_symbol(r, spec->containers[i]->image);
		container_ports(r, spec->containers[i], p);
	}
}

static void identity(struct pod_info *p, const CoreV1__Pod *pod)
{
	const MetaV1__ObjectMeta *m = pod->metadata;
	struct arena *a = &p->arena;
	const char *ns = m->namespace_ ? m->namespace_ : "";
	p->key = arena_printf(a, "%s/%s", ns, m->name);
	p->name = strrchr(p->key, '/') + 1;
	p->ns = symbol_refs_get(&p->symbols, ns);
	p->ns_text = symbols_text(p->symbols.symbols, p->ns);
	p->uid = arena_strdup(a, m->uid ? m->uid : "");
	p->generation = m->generation;
	p->terminating = m->deletion_timestamp != NULL;
	p->created_sec = m->creation_timestamp ? m->creation_timestamp->seconds : 0;
	p->labels.n = (uint32_t)m->n_labels;
	p->labels.at = arena_array(a, struct label, p->labels.n);
	for (uint32_t i = 0; i < p->labels.n; i++)
		p->labels.at[i] = (struct label){symbol_refs_get(&p->symbols, m->labels[i]->key),
		                                 symbol_refs_get(&p->symbols, m->labels[i]->value)};
	for (size_t i = 0; i < m->n_owner_references; i++) {
		const MetaV1__OwnerReference *o = m->owner_references[i];
		if (o->has_controller && o->controller) {
			p->owner_kind = symbol_refs_get(&p->symbols, o->kind);
			p->owner_name = symbol_refs_get(&p->symbols, o->name);
		}
	}
}

static const char *text_or(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

static void spec_and_status(struct pod_info *p, const CoreV1__Pod *pod)
{
	const CoreV1__PodSpec *spec = pod->spec;
	const CoreV1__PodStatus *st = pod->status;
	struct symbol_refs *r = &p->symbols;
	p->scheduler_name = symbols_text(
	    r->symbols, symbol_refs_get(r, text_or(spec->scheduler_name, "default-scheduler")));
	p->node_name = symbols_text(r->symbols, symbol_refs_get(r, spec->node_name));
	p->nominated_node =
	    symbols_text(r->symbols, symbol_refs_get(r, st ? st->nominated_node_name : NULL));
	p->priority = spec->has_priority ? spec->priority : 0;
	p->never_preempts = spec->preemption_policy && !strcmp(spec->preemption_policy, "Never");
	p->gated = spec->n_scheduling_gates > 0;
	p->n_containers = (uint32_t)(spec->n_containers + spec->n_init_containers);
	p->final =
	    st && st->phase && (!strcmp(st->phase, "Succeeded") || !strcmp(st->phase, "Failed"));
	p->started_sec = st && st->start_time ? st->start_time->seconds : 0;
}

static void *move(uint8_t **to, const void *from, size_t n)
{
	uint8_t *at = *to;
	if (n)
		memcpy(at, from, n);
	*to += n;
	return at;
}

/* Most pods need a few hundred bytes: an exact block in place of an arena's first chunk. */
static void compact(struct pod_info *p)
{
	if (p->node_selector.n || p->has_required_node_terms || p->node_preferred.n ||
	    p->n_spreads || p->affinity.n || p->anti_affinity.n || p->prefers.n || p->avoids.n)
		return;
	size_t labels = p->labels.n * sizeof(*p->labels.at), ports = p->n_ports * sizeof(*p->ports),
	       tolerated = p->n_tolerations * sizeof(*p->tolerations),
	       images = p->n_images * sizeof(*p->images), key = strlen(p->key) + 1,
	       uid = strlen(p->uid) + 1;
	uint8_t *at = p->block = malloc(labels + ports + tolerated + images + key + uid);
	if (!at)
		abort();
	p->labels.at = move(&at, p->labels.at, labels);
	p->ports = move(&at, p->ports, ports);
	p->tolerations = move(&at, p->tolerations, tolerated);
	p->images = move(&at, p->images, images);
	p->key = move(&at, p->key, key);
	p->name = strrchr(p->key, '/') + 1;
	p->uid = move(&at, p->uid, uid);
	arena_deinit(&p->arena);
}

struct pod_info *pod_info_new(struct symbols *s, const CoreV1__Pod *pod)
{
	struct pod_info *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->refs = 1;
	p->symbols = (struct symbol_refs){.symbols = s, .arena = &p->arena};
	identity(p, pod);
	spec_and_status(p, pod);
	resources_of_pod(pod, s, &p->requests);
	resources_nonzero(pod, s, &p->nonzero_milli_cpu, &p->nonzero_memory);
	tolerations(&p->symbols, pod->spec, p);
	containers(&p->symbols, pod->spec, p);
	node_affinity(&p->symbols, pod->spec, p);
	spreads(&p->symbols, pod->spec, p);
	pod_affinity(&p->symbols, pod->spec->affinity, p);
	compact(p);
	return p;
}

struct pod_info *pod_info_ref(const struct pod_info *p)
{
	struct pod_info *mine = (struct pod_info *)(uintptr_t)p;
	mine->refs++;
	return mine;
}

void pod_info_unref(const struct pod_info *p)
{
	struct pod_info *mine = (struct pod_info *)(uintptr_t)p;
	if (!mine)
		return;
	assert(mine->refs);
	if (--mine->refs)
		return;
	resources_deinit(&mine->requests, mine->symbols.symbols);
	symbol_refs_deinit(&mine->symbols);
	arena_deinit(&mine->arena);
	free(mine->block);
	free(mine);
}

bool toleration_covers(const struct toleration *t, const struct taint *taint)
{
	if (!(t->effects & taint->effect))
		return false;
	if (!t->key)
		return t->exists;
	return t->key == taint->key && (t->exists || t->value == taint->value);
}

bool pod_tolerates(const struct pod_info *p, const struct taint *taint)
{
	for (uint32_t i = 0; i < p->n_tolerations; i++)
		if (toleration_covers(&p->tolerations[i], taint))
			return true;
	return false;
}

bool node_term_matches(const struct node_term *t, const struct label_list *labels, uint32_t name,
                       const struct symbols *s)
{
	if (!t->n_labels && !t->n_names)
		return false;
	for (uint32_t i = 0; i < t->n_labels; i++)
		if (!requirement_holds(&t->labels[i], label_value(labels, t->labels[i].key), s))
			return false;
	for (uint32_t i = 0; i < t->n_names; i++)
		if (!requirement_holds(&t->names[i], name, s))
			return false;
	return true;
}
