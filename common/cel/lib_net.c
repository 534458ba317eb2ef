/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' IP address, CIDR and URL libraries. */
#include "common/base/buf.h"
#include "common/cel/internal.h"
#include "common/codec/ip.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

/* --- addresses -----------------------------------------------------------------------------------
 */

struct address {
	struct cel_opaque base;
	struct ip ip;
};
struct network {
	struct cel_opaque base;
	struct ip_prefix prefix;
};

static const struct ip *address(struct cel_value v)
{
	return &CONTAINER_OF(v.opaque, struct address, base)->ip;
}
static const struct ip_prefix *network(struct cel_value v)
{
	return &CONTAINER_OF(v.opaque, struct network, base)->prefix;
}
static bool addresses_equal(const struct cel_opaque *a, const struct cel_opaque *b)
{
	return ip_equal(address(cel_of_opaque(a)), address(cel_of_opaque(b)));
}
static bool networks_equal(const struct cel_opaque *a, const struct cel_opaque *b)
{
	const struct ip_prefix *x = network(cel_of_opaque(a)), *y = network(cel_of_opaque(b));
	return x->bits == y->bits && ip_equal(&x->ip, &y->ip);
}
static const struct cel_opaque_class ADDRESS = {"net.IP", addresses_equal},
                                     NETWORK = {"net.CIDR", networks_equal};

static struct cel_value address_new(struct cel_run *run, struct ip ip)
{
	struct address *x = arena_new(run->arena, struct address);
	x->base.class = &ADDRESS;
	x->ip = ip;
	return cel_of_opaque(&x->base);
}
static struct cel_value network_new(struct cel_run *run, struct ip_prefix prefix)
{
	struct network *x = arena_new(run->arena, struct network);
	x->base.class = &NETWORK;
	x->prefix = prefix;
	return cel_of_opaque(&x->base);
}

/* A text without NUL inside, and no IPv4 address in IPv6's clothes. */
static bool ip_of(struct cel_run *run, struct slice s, struct ip *ret)
{
	static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
	const char *text = arena_strndup(run->arena, s.data, s.len);

	cel_charge_text(run, s.len);
	return strlen(text) == s.len && ip_parse(text, ret) &&
	       !(ret->len == 16 && !memcmp(ret->bytes, MAPPED, 12));
}
static bool prefix_of(struct cel_run *run, struct slice s, struct ip_prefix *ret)
{
	static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
	const char *text = arena_strndup(run->arena, s.data, s.len);

	cel_charge_text(run, s.len);
	return strlen(text) == s.len && ip_prefix_parse(text, ret) &&
	       !(ret->ip.len == 16 && !memcmp(ret->ip.bytes, MAPPED, 12));
}
static struct cel_value ip_error(struct cel_run *run, struct slice s)
{
	return cel_error(
	    run->arena,
	    "IP Address '%.*s' parse error during conversion from string: ParseAddr(\"%.*s\"): "
	    "unable to parse IP",
	    SLICE_FMT(s), SLICE_FMT(s));
}

FN(ip)
{
	struct ip x;
	return ip_of(run, args[0].s, &x) ? address_new(run, x) : ip_error(run, args[0].s);
}
FN(is_ip)
{
	struct ip x;
	return cel_of_bool(ip_of(run, args[0].s, &x));
}
FN(is_canonical)
{
	char text[IP_TEXT_BYTES];
	struct ip x;

	if (!ip_of(run, args[0].s, &x))
		return ip_error(run, args[0].s);
	return cel_of_bool(slice_eq_str(args[0].s, ip_format(&x, text)));
}
FN(ip_text)
{
	char text[IP_TEXT_BYTES];
	ip_format(address(args[0]), text);
	return cel_string_of(run, text, strlen(text));
}
FN(ip_family)
{
	return cel_of_int(address(args[0])->len == 4 ? 4 : 6);
}
FN(ip_unspecified)
{
	return cel_of_bool(ip_is_unspecified(address(args[0])));
}
FN(ip_loopback)
{
	return cel_of_bool(ip_is_loopback(address(args[0])));
}
FN(ip_link_local_multicast)
{
	return cel_of_bool(ip_is_link_local_multicast(address(args[0])));
}
FN(ip_link_local)
{
	return cel_of_bool(ip_is_link_local(address(args[0])));
}
FN(ip_global)
{
	const struct ip *x = address(args[0]);
	bool multicast = x->len == 4 ? (x->bytes[0] & 0xf0) == 0xe0 : x->bytes[0] == 0xff;
	bool broadcast = x->len == 4 && !memcmp(x->bytes, "\xff\xff\xff\xff", 4);

	return cel_of_bool(!multicast && !broadcast && !ip_is_unspecified(x) &&
	                   !ip_is_loopback(x) && !ip_is_link_local(x));
}

FN(cidr)
{
	struct ip_prefix x;

	if (prefix_of(run, args[0].s, &x))
		return network_new(run, x);
	return cel_error(run->arena,
	                 "network address parse error during conversion from string: "
	                 "netip.ParsePrefix(\"%.*s\")",
	                 SLICE_FMT(args[0].s));
}
FN(is_cidr)
{
	struct ip_prefix x;
	return cel_of_bool(prefix_of(run, args[0].s, &x));
}
FN(cidr_contains_ip)
{
	struct ip x;

	if (args[1].kind != CEL_STRING)
		return cel_of_bool(ip_prefix_contains(network(args[0]), address(args[1])));
	return ip_of(run, args[1].s, &x) ? cel_of_bool(ip_prefix_contains(network(args[0]), &x))
	                                 : ip_error(run, args[1].s);
}
FN(cidr_contains_cidr)
{
	struct ip_prefix other;

	if (args[1].kind == CEL_OPAQUE)
		other = *network(args[1]);
	else if (!prefix_of(run, args[1].s, &other))
		return cidr(run, &args[1], 1);
	struct ip base = ip_prefix_base(&other);
	const struct ip_prefix *p = network(args[0]);
	return cel_of_bool(base.len == p->ip.len && p->bits <= other.bits &&
	                   ip_prefix_contains(p, &base));
}
FN(cidr_ip)
{
	return address_new(run, network(args[0])->ip);
}
FN(cidr_masked)
{
	return network_new(
	    run, (struct ip_prefix){ip_prefix_base(network(args[0])), network(args[0])->bits});
}
FN(cidr_length)
{
	return cel_of_int(network(args[0])->bits);
}
FN(cidr_text)
{
	char text[IP_TEXT_BYTES];
	return cel_of_str(arena_printf(run->arena, "%s/%u", ip_format(&network(args[0])->ip, text),
	                               network(args[0])->bits));
}

/* --- URLs ----------------------------------------------------------------------------------------
 */

struct url {
	struct cel_opaque base;
	struct slice text, scheme, host, path, query; /* host with its port */
};

static const struct url *url_at(struct cel_value v)
{
	return CONTAINER_OF(v.opaque, struct url, base);
}
static bool urls_equal(const struct cel_opaque *a, const struct cel_opaque *b)
{
	return slice_eq(url_at(cel_of_opaque(a))->text, url_at(cel_of_opaque(b))->text);
}
static const struct cel_opaque_class URL = {"kubernetes.URL", urls_equal};

/* Up to one of the bytes. */
static struct slice upto(struct slice s, const char *bytes)
{
	size_t i = 0;

	while (i < s.len && !(s.data[i] && strchr(bytes, s.data[i])))
		i++;
	return slice_of(s.data, i);
}

/* A URI as Go's url.ParseRequestURI takes it: absolute, or a path from the root. */
static const char *url_parse(struct slice s, struct url *ret)
{
	struct slice rest = s;

	*ret = (struct url){.base.class = &URL, .text = s};
	if (!s.len)
		return "empty url";
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < ' ' || s.data[i] == 0x7f)
			return "invalid control character in URL";
	if (s.data[0] != '/') {
		struct slice scheme = upto(s, ":/?#");
		if (scheme.len == s.len || s.data[scheme.len] != ':' || !scheme.len)
			return "invalid URI for request";
		for (size_t i = 0; i < scheme.len; i++) {
			int c = scheme.data[i] | 32, d = scheme.data[i];
			if (!(c >= 'a' && c <= 'z') &&
			    (i == 0 || !((d >= '0' && d <= '9') || strchr("+-.", d))))
				return i ? "invalid URI for request"
				         : "first path segment in URL cannot contain colon";
		}
		ret->scheme = scheme;
		rest = slice_skip(s, scheme.len + 1);
		if (!rest.len || rest.data[0] != '/')
			return "invalid URI for request";
	}
	if (ret->scheme.len && slice_has_prefix(rest, SLICE_LIT("//"))) {
		ret->host = upto(slice_skip(rest, 2), "/?");
		rest = slice_skip(rest, 2 + ret->host.len);
		for (size_t i = 0; i < ret->host.len; i++)
			if (ret->host.data[i] == '@')
				ret->host = slice_skip(ret->host, i + 1), i = 0;
		if (memchr(ret->host.data, ' ', ret->host.len))
			return "invalid character \" \" in host name";
	}
	ret->path = upto(rest, "?");
	ret->query = slice_skip(rest, ret->path.len + 1);
	for (size_t i = 0; i < ret->path.len; i++)
		if (ret->path.data[i] == '%' &&
		    (i + 2 >= ret->path.len ||
		     !strchr("0123456789abcdefABCDEF", ret->path.data[i + 1]) ||
		     !strchr("0123456789abcdefABCDEF", ret->path.data[i + 2])))
			return "invalid URL escape";
	return NULL;
}

FN(url)
{
	struct url *u = arena_new(run->arena, struct url);
	const char *why = url_parse(args[0].s, u);

	cel_charge_text(run, args[0].s.len);
	if (why)
		return cel_error(
		    run->arena, "URL parse error during conversion from string: parse \"%.*s\": %s",
		    SLICE_FMT(args[0].s), why);
	return cel_of_opaque(&u->base);
}
FN(is_url)
{
	struct url u;
	cel_charge_text(run, args[0].s.len);
	return cel_of_bool(!url_parse(args[0].s, &u));
}
FN(url_scheme)
{
	struct slice s = url_at(args[0])->scheme;
	char *text = arena_strndup(run->arena, s.data, s.len);

	for (size_t i = 0; i < s.len; i++)
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] |= 32;
	return cel_of_str(text);
}
FN(url_host)
{
	return cel_string_of(run, url_at(args[0])->host.data, url_at(args[0])->host.len);
}

/* Where the port begins: behind the last colon that no bracket follows. */
static size_t port_at(struct slice host)
{
	for (size_t i = host.len; i-- > 0;) {
		if (host.data[i] == ']')
			break;
		if (host.data[i] == ':')
			return i;
	}
	return host.len;
}
FN(url_hostname)
{
	struct slice h = url_at(args[0])->host;

	h.len = port_at(h);
	if (h.len >= 2 && h.data[0] == '[' && h.data[h.len - 1] == ']')
		h = slice_of(h.data + 1, h.len - 2);
	return cel_string_of(run, h.data, h.len);
}
FN(url_port)
{
	struct slice h = url_at(args[0])->host, port = slice_skip(h, port_at(h) + 1);
	return cel_string_of(run, port.data, port.len);
}
FN(url_path)
{
	return cel_string_of(run, url_at(args[0])->path.data, url_at(args[0])->path.len);
}

static int hex(int c)
{
	return c >= '0' && c <= '9'                 ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
	                                            : -1;
}
static struct cel_value unescaped(struct cel_run *run, struct slice s)
{
	uint8_t *p = arena_alloc(run->arena, s.len + 1);
	size_t k = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '%' && i + 2 < s.len && hex(s.data[i + 1]) >= 0 &&
		    hex(s.data[i + 2]) >= 0) {
			p[k++] = (uint8_t)(hex(s.data[i + 1]) * 16 + hex(s.data[i + 2]));
			i += 2;
		} else {
			p[k++] = s.data[i] == '+' ? ' ' : s.data[i];
		}
	}
	p[k] = '\0';
	return cel_of_slice(slice_of(p, k));
}
/* Each name with the list of its values. */
FN(url_query)
{
	struct slice rest = url_at(args[0])->query;
	struct cel_entry *entries = NULL;
	struct cel_value *values;
	size_t k = 0, cap = 0;

	while (rest.len) {
		struct slice pair = upto(rest, "&"), name = upto(pair, "=");
		struct cel_value key = unescaped(run, name),
		                 v = unescaped(run, slice_skip(pair, name.len + 1));
		size_t i = 0;

		rest = slice_skip(rest, pair.len + 1);
		if (!pair.len)
			continue;
		while (i < k && !cel_equal(entries[i].key, key))
			i++;
		if (i == cap) {
			size_t more = cap ? 2 * cap : 4;
			entries = arena_grow(run->arena, entries, cap * sizeof(*entries),
			                     more * sizeof(*entries));
			cap = more;
		}
		size_t had = i < k ? entries[i].value.list->n : 0;
		values = arena_array(run->arena, struct cel_value, had + 1);
		for (size_t j = 0; j < had; j++)
			values[j] = cel_list_at(entries[i].value.list, j, run->arena);
		values[had] = v;
		entries[i] = (struct cel_entry){key, cel_list_of(run->arena, values, had + 1)};
		k += i == k;
		cel_charge(run, k);
	}
	return cel_map_of(run->arena, entries, k);
}

static const struct cel_overload OVERLOADS[] = {
    {"ip", false, "string:ip", ip},
    {"isIP", false, "string:bool", is_ip},
    {"ip.isCanonical", false, "string:bool", is_canonical},
    {"string", false, "ip:string", ip_text},
    {"family", true, "ip:int", ip_family},
    {"isUnspecified", true, "ip:bool", ip_unspecified},
    {"isLoopback", true, "ip:bool", ip_loopback},
    {"isLinkLocalMulticast", true, "ip:bool", ip_link_local_multicast},
    {"isLinkLocalUnicast", true, "ip:bool", ip_link_local},
    {"isGlobalUnicast", true, "ip:bool", ip_global},
    {"cidr", false, "string:cidr", cidr},
    {"isCIDR", false, "string:bool", is_cidr},
    {"containsIP", true, "cidr,ip:bool", cidr_contains_ip},
    {"containsIP", true, "cidr,string:bool", cidr_contains_ip},
    {"containsCIDR", true, "cidr,cidr:bool", cidr_contains_cidr},
    {"containsCIDR", true, "cidr,string:bool", cidr_contains_cidr},
    {"ip", true, "cidr:ip", cidr_ip},
    {"masked", true, "cidr:cidr", cidr_masked},
    {"prefixLength", true, "cidr:int", cidr_length},
    {"string", false, "cidr:string", cidr_text},
    {"url", false, "string:url", url},
    {"isURL", false, "string:bool", is_url},
    {"getScheme", true, "url:string", url_scheme},
    {"getHost", true, "url:string", url_host},
    {"getHostname", true, "url:string", url_hostname},
    {"getPort", true, "url:string", url_port},
    {"getEscapedPath", true, "url:string", url_path},
    {"getQuery", true, "url:map<string,list<string>>", url_query},
};
const struct cel_library cel_lib_net = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
