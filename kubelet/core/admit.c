/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/core/admit.h"

#include <stdlib.h>
#include <string.h>

#include "kubelet/core/resources.h"

static const char *const room_names[ROOM_KINDS] = {"pods", "cpu", "memory", "ephemeral-storage"};

static int64_t asked(const CoreV1__Pod *pod, enum room_kind kind)
{
	struct quantity q;
	if (kind == ROOM_PODS)
		return 1;
	if (!pod_resource(pod, false, room_names[kind], &q))
		return 0;
	return kind == ROOM_CPU_MILLI ? quantity_milli(&q) : quantity_value(&q);
}

void room_use(struct node_room *r, const CoreV1__Pod *pod)
{
	for (int k = 0; k < ROOM_KINDS; k++)
		r->used[k] += asked(pod, (enum room_kind)k);
}

bool room_fits(const struct node_room *r, const CoreV1__Pod *pod, struct arena *a,
               struct refusal *ret)
{
	for (int k = 0; k < ROOM_KINDS; k++) {
		int64_t want = asked(pod, (enum room_kind)k);
		if (!want || want <= r->allocatable[k] - r->used[k])
			continue;
		ret->reason = arena_printf(a, "OutOf%s", room_names[k]);
		ret->message = arena_printf(a,
		                            "Node didn't have enough resource: %s, requested: "
		                            "%lld, used: %lld, capacity: %lld",
		                            room_names[k], (long long)want, (long long)r->used[k],
		                            (long long)r->allocatable[k]);
		return false;
	}
	return true;
}

/* Ports of the host: two containers of different pods cannot have the same. */

static const CoreV1__Container *container_at(const CoreV1__PodSpec *s, size_t i)
{
	if (i < s->n_containers)
		return s->containers[i];
	i -= s->n_containers;
	return i < s->n_init_containers ? s->init_containers[i] : NULL;
}

static bool any_address(const CoreV1__ContainerPort *p)
{
	return !p->host_ip || !*p->host_ip || !strcmp(p->host_ip, "0.0.0.0");
}

static bool collide(const CoreV1__ContainerPort *x, const CoreV1__ContainerPort *y)
{
	return x->host_port > 0 && x->host_port == y->host_port &&
	       !strcmp(x->protocol, y->protocol) &&
	       (any_address(x) || any_address(y) || !strcmp(x->host_ip, y->host_ip));
}

static bool port_is_taken(const CoreV1__ContainerPort *port, const CoreV1__Pod *other)
{
	const CoreV1__Container *c;
	for (size_t i = 0; (c = container_at(other->spec, i)); i++)
		for (size_t k = 0; k < c->n_ports; k++)
			if (collide(port, c->ports[k]))
				return true;
	return false;
}

bool ports_fit(const CoreV1__Pod *pod, const CoreV1__Pod *other, struct refusal *ret)
{
	const CoreV1__Container *c;
	for (size_t i = 0; (c = container_at(pod->spec, i)); i++)
		for (size_t k = 0; k < c->n_ports; k++)
			if (port_is_taken(c->ports[k], other)) {
				ret->reason = "NodePorts";
				ret->message = "Predicate NodePorts failed: node(s) didn't have "
				               "free ports for the requested pod ports";
				return false;
			}
	return true;
}

/* The node's labels */

static const char *label(const MetaV1__ObjectMeta *node, const char *key)
{
	for (size_t i = 0; i < node->n_labels; i++)
		if (!strcmp(node->labels[i]->key, key))
			return node->labels[i]->value;
	return NULL;
}

/* value NULL: the node has none. */
static bool meets(const CoreV1__NodeSelectorRequirement *r, const char *value)
{
	const char *op = r->operator_;
	bool in = false;
	for (size_t i = 0; value && i < r->n_values; i++)
		in |= !strcmp(r->values[i], value);
	if (!strcmp(op, "In"))
		return in;
	if (!strcmp(op, "NotIn"))
		return !in;
	if (!strcmp(op, "Exists"))
		return value != NULL;
	if (!strcmp(op, "DoesNotExist"))
		return !value;
	if (!value || r->n_values != 1)
		return false;
	long long have = strtoll(value, NULL, 10), want = strtoll(r->values[0], NULL, 10);
	return !strcmp(op, "Gt") ? have > want : !strcmp(op, "Lt") && have < want;
}

/* An empty term is met by no node. */
static bool meets_term(const CoreV1__NodeSelectorTerm *t, const MetaV1__ObjectMeta *node)
{
	bool good = t->n_match_expressions || t->n_match_fields;
	for (size_t i = 0; i < t->n_match_expressions; i++)
		good &= meets(t->match_expressions[i], label(node, t->match_expressions[i]->key));
	for (size_t i = 0; i < t->n_match_fields; i++)
		good &= meets(t->match_fields[i],
		              strcmp(t->match_fields[i]->key, "metadata.name") ? NULL : node->name);
	return good;
}

bool node_suits(const CoreV1__Pod *pod, const MetaV1__ObjectMeta *node, struct refusal *ret)
{
	const CoreV1__PodSpec *s = pod->spec;
	bool good = true;
	for (size_t i = 0; i < s->n_node_selector; i++) {
		const char *value = label(node, s->node_selector[i]->key);
		good &= value && !strcmp(value, s->node_selector[i]->value);
	}
	const CoreV1__NodeAffinity *a = s->affinity ? s->affinity->node_affinity : NULL;
	const CoreV1__NodeSelector *n =
	    a ? a->required_during_scheduling_ignored_during_execution : NULL;
	bool any = !n;
	for (size_t i = 0; n && i < n->n_node_selector_terms; i++)
		any |= meets_term(n->node_selector_terms[i], node);
	ret->reason = "NodeAffinity";
	ret->message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node "
	               "affinity/selector";
	return good && any;
}

/* Sysctls */

static const char *const safe_sysctls[] = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
};

static bool covers(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);
	return n && pattern[n - 1] == '*' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name);
}

/* With dots between its parts: a name may be written with slashes. */
static const char *dotted(const char *name, struct arena *a)
{
	char *s = arena_strdup(a, name), *mark = strpbrk(s, "./");
	if (!mark || *mark == '.')
		return s;
	for (char *c = s; *c; c++)
		*c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
	return s;
}

bool sysctls_allowed(const CoreV1__Pod *pod, const char *const *patterns, size_t n_patterns,
                     struct arena *a, struct refusal *ret)
{
	const CoreV1__PodSecurityContext *s = pod->spec->security_context;
	for (size_t i = 0; s && i < s->n_sysctls; i++) {
		const char *name = dotted(s->sysctls[i]->name, a), *why = NULL;
		bool good = false;
		for (size_t k = 0; k < sizeof(safe_sysctls) / sizeof(*safe_sysctls); k++)
			good |= !strcmp(name, safe_sysctls[k]);
		for (size_t k = 0; k < n_patterns; k++)
			good |= covers(patterns[k], name);
		if (!good)
			why = "not allowlisted";
		else if (pod->spec->host_network && !strncmp(name, "net.", 4))
			why = "not allowed with host net enabled";
		else if (pod->spec->host_ipc &&
		         (!strncmp(name, "kernel.shm", 10) || !strncmp(name, "kernel.msg", 10) ||
		          !strncmp(name, "kernel.sem", 10) || !strncmp(name, "fs.mqueue.", 10)))
			why = "not allowed with host ipc enabled";
		if (!why)
			continue;
		ret->reason = "SysctlForbidden";
		ret->message = arena_printf(a, "forbidden sysctl: \"%s\" %s", name, why);
		return false;
	}
	return true;
}
