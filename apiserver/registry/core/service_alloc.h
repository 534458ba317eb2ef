/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Which cluster IPs and node ports are taken: bitmaps over their ranges.
 *
 * The state is made anew from the cached Services (service_alloc_note) when a server starts; each
 * bit is taken and given back atomically, so that any loop may do it. What servers agree on among
 * themselves are the IPAddress objects, whose names are the addresses.
 *
 * Placement is upstream's: the lower band of a range (at most 256 addresses or 128 ports) is for
 * those who name what they want; the server picks from the rest as long as there is room. Where a
 * search starts follows from a seed, so that equal calls give equal answers. */
#include "apiserver/registry/field_error.h"
#include "common/codec/ip.h"

struct CoreV1__Service;
struct service_alloc;

enum { SERVICE_RANGES_MAX = 2 };

struct service_alloc_options {
	struct ip_prefix ranges[SERVICE_RANGES_MAX];
	size_t n_ranges;
	uint16_t first_port, last_port; /* 0: 30000 to 32767 */
};

struct service_alloc *service_alloc_new(const struct service_alloc_options *o);
void service_alloc_free(struct service_alloc *a);

/* Marks what a stored Service holds. */
void service_alloc_note(struct service_alloc *a, const struct CoreV1__Service *s);
/* Gives back what `s` holds and `keep` (NULL: nothing) does not. */
void service_alloc_drop(struct service_alloc *a, const struct CoreV1__Service *s,
                        const struct CoreV1__Service *keep);

enum service_taken { SERVICE_TAKEN_OK, SERVICE_TAKEN_BUSY, SERVICE_TAKEN_OUT_OF_RANGE };

enum service_taken service_alloc_ip(struct service_alloc *a, const struct ip *ip);
void service_alloc_ip_release(struct service_alloc *a, const struct ip *ip);
bool service_alloc_ip_is_taken(const struct service_alloc *a, const struct ip *ip);
/* A free address of a family (4 or 16 bytes); false when the range is full. */
bool service_alloc_next_ip(struct service_alloc *a, size_t family_bytes, uint64_t seed,
                           struct ip *ret);

enum service_taken service_alloc_port(struct service_alloc *a, int32_t port);
void service_alloc_port_release(struct service_alloc *a, int32_t port);
/* 0 when the range is full. */
int32_t service_alloc_next_port(struct service_alloc *a, uint64_t seed);
/* The port range, for messages. */
void service_alloc_ports(const struct service_alloc *a, int32_t *ret_first, int32_t *ret_last);
