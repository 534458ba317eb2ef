/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/text.h"

#include <linux/netfilter.h>

static const char *protocol_name(uint8_t p)
{
	return p == PROTOCOL_TCP ? "tcp" : p == PROTOCOL_UDP ? "udp" : "sctp";
}

static const char *part_type(enum family f, uint8_t part)
{
	static const char *const names[] = {
	    [PART_PROTOCOL] = "inet_proto", [PART_PORT] = "inet_service", [PART_NUMBER] = "mark"};
	return part == PART_ADDR ? f == FAMILY_IPV4 ? "ipv4_addr" : "ipv6_addr" : names[part];
}

static void text_types(enum family f, const uint8_t *parts, struct buf *out)
{
	for (int i = 0; parts[i]; i++)
		buf_printf(out, "%s%s", i ? " . " : "", part_type(f, parts[i]));
}

static void text_addr_words(enum family f, const uint32_t *w, struct buf *out)
{
	char text[ADDR_TEXT_BYTES];
	struct addr a = {{0}};
	memcpy(a.bytes, w, addr_bytes(f));
	addr_format(f, &a, text);
	buf_str(out, text);
}

static void text_parts(enum family f, const uint8_t *parts, const uint32_t *w,
                       const uint32_t *range_end, struct buf *out)
{
	for (int i = 0; parts[i]; i++) {
		if (i)
			buf_str(out, " . ");
		const uint8_t *b = (const uint8_t *)w;
		if (parts[i] == PART_ADDR) {
			text_addr_words(f, w, out);
			if (range_end && !parts[i + 1] && memcmp(w, range_end, addr_bytes(f))) {
				buf_str(out, "-");
				text_addr_words(f, range_end, out);
			}
			w += addr_words(f);
			continue;
		}
		if (parts[i] == PART_PROTOCOL)
			buf_str(out, protocol_name(b[0]));
		else if (parts[i] == PART_PORT)
			buf_printf(out, "%u", (unsigned)(b[0] << 8 | b[1]));
		else
			buf_printf(out, "%u", *w);
		w++;
	}
}

static void text_verdict(const struct element *e, struct buf *out)
{
	char chain[CHAIN_NAME_BYTES] = "reject-chain";
	if (e->verdict == VERDICT_DROP) {
		buf_str(out, "drop");
		return;
	}
	if (e->verdict == VERDICT_GOTO)
		shape_name(&e->shape, chain);
	buf_printf(out, "goto %s", chain);
}

void text_element(enum family f, const struct element *e, struct buf *out)
{
	if (e->set == SET_CHAINS) {
		char name[CHAIN_NAME_BYTES];
		shape_name(&e->shape, name);
		buf_printf(out, "chain %s", name);
		return;
	}
	const struct set_info *info = &set_infos[e->set];
	buf_printf(out, "element %s { ", info->name);
	text_parts(f, info->key, e->key, info->interval ? e->value : NULL, out);
	if (info->value != VALUE_NONE)
		buf_str(out, " : ");
	if (info->value == VALUE_VERDICT)
		text_verdict(e, out);
	else if (info->value == VALUE_DATA)
		text_parts(f, info->data, e->value, NULL, out);
	buf_str(out, " }");
}

static void text_payload(enum family f, const struct insn *i, struct buf *out)
{
	bool v4 = f == FAMILY_IPV4;
	if (i->base == NFT_PAYLOAD_TRANSPORT_HEADER)
		buf_str(out, "th dport");
	else
		buf_printf(out, "%s %s", v4 ? "ip" : "ip6",
		           i->offset == (v4 ? 16u : 24u) ? "daddr" : "saddr");
	buf_printf(out, " => r%u", i->reg);
}

static void text_bytes(const uint8_t *b, unsigned n, struct buf *out)
{
	buf_str(out, "0x");
	for (unsigned i = 0; i < n; i++)
		buf_printf(out, "%02x", b[i]);
}

static const char *ct_name(const struct insn *i)
{
	return i->key == NFT_CT_STATE       ? "state"
	       : i->key == NFT_CT_STATUS    ? "status"
	       : i->key == NFT_CT_PROTO_DST ? "original proto-dst"
	       : i->key == NFT_CT_DST_IP    ? "original ip daddr"
	                                    : "original ip6 daddr";
}

static const char *meta_name(uint32_t key)
{
	return key == NFT_META_L4PROTO ? "l4proto" : key == NFT_META_MARK ? "mark" : "iifname";
}

static void text_insn(enum family f, const struct insn *i, struct buf *out)
{
	switch ((enum insn_kind)i->kind) {
	case INSN_PAYLOAD:
		text_payload(f, i, out);
		break;
	case INSN_META:
		buf_printf(out, "meta %s => r%u", meta_name(i->key), i->reg);
		break;
	case INSN_META_SET:
		buf_printf(out, "meta %s = r%u", meta_name(i->key), i->reg);
		break;
	case INSN_CT:
		buf_printf(out, "ct %s => r%u", ct_name(i), i->reg);
		break;
	case INSN_BITWISE:
		buf_printf(out, "r%u & ", i->reg);
		text_bytes(i->data, i->len, out);
		buf_str(out, " ^ ");
		text_bytes(i->xor, i->len, out);
		break;
	case INSN_COMPARE:
		buf_printf(out, "r%u %s ", i->reg, i->op == NFT_CMP_EQ ? "==" : "!=");
		text_bytes(i->data, i->len, out);
		break;
	case INSN_LOOKUP:
		buf_printf(out, "r%u %s @%s", i->reg, i->inverted ? "not in" : "in",
		           set_infos[i->set].name);
		if (i->dreg == REG_VERDICT)
			buf_str(out, " => verdict");
		else if (i->dreg != REG_NONE)
			buf_printf(out, " => r%u", i->dreg);
		break;
	case INSN_FIB_LOCAL:
		buf_printf(out, "fib %s type local", i->op == NFTA_FIB_F_DADDR ? "daddr" : "saddr");
		break;
	case INSN_NUMGEN:
		buf_printf(out, "random mod %u offset %u => r%u", (unsigned)i->value, i->offset,
		           i->reg);
		break;
	case INSN_UPDATE:
		buf_printf(out, "update @%s r%u : r%u timeout %us", set_infos[i->set].name, i->reg,
		           i->dreg, (unsigned)(i->value / 1000));
		break;
	case INSN_DNAT:
		buf_printf(out, "dnat to r%u : r%u", i->reg, i->dreg);
		break;
	case INSN_MASQUERADE:
		buf_str(out, "masquerade fully-random");
		break;
	case INSN_REJECT:
		buf_str(out, "reject");
		break;
	case INSN_VERDICT:
		buf_printf(out, "%s%s",
		           i->op == NF_DROP    ? "drop"
		           : i->op == NFT_JUMP ? "jump "
		                               : "goto ",
		           i->chain);
		break;
	}
}

void text_rule(enum family f, const struct rule *r, struct buf *out)
{
	buf_printf(out, "rule %s: ", r->chain);
	for (uint32_t i = 0; i < r->n; i++) {
		if (i)
			buf_str(out, "; ");
		text_insn(f, &r->insns[i], out);
	}
}

static void text_sets(enum family f, struct buf *out)
{
	for (enum set_id id = 1; id < SETS; id++) {
		const struct set_info *info = &set_infos[id];
		buf_printf(out, "%s %s { type ", info->value ? "map" : "set", info->name);
		text_types(f, info->key, out);
		if (info->value == VALUE_VERDICT)
			buf_str(out, " : verdict");
		if (info->value == VALUE_DATA) {
			buf_str(out, " : ");
			text_types(f, info->data, out);
		}
		if (info->interval)
			buf_str(out, "; flags interval");
		if (info->dynamic)
			buf_str(out, "; flags dynamic,timeout");
		buf_str(out, " }\n");
	}
}

static void text_rules(enum family f, const rule_list *rules, struct buf *out)
{
	VEC_FOREACH (rules, r) {
		text_rule(f, r, out);
		buf_byte(out, '\n');
	}
}

void text_table(enum family f, const struct layout_config *c, const element_list *elements,
                struct buf *out)
{
	static const char *const hooks[] = {"prerouting", "input", "forward", "output",
	                                    "postrouting"};
	rule_list rules = {0};
	buf_printf(out, "table %s %s\n", f == FAMILY_IPV4 ? "ip" : "ip6", TABLE_NAME);
	text_sets(f, out);
	for (size_t i = 0; i < BASE_CHAINS; i++)
		buf_printf(out, "chain %s { type %s hook %s priority %d }\n", base_chains[i].name,
		           base_chains[i].type, hooks[base_chains[i].hook],
		           base_chains[i].priority);
	for (size_t i = 0; i < PLAIN_CHAINS; i++)
		buf_printf(out, "chain %s\n", plain_chains[i]);
	layout_rules(f, c, &rules);
	VEC_FOREACH (elements, e)
		if (e->set == SET_CHAINS)
			shape_rules(f, c, &e->shape, &rules);
	for (int pass = 0; pass < 2; pass++) {
		VEC_FOREACH (elements, e) {
			if ((e->set == SET_CHAINS) != !pass)
				continue;
			text_element(f, e, out);
			buf_byte(out, '\n');
		}
		if (!pass)
			text_rules(f, &rules, out);
	}
	vec_deinit(&rules);
}

static void text_ops(enum family f, const element_list *l, char sign, struct buf *out)
{
	VEC_FOREACH (l, e) {
		buf_printf(out, "%c ", sign);
		text_element(f, e, out);
		buf_byte(out, '\n');
	}
}

static void text_flows(const struct proxy_plan *p, const struct stale_flows *s, struct buf *out)
{
	char text[ADDR_TEXT_BYTES] = "node port";
	if (!s->frontend.node_port)
		addr_format(p->family, &s->frontend.addr, text);
	buf_printf(out, "%s %s %s %u not to", s->sticky ? "clients" : "flows",
	           protocol_name(s->frontend.protocol), text, s->frontend.port);
	for (size_t i = 0; i < s->n; i++) {
		const struct backend *b = &p->flow_endpoints.at[s->first + i];
		addr_format(p->family, &b->addr, text);
		buf_printf(out, " %s %u", text, b->port);
	}
	buf_str(out, s->n ? "\n" : " anything\n");
}

void text_plan(const struct proxy_plan *p, struct buf *out)
{
	if (p->replace)
		buf_printf(out, "replace table %s\n", p->family == FAMILY_IPV4 ? "ip" : "ip6");
	text_ops(p->family, &p->chains_add, '+', out);
	text_ops(p->family, &p->dels, '-', out);
	text_ops(p->family, &p->adds, '+', out);
	text_ops(p->family, &p->chains_del, '-', out);
	VEC_FOREACH (&p->flows, s)
		text_flows(p, s, out);
}
