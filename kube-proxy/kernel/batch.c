/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/batch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

/* libnftnl writes without asking for room: this much is free before each message. An element
 * message holds at most a few hundred elements of less than 160 bytes. */
enum { MESSAGE_ROOM = 128 * 1024 };

static void *room(struct batch *b)
{
	buf_reserve(&b->bytes, MESSAGE_ROOM);
	b->last = b->bytes.len;
	return b->bytes.data + b->bytes.len;
}

static void took(struct batch *b, const struct nlmsghdr *h)
{
	b->bytes.len += MNL_ALIGN(h->nlmsg_len);
}

void batch_begin(struct batch *b, uint32_t seq)
{
	*b = (struct batch){.seq = seq};
	took(b, nftnl_batch_begin(room(b), b->seq++));
}

static struct nlmsghdr *message(struct batch *b, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(room(b), type, NFPROTO_IPV4, flags, b->seq++);
}

void batch_table(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_table *t)
{
	struct nlmsghdr *h = message(b, type, flags);
	nftnl_table_nlmsg_build_payload(h, t);
	took(b, h);
}

void batch_chain(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_chain *c)
{
	struct nlmsghdr *h = message(b, type, flags);
	nftnl_chain_nlmsg_build_payload(h, c);
	took(b, h);
}

void batch_rule(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_rule *r)
{
	struct nlmsghdr *h = message(b, type, flags);
	nftnl_rule_nlmsg_build_payload(h, r);
	took(b, h);
}

void batch_set(struct batch *b, struct nftnl_set *s)
{
	struct nlmsghdr *h = message(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	nftnl_set_nlmsg_build_payload(h, s);
	took(b, h);
}

void batch_elements(struct batch *b, uint16_t type, uint16_t flags, struct nftnl_set *s)
{
	struct nlmsghdr *h = message(b, type, flags);
	nftnl_set_elems_nlmsg_build_payload(h, s);
	took(b, h);
}

/* Reads verdicts until the one of the last message; returns the first error among them. */
static int wait_verdict(struct mnl_socket *sock, uint32_t last_seq, struct err *err)
{
	char in[32768];
	int first_error = 0;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(sock, in, sizeof(in));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_IO, "netlink: %s", strerror(errno));
		int left = (int)n;
		for (const struct nlmsghdr *h = (const void *)in; mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
			if (e->error && !first_error)
				first_error = -e->error;
			if (h->nlmsg_seq != last_seq)
				continue;
			if (!first_error)
				return 0;
			return err_set(err, first_error == ENOENT ? ERR_NOT_FOUND : ERR_IO,
			               "nf_tables: %s", strerror(first_error));
		}
	}
}

int batch_send(struct batch *b, struct mnl_socket *sock, struct err *err)
{
	struct nlmsghdr *last = (void *)(b->bytes.data + b->last);
	last->nlmsg_flags |= NLM_F_ACK;
	uint32_t last_seq = last->nlmsg_seq;
	took(b, nftnl_batch_end(room(b), b->seq++));
	int fd = mnl_socket_get_fd(sock);
	int bytes = (int)MIN(b->bytes.len + 65536, (size_t)INT32_MAX / 2);
	/* Netlink takes a message only when it fits the send buffer whole. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		return err_set(err, ERR_IO, "netlink: send buffer of %d bytes: %s", bytes,
		               strerror(errno));
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t sent;
	do
		sent = sendto(fd, b->bytes.data, b->bytes.len, 0, (struct sockaddr *)&kernel,
		              sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return err_set(err, ERR_IO, "netlink: %s", strerror(errno));
	return wait_verdict(sock, last_seq, err);
}
