/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A table, or a plan, as text: one line a set, chain, rule and element, in the words of nft(8)
 * where it has some. For operators (kube-proxy's /rules) and tests. Pure. */
#include "kube-proxy/core/state.h"

void text_table(enum family f, const struct layout_config *c, const element_list *elements,
                struct buf *out);
/* Lines that begin with '+' and '-', and "flows" or
 * "clients" for what is to be forgotten. */
void text_plan(const struct proxy_plan *p, struct buf *out);
void text_element(enum family f, const struct element *e, struct buf *out);
void text_rule(enum family f, const struct rule *r, struct buf *out);
