/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/node.h"

#include <stdio.h>

/* The autoscaler's mark of a node that it is about to remove. */
#define TO_BE_DELETED_TAINT "ToBeDeletedByClusterAutoscaler"

static const char *label_of(const CoreV1__Node *node, const char *key)
{
	for (size_t i = 0; i < node->metadata->n_labels; i++)
		if (!strcmp(node->metadata->labels[i]->key, key))
			return node->metadata->labels[i]->value;
	return "";
}

static bool is_eligible(const CoreV1__Node *node)
{
	if (node->metadata->deletion_timestamp)
		return false;
	for (size_t i = 0; node->spec && i < node->spec->n_taints; i++)
		if (!strcmp(node->spec->taints[i]->key, TO_BE_DELETED_TAINT))
			return false;
	return true;
}

static bool single(const char *text, enum family f, struct cidr *ret)
{
	*ret = (struct cidr){.family = (uint8_t)f, .bits = (uint8_t)(addr_bytes(f) * 8)};
	return addr_parse(text, f, &ret->addr);
}

static bool is_unspecified(const struct cidr *c)
{
	return !addr_cmp(&c->addr, &(struct addr){{0}});
}

/* The first address of a type. */
static bool node_address(const CoreV1__Node *node, const char *type, enum family f,
                         struct cidr *ret)
{
	for (size_t i = 0; node && node->status && i < node->status->n_addresses; i++) {
		const CoreV1__NodeAddress *a = node->status->addresses[i];
		if (!strcmp(a->type, type) && single(a->address, f, ret))
			return true;
	}
	return false;
}

void node_facts_init(struct node_facts *facts, const CoreV1__Node *node, const char *bind_address)
{
	struct cidr c;
	*facts = (struct node_facts){.eligible = !node || is_eligible(node)};
	if (node)
		snprintf(facts->zone, sizeof(facts->zone), "%s",
		         label_of(node, "topology.kubernetes.io/zone"));
	for (enum family f = 0; f < FAMILIES; f++)
		if ((single(bind_address, f, &c) && !is_unspecified(&c)) ||
		    node_address(node, "InternalIP", f, &c) ||
		    node_address(node, "ExternalIP", f, &c))
			*vec_push(&facts->addresses) = c;
	for (size_t i = 0; node && node->spec && i < node->spec->n_pod_cidrs; i++)
		if (cidr_parse(node->spec->pod_cidrs[i], &c))
			*vec_push(&facts->pod_cidrs) = c;
}

void node_facts_deinit(struct node_facts *f)
{
	vec_deinit(&f->addresses);
	vec_deinit(&f->pod_cidrs);
}
