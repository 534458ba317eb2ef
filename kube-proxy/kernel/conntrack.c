/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/kernel/conntrack.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>

#include "common/base/map.h"
#include "kube-proxy/core/endpoints.h"

/* Which parts of the original tuple a dump is filtered by (CTA_FILTER_ORIG_FLAGS); older kernels
 * dump all, which is checked again here anyway. */
enum { FILTER_DST = 1 << 1, FILTER_PROTOCOL = 1 << 3, FILTER_DST_PORT = 1 << 5 };

enum { KEY_BYTES = 18 };

struct cleaner {
	const struct proxy_plan *plan;
	struct map frontends;  /* address and port -> stale_flows */
	struct map node_ports; /* port -> stale_flows */
	struct map own;        /* addresses of this host */
	struct buf deletes;    /* messages */
	size_t n;
	uint32_t seq;
	uint8_t family;
};

static struct slice flow_key(const struct addr *a, uint16_t port, uint8_t out[KEY_BYTES])
{
	memcpy(out, a->bytes, 16);
	memcpy(out + 16, &port, 2);
	return slice_of(out, KEY_BYTES);
}

static void load_own_addresses(struct cleaner *c)
{
	struct ifaddrs *list = NULL;
	if (getifaddrs(&list) < 0)
		return;
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct addr a = {{0}};
		if (!i->ifa_addr || i->ifa_addr->sa_family != c->family)
			continue;
		if (c->family == AF_INET)
			memcpy(a.bytes, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
		else
			memcpy(a.bytes, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
		map_put(&c->own, slice_of(a.bytes, 16), c);
	}
	freeifaddrs(list);
}

static void load_flows(struct cleaner *c)
{
	VEC_FOREACH (&c->plan->flows, s) {
		if (s->frontend.protocol != PROTOCOL_UDP)
			continue;
		uint8_t key[KEY_BYTES];
		struct map *m = s->frontend.node_port ? &c->node_ports : &c->frontends;
		map_put(m, flow_key(&s->frontend.addr, s->frontend.port, key), s);
	}
	if (c->node_ports.n)
		load_own_addresses(c);
}

/* One direction of a connection. */
struct tuple {
	struct addr src, dst;
	uint16_t src_port, dst_port;
	uint8_t protocol;
};

static uint16_t port_of(struct slice s)
{
	return s.len == 2 ? (uint16_t)(s.data[0] << 8 | s.data[1]) : 0;
}

static void addr_of(struct slice s, struct addr *ret)
{
	*ret = (struct addr){{0}};
	memcpy(ret->bytes, s.data, MIN(s.len, sizeof(ret->bytes)));
}

static struct tuple tuple_of(struct slice attrs, uint8_t family)
{
	struct tuple t = {0};
	struct slice ip = nl_find(attrs, CTA_TUPLE_IP), proto = nl_find(attrs, CTA_TUPLE_PROTO);
	struct slice number = nl_find(proto, CTA_PROTO_NUM);
	bool v4 = family == AF_INET;
	addr_of(nl_find(ip, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC), &t.src);
	addr_of(nl_find(ip, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST), &t.dst);
	t.protocol = number.len ? number.data[0] : 0;
	t.src_port = port_of(nl_find(proto, CTA_PROTO_SRC_PORT));
	t.dst_port = port_of(nl_find(proto, CTA_PROTO_DST_PORT));
	return t;
}

static const struct stale_flows *frontend_of(const struct cleaner *c, const struct tuple *orig)
{
	uint8_t key[KEY_BYTES];
	struct stale_flows *s = map_get(&c->frontends, flow_key(&orig->dst, orig->dst_port, key));
	if (s || !map_get(&c->own, slice_of(orig->dst.bytes, 16)))
		return s;
	return map_get(&c->node_ports, flow_key(&(struct addr){{0}}, orig->dst_port, key));
}

static int cmp(const void *a, const void *b)
{
	return backend_cmp(a, b);
}

static bool leads_to_endpoint(const struct cleaner *c, const struct stale_flows *s,
                              const struct tuple *reply)
{
	struct backend b = {reply->src, reply->src_port};
	return s->n && bsearch(&b, c->plan->flow_endpoints.at + s->first, s->n, sizeof(b), cmp);
}

/* Deleting repeats the original tuple and the id, so that it cannot meet a younger connection. */
static void add_delete(struct cleaner *c, struct slice attrs)
{
	struct slice orig = nl_find(attrs, CTA_TUPLE_ORIG), id = nl_find(attrs, CTA_ID);
	struct slice zone = nl_find(attrs, CTA_ZONE);
	size_t m = nl_begin(&c->deletes, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
	                    NLM_F_ACK, c->family, 0, c->seq++);
	nl_bytes(&c->deletes, CTA_TUPLE_ORIG | NLA_F_NESTED, orig.data, orig.len);
	if (id.len)
		nl_bytes(&c->deletes, CTA_ID, id.data, id.len);
	if (zone.len)
		nl_bytes(&c->deletes, CTA_ZONE, zone.data, zone.len);
	nl_end(&c->deletes, m);
	c->n++;
}

static void on_flow(const struct nlmsghdr *h, void *arg)
{
	struct cleaner *c = arg;
	struct slice attrs = nl_attrs(h);
	struct tuple orig = tuple_of(nl_find(attrs, CTA_TUPLE_ORIG), c->family);
	struct tuple reply = tuple_of(nl_find(attrs, CTA_TUPLE_REPLY), c->family);
	if (orig.protocol != PROTOCOL_UDP)
		return;
	const struct stale_flows *s = frontend_of(c, &orig);
	if (s && !leads_to_endpoint(c, s, &reply))
		add_delete(c, attrs);
}

/* Asks for the UDP flows; of the one frontend when there is only one. */
static void put_dump(struct cleaner *c, struct buf *b, uint32_t seq)
{
	const struct frontend *only =
	    c->plan->flows.n == 1 && !c->node_ports.n ? &c->plan->flows.at[0].frontend : NULL;
	uint32_t flags = FILTER_PROTOCOL | (only ? FILTER_DST | FILTER_DST_PORT : 0);
	size_t m = nl_begin(b, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP,
	                    c->family, 0, seq);
	size_t filter = nl_nest(b, CTA_FILTER);
	nl_bytes(b, CTA_FILTER_ORIG_FLAGS, &flags, sizeof(flags));
	nl_nest_end(b, filter);
	size_t tuple = nl_nest(b, CTA_TUPLE_ORIG), inner;
	if (only) {
		inner = nl_nest(b, CTA_TUPLE_IP);
		nl_bytes(b, c->family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST, only->addr.bytes,
		         addr_bytes(c->plan->family));
		nl_nest_end(b, inner);
	}
	inner = nl_nest(b, CTA_TUPLE_PROTO);
	nl_u8(b, CTA_PROTO_NUM, PROTOCOL_UDP);
	if (only)
		nl_be16(b, CTA_PROTO_DST_PORT, only->port);
	nl_nest_end(b, inner);
	nl_nest_end(b, tuple);
	nl_end(b, m);
}

/* A connection that has gone meanwhile is what was wanted. */
static int send_deletes(struct netlink *nl, struct cleaner *c, uint32_t seq, struct err *err)
{
	struct slice left = buf_view(&c->deletes);
	while (left.len) {
		struct nlmsghdr h;
		memcpy(&h, left.data, sizeof(h));
		int r = netlink_send(nl, slice_of(left.data, h.nlmsg_len), err);
		if (!r)
			r = netlink_wait(nl, seq, seq, NULL, NULL, "conntrack", err);
		if (r && r != -ERR_NOT_FOUND)
			return r;
		left = slice_skip(left, h.nlmsg_len);
		seq++;
	}
	return 0;
}

int conntrack_forget(struct netlink *nl, const struct proxy_plan *p, size_t *ret_deleted,
                     struct err *err)
{
	struct cleaner c = {
	    .plan = p, .family = p->family == FAMILY_IPV4 ? AF_INET : AF_INET6, .seq = nl->seq + 1};
	_cleanup_buf_ struct buf dump = BUF_INIT;
	*ret_deleted = 0;
	load_flows(&c);
	if (!c.frontends.n && !c.node_ports.n)
		return 0;
	put_dump(&c, &dump, nl->seq);
	int r = netlink_send(nl, buf_view(&dump), err);
	if (!r)
		r = netlink_wait(nl, nl->seq, nl->seq, on_flow, &c, "conntrack", err);
	if (!r)
		r = send_deletes(nl, &c, nl->seq + 1, err);
	nl->seq = c.seq;
	*ret_deleted = c.n;
	map_deinit(&c.frontends);
	map_deinit(&c.node_ports);
	map_deinit(&c.own);
	buf_deinit(&c.deletes);
	return r;
}
