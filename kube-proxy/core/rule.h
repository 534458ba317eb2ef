/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A rule as the kernel's nf_tables machine runs it: a few instructions on sixteen 32-bit registers,
 * as plain data. kernel/ encodes them for netlink, core/text prints them, and tests run packets
 * through them. Constants of the instructions are those of linux/netfilter/nf_tables.h. */
#include <linux/netfilter/nf_tables.h>
#include <stdint.h>
#include "common/base/vec.h"

enum insn_kind {
	INSN_PAYLOAD,   /* reg = len bytes of the packet at base + offset */
	INSN_META,      /* reg = meta key */
	INSN_META_SET,  /* meta key = reg */
	INSN_CT,        /* reg = conntrack key; op 1: of the original direction */
	INSN_BITWISE,   /* reg = (reg & data) ^ xor, len bytes */
	INSN_COMPARE,   /* goes on when reg <op> data */
	INSN_LOOKUP,    /* goes on when the set has the key at reg; a map's value goes to dreg */
	INSN_FIB_LOCAL, /* goes on when the address (op: source or destination) is of this host */
	INSN_NUMGEN,    /* reg = offset + a random number below value */
	INSN_UPDATE,    /* puts key at reg, value at dreg into the set, for value milliseconds */
	INSN_DNAT,      /* to the address at reg and the port at dreg */
	INSN_MASQUERADE,
	INSN_REJECT,  /* ICMP port unreachable */
	INSN_VERDICT, /* op: NF_ACCEPT, NF_DROP, NFT_JUMP, NFT_GOTO; chain */
};

enum { CHAIN_NAME_BYTES = 48, RULE_INSNS_MAX = 16, REG_NONE = 0xfe, REG_VERDICT = 0xff };

struct insn {
	uint8_t kind;
	uint8_t reg, dreg; /* 0..15, REG_VERDICT, REG_NONE */
	uint8_t len;       /* bytes */
	uint8_t set;       /* enum set_id */
	uint8_t base;      /* NFT_PAYLOAD_* */
	bool inverted;     /* INSN_LOOKUP: goes on when the set does not have it */
	uint32_t offset, key;
	int32_t op;
	uint64_t value;
	uint8_t data[16], xor[16];
	char chain[CHAIN_NAME_BYTES];
};

struct rule {
	char chain[CHAIN_NAME_BYTES];
	uint32_t n;
	struct insn insns[RULE_INSNS_MAX];
};

typedef VEC(struct rule) rule_list;
