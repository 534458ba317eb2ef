/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "kube-proxy/kernel/encode.h"

enum { ICMP_PORT_UNREACHABLE = 3, ICMPV6_PORT_UNREACHABLE = 4 };

static uint32_t reg(uint8_t r)
{
	return r == REG_VERDICT ? NFT_REG_VERDICT : NFT_REG32_00 + (uint32_t)r;
}

static void data(struct buf *b, uint16_t type, const void *bytes, size_t n)
{
	size_t nest = nl_nest(b, type);
	nl_bytes(b, NFTA_DATA_VALUE, bytes, n);
	nl_nest_end(b, nest);
}

static void put_bitwise(struct buf *b, const struct insn *i)
{
	nl_be32(b, NFTA_BITWISE_SREG, reg(i->reg));
	nl_be32(b, NFTA_BITWISE_DREG, reg(i->reg));
	nl_be32(b, NFTA_BITWISE_LEN, i->len);
	data(b, NFTA_BITWISE_MASK, i->data, i->len);
	data(b, NFTA_BITWISE_XOR, i->xor, i->len);
}

static void put_compare(struct buf *b, uint8_t r, int op, const void *bytes, size_t n)
{
	nl_be32(b, NFTA_CMP_SREG, reg(r));
	nl_be32(b, NFTA_CMP_OP, (uint32_t)op);
	data(b, NFTA_CMP_DATA, bytes, n);
}

static void put_lookup(struct buf *b, const struct insn *i)
{
	nl_str(b, NFTA_LOOKUP_SET, set_infos[i->set].name);
	nl_be32(b, NFTA_LOOKUP_SREG, reg(i->reg));
	if (i->dreg != REG_NONE)
		nl_be32(b, NFTA_LOOKUP_DREG, reg(i->dreg));
	if (i->inverted)
		nl_be32(b, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

static void put_ct(struct buf *b, const struct insn *i)
{
	nl_be32(b, NFTA_CT_KEY, i->key);
	nl_be32(b, NFTA_CT_DREG, reg(i->reg));
	if (i->op)
		nl_u8(b, NFTA_CT_DIRECTION, IP_CT_DIR_ORIGINAL);
}

static void put_update(struct buf *b, const struct insn *i)
{
	nl_str(b, NFTA_DYNSET_SET_NAME, set_infos[i->set].name);
	nl_be32(b, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	nl_be32(b, NFTA_DYNSET_SREG_KEY, reg(i->reg));
	nl_be32(b, NFTA_DYNSET_SREG_DATA, reg(i->dreg));
	nl_be64(b, NFTA_DYNSET_TIMEOUT, i->value);
}

static void put_verdict(struct buf *b, const struct insn *i)
{
	nl_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	size_t nest = nl_nest(b, NFTA_IMMEDIATE_DATA), inner = nl_nest(b, NFTA_DATA_VERDICT);
	nl_be32(b, NFTA_VERDICT_CODE, (uint32_t)i->op);
	if (i->chain[0])
		nl_str(b, NFTA_VERDICT_CHAIN, i->chain);
	nl_nest_end(b, inner);
	nl_nest_end(b, nest);
}

static const char *expression_name(const struct insn *i)
{
	static const char *const names[] = {
	    [INSN_PAYLOAD] = "payload", [INSN_META] = "meta",         [INSN_META_SET] = "meta",
	    [INSN_CT] = "ct",           [INSN_BITWISE] = "bitwise",   [INSN_COMPARE] = "cmp",
	    [INSN_LOOKUP] = "lookup",   [INSN_FIB_LOCAL] = "fib",     [INSN_NUMGEN] = "numgen",
	    [INSN_UPDATE] = "dynset",   [INSN_DNAT] = "nat",          [INSN_MASQUERADE] = "masq",
	    [INSN_REJECT] = "reject",   [INSN_VERDICT] = "immediate",
	};
	return names[i->kind];
}

static void put_data(struct buf *b, enum family f, const struct insn *i)
{
	switch ((enum insn_kind)i->kind) {
	case INSN_PAYLOAD:
		nl_be32(b, NFTA_PAYLOAD_DREG, reg(i->reg));
		nl_be32(b, NFTA_PAYLOAD_BASE, i->base);
		nl_be32(b, NFTA_PAYLOAD_OFFSET, i->offset);
		nl_be32(b, NFTA_PAYLOAD_LEN, i->len);
		break;
	case INSN_META:
		nl_be32(b, NFTA_META_KEY, i->key);
		nl_be32(b, NFTA_META_DREG, reg(i->reg));
		break;
	case INSN_META_SET:
		nl_be32(b, NFTA_META_KEY, i->key);
		nl_be32(b, NFTA_META_SREG, reg(i->reg));
		break;
	case INSN_CT:
		put_ct(b, i);
		break;
	case INSN_BITWISE:
		put_bitwise(b, i);
		break;
	case INSN_COMPARE:
		put_compare(b, i->reg, i->op, i->data, i->len);
		break;
	case INSN_LOOKUP:
		put_lookup(b, i);
		break;
	case INSN_FIB_LOCAL:
		nl_be32(b, NFTA_FIB_DREG, reg(i->reg));
		nl_be32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
		nl_be32(b, NFTA_FIB_FLAGS, (uint32_t)i->op);
		break;
	case INSN_NUMGEN:
		nl_be32(b, NFTA_NG_DREG, reg(i->reg));
		nl_be32(b, NFTA_NG_MODULUS, (uint32_t)i->value);
		nl_be32(b, NFTA_NG_TYPE, NFT_NG_RANDOM);
		nl_be32(b, NFTA_NG_OFFSET, i->offset);
		break;
	case INSN_UPDATE:
		put_update(b, i);
		break;
	case INSN_DNAT:
		nl_be32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
		nl_be32(b, NFTA_NAT_FAMILY, f == FAMILY_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
		nl_be32(b, NFTA_NAT_REG_ADDR_MIN, reg(i->reg));
		nl_be32(b, NFTA_NAT_REG_PROTO_MIN, reg(i->dreg));
		break;
	case INSN_MASQUERADE:
		nl_be32(b, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
		break;
	case INSN_REJECT:
		nl_be32(b, NFTA_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
		nl_u8(b, NFTA_REJECT_ICMP_CODE,
		      f == FAMILY_IPV4 ? ICMP_PORT_UNREACHABLE : ICMPV6_PORT_UNREACHABLE);
		break;
	case INSN_VERDICT:
		put_verdict(b, i);
		break;
	}
}

static size_t begin_expression(struct buf *b, const char *name, size_t *ret_data)
{
	size_t nest = nl_nest(b, NFTA_LIST_ELEM);
	nl_str(b, NFTA_EXPR_NAME, name);
	*ret_data = nl_nest(b, NFTA_EXPR_DATA);
	return nest;
}

void encode_expressions(struct buf *b, enum family f, const struct rule *r)
{
	size_t list = nl_nest(b, NFTA_RULE_EXPRESSIONS), inner;
	for (uint32_t n = 0; n < r->n; n++) {
		const struct insn *i = &r->insns[n];
		size_t nest = begin_expression(b, expression_name(i), &inner);
		put_data(b, f, i);
		nl_nest_end(b, inner);
		nl_nest_end(b, nest);
		if (i->kind != INSN_FIB_LOCAL)
			continue;
		uint32_t local = RTN_LOCAL;
		nest = begin_expression(b, "cmp", &inner);
		put_compare(b, i->reg, NFT_CMP_EQ, &local, sizeof(local));
		nl_nest_end(b, inner);
		nl_nest_end(b, nest);
	}
	nl_nest_end(b, list);
}
