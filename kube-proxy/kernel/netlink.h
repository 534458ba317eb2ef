/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Messages of netfilter's netlink, written into a buffer, and the socket that takes them.
 *
 * Numbers in attributes are big-endian unless the name says otherwise. Lengths of attributes have
 * 16 bits: a nest must stay below NL_NEST_MAX bytes. */
#include <linux/netlink.h>
#include "common/base/buf.h"
#include "common/base/err.h"

enum { NL_NEST_MAX = 60000 };

struct netlink {
	int fd;
	uint32_t seq; /* of the next message */
};

/* fd is -1 when this fails. */
int netlink_open(struct netlink *nl, struct err *err) _must_use_;
void netlink_close(struct netlink *nl);

/* Begins a message; the offset for nl_end. type: subsystem << 8 | message. */
size_t nl_begin(struct buf *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res_id,
                uint32_t seq);
void nl_end(struct buf *b, size_t at);
void nl_bytes(struct buf *b, uint16_t type, const void *data, size_t n);
void nl_str(struct buf *b, uint16_t type, const char *s);
void nl_u8(struct buf *b, uint16_t type, uint8_t v);
void nl_be16(struct buf *b, uint16_t type, uint16_t v);
void nl_be32(struct buf *b, uint16_t type, uint32_t v);
void nl_be64(struct buf *b, uint16_t type, uint64_t v);
size_t nl_nest(struct buf *b, uint16_t type);
void nl_nest_end(struct buf *b, size_t at);

/* Sends all bytes as one datagram. */
int netlink_send(struct netlink *nl, struct slice bytes, struct err *err) _must_use_;
/* Reads answers until one concludes: on_message (may be NULL) sees every data message; an error or
 * acknowledgement of `last` or `first`, or the end of a dump, concludes. The first error counts.
 * what: for its text. */
int netlink_wait(struct netlink *nl, uint32_t first, uint32_t last,
                 void (*on_message)(const struct nlmsghdr *h, void *arg), void *arg,
                 const char *what, struct err *err) _must_use_;

/* Attributes of what was received: the first of this type in `attrs`, empty when absent. */
struct slice nl_find(struct slice attrs, uint16_t type);
/* The attributes of a received message, behind its nfgenmsg. */
struct slice nl_attrs(const struct nlmsghdr *h);
