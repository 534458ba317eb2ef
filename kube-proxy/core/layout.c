/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/layout.h"

#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#define FRONTEND PART_ADDR, PART_PROTOCOL, PART_PORT
#define NODE_PORT PART_PROTOCOL, PART_PORT
#define ENDPOINT PART_ADDR, PART_PORT

const struct set_info set_infos[SETS] = {
    [SET_CLUSTER_IPS] = {.name = "cluster-ips", .key = {PART_ADDR}, .shared = true},
    [SET_SERVICE_IPS] = {.name = "service-ips", .key = {FRONTEND}, .value = VALUE_VERDICT},
    [SET_NODE_PORTS] = {.name = "service-nodeports", .key = {NODE_PORT}, .value = VALUE_VERDICT},
    [SET_BACKENDS] = {.name = "backends",
                      .key = {FRONTEND, PART_NUMBER},
                      .data = {ENDPOINT},
                      .value = VALUE_DATA},
    [SET_NODE_PORT_BACKENDS] = {.name = "nodeport-backends",
                                .key = {NODE_PORT, PART_NUMBER},
                                .data = {ENDPOINT},
                                .value = VALUE_DATA},
    [SET_HAIRPIN] = {.name = "hairpin-connections", .key = {PART_ADDR, PART_ADDR}, .shared = true},
    [SET_NO_ENDPOINT_SERVICES] = {.name = "no-endpoint-services",
                                  .key = {FRONTEND},
                                  .value = VALUE_VERDICT},
    [SET_NO_ENDPOINT_NODE_PORTS] = {.name = "no-endpoint-nodeports",
                                    .key = {NODE_PORT},
                                    .value = VALUE_VERDICT},
    [SET_FIREWALL_IPS] = {.name = "firewall-ips", .key = {FRONTEND}},
    [SET_FIREWALL_SOURCES] = {.name = "firewall-sources",
                              .key = {FRONTEND, PART_ADDR},
                              .interval = true},
    [SET_AFFINITY] = {.name = "affinity",
                      .key = {PART_ADDR, FRONTEND},
                      .data = {ENDPOINT},
                      .value = VALUE_DATA,
                      .dynamic = true},
    [SET_STICKY_SERVICES] = {.name = "sticky-services", .key = {FRONTEND}, .value = VALUE_VERDICT},
    [SET_STICKY_NODE_PORTS] = {.name = "sticky-nodeports",
                               .key = {NODE_PORT},
                               .value = VALUE_VERDICT},
};

/* The firewall sees packets before any service changes their destination, the rest after. */
enum { PRIORITY_FIREWALL = -110, PRIORITY_DNAT = -100, PRIORITY_FILTER = 0, PRIORITY_SNAT = 100 };

const struct base_chain base_chains[BASE_CHAINS] = {
    {"nat-prerouting", "nat", NF_INET_PRE_ROUTING, PRIORITY_DNAT},
    {"nat-output", "nat", NF_INET_LOCAL_OUT, PRIORITY_DNAT},
    {"nat-postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SNAT},
    {"nat-input", "nat", NF_INET_LOCAL_IN, PRIORITY_SNAT},
    {"firewall-prerouting", "filter", NF_INET_PRE_ROUTING, PRIORITY_FIREWALL},
    {"firewall-output", "filter", NF_INET_LOCAL_OUT, PRIORITY_FIREWALL},
    {"filter-input", "filter", NF_INET_LOCAL_IN, PRIORITY_FILTER},
    {"filter-forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER},
    {"filter-output", "filter", NF_INET_LOCAL_OUT, PRIORITY_FILTER},
};

const char *const plain_chains[PLAIN_CHAINS] = {
    "reject-chain", "services", "no-endpoints", "firewall-check", "cluster-ips-check", "remember"};

unsigned parts_words(enum family f, const uint8_t *parts)
{
	unsigned n = 0;
	for (; *parts; parts++)
		n += *parts == PART_ADDR ? addr_words(f) : 1;
	return n;
}

void layout_config_deinit(struct layout_config *c)
{
	vec_deinit(&c->pod_cidrs);
	vec_deinit(&c->node_ports);
	vec_deinit(&c->node_ips);
	vec_deinit(&c->service_cidrs);
}

static void copy_cidrs(const cidr_list *from, cidr_list *to)
{
	*to = (cidr_list){0};
	VEC_FOREACH (from, it)
		*vec_push(to) = *it;
}

void layout_config_copy(const struct layout_config *from, struct layout_config *to)
{
	*to = *from;
	copy_cidrs(&from->pod_cidrs, &to->pod_cidrs);
	copy_cidrs(&from->node_ports, &to->node_ports);
	copy_cidrs(&from->node_ips, &to->node_ips);
	copy_cidrs(&from->service_cidrs, &to->service_cidrs);
}

static bool cidrs_eq(const cidr_list *a, const cidr_list *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->at, b->at, a->n * sizeof(*a->at)));
}

bool layout_config_eq(const struct layout_config *a, const struct layout_config *b)
{
	return a->pod_traffic == b->pod_traffic && cidrs_eq(&a->pod_cidrs, &b->pod_cidrs) &&
	       !strcmp(a->pod_interface, b->pod_interface) &&
	       a->masquerade_all == b->masquerade_all && a->masquerade_bit == b->masquerade_bit &&
	       cidrs_eq(&a->node_ports, &b->node_ports) && cidrs_eq(&a->node_ips, &b->node_ips) &&
	       cidrs_eq(&a->service_cidrs, &b->service_cidrs);
}

struct shape shape_short_cut(const struct shape *s)
{
	return (struct shape){
	    .source = s->source, .short_cut = true, .n = s->n_far, .affinity_s = s->affinity_s};
}

void shape_name(const struct shape *s, char out[CHAIN_NAME_BYTES])
{
	static const char *const sources[] = {"cluster", "external", "nodeport"};
	if (s->source == SOURCE_RECORD) {
		snprintf(out, CHAIN_NAME_BYTES, "remember-%u", s->affinity_s);
		return;
	}
	int n = snprintf(out, CHAIN_NAME_BYTES, "%s%s%s-%u", sources[s->source],
	                 s->local ? "-local" : "", s->short_cut ? "-short" : "", s->n);
	if (s->policy)
		n += snprintf(out + n, CHAIN_NAME_BYTES - (size_t)n, "-of-%u", s->n_far);
	if (s->affinity_s)
		snprintf(out + n, CHAIN_NAME_BYTES - (size_t)n, "-sticky-%u", s->affinity_s);
}
