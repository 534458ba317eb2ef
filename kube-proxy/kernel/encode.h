/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A plan as the messages of one nf_tables transaction. */
#include "kube-proxy/core/state.h"
#include "kube-proxy/kernel/netlink.h"

struct transaction {
	struct buf bytes;
	uint8_t family; /* NFPROTO_* */
	uint32_t first, next;
	size_t last; /* offset of the newest message */
};

void transaction_begin(struct transaction *t, enum family f, uint32_t seq);
/* The last message of the plan asks for an acknowledgement. */
void transaction_end(struct transaction *t);
void transaction_deinit(struct transaction *t);
/* Ends, sends and releases it, and waits for the kernel's verdict. */
int transaction_commit(struct transaction *t, struct netlink *nl, struct err *err) _must_use_;
/* NFPROTO_IPV4 or NFPROTO_IPV6 */
uint8_t family_number(enum family f);

void encode_delete_table(struct transaction *t);
void encode_plan(struct transaction *t, const struct layout_config *c, const struct proxy_plan *p);
/* An entry of the set `affinity`, with its time to live. */
struct affinity_entry {
	struct element element;
	uint64_t timeout_ms, expires_ms; /* in all, and left */
};
typedef VEC(struct affinity_entry) affinity_list;

/* Into a table that is made anew in the same transaction. */
void encode_affinity(struct transaction *t, const affinity_list *l);
void encode_delete_elements(struct transaction *t, const element_list *l);
/* The expressions of a rule: the attribute NFTA_RULE_EXPRESSIONS. */
void encode_expressions(struct buf *b, enum family f, const struct rule *r);
