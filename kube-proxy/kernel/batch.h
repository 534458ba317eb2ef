/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One nf_tables transaction: netlink messages in one buffer, sent by one sendmsg. */
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct mnl_socket;
struct nlmsghdr;

struct batch {
	struct buf bytes;
	uint32_t seq;
	size_t last; /* offset of the newest message */
};

void batch_begin(struct batch *b, uint32_t seq);
static inline void batch_deinit(struct batch *b)
{
	buf_deinit(&b->bytes);
}
/* Each adds one message; the object stays the caller's. */
void batch_table(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_table *t);
void batch_chain(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_chain *c);
void batch_rule(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_rule *r);
void batch_set(struct batch *b, struct nftnl_set *s);
void batch_elements(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_set *s);
/* Sends and waits for the kernel's verdict. */
int batch_send(struct batch *b, struct mnl_socket *sock, struct err *err) _must_use_;
