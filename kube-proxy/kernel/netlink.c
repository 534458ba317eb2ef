/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/netlink.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kernel answers at once; a reply that takes longer is lost. */
enum { REPLY_SECONDS = 30, RECEIVE_BYTES = 65536, RECEIVE_BUFFER_BYTES = 4 << 20 };

int netlink_open(struct netlink *nl, struct err *err)
{
	struct sockaddr_nl me = {.nl_family = AF_NETLINK};
	struct timeval limit = {REPLY_SECONDS, 0};
	int bytes = RECEIVE_BUFFER_BYTES;
	nl->seq = (uint32_t)time(NULL);
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (nl->fd < 0 || bind(nl->fd, (struct sockaddr *)&me, sizeof(me)) < 0 ||
	    setsockopt(nl->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0) {
		int r = err_set(err, ERR_IO, "netlink: %s", strerror(errno));
		netlink_close(nl);
		return r;
	}
	/* Best effort: a dump that does not fit is told as an error. */
	ERR_IGNORE(setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)));
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

static void pad(struct buf *b)
{
	static const uint8_t zeros[4];
	buf_add(b, zeros, -b->len & 3);
}

size_t nl_begin(struct buf *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res_id,
                uint32_t seq)
{
	size_t at = b->len;
	struct nlmsghdr h = {
	    .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = seq};
	struct nfgenmsg g = {
	    .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res_id)};
	buf_add(b, &h, sizeof(h));
	buf_add(b, &g, sizeof(g));
	return at;
}

void nl_end(struct buf *b, size_t at)
{
	uint32_t n = (uint32_t)(b->len - at);
	memcpy(b->data + at, &n, sizeof(n));
}

void nl_bytes(struct buf *b, uint16_t type, const void *data, size_t n)
{
	struct nlattr a = {.nla_len = (uint16_t)(sizeof(a) + n), .nla_type = type};
	buf_add(b, &a, sizeof(a));
	buf_add(b, data, n);
	pad(b);
}

void nl_str(struct buf *b, uint16_t type, const char *s)
{
	nl_bytes(b, type, s, strlen(s) + 1);
}

void nl_u8(struct buf *b, uint16_t type, uint8_t v)
{
	nl_bytes(b, type, &v, sizeof(v));
}

void nl_be16(struct buf *b, uint16_t type, uint16_t v)
{
	v = htons(v);
	nl_bytes(b, type, &v, sizeof(v));
}

void nl_be32(struct buf *b, uint16_t type, uint32_t v)
{
	v = htonl(v);
	nl_bytes(b, type, &v, sizeof(v));
}

void nl_be64(struct buf *b, uint16_t type, uint64_t v)
{
	v = htobe64(v);
	nl_bytes(b, type, &v, sizeof(v));
}

size_t nl_nest(struct buf *b, uint16_t type)
{
	size_t at = b->len;
	struct nlattr a = {.nla_type = (uint16_t)(type | NLA_F_NESTED)};
	buf_add(b, &a, sizeof(a));
	return at;
}

void nl_nest_end(struct buf *b, size_t at)
{
	uint16_t n = (uint16_t)(b->len - at);
	memcpy(b->data + at, &n, sizeof(n));
}

int netlink_send(struct netlink *nl, struct slice bytes, struct err *err)
{
	/* Netlink takes a datagram only when it fits the send buffer whole. */
	int room = (int)MIN(bytes.len + 65536, (size_t)INT32_MAX / 2);
	if (setsockopt(nl->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		return err_set(err, ERR_IO, "netlink: send buffer of %d bytes: %s", room,
		               strerror(errno));
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t sent;
	do
		sent = sendto(nl->fd, bytes.data, bytes.len, 0, (struct sockaddr *)&kernel,
		              sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? err_set(err, ERR_IO, "netlink: %s", strerror(errno)) : 0;
}

/* The error that a message carries, positive; 0: it is an acknowledgement; -1: it is data. */
static int error_of(const struct nlmsghdr *h)
{
	int32_t code;
	if (h->nlmsg_type != NLMSG_ERROR && h->nlmsg_type != NLMSG_DONE)
		return -1;
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(code)))
		return 0;
	memcpy(&code, NLMSG_DATA(h), sizeof(code));
	return code < 0 ? -code : 0;
}

int netlink_wait(struct netlink *nl, uint32_t first, uint32_t last,
                 void (*on_message)(const struct nlmsghdr *h, void *arg), void *arg,
                 const char *what, struct err *err)
{
	_Alignas(struct nlmsghdr) char in[RECEIVE_BYTES];
	int first_error = 0;
	for (;;) {
		ssize_t got = recv(nl->fd, in, sizeof(in), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, ERR_IO, "netlink: %s: %s", what, strerror(errno));
		size_t left = (size_t)got;
		for (const struct nlmsghdr *h = (void *)in; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			int code = error_of(h);
			/* What is left of an exchange that was given up. */
			if (h->nlmsg_seq - first > last - first)
				continue;
			if (code < 0) {
				if (on_message)
					on_message(h, arg);
				continue;
			}
			if (code && !first_error)
				first_error = code;
			/* A transaction that fails as a whole is told at its beginning. */
			if (h->nlmsg_seq != last && !(code && h->nlmsg_seq == first))
				continue;
			if (!first_error)
				return 0;
			return err_set(err, first_error == ENOENT ? ERR_NOT_FOUND : ERR_IO,
			               "%s: %s", what, strerror(first_error));
		}
	}
}

struct slice nl_find(struct slice attrs, uint16_t type)
{
	struct nlattr a;
	while (attrs.len >= sizeof(a)) {
		memcpy(&a, attrs.data, sizeof(a));
		if (a.nla_len < sizeof(a) || a.nla_len > attrs.len)
			break;
		if ((a.nla_type & NLA_TYPE_MASK) == type)
			return slice_of(attrs.data + sizeof(a), a.nla_len - sizeof(a));
		attrs = slice_skip(attrs, (a.nla_len + 3u) & ~3u);
	}
	return SLICE_EMPTY;
}

struct slice nl_attrs(const struct nlmsghdr *h)
{
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	if (h->nlmsg_len < head)
		return SLICE_EMPTY;
	return slice_of((const uint8_t *)h + head, h->nlmsg_len - head);
}
