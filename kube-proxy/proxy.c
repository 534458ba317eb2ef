/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/proxy.h"

#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/client/recorder.h"
#include "common/codec/rfc3339.h"
#include "kube-proxy/core/text.h"
#include "kube-proxy/kernel/affinity.h"
#include "kube-proxy/kernel/conntrack.h"
#include "kube-proxy/kernel/nft.h"
#include "kube-proxy/node.h"
#include "kube-proxy/proxy_metrics.h"
#include "kube-proxy/service_health.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/schema_messages.h"

enum {
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 30000,
	BURST = 2,     /* transactions that may follow each other at once */
	HEALTH_S = 60, /* a change that waits longer makes kube-proxy unhealthy */
	CHECK_MIN_MS = 1000,
};

struct proxy_table {
	bool enabled;
	uint64_t handle;      /* of the table in the kernel */
	uint32_t retry_ms;    /* 0: the last transaction went well */
	uint64_t retry_at_ms; /* on the loop's clock */
	int64_t last_sync_ns, pending_since_ns;
};

struct proxy {
	struct proxy_options o;
	struct informers *informers;
	struct informer *services, *slices, *nodes, *cidrs;
	struct recorder *recorder;
	struct proxy_state *state;
	struct netlink netlink;
	struct service_health *health;
	struct node_facts node;
	struct proxy_table tables[FAMILIES];
	struct loop_timer sync_timer, check_timer;
	double tokens;
	uint64_t tokens_at_ms;
	bool listed, synced;
	VEC(int64_t) triggers[FAMILIES]; /* when the changes of endpoints that wait were caused */
	size_t service_changes, endpoint_changes;
	struct proxy_metrics metrics;
};

/* --- when to sync --- */

/* Milliseconds until the next transaction may go out. */
static uint64_t wait_for_token(struct proxy *p)
{
	double period = (double)p->o.config->min_sync_ms;
	uint64_t now = loop_now_ms(&p->o.daemon->loop);
	if (period <= 0)
		return 0;
	p->tokens += (double)(now - p->tokens_at_ms) / period;
	p->tokens = MIN(p->tokens, (double)BURST);
	p->tokens_at_ms = now;
	return p->tokens >= 1 ? 0 : (uint64_t)((1 - p->tokens) * period) + 1;
}

/* The timer may stand for later, for the back-off of a family. */
static void sync_by(struct proxy *p, uint64_t due_ms)
{
	if (!loop_timer_active(&p->sync_timer) || p->sync_timer.due_ms > due_ms)
		loop_timer_start_at(&p->sync_timer, due_ms);
}

static void changed(struct proxy *p)
{
	for (enum family f = 0; f < FAMILIES; f++)
		if (!p->tables[f].pending_since_ns && proxy_state_pending(p->state, f))
			p->tables[f].pending_since_ns = clock_real_ns();
	metric_set(p->metrics.last_queued, (double)clock_real_ns() / 1e9);
	if (p->listed)
		sync_by(p, loop_now_ms(&p->o.daemon->loop) + wait_for_token(p));
}

/* --- what comes from the apiserver --- */

static void on_service(const struct informer_object *o, void *arg)
{
	struct proxy *p = arg;
	_cleanup_arena_ struct arena a = {0};
	const CoreV1__Service *svc =
	    (void *)informer_object_decode(o, &core_v1__service_schema, &a);
	proxy_state_set_service(p->state, o->key, svc ? service_parse(svc) : NULL);
	metric_inc(p->metrics.service_changes);
	p->service_changes++;
	changed(p);
}

static void on_service_update(const struct informer_object *old, const struct informer_object *o,
                              void *arg)
{
	(void)old;
	on_service(o, arg);
}

static void on_service_delete(const struct informer_object *old, void *arg)
{
	struct proxy *p = arg;
	proxy_state_set_service(p->state, old->key, NULL);
	metric_inc(p->metrics.service_changes);
	p->service_changes++;
	changed(p);
}

/* When the pods changed that made this slice change. */
static void note_trigger(struct proxy *p, const DiscoveryV1__EndpointSlice *slice, enum family f)
{
	struct time_spec t;
	for (size_t i = 0; i < slice->metadata->n_annotations; i++) {
		const char *value = slice->metadata->annotations[i]->value;
		if (!strcmp(slice->metadata->annotations[i]->key,
		            "endpoints.kubernetes.io/last-change-trigger-time") &&
		    !rfc3339_parse(slice_str(value), &t, NULL))
			*vec_push(&p->triggers[f]) = t.sec * 1000000000 + t.nsec;
	}
}

static void set_slice(struct proxy *p, const struct informer_object *o)
{
	_cleanup_arena_ struct arena a = {0};
	const DiscoveryV1__EndpointSlice *slice =
	    (void *)informer_object_decode(o, &discovery_v1__endpoint_slice_schema, &a);
	struct endpoint_slice *parsed =
	    slice ? endpoint_slice_parse(slice, p->o.node_name, p->node.zone) : NULL;
	if (p->synced && parsed)
		note_trigger(p, slice, parsed->family);
	proxy_state_set_slice(p->state, o->key, parsed);
}

static void on_slice(const struct informer_object *o, void *arg)
{
	struct proxy *p = arg;
	set_slice(p, o);
	metric_inc(p->metrics.endpoint_changes);
	p->endpoint_changes++;
	changed(p);
}

static void on_slice_update(const struct informer_object *old, const struct informer_object *o,
                            void *arg)
{
	(void)old;
	on_slice(o, arg);
}

static void on_slice_delete(const struct informer_object *old, void *arg)
{
	struct proxy *p = arg;
	proxy_state_set_slice(p->state, old->key, NULL);
	metric_inc(p->metrics.endpoint_changes);
	p->endpoint_changes++;
	changed(p);
}

static void parse_slice_again(const struct informer_object *o, void *arg)
{
	set_slice(arg, o);
}

static void add_service_cidrs(const struct informer_object *o, void *arg)
{
	struct layout_config *c = arg;
	_cleanup_arena_ struct arena a = {0};
	struct cidr net;
	const NetworkingV1__ServiceCIDR *obj =
	    (void *)informer_object_decode(o, &networking_v1__service_cidr_schema, &a);
	for (size_t i = 0; obj && obj->spec && i < obj->spec->n_cidrs; i++)
		if (cidr_parse(obj->spec->cidrs[i], &net))
			*vec_push(&c->service_cidrs) = net;
}

static int cidr_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cidr));
}

static void add_cidrs(cidr_list *to, const cidr_list *from)
{
	VEC_FOREACH (from, it)
		*vec_push(to) = *it;
}

/* Settings, node and networks of services together say what all rules look like. */
static void set_layout(struct proxy *p)
{
	struct layout_config c;
	proxy_config_layout(p->o.config, &c);
	if (proxy_config_primary_node_ports(p->o.config))
		add_cidrs(&c.node_ports, &p->node.addresses);
	if (!strcmp(p->o.config->detect_local_mode, "NodeCIDR"))
		add_cidrs(&c.pod_cidrs, &p->node.pod_cidrs);
	add_cidrs(&c.node_ips, &p->node.addresses);
	informer_each(p->cidrs, add_service_cidrs, &c);
	if (c.service_cidrs.n)
		qsort(c.service_cidrs.at, c.service_cidrs.n, sizeof(struct cidr), cidr_cmp);
	proxy_state_set_config(p->state, &c);
	layout_config_deinit(&c);
	bool primary = proxy_config_primary_node_ports(p->o.config);
	service_health_addresses(p->health, p->node.addresses.at,
	                         primary ? p->node.addresses.n : 0);
}

static void set_node(struct proxy *p, const struct informer_object *o)
{
	_cleanup_arena_ struct arena a = {0};
	struct node_facts facts;
	const CoreV1__Node *node =
	    o ? (void *)informer_object_decode(o, &core_v1__node_schema, &a) : NULL;
	node_facts_init(&facts, node, p->o.config->bind_address);
	bool moved = strcmp(facts.zone, p->node.zone) != 0;
	node_facts_deinit(&p->node);
	p->node = facts;
	if (!p->listed)
		return;
	if (moved)
		informer_each(p->slices, parse_slice_again, p);
	set_layout(p);
	changed(p);
}

static void on_node(const struct informer_object *o, void *arg)
{
	set_node(arg, o);
}

static void on_node_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	(void)old;
	set_node(arg, o);
}

/* A node that is deleted is not eligible; its addresses stay what they were. */
static void on_node_delete(const struct informer_object *old, void *arg)
{
	struct proxy *p = arg;
	(void)old;
	p->node.eligible = false;
}

static void on_cidr(const struct informer_object *o, void *arg)
{
	struct proxy *p = arg;
	(void)o;
	if (!p->listed)
		return;
	set_layout(p);
	changed(p);
}

static void on_cidr_update(const struct informer_object *old, const struct informer_object *o,
                           void *arg)
{
	(void)old;
	on_cidr(o, arg);
}

/* --- what goes to the kernel --- */

static void sync_failed(struct proxy *p, enum family f, const struct err *err)
{
	struct proxy_table *t = &p->tables[f];
	proxy_state_reset(p->state, f);
	metric_inc(p->metrics.failures[f]);
	t->retry_ms = t->retry_ms ? MIN(t->retry_ms * 2, (uint32_t)RETRY_MAX_MS) : RETRY_MIN_MS;
	t->retry_at_ms = loop_now_ms(&p->o.daemon->loop) + t->retry_ms;
	log_error(err, "Could not program the kernel; retrying with the whole table",
	          LOG_STR("family", f == FAMILY_IPV4 ? "IPv4" : "IPv6"),
	          LOG_INT("retryMilliseconds", t->retry_ms));
}

static void forget_flows(struct proxy *p, const struct proxy_plan *plan)
{
	struct err err = ERR_INIT;
	uint64_t begin = clock_mono_ns();
	size_t deleted = 0, clients = 0;
	if (!plan->flows.n)
		return;
	if (affinity_forget(&p->netlink, plan, &clients, &err)) {
		log_error(
		    &err,
		    "Could not forget clients whose endpoint has gone; making the table anew");
		proxy_state_reset(p->state, plan->family);
		changed(p);
	}
	if (conntrack_forget(&p->netlink, plan, &deleted, &err))
		log_error(&err, "Could not look for stale connections");
	metric_add(p->metrics.flows_deleted[plan->family], (double)deleted);
	metric_observe(p->metrics.flows_seconds[plan->family],
	               (double)(clock_mono_ns() - begin) / 1e9);
}

static void sync_done(struct proxy *p, const struct proxy_plan *plan, double seconds)
{
	enum family f = plan->family;
	struct proxy_table *t = &p->tables[f];
	struct proxy_metrics *m = &p->metrics;
	t->retry_ms = 0;
	t->last_sync_ns = clock_real_ns();
	t->pending_since_ns = 0;
	metric_observe(m->sync_seconds[f], seconds);
	metric_observe(plan->replace ? m->full_seconds[f] : m->partial_seconds[f], seconds);
	metric_set(m->last_sync[f], (double)t->last_sync_ns / 1e9);
	VEC_FOREACH (&p->triggers[f], at)
		metric_observe(m->programming_seconds[f], (double)(t->last_sync_ns - *at) / 1e9);
	log_v(plan->replace ? 0 : 2, "Rules are in the kernel",
	      LOG_STR("family", f == FAMILY_IPV4 ? "IPv4" : "IPv6"),
	      LOG_BOOL("full", plan->replace), LOG_INT("changes", plan->adds.n + plan->dels.n),
	      LOG_INT("microseconds", seconds * 1e6));
}

static void sync_family(struct proxy *p, enum family f)
{
	struct proxy_table *t = &p->tables[f];
	struct proxy_plan plan = {0};
	struct err err = ERR_INIT;
	uint64_t begin = clock_mono_ns();
	int r = 0;
	proxy_state_plan(p->state, f, &plan);
	/* Of a family that this machine lacks, the plan is all there is. */
	if (t->enabled)
		r = nft_apply(&p->netlink, proxy_state_config(p->state), &plan, &err);
	if (!r && t->enabled && plan.replace)
		r = nft_table_handle(&p->netlink, f, &t->handle, &err);
	if (r) {
		sync_failed(p, f, &err);
	} else if (t->enabled) {
		sync_done(p, &plan, (double)(clock_mono_ns() - begin) / 1e9);
		forget_flows(p, &plan);
	} else {
		t->pending_since_ns = 0;
	}
	proxy_plan_deinit(&plan);
}

static void set_health(const struct service *svc, size_t local_endpoints, void *arg)
{
	service_health_set(arg, svc->key, svc->health_port, local_endpoints);
}

static void sync_health(struct proxy *p)
{
	service_health_begin(p->health);
	proxy_state_each_health(p->state, set_health, p->health);
	service_health_end(p->health);
}

static void sync_rules(void *arg)
{
	struct proxy *p = arg;
	uint64_t now = loop_now_ms(&p->o.daemon->loop), next = UINT64_MAX;
	bool all = true;
	p->tokens -= 1;
	for (enum family f = 0; f < FAMILIES; f++) {
		struct proxy_table *t = &p->tables[f];
		if (proxy_state_pending(p->state, f) && (!t->retry_ms || now >= t->retry_at_ms))
			sync_family(p, f);
		all &= !t->enabled || t->last_sync_ns != 0;
		if (t->retry_ms)
			next = MIN(next, t->retry_at_ms);
		vec_clear(&p->triggers[f]);
	}
	p->service_changes = p->endpoint_changes = 0;
	p->synced |= all;
	sync_health(p);
	if (next != UINT64_MAX)
		sync_by(p, next);
}

/* Somebody may have flushed the rule set: a look at the table's number tells. */
static void check_tables(void *arg)
{
	struct proxy *p = arg;
	for (enum family f = 0; f < FAMILIES; f++) {
		struct proxy_table *t = &p->tables[f];
		struct err err = ERR_INIT;
		uint64_t handle = 0;
		if (!t->enabled || !t->last_sync_ns || t->retry_ms)
			continue;
		if (!nft_table_handle(&p->netlink, f, &handle, &err) && handle == t->handle)
			continue;
		log_warning("The table is not the one that was made; making it anew",
		            LOG_STR("family", f == FAMILY_IPV4 ? "IPv4" : "IPv6"));
		proxy_state_reset(p->state, f);
		changed(p);
	}
	sync_health(p);
	loop_timer_start(&p->check_timer,
	                 MAX((uint64_t)p->o.config->sync_ms, (uint64_t)CHECK_MIN_MS));
}

static void on_listed(void *arg)
{
	struct proxy *p = arg;
	p->listed = true;
	if (p->node.zone[0])
		informer_each(p->slices, parse_slice_again, p);
	set_layout(p);
	changed(p);
	loop_timer_start(&p->check_timer, (uint64_t)p->o.config->sync_ms);
}

/* --- life cycle --- */

static bool is_healthy(void *arg)
{
	int64_t updated;
	return proxy_healthy(arg, &updated);
}

static void on_health_failure(const char *key, uint16_t port, const char *why, void *arg)
{
	struct proxy *p = arg;
	_cleanup_arena_ struct arena a = {0};
	size_t ns = strcspn(key, "/");
	log_warning("Could not listen for health checks", LOG_STR("service", key),
	            LOG_INT("port", port), LOG_STR("err", why));
	recorder_event(p->recorder,
	               &(struct recorder_ref){.api_version = "v1",
	                                      .kind = "Service",
	                                      .ns = arena_strndup(&a, key, ns),
	                                      .name = key + ns + 1,
	                                      .uid = key},
	               true, "FailedToStartServiceHealthcheck", "Listen",
	               "node %s failed to start healthcheck \"%s\" on port %u: %s", p->o.node_name,
	               key, port, why);
}

static void gauge_pending(void *arg)
{
	struct proxy *p = arg;
	metric_set(p->metrics.service_pending, (double)p->service_changes);
	metric_set(p->metrics.endpoint_pending, (double)p->endpoint_changes);
}

static void add_informers(struct proxy *p)
{
	/* Services of another proxy and headless ones are none of ours. */
	static const char *const service_selector =
	    "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
	struct arena *a = &p->o.daemon->arena;
	p->informers = informers_new(p->o.client);
	p->services = informers_get(p->informers, &(struct client_resource){"", "v1", "services"},
	                            NULL, service_selector, NULL);
	p->slices = informers_get(
	    p->informers, &(struct client_resource){"discovery.k8s.io", "v1", "endpointslices"},
	    NULL, service_selector, NULL);
	p->nodes = informers_get(p->informers, &(struct client_resource){"", "v1", "nodes"}, NULL,
	                         NULL, arena_printf(a, "metadata.name=%s", p->o.node_name));
	p->cidrs = informers_get(
	    p->informers, &(struct client_resource){"networking.k8s.io", "v1", "servicecidrs"},
	    NULL, NULL, NULL);
	informer_add_handler(p->services, &(struct informer_handler){on_service, on_service_update,
	                                                             on_service_delete, p});
	informer_add_handler(
	    p->slices, &(struct informer_handler){on_slice, on_slice_update, on_slice_delete, p});
	informer_add_handler(
	    p->nodes, &(struct informer_handler){on_node, on_node_update, on_node_delete, p});
	informer_add_handler(p->cidrs,
	                     &(struct informer_handler){on_cidr, on_cidr_update, on_cidr, p});
	informers_on_synced(p->informers, on_listed, p);
}

int proxy_new(const struct proxy_options *o, struct proxy **ret, struct err *err)
{
	struct proxy *p = heap_new(struct proxy);
	p->o = *o;
	int r = netlink_open(&p->netlink, err);
	if (r) {
		free(p);
		return r;
	}
	p->tables[FAMILY_IPV4].enabled = true;
	p->tables[FAMILY_IPV6].enabled = access("/proc/net/if_inet6", F_OK) == 0;
	p->tokens = BURST;
	node_facts_init(&p->node, NULL, o->config->bind_address);
	p->state = proxy_state_new();
	loop_timer_init(&p->sync_timer, &o->daemon->loop, sync_rules, p);
	loop_timer_init(&p->check_timer, &o->daemon->loop, check_tables, p);
	p->health = service_health_new(
	    &o->daemon->loop, &(struct service_health_ops){is_healthy, on_health_failure, p});
	p->recorder = recorder_new(o->client, "kube-proxy", o->node_name);
	proxy_metrics_init(&p->metrics, o->daemon->metrics, p->state);
	metrics_on_write(o->daemon->metrics, gauge_pending, p);
	add_informers(p);
	*ret = p;
	return 0;
}

void proxy_start(struct proxy *p)
{
	informers_start(p->informers);
	recorder_event(
	    p->recorder,
	    &(struct recorder_ref){
	        .api_version = "v1", .kind = "Node", .name = p->o.node_name, .uid = p->o.node_name},
	    false, "Starting", "StartKubeProxy", "%s", "");
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	loop_timer_stop(&p->sync_timer);
	loop_timer_stop(&p->check_timer);
	informers_free(p->informers);
	recorder_free(p->recorder);
	service_health_free(p->health);
	proxy_state_free(p->state);
	node_facts_deinit(&p->node);
	netlink_close(&p->netlink);
	for (enum family f = 0; f < FAMILIES; f++)
		vec_deinit(&p->triggers[f]);
	free(p);
}

bool proxy_healthy(const struct proxy *p, int64_t *ret_updated_ns)
{
	int64_t now = clock_real_ns(), last = 0;
	bool healthy = true;
	for (enum family f = 0; f < FAMILIES; f++) {
		const struct proxy_table *t = &p->tables[f];
		bool late = t->pending_since_ns &&
		            now - t->pending_since_ns > HEALTH_S * INT64_C(1000000000);
		last = MAX(last, t->last_sync_ns);
		/* It counts as healthy while it starts. */
		healthy &= !t->last_sync_ns || !late;
	}
	*ret_updated_ns = last;
	return healthy;
}

bool proxy_node_eligible(const struct proxy *p)
{
	return p->node.eligible;
}

void proxy_rules_text(const struct proxy *p, struct buf *out)
{
	for (enum family f = 0; f < FAMILIES; f++) {
		element_list elements = {0};
		if (!p->tables[f].enabled)
			continue;
		proxy_state_elements(p->state, f, &elements);
		text_table(f, proxy_state_config(p->state), &elements, out);
		vec_deinit(&elements);
	}
}
