/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IP addresses and networks of both families, read strictly: no leading zeros, no zones, no
 * IPv4-mapped forms. Pure. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum family { FAMILY_IPV4, FAMILY_IPV6, FAMILIES };

/* Network byte order; an IPv4 address stands in the first four bytes, zeros follow. */
struct addr {
	uint8_t bytes[16];
};

struct cidr {
	struct addr addr; /* without host bits */
	uint8_t bits;
	uint8_t family;
};

enum { ADDR_TEXT_BYTES = 46 };

static inline unsigned addr_bytes(enum family f)
{
	return f == FAMILY_IPV4 ? 4 : 16;
}

bool addr_parse(const char *text, enum family f, struct addr *ret);
/* Of either family; with a prefix length, the host bits are dropped. */
bool cidr_parse(const char *text, struct cidr *ret);
/* The mask of a prefix: `bits` ones. */
struct addr addr_mask(unsigned bits);
bool cidr_contains(const struct cidr *c, enum family f, const struct addr *a);
/* The last address of the network. */
struct addr cidr_last(const struct cidr *c);
int addr_cmp(const struct addr *a, const struct addr *b);
void addr_format(enum family f, const struct addr *a, char out[ADDR_TEXT_BYTES]);
