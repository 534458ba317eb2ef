/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What kube-proxy knows of its own Node: zone, addresses, networks of its pods, and whether load
 * balancers should still send traffic here. */
#include "common/base/arena.h"
#include "kube-proxy/core/layout.h"
#include "proto/core_v1.pb-c.h"

struct node_facts {
	char zone[64];
	bool eligible;       /* not being deleted, nor about to be by the autoscaler */
	cidr_list addresses; /* the first internal address of each family, as single addresses */
	cidr_list pod_cidrs;
};

/* node NULL: not known; then it counts as eligible. Of each family, an address that is given by
 * bind_address counts instead of the node's. */
void node_facts_init(struct node_facts *f, const CoreV1__Node *node, const char *bind_address);
void node_facts_deinit(struct node_facts *f);
