/* SPDX-License-Identifier: Apache-2.0 */
/* pods/proxy, services/proxy, nodes/proxy: finds what listens there, as "scheme:name:port" says,
 * and hands the request on. */
#include "apiserver/endpoints/stored.h"
#include "apiserver/proxy/proxy_impl.h"
#include "apiserver/proxy/target.h"
#include "apiserver/storage/cacher.h"
#include "common/base/rng.h"
#include "proto/discovery_v1.pb-c.h"

/* Lives in its request's arena. */
struct resource_call {
	struct proxy_call c;
	struct proxy_target t;
	struct tls_context *tls;
	const struct status *refusal;
};

/* "http://[fd00::1]:80"; port "": none. */
static const char *base_url(struct arena *a, const char *scheme, const char *host, const char *port)
{
	bool v6 = strchr(host, ':') != NULL;

	return arena_printf(a, "%s://%s%s%s%s%s", *scheme ? scheme : "http", v6 ? "[" : "", host,
	                    v6 ? "]" : "", *port ? ":" : "", port);
}

/* --- pods ------------------------------------------------------------------------------------ */

static const char *first_port(const CoreV1__PodSpec *s, struct arena *a)
{
	for (size_t i = 0; i < s->n_containers; i++)
		if (s->containers[i]->n_ports)
			return arena_printf(a, "%d", s->containers[i]->ports[0]->container_port);
	return "";
}

static const char *pod_url(struct resource_call *r)
{
	struct proxy_call *c = &r->c;
	const CoreV1__Pod *pod = (void *)proxy_find(c, "pods", c->req->ns, r->t.name);

	if (!pod) {
		r->refusal = status_not_found(c->a, "", "pods", r->t.name);
		return NULL;
	}
	const char *port = *r->t.port ? r->t.port : first_port(pod->spec, c->a);
	if (!proxy_target_allowed(pod->status->pod_ip)) {
		r->refusal = status_bad_request(c->a, "address not allowed");
		return NULL;
	}
	r->tls = c->proxy->any;
	return base_url(c->a, r->t.scheme, pod->status->pod_ip, port);
}

/* --- services -------------------------------------------------------------------------------- */

static const struct status *none_available(const struct resource_call *r, const char *name)
{
	return status_unavailable(
	    r->c.a, arena_printf(r->c.a, "no endpoints available for service \"%s\"", name));
}

/* The name of the service's port that a number means; NULL: there is none. */
static const char *port_name(const CoreV1__Service *svc, long number)
{
	for (size_t i = 0; i < svc->spec->n_ports; i++)
		if (svc->spec->ports[i]->port == number)
			return svc->spec->ports[i]->name;
	return NULL;
}

static const char *label_of(const MetaV1__ObjectMeta *m, const char *key)
{
	for (size_t i = 0; i < m->n_labels; i++)
		if (!strcmp(m->labels[i]->key, key))
			return m->labels[i]->value;
	return "";
}

/* Is it the address of a pod of this namespace? Others might be anybody's. */
static bool is_pods(const struct resource_call *r, const DiscoveryV1__Endpoint *e)
{
	const CoreV1__ObjectReference *ref = e->target_ref;
	const struct request *req = r->c.req;

	if (!ref || strcmp(ref->kind, "Pod") || strcmp(ref->namespace_, req->ns) || !e->n_addresses)
		return false;
	const CoreV1__Pod *pod = (void *)proxy_find(&r->c, "pods", req->ns, ref->name);
	for (size_t i = 0; pod && i < pod->status->n_pod_ips; i++)
		if (!strcmp(pod->status->pod_ips[i]->ip, e->addresses[0]))
			return true;
	return pod && !strcmp(pod->status->pod_ip, e->addresses[0]);
}

struct choice {
	const char *address;
	int port;
	uint64_t n; /* how many there were to choose from */
};

/* Each candidate replaces the one before with the odds that make all of them equally likely. */
static void consider(struct resource_call *r, const DiscoveryV1__EndpointSlice *s, const char *port,
                     struct choice *ret)
{
	int number = 0;

	for (size_t i = 0; i < s->n_ports && !number; i++)
		if (!strcmp(s->ports[i]->name ? s->ports[i]->name : "", port) &&
		    s->ports[i]->has_port)
			number = s->ports[i]->port;
	for (size_t i = 0; number && i < s->n_endpoints; i++) {
		const DiscoveryV1__EndpointConditions *k = s->endpoints[i]->conditions;
		uint64_t odds;
		if ((k && k->has_ready && !k->ready) || !is_pods(r, s->endpoints[i]))
			continue;
		rng_system(&odds, sizeof(odds));
		if (odds % ++ret->n)
			continue;
		ret->address = s->endpoints[i]->addresses[0];
		ret->port = number;
	}
}

static struct choice choose(struct resource_call *r, const char *port)
{
	const struct resource_info *info =
	    resource_find("discovery.k8s.io", "v1", "endpointslices", "");
	struct cacher_snapshot snap = cacher_snapshot(pipeline_cache(r->c.pipeline, info));
	const struct cache_object *o;
	struct slice prefix = slice_str(arena_printf(r->c.a, "%s/", r->c.req->ns));
	struct cache_cursor cur;
	struct choice found = {0};

	cache_cursor_seek(&cur, &snap.tree, prefix);
	while ((o = cache_cursor_next(&cur)) && slice_has_prefix(cache_object_key(o), prefix)) {
		struct object obj;
		if (stored_decode(info, blob_view(o->blob), o->mod_revision, r->c.a, &obj, NULL))
			continue;
		const DiscoveryV1__EndpointSlice *s = OBJECT_MSG(&obj, DiscoveryV1__EndpointSlice);
		if (!strcmp(label_of(s->metadata, "kubernetes.io/service-name"), r->t.name))
			consider(r, s, port, &found);
	}
	cacher_snapshot_deinit(&snap);
	return found;
}

static const char *service_url(struct resource_call *r)
{
	struct proxy_call *c = &r->c;
	const CoreV1__Service *svc = (void *)proxy_find(c, "services", c->req->ns, r->t.name);
	const char *port = r->t.port;
	char *end;
	long number = strtol(port, &end, 10);

	if (!svc) {
		r->refusal = status_not_found(c->a, "", "services", r->t.name);
		return NULL;
	}
	if (*port && !*end) {
		port = port_name(svc, number);
		if (!port) {
			r->refusal = status_unavailable(
			    c->a, arena_printf(c->a, "no service port %ld found for service \"%s\"",
			                       number, r->t.name));
			return NULL;
		}
	}
	struct choice found = choose(r, port);
	if (!found.address) {
		r->refusal = none_available(r, c->req->name);
		return NULL;
	}
	r->tls = c->proxy->any;
	return base_url(c->a, r->t.scheme, found.address, arena_printf(c->a, "%d", found.port));
}

/* --- nodes ----------------------------------------------------------------------------------- */

static const char *node_url(struct resource_call *r)
{
	struct proxy_call *c = &r->c;
	const char *kubelet = proxy_kubelet(c, r->t.name, &r->refusal);

	if (!kubelet)
		return NULL;
	const char *host = kubelet + strlen("https://");
	const char *colon = strrchr(host, ':');
	if (!*r->t.port || !strcmp(r->t.port, colon + 1)) {
		r->tls = c->proxy->kubelet;
		return kubelet;
	}
	bool v6 = *host == '[';
	const char *bare = arena_strndup(c->a, host + v6, (size_t)(colon - host) - 2 * v6);
	if (!proxy_target_allowed(bare) &&
	    strspn(bare, "0123456789abcdefABCDEF:.") == strlen(bare)) {
		r->refusal = status_bad_request(c->a, "address not allowed");
		return NULL;
	}
	r->tls = c->proxy->any;
	return base_url(c->a, r->t.scheme, bare, r->t.port);
}

/* --- the request ----------------------------------------------------------------------------- */

/* The apiserver's own path of a request, without what the backend sees of it. */
static const char *prefix_of(const struct request *req, const char *path)
{
	size_t n = strlen(req->path), m = strlen(path);

	if (m && n >= m && !strcmp(req->path + n - m, path))
		n -= m;
	return arena_strndup(req->arena, req->path, n);
}

static void redirect_to_root(const struct proxy_call *c)
{
	const char *query = strchr(c->req->uri, '?');

	response_header(c->sink, "Location",
	                arena_printf(c->a, "%s/%s", c->req->path, query ? query : ""));
	response_reply(c->sink, 301, NULL, SLICE_EMPTY);
}

static void add_forwarded(const struct proxy_call *c, struct http_header *h, size_t *n)
{
	const struct request *req = c->req;
	const char *address = req->peer->address;
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : strlen(address);
	bool v6 = *address == '[';
	const char *before = "";

	for (size_t i = 0; i < *n; i++) {
		if (!slice_eq_str(h[i].name, "x-forwarded-for"))
			continue;
		before = arena_printf(c->a, "%.*s, ", SLICE_FMT(h[i].value));
		h[i] = h[--*n];
		break;
	}
	h[(*n)++] = (struct http_header){
	    SLICE_LIT("X-Forwarded-For"),
	    slice_str(arena_printf(c->a, "%s%.*s", before, (int)len - 2 * v6, address + v6))};
	h[(*n)++] = (struct http_header){SLICE_LIT("X-Forwarded-Uri"),
	                                 slice_str(proxy_target_encode(req->path, c->a))};
	if (proxy_host(req).len)
		h[(*n)++] = (struct http_header){SLICE_LIT("host"), proxy_host(req)};
}

static void locate(void *arg)
{
	struct resource_call *r = arg;
	struct proxy_call *c = &r->c;
	const struct request *req = c->req;
	const char *path = proxy_target_path(req), *query = strchr(req->uri, '?');
	const char *base = !strcmp(req->resource, "pods")       ? pod_url(r)
	                   : !strcmp(req->resource, "services") ? service_url(r)
	                                                        : node_url(r);
	bool upgrade = proxy_wants_upgrade(req);

	if (!base) {
		proxy_refuse(c, r->refusal);
		return;
	}
	if (!*path && !upgrade && (!strcmp(req->method, "GET") || !strcmp(req->method, "HEAD"))) {
		redirect_to_root(c);
		return;
	}
	struct backend b = {.url = arena_printf(c->a, "%s%s%s", base,
	                                        *path ? proxy_target_encode(path, c->a) : "/",
	                                        query ? query : ""),
	                    .tls = r->tls};
	struct http_header *headers = proxy_headers(c, 3, &b.n_headers);
	add_forwarded(c, headers, &b.n_headers);
	b.headers = headers;
	if (upgrade)
		relay_start(c, &b);
	else
		reverse_start(c, &b, prefix_of(req, path));
}

void proxy_resource(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink)
{
	static const char *const singular[][2] = {
	    {"pods", "pod"}, {"services", "service"}, {"nodes", "node"}};
	struct resource_call *r = arena_new(req->arena, struct resource_call);

	*r = (struct resource_call){.c = {arg, p, req, sink, req->arena}};
	if (proxy_target_parse(req->name, req->arena, &r->t)) {
		proxy_fresh(&r->c, locate, r);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(singular); i++)
		if (!strcmp(req->resource, singular[i][0]))
			proxy_refuse(&r->c,
			             status_bad_request(req->arena, "invalid %s request \"%s\"",
			                                singular[i][1], req->name));
}
