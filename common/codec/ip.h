/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* IP addresses and prefixes as values: parsing as strict as Go's net/netip (no leading zeros in
 * IPv4 numbers), text in canonical form (RFC 5952). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IP_TEXT_BYTES = 48 };

struct ip {
	uint8_t bytes[16]; /* IPv4 in the first four */
	uint8_t len;       /* 4 or 16; 0: none */
};

struct ip_prefix {
	struct ip ip;
	uint8_t bits;
};

bool ip_parse(const char *text, struct ip *ret);
/* Also accepts leading zeros in IPv4 numbers, as objects from long ago may have them. */
bool ip_parse_sloppy(const char *text, struct ip *ret);
bool ip_prefix_parse(const char *text, struct ip_prefix *ret);
bool ip_prefix_parse_sloppy(const char *text, struct ip_prefix *ret);
char *ip_format(const struct ip *ip, char ret[IP_TEXT_BYTES]);

bool ip_equal(const struct ip *a, const struct ip *b);
/* The first address of the prefix. */
struct ip ip_prefix_base(const struct ip_prefix *p);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip);
/* True when no bit is set beyond the prefix length. */
bool ip_prefix_is_masked(const struct ip_prefix *p);

bool ip_is_unspecified(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_link_local(const struct ip *ip); /* unicast */
bool ip_is_link_local_multicast(const struct ip *ip);
