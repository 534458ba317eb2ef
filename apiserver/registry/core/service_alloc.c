/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/service_alloc.h"

#include <stdatomic.h>

#include "apiserver/registry/check.h"

enum { WORD_BITS = 64, RANGE_BITS_MAX = 1 << 20 };

struct bitmap {
	_Atomic uint64_t *words;
	uint32_t n, band; /* bits, and how many of them come last when the server picks */
};

struct range {
	struct ip first; /* the address of bit 0 */
	struct ip_prefix prefix;
	struct bitmap taken;
};

struct service_alloc {
	struct range ranges[SERVICE_RANGES_MAX];
	size_t n_ranges;
	int32_t first_port, last_port;
	struct bitmap ports;
};

static void bitmap_init(struct bitmap *b, uint32_t n, uint32_t band)
{
	b->words = calloc((n + WORD_BITS - 1) / WORD_BITS, sizeof(*b->words));
	if (!b->words)
		abort();
	b->n = n;
	b->band = band;
}

/* False when it was taken already. */
static bool bitmap_take(struct bitmap *b, uint32_t i)
{
	uint64_t bit = (uint64_t)1 << i % WORD_BITS;

	return !(atomic_fetch_or(&b->words[i / WORD_BITS], bit) & bit);
}

static void bitmap_give(struct bitmap *b, uint32_t i)
{
	atomic_fetch_and(&b->words[i / WORD_BITS], ~((uint64_t)1 << i % WORD_BITS));
}

static bool bitmap_has(const struct bitmap *b, uint32_t i)
{
	return atomic_load(&b->words[i / WORD_BITS]) >> i % WORD_BITS & 1;
}

/* Takes a free bit of [from, to), looking from a place that the seed gives. */
static bool take_between(struct bitmap *b, uint32_t from, uint32_t to, uint64_t seed, uint32_t *ret)
{
	uint32_t n = to - from;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = from + (uint32_t)((seed + k) % n);
		if (!bitmap_has(b, i) && bitmap_take(b, i)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool bitmap_take_next(struct bitmap *b, uint64_t seed, uint32_t *ret)
{
	return take_between(b, b->band, b->n, seed, ret) || take_between(b, 0, b->band, seed, ret);
}

/* Size of the lower band: a share of the range within limits, none in small ranges. */
static uint32_t band(uint32_t n, uint32_t share, uint32_t max)
{
	if (n < 16)
		return 0;
	return MIN(MAX(16, n / share), max);
}

/* The address `offset` after a base. */
static struct ip ip_add(struct ip ip, uint64_t offset)
{
	for (int i = ip.len - 1; i >= 0 && offset; i--) {
		offset += ip.bytes[i];
		ip.bytes[i] = (uint8_t)offset;
		offset >>= 8;
	}
	return ip;
}

/* Distance of an address from a lower one, UINT64_MAX when it is large. */
static uint64_t ip_distance(const struct ip *ip, const struct ip *base)
{
	uint64_t d = 0;
	bool big = false;

	for (int i = 0; i < ip->len; i++) {
		big |= d >> 48;
		d = (d << 8) + (uint64_t)ip->bytes[i] - base->bytes[i];
	}
	return big ? UINT64_MAX : d;
}

static void range_init(struct range *r, const struct ip_prefix *p)
{
	unsigned host_bits = p->ip.len * 8u - p->bits;
	uint64_t size = (uint64_t)1 << MIN(host_bits, 62);
	/* The base address is left out, and in IPv4 the broadcast address. */
	uint64_t usable = size > 2 ? size - (p->ip.len == 4 ? 2 : 1) : 0;
	uint32_t n = (uint32_t)MIN(usable, RANGE_BITS_MAX);

	r->prefix = *p;
	r->first = ip_add(ip_prefix_base(p), 1);
	bitmap_init(&r->taken, MAX(n, 1), band(n, 16, 256));
	if (!n)
		bitmap_take(&r->taken, 0);
}

struct service_alloc *service_alloc_new(const struct service_alloc_options *o)
{
	struct service_alloc *a = calloc(1, sizeof(*a));
	uint32_t n;

	if (!a)
		abort();
	a->n_ranges = MIN(o->n_ranges, SERVICE_RANGES_MAX);
	for (size_t i = 0; i < a->n_ranges; i++)
		range_init(&a->ranges[i], &o->ranges[i]);
	a->first_port = o->first_port ? o->first_port : 30000;
	a->last_port = o->last_port ? o->last_port : 32767;
	n = (uint32_t)(a->last_port - a->first_port + 1);
	bitmap_init(&a->ports, n, band(n, 32, 128));
	return a;
}

void service_alloc_free(struct service_alloc *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n_ranges; i++)
		free(a->ranges[i].taken.words);
	free(a->ports.words);
	free(a);
}

/* The range of an address and its bit there; false when no range has it. */
static bool find_ip(const struct service_alloc *a, const struct ip *ip, const struct range **ret,
                    uint32_t *ret_bit)
{
	for (size_t i = 0; i < a->n_ranges; i++) {
		const struct range *r = &a->ranges[i];
		uint64_t d;
		if (!ip_prefix_contains(&r->prefix, ip))
			continue;
		d = ip_distance(ip, &r->first);
		if (d >= r->taken.n)
			continue;
		*ret = r;
		*ret_bit = (uint32_t)d;
		return true;
	}
	return false;
}

enum service_taken service_alloc_ip(struct service_alloc *a, const struct ip *ip)
{
	const struct range *r;
	uint32_t bit;

	if (!find_ip(a, ip, &r, &bit))
		return SERVICE_TAKEN_OUT_OF_RANGE;
	return bitmap_take((struct bitmap *)&r->taken, bit) ? SERVICE_TAKEN_OK : SERVICE_TAKEN_BUSY;
}

void service_alloc_ip_release(struct service_alloc *a, const struct ip *ip)
{
	const struct range *r;
	uint32_t bit;

	if (find_ip(a, ip, &r, &bit))
		bitmap_give((struct bitmap *)&r->taken, bit);
}

bool service_alloc_ip_is_taken(const struct service_alloc *a, const struct ip *ip)
{
	const struct range *r;
	uint32_t bit;

	return find_ip(a, ip, &r, &bit) && bitmap_has(&r->taken, bit);
}

bool service_alloc_next_ip(struct service_alloc *a, size_t family_bytes, uint64_t seed,
                           struct ip *ret)
{
	uint32_t bit;

	for (size_t i = 0; i < a->n_ranges; i++) {
		struct range *r = &a->ranges[i];
		if (r->first.len != family_bytes || !bitmap_take_next(&r->taken, seed, &bit))
			continue;
		*ret = ip_add(r->first, bit);
		return true;
	}
	return false;
}

enum service_taken service_alloc_port(struct service_alloc *a, int32_t port)
{
	if (port < a->first_port || port > a->last_port)
		return SERVICE_TAKEN_OUT_OF_RANGE;
	return bitmap_take(&a->ports, (uint32_t)(port - a->first_port)) ? SERVICE_TAKEN_OK
	                                                                : SERVICE_TAKEN_BUSY;
}

void service_alloc_port_release(struct service_alloc *a, int32_t port)
{
	if (port >= a->first_port && port <= a->last_port)
		bitmap_give(&a->ports, (uint32_t)(port - a->first_port));
}

int32_t service_alloc_next_port(struct service_alloc *a, uint64_t seed)
{
	uint32_t bit;

	return bitmap_take_next(&a->ports, seed, &bit) ? a->first_port + (int32_t)bit : 0;
}

void service_alloc_ports(const struct service_alloc *a, int32_t *ret_first, int32_t *ret_last)
{
	*ret_first = a->first_port;
	*ret_last = a->last_port;
}

void service_alloc_note(struct service_alloc *a, const struct CoreV1__Service *s)
{
	struct ip ip;

	for (size_t i = 0; i < s->spec->n_cluster_ips; i++)
		if (ip_parse_sloppy(s->spec->cluster_ips[i], &ip))
			service_alloc_ip(a, &ip);
	for (size_t i = 0; i < s->spec->n_ports; i++)
		if (s->spec->ports[i]->node_port)
			service_alloc_port(a, s->spec->ports[i]->node_port);
	if (s->spec->health_check_node_port)
		service_alloc_port(a, s->spec->health_check_node_port);
}

static bool holds_port(const struct CoreV1__Service *s, int32_t port)
{
	if (!s)
		return false;
	for (size_t i = 0; i < s->spec->n_ports; i++)
		if (s->spec->ports[i]->node_port == port)
			return true;
	return s->spec->health_check_node_port == port;
}

void service_alloc_drop(struct service_alloc *a, const struct CoreV1__Service *s,
                        const struct CoreV1__Service *keep)
{
	struct ip ip;

	for (size_t i = 0; i < s->spec->n_cluster_ips; i++)
		if (!(keep && strings_have(keep->spec->cluster_ips, keep->spec->n_cluster_ips,
		                           s->spec->cluster_ips[i])) &&
		    ip_parse_sloppy(s->spec->cluster_ips[i], &ip))
			service_alloc_ip_release(a, &ip);
	for (size_t i = 0; i < s->spec->n_ports; i++)
		if (s->spec->ports[i]->node_port && !holds_port(keep, s->spec->ports[i]->node_port))
			service_alloc_port_release(a, s->spec->ports[i]->node_port);
	if (s->spec->health_check_node_port && !holds_port(keep, s->spec->health_check_node_port))
		service_alloc_port_release(a, s->spec->health_check_node_port);
}
